"""Voice: microphone to journal. Push-to-talk from the moment the finger is down.

Capture starts with the press, as a draft: until the press has become a hold nobody is shown it,
and a tap throws it away. So the first word is kept although a hold is only known 300 ms later.
"""

import asyncio
import gc
import time

from glasses.dsp import adpcm, pcm
from glasses.front_end import FrontEnd

CODEC = "dvi4"
_POLL_MS = 4  # a quarter of the pieces in which the driver delivers
_LONGEST_MS = 32
_STALL_MS = 200
_PROBE_EVERY = 8


class Voice:
    """`early`: an EarlyCapture that goes on as the first recording, or None. ``may_capture()`` gives "" or
    the reason why not, in words."""

    def __init__(
        self,
        microphone,
        journal,
        bus,
        power,
        log,
        kick,
        probe_heap=False,
        longest_s=600,
        early=None,
        may_capture=None,
    ):
        self._mic = microphone
        self._journal = journal
        self._bus = bus
        self._power = power
        self._log = log
        self._kick = kick
        self._codec = bytearray(4)
        self._flag = asyncio.ThreadSafeFlag()
        self._front = None if early is None else early.front
        self._recording = None
        self._began = 0  # ticks_ms of the recording's first sample
        self._stop_at = -1  # frames after which the recording ends
        self._keep = False
        self._longest_s = longest_s
        self._early = early
        self._may_capture = may_capture
        self.muted = False
        self.level = 0  # peak of the last frame, 0..32767
        self.frames = 0
        self.refused = 0
        self._probe = probe_heap
        self.probed_frames = 0
        self.probed_bytes = 0
        if microphone is not None:
            bus.now("press", self._on_press)
            bus.now("hold", self._on_hold)
            bus.now("ladder", self._on_release)  # not speech: the light is to show other things now
            bus.now("hold_end", self._on_hold_end)
            bus.now("release", self._on_release)
            bus.now("disconnected", self._on_disconnected)

    @property
    def capturing(self):
        return self._recording is not None

    # --- fingers ----------------------------------------------------------------------------

    def _on_press(self, name, t, value):
        if self._recording is not None and self._stop_at >= 0:
            self._finish()  # it waits for its last frame: rather lose that than a first word
        if self._recording is None and not self.muted:
            self.start("button", t, draft=True)

    def _on_hold(self, name, t, value):
        recording = self._recording
        if recording is None and not self.muted:
            # The microphone was busy finishing the recording before: begin here.
            recording = self.start("button", t, draft=True)
        if recording is not None and recording.draft:
            self._journal.publish(recording)
            self._log.info("voice", "recording %d" % recording.number)
            self._bus.emit("recording", t, recording.number)
            self._kick()

    def _on_hold_end(self, name, t, value):
        if self._recording is not None and self._recording.meta["cause"] == "button":
            self._end(keep=True, t=t)

    def _on_disconnected(self, name, t, value):
        # Who started it cannot stop it any more.
        if self._recording is not None and self._recording.meta["cause"] == "host":
            self.stop()

    def _on_release(self, name, t, value):
        # After a hold `hold_end` comes too; a draft that was only a tap ends here.
        if self._recording is not None and self._recording.draft:
            self._end(keep=False, t=t)

    # --- capture ----------------------------------------------------------------------------

    def start(self, cause, t, draft=False):
        """Switch the microphone on and open a recording; returns it, or None if the microphone
        is not to be had."""
        lent = self._mic is not None and self._mic.capturing and self._early is None
        if self._mic is None or self._recording is not None or lent:
            self.refused += 1
            return None
        early, self._early = self._early, None
        if self._front is None:
            self._front = FrontEnd(self._mic) if early is None else early.front
        why = self._may_capture() if self._may_capture is not None else ""
        if why:
            self._drop(early)
            self.refused += 1
            self._log.warning("voice", why)
            self._bus.emit("refused", time.ticks_ms(), why)
            return None
        try:
            if early is None:
                self._mic.start()
        except OSError as error:
            self.refused += 1
            self._log.error("voice", "the microphone does not start: %s" % error)
            return None
        adpcm.reset(self._codec)
        self._power.hold("active", "voice")
        self._stop_at = -1
        self._began = self._mic.started_ms
        self._recording = self._journal.open(
            "speech",
            {
                "codec": CODEC,
                "rate": self._mic.rate,
                "frame": adpcm.FRAME_SAMPLES,
                "cause": cause,
                "t": t,
                "take": self._mic.starts,
            },
            draft,
        )
        if early is not None:
            self._take_over(early)
        self._flag.set()
        return self._recording

    def drop_early(self):
        """What was heard before there was a runtime is not wanted: the microphone goes off."""
        early, self._early = self._early, None
        self._drop(early)

    def _drop(self, early):
        if early is not None:
            early.end()
            self._mic.stop()

    def _take_over(self, early):
        """What was heard before there was a runtime comes first."""
        early.end()
        self._codec[:] = early.codec
        size = early.frame_bytes
        for i in range(early.count):
            offset = self._journal.slot()
            if offset < 0:
                self._journal.lose(self._recording)
            else:
                pcm.copy(self._journal.data, offset, early.data, i * size, size)
                self._journal.append(self._recording, size)
        for _ in range(early.lost):
            self._journal.lose(self._recording)
        self.frames += early.count
        self._log.info("voice", "%d frames from before, %d lost" % (early.count, early.lost))

    def record(self, cause):
        """Begin a recording that is meant for the host from its first frame; `stop` ends it.
        Returns it, or None if the microphone is not to be had."""
        recording = self.start(cause, time.ticks_ms())
        if recording is not None:
            self._log.info("voice", "recording %d" % recording.number)
            self._bus.emit("recording", time.ticks_ms(), recording.number)
            self._kick()
        return recording

    def stop(self):
        """End the recording that is being made and keep it."""
        if self._recording is not None:
            if self._recording.draft:
                self._journal.publish(self._recording)
            self._end(keep=True, t=time.ticks_ms())

    def _end(self, keep, t):
        self._keep = keep
        if not keep:
            self._finish()
            return
        # The frame in which the finger was lifted is the last one.
        held = time.ticks_diff(t, self._began)
        self._stop_at = max(0, held + self._mic.frame_ms - 1) // self._mic.frame_ms
        if self._recording.count >= self._stop_at:
            self._finish()

    def _finish(self):
        recording = self._recording
        self._recording = None
        self._mic.stop()
        self._power.release("voice")
        if self._keep:
            end = {"lost": recording.lost, "overruns": self._mic.take_overruns}
            self._journal.close(recording, end)
            outcome = (recording.number, recording.count, recording.lost)
            self._log.info("voice", "recording %d: %d frames, %d lost" % outcome)
            self._bus.emit("recorded", time.ticks_ms(), recording.number)
        else:
            self._journal.discard(recording)
        self._kick()

    def step(self):
        """Code one frame into the journal. The hot path: allocates nothing."""
        front = self._front
        front.take()
        samples = front.pcm
        recording = self._recording
        journal = self._journal
        offset = journal.slot()
        if offset < 0:
            journal.lose(recording)
        else:
            size = adpcm.encode(samples, 0, journal.data, offset, adpcm.FRAME_SAMPLES, self._codec)
            journal.append(recording, size)
        self.level = pcm.peak(samples, adpcm.FRAME_SAMPLES)
        self.frames += 1
        if not recording.draft:
            self._kick()

    def _probed_step(self):
        before = gc.mem_alloc()
        self.step()
        used = gc.mem_alloc() - before
        if used > 0:
            self.probed_bytes += used
        self.probed_frames += 1

    def _too_long(self):
        return self._recording.count * self._mic.frame_ms >= self._longest_s * 1000

    def _silent(self):
        mic = self._mic
        return self._recording is not None and not mic.ready() and mic.silent_ms() > _STALL_MS

    def _restart(self):
        self._log.warning("voice", "the microphone stalled")
        # What was not captured counts as lost, so that the time of what follows stays true.
        recording = self._recording
        missed = time.ticks_diff(time.ticks_ms(), self._began) // self._mic.frame_ms - recording.count
        for _ in range(missed):
            self._journal.lose(recording)
        try:
            self._mic.restart()
        except OSError as error:
            self._log.error("voice", "the microphone does not start again: %s" % error)
            self._keep = not recording.draft
            self._finish()
            return
        if 0 <= self._stop_at <= recording.count:
            self._finish()

    async def run(self):
        """The task that follows the microphone while it is on."""
        while True:
            if self._recording is None:  # else this task was restarted in the middle
                await self._flag.wait()
            while self._recording is not None:
                if self._mic.ready():
                    if self._probe and self.frames % _PROBE_EVERY == 0:
                        self._probed_step()
                    else:
                        self.step()
                    if 0 <= self._stop_at <= self._recording.count:
                        self._finish()
                    elif self._stop_at < 0 and self._too_long():
                        self._log.warning("voice", "the recording is as long as they get: it ends here")
                        self.stop()
                else:
                    silent = self._silent()
                    # Not by a flag: waiting for one allocates. Most of a frame's time passes in one wait.
                    await asyncio.sleep_ms(max(_POLL_MS, min(self._mic.due_ms(), _LONGEST_MS)))
                    # Looked at twice: it may be this program that was late, and the driver was not.
                    if silent and self._silent():
                        self._restart()
            self.level = 0

    def counters(self):
        counts = {"voice.frames": self.frames, "voice.refused": self.refused}
        if self._mic is not None:
            counts.update(self._mic.counters())
        return counts
