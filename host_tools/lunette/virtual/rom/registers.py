"""The registers that a flash tool reads and writes, and the flash's own commands behind some of them."""

from __future__ import annotations

from lunette.virtual.rom.chips import RomChip
from lunette.virtual.rom.nor import NorFlash

_START = 1 << 18  # in the SPI controller's command register: a command of the user's
_MISO = 1 << 28  # in the user register: read an answer
_SFDP = b"SFDP\x06\x01\x01\xff"


class Registers:
    """A word at an address. Unknown ones read as 0, and keep what is written."""

    def __init__(self, chip: RomChip, flash: NorFlash):
        self._spi = chip.spi
        self._flash = flash
        self._words = dict(chip.registers)
        self.attached = False  # the flash, to its pins

    def read(self, address: int) -> int:
        return self._words.get(address, 0)

    def write(self, address: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        self._words[address] = (self.read(address) & ~mask) | (value & mask)
        if address == self._spi.base and value & _START:
            self._words[address] = 0  # it is done
            self._command()

    def _command(self) -> None:
        spi = self._spi
        if not self.read(spi.base + spi.usr) & _MISO:
            return
        bits = (self.read(spi.base + spi.miso_bits) & 0x3FF) + 1
        answer = self._answer(self.read(spi.base + spi.usr2) & 0xFFFF) & ((1 << bits) - 1)
        self._words[spi.base + spi.w0] = answer

    def _answer(self, command: int) -> int:
        if not self.attached:
            return 0xFFFFFFFF  # nobody drives the line
        if command == 0x9F:
            return self._flash.jedec_id
        if command == 0x5A:
            at = self.read(self._spi.base + 4) >> (8 if self._spi.address_on_top else 0)
            return int.from_bytes(_SFDP[at : at + 4].ljust(4, b"\xff"), "little")
        return 0  # status registers: ready, nothing protected
