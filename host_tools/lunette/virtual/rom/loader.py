"""The serial protocol of the boot ROM, and of the stub flasher that a tool may put in its place."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable

from lunette.virtual.rom import slip, stub
from lunette.virtual.rom.chips import RomChip
from lunette.virtual.rom.nor import SECTOR, NorFlash
from lunette.virtual.rom.registers import Registers
from lunette.virtual.rom.transfer import BAD_LENGTH, FAILED, FORMAT, NOT_ENOUGH, UNKNOWN, Refused, Transfer

_SYNC = b"\x07\x07\x12\x20" + b"\x55" * 32
_ROM_SIZE = 2 << 20  # what the ROM takes the flash for until it is told
_COMMANDS = {
    0x02: "flash_begin",
    0x03: "flash_data",
    0x04: "flash_end",
    0x05: "mem_begin",
    0x06: "mem_end",
    0x07: "mem_data",
    0x08: "sync",
    0x09: "write_reg",
    0x0A: "read_reg",
    0x0B: "spi_set_params",
    0x0D: "spi_attach",
    0x0E: "read_flash_slow",
    0x0F: "change_baud",
    0x10: "defl_begin",
    0x11: "defl_data",
    0x12: "defl_end",
    0x13: "md5",
    0x14: "security_info",
}
_STUB_COMMANDS = {0xD0: "erase_flash", 0xD1: "erase_region", 0xD2: "read_flash"}
_ROM_ONLY = {0x0E}


class Loader:
    """Bytes in, bytes out. `baud` is None until it is told a rate: it has adapted to the computer's.

    left: is called when it is told to leave, and run what is in flash. log: names of the commands.
    """

    def __init__(self, chip: RomChip, flash: NorFlash, erase_s: float = 0.0):
        self.chip = chip
        self.flash = flash
        self.left: Callable[[], None] = lambda: None
        self.baud: int | None = None
        self.stub = False
        self.log: list[str] = []
        self._erase_s = erase_s
        self._registers = Registers(chip, flash)
        self._flash_size = _ROM_SIZE
        self._decoder = slip.Decoder()
        self._ram: dict[int, bytes] = {}
        self._to_ram: Transfer | None = None
        self._to_flash: Transfer | None = None
        self._late: Refused | None = None  # of a block that the stub had said it had
        self._reading: tuple[int, int, int, int] | None = None  # address, size, block size, sent
        self._lost = False  # something runs that is not known here

    def feed(self, data: bytes) -> bytes:
        """What it answers to these bytes."""
        return b"".join(map(self._packet, self._decoder.feed(data)))

    def _packet(self, packet: bytes) -> bytes:
        if self._lost:
            return b""
        if self._reading is not None and len(packet) == 4:
            return self._read_on()
        if len(packet) < 8 or packet[0] != 0:
            return b""
        _, op, size, check = struct.unpack_from("<BBHI", packet)
        data = packet[8:]
        try:
            name = self._name(op)
            self.log.append(name or f"{op:#x}")
            if len(data) != size:
                raise Refused(FORMAT)
            if name is None:
                return self._unknown(op)
            result = getattr(self, f"_{name}")(data, check)
        except (ValueError, struct.error):  # beyond the flash; too short
            return self._answer(op, status=Refused(FAILED).status(self.stub))
        except Refused as refused:
            return self._answer(op, status=refused.status(self.stub))
        return b"".join(result) if isinstance(result, list) else self._answer(op, result)

    def _name(self, op: int) -> str | None:
        if op == 0x14 and self.chip.security_id is None:
            return None
        if self.stub:
            return None if op in _ROM_ONLY else {**_COMMANDS, **_STUB_COMMANDS}.get(op)
        return _COMMANDS.get(op)

    def _unknown(self, op: int) -> bytes:
        if self.stub:
            return self._answer(op, status=Refused(UNKNOWN).status(True))
        # Without the command's number, and more than once.
        return self._answer(0, status=Refused(FORMAT).status(False)) * 8

    def _answer(self, op: int, result: bytes = b"", *, value: int = 0, status: bytes = b"\0\0") -> bytes:
        body = result + status + (b"" if self.stub else b"\0\0")
        return slip.encode(struct.pack("<BBHI", 1, op, len(body), value) + body)

    # Each of these takes what is in a command and its checksum, and returns what is in the answer, or whole
    # packets where that is not all.

    # --- the chip ---------------------------------------------------------------------------------

    def _sync(self, data: bytes, check: int) -> list[bytes]:
        if data != _SYNC:
            raise Refused(FORMAT)
        return [self._answer(8, value=0 if self.stub else 0x55552007)] * 8

    def _read_reg(self, data: bytes, check: int) -> list[bytes]:
        return [self._answer(0x0A, value=self._registers.read(*struct.unpack("<I", data)))]

    def _write_reg(self, data: bytes, check: int) -> bytes:
        for address, value, mask, _ in struct.iter_unpack("<IIII", data):
            self._registers.write(address, value, mask)
        return b""

    def _security_info(self, data: bytes, check: int) -> bytes:
        return struct.pack("<IB7BII", 0, 0, *bytes(7), self.chip.security_id, 0)

    def _change_baud(self, data: bytes, check: int) -> list[bytes]:
        baud, before = struct.unpack("<II", data)
        if bool(before) != self.stub:
            raise Refused(FORMAT)
        answer = self._answer(0x0F)
        self.baud = baud
        return [answer]

    # --- RAM --------------------------------------------------------------------------------------

    def _mem_begin(self, data: bytes, check: int) -> bytes:
        size, blocks, block_size, address = struct.unpack("<IIII", data)
        self._to_ram = Transfer(address, size, blocks, block_size)
        self._ram[address] = b""
        return b""

    def _mem_data(self, data: bytes, check: int) -> bytes:
        if self._to_ram is None:
            raise Refused(FAILED)
        self._ram[self._to_ram.address] += self._to_ram.take(data, check)
        return b""

    def _mem_end(self, data: bytes, check: int) -> list[bytes]:
        stay, entry = struct.unpack("<II", data)
        answer = self._answer(0x06)
        if stay:
            return [answer]
        if stub.is_stub(self.chip.name, self._ram, entry):
            self.stub = True
            self._registers.attached = True  # it does so itself
            return [answer, slip.encode(b"OHAI")]
        self._lost = True
        return [answer]

    # --- flash ------------------------------------------------------------------------------------

    def _spi_attach(self, data: bytes, check: int) -> bytes:
        if len(data) != (4 if self.stub else 8):
            raise Refused(FORMAT)
        self._registers.attached = True
        return b""

    def _spi_set_params(self, data: bytes, check: int) -> bytes:
        self._flash_size = struct.unpack("<IIIIII", data)[1]
        return b""

    def _md5(self, data: bytes, check: int) -> bytes:
        address, size, _, _ = struct.unpack("<IIII", data)
        self._may(address, size)
        digest = self.flash.md5(address, size)
        return digest if self.stub else digest.hex().encode()

    def _read_flash_slow(self, data: bytes, check: int) -> bytes:
        address, size = struct.unpack("<II", data)
        self._may(address, size)
        if size > 64:
            raise Refused(FORMAT)
        return self.flash.read(address, size).ljust(64, b"\0")

    def _flash_begin(self, data: bytes, check: int, compressed: bool = False) -> bytes:
        words = struct.unpack(f"<{len(data) // 4}I", data)
        if len(words) != (5 if self.stub or self.chip.extended else 4):
            raise Refused(FORMAT)
        size, blocks, block_size, address = words[:4]
        self._late = None
        transfer = self._to_flash = Transfer(address, size, blocks, block_size, compressed)
        transfer.erased = address // SECTOR * SECTOR
        if size:
            self._may(address, size)
            if not self.stub:  # which erases as it writes
                self._erase(address, size)
                transfer.erased = 1 << 32
        return b""

    def _defl_begin(self, data: bytes, check: int) -> bytes:
        return self._flash_begin(data, check, compressed=True)

    def _flash_data(self, data: bytes, check: int) -> bytes:
        transfer = self._transfer(compressed=False)
        self._write(transfer, transfer.take(data, check, full=True))
        return b""

    def _defl_data(self, data: bytes, check: int) -> bytes:
        transfer = self._transfer(compressed=True)
        block = transfer.take(data, check)
        if self._late is not None:
            raise self._late
        try:
            self._write(transfer, transfer.plain(block))
        except Refused as refused:
            if not self.stub:
                raise
            self._late = refused  # the stub says that it has the block before it knows what is in it
        return b""

    def _flash_end(self, data: bytes, check: int, op: int = 0x04) -> list[bytes]:
        (stay,) = struct.unpack("<I", data)
        transfer, self._to_flash = self._to_flash, None
        if self._late is not None:
            raise self._late
        if self.stub and transfer is not None and transfer.written < transfer.size:
            raise Refused(NOT_ENOUGH)
        answer = self._answer(op)
        if not (self.stub and stay):
            self.left()
        return [answer]

    def _defl_end(self, data: bytes, check: int) -> list[bytes]:
        return self._flash_end(data, check, 0x12)

    def _erase_flash(self, data: bytes, check: int) -> bytes:
        self._erase(0, len(self.flash))
        return b""

    def _erase_region(self, data: bytes, check: int) -> bytes:
        address, size = struct.unpack("<II", data)
        if address % SECTOR or size % SECTOR:
            raise Refused(BAD_LENGTH)
        self._erase(address, size)
        return b""

    def _read_flash(self, data: bytes, check: int) -> list[bytes]:
        address, size, block_size, _ = struct.unpack("<IIII", data)
        self.flash.read(address, size)
        self._reading = (address, size, block_size, 0)
        return [self._answer(0xD2), self._read_on()]

    def _read_on(self) -> bytes:
        """The next block, or after the last one the digest of all. (Block by block: it never waits for more
        than one acknowledgement, as it may by the protocol.)"""
        assert self._reading is not None
        address, size, block_size, sent = self._reading
        if sent == size:
            self._reading = None
            return slip.encode(self.flash.md5(address, size))
        block = self.flash.read(address + sent, min(block_size, size - sent))
        self._reading = (address, size, block_size, sent + len(block))
        return slip.encode(block)

    # --- what these have in common ----------------------------------------------------------------

    def _may(self, address: int, size: int) -> None:
        """The ROM goes by the size that it was told."""
        if not self._registers.attached or (not self.stub and address + size > self._flash_size):
            raise Refused(FAILED)

    def _erase(self, address: int, size: int) -> None:
        if self._erase_s:
            time.sleep(self._erase_s)
        self.flash.erase(address, size)

    def _transfer(self, compressed: bool) -> Transfer:
        transfer = self._to_flash
        if transfer is None or (transfer.inflate is not None) != compressed:
            raise Refused(FAILED)
        return transfer

    def _write(self, transfer: Transfer, data: bytes) -> None:
        at = transfer.address + transfer.written
        end = -(-(at + len(data)) // SECTOR) * SECTOR
        if end > transfer.erased:
            self.flash.erase(transfer.erased, end - transfer.erased)
            transfer.erased = end
        self.flash.program(at, data)
        transfer.written += len(data)
