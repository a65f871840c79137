"""A MicroPython image for an ESP32 chip, checked before anything is erased for it.

Such a file is boot loader, partition table and application in one, as they lie in flash from where the chip's
ROM looks for the boot loader (makeimg.py of MicroPython's esp32 port).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lunette.errors import LunetteError

_MAGIC = 0xE9
_HEADER = 24
_TABLE, _TABLE_SIZE = 0x8000, 0xC00  # of partitions, in flash
_ENTRY = struct.Struct("<HBBII16sI")
_ENTRY_MAGIC = 0x50AA
_APP = 0x00


@dataclass(frozen=True)
class FlashImage:
    """`offset` is where `data` goes in flash. `chip` is a name as boards have it, `flash_size` the bytes of
    flash that it is made for."""

    source: str
    data: bytes
    chip: str
    offset: int
    flash_size: int

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


def read(path: Path) -> FlashImage:
    """Raises LunetteError: no such file, no image, not all of one, not the kind that a chip starts from."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LunetteError(f"cannot read {path} ({error.strerror}): check --image") from None
    return check(data, str(path))


def check(data: bytes, source: str) -> FlashImage:
    """`read`, of contents. `source` is what messages call them."""
    if len(data) < _HEADER or data[0] != _MAGIC:
        what = "a web page" if data.lstrip()[:1] == b"<" else "no image for an ESP32 chip"
        raise LunetteError(
            f"{source} is {what}: download the .bin file for your board, whose page `lunette boards NAME` "
            "shows, and give it with --image"
        )
    (number,) = struct.unpack_from("<H", data, 12)
    chip, rom = _by_id(number)
    if rom is None:
        raise LunetteError(
            f"{source} is for a chip that is not known here (number {number}): take the .bin file for your "
            "board (`lunette boards NAME` shows its page)"
        )
    offset = rom.BOOTLOADER_FLASH_OFFSET
    _whole(data, source, chip, "boot loader")
    app = _application(data, offset)
    if app is None:
        raise LunetteError(
            f"{source} has no partition table, so a chip cannot start from it alone (an application for "
            "updates?): take the .bin file for your board, not the .app-bin (`lunette boards NAME` shows its "
            "page)"
        )
    _whole(data[app - offset :], source, chip, "application")
    return FlashImage(source, data, chip, offset, (1 << 20) << (data[3] >> 4))


def _by_id(number: int) -> tuple[str, Any]:
    from esptool.targets import CHIP_DEFS

    for name, rom in CHIP_DEFS.items():
        if number == rom.IMAGE_CHIP_ID and name != "esp8266":
            return name, rom
    return "", None


def _application(data: bytes, offset: int) -> int | None:
    """Where in flash the first application is; None without a partition table that names one."""
    table = data[_TABLE - offset : _TABLE - offset + _TABLE_SIZE]
    for at in range(0, len(table) - _ENTRY.size + 1, _ENTRY.size):
        magic, kind, _, where, _, _, _ = _ENTRY.unpack_from(table, at)
        if magic != _ENTRY_MAGIC:
            break
        if kind == _APP:
            return int(where)
    return None


def _whole(data: bytes, source: str, chip: str, part: str) -> None:
    """Raises LunetteError unless all segments are there, with the right checksum and digest."""
    from esptool.bin_image import LoadFirmwareImage

    try:
        image = LoadFirmwareImage(chip, data)
        good = image.checksum == image.calculate_checksum() and (
            not image.append_digest or image.stored_digest == image.calc_digest
        )
    except Exception:  # esptool's own, struct's, IndexError: whatever a cut file leads it to
        good = False
    if not good:
        raise LunetteError(
            f"{source} is damaged or not complete (its {part}): delete it and download it again "
            "(`lunette boards NAME` shows the page)"
        )
