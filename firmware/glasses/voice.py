"""Voice: microphone to journal. Push-to-talk from the moment the finger is down, and hands-free.

Capture starts with the press, as a draft: until the press has become a hold nobody is shown it,
and a tap throws it away. So the first word is kept although a hold is only known 300 ms later.
"""

import asyncio
import gc
import time

from glasses import hands_free
from glasses.coder import Coder
from glasses.dsp import pcm
from glasses.front_end import FrontEnd
from glasses.lead import Lead
from glasses.parts.microphone import FRAME_SAMPLES
from glasses.voiced import Voiced

# What making a recording's stages may raise. AttributeError: somebody at the prompt is just loading a module
# of theirs, and what runs behind the prompt finds half of it.
_NOT_READY = (MemoryError, ImportError, ValueError, AttributeError)
_GAP_BYTES = 3  # of a gap frame: how many samples were lost, little-endian
_LONGEST_GAP = 0xFFFFFF
_PROBE_EVERY = 8


class Voice:
    """`settings`: codec, cleaning and so on, looked at when a recording begins; `cleaning`: what "auto" means
    on this board. `early`: an EarlyCapture that goes on as the first recording, or None. ``may_capture()``
    gives "" or the reason why not, in words."""

    def __init__(
        self,
        microphone,
        journal,
        bus,
        power,
        log,
        kick,
        settings,
        cleaning="full",
        early=None,
        may_capture=None,
    ):
        self._mic = microphone
        self._journal = journal
        self._bus = bus
        self._power = power
        self._log = log
        self._kick = kick
        self._settings = settings
        self._auto = cleaning
        self._flag = asyncio.ThreadSafeFlag()
        self._front = None if early is None else early.front
        self._coder = None if early is None else early.coder
        self._recording = None
        self._began = 0  # ticks_ms of the recording's first sample
        self._samples = 0  # of the recording so far, lost ones too
        self._stop_at = -1  # samples after which the recording ends
        self._keep = False
        self._hands_free = None
        self._voiced = Voiced()
        self._lost_samples = 0
        self._overruns_before = 0
        self._saturated_before = 0
        self._early = early
        self._may_capture = may_capture
        self._muted = False
        self.listener = None  # that has the microphone while there is no recording, or None
        self.level = 0  # peak of the last frame, 0..32767
        self.frames = 0  # of 20 ms, since the start of the glasses
        self.refused = 0
        self._probe = settings.probe_heap
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

    @property
    def muted(self):
        """Presses do not record, and no wake word is listened for."""
        return self._muted

    @muted.setter
    def muted(self, muted):
        self._muted = muted
        if muted and self.listener is not None:
            self.listener.pause()

    # --- fingers ----------------------------------------------------------------------------

    def _on_press(self, name, t, value):
        if self._hands_free is not None:  # whoever takes to the button wants no more of that
            if self._waiting():
                self._give_up(None)
            else:
                self.stop()
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
            self._announce(recording, t)

    def _on_hold_end(self, name, t, value):
        if self._recording is not None and self._recording.meta["cause"] == "button":
            self._end(keep=True, t=t)

    def _on_disconnected(self, name, t, value):
        # Who started it cannot stop it any more.
        if self._recording is not None and self._recording.meta["cause"] == "host":
            self.stop()

    def _on_release(self, name, t, value):
        # After a hold `hold_end` comes too; a draft that was only a tap ends here.
        recording = self._recording
        if recording is not None and recording.draft and recording.meta["cause"] == "button":
            self._end(keep=False, t=t)

    # --- capture ----------------------------------------------------------------------------

    def start(self, cause, t, draft=False, until_silence=False):
        """Switch the microphone on and open a recording; returns it, or None if the microphone
        is not to be had. `until_silence`: hands-free."""
        if self.listener is not None:
            self.listener.pause()
        lent = self._mic is not None and self._mic.capturing and self._early is None
        if self._mic is None or self._recording is not None or lent:
            self.refused += 1
            return None
        early, self._early = self._early, None
        why = self._may_capture() if self._may_capture is not None else ""
        if why:
            self._drop(early)
            self._refuse(why)
            return None
        codec, cleaning, gain_db = self.sound()
        waiting = None
        try:
            if early is None:
                self._mic.gain_db = gain_db
                self._mic.start()
        except OSError as error:
            self._log.error("voice", "the microphone does not start: %s" % error)
            self._refuse("the microphone does not start")
            return None
        if early is None:
            try:
                self._make_ready(codec, cleaning)
                if until_silence:
                    self._front.watch_voice()
                    lead = Lead(self._coder, self._settings.lead_ms)
                    waiting = hands_free.HandsFree(lead, self._settings.silence_ms)
            except _NOT_READY as error:
                self._mic.stop()
                self._log.error("voice", "%s: %s" % (type(error).__name__, error))
                self._refuse("no memory, or not all files: " + cleaning + ", " + codec)
                return None
        try:
            self._open(cause, t, draft, waiting, self._mic.started_ms)
        except BaseException:
            self._drop(early)
            self._mic.stop()  # nobody would switch it off
            raise
        if early is not None:
            self._take_over(early)
        return self._recording

    def _open(self, cause, t, draft, waiting, began):
        meta = {
            "codec": self._coder.codec,
            "rate": self._mic.rate,
            "frame": self._coder.frame_samples,
            "cause": cause,
            "t": t,
            "take": self._mic.starts,
        }
        if self._front.cleaning != "off":
            meta["cleaning"] = self._front.cleaning
        recording = self._journal.open("speech", meta, draft)  # first: it may fail
        self._power.hold("active", "voice")
        self._stop_at = -1
        self._samples = 0
        self._lost_samples = 0
        self._voiced.reset()
        self._hands_free = waiting
        self._began = began
        # What a listener has had before is not this recording's.
        self._overruns_before = self._mic.take_overruns if cause == "wake" else 0
        self._saturated_before = self._mic.saturated if cause == "wake" else 0
        self._recording = recording
        self._flag.set()
        return recording

    # --- the listener -------------------------------------------------------------------------

    def lend(self):
        """(front end, coder) for a listener that starts the microphone, as for a recording. Raises what
        making them does: MemoryError, ImportError, ValueError."""
        codec, cleaning, self._mic.gain_db = self.sound()
        self._make_ready(codec, cleaning)
        self._front.watch_voice()
        return self._front, self._coder

    def go_on(self, lead, deaf, word, began):
        """A hands-free recording with the microphone that the listener has: what is in `lead` comes first,
        and in the next `deaf` frames no voice counts. `word` is for the metadata: its "ms" is when it ended,
        since ticks `began`, that of the oldest frame in `lead`. False: nothing is recorded now."""
        why = self._may_capture() if self._may_capture is not None else ""
        if why or self._recording is not None:
            self._refuse(why or "a recording is being made")
            return False
        lead.trimmed = lead.passed = 0
        waiting = hands_free.HandsFree(lead, self._settings.silence_ms, deaf)
        self._open("wake", began, True, waiting, began).meta["wake"] = word
        self._bus.emit("listening", time.ticks_ms(), True)
        return True

    def sound(self):
        """(codec, cleaning, gain in dB) as they are set."""
        settings = self._settings
        cleaning = self._auto if settings.cleaning == "auto" else settings.cleaning
        return settings.codec, cleaning, settings.gain_db

    def _refuse(self, why):
        self.refused += 1
        self._log.warning("voice", why)
        self._bus.emit("refused", time.ticks_ms(), why)

    def prepare(self):
        """Load and make what the next recording needs. Its microphone's ring would wait for that, too, but
        not on a chip that is busy otherwise."""
        if self._mic is None or self._mic.capturing:  # early, too
            return
        codec, cleaning, _ = self.sound()
        try:
            self._make_ready(codec, cleaning)
        except AttributeError:
            pass
        except _NOT_READY as error:  # told again when somebody wants to speak
            self._log.error("voice", "%s: %s" % (type(error).__name__, error))

    def _make_ready(self, codec, cleaning):
        if self._front is None or self._front.cleaning != cleaning:
            self._front = None  # its memory goes first
            self._front = FrontEnd(self._mic, cleaning)
        if self._coder is None or self._coder.codec != codec:
            self._coder = Coder(codec)
        self._front.reset()
        self._coder.reset()

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
        for i in range(early.count):
            self._store(early.data, i * self._coder.bytes)
        self._samples = early.count * FRAME_SAMPLES
        if early.lost:
            self._miss(early.lost)
        self.frames += early.count
        self._log.info("voice", "%d frames from before, %d samples lost" % (early.count, early.lost))

    def record(self, cause, until_silence=False):
        """Begin a recording that is meant for the host from its first frame; `stop` ends it, or
        `until_silence` a silence does. Returns it, or None if the microphone is not to be had."""
        recording = self.start(cause, time.ticks_ms(), until_silence, until_silence)
        if recording is None:
            return None
        if until_silence:
            self._bus.emit("listening", time.ticks_ms(), True)
        else:
            self._announce(recording, time.ticks_ms())
        return recording

    def _announce(self, recording, t):
        self._log.info("voice", "recording %d" % recording.number)
        self._bus.emit("recording", t, recording.number)
        self._kick()

    def stop(self):
        """End the recording that is being made and keep it; one in which nobody has spoken yet goes."""
        if self._recording is None:
            return
        if self._waiting():
            self._give_up(False)
            return
        if self._recording.draft:
            self._journal.publish(self._recording)
        self._end(keep=True, t=time.ticks_ms())

    def _waiting(self):
        """Hands-free, and nobody has spoken yet."""
        return self._hands_free is not None and self._recording is not None and self._recording.draft

    def _give_up(self, value):
        """Nobody has spoken. `value`: of the event `listening`."""
        self._keep = False
        self._finish()
        self._bus.emit("listening", time.ticks_ms(), value)

    def _end(self, keep, t):
        self._keep = keep
        if not keep:
            self._finish()
            return
        # The frame in which the finger was lifted is the last one; the front end gives it later.
        held = max(0, time.ticks_diff(t, self._began)) * (self._mic.rate // 1000)
        self._stop_at = held + self._front.delay if held else 0
        if self._samples >= self._stop_at:
            self._finish()

    def _finish(self):
        recording = self._recording
        self._recording = None
        self._mic.stop()
        self._power.release("voice")
        if self._keep:
            self._journal.close(recording, self._outcome(recording))
            outcome = (recording.number, recording.count, recording.lost)
            self._log.info("voice", "recording %d: %d frames, %d lost" % outcome)
            self._bus.emit("recorded", time.ticks_ms(), recording.number)
        else:
            self._journal.discard(recording)
        self._hands_free = None
        self._kick()

    def _outcome(self, recording):
        """What is known at the end of a recording."""
        end = {"lost": recording.lost, "overruns": self._mic.take_overruns - self._overruns_before}
        if self._lost_samples:
            end["missed_ms"] = self._lost_samples * 1000 // self._mic.rate
        if self._front.hears_voice:
            end["voice"] = self._voiced.runs()
        if self._hands_free is not None:
            end["trimmed_ms"] = self._hands_free.lead.trimmed * self._mic.frame_ms
        if self._front.using is not None:
            end["using"] = self._front.using
        if self._mic.saturated > self._saturated_before:
            end["saturated"] = self._mic.saturated - self._saturated_before
        return end

    # --- the hot path: allocates nothing --------------------------------------------------------

    def step(self):
        """One frame from the microphone into the journal."""
        front = self._front
        front.take()
        gap = front.gap
        if gap:
            self._miss(gap)
        self._samples += FRAME_SAMPLES
        if self._hands_free is None:
            self._code(front.pcm)
        else:
            self._step_hands_free(front)
        if front.hears_voice:
            end_ms = self._samples // 16
            self._voiced.mark(end_ms - 20, end_ms, front.voice)
        self.level = front.level
        self.frames += 1
        if self._recording is not None and not self._recording.draft:
            self._kick()

    def _step_hands_free(self, front):
        verdict = self._hands_free.hear(front.voice)
        if verdict == hands_free.WAIT:
            self._hands_free.lead.hold_back(front.pcm)
            return
        if verdict == hands_free.NOTHING:
            self._log.info("voice", "nobody spoke")
            self._give_up(False)
            return
        if self._recording.draft:
            self._begin_hands_free()
        self._code(front.pcm)
        if verdict == hands_free.END and self._stop_at < 0:
            self._keep = True
            self._stop_at = 0  # now

    def _begin_hands_free(self):
        """The first voice: what was said just before it comes first, and time begins there."""
        lead = self._hands_free.lead
        self._samples = (lead.waiting + 1) * FRAME_SAMPLES
        trimmed_ms = lead.trimmed * self._mic.frame_ms + lead.passed * 1000 // self._mic.rate
        self._began = time.ticks_add(self._began, trimmed_ms)
        meta = self._recording.meta
        meta["t"] = time.ticks_add(meta["t"], trimmed_ms)
        if "wake" in meta:
            meta["wake"]["ms"] -= trimmed_ms  # less than 0: who waited that long is recorded without it
        for i in range(lead.waiting):
            if lead.gap and i == lead.gap_at:
                self._miss_stored(lead)
            self._store(lead.ring, lead.oldest())
        if lead.gap:  # just now
            self._miss_stored(lead)
        self._journal.publish(self._recording)
        self._announce(self._recording, time.ticks_ms())

    def _code(self, samples):
        journal = self._journal
        coder = self._coder
        recording = self._recording
        for i in range(coder.per_frame):
            offset = journal.slot()
            if offset < 0:
                journal.lose(recording)
            else:
                journal.append(
                    recording, coder.encode(samples, i * coder.frame_samples, journal.data, offset)
                )

    def _store(self, data, at):
        """20 ms that are coded already."""
        journal = self._journal
        size = self._coder.frame_bytes
        for i in range(self._coder.per_frame):
            offset = journal.slot()
            if offset < 0:
                journal.lose(self._recording)
            else:
                pcm.copy(journal.data, offset, data, at + i * size, size)
                journal.append(self._recording, size)

    def _miss(self, samples):
        if self._waiting():
            self._hands_free.lead.miss(samples)
            return
        self._samples += samples
        self._lost_samples += samples
        self._store_gap(samples)

    def _miss_stored(self, lead):
        samples, lead.gap = lead.gap, 0
        self._samples += samples
        self._lost_samples += samples
        self._store_gap(samples)

    def _store_gap(self, samples):
        """A frame that says how many samples the microphone's driver has lost at this place."""
        journal = self._journal
        offset = journal.slot()
        if offset < 0:
            journal.lose(self._recording)
            return
        samples = min(samples, _LONGEST_GAP)
        for i in range(_GAP_BYTES):
            journal.data[offset + i] = samples >> 8 * i & 255
        journal.append(self._recording, _GAP_BYTES)

    # --------------------------------------------------------------------------------------------

    def _probed_step(self):
        before = gc.mem_alloc()
        self.step()
        used = gc.mem_alloc() - before
        if used > 0:
            self.probed_bytes += used
        self.probed_frames += 1

    def _too_long(self):
        return self._samples >= self._settings.longest_s * self._mic.rate

    def _restart(self):
        self._log.warning("voice", "the microphone stalled")
        try:
            self._mic.restart()
        except OSError as error:
            self._log.error("voice", "the microphone does not start again: %s" % error)
            self._keep = not self._recording.draft
            self._finish()
            self._refuse("the microphone does not start again")
            return
        # What was not captured comes as a gap before the next frame, unless there is to be none.
        if 0 <= self._stop_at <= self._samples + self._mic.gap_ahead:
            self._miss(self._stop_at - self._samples)
            self._finish()

    async def run(self):
        """The task that follows the microphone while it is on."""
        self.prepare()
        while True:
            if self._recording is None:  # else this task was restarted in the middle
                await self._flag.wait()
            while self._recording is not None:
                if self._mic.ready():
                    if self._probe and self.frames % _PROBE_EVERY == 0:
                        self._probed_step()
                    else:
                        self.step()
                    if self._recording is None:
                        continue
                    if 0 <= self._stop_at <= self._samples:
                        self._finish()
                    elif self._stop_at < 0 and self._too_long():
                        self._log.warning("voice", "the recording is as long as they get: it ends here")
                        self.stop()
                else:
                    stalled = self._mic.stalled()
                    # Not by a flag: waiting for one allocates. Most of a frame's time passes in one wait.
                    await asyncio.sleep_ms(self._mic.wait_ms())
                    if stalled and self._recording is not None and self._mic.stalled():
                        self._restart()
            self.level = 0

    def counters(self):
        counts = {"voice.frames": self.frames, "voice.refused": self.refused}
        if self._mic is not None:
            counts.update(self._mic.counters())
        if self._front is not None:
            counts.update(self._front.counters())
        return counts
