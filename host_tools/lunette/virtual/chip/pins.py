"""Digital pins: what the program drives, what the world does to them, and what comes of it.

Modelled: modes, pulls, open drain, input-only pins, edges and their interrupts, pad hold, PWM as a
duty (where it comes from: `pwm.py`), addressable LEDs, an external driver and an external resistor per pin.
Not modelled: rise times, drive strength, a floating input's noise (it reads 0), PWM edges.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from lunette.chips import ChipData
from lunette.virtual.chip.bus import Bus
from lunette.virtual.hal import _ops as ops

IN, OUT, OPEN_DRAIN = 1, 3, 7
PULL_DOWN, PULL_UP = 1, 2
RISING, FALLING = 1, 2
_OUTPUT_BIT = 2
_OPEN_DRAIN_BIT = 4

Watcher = Callable[[int, int, float], None]

# Parts of the bounce time at which a bouncing contact changes; it starts closed and ends closed.
_BOUNCE = (0.12, 0.2, 0.37, 0.45, 0.62, 0.75)


@dataclass(frozen=True)
class _Drive:
    """What a pad is told to do; frozen as a whole by pad hold."""

    mode: int = 0
    out: int = 0
    pull: int = 0
    pwm: tuple[int, float] | None = None  # frequency, part of the time that it is high


_NOTHING = _Drive()


@dataclass
class _Pad:
    live: _Drive = _NOTHING
    held: _Drive | None = None
    trigger: int = 0
    outside: int | None = None
    resistor: int | None = None
    level: int = 0
    duty: float = 0.0

    @property
    def effective(self) -> _Drive:
        return self.held if self.held is not None else self.live


@dataclass(frozen=True)
class Conflict:
    """Two drivers disagreed: on the bench, a short circuit."""

    time: float
    pin: int
    driven: int  # what the chip drives; the outside drives the opposite


def _time() -> float:
    try:
        return asyncio.get_running_loop().time()
    except RuntimeError:
        return 0.0


class Pins:
    def __init__(self, data: ChipData, bus: Bus, reserved: Iterable[int] = ()):
        self._data = data
        self._bus = bus
        self._pads = {n: _Pad() for n in sorted(data.gpio - frozenset(reserved))}
        self._watchers: list[Watcher] = []
        self._bounces: dict[int, list[asyncio.TimerHandle]] = {}
        self.conflicts: deque[Conflict] = deque(maxlen=1000)
        self.neopixels: dict[int, list[tuple[int, int, int]]] = {}  # pin -> (red, green, blue) each
        self.hold_in_deep_sleep = False
        bus.register(
            {
                ops.PIN_INIT: self._init,
                ops.PIN_GET: lambda a, b, c, d, data: self._read(a),
                ops.PIN_SET: lambda a, b, c, d, data: self._change(a, out=1 if b else 0),
                ops.PIN_OUT: lambda a, b, c, d, data: self._pad(a).live.out,
                ops.PIN_IRQ: self._irq,
                ops.PIN_HOLD: self._hold,
                ops.GPIO_HOLD: self._gpio_hold,
                ops.NEOPIXEL: self._neopixel,
            }
        )

    # --- what the outside sees and does ---------------------------------------------------------

    def level(self, n: int) -> int:
        """The level at pin `n`, 0 or 1, as a probe sees it."""
        return self._pad(n).level

    def duty(self, n: int) -> float:
        """How much of the time pin `n` is high, 0..1: the brightness of an LED to ground."""
        return self._pad(n).duty

    def mode(self, n: int) -> int:
        """0 (disabled), IN, OUT or OPEN_DRAIN."""
        return self._pad(n).effective.mode

    def drive(self, n: int, level: int | None) -> None:
        """Have the outside drive pin `n` to `level`; None lets go."""
        self._pad(n).outside = level
        self._settle(n)

    def resistor(self, n: int, level: int | None) -> None:
        """Fit an external pull to `level` at pin `n`, weaker than any driver; None removes it."""
        self._pad(n).resistor = level
        self._settle(n)

    def press(self, n: int, active_low: bool = True, bounce_ms: float = 0.0) -> None:
        """Close a button between pin `n` and ground (or supply), bouncing for `bounce_ms`."""
        self._bounce(n, 0 if active_low else 1, None, bounce_ms)

    def release(self, n: int, active_low: bool = True, bounce_ms: float = 0.0) -> None:
        """Open the button at pin `n`: what its level is now is up to the pulls."""
        self._bounce(n, None, 0 if active_low else 1, bounce_ms)

    def watch(self, callback: Watcher) -> Callable[[], None]:
        """Call ``callback(pin, level, time)`` when a level or a duty changes; returns what stops that."""
        self._watchers.append(callback)
        return lambda: self._watchers.remove(callback) if callback in self._watchers else None

    # --- resets -----------------------------------------------------------------------------------

    def reset(self, cause: str, keep_pulls: Iterable[int] = ()) -> None:
        """What a reset does to pins.

        A soft reset only removes handlers and PWM: levels stay, as on the chip. All others disconnect
        every pin that is not held; holds end with power, and in deep sleep those of pins without
        RTC function end too unless `esp32.gpio_deep_sleep_hold(True)`. `keep_pulls`: wake pins.
        """
        keep = set(keep_pulls)
        for n, pad in self._pads.items():
            if pad.live is _NOTHING and pad.held is None:  # most of them, at each of many wake-ups
                pad.trigger = 0
                continue
            pad.trigger = 0
            if cause == "soft":
                if pad.live.pwm is not None:
                    pad.live = replace(pad.live, pwm=None, out=0)
            else:
                pad.live = _Drive(pull=pad.live.pull) if n in keep else _NOTHING
                lost = cause == "deepsleep" and n not in self._data.wake_pins and not self.hold_in_deep_sleep
                if cause == "power_on" or lost:
                    pad.held = None
            self._settle(n)
        if cause == "power_on":
            self.hold_in_deep_sleep = False
        if cause not in ("soft", "deepsleep"):
            self.neopixels.clear()

    def set_pull(self, n: int, pull: int) -> None:
        """Set the internal pull of pin `n` (the sleep logic does, for wake pins)."""
        pad = self._pad(n)
        pad.live = replace(pad.live, pull=pull)
        self._settle(n)

    def pulse(self, n: int, hz: int, duty: float) -> None:
        """Connect pin `n` to a channel of PWM, until it is initialised as something else."""
        pad = self._pad(n)
        pad.live = replace(pad.live, mode=OUT, pwm=(hz, duty))
        self._settle(n)

    def pulsed(self, n: int) -> bool:
        """Pin `n` is connected to PWM."""
        return self._pad(n).live.pwm is not None

    # --- requests ---------------------------------------------------------------------------------

    def check(self, n: int, output: bool = False) -> None:
        """Raise ValueError if there is no pin `n`, or it cannot be an output."""
        self._pad(n)
        if output and n in self._data.input_only:
            raise ValueError("pin can only be input")

    def _pad(self, n: int) -> _Pad:
        try:
            return self._pads[n]
        except KeyError:
            raise ValueError("invalid pin") from None

    def _init(self, n: int, mode: int, pull: int, value: int, data: bytes | None) -> None:
        pad = self._pad(n)
        live = pad.live
        if (
            live.pwm is None
            and mode in (-1, live.mode)
            and pull in (-1, live.pull)
            and value in (-1, live.out)
        ):
            return
        # As the driver: the level is set before the mode is looked at, and stays if that is refused.
        if value >= 0:
            live = replace(live, out=1 if value else 0)
        if mode >= 0:
            if mode & _OUTPUT_BIT and n in self._data.input_only:
                pad.live = live
                raise ValueError("pin can only be input")
            live = replace(live, mode=mode, pwm=None)
        if pull >= 0 and n not in self._data.input_only:  # those have no pulls: silently nothing
            live = replace(live, pull=pull)
        pad.live = live
        self._settle(n)

    def _read(self, n: int) -> int:
        pad = self._pad(n)
        return pad.level if pad.effective.mode else 0  # a pad without a mode has its input off

    def _change(self, n: int, out: int) -> None:
        pad = self._pad(n)
        if pad.live.out != out:
            pad.live = replace(pad.live, out=out)
            self._settle(n)

    def _irq(self, n: int, trigger: int, c: int, d: int, data: bytes | None) -> None:
        self._pad(n).trigger = trigger

    def _hold(self, n: int, hold: int, c: int, d: int, data: bytes | None) -> None:
        pad = self._pad(n)
        if n in self._data.input_only:
            return
        pad.held = None
        self._settle(n)
        if hold:
            pad.held = pad.live

    def _gpio_hold(self, on: int, b: int, c: int, d: int, data: bytes | None) -> None:
        self.hold_in_deep_sleep = bool(on)

    def _neopixel(self, n: int, b: int, c: int, d: int, data: bytes | None) -> None:
        self.check(n, output=True)
        if not self._pad(n).live.mode & _OUTPUT_BIT:
            return  # bits clocked into a pin that is no output reach no LED
        raw = data or b""
        step = b or 3
        self.neopixels[n] = [(raw[i + 1], raw[i], raw[i + 2]) for i in range(0, len(raw) - step + 1, step)]
        self._tell(n)

    # --- electricity ------------------------------------------------------------------------------

    def _settle(self, n: int) -> None:
        pad = self._pads[n]
        d = pad.effective
        old, old_duty = pad.level, pad.duty
        driven = self._driven(d)
        if driven is not None:
            if pad.outside is not None and pad.outside != driven and d.pwm is None:
                self.conflicts.append(Conflict(_time(), n, driven))
            pad.level = driven
        elif pad.outside is not None:
            pad.level = pad.outside
        elif pad.resistor is not None:
            pad.level = pad.resistor
        else:
            pad.level = 1 if d.pull & PULL_UP else 0
        pad.duty = d.pwm[1] if d.pwm is not None else float(pad.level)
        if pad.level != old:
            edge = RISING if pad.level else FALLING
            if pad.trigger & edge and d.mode:
                self._bus.interrupt(ops.SRC_PIN, n, edge)
        if (pad.level, pad.duty) != (old, old_duty):
            self._tell(n)

    @staticmethod
    def _driven(d: _Drive) -> int | None:
        if d.pwm is not None:
            return 1 if d.pwm[1] >= 0.5 else 0
        if not d.mode & _OUTPUT_BIT:
            return None
        if d.mode & _OPEN_DRAIN_BIT and d.out:
            return None
        return d.out

    def _tell(self, n: int) -> None:
        now = _time()
        for watcher in list(self._watchers):
            watcher(n, self._pads[n].level, now)

    def _bounce(self, n: int, final: int | None, other: int | None, bounce_ms: float) -> None:
        for handle in self._bounces.pop(n, ()):
            handle.cancel()
        self.drive(n, final)
        if bounce_ms <= 0:
            return
        loop = asyncio.get_running_loop()
        self._bounces[n] = [
            loop.call_later(part * bounce_ms / 1000, self.drive, n, final if i % 2 else other)
            for i, part in enumerate(_BOUNCE)
        ]
