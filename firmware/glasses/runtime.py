"""The runtime: assembles a board into running glasses and keeps their tasks alive."""

import asyncio
import gc
import sys
import time

import machine

from glasses import protocol, report, sleep, states
from glasses.battery_policy import BatteryPolicy
from glasses.boots import resume_numbers
from glasses.bus import Bus
from glasses.commands import Commands
from glasses.doze import Doze
from glasses.earcons import Earcons
from glasses.energy import Meter
from glasses.fingers import Fingers
from glasses.idle import Idle, depth
from glasses.journal import largest
from glasses.link import Link
from glasses.log import Log
from glasses.power import LISTENER, Governor
from glasses.presence import VERSION, Presence
from glasses.retained import retained
from glasses.saver import Saver
from glasses.security import Security
from glasses.services import Refresher
from glasses.settings import Settings
from glasses.spool import Spool
from glasses.standby import Standby
from glasses.voice import Voice
from glasses.wake import BUTTON, TIMER, TOUCH, WORN, Start
from glasses.watchdog import Watchdog

_TICK_MS = 5
_TURN_MS = 500
_HEALTHY_S = 60
# Heap that the journal leaves to all else: code that is yet to be imported, the app, and, on chips
# without PSRAM, Bluetooth, whose memory the heap would otherwise grow into.
_HEAP_RESERVE = 98304


def _nothing():
    pass


async def _once():
    await asyncio.sleep_ms(0)


class Glasses:
    """Running glasses, made from board data (a module like ``boards/virtual/board.py``) and a `Start`, which
    has seen the first moments of it."""

    def __init__(self, board, start=None):
        self.board = board
        self.start = start = start or Start(board)
        self._begin(start)
        self._assemble(start)
        self._services = {
            "fingers": self.fingers.run,
            "voice": self.voice.run,
            "link": self.link.run,
            "security": self.security.run,
            "hooks": self.bus.run,
            "saver": self.saver.run,
            "values": Refresher(self.link, self.bus, self.presence.services).run,
            "standby": self.standby.run,
        }
        if self.battery is not None:
            self._services["battery"] = self.battery.run
        if self.earcons.audible:
            self._services["earcons"] = self.earcons.run
        self._tasks = {}
        self._dead = []
        self._timer = None
        self._busy_ms = 0
        self._octets = 0
        self.heap_start = 0
        self.heap_peak = 0
        self.running = False
        self._listen()

    def _begin(self, start):
        """Settings, log and what is known of the time before."""
        presence = start.presence  # of a beacon, which has met a host
        self.settings = Settings() if presence is None else presence.settings
        self.log = Log() if presence is None else presence.log
        self.log.set_level(self.settings.log_level)
        for problem in self.settings.problems:
            self.log.warning("settings", problem)
        self.log.info("start", start.cause)
        self.crashes = crashes = start.crashes
        if crashes.crashed is not None:
            self.log.error("start", "the run before crashed: %s" % crashes.crashed[3])
        if start.held:
            self.log.warning("start", start.held)
        elif crashes.safe:
            self.log.error("start", "safe mode: three crashes in a row, so the app is left out")
        if start.slept.get("unarmed"):
            self.log.error("power", "the button could not be armed: %s" % start.slept["unarmed"])
        self.boot, serial = resume_numbers()
        spent, charges = start.spent()
        self.meter = Meter(start.currents, charges)
        loading_ms = max(0, time.ticks_diff(time.ticks_ms(), start.began_ms))
        self.meter.awake("standby", loading_ms, machine.freq() // 1000000, loading_ms)
        self.bus = Bus()
        self.power = Governor(self.log, crashes, self._hung(), spent)
        self.power.watch(self._on_state)
        self.idle = Idle(self._depth)
        self.journal = largest(self.board.JOURNAL_KB * 1024, self.boot, _HEAP_RESERVE)
        self.journal.serial = serial
        kb = len(self.journal.data) // 1024
        if kb < self.board.JOURNAL_KB * 3 // 4:
            self.log.warning("journal", "memory for %d KB, not for %d" % (kb, self.board.JOURNAL_KB))

    def _assemble(self, start):
        board = self.board
        self.fingers = Fingers(self.bus, self.settings)
        self.parts = parts = start.parts
        parts.make_rest()
        parts.edges.listener = self.fingers
        for problem in parts.problems:
            self.log.error("board", problem)
        self.battery = None
        if parts.battery is not None:
            self.battery = BatteryPolicy(
                parts.battery,
                board.PARTS["battery"],
                self.bus,
                self.log,
                parts.light,
                parts.usb,
                parts.charger,
                on_cutoff=self._on_cutoff,
                load_ma=self.meter.load_ma,
                loading=self.capturing,
                remembered=start.slept.get("percent"),
            )
        if start.presence is None:
            start.presence = Presence(board, self.settings, self.log, self.battery)
        self.presence = presence = start.presence
        presence.battery = self.battery
        if not presence.guard.paired:
            self.log.warning("security", "open: whoever is in range can listen")
        self.commands = Commands(self)
        self.link = Link(
            presence.radio,
            presence.door,
            self.journal,
            self.bus,
            self.log,
            presence.guard,
            self._hello,
            self.commands.handle,
        )
        self.voice = Voice(
            parts.microphone,
            self.journal,
            self.bus,
            self.power,
            self.log,
            self.link.kick,
            self.settings,
            getattr(board, "CLEANING", "full"),
            start.early,
            None if self.battery is None else self.battery.may_capture,
        )
        start.early = None  # 24 KB, which go when the voice has taken them over
        self.voice.muted = bool(start.slept.get("muted"))
        self.earcons = Earcons(
            parts.speaker or parts.buzzer, self.bus, self.power, self.log, self.settings, self._muted
        )
        if parts.cue is not None:  # others need not load it
            from glasses.cue import Cue

            Cue(parts.cue, self.bus)
        self.security = Security(
            presence.guard, self.link, self.journal, self.bus, self.log, parts.light, self.recording
        )
        self.spool = Spool(self.log)
        self.saver = Saver(self.journal, self.spool, self.log, self.recording, lambda: self.link.streaming)
        self.spool.restore(self.journal)
        if self.journal.recordings:
            self.log.info("journal", "%d recordings from before" % len(self.journal.recordings))
        self._offer_omi(presence)
        self.fingers.watch(parts.buttons, start.woke, start.stuck_buttons())
        self.doze = Doze(self)
        self.standby = Standby(self, self._fall, self.doze)
        self.watchdog = Watchdog(self.crashes, self.log, on_starving=self._restart)
        self.watchdog.watch("voice", self._voice_progress)
        self.listener = None
        self.bus.now("connected", self._on_connected)
        self.bus.now("disconnected", self._on_disconnected)
        if parts.microphone is not None:
            self.power.manage("mic", "capture", self.voice.stop, _nothing)
        if self.earcons.audible:
            self.power.manage("earcons", "show", self.earcons.stop, _nothing)
        for name, part in (
            ("light", parts.light),
            ("cue", parts.cue),
            ("mic", parts.microphone),
            ("speaker", parts.speaker),
        ):
            if part is not None:
                self.meter.part(name, part.on_ms)

    def _hung(self):
        """Parts that took the glasses with them when they were suspended or resumed: left alone from then on,
        until the power is lost."""
        hung = list(retained.get("hung") or ())
        if self.crashes.crashed is not None:
            what = self.crashes.crashed[3].split(", ")[-1].split(" ")
            if len(what) == 2 and what[0] in ("suspend", "resume") and what[1] not in hung:
                hung.append(what[1])
                retained.put("hung", hung)
        for name in hung:
            self.log.error("power", "%s hung, and is left alone" % name)
        return hung

    def _offer_omi(self, presence):
        if self.settings.omi and presence.guard.paired:
            self.log.warning("omi", "off: it knows no pairing, so it needs the setting security to be open")
        elif self.settings.omi:
            from glasses.compat import omi

            for service in omi.services(self.link, self.journal, self.bus, self.parts):
                presence.services.append(service)
                self.link.offer(service)

    def apply_settings(self):
        """Have the services take up settings that were changed while they run."""
        self.log.set_level(self.settings.log_level)
        self._listen()
        if self.listener is not None:
            self.listener.try_again()
        self.voice.prepare()

    def _listen(self):
        """Have a wake word listened for, if one is set: others need not have that code in memory."""
        if self.listener is not None or not self.settings.wakeword.strip():
            return
        try:
            from glasses.listener import Listener

            self.listener = self.voice.listener = Listener(self)
        except (ImportError, MemoryError) as error:  # the glasses do without
            self.log.error("wakeword", "%s: %s" % (type(error).__name__, error))
            return
        self.watchdog.watch("wakeword", self.listener.progress)
        if self.parts.microphone is not None:
            self.power.manage("listener", "capture", self.listener.stop, self.listener.wake_up)
        self._services["wakeword"] = self.listener.run
        if self.running:
            self._dead.append("wakeword")  # `main` starts it

    def on(self, name):
        """Decorator: have the function called with an Event for each event of that name."""

        def subscribe(hook):
            self.bus.on(name, hook)
            return hook

        return subscribe

    def note(self, text):
        """Journal an event for the host, such as a bookmark."""
        body = protocol.dumps(text)
        recording = self.journal.open("event", {"t": time.ticks_ms()})
        self.journal.write(recording, body)
        self.journal.close(recording)
        self.link.kick()

    def _on_connected(self, name, t, value):
        self.power.hold("connected", "link")

    def _on_disconnected(self, name, t, value):
        self.power.release("link")

    def capturing(self):
        """Whether the microphone runs: flash is not written then."""
        microphone = self.parts.microphone
        return microphone is not None and microphone.capturing

    def recording(self):
        """The same for whoever is about to write flash: what only listens for a wake word stops for that."""
        if self.listener is not None:
            self.listener.pause()
        return self.capturing()

    def _muted(self):
        return self.voice.muted

    def _voice_progress(self):
        return self.voice.frames if self.voice.capturing else None

    def _hello(self):
        return {
            "version": protocol.VERSION,
            "firmware": VERSION,
            "name": self.settings.name,
            "board": self.board.NAME,
            "boot": self.boot,
            "recordings": len(self.journal.recordings),
        }

    # --- running ------------------------------------------------------------------------------

    async def _serve(self, name):
        try:
            await self._services[name]()
        except KeyboardInterrupt:
            self._dead.append(name)  # Ctrl-C happened to fall into this task
            raise
        except Exception as error:
            sys.print_exception(error)
            self.log.error("runtime", "%s failed: %s" % (name, type(error).__name__))
            self._dead.append(name)

    def _revive(self):
        while self._dead:
            name = self._dead.pop()
            self._tasks[name] = asyncio.create_task(self._serve(name))

    async def main(self):
        """The whole runtime as one coroutine; never returns."""
        if not self.running:
            self.running = True
            self._check_battery()
            # Radio first: it needs memory outside the Python heap before that has grown.
            self.link.radio.resting = self.start.cause == TIMER and not self.journal.waiting()
            self.link.start()
            self.power.set_clock(states.TABLE[self.power.state].mhz)
            self.idle.install()
            if self.crashes.safe:
                self.watchdog.release()  # somebody may be at the prompt, without a Ctrl-C that says so
            else:
                self.watchdog.start()
            self._dead = list(self._services)
            cause = self.start.cause
            self.standby.begin(
                cause not in (BUTTON, TIMER, TOUCH, WORN), cause == TIMER and not self.link.connected
            )
            gc.collect()
            self.heap_start = gc.mem_alloc()
            self.log.info("runtime", "%s on %s, start %d" % (self.settings.name, self.board.NAME, self.boot))
        while True:
            self._revive()
            self.heap_peak = max(self.heap_peak, gc.mem_alloc())
            self.account()
            self.watchdog.turn()
            if self.crashes.up_s() >= _HEALTHY_S:
                self.crashes.healthy()
            await asyncio.sleep_ms(_TURN_MS)

    def run(self):
        """Run until Ctrl-C, which gives the prompt while the glasses go on working."""
        self._stop_timer()
        if self.running:
            self.watchdog.start()
            self.crashes.resumed()
            self.power.keep("standby", "prompt", False)
        try:
            asyncio.run(self.main())
        except KeyboardInterrupt:
            self.earcons.stop()
            # Whoever is at the prompt is not bitten by the watchdog, and the glasses stay awake.
            self.watchdog.release()
            self.crashes.ended("prompt")
            self.power.keep("standby", "prompt", True)
            self.run_behind_prompt()
            print("The glasses go on in the background. glasses.run() follows them again, Ctrl-D restarts.")

    def run_behind_prompt(self):
        """Run while the prompt is free, as after Ctrl-C."""
        # The prompt waits in the interpreter's own loop, which runs scheduled callbacks: a timer
        # keeps asyncio going from there.
        self._dead.append("main")
        self._services["main"] = self.main
        self._revive()
        self._timer = machine.Timer(0)
        self._arm()

    def _arm(self):
        # One shot at a time: a periodic timer that the prompt is late to serve fills the scheduler's
        # queue of eight, and then the microphone's completions find no room.
        self._timer.init(mode=self._timer.ONE_SHOT, period=_TICK_MS, callback=self._tick)

    def _tick(self, timer):
        # Runs every task that is due and comes back.
        if self._timer is None:
            return
        try:
            asyncio.get_event_loop().run_until_complete(asyncio.create_task(_once()))
        except Exception as error:
            self._stop_timer()
            sys.print_exception(error)
            return
        if self._timer is not None:
            self._arm()

    def _stop_timer(self):
        if self._timer is not None:
            self._timer.deinit()
            self._timer = None
            task = self._tasks.pop("main", None)
            if task is not None:
                task.cancel()

    # --- power ------------------------------------------------------------------------------------

    def _depth(self, wait_ms):
        return depth(
            wait_ms,
            self.presence.radio.running,
            # (Who listens pauses for half a second now and then: too short to arm what wakes the chip.)
            self.capturing() or self.earcons.playing or self.power.holds(LISTENER),
            self.power.holds("prompt") or self.power.holds("usb") or self.power.holds("grace"),
        )

    def _on_state(self, old, new):
        self.account()

    def account(self):
        """Bring times and charges up to now."""
        self.power.account()
        radio, door = self.presence.radio, self.presence.door
        octets = self.link.pump.bytes
        self.meter.account(
            self.power.state,
            machine.freq() // 1000000,
            self.idle.busy_ms - self._busy_ms,
            radio.running,
            radio.interval_ms,
            door.interval_ms if door.connected else 0,
            octets - self._octets,
        )
        self._busy_ms = self.idle.busy_ms
        self._octets = octets

    def _check_battery(self):
        """An empty cell does not bear the radio: back to off, before that is on. The button, or whoever reset
        them, tries again when it is charged."""
        if self.battery is None:
            return
        self.battery.begin()
        if self.battery.below_cutoff():
            self.log.warning("battery", "empty: %.2f V" % self.battery.gauge.terminal)
            self.voice.drop_early()
            self._fall("off")

    def _on_cutoff(self):
        self.standby.switch_off("the battery is empty")

    def rest(self):
        """Fall asleep as soon as nobody needs the glasses; `off` switches them off whoever does."""
        self.standby.rest()

    def off(self):
        self.standby.switch_off("the app")

    def _fall(self, state):
        """Into deep sleep. Comes back only when the governor refuses."""
        # Who listens has to start afresh once in a while, because of what Bluetooth leaks: see doze.py.
        afresh = self.doze.stale and self.power.only_listening
        if not self.power.enter(state, state == "off" or afresh):
            return
        self.link.stop()
        bonds = self.presence.guard.bonds
        if bonds.dirty:
            try:
                bonds.save()
            except OSError as error:
                self.log.error("security", "the paired hosts could not be saved: %s" % error)
        reach_s = self.settings.reach_s if state == "sleep" else 0
        self.crashes.ended(state)
        retained.put("n", self.journal.serial)
        notes = self._notes()
        lead_ms = notes.get("lead", sleep.LEAD_MS)
        timer_ms = sleep.timer_ms(reach_s, self.start.boot_ms + lead_ms)
        if afresh:
            timer_ms = sleep.SHORTEST_MS
        # Off they are, whatever has been pressed just now.
        stuck = self.stuck_pins() if state == "sleep" else None
        sleep.enter(self.board, state, timer_ms, notes, stuck)

    def stuck_pins(self):
        """Those of buttons that are down when the glasses fall asleep: but not of one pressed just now. And
        the one of being worn."""
        pins = [self.board.PARTS[name]["pin"] for name in self.fingers.known_down()]
        if self.parts.worn is not None and self.parts.worn.present:
            pins.append(self.board.PARTS["worn"]["pin"])
        return pins

    def wakes_when_worn(self):
        """Asleep, they are to wake when they are put on: not while they are worn."""
        return self._waits_for_worn() and not self.parts.worn.present

    def _waits_for_worn(self):
        return self.listener is not None and self.listener.waits_for_worn

    def _notes(self):
        """What the next start must know."""
        notes = {
            "spent": self.power.spent_ms(),
            "charges": self.meter.charges(),
            "waiting": self.journal.waiting(),
            "fresh": self.doze.stale,
        }
        notes["sound"] = self.voice.sound()
        if "lead" in self.start.slept:
            notes["lead"] = self.start.slept["lead"]
        if self.voice.muted:
            notes["muted"] = True
        if self.listener is not None:
            notes["listen_s"] = self.listener.left_s
        if self._waits_for_worn():
            notes["worn"] = True
        if self.battery is not None:
            try:
                notes["percent"] = self.battery.percent()
                notes["weak"] = bool(self.battery.may_capture())
            except OSError:
                pass
        return notes

    def _restart(self):
        """The heap is all but full: start afresh, with what is complete saved."""
        asyncio.create_task(self._restart_soon())

    async def _restart_soon(self):
        try:
            await asyncio.wait_for_ms(self.saver.save_all(), 5000)
        except Exception as error:
            sys.print_exception(error)
        machine.reset()

    # --- looking ------------------------------------------------------------------------------

    def counters(self):
        """Every counter of the firmware by name."""
        return report.counters(self)

    def heap(self):
        """Heap bytes: at the start, now, the peak, and per coded frame (needs `probe_heap`)."""
        return report.heap(self)

    def status(self):
        """What the glasses are doing, as a dict of JSON values."""
        return report.status(self)

    def report_power(self):
        """What keeps the glasses awake, and what they have used, as a dict of JSON values."""
        return report.power(self)
