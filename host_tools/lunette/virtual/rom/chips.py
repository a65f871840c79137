"""What a flash tool can tell chips by, and where their registers are.

Sources: the chips' technical reference manuals (eFuse controller, SPI controller), and the serial protocol in
esptool's documentation.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

MAC = bytes.fromhex("7cdfa1e05a17")
MAGIC = 0x40001000  # of the ROM; tells old chips apart


@dataclass(frozen=True)
class Spi:
    """Registers of the SPI controller that the flash is on."""

    base: int
    usr: int
    usr2: int
    miso_bits: int
    w0: int
    address_on_top: bool  # of the address register's 32 bits


@dataclass(frozen=True)
class RomChip:
    """`security_id` is None for a ROM that has no command for it; `extended` whether FLASH_BEGIN takes a
    fifth word. `registers` holds those that are not 0 at a start."""

    name: str
    title: str
    image_id: int
    security_id: int | None
    extended: bool
    bootloader: int  # where the ROM looks for it in flash
    spi: Spi
    registers: dict[int, int] = field(default_factory=dict)


_NEW_SPI = Spi(0x60002000, usr=0x18, usr2=0x20, miso_bits=0x28, w0=0x58, address_on_top=False)
_HIGH, _LOW = struct.unpack(">HI", MAC)

CHIPS = {
    "esp32": RomChip(
        "esp32",
        "ESP32",
        image_id=0,
        security_id=None,
        extended=False,
        bootloader=0x1000,
        spi=Spi(0x3FF42000, usr=0x1C, usr2=0x24, miso_bits=0x2C, w0=0x80, address_on_top=True),
        registers={
            MAGIC: 0x00F01D83,
            0x3FF5A004: _LOW,
            0x3FF5A008: _HIGH,
            0x3FF5A00C: 1 << 15 | 1 << 9,  # ESP32-D0WD, revision bit 0
            0x3FF5A010: 100,  # frequency of the 8 MHz clock as it was calibrated
            0x3FF5A014: 1 << 20,  # revision bit 1
            0x3FF66020: 0,
            0x3FF6607C: 1 << 31,  # revision bit 2: revision 3
            0x3FF40014: 347,  # clock divider of UART 0: 40 MHz at 115200
            0x3FF5F06C: 1024 << 7,  # calibration: 40 MHz
        },
    ),
    "esp32s3": RomChip(
        "esp32s3",
        "ESP32-S3",
        image_id=9,
        security_id=9,
        extended=True,
        bootloader=0,
        spi=_NEW_SPI,
        registers={
            MAGIC: 0x9,
            0x60007044: _LOW,
            0x60007048: _HIGH,
            0x60007050: 2 << 18,  # minor revision
            0x60007054: 2,  # vendor of PSRAM; capacity 0
        },
    ),
    "esp32c3": RomChip(
        "esp32c3",
        "ESP32-C3",
        image_id=5,
        security_id=5,
        extended=True,
        bootloader=0,
        spi=_NEW_SPI,
        registers={
            MAGIC: 0x1B31506F,
            0x60008844: _LOW,
            0x60008848: _HIGH,
            0x60008850: 4 << 18,
        },
    ),
}
