"""Resets, sleep, wake-up, the watchdog and the CPU clock.

Modelled: what each reset reports; a watchdog that nothing stops but sleep; deep sleep with timer,
ext0, ext1 and GPIO wake-up, a wake pin that is already active waking at once, no source sleeping for
ever; light sleep taking the radio down; wake pins that a chip does not have being refused.
Not modelled: start-up time, ULP, current (the board's table has it), light sleep stopping I2S.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from lunette.chips import ChipData
from lunette.virtual.chip.bus import Bus
from lunette.virtual.chip.pins import PULL_DOWN, PULL_UP, Pins
from lunette.virtual.hal import _ops as ops

if TYPE_CHECKING:
    from lunette.virtual.chip.chip import Chip

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
_CAUSES = {
    "power_on": PWRON_RESET,
    "hard": HARD_RESET,
    "wdt": WDT_RESET,
    "deepsleep": DEEPSLEEP_RESET,
    "soft": SOFT_RESET,
}
EXT0_WAKE, EXT1_WAKE, TIMER_WAKE, TOUCHPAD_WAKE, ULP_WAKE, GPIO_WAKE = 2, 3, 4, 5, 6, 7
LIGHT, DEEP = 2, 4  # machine.SLEEP, machine.DEEPSLEEP


class ChipStopped(BaseException):
    """In CPython: the program asked for a reset or deep sleep, so nothing after the call runs.

    On the chip the call does not return; a BaseException passes the `except Exception` of the
    program the same way. `kind` is "hard", "wdt" or "deepsleep"; `ms` is the sleep asked for, or None.
    """

    def __init__(self, kind: str, ms: int | None = None):
        super().__init__(kind)
        self.kind = kind
        self.ms = ms


async def _never() -> None:
    await asyncio.get_running_loop().create_future()


class _Wake:
    """Waits for a wake source; calls `done` with the reason, once, from the event loop."""

    def __init__(self, pins: Pins, active: Callable[[], int], done: Callable[[int], None]):
        self._active = active
        self._done = done
        self._over = False
        self._handles: list[asyncio.Handle] = []
        self._unwatch = pins.watch(lambda pin, level, t: self._look())

    def after(self, seconds: float) -> None:
        self._handles.append(asyncio.get_running_loop().call_later(seconds, self.finish, TIMER_WAKE))

    def look_soon(self) -> None:
        self._handles.append(asyncio.get_running_loop().call_soon(self._look))

    def _look(self) -> None:
        reason = self._active()
        if reason:
            self.finish(reason)

    def finish(self, reason: int) -> None:
        if not self._over:
            self.cancel()
            self._done(reason)

    def cancel(self) -> None:
        self._over = True
        self._unwatch()
        for handle in self._handles:
            handle.cancel()
        self._handles.clear()


class Power:
    """`freq_hz`, `cause` and `wake_reason` are what the program reads.

    `asleep` is true in deep sleep, since `stopped_at` (time of the loop); `slept_forever` counts deep
    sleeps that nothing but a reset ends. `in_process` is set by a transport in this process.
    """

    def __init__(self, chip: Chip, data: ChipData, bus: Bus, pins: Pins):
        self._chip = chip
        self._data = data
        self._pins = pins
        self.in_process = False
        self.freq_hz = data.default_mhz * 1_000_000
        self.cause = PWRON_RESET
        self.wake_reason = 0
        self.temperature = 40
        self.asleep = False
        self.stopped_at: float | None = None
        self.slept_forever = 0
        self.light_sleeps = 0
        self.light = False  # in light sleep now
        self._wake: _Wake | None = None
        self._wdt_timeout: float | None = None
        self._wdt_deadline = 0.0
        self._wdt_handle: asyncio.TimerHandle | None = None
        self._clear_wake()
        bus.register(
            {
                ops.FREQ_GET: lambda a, b, c, d, data: self.freq_hz,
                ops.FREQ_SET: self._freq_set,
                ops.RESET_CAUSE: lambda a, b, c, d, data: self.cause,
                ops.WAKE_REASON: lambda a, b, c, d, data: self.wake_reason,
                ops.RESET: self._reset,
                ops.SOFT_RESET: self._soft_reset,
                ops.DEEPSLEEP: self._deepsleep,
                ops.LIGHTSLEEP: self._lightsleep,
                ops.WDT_INIT: self._wdt_init,
                ops.WDT_FEED: self._wdt_feed,
                ops.WAKE_EXT0: self._wake_ext0,
                ops.WAKE_EXT1: self._wake_ext1,
                ops.WAKE_GPIO: self._wake_gpio,
                ops.WAKE_TOUCH: self._wake_touch,
                ops.TEMPERATURE: lambda a, b, c, d, data: self.temperature,
            }
        )

    def reset(self, cause: str) -> None:
        """This part's share of a reset; `cause` is one of the names in `Chip.reset`."""
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        self.asleep = False
        self.cause = _CAUSES[cause]
        if cause == "soft":
            return  # the watchdog, the clock and the wake sources stay
        self.wake_reason = 0
        self.freq_hz = self._data.default_mhz * 1_000_000
        self._wdt_stop()
        self._wdt_timeout = None
        self._clear_wake()

    # --- requests: resets -------------------------------------------------------------------------

    def _reset(self, a: int, b: int, c: int, d: int, data: bytes | None) -> Awaitable[None]:
        self._chip.reset("hard")
        self._chip.tell_reset("hard")
        if self.in_process:
            raise ChipStopped("hard")
        return _never()

    def _soft_reset(self, a: int, b: int, c: int, d: int, data: bytes | None) -> None:
        self._chip.reset("soft")
        self._chip.tell_reset("soft")

    def _freq_set(self, hz: int, b: int, c: int, d: int, data: bytes | None) -> None:
        if hz // 1_000_000 not in self._data.freqs_mhz:
            names = [f"{f}MHz" if f != 80 else "80Mhz" for f in self._data.freqs_mhz]
            raise ValueError(f"frequency must be {', '.join(names[:-1])} or {names[-1]}")
        self.freq_hz = hz // 1_000_000 * 1_000_000
        self._chip.tell_change()

    # --- watchdog -----------------------------------------------------------------------------------

    @property
    def wdt_running(self) -> bool:
        return self._wdt_timeout is not None

    def _wdt_init(self, ms: int, b: int, c: int, d: int, data: bytes | None) -> None:
        if ms <= 0:
            raise ValueError("WDT timeout too short")
        self._wdt_stop()
        self._wdt_timeout = ms / 1000
        self._wdt_start()

    def _wdt_feed(self, a: int, b: int, c: int, d: int, data: bytes | None) -> None:
        # Feeding is frequent: only the deadline moves, the timer looks at it when it expires.
        if self._wdt_timeout is not None:
            self._wdt_deadline = asyncio.get_running_loop().time() + self._wdt_timeout

    def _wdt_start(self) -> None:
        if self._wdt_timeout is not None:
            loop = asyncio.get_running_loop()
            self._wdt_deadline = loop.time() + self._wdt_timeout
            self._wdt_handle = loop.call_at(self._wdt_deadline, self._wdt_expired)

    def _wdt_stop(self) -> None:
        if self._wdt_handle is not None:
            self._wdt_handle.cancel()
            self._wdt_handle = None

    def _wdt_expired(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._wdt_deadline:
            self._wdt_handle = loop.call_at(self._wdt_deadline, self._wdt_expired)
            return
        self._bite()

    def _bite(self) -> None:
        self._wdt_stop()
        self._chip.reset("wdt")
        self._chip.tell_reset("wdt")

    def catch_up(self) -> None:
        """The program was blocked until now: `ChipStopped` if the watchdog has bitten meanwhile."""
        if self._wdt_handle is not None and asyncio.get_running_loop().time() >= self._wdt_deadline:
            self._bite()
            raise ChipStopped("wdt")

    # --- wake sources -------------------------------------------------------------------------------

    def _clear_wake(self) -> None:
        self._ext0_pin = -1
        self._ext0_level = 0
        self._ext0_types = LIGHT | DEEP
        self._ext1_pins: frozenset[int] = frozenset()
        self._ext1_level = 0
        self._gpio_pins: frozenset[int] = frozenset()
        self._gpio_level = 0
        self._touch = False

    def _rtc_pins(self, pins: Iterable[int]) -> frozenset[int]:
        for pin in pins:
            self._pins.check(pin)
            if pin not in self._data.wake_pins:
                raise ValueError("invalid pin")
        return frozenset(pins)

    def _wake_ext0(self, pin: int, level: int, types: int, d: int, data: bytes | None) -> None:
        if not self._data.ext0:
            raise AttributeError("wake_on_ext0")
        if self._touch:
            raise ValueError("no resources")
        if pin >= 0:
            self._rtc_pins([pin])
        if pin >= -1:
            self._ext0_pin = pin
        if level >= 0:
            self._ext0_level = level
        self._ext0_types = types

    def _wake_ext1(self, level: int, b: int, c: int, d: int, data: bytes | None) -> None:
        if not self._data.ext1:
            raise AttributeError("wake_on_ext1")
        if data is not None:
            self._ext1_pins = self._rtc_pins(json.loads(data))
        if level >= 0:
            self._ext1_level = level

    def _wake_gpio(self, level: int, b: int, c: int, d: int, data: bytes | None) -> None:
        if data is not None:
            pins = json.loads(data)
            for pin in pins:
                self._pins.check(pin)
            self._gpio_pins = frozenset(pins)
        if level >= 0:
            self._gpio_level = level

    def _wake_touch(self, on: int, b: int, c: int, d: int, data: bytes | None) -> None:
        if not self._data.touch:
            raise AttributeError("wake_on_touch")
        if self._ext0_pin != -1:
            raise ValueError("no resources")
        self._touch = bool(on)

    def _active(self, kind: int) -> int:
        """The reason why the chip wakes now from sleep of `kind`, or 0."""
        level = self._pins.level
        if self._ext0_pin >= 0 and self._ext0_types & kind and level(self._ext0_pin) == self._ext0_level:
            return EXT0_WAKE
        if self._ext1_pins:
            at_level = [level(p) == self._ext1_level for p in self._ext1_pins]
            if any(at_level) if self._ext1_level or self._data.ext1_low_is_any else all(at_level):
                return EXT1_WAKE
        if any(level(p) == self._gpio_level for p in self._gpio_pins):
            return GPIO_WAKE
        return 0

    def touched(self) -> None:
        """The world touches a touch pad: ends a sleep that waits for it."""
        if self._wake is not None and self._touch:
            self._wake.finish(TOUCHPAD_WAKE)

    # --- sleep --------------------------------------------------------------------------------------

    def _deepsleep(self, ms: int, b: int, c: int, d: int, data: bytes | None) -> Awaitable[None]:
        if self._gpio_pins:
            if not self._data.gpio_wake:
                raise ValueError("DEEPSLEEP with gpio pins not supported on this chip")
            if self._gpio_pins - self._data.wake_pins:
                raise ValueError("wake-up pin not supported")
        loop = asyncio.get_running_loop()
        asked = ms if ms >= 0 else None
        self.asleep = True
        self.stopped_at = loop.time()
        self._wdt_stop()
        pins = self._gpio_pins | self._ext1_pins | ({self._ext0_pin} if self._ext0_pin >= 0 else set())
        self._chip.enter_deep_sleep(pins)
        for pin in self._gpio_pins:  # this wake source turns on the opposite pull by itself
            self._pins.set_pull(pin, PULL_DOWN if self._gpio_level else PULL_UP)
        self._wake = _Wake(self._pins, lambda: self._active(DEEP), self._deep_wake)
        if asked is not None:
            self._wake.after(asked / 1000)
        elif not pins and not self._touch:
            self.slept_forever += 1
        self._chip.tell_sleep(asked)
        self._wake.look_soon()
        if self.in_process:
            raise ChipStopped("deepsleep", asked)
        return _never()

    def _deep_wake(self, reason: int) -> None:
        self._wake = None
        self._chip.reset("deepsleep")
        self.wake_reason = reason
        self._chip.tell_wake(reason)

    async def _lightsleep(self, ms: int, b: int, c: int, d: int, data: bytes | None) -> None:
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[int] = loop.create_future()
        self.light_sleeps += 1
        self._chip.tell_light_sleep()
        self._wdt_stop()
        self.light = True
        self._chip.tell_change()

        def wake_up(reason: int) -> None:
            if not woken.done():  # else the power went, and with it who waits
                woken.set_result(reason)

        self._wake = wake = _Wake(self._pins, lambda: self._active(LIGHT), wake_up)
        if ms >= 0:
            wake.after(ms / 1000)
        wake.look_soon()
        try:
            self.wake_reason = await woken
        finally:
            wake.cancel()
            if self._wake is wake:
                self._wake = None
            if self.light:
                self.light = False
                self._chip.tell_change()
            self._wdt_start()
