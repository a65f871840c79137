"""Between uses: how often to advertise, when to let a host go that wants nothing, and when to sleep.

After use the glasses stay awake for `awake_s` and advertise often, then more slowly. With no wake lock
held they save what must not be lost and sleep: lightly (`doze.py`) where that costs less between two beacons,
else deeply (`beacon.py`). The reasons to stay awake are wake locks like all others, so `status` lists them.
"""

import asyncio
import time

_TICK_MS = 1000
# Seconds since the last use, and how many times the setting's interval then lies between advertisements.
STEPS = ((0, 1), (15, 3), (60, 10))
_STUCK_S = 60  # a finger that long is none: something lies on the button
_PEERS_S = 15  # strangers keep them awake for no longer, as often as they come
_UNSAVED_S = 60  # until it is tried again to save what found no room
_BRIEF_S = 1
_DAY_MS = 86400000
_BYE_MS = 500  # for a host to be told, and to leave


class Standby:
    """`fall(state)` takes the glasses into deep sleep, and comes back only if that failed; `doze` (Doze) into
    light sleep, and comes back when there is a reason."""

    def __init__(self, glasses, fall, doze):
        self._power = glasses.power
        self._link = glasses.link
        self._bus = glasses.bus
        self._log = glasses.log
        self._settings = glasses.settings
        self._saver = glasses.saver
        self._journal = glasses.journal
        self._fingers = glasses.fingers
        self._voice = glasses.voice
        self._stop_capture = glasses.voice.stop
        self._end_listening = glasses.recording
        self._parts = glasses.parts
        self._fall = fall
        self._doze = doze
        self._flag = asyncio.ThreadSafeFlag()
        self._used_ms = time.ticks_ms()
        self._down_s = 0
        self._peers_s = 0
        self._unsaved_s = 0
        self._grace_s = 0
        self._off = ""  # why the glasses are to be switched off
        self._let_go = False  # this host was sent away because it wanted nothing
        self.lingered = 0
        for name in ("press", "wake", "recording", "recorded", "connected", "pairing", "paired"):
            self._bus.now(name, self._on_use)
        self._bus.now("disconnected", self._on_disconnected)
        self._bus.now("long", self._on_long)

    # --- what happens -----------------------------------------------------------------------------

    def begin(self, cold, brief):
        """The start: `cold` after power-on or a reset, when somebody may want to get in by cable; `brief`
        when nobody has asked for it."""
        if cold:
            self._grace_s = self._settings.grace_s
            self._power.hold("standby", "grace")
        self._look()
        self._use()
        if brief:
            self._let_go = True  # no host need come for that
            self._used_ms = time.ticks_add(self._used_ms, (_BRIEF_S - self._settings.awake_s) * 1000)

    def _use(self):
        self._used_ms = time.ticks_ms()
        self._peers_s = 0
        self._power.keep("standby", "use", True)
        self._flag.set()

    def _on_use(self, name, t, value):
        self._let_go = False
        self._use()

    def _on_disconnected(self, name, t, value):
        # Who has been let go is to stay away; who was lost shall come back at once.
        # The advertisement that the link begins now is to say which.
        if not self._let_go:
            self._use()
        self._link.radio.resting = self.resting
        self._flag.set()

    def _on_long(self, name, t, value):
        if value == "off":
            self.switch_off("the button")

    def rest(self):
        """Do as if the last use were long ago."""
        self._used_ms = time.ticks_add(time.ticks_ms(), -self._settings.awake_s * 1000)
        self._grace_s = 0
        self._look()
        self._flag.set()

    def switch_off(self, why):
        """Save and switch off, whatever holds the glasses awake. Only a button wakes them then."""
        self._off = why
        self._flag.set()

    @property
    def ending(self):
        """They are to be switched off."""
        return bool(self._off)

    @property
    def resting(self):
        """A host need not come: nothing waits for it, and it has had its time."""
        return self._let_go and not self._voice.capturing and not self._journal.waiting()

    # --- reasons to be awake ----------------------------------------------------------------------

    def _idle_s(self):
        now = time.ticks_ms()
        idle = time.ticks_diff(now, self._used_ms)
        if idle > _DAY_MS:  # ticks wrap
            self._used_ms = time.ticks_add(now, -_DAY_MS)
        return idle // 1000

    def _look(self):
        keep = self._power.keep
        keep("standby", "usb", self._parts.plugged)
        keep("standby", "setting", self._settings.sleep == "never")
        keep("standby", "fingers", self._fingers.busy and self._down_s < _STUCK_S)
        strangers = bool(self._link.guard.peers) and not self._link.connected
        keep("standby", "peers", strangers and self._peers_s < _PEERS_S)
        keep("standby", "pairing", self._link.guard.window_open)
        keep("standby", "unsaved", self._unsaved_s > 0)
        keep("standby", "grace", self._grace_s > 0)
        keep("standby", "use", self._idle_s() < self._settings.awake_s)

    def _second(self):
        self._down_s = self._down_s + 1 if self._fingers.down else 0
        if self._link.guard.peers and not self._link.connected:
            self._peers_s += 1
        self._grace_s = max(0, self._grace_s - 1)
        self._unsaved_s = max(0, self._unsaved_s - 1)

    def _advertise(self):
        idle = self._idle_s()
        slower = 1
        for since, times in STEPS:
            if idle >= since:
                slower = times
        radio = self._link.radio
        radio.slower = slower
        radio.resting = self.resting
        radio.renew(self._link.connected)

    def _linger(self):
        """Let a host go that has wanted nothing for long: connected, the glasses last hours, not days."""
        limit = self._settings.linger_s
        if not limit or not self._link.connected or self._parts.plugged or self._voice.capturing:
            return
        asked = time.ticks_diff(time.ticks_ms(), self._link.asked_ms) // 1000
        if min(asked, self._idle_s()) >= limit and self._power.state in ("connected", "listening"):
            self._log.info("power", "the host wants nothing: good-bye")
            self.lingered += 1
            self.let_go("rest")

    def let_go(self, why):
        """Send the host away, which need not come back as long as there is nothing for it, and sleep when the
        other reasons to be awake are over."""
        self._let_go = True
        self._link.good_bye(why)

    # --- the task ---------------------------------------------------------------------------------

    async def run(self):
        while True:
            try:
                await asyncio.wait_for_ms(self._flag.wait(), _TICK_MS)
            except asyncio.TimeoutError:
                self._second()
            self._look()
            self._advertise()
            self._linger()
            if self._off:
                await self._switch_off()
            elif self._power.drowsy:
                await self._sleep()
            elif self._power.only_listening:
                await self._listen()

    async def _sleep(self):
        left = await self._saver.save_all()
        self._look()
        if left:
            self._unsaved_s = _UNSAVED_S
            self._log.warning("power", "awake for %d recordings that flash has no room for" % left)
            self._look()
        if self._power.drowsy and not self._off:
            if self._doze.fits() and await self._doze.run():
                self._use()
            elif self._power.drowsy and not self._off:
                self._fall("sleep")

    async def _listen(self):
        """A wake word is listened for, and nobody needs the radio."""
        if await self._doze.run(listening=True):
            self._use()
            return
        if not self._doze.stale:
            return
        if await self._saver.save_all():
            # With the radio on meanwhile: each time it goes off some memory goes.
            self._unsaved_s = _UNSAVED_S
            self._look()
        if self._power.only_listening and not self._off:
            self._fall("sleep")

    async def _switch_off(self):
        self._log.info("power", "off: %s" % self._off)
        self._bus.emit("off", time.ticks_ms(), self._off)
        self._end_listening()
        self._stop_capture()  # or saving would wait for its end
        if self._link.connected:
            self.let_go("off")
            await asyncio.sleep_ms(_BYE_MS)
        left = await self._saver.save_all()
        if left:
            self._log.error("power", "%d recordings are lost: flash has no room" % left)
        self._off = ""
        self._fall("off")

    def counters(self):
        return {"power.lingered": self.lingered}
