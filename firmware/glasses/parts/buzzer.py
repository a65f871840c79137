"""A passive piezo between a pin and ground, for short tones. One that beeps by itself has no pitch: it is no
part of this kind."""

import time

from machine import PWM, Pin

_FADE_MS = 12  # in steps, which are as short as the program can be relied on
_STEP_MS = 4
_HALF = 32768


class Buzzer:
    """`pin` number, `level` per cent of the loudest, which is half of each period high. Notes are as for
    `Speaker`; `step` moves from one to the next and has to be called when it says."""

    def __init__(self, pin, level=20):
        self._number = pin
        self._loud = _HALF * level // 100
        self._pwm = None
        self._notes = ()  # type: tuple
        self._hz = 0
        self._began = 0
        self._rest()

    def _rest(self):
        # PWM leaves its pin connected; a piezo with a constant voltage across it would wear out.
        Pin(self._number, Pin.OUT, value=0)

    def prepare(self, notes):
        """Nothing is to be made."""

    def play(self, notes):
        """Begin `notes`, and return. Raises OSError or RuntimeError if no channel is to be had."""
        self.stop()
        self._notes = notes
        self._began = time.ticks_ms()
        self._hz = notes[0][0]
        self._pwm = PWM(Pin(self._number), freq=self._hz, duty_u16=0)
        self.step()

    def step(self):
        """Sound as the notes have it now. Returns the milliseconds until it is to be called again, 0 when
        they are over."""
        if self._pwm is None:
            return 0
        at = time.ticks_diff(time.ticks_ms(), self._began)
        for hz, ms in self._notes:
            if at < ms:
                return self._sound(hz, at, ms)
            at -= ms
        self._pwm.duty_u16(0)
        return 0

    def _sound(self, hz, at, ms):
        if not hz:
            self._pwm.duty_u16(0)
            return ms - at
        if self._hz != hz:
            self._hz = hz
            self._pwm.duty_u16(0)
            self._pwm.freq(hz)
        # Steps up to the middle of the note and down again.
        edge = min(at, ms - at - 1) // _STEP_MS + 1
        steps = _FADE_MS // _STEP_MS
        self._pwm.duty_u16(self._loud * min(edge, steps) // steps)
        if edge < steps or ms - at <= _FADE_MS:
            return _STEP_MS - at % _STEP_MS
        return ms - at - _FADE_MS + _STEP_MS

    def stop(self):
        """Silence, at once, with the pin low. Harmless when nothing plays."""
        if self._pwm is None:
            return
        pwm, self._pwm = self._pwm, None
        pwm.deinit()
        self._rest()
