"""What the simulated chip can take: requests and interrupts of a program in MicroPython, a second."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lunette.virtual import flash
from lunette.virtual.chip.chip import Chip
from lunette.virtual.chip.server import ChipServer
from lunette.virtual.hal import _ops as ops
from lunette.virtual.supervisor import Supervisor

from .rows import Row

_PIN = 4
_REQUESTS, _INTERRUPTS, _DEPTH = 10_000, 5_000, 4
_LIMIT_S = 30.0

# Ends by asking for a pin of its own, so that the last request is known on this side too.
_ASK = f"""
from machine import Pin
pin = Pin({_PIN}, Pin.IN)
for _ in range({_REQUESTS}):
    pin.value()
"""

_LISTEN = f"""
import time
from machine import Pin
count = 0
def on_edge(pin):
    global count
    count += 1
pin = Pin({_PIN}, Pin.IN)
pin.irq(on_edge, Pin.IRQ_RISING | Pin.IRQ_FALLING)
while count < {_INTERRUPTS}:
    time.sleep_ms(1)
print("counted", count)
"""


class _Machine:
    """MicroPython on a chip of its own, running one program as main.py."""

    def __init__(self, folder: Path, program: str):
        image = folder / "flash.img"
        flash.create(image, 64)
        flash.install(image, {"main.py": program.encode()})
        self.chip = Chip()
        self.printed = bytearray()
        self.server = ChipServer(self.chip.bus)
        self.supervisor = Supervisor(
            image, attach=self.server.attach, detach=self.server.detach, on_output=self.printed.extend
        )
        self.server.on_scheduled = self.supervisor.poke


async def _requests(folder: Path) -> float:
    """Requests a second: one at a time, as a program makes them."""
    machine = _Machine(folder, _ASK)
    loop = asyncio.get_running_loop()
    inner = machine.chip.bus.request
    times: list[float] = []
    done = asyncio.Event()

    def tap(op: int, *arguments: Any) -> Any:
        if op == ops.PIN_GET:
            times.append(loop.time())
            if len(times) == _REQUESTS:
                done.set()
        return inner(op, *arguments)

    machine.chip.bus.request = tap  # type: ignore[method-assign]
    return await _rate(machine, done, times)


async def _interrupts(folder: Path) -> float:
    """Interrupts a second, with a few waiting at any time."""
    machine = _Machine(folder, _LISTEN)
    loop = asyncio.get_running_loop()
    inner = machine.chip.bus.request
    times: list[float] = []
    done = asyncio.Event()
    driven = 0

    def edge() -> None:
        nonlocal driven
        if driven < _INTERRUPTS:
            driven += 1
            machine.chip.pins.drive(_PIN, driven & 1)

    def tap(op: int, *arguments: Any) -> Any:
        answer = inner(op, *arguments)
        if op == ops.PIN_IRQ:
            for _ in range(_DEPTH):
                loop.call_soon(edge)
        elif op == ops.IRQ_NEXT and answer is not None:
            times.append(loop.time())
            loop.call_soon(edge)  # for the one that is taken now
            if len(times) == _INTERRUPTS:
                done.set()
        return answer

    machine.chip.bus.request = tap  # type: ignore[method-assign]
    machine.chip.pins.drive(_PIN, 0)
    rate = await _rate(machine, done, times)
    if machine.chip.bus.dropped:
        raise RuntimeError(f"{machine.chip.bus.dropped} interrupts found the scheduler full")
    return rate


async def _rate(machine: _Machine, done: asyncio.Event, times: list[float]) -> float:
    try:
        await machine.supervisor.start()
        await asyncio.wait_for(done.wait(), _LIMIT_S)
    except asyncio.TimeoutError:
        tail = machine.printed.decode(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"only {len(times)} came; the program printed {tail}") from None
    finally:
        await machine.supervisor.close()
    return (len(times) - 1) / (times[-1] - times[0])


def measure() -> Iterator[Row]:
    for name, work in (("requests", _requests), ("interrupts", _interrupts)):
        with tempfile.TemporaryDirectory(prefix="lunette-bench-") as folder:
            yield Row(f"simulated chip, {name}", asyncio.run(work(Path(folder))), "1/s", goal=">= 2000")
