"""One virtual ESP32: its peripherals on one bus, its resets, and the hooks of the simulator."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lunette.acoustics import Geometry
from lunette.chips import chip_data
from lunette.virtual.blocking import wait_for
from lunette.virtual.chip.analog import Analog
from lunette.virtual.chip.bus import Answer, Bus
from lunette.virtual.chip.i2s import I2s
from lunette.virtual.chip.memory import Memory
from lunette.virtual.chip.pins import Pins
from lunette.virtual.chip.power import ChipStopped, Power
from lunette.virtual.chip.pwm import Pwm
from lunette.virtual.chip.sound import Sound
from lunette.virtual.chip.timers import Timers
from lunette.virtual.hal import _ops as ops

DEFAULT_ID = bytes.fromhex("7cdfa1000001")


class Wire:
    """A program's way to the chip, in this process: what its `_port` module holds."""

    def __init__(self, call: Callable[..., Answer]):
        self.call = call

    def cut(self, kind: str) -> None:
        """The program is over (`ChipStopped.kind`): whatever it still tries raises that, and does nothing."""

        def refuse(op: int, a: int, b: int, c: int, d: int, data: Any) -> Answer:
            raise ChipStopped(kind)

        self.call = refuse


class Chip:
    """The chip model. Attach a program with `attach_cpython` or with a `ChipServer` on `bus`.

    Hooks, called from the event loop after the chip has already changed its own state:

    * ``on_reset(kind)``: "hard" or "wdt": restart the program; "soft": the program exits by itself;
    * ``on_sleep(ms)``: deep sleep begins (None: no timer): stop the program;
    * ``on_wake(reason)``: deep sleep is over: start the program;
    * ``on_radio_off()``: light or deep sleep or a reset took the radio down, at once;
    * ``on_light_sleep()``: light sleep takes the radio down; without it, ``on_radio_off`` is called;
    * ``on_halt(kind)``: the same as the first two ("deepsleep" for sleep), but at that instant, before the
      program's call returns: whoever runs it in this process must let nothing more of it happen;
    * ``on_change()``: what the chip draws current for is about to change, or has: its clock, a port of I2S.

    `errors` holds what the program's interrupt handlers raised, in this process. `parts` are the board's
    (``PARTS``): the microphones on its pins, and where they are; without it one hears on all pins.
    """

    def __init__(
        self,
        name: str = "esp32s3",
        *,
        unique_id: bytes = DEFAULT_ID,
        sound: Sound | None = None,
        reserved: Iterable[int] = (),
        parts: Mapping[str, Mapping[str, Any]] | None = None,
    ):
        if len(unique_id) != 6:
            raise ValueError("unique_id is 6 bytes")
        self.data = chip_data(name)
        self.unique_id = unique_id
        self.sound = sound if sound is not None else Sound()
        self.bus = Bus()
        self.pins = Pins(self.data, self.bus, reserved)
        self.analog = Analog(self.data, self.bus)
        if parts is not None and "mic" in parts:
            self.sound.geometry = Geometry.of(parts["mic"])
        self.i2s = I2s(self.data, self.bus, self.pins, self.sound, parts)
        self.timers = Timers(self.data, self.bus)
        self.memory = Memory(self.data, self.bus)
        self.power = Power(self, self.data, self.bus, self.pins)
        self.pwm = Pwm(self.data, self.bus, self.pins, lambda: self.power.freq_hz)
        self.on_reset: Callable[[str], None] | None = None
        self.on_sleep: Callable[[int | None], None] | None = None
        self.on_wake: Callable[[int], None] | None = None
        self.on_radio_off: Callable[[], None] | None = None
        self.on_light_sleep: Callable[[], None] | None = None
        self.on_halt: Callable[[str], None] | None = None
        self.on_change: Callable[[], None] | None = None
        self.is_program: Callable[[Any], bool] | None = None
        """In this process: is that task or object the program's, so that light sleep holds it up?"""
        self.errors: deque[Exception] = deque(maxlen=100)
        self._port: Any = None
        self._wire: Wire | None = None
        self._delivering = False
        self.i2s.on_change = self.tell_change
        self.bus.register(
            {
                ops.UNIQUE_ID: lambda a, b, c, d, data: self.unique_id,
                ops.CHIP_NAME: lambda a, b, c, d, data: self.data.name.encode(),
            }
        )

    def reset(self, cause: str) -> None:
        """Reset the chip. `cause` and what it leaves standing:

        * "power_on" (also brown-out, and cutting the power): nothing but NVS as committed;
        * "hard" (also a panic), "wdt": RTC memory and clock, pad holds;
        * "deepsleep" (a wake-up): the same;
        * "soft" (the program ended): also levels and modes of pins, the watchdog, the CPU clock, wake
          sources and uncommitted NVS. Timers, I2S, PWM and pin handlers are stopped as in all others.
        """
        self.power.reset(cause)
        self.i2s.reset()
        self.pwm.reset()
        self.timers.reset()
        if cause != "soft":
            self.analog.reset()
            self._radio_off()
        self.pins.reset(cause)
        self.memory.reset(cause)
        self.bus.reset()

    # --- what the power model tells the rest --------------------------------------------------------

    def enter_deep_sleep(self, wake_pins: Iterable[int]) -> None:
        """Peripherals lose power now; wake pins keep their pulls."""
        self.i2s.reset()
        self.pwm.reset()
        self.timers.reset()
        self.analog.reset()
        self.pins.reset("deepsleep", keep_pulls=wake_pins)
        self.bus.reset()
        self._radio_off()

    def tell_reset(self, kind: str) -> None:
        if self.on_reset is not None:
            asyncio.get_running_loop().call_soon(self.on_reset, kind)
        if self.on_halt is not None:
            self.on_halt(kind)

    def tell_sleep(self, ms: int | None) -> None:
        if self.on_sleep is not None:
            asyncio.get_running_loop().call_soon(self.on_sleep, ms)
        if self.on_halt is not None:
            self.on_halt("deepsleep")

    def tell_change(self) -> None:
        if self.on_change is not None:
            self.on_change()

    def tell_wake(self, reason: int) -> None:
        if self.on_wake is not None:
            self.on_wake(reason)

    def tell_light_sleep(self) -> None:
        if self.on_light_sleep is not None:
            self.on_light_sleep()
        else:
            self._radio_off()

    def _radio_off(self) -> None:
        if self.on_radio_off is not None:
            self.on_radio_off()

    # --- a program in this process ------------------------------------------------------------------

    def attach_cpython(self, port_module: Any) -> None:
        """Make this the chip of the HAL whose `_port` module is given, in this process, and of no other."""
        self.detach_cpython("replaced")
        self._port = port_module
        self._wire = Wire(self.call)
        port_module.attach(self._wire)
        self.bus.ring = self._ring

    def detach_cpython(self, kind: str) -> None:
        """That program is over: what it asks of the chip from now on raises ``ChipStopped(kind)``."""
        if self._wire is not None:
            self._wire.cut(kind)
        self._wire = self._port = self.bus.ring = None

    def catch_up(self) -> None:
        """The program was blocked, and the clock has moved on: what the hardware did by itself meanwhile,
        then the program's interrupts, as between two bytecodes. May raise `ChipStopped`: the watchdog."""
        self.power.catch_up()
        self.i2s.catch_up()
        self.deliver()

    def call(self, op: int, a: int, b: int, c: int, d: int, data: Any) -> Answer:
        """A request from this process; a reset or deep sleep raises `ChipStopped`."""
        self.power.in_process = True
        if op == ops.LIGHTSLEEP and self.is_program is not None:
            return self._sleep_lightly(a)
        return self.bus.call(op, a, b, c, d, data)

    def _sleep_lightly(self, ms: int) -> Answer:
        """The program stands still, and with it its interrupts; the world does not."""
        wire, ours = self._wire, self.is_program
        assert ours is not None
        try:
            wait_for(
                self.bus.request(ops.LIGHTSLEEP, ms, 0, 0, 0, None),
                lambda owner: owner is self or ours(owner),
                lambda: self._wire is not wire,
            )
        except asyncio.CancelledError:
            raise ChipStopped("over") from None
        self.deliver()
        return 0, b""

    def _ring(self) -> None:
        with contextlib.suppress(RuntimeError):  # no loop runs: a test calls deliver() itself
            asyncio.get_running_loop().call_soon(self.deliver)

    def deliver(self) -> None:
        """Run the program's handlers of all interrupts that wait, unless this is one of them."""
        if self._delivering:
            return
        self._delivering = True
        try:
            self.bus.drain(self._handle)
        except ChipStopped:
            pass  # a handler went to sleep, or was running when the program ended
        finally:
            self._delivering = False

    def _handle(self, e0: int, e1: int, e2: int, e3: int, payload: bytes) -> None:
        if self._port is None:
            return
        try:
            self._port.interrupt(e0, e1, e2, e3, payload)
        except Exception as error:  # printed and forgotten, as the scheduler of MicroPython does
            self.errors.append(error)
            traceback.print_exception(error, file=sys.stderr)
