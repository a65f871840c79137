"""Security as the wearer meets it: the gestures that open the pairing window and forget hosts, the light
that shows it, and the task that sends strangers away and saves what was paired."""

import asyncio
import time

_SAVE_AGAIN_MS = 5000  # after a save that failed, or while the microphone runs
_BLINK_MS = 100
_SHOW_EVERY_MS = 1000
# What the light does at a rung of the ladder while the finger is still down, and when it is done.
_AT_RUNG = {"pair": 1, "forget": 2, "off": 3}
_PAIRED = 3
_FORGOTTEN = 5


class Security:
    """`light` is the board's light or None; ``capturing()`` says whether flash must not be written."""

    def __init__(self, guard, link, journal, bus, log, light, capturing):
        self.guard = guard
        self._link = link
        self._journal = journal
        self._bus = bus
        self._log = log
        self._light = light
        self._capturing = capturing
        self._flag = asyncio.ThreadSafeFlag()
        self._blinks = 0  # that are still to be shown
        self._save_at = None  # ticks_ms before which saving is not tried again
        for problem in guard.bonds.problems:
            log.warning("security", problem)
        guard.watch(self.wake)
        bus.now("rung", self._on_rung)
        bus.now("long", self._on_long)
        bus.now("recorded", self._on_recorded)

    # --- what a finger or a program does --------------------------------------------------------

    def pair(self):
        """Let one more host pair, for a minute."""
        if not self.guard.paired:
            self._log.warning("security", "the setting security is open: everybody may connect")
            return
        self.guard.open_window()
        self._log.info("security", "hosts may pair for a minute")
        self._bus.emit("pairing", time.ticks_ms())
        self.wake()

    def forget(self, address=None):
        """Forget the host of that address, or all; returns how many. Who is connected is sent away."""
        found = [host for host in list(self.guard.bonds.hosts) if address in (None, host.address)]
        for host in found:
            self.guard.forget(host)
            self._journal.forget(host.key)
            self._log.info("security", "%s is forgotten" % host.address)
        self.wake()
        return len(found)

    def hosts(self):
        """The paired hosts, most recently used first: [{"id": address, "me": is it connected}]."""
        served = [peer.key for peer in list(self.guard.peers.values()) if peer.trusted]
        listed = []  # type: list[dict]
        for host in list(self.guard.bonds.hosts):
            listed.insert(0, {"id": host.address, "me": host.key in served})
        return listed

    def _on_rung(self, name, t, value):
        self._show(_AT_RUNG.get(value, 1))

    def _on_long(self, name, t, value):
        if value == "pair":
            self.pair()
        elif value == "forget":
            self.forget()
            self._show(_FORGOTTEN)

    def _on_recorded(self, name, t, value):
        self.wake()  # what could not be saved meanwhile

    # --- the task -----------------------------------------------------------------------------

    def wake(self):
        """Something has changed. Called from interrupts as well."""
        self._flag.set()

    def _show(self, blinks):
        self._blinks = blinks
        self.wake()

    def _wait_ms(self):
        """Until something is due, or -1."""
        wait = self.guard.next_ms()
        if self.guard.window_open and self._light is not None:
            wait = _SHOW_EVERY_MS if wait < 0 else min(wait, _SHOW_EVERY_MS)
        if self.guard.bonds.dirty:
            wait = _SAVE_AGAIN_MS if wait < 0 else min(wait, _SAVE_AGAIN_MS)
        return wait

    async def run(self):
        was_open = False
        while True:
            await self._blink()
            self._link.send_away()
            if self.guard.added is not None:
                self._on_added()
            self._save()
            if self.guard.lapsed() or (was_open and not self.guard.window_open):
                self.guard.close_window()
                self._log.info("security", "no host may pair any more")
            was_open = self.guard.window_open
            wait = self._wait_ms()
            if wait < 0:
                await self._flag.wait()
            else:
                try:
                    await asyncio.wait_for_ms(self._flag.wait(), max(wait, 1))
                except asyncio.TimeoutError:
                    if self.guard.window_open and not self._blinks:
                        self._blinks = 1

    def _on_added(self):
        key, self.guard.added = self.guard.added, None
        host = self.guard.bonds.find(key)
        if host is not None:
            self._log.info("security", "%s is paired" % host.address)
            self._bus.emit("paired", time.ticks_ms(), host.address)
            self._blinks = _PAIRED

    def _save(self):
        bonds = self.guard.bonds
        if not bonds.dirty:
            return
        now = time.ticks_ms()
        if self._save_at is not None and time.ticks_diff(self._save_at, now) > 0:
            return
        if self._capturing():
            return
        try:
            bonds.save()
            self._save_at = None
        except OSError as error:
            self._save_at = time.ticks_add(now, _SAVE_AGAIN_MS)
            self._log.error("security", "the paired hosts could not be saved: %s" % error)

    async def _blink(self):
        light = self._light
        while self._blinks > 0 and light is not None:
            self._blinks -= 1
            await light.blink(1, _BLINK_MS)
