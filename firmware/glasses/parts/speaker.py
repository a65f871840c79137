"""A speaker behind an I2S amplifier (MAX98357A and the like), for short tones.

The port's clocks run from `play` to `stop`: such amplifiers are silent without them. What is to be heard is
made once; the driver's own task takes it from there, so a program that is late makes no gap.
"""

import math
import time
from array import array

from machine import I2S, Pin

RATE = 16000
# A piece of the driver's ring is 256 samples. What is written may have to wait for the whole ring to pass.
_RING_PIECES = 4
_PIECE_MS = 16
_FADE = 96  # samples, at least: 6 ms


def _on_written(i2s):
    """An irq makes `write` return at once."""


def _note(hz, ms, peak):
    """The samples of one note, as bytes: whole periods, so that it begins and ends at zero, with its edges
    faded by half a cosine. RATE is a multiple of `hz`, and what is no whole period goes; 0 Hz is a pause."""
    if not hz:
        return bytes(2 * RATE * ms // 1000)
    period = RATE // hz
    wave = array("h", [round(peak * math.sin(2 * math.pi * i / period)) for i in range(period)])
    fade = (_FADE + period - 1) // period * period
    rise = array("h", wave)
    for _ in range(fade // period - 1):
        rise.extend(wave)
    fall = array("h", rise)
    for i in range(fade):
        share = (1 - math.cos(math.pi * i / fade)) / 2
        rise[i] = round(rise[i] * share)
        fall[-1 - i] = round(fall[-1 - i] * share)
    body = RATE * ms // 1000 - 2 * fade
    return bytes(rise) + bytes(wave) * (body // period) + bytes(fall)


class Speaker:
    """`port` I2S port, `sck`, `ws`, `sd` pin numbers; `level_db` of full scale at which tones play, -40 to 0;
    `enable` pin that wakes the amplifier when it is high, or None. Notes are pairs (Hz, ms), 0 Hz a pause."""

    def __init__(self, port, sck, ws, sd, level_db=-20, enable=None):
        self._port = port
        self._pins = (sck, ws, sd)
        self._peak = round(32767 * 10 ** (level_db / 20))
        self._enable = None if enable is None else Pin(enable, Pin.OUT, value=0)
        self._i2s = None
        self._made = {}  # notes: their samples, which the driver reads while they play
        self._began = 0
        self._ends = 0
        self._on_ms = 0

    def prepare(self, notes):
        """Make the samples of `notes` now, some 10 ms of computing each, rather than when they are played."""
        if notes not in self._made:
            self._made[notes] = b"".join([_note(hz, ms, self._peak) for hz, ms in notes])

    def play(self, notes):
        """Begin `notes`, and return. Raises OSError if the port is not to be had."""
        self.prepare(notes)
        self.stop()
        sck, ws, sd = self._pins
        self._i2s = i2s = I2S(
            self._port,
            sck=Pin(sck),
            ws=Pin(ws),
            sd=Pin(sd),
            mode=I2S.TX,
            bits=16,
            format=I2S.MONO,
            rate=RATE,
            ibuf=2 * 256 * _RING_PIECES,
        )
        if self._enable is not None:
            self._enable.value(1)
        i2s.irq(_on_written)
        samples = self._made[notes]
        i2s.write(samples)
        self._began = time.ticks_ms()
        # After the last sample the driver plays silence.
        self._ends = time.ticks_add(
            self._began, (_RING_PIECES + 1) * _PIECE_MS + len(samples) // (2 * RATE // 1000)
        )

    def step(self):
        """Milliseconds until it has played, 0 when it has."""
        return 0 if self._i2s is None else max(0, time.ticks_diff(self._ends, time.ticks_ms()))

    def stop(self):
        """Silence, at once. Harmless when nothing plays."""
        if self._i2s is None:
            return
        i2s, self._i2s = self._i2s, None
        if self._enable is not None:
            self._enable.value(0)
        i2s.deinit()
        self._on_ms += time.ticks_diff(time.ticks_ms(), self._began)

    def on_ms(self):
        """How long its clocks have run since the start, up to the last `stop`."""
        return self._on_ms
