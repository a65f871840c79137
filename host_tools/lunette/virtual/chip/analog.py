"""The analogue-to-digital converter.

Modelled: which pins have one, the range of each attenuation (an input above it reads full scale),
12-bit quantisation, calibrated microvolts in steps of a millivolt; on demand deterministic noise, single
wrong readings, readings that fail, and the error that calibration leaves.
Not modelled: non-linearity near the ends, ADC2 being taken by Wi-Fi (set `failing`), load of the source.
"""

from __future__ import annotations

import errno

from lunette.chips import ChipData
from lunette.virtual.chip.bus import Bus
from lunette.virtual.hal import _ops as ops

_TOP = 4095


class Analog:
    """`volts[pin]` is the voltage at a pin (0 where nothing is set)."""

    def __init__(self, data: ChipData, bus: Bus):
        self._data = data
        self.volts: dict[int, float] = {}
        self.noise_lsb = 0  # peak of the noise, in 12-bit steps
        self.error_mv = 0  # of calibrated readings; an S3 may have +-50 at 11 dB (datasheet, ADC calibration)
        self.spikes: list[
            float
        ] = []  # volts that the next readings see instead, such as a burst of the radio
        self.failing = 0  # so many readings end with OSError(ETIMEDOUT), as if the converter were taken
        self._attenuation: dict[int, int] = {}
        self._lcg = 1
        bus.register({ops.ADC_INIT: self._init, ops.ADC_READ: self._read})

    def reset(self) -> None:
        self._attenuation.clear()

    def _init(self, pin: int, attenuation: int, c: int, d: int, data: bytes | None) -> None:
        if pin not in self._data.adc:
            raise ValueError("invalid pin")
        if attenuation < 0:  # ADC(pin) without one keeps what is set
            self._attenuation.setdefault(pin, 0)
            return
        if attenuation > 3:
            raise ValueError("invalid atten")
        self._attenuation[pin] = attenuation

    def _read(self, pin: int, what: int, c: int, d: int, data: bytes | None) -> int:
        if self.failing:
            self.failing -= 1
            raise OSError(errno.ETIMEDOUT)
        volts = self.spikes.pop(0) if self.spikes else self.volts.get(pin, 0.0)
        top_mv = self._data.adc_top_mv[self._attenuation.get(pin, 0)]
        raw = round(volts * 1000 / top_mv * _TOP) + self._noise()
        raw = max(0, min(_TOP, raw))
        if what == 0:
            return raw
        if what == 1:
            return raw << 4 | raw >> 8
        return max(0, round(raw * top_mv / _TOP) + self.error_mv) * 1000

    def _noise(self) -> int:
        if not self.noise_lsb:
            return 0
        self._lcg = (self._lcg * 1103515245 + 12345) & 0x7FFFFFFF
        return (self._lcg >> 16) % (2 * self.noise_lsb + 1) - self.noise_lsb
