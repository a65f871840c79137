"""Dozing: light sleep with the radio off, and a beacon every `reach_s` seconds. While a wake word is listened
for it is the same without the sleep: the microphone would not run in it.

Memory stays, so there is no start to pay for and a press is heard within a millisecond. It costs more
than deep sleep all the time: `energy.cheaper_sleep` weighs the two. A stock image cannot keep Bluetooth on in
light sleep, so it is switched off in between.
"""

import asyncio
import time

import machine

from glasses import sleep, wake_sources
from glasses.beacon import ENCRYPT_MS, INTERVAL_MS, LOOK_MS, WINDOW_MS
from glasses.energy import cheaper_sleep

# Switching Bluetooth off and on leaks memory of the stack (ESP-IDF issue 8136 and others), on some versions
# more than on others. Before it runs out, or after an hour, one deep sleep and a fresh start give it back.
_MOST = 360
_LEAK_BYTES = 24576
_LISTEN_MS = 50
_INTERNAL = 1 << 20  # regions of the heap that are larger are PSRAM, which the stack does not live in


def _free():
    """Bytes free in the memory that Bluetooth lives in."""
    import esp32

    total = 0
    for region in esp32.idf_heap_info(esp32.HEAP_DATA):
        if region[0] < _INTERNAL:
            total += region[1]
    return total


class Doze:
    def __init__(self, glasses):
        self._glasses = glasses
        self._power = glasses.power
        self._link = glasses.link
        self._fingers = glasses.fingers
        self._settings = glasses.settings
        self._board = glasses.board
        self._currents = glasses.start.currents
        self._free = None  # when the first doze began
        self.beacons = 0

    @property
    def stale(self):
        """It has gone on for so long that a fresh start is due."""
        return self.beacons >= _MOST or (self._free is not None and self._free - _free() > _LEAK_BYTES)

    def fits(self):
        """Light sleep is what the setting says, or what costs less."""
        choice = self._settings.sleep
        if choice == "auto":
            choice = cheaper_sleep(self._currents, self._settings.reach_s)
        return choice == "light"

    async def run(self, listening=False):
        """Doze until there is a reason to be awake (True), or deep sleep must do (False). `listening`: awake,
        but for the radio."""
        link = self._link
        self._glasses.account()
        try:
            return await self._run(link, listening)
        except BaseException:  # Ctrl-C: nobody else would switch it on again
            if not link.radio.running:
                link.start()
            raise

    async def _run(self, link, listening):
        link.stop()
        if self._free is None:
            self._free = _free()
        while not self.stale:
            if listening:
                pressed = await self._listen()
                self._glasses.account()  # while the radio is still off
            else:
                pressed = self._sleep()
            if pressed is None:
                link.start()
                return False
            if pressed:
                self._fingers.look()
            link.radio.resting = not self._glasses.journal.waiting()
            link.start(INTERVAL_MS)
            if pressed or await self._call():
                link.radio.beacon_ms = 0
                link.radio.renew(link.connected)
                return True
            self._glasses.account()  # while the radio is still on
            link.stop()
            self.beacons += 1
        link.start()
        return False

    def _sleep(self):
        """One light sleep. True: a pin has woken us, None: they cannot doze."""
        radio_ms = int(self._currents.get("radio_ms", 0))  # memory stays: only the radio has to start
        timer_ms = sleep.timer_ms(self._settings.reach_s, radio_ms)
        worn = self._glasses.wakes_when_worn()
        plan = sleep.plan(self._board, timer_ms, self._glasses.stuck_pins(), worn=worn)
        if plan.down or not self._power.enter("sleep", quiet=True):
            return None
        try:
            wake_sources.arm(plan)
            if plan.timer_ms is None:
                machine.lightsleep()
            else:
                machine.lightsleep(plan.timer_ms)
        except (AttributeError, OSError, ValueError):
            return None
        finally:
            self._glasses.meter.light_slept("sleep")
            self._power.enter("standby", quiet=True)
        return bool(sleep.plan(self._board, None, worn=worn).down)

    async def _listen(self):
        """Until the next beacon. True: there is something to be awake for, None: the listening is over."""
        reach_ms = self._settings.reach_s * 1000
        began = time.ticks_ms()
        while not self._needed():
            if self._power.drowsy:
                return None
            await asyncio.sleep_ms(_LISTEN_MS)
            past = time.ticks_diff(time.ticks_ms(), began)
            if past >= reach_ms:
                if reach_ms:
                    return False
                began = time.ticks_ms()  # which must not become so long ago that ticks wrap
        return True

    def _needed(self):
        """Is there a reason to be awake? Locks are what a press or a task of the app leads to."""
        glasses = self._glasses
        return (
            not (self._power.drowsy or self._power.only_listening)
            or self._fingers.busy
            or glasses.parts.plugged
            or glasses.standby.ending  # the battery is empty
        )

    async def _call(self):
        """Be there for hosts, for a moment. True if there is a reason to stay."""
        link = self._link
        began = time.ticks_ms()
        while True:
            past = time.ticks_diff(time.ticks_ms(), began)
            if past >= (ENCRYPT_MS if link.guard.peers else WINDOW_MS):
                return False
            await asyncio.sleep_ms(LOOK_MS)
            if link.connected or self._needed():
                return True

    def counters(self):
        return {"power.beacons": self.beacons}
