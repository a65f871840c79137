"""Short sounds for what the wearer cannot see: a recording has begun, it is over, it was refused.

They are soft and short because the microphone hears them. Without a speaker or a buzzer nothing happens.
"""

import asyncio

# (Hz, ms): whole samples in a period at 16 kHz, whole periods in a note, and no lower than small speakers go.
START = ((1000, 40), (1600, 40))
STOP = ((1600, 40), (1000, 40))
ERROR = ((800, 40), (0, 20), (800, 40))

_LONGEST_MS = 20  # between two looks at the part


class Earcons:
    """`part`: a Speaker, a Buzzer or None. ``muted()``: presses are not to record, as the wearer wants it."""

    def __init__(self, part, bus, power, log, settings, muted):
        self._part = part
        self._power = power
        self._log = log
        self._settings = settings
        self._muted = muted
        self._flag = asyncio.ThreadSafeFlag()
        self._announced = False  # the start of a recording that is yet to begin
        self.playing = False
        self.played = 0
        self.failed = 0
        if part is not None:
            bus.now("wake", self._on_wake)
            bus.now("listening", self._on_listening)
            bus.now("recording", self._on_recording)
            bus.now("recorded", self._on_recorded)
            bus.now("refused", self._on_refused)
            bus.now("hold", self._on_hold)

    @property
    def audible(self):
        """There is something to play them with."""
        return self._part is not None

    # --- when ---------------------------------------------------------------------------------

    def _on_wake(self, name, t, value):
        if self._settings.on_wake != "record":  # else the recording's own follows at once
            self.play(START)

    def _on_listening(self, name, t, value):
        # Hands-free: it begins with the first voice, too late for a tone.
        self._announced = bool(value)
        if value is not None:  # else a press has taken over, which has its own
            self.play(START if value else STOP)

    def _on_recording(self, name, t, value):
        if not self._announced:
            self.play(START)
        self._announced = False

    def _on_recorded(self, name, t, value):
        self.play(STOP)

    def _on_refused(self, name, t, value):
        self.play(ERROR)

    def _on_hold(self, name, t, value):
        # Who wants to be recorded has forgotten that the glasses are muted.
        if self._muted():
            self.play(ERROR)

    # --- how ----------------------------------------------------------------------------------

    def play(self, notes):
        """Begin, and return at once; what is playing gives way. Harmless without a part, or with the setting
        `earcons` off."""
        if self._part is None or not self._settings.earcons:
            return
        self.stop()
        self._power.hold("active", "earcon")
        self.playing = True
        try:
            self._part.play(notes)
        except (OSError, RuntimeError, ValueError) as error:
            self.stop()
            self.failed += 1
            self._log.warning("earcons", "no sound: %s" % error)
            return
        self.played += 1
        self._flag.set()

    def stop(self):
        """Silence, at once. Harmless when nothing plays."""
        if not self.playing:
            return
        self.playing = False
        try:
            self._part.stop()
        finally:
            self._power.release("earcon")

    async def run(self):
        """The task that ends what was begun."""
        if self._settings.earcons:
            for notes in (START, STOP, ERROR):
                self._part.prepare(notes)
                await asyncio.sleep_ms(0)
        while True:
            if not self.playing:  # else this task was restarted in the middle
                await self._flag.wait()
            while self.playing:
                left = self._part.step()
                if left:
                    await asyncio.sleep_ms(min(left, _LONGEST_MS))
                else:
                    self.stop()

    def counters(self):
        return {"earcons.played": self.played, "earcons.failed": self.failed}
