"""The glasses' flash as a block device over an image file (runs in MicroPython).

Modelled: 4096-byte erase blocks, erased bytes read 0xFF, every erase and program is one write to the
image before it returns, so killing the interpreter anywhere is a power cut and loses nothing that was
written before. Not modelled: the milliseconds an erase takes, wear, and that programming can only
clear bits.
"""

import micropython

BLOCK_BYTES = 4096


class Flash:
    """Extended block protocol of `vfs.VfsLfs2` on the image file `path`, a multiple of 4096 bytes long.

    The three methods are native code because that is never interrupted between two steps, as the C
    driver on the chip is not. As bytecode, four of ten Ctrl-C that came while a program was writing
    raised KeyboardInterrupt here and left through the middle of littlefs, which is not made for that.
    """

    def __init__(self, path):
        self._file = open(path, "r+b")  # noqa: SIM115 - open as long as the power is on
        self._count = self._file.seek(0, 2) // BLOCK_BYTES
        self._erased = b"\xff" * BLOCK_BYTES

    @micropython.native
    def readblocks(self, block, buf, offset=0):
        self._file.seek(block * 4096 + offset)
        self._file.readinto(buf)

    @micropython.native
    def writeblocks(self, block, buf, offset=0):
        self._file.seek(block * 4096 + offset)
        self._file.write(buf)

    @micropython.native
    def ioctl(self, op, arg):
        if op == 4:
            return self._count
        if op == 5:
            return 4096
        if op == 6:
            self._file.seek(arg * 4096)
            self._file.write(self._erased)
        return 0
