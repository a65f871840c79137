"""What outlives a program: RTC memory and clock, NVS; and what the IDF heap looks like.

Modelled: 2048 bytes of RTC memory (lost with power), a clock that starts at 2000-01-01 with power,
NVS with name and size limits and a commit, heap figures as numbers that a scene may change.
Not modelled: drift of the clock, wear and page layout of NVS, the heap moving as the program runs.
"""

from __future__ import annotations

import asyncio
import struct

from lunette.chips import ChipData
from lunette.virtual.chip.bus import Bus
from lunette.virtual.hal import _ops as ops

RTC_MEMORY_MAX = 2048
NVS_NAME_MAX = 15
# A 24 KB partition: six 4 KB pages, one of them kept free, 126 entries of 32 bytes each.
NVS_ENTRIES = 5 * 126
NVS_BLOB_MAX = 4000 * 5

# nvs.h; MicroPython raises OSError(-code, name).
NVS_NOT_FOUND = (-0x1102, "ESP_ERR_NVS_NOT_FOUND")
NVS_NOT_ENOUGH_SPACE = (-0x1105, "ESP_ERR_NVS_NOT_ENOUGH_SPACE")
NVS_INVALID_NAME = (-0x1106, "ESP_ERR_NVS_INVALID_NAME")
NVS_KEY_TOO_LONG = (-0x1109, "ESP_ERR_NVS_KEY_TOO_LONG")
NVS_INVALID_LENGTH = (-0x110C, "ESP_ERR_NVS_INVALID_LENGTH")
NVS_VALUE_TOO_LONG = (-0x110E, "ESP_ERR_NVS_VALUE_TOO_LONG")

Value = int | bytes


def _entries(value: Value) -> int:
    return 1 if isinstance(value, int) else 2 + (len(value) + 31) // 32


class Memory:
    def __init__(self, data: ChipData, bus: Bus):
        self.rtc_memory = b""
        self.heaps: list[tuple[int, int, int, int]] = list(data.heaps)  # esp32.idf_heap_info()
        self.nvs: dict[tuple[str, str], Value] = {}  # (namespace, key) -> what is in flash
        self._nvs_now: dict[tuple[str, str], Value] = {}
        self._rtc_us = 0  # what the clock showed ...
        self._rtc_at: float | None = None  # ... at this time of the loop
        bus.register(
            {
                ops.RTC_MEMORY_GET: lambda a, b, c, d, data: self.rtc_memory,
                ops.RTC_MEMORY_SET: self._set_memory,
                ops.RTC_GET: self._rtc_get,
                ops.RTC_SET: self._rtc_set,
                ops.IDF_HEAP: lambda a, b, c, d, data: b"".join(struct.pack("<4I", *h) for h in self.heaps),
                ops.NVS: self._nvs,
            }
        )

    def reset(self, cause: str) -> None:
        if cause == "power_on":
            self.rtc_memory = b""
            self._rtc_us, self._rtc_at = 0, None
        if cause != "soft":
            self._nvs_now = dict(self.nvs)

    def load_nvs(self, values: dict[tuple[str, str], Value]) -> None:
        """Put `values` in NVS, as found at start-up."""
        self.nvs = dict(values)
        self._nvs_now = dict(values)

    def wipe_nvs(self) -> None:
        """Lose all of NVS, as an image that finds no free page does at boot."""
        self.load_nvs({})

    # --- RTC ----------------------------------------------------------------------------------------

    def rtc_us(self) -> int:
        """Microseconds since 2000-01-01 by the RTC."""
        now = asyncio.get_running_loop().time()
        if self._rtc_at is None:
            self._rtc_at = now
        return self._rtc_us + round((now - self._rtc_at) * 1e6)

    def _rtc_get(self, a: int, b: int, c: int, d: int, data: bytes | None) -> bytes:
        seconds, us = divmod(self.rtc_us(), 1_000_000)
        return struct.pack("<II", seconds & 0xFFFFFFFF, us)

    def _rtc_set(self, seconds: int, us: int, c: int, d: int, data: bytes | None) -> None:
        self._rtc_us = (seconds & 0xFFFFFFFF) * 1_000_000 + us
        self._rtc_at = asyncio.get_running_loop().time()

    def _set_memory(self, a: int, b: int, c: int, d: int, data: bytes | None) -> None:
        if len(data or b"") > RTC_MEMORY_MAX:
            raise ValueError("buffer too long")
        self.rtc_memory = data or b""

    # --- NVS ----------------------------------------------------------------------------------------

    def _nvs(self, verb: int, number: int, c: int, d: int, data: bytes | None) -> bytes | int | None:
        space, key, blob = (data or b"").split(b"\0", 2)
        name = (space.decode(), key.decode())
        if not 1 <= len(space) <= NVS_NAME_MAX:
            raise OSError(*(NVS_KEY_TOO_LONG if space else NVS_INVALID_NAME))
        if verb == ops.NVS_OPEN:
            return None
        if verb == ops.NVS_COMMIT:
            mine = {k: v for k, v in self._nvs_now.items() if k[0] == name[0]}
            self.nvs = {k: v for k, v in self.nvs.items() if k[0] != name[0]} | mine
            return None
        if not key:
            raise OSError(*NVS_INVALID_NAME)
        if len(key) > NVS_NAME_MAX:
            raise OSError(*NVS_KEY_TOO_LONG)
        if verb == ops.NVS_SET_I32:
            self._store(name, number)
            return None
        if verb == ops.NVS_SET_BLOB:
            if len(blob) > NVS_BLOB_MAX:
                raise OSError(*NVS_VALUE_TOO_LONG)
            self._store(name, blob)
            return None
        if name not in self._nvs_now:
            raise OSError(*NVS_NOT_FOUND)
        if verb == ops.NVS_ERASE:
            del self._nvs_now[name]
            return None
        value = self._nvs_now[name]
        if isinstance(value, int) is not (verb == ops.NVS_GET_I32):
            # Types are part of an NVS key: reading the other type finds nothing.
            raise OSError(*NVS_NOT_FOUND)
        if isinstance(value, int):
            return value
        if verb == ops.NVS_BLOB_LEN:
            if number < len(value):
                raise OSError(*NVS_INVALID_LENGTH)
            return len(value)
        return value[number : number + ops.ANSWER_BYTES]

    def _store(self, name: tuple[str, str], value: Value) -> None:
        used = sum(_entries(v) for k, v in self._nvs_now.items() if k != name)
        if used + _entries(value) > NVS_ENTRIES:
            raise OSError(*NVS_NOT_ENOUGH_SPACE)
        self._nvs_now[name] = value
