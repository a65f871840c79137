"""What all microphones have in common: frames of 20 ms out of the I2S driver, and what it has lost.

Two buffers of one frame each are queued with the driver: while one is coded the other fills, and the DMA
ring (`ibuf`) covers a program that is late. The driver drops the oldest silently when the ring overflows:
how much, the clock tells.
"""

import time

from machine import I2S, Pin

from glasses.parts.capture import CapturePart

FRAME_SAMPLES = 320
FRAME_MS = 20
_FRAME_US = 20000
_DESCRIPTOR = 256  # samples: what one overrun loses
_DESCRIPTOR_US = 16000
_WINDOW = 8
_TOLERANCE_US = 12000
_POLL_MS = 4  # a quarter of the pieces in which the driver delivers
_LONGEST_MS = 32
_STALL_MS = 200
_STEP_DB = 6
_MOST_DB = 30


class Microphone(CapturePart):
    """`port` I2S port, `pins` (sck, ws, sd) numbers, `ibuf` bytes of DMA ring, `raw` bytes of a frame as the
    driver gives it, in `bits` and `form` of machine.I2S. `channels` is how many microphones there are.

    The board's `gain` and the attribute `gain_db` add up, in steps of 6 dB, to 0 at least and 30 at most;
    they count from the next start on. `saturated` is how many samples of this capture were too loud.
    """

    rate = 16000
    frame_ms = FRAME_MS
    channels = 1

    def __init__(self, light, port, pins, ibuf, raw, bits, form, gain):
        CapturePart.__init__(self, light)
        self.gain_db = 0
        self.saturated = 0
        self._board_db = gain
        self._up = 0  # bits
        self._saturated = 0  # in the captures before
        self._port = port
        self._pins = pins
        self._ibuf = ibuf
        self._bits = bits
        self._form = form
        self._i2s = None
        self.buffers = (bytearray(raw), bytearray(raw))
        self._asked = 0  # buffers that the driver was given,
        self._done = 0  # has filled,
        self._taken = 0
        self._last_us = 0
        self._moved_us = 0
        self._due_us = 0  # when the last filled buffer's last sample was to be there
        self._base_us = 0  # how much later it was, at best
        self._slack_us = 0
        self._worst_us = 0
        # One descriptor is always being filled.
        self._holds = ibuf // 2048 - 1
        self._seen = 0
        self._gap = 0
        self._gap_at = 0
        self._too_many = 0
        self.gap = 0  # samples that were lost just before the frame that was taken last
        self.started_ms = 0
        self.take_overruns = 0
        self.overruns = 0
        self.stalls = 0
        self.on_filled = None  # called in the interrupt, when a buffer was filled
        self._callback = self._on_filled  # a bound method is made once, not per interrupt

    def prepare(self):
        """Load what `read` needs. Not before a capture runs: what is loaded first delays the first word."""

    def read(self, index, channel, pcm):
        """The frame in buffer `index` as 320 samples (int16) in `pcm`. Allocates nothing."""
        raise NotImplementedError

    def reset(self):
        """A capture begins: forget the one before."""
        self._saturated += self.saturated
        self.saturated = 0
        self._up = min(max(self._board_db + self.gain_db, 0), _MOST_DB) // _STEP_DB

    # --- capture ------------------------------------------------------------------------------

    def _begin(self):
        self.take_overruns = 0
        self.started_ms = time.ticks_ms()
        self._due_us = time.ticks_us()
        self._base_us = 0
        self._gap = self._too_many = self.gap = 0
        self.reset()
        self._open()

    def _open(self):
        sck, ws, sd = self._pins
        self._asked = self._done = self._taken = 0
        self._last_us = self._moved_us = time.ticks_us()
        self._watch_anew()
        self._i2s = I2S(
            self._port,
            sck=Pin(sck),
            ws=Pin(ws),
            sd=Pin(sd),
            mode=I2S.RX,
            bits=self._bits,
            format=self._form,
            rate=self.rate,
            ibuf=self._ibuf,
        )
        self._i2s.irq(self._callback)
        self._ask(0)
        self._ask(1)

    def _finish(self):
        if self._i2s is not None:
            self._i2s.deinit()
            self._i2s = None

    def restart(self):
        """Queue the buffers anew after a lost completion. What was not captured meanwhile is the next
        frame's gap."""
        self.stalls += 1
        self._finish()
        self._gap += self._unfinished()
        self._gap_at = 0
        self._due_us = time.ticks_us()
        self._base_us = 0
        self._open()

    def _unfinished(self):
        # Milliseconds first: in microseconds times 16 a stall of a minute is no small integer.
        return max(0, time.ticks_diff(time.ticks_us(), self._due_us) // 1000) * (self.rate // 1000)

    def _ask(self, index):
        self._asked += 1
        self._i2s.readinto(self.buffers[index])

    def _on_filled(self, i2s):
        self._done += 1
        self._last_us = self._moved_us = time.ticks_us()
        self._due_us = time.ticks_add(self._due_us, _FRAME_US)
        if self.on_filled is not None:
            self.on_filled()

    # --- frames -------------------------------------------------------------------------------

    def due_ms(self):
        """Milliseconds until the next buffer should be there, 0 when it is late. The driver delivers in
        pieces of 16 ms: of four frames the first is there 12 ms after its end, the last one at once."""
        behind_us = (3 - self._done % 4) * (_DESCRIPTOR_US // 4)
        left = time.ticks_diff(time.ticks_add(self._due_us, _FRAME_US + behind_us), time.ticks_us())
        return left // 1000 + 1 if left > 0 else 0

    def ready(self):
        return self._done != self._taken

    def behind_ms(self):
        """How much later than at best the newest buffer is looked at: what waits in the driver's ring."""
        return (time.ticks_diff(time.ticks_us(), self._due_us) - self._base_us) // 1000

    def take(self):
        """Index of the oldest filled buffer; `give` it back when it was read. `gap` is what was lost before
        it."""
        index = self._taken & 1
        self.gap = 0
        if self._gap and self._taken >= self._gap_at:
            self.gap = self._gap
            self._gap = 0
        self._taken += 1
        if self._done == self._taken:
            self._check_overrun()
        return index

    def give(self, index):
        if self._asked == self._done:
            self._after_idling()
        self._moved_us = time.ticks_us()
        self._ask(index)

    def wait_ms(self):
        """How long to wait before the next look at `ready`."""
        return max(_POLL_MS, min(self.due_ms(), _LONGEST_MS))

    def stalled(self):
        """The driver should have filled a buffer long ago. To be believed the second time, a wait later: it
        may be the program that was late."""
        return not self.ready() and self.silent_ms() > _STALL_MS

    def silent_ms(self):
        """Milliseconds since the driver last filled a buffer or was given one: a program that was late
        itself must not blame the driver."""
        return time.ticks_diff(time.ticks_us(), self._moved_us) // 1000

    @property
    def gap_ahead(self):
        """Samples that are known to be lost, which the next frame is to tell."""
        return self._gap

    # --- what the driver has lost -------------------------------------------------------------

    def _after_idling(self):
        # The driver had no buffer to fill. Since then its ring fills: first the rest of the descriptor that
        # the last frame ended in, then whole ones, of which it keeps the newest.
        rest_us = (4 - self._done % 4) % 4 * (_DESCRIPTOR_US // 4)
        filling_us = time.ticks_diff(time.ticks_us(), self._due_us) - self._base_us - rest_us
        lost = filling_us // _DESCRIPTOR_US - self._holds
        if lost > 0:
            self._lose(lost, self._done)

    def _lose(self, descriptors, before):
        # One that was taken for lost before and was not is made up for.
        made_up = min(descriptors, self._too_many)
        self._too_many -= made_up
        self.take_overruns += descriptors - made_up
        self.overruns += descriptors - made_up
        self._gap += (descriptors - made_up) * _DESCRIPTOR
        self._gap_at = before
        self._due_us = time.ticks_add(self._due_us, descriptors * _DESCRIPTOR_US)
        self._watch_anew()

    def _watch_anew(self):
        self._seen = 0
        self._slack_us = 1 << 29
        self._worst_us = 0

    def _check_overrun(self):
        # Caught up: the newest buffer ends at most a scheduling delay ago. The least delay of a few buffers
        # is the truth: more than before, by most of a descriptor, was never delivered.
        late = time.ticks_diff(self._last_us, self._due_us)
        if late < self._slack_us:
            self._slack_us = late
        if late > self._worst_us:
            self._worst_us = late
        self._seen += 1
        if self._seen < _WINDOW:
            return
        moved = self._slack_us - self._base_us
        # A busy program is late without a loss, as long as the ring could hold what came.
        if moved >= _TOLERANCE_US and self._worst_us >= self._holds * _DESCRIPTOR_US:
            self._lose((moved + _DESCRIPTOR_US // 2) // _DESCRIPTOR_US, self._taken)
        elif moved <= -_TOLERANCE_US and self.take_overruns:
            back = (_DESCRIPTOR_US // 2 - moved) // _DESCRIPTOR_US
            self._too_many += back
            self._due_us = time.ticks_add(self._due_us, -back * _DESCRIPTOR_US)
        elif moved < 0:
            self._base_us = self._slack_us
        elif moved < _TOLERANCE_US:
            self._base_us += moved >> 4  # clocks drift; a program that is late for a while does not count
        self._watch_anew()

    def counters(self):
        return {
            "mic.starts": self.starts,
            "mic.overruns": self.overruns,
            "mic.stalls": self.stalls,
            "mic.saturated": self._saturated + self.saturated,
        }
