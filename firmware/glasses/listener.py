"""Listening for a wake word: each frame of the microphone is heard by the detector, and then forgotten.

It has the microphone while nothing is recorded, and gives it away at once to whoever wants it: a press, the
prompt, and those that write flash, which nobody does while the microphone runs (`pause`). Then it listens
again, if it still may. The light is lit all that time, as whenever the microphone is on.
"""

import asyncio
import gc
import time

from micropython import const

from glasses.lead import Lead
from glasses.parts.microphone import FRAME_SAMPLES
from glasses.power import LISTENER
from glasses.wake import TIMER, WORN
from glasses.wakeword import stored

_TICK_MS = 250
_LOOK_FRAMES = 25  # between two looks at whether it still may
_RETRY_MS = 30000
_HOUR = const(57600000)  # samples
_AGAIN_MS = 500  # after the last who wanted the microphone off
_LATE_MS = 120  # of the 256 that the driver's ring holds; then steps are left out
_GATE = const(50)  # frames in one of which there was a voice

# A voice so soon after the word is the word's own: it ends up to 0.2 s later than the network says, voice
# activity goes on for 0.3 s, and the tone that tells of it is heard as well.
_TAIL_MS = 700
_MARGIN_MS = 40

# Bytes beside those that the files name: features, detector, the code of both, and what networks have beyond
# their files. `make bench-wakeword` counts 75,760 for okay_nabu on a 32-bit heap; this is a little more.
_BESIDE = const(23552)
_RESERVE = const(32768)  # that has to stay for all else

# Why not, but not for long.
_WANTED_OFF = "the microphone is wanted off"
_RECORDED = "a recording is made"
_SOON = (_WANTED_OFF, _RECORDED)


def names(setting):
    """The models of the setting `wakeword`, a list. Raises ValueError for what is no name."""
    found = []
    for name in setting.split(","):
        name = name.strip()
        if name and not stored.is_name(name):
            raise ValueError("%s is no model's name: they have a to z, 0 to 9 and _" % name)
        if name and name not in found:
            found.append(name)
    return found


def missing(setting):
    """Those of them that are not on the glasses."""
    return [name for name in names(setting) if stored.size(name) < 0]


class Listener:
    """`glasses` is the runtime. `on`: it listens. `why_not` are the words for why it does not, or ""."""

    def __init__(self, glasses):
        self._mic = glasses.parts.microphone
        self._voice = glasses.voice
        self._bus = glasses.bus
        self._power = glasses.power
        self._log = glasses.log
        self._settings = glasses.settings
        self._glasses = glasses
        self._flag = asyncio.ThreadSafeFlag()
        self._wanted = None  # the settings that are loaded, or that failed to
        self._failed = ""  # what then was wrong
        self._models = ()  # type: tuple[str, ...]
        self._detector = None
        self._lead = None
        self._again_ms = None  # type: int | None  # when what failed is tried again, if ever
        self._mine = False  # the microphone is on for this
        self._base_ms = 0  # ticks_ms of sample 0 of `_samples`
        self._front = None
        self._samples = 0  # since the microphone's start, lost ones too
        self._paused = None  # type: int | None  # ticks_ms of the last `pause`
        self._locked = ""  # the power state that it holds
        self.on = False
        self.why_not = "not yet"
        self.frames = 0
        self.wakes = 0
        self.gaps = 0
        self._skipped = 0  # by detectors before this one
        # A fresh start is no use; before a sleep it may not have been over.
        rested = glasses.start.cause in (TIMER, WORN)
        self._left_ms = glasses.start.slept.get("listen_s", 0) * 1000 if rested else self._use_ms()
        self._looked_ms = time.ticks_ms()
        glasses.bus.now("models", self._on_models)
        for name in ("press", "wake", "recording", "recorded"):  # not that a host has come
            glasses.bus.now(name, self._on_use)

    # --- when ---------------------------------------------------------------------------------

    def _use_ms(self):
        return self._settings.listen_min * 60000

    def _on_use(self, name, t, value):
        self._left_ms = self._use_ms()

    @property
    def left_s(self):
        """For how long they listen still, after use: for `listen_when`."""
        return self._left_ms // 1000

    def look(self):
        """Begin or stop, as it may be now."""
        now = time.ticks_ms()
        self._left_ms = max(0, self._left_ms - time.ticks_diff(now, self._looked_ms))
        self._looked_ms = now
        if self._paused is not None and time.ticks_diff(now, self._paused) >= _AGAIN_MS:
            self._paused = None
        why = self._why_not()
        if self.on and why:
            self.stop()
        elif not self.on and not why:
            why = self._begin()
        # Asleep they would not come back to it.
        self._lock("listening" if self.on else "standby" if why in _SOON else "")
        if why != self.why_not:
            self.why_not = why
            if why != self._failed:  # which was told already
                self._log.info(
                    "wakeword", "not listening: " + why if why else "listening: " + self.heard_for()
                )

    def _why_not(self):
        if not self._settings.wakeword.strip():
            return "the setting wakeword is empty"
        if self._failed and self._wanted == self._choice():
            if self._again_ms is None or time.ticks_diff(self._again_ms, time.ticks_ms()) > 0:
                return self._failed
            self._failed = ""
        if self._mic is None:
            return "these glasses have no working microphone"
        if self._voice.muted:
            return "the microphone is muted"
        why = self._battery() or self._when()
        if why:
            return why
        if self._paused is not None:
            return _WANTED_OFF
        return _RECORDED if not self.on and self._mic.capturing else ""

    def _battery(self):
        battery = self._glasses.battery
        if battery is None:
            return ""
        if battery.gauge.critical and not battery.gauge.powered:
            return "the battery is all but empty"
        return battery.may_capture()

    def _when(self):
        when = self._settings.listen_when
        parts = self._glasses.parts
        if self._glasses.standby.ending:
            return "they go off"
        if when == "worn":
            if parts.worn is None:
                return "this board cannot tell whether it is worn"
            return "" if parts.worn.present else "they are not worn"
        if when == "charging":
            charged = parts.plugged or (parts.charger is not None and parts.charger.charging)
            return "" if charged else "they are not charged"
        if when == "used" and not self._left_ms:
            return "they were not used for %d min" % self._settings.listen_min
        return ""

    @property
    def waits_for_worn(self):
        """It is to begin when they are put on, and they can tell."""
        settings = self._settings
        if settings.listen_when != "worn" or self._glasses.parts.worn is None:
            return False
        return bool(settings.wakeword.strip()) and not self._voice.muted

    def pause(self):
        """Have the microphone off from now on, for half a second at least. Harmless when it is off."""
        self._paused = time.ticks_ms()
        if self.on:
            self.stop()  # its lock waits for `look`: a press would have the clock go down and up
            self._flag.set()

    def try_again(self):
        """Settings have changed: listen as they say from now on, also for what failed before."""
        self._failed = ""
        self._left_ms = self._use_ms()
        if not self._settings.wakeword.strip():
            self._keep_skipped()
            self._detector = self._lead = None  # their memory is for others now
        if self._detector is None:
            self._wanted = None
        self.pause()

    def _on_models(self, name, t, value):
        if value in self._models or self._failed:
            self._wanted = None
            self.try_again()

    def _choice(self):
        settings = self._settings
        return (settings.wakeword, settings.sensitivity, settings.wake_gate, settings.lead_ms, settings.codec)

    def _begin(self):
        """Why not, or ""."""
        try:
            if self._detector is None or self._wanted != self._choice():
                self._load()
            self._front, coder = self._voice.lend()
            self._front.keep_heard()
            if self._lead is None or self._lead.coder is not coder:
                self._lead = None
                self._lead = Lead(coder, self._settings.lead_ms + _TAIL_MS + _MARGIN_MS)
            self._lead.clear()
            self._detector.reset()
            self._samples = 0
            self._mine = True
            self._mic.start()
            self._base_ms = self._mic.started_ms
            self.on = True
        except Exception as error:  # whatever a model may lead to
            self._give_back()
            self._fail(error)
            return self._failed
        self._flag.set()
        return ""

    def _fail(self, error):
        # Memory, or the driver's, may be there later, and so may the other half of a module that somebody at
        # the prompt is just loading. A model does not get better by itself.
        passing = isinstance(error, (OSError, MemoryError, AttributeError))
        self._again_ms = time.ticks_add(time.ticks_ms(), _RETRY_MS) if passing else None
        self._failed = str(error) or type(error).__name__
        self._wanted = self._choice()
        self._detector = self._lead = None
        self._log.error("wakeword", self._failed)

    def stop(self):
        """The microphone off now, until the next `look`. Harmless when it is off."""
        self.on = False
        self._give_back()

    def _give_back(self):
        """The microphone off, if it is on for this."""
        if self._mine:
            self._mic.stop()
            self._mine = False

    def _lock(self, state):
        if state == self._locked:
            return
        if self._locked:
            self._power.release(LISTENER)
        self._locked = state
        if state:
            self._power.hold(state, LISTENER)

    # --- what ---------------------------------------------------------------------------------

    def _load(self):
        """The detector of the models that are set. Raises MemoryError with figures, OSError, ValueError."""
        self._keep_skipped()
        self._models = ()
        self._detector = self._lead = None
        self._failed = ""
        gc.collect()
        chosen = names(self._settings.wakeword)
        for name in missing(self._settings.wakeword):
            raise ValueError("no model %s on the glasses: `lunette wakeword add` puts one there" % name)
        needed = _BESIDE
        for name in chosen:
            needed += stored.Head(name).memory
        free = gc.mem_free()
        if needed + _RESERVE > free:
            raise MemoryError(
                "%s needs %d KB of memory beside %d for all else, and %d are free"
                % (self._settings.wakeword, needed // 1024, _RESERVE // 1024, free // 1024)
            )
        from glasses.wakeword.detector import Detector
        from glasses.wakeword.network import Network

        networks = []
        for name in chosen:
            try:
                with open(stored.path(name), "rb") as file:
                    networks.append(Network(file))
            except ValueError as error:
                raise ValueError("%s: %s" % (name, error)) from None
            self._adjust(networks[-1])
        self._detector = Detector(networks, gate=_GATE if self._settings.wake_gate else 0)
        self._models = tuple(chosen)
        self._wanted = self._choice()  # the last of all: Ctrl-C may come at any time

    def _adjust(self, network):
        """The cutoff by the sensitivity: half as far from 1 if that is low, a quarter less if it is high."""
        sensitivity = self._settings.sensitivity
        if sensitivity == "low":
            network.cutoff += (255 - network.cutoff) // 2
        elif sensitivity == "high":
            network.cutoff -= network.cutoff // 4

    def heard_for(self):
        """The words that it listens for."""
        detector = self._detector
        return "" if detector is None else ", ".join([network.phrase for network in detector.networks])

    # --- hearing: allocates nothing -----------------------------------------------------------

    def step(self):
        """Hear a frame."""
        front = self._front
        late = self._mic.behind_ms() > _LATE_MS
        front.take()
        lead = self._lead
        if front.gap:
            self._samples += front.gap
            self.gaps += 1
            lead.clear()  # a lead with a hole would be none
        self._samples += FRAME_SAMPLES
        if self._samples >= _HOUR:  # before it, or the ticks of it, are no small integers
            self._samples -= _HOUR
            self._base_ms = time.ticks_add(self._base_ms, 3600000)
        lead.hold_back(front.pcm)
        self.frames += 1
        if self._detector.run(front.heard, front.voice, late) >= 0:
            self._wake()

    # --- the word -----------------------------------------------------------------------------

    def _wake(self):
        """The word was said."""
        detector = self._detector
        model = self._models[detector.fired]
        self.wakes += 1
        said = time.ticks_add(self._base_ms, (self._samples - detector.ago) // 16)
        self._log.info("wakeword", "%s, %d" % (model, detector.score))
        phrase = detector.networks[detector.fired].phrase
        self._bus.emit("wake", said, {"model": model, "phrase": phrase, "score": detector.score})
        # Who was told of it may have taken the microphone, to record in some other way.
        if self.on and self._settings.on_wake == "record":
            self._record(model, said)

    def _record(self, model, said):
        detector = self._detector
        lead = self._lead
        # What is coded is late by the front end's delay: what was said last is yet to come.
        since = max(0, detector.ago - self._front.delay)
        surplus = lead.waiting - (self._settings.lead_ms * 16 + since) // FRAME_SAMPLES - 1
        if surplus > 0:
            lead.drop(surplus)
        ended = self._samples - self._front.delay - lead.waiting * FRAME_SAMPLES
        began = time.ticks_add(self._base_ms, ended // 16)
        word = {"model": model, "score": detector.score, "ms": time.ticks_diff(said, began)}
        deaf = max(0, _TAIL_MS * 16 - detector.ago) // FRAME_SAMPLES
        # The microphone runs on, and the lead is the recording's: both come back.
        self.on = False
        try:
            if self._voice.go_on(lead, deaf, word, began):
                self._mine = False
        finally:
            self._give_back()
        self._lock("standby")

    # ------------------------------------------------------------------------------------------

    def _restart(self):
        self._log.warning("wakeword", "the microphone stalled")
        try:
            self._mic.restart()
        except OSError as error:
            self._log.error("wakeword", "the microphone does not start again: %s" % error)
            self.pause()

    async def run(self):
        """The task."""
        if not self.on:  # else it was restarted in the middle
            self._give_back()
        while True:
            self.look()
            if not self.on:
                try:
                    await asyncio.wait_for_ms(self._flag.wait(), _TICK_MS)
                except asyncio.TimeoutError:
                    pass
            while self.on:
                if self._mic.ready():
                    self.step()
                    if self.frames % _LOOK_FRAMES == 0:
                        self.look()
                    await asyncio.sleep_ms(0)
                    continue
                stalled = self._mic.stalled()
                await asyncio.sleep_ms(self._mic.wait_ms())
                if stalled and self.on and self._mic.stalled():
                    self._restart()

    def wake_up(self):
        """Look now: something has changed."""
        self._flag.set()

    def progress(self):
        """For the watchdog."""
        return self.frames if self.on else None

    def status(self):
        return {"on": self.on, "words": self.heard_for(), "why_not": self.why_not}

    def _keep_skipped(self):
        if self._detector is not None:
            self._skipped += self._detector.skipped

    def counters(self):
        skipped = self._skipped + (0 if self._detector is None else self._detector.skipped)
        return {
            "wakeword.frames": self.frames,
            "wakeword.wakes": self.wakes,
            "wakeword.gaps": self.gaps,
            "wakeword.skipped": skipped,
        }
