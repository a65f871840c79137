"""A microphone with an I2S output (INMP441, ICS-43434, SPH0645 and the like), 16 kHz mono.

Two buffers of one 20 ms frame each are queued with the driver: while one is coded the other
fills, and the DMA ring (`ibuf`) covers a program that is late. The driver drops silently when the
ring overflows, so delivery is checked against the clock.
"""

import time

from machine import I2S, Pin

from glasses.parts.capture import CapturePart

FRAME_SAMPLES = 320
FRAME_MS = 20
_DESCRIPTOR_US = 16000  # 256 frames of 16 kHz: what one overrun loses
_WINDOW = 8


class I2SMicrophone(CapturePart):
    """`port` I2S port, `sck`, `ws`, `sd` pin numbers, `ibuf` bytes of DMA ring."""

    rate = 16000
    frame_ms = FRAME_MS

    def __init__(self, light, port, sck, ws, sd, ibuf=32768):
        CapturePart.__init__(self, light)
        self._port = port
        self._pins = (sck, ws, sd)
        self._ibuf = ibuf
        self._i2s = None
        self.buffers = (bytearray(2 * FRAME_SAMPLES), bytearray(2 * FRAME_SAMPLES))
        self._done = 0  # buffers that the driver has filled
        self._taken = 0
        self._last_us = 0
        self._moved_us = 0
        self._due_us = 0
        self._slack_us = 0
        self._worst_us = 0
        # One descriptor is always being filled; another is margin.
        self._ring_us = (ibuf // 2048 - 2) * _DESCRIPTOR_US
        self._seen = 0
        self.started_ms = 0
        self.take_overruns = 0
        self.overruns = 0
        self.stalls = 0
        self.on_filled = None  # called in the interrupt, when a buffer was filled
        self._callback = self._on_filled  # a bound method is made once, not per interrupt

    def _begin(self):
        sck, ws, sd = self._pins
        self._done = self._taken = 0
        self.take_overruns = 0
        self.started_ms = time.ticks_ms()
        self._due_us = self._last_us = self._moved_us = time.ticks_us()
        self._slack_us = 1 << 29
        self._worst_us = 0
        self._seen = 0
        self._i2s = I2S(
            self._port,
            sck=Pin(sck),
            ws=Pin(ws),
            sd=Pin(sd),
            mode=I2S.RX,
            bits=16,
            format=I2S.MONO,
            rate=self.rate,
            ibuf=self._ibuf,
        )
        self._i2s.irq(self._callback)
        self._i2s.readinto(self.buffers[0])
        self._i2s.readinto(self.buffers[1])

    def _finish(self):
        if self._i2s is not None:
            self._i2s.deinit()
            self._i2s = None

    def restart(self):
        """Queue the buffers anew after a lost completion; what was captured meanwhile is lost."""
        self.stalls += 1
        overruns = self.take_overruns
        self._finish()
        self._begin()
        self.take_overruns = overruns

    def _on_filled(self, i2s):
        self._done += 1
        self._last_us = self._moved_us = time.ticks_us()
        self._due_us = time.ticks_add(self._due_us, FRAME_MS * 1000)
        if self.on_filled is not None:
            self.on_filled()

    def due_ms(self):
        """Milliseconds until the next buffer should be there, 0 when it is late. The driver delivers in
        pieces of 16 ms: of four frames the first is there 12 ms after its end, the last one at once."""
        behind_us = (3 - self._done % 4) * (_DESCRIPTOR_US // 4)
        left = time.ticks_diff(time.ticks_add(self._due_us, FRAME_MS * 1000 + behind_us), time.ticks_us())
        return left // 1000 + 1 if left > 0 else 0

    def ready(self):
        return self._done != self._taken

    def take(self):
        """Index of the oldest filled buffer; `give` it back when it is coded."""
        index = self._taken & 1
        self._taken += 1
        if self._done == self._taken:
            self._check_overrun()
        return index

    def give(self, index):
        self._moved_us = time.ticks_us()
        self._i2s.readinto(self.buffers[index])

    def silent_ms(self):
        """Milliseconds since the driver last filled a buffer or was given one: a program that was late
        itself must not blame the driver."""
        return time.ticks_diff(time.ticks_us(), self._moved_us) // 1000

    def _check_overrun(self):
        # Caught up: the newest buffer ends at most a scheduling delay ago. The least delay of a
        # few buffers is the truth; more than a descriptor of it was never delivered.
        late = time.ticks_diff(self._last_us, self._due_us)
        if late < self._slack_us:
            self._slack_us = late
        if late > self._worst_us:
            self._worst_us = late
        self._seen += 1
        if self._seen >= _WINDOW:
            missed = (self._slack_us + 4000) // _DESCRIPTOR_US
            # A busy program is late without a loss, as long as the ring could hold what came.
            if missed > self.take_overruns and self._worst_us >= self._ring_us:
                self.overruns += missed - self.take_overruns
                self.take_overruns = missed
            self._seen = 0
            self._slack_us = 1 << 29

    def counters(self):
        return {"mic.starts": self.starts, "mic.overruns": self.overruns, "mic.stalls": self.stalls}
