"""What microphones put on the data line of an I2S port.

The port clocks 64 bits a frame, 32 while WS is low (left) and 32 while it is high (right), whatever format
the program asked for: that is picked out of them (`i2s.py`). A line that no microphone drives is pulled down
and reads 0.

Modelled: I2S microphones of 24 bits in 32 (INMP441, ICS-43434), one or two on a line, each in its half of
the frame with 8 bits of 0 after the sample; PDM microphones, whose bits come with every clock and do not
care for WS; the range of the clock, outside of which they sleep and send 0; noise of their own; faults; the
wires: a port whose pins are others hears nothing.
Not modelled: what they send in the first milliseconds of the clock, frequency response, distortion, the
second microphone on the other edge of a PDM clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lunette.virtual.chip.sound import Sound

if TYPE_CHECKING:
    from lunette.virtual.chip.i2s import Session

Slots = NDArray[np.int32]  # (frames, 2): the bits of the left and the right half of each frame

BITS = 24
SLOT_BITS = 32
FRAME_CLOCKS = 2 * SLOT_BITS
INMP441_NOISE_DBFS = -87.0
"""Datasheet: 61 dBA of signal to noise at 94 dB SPL, which is -26 dBFS."""

_I2S_CLOCK = (460e3, 3.379e6)  # datasheet: ICS-43434; the INMP441 begins at 500 kHz
_PDM_CLOCK = (1.0e6, 3.25e6)  # datasheets: MSM261D3526H1CPM, SPM1423
_NOISE_PERIOD = 1 << 17
_FULL = float(1 << (BITS - 1))
SIDES = ("left", "right")
FAULTS = ("none", "dead", "stuck")


@dataclass
class Fault:
    """`kind` "dead": the line stays 0. "stuck": it always sends `value` (24 bits, signed), or what it hears
    with `bit` (0..23) always 1. A PDM microphone that is stuck sends nothing but 1."""

    kind: str
    value: int = 1 << 22
    bit: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in FAULTS:
            raise ValueError(f"unknown fault {self.kind!r}: {', '.join(FAULTS)}")
        if not -(1 << 23) <= self.value < 1 << 23:
            raise ValueError(f"value {self.value} has more than {BITS} bits")
        if self.bit is not None and not 0 <= self.bit < BITS:
            raise ValueError(f"bit {self.bit} is not in 0..{BITS - 1}")


class Capsule:
    """One microphone: `ear` is its number in the board's geometry. `fault` and `noise_dbfs` (of its own,
    white, RMS from 0 to 8 kHz; None: none at all) may change at any time: that counts from the
    transfer on that is under way then."""

    def __init__(self, sound: Sound, ear: int):
        self.sound = sound
        self.ear = ear
        self.fault: Fault | None = None
        self.noise_dbfs: float | None = None
        self._noise: NDArray[np.float64] | None = None

    def break_(self, fault: str, value: int | None = None, bit: int | None = None) -> None:
        """From now on it is "dead", "stuck" or, with "none", whole. Raises ValueError."""
        options = {} if value is None else {"value": value}
        broken = Fault(fault, bit=bit, **options)
        self.fault = None if fault == "none" else broken

    def hear(self, start: int, n: int) -> NDArray[np.int32]:
        """Samples of the sound from `start` on as this microphone hears them, 24 bits."""
        heard = self.sound.render24(start, n, self.ear)
        if self.noise_dbfs is None:
            return heard
        if self._noise is None:
            self._noise = np.random.default_rng((0x5EED, self.ear)).standard_normal(_NOISE_PERIOD)
        own = self._noise[np.arange(start, start + n) % _NOISE_PERIOD]
        loud = heard + np.rint(own * (_FULL * 10.0 ** (self.noise_dbfs / 20.0)))
        return np.clip(loud, -_FULL, _FULL - 1).astype(np.int32)

    def hear_at(self, session: Session, frame: int, n: int) -> NDArray[np.int32]:
        """The same for frames of a session, whose rate need not be the sound's: by linear interpolation."""
        if session.rate == self.sound.rate:
            return self.hear(session.first_sample + frame, n)
        at = (frame + np.arange(n)) * (self.sound.rate / session.rate)
        base = int(np.floor(at[0]))
        samples = self.hear(session.first_sample + base, int(at[-1]) - base + 2)
        return np.rint(np.interp(at - base, np.arange(len(samples)), samples)).astype(np.int32)


class Line(Protocol):
    """A data line with what is connected to it."""

    def wired(self, sck: int, ws: int, sd: int) -> bool:
        """Is this the line of a port on these pins?"""

    def capsule(self, side: str) -> Capsule:
        """The microphone on that side. Raises ValueError if there is none."""

    def slots(self, session: Session, frame: int, n: int) -> Slots:
        """What is on the line during `n` frames of a session that receives."""


def _clocked(session: Session, limits: tuple[float, float]) -> bool:
    return limits[0] <= session.rate * FRAME_CLOCKS <= limits[1]


class I2sLine:
    """One I2S microphone, or two that share the line. `pins` (sck, ws, sd) None: whichever the port has."""

    def __init__(self, sound: Sound, pins: tuple[int, int, int] | None = None, channels: int = 1):
        self._pins = pins
        self._all = [Capsule(sound, ear) for ear in range(channels)]
        self.sides: dict[str, Capsule] = dict(zip(SIDES, self._all, strict=False))
        self.driven = "left" if channels == 1 else "both"

    def drive(self, channel: str) -> None:
        """Have the first microphone, alone, drive the "left" or the "right" half, as its L/R pin says, or
        "both": it gets no WS."""
        if channel not in (*SIDES, "both"):
            raise ValueError(f"unknown channel {channel!r}: left, right or both")
        self.sides = {side: self._all[0] for side in SIDES if channel in (side, "both")}
        self.driven = channel

    def wired(self, sck: int, ws: int, sd: int) -> bool:
        return self._pins in (None, (sck, ws, sd))

    def capsule(self, side: str) -> Capsule:
        if side not in self.sides:
            raise ValueError(f"no microphone is on the {side} side (there is: {', '.join(self.sides)})")
        return self.sides[side]

    def slots(self, session: Session, frame: int, n: int) -> Slots:
        line = np.zeros((n, 2), np.int32)
        if not _clocked(session, _I2S_CLOCK):
            return line
        for k, side in enumerate(SIDES):
            capsule = self.sides.get(side)
            if capsule is not None:
                line[:, k] = self._sent(capsule, session, frame, n) << (SLOT_BITS - BITS)
        return line

    @staticmethod
    def _sent(capsule: Capsule, session: Session, frame: int, n: int) -> Any:
        fault = capsule.fault
        if fault is None:
            return capsule.hear_at(session, frame, n)
        if fault.kind == "dead":
            return np.int32(0)
        if fault.bit is None:
            return np.int32(fault.value)
        return capsule.hear_at(session, frame, n) | _signed(1 << fault.bit)


def _signed(bits: int) -> np.int32:
    """24 bits as a number."""
    return np.int32(bits - (1 << BITS) if bits >> (BITS - 1) else bits)


class PdmLine:
    """A PDM microphone: sck is its clock, sd its data, ws goes nowhere.

    With 32-bit stereo the 64 clocks of a frame are 64 consecutive bits, the first in time the highest of the
    left word; of other formats the program gets what they pick out of these, with holes. Full scale of the
    sound is all ones; beyond `CLIP` it is cut. The modulator goes on through what an overrun has lost.
    """

    def __init__(self, sound: Sound, clock: int | None = None, data: int | None = None):
        self._pins = (clock, data)
        self._capsule = Capsule(sound, 0)
        self._session: Session | None = None
        self._modulator = Modulator()
        self._next = 0  # the frame after those that were modulated
        self._kept: Slots = np.zeros((0, 2), np.int32)  # the last of them

    def wired(self, sck: int, ws: int, sd: int) -> bool:
        return self._pins in ((None, None), (sck, sd))

    def capsule(self, side: str) -> Capsule:
        if side != "left":
            raise ValueError(f"no microphone is on the {side} side: a PDM microphone is the left one")
        return self._capsule

    def slots(self, session: Session, frame: int, n: int) -> Slots:
        if not _clocked(session, _PDM_CLOCK):
            return np.zeros((n, 2), np.int32)
        fault = self._capsule.fault
        if fault is not None:
            return np.full((n, 2), 0 if fault.kind == "dead" else -1, np.int32)
        if (
            session is not self._session
            or not self._next - len(self._kept) <= frame <= self._next + session.rate
        ):
            # Another session, or so far away that nobody can tell.
            self._session, self._next = session, frame
            self._modulator = Modulator()
            self._kept = self._kept[:0]
        missing = frame + n - self._next
        if missing > 0:
            new = self._modulate(session, self._next, missing)
            self._kept = np.concatenate([self._kept, new])[-session.rate - n :]
            self._next += missing
        end = len(self._kept) - (self._next - frame - n)
        return self._kept[end - n : end]

    def _modulate(self, session: Session, frame: int, n: int) -> Slots:
        heard = self._capsule.hear_at(session, frame - _BEFORE, n + TAPS - 1)
        bits = self._modulator.run(upsample(heard))
        return (
            np.packbits(np.frombuffer(bits, np.uint8))
            .view(">u4")
            .astype(np.uint32)
            .view(np.int32)
            .reshape(n, 2)
        )


# --- sigma-delta ----------------------------------------------------------------------------------------

TAPS = 64
_BEFORE = TAPS // 2 - 1
CLIP = 0.84
"""The largest input of the modulator (-1.5 dBFS): beyond, its integrators would run away."""


_FINE = 1 << 22  # weights are whole multiples of 1 / this: then all sums are exact, in whatever order


def _polyphase() -> NDArray[np.float64]:
    """(TAPS, 64): weights of samples -31..32 for each of the 64 instants of a frame. A sinc under a Kaiser
    window: flat to 7.3 kHz, 80 dB down from 8.7 kHz on."""
    t = np.arange(FRAME_CLOCKS)[None, :] / FRAME_CLOCKS - (np.arange(TAPS) - _BEFORE)[:, None]
    window = np.i0(8.0 * np.sqrt(np.maximum(0.0, 1 - (t / (TAPS / 2)) ** 2)))
    weights = np.sinc(t) * window
    return np.asarray(np.rint(weights / weights.sum(axis=0) * _FINE))


_ROWS = 32  # at a time: of more, BLAS makes a job for several threads, which wait for each other in a loop
_WEIGHTS: list[NDArray[np.float64]] = []


def upsample(x: NDArray[np.int32]) -> NDArray[np.float64]:
    """64 values (-1..1) a sample (24 bits), of all but the first 31 and the last 32 samples of `x`. The same
    samples give the same values, bit for bit, in pieces too: the modulator would not forgive a rounding."""
    if not _WEIGHTS:
        _WEIGHTS.append(_polyphase())
    windows = np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), TAPS))
    values = np.empty((len(windows), FRAME_CLOCKS))
    for at in range(0, len(windows), _ROWS):
        np.matmul(windows[at : at + _ROWS], _WEIGHTS[0], out=values[at : at + _ROWS])
    values *= 1 / (_FINE * _FULL)
    return values.reshape(-1)


class Modulator:
    """Sigma-delta, third order, one bit: 82 dB of signal to noise in 8 kHz at -6 dBFS and 1.024 MHz. (One of
    second order ends at 74 dB there, which is less than a decimator should be measured with.)

    Noise transfer by Butterworth poles at a gain of 1.3 far above the band, and a pair of zeros at 6.2 kHz.
    What comes in is fed forward to every integrator, so that it passes unfiltered and without delay.
    """

    def __init__(self) -> None:
        self._state = (0.0, 0.0, 0.0)

    def run(self, x: NDArray[np.float64]) -> bytearray:
        """A byte of 0 or 1 for each value of `x` (-1..1, cut at CLIP)."""
        a3, a2, a1, g = 0.5217953, 0.12751918, 0.014010959, 0.0014472
        a, b, c = self._state
        bits = bytearray()
        put = bits.append
        for u in np.clip(x, -CLIP, CLIP).tolist():
            if c + u >= 0.0:
                put(1)
                u -= 1.0
            else:
                put(0)
                u += 1.0
            last = c
            c += b + a3 * u
            b += a + a2 * u - g * last
            a += a1 * u
        self._state = (a, b, c) if abs(c) < 8.0 else (0.0, 0.0, 0.0)
        return bits


# --- boards ---------------------------------------------------------------------------------------------


def lines(parts: Mapping[str, Mapping[str, Any]] | None, sound: Sound) -> list[Line]:
    """The lines of a board; without one, an I2S microphone (left) on the pins of whichever port."""
    if parts is None:
        return [I2sLine(sound)]
    found: list[Line] = []
    for data in parts.values():
        if data.get("driver") == "i2s_microphone":
            pins = (int(data["sck"]), int(data["ws"]), int(data["sd"]))
            found.append(I2sLine(sound, pins, int(data.get("channels", 1))))
        elif data.get("driver") == "pdm_microphone":
            found.append(PdmLine(sound, int(data["clock"]), int(data["data"])))
    return found
