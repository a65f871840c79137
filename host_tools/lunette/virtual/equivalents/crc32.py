"""CRC-32 by zlib."""

from __future__ import annotations

import zlib
from typing import Any

from lunette.virtual.equivalents import octets


def update(state: Any, buf: Any, off: int, n: int) -> None:
    value = zlib.crc32(octets(buf)[off : off + n], int.from_bytes(state[:4], "little"))
    state[:4] = value.to_bytes(4, "little")


EQUIVALENTS = {"dsp.crc32.update": update}
