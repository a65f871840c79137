"""Glasses whose power may be cut between any two writes of flash, or within one (runs in MicroPython).

The file system is littlefs on memory that keeps every erase and program in order. Commands are JSON lines:

["run", code]         what `code` prints, or how it fails, as the prompt of the glasses would run it
["writes"]            how many erases and programs there have been
["base"]              count from here
["cut", n, torn]      the flash as after n of them (and half of the next one, with `torn`), started anew:
                      what /boot.py and /main.py print
["try", n, torn]      the same without a start: what is run now happens to that flash
["now"]               what it prints when it is started anew
["read-only"]         the file system is mounted so that nothing can be written
["restore"]           back to the flash without a cut
"""

import builtins
import io
import json
import os
import sys

import vfs

BLOCK = 4096


class Blocks:
    def __init__(self, data):
        self.data = data
        self.log = []

    def readblocks(self, block, buf, offset=0):
        at = block * BLOCK + offset
        buf[:] = self.data[at : at + len(buf)]

    def writeblocks(self, block, buf, offset=0):
        self._do(block * BLOCK + offset, bytes(buf))

    def ioctl(self, op, arg):
        if op == 4:
            return len(self.data) // BLOCK
        if op == 5:
            return BLOCK
        if op == 6:
            self._do(arg * BLOCK, None)
        return 0

    def _do(self, at, data):
        self.log.append((at, data))
        apply(self.data, at, data, 1)


def apply(image, at, data, parts):
    """One write, or the first half of it. None is an erase."""
    n = (BLOCK if data is None else len(data)) // parts
    image[at : at + n] = b"\xff" * n if data is None else data[:n]


def mount(blocks):
    vfs.umount("/")
    vfs.mount(vfs.VfsLfs2(blocks), "/")
    os.chdir("/")


def run(code, names):
    said = []

    def out(*values, end="\n"):
        said.append(" ".join(str(value) for value in values) + end)

    names["print"] = builtins.print = out
    try:
        exec(code, names)
        error = ""
    except BaseException as problem:
        text = io.StringIO()
        sys.print_exception(problem, text)
        error = text.getvalue()
    builtins.print = real_print
    return "".join(said), error


def start():
    """What the chip does after power on."""
    for name in list(sys.modules):
        if name not in modules:
            del sys.modules[name]
    sys.path[:] = ["", ".frozen", "/lib"]
    names = {"__name__": "__main__"}
    said = []
    for name in ("boot.py", "main.py"):
        try:
            os.stat(name)
        except OSError:
            continue
        out, error = run(f"execfile({name!r})", names)
        said.append(out)
        if error:
            said.append("! " + error)
            break
    return "".join(said)


def cut(n, torn):
    image = bytearray(base)
    for at, data in flash.log[:n]:
        apply(image, at, data, 1)
    if torn and n < len(flash.log):
        apply(image, *flash.log[n], 2)
    return Blocks(image)


def answer(what, *values):
    global flash, base, other
    if what == "run":
        return run(values[0], prompt)
    if what == "writes":
        return len(flash.log)
    if what == "base":
        base = bytes(flash.data)
        flash.log = []
    elif what in ("cut", "try"):
        other = cut(*values)
        mount(other)
        return start() if what == "cut" else None
    elif what == "now":
        mount(other)
        return start()
    elif what == "read-only":
        vfs.umount("/")
        vfs.mount(vfs.VfsLfs2(flash), "/", readonly=True)
    elif what == "restore":
        mount(flash)
    return None


real_print = builtins.print
flash = Blocks(bytearray(b"\xff" * int(sys.argv[1]) * 1024))
base = b""
other = None
prompt = {"__name__": "__main__"}
stdin, stdout = sys.stdin, sys.stdout
modules = set(sys.modules)
vfs.VfsLfs2.mkfs(flash)
mount(flash)
while True:
    line = stdin.readline()
    if not line:
        break
    stdout.write(json.dumps(answer(*json.loads(line))) + "\n")
