"""From power to work: MicroPython's start and the firmware's, with the button held as the power comes.

Not the chip's boot ROM, flash and slower interpreter: only hardware can tell those. What is watched are
the requests that the firmware makes of the chip.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Iterator
from typing import Any

from lunette import paths
from lunette.virtual.air import Air
from lunette.virtual.hal import _ops as ops
from lunette.virtual.simulator import VirtualGlasses

from .rows import Row

_STARTS = 5
_LIMIT_S = 10.0


class Tap:
    """Notes when a chip was first asked for each thing, and how often; times of the loop."""

    def __init__(self, glasses: VirtualGlasses):
        self._loop = asyncio.get_running_loop()
        self._inner = glasses.chip.bus.request
        self.times: dict[int, list[float]] = {}
        self._changed = asyncio.Event()
        glasses.chip.bus.request = self._request  # type: ignore[method-assign]

    def _request(self, op: int, *arguments: Any) -> Any:
        self.times.setdefault(op, []).append(self._loop.time())
        self._changed.set()
        return self._inner(op, *arguments)

    async def when(self, op: int, count: int = 1) -> float:
        """The time of the `count`th request `op` since the last `clear`."""
        while len(self.times.get(op, ())) < count:
            self._changed.clear()
            await self._changed.wait()
        return self.times[op][count - 1]

    def clear(self) -> None:
        self.times.clear()


async def _moments(tap: Tap) -> tuple[float, float, float]:
    # Two buffers are queued at first: the third request gives back the one that was stored.
    return await tap.when(ops.BLE_ADVERTISE), await tap.when(ops.I2S_INIT), await tap.when(ops.I2S_READ, 3)


async def _starts() -> list[tuple[float, float, float]]:
    """(to advertising, to the microphone, to the first stored frame) in ms, of each start."""
    loop = asyncio.get_running_loop()
    found = []
    printed = bytearray()
    air = Air()
    glasses = VirtualGlasses(
        air, observe=lambda what, detail: printed.extend(detail if what == "console" else b"")
    )
    try:
        await glasses.prepare()
        tap = Tap(glasses)
        for _ in range(_STARTS):
            tap.clear()
            glasses.press()
            began = loop.time()
            await glasses.power_on()
            try:
                times = await asyncio.wait_for(_moments(tap), _LIMIT_S)
            except asyncio.TimeoutError:
                tail = printed.decode(errors="replace").strip().splitlines()[-1:]
                raise RuntimeError(f"the firmware does not get there; it printed {tail}") from None
            advertising, microphone, stored = ((t - began) * 1000 for t in times)
            found.append((advertising, microphone, stored))
            await glasses.power_cut()
        return found
    finally:
        await glasses.close()
        await air.close()


def measure() -> Iterator[Row]:
    sources = sorted(paths.FIRMWARE.rglob("*.py"))
    yield Row("firmware, source", sum(path.stat().st_size for path in sources) / 1024, "KiB")
    yield Row("firmware, modules", len(sources), "")
    starts = asyncio.run(_starts())
    note = f"median of {_STARTS}"
    for column, moment in enumerate(("advertising", "microphone on", "first stored frame")):
        ms = statistics.median(start[column] for start in starts)
        yield Row(f"power on to {moment}", ms, "ms", goal="<= 1000", note=note)
