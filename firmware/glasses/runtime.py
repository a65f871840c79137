"""The runtime: assembles a board into running glasses and keeps their tasks alive."""

import asyncio
import gc
import os
import sys
import time

from glasses import protocol, services
from glasses.board import Parts
from glasses.bonds import Bonds
from glasses.bus import Bus
from glasses.commands import Commands
from glasses.fingers import Fingers
from glasses.guard import Guard
from glasses.journal import largest
from glasses.link import Link
from glasses.log import Log
from glasses.power import Power
from glasses.saver import Saver
from glasses.security import Security
from glasses.settings import Settings
from glasses.spool import Spool
from glasses.voice import Voice

VERSION = "0.1.0"
_TICK_MS = 5
# Heap that the journal leaves to all else: code that is yet to be imported, the app, and, on chips
# without PSRAM, Bluetooth, whose memory the heap would otherwise grow into.
_HEAP_RESERVE = 98304


def _next_boot():
    """Count starts of the glasses, so that recordings of different starts differ.

    The count lives in RTC memory, which survives sleep, and in a file for when it does not.
    """
    import machine

    rtc = machine.RTC()
    memory = rtc.memory()
    if len(memory) >= 4 and memory[:2] == b"LU":
        boot = (memory[2] | memory[3] << 8) + 1
    else:
        try:
            with open("boot.count") as file:
                boot = int(file.read()) + 256  # room for the starts that only RTC memory counted
        except (OSError, ValueError):
            # New flash: not from 0, or a host would take the recordings for those of a life before.
            boot = int.from_bytes(os.urandom(2), "little")
    boot &= 0x3FFF
    if len(memory) < 4 or memory[:2] != b"LU" or not boot & 0xFF:
        try:
            with open("boot.count.new", "w") as file:
                file.write(str(boot))
            os.rename("boot.count.new", "boot.count")
        except OSError:  # a full file system must not keep the glasses from starting
            pass
    rtc.memory(b"LU" + bytes((boot & 0xFF, boot >> 8)) + memory[4:])
    return boot


async def _once():
    await asyncio.sleep_ms(0)


class Glasses:
    """Running glasses, made from board data (a module like ``boards/virtual/board.py``)."""

    def __init__(self, board):
        self.board = board
        self.settings = Settings()
        self.log = Log(self.settings.log_level)
        for problem in self.settings.problems:
            self.log.warning("settings", problem)
        self.boot = _next_boot()
        self.bus = Bus()
        self.power = Power(self.log)
        self.journal = largest(board.JOURNAL_KB * 1024, self.boot, _HEAP_RESERVE)
        kb = len(self.journal.data) // 1024
        if kb < board.JOURNAL_KB * 3 // 4:
            self.log.warning("journal", "memory for %d KB, not for %d" % (kb, board.JOURNAL_KB))
        self.fingers = Fingers(self.bus, self.settings)
        self.parts = Parts(board, self.fingers)
        for problem in self.parts.problems:
            self.log.error("board", problem)
        self.commands = Commands(self)
        guard = Guard(Bonds(), self.settings.security != "open")
        if not guard.paired:
            self.log.warning("security", "open: whoever is in range can listen")
        self.link = Link(
            self.journal, self.bus, self.log, self.settings, guard, self._hello, self.commands.handle
        )
        self.voice = Voice(
            self.parts.microphone,
            self.journal,
            self.bus,
            self.power,
            self.log,
            self.link.kick,
            self.settings.probe_heap,
            self.settings.longest_s,
        )
        self.security = Security(
            guard, self.link, self.journal, self.bus, self.log, self.parts.light, self._capturing
        )
        self.spool = Spool(self.log)
        self.saver = Saver(self.journal, self.spool, self.log, self._capturing, lambda: self.link.streaming)
        self.spool.restore(self.journal)
        if self.journal.recordings:
            self.log.info("journal", "%d recordings from before" % len(self.journal.recordings))
        offered = services.standard(self.parts.battery, board, VERSION)
        if self.settings.omi and guard.paired:
            self.log.warning("omi", "off: it knows no pairing, so it needs the setting security to be open")
        elif self.settings.omi:
            from glasses.compat import omi

            offered += omi.services(self.link, self.journal, self.bus, self.parts)
        for service in offered:
            self.link.offer(service)
        self.fingers.watch(self.parts.buttons)
        self.bus.now("connected", self._on_connected)
        self.bus.now("disconnected", self._on_disconnected)
        self._services = {
            "fingers": self.fingers.run,
            "voice": self.voice.run,
            "link": self.link.run,
            "security": self.security.run,
            "hooks": self.bus.run,
            "saver": self.saver.run,
            "values": services.Refresher(self.link, self.bus, offered).run,
        }
        self._tasks = {}
        self._dead = []
        self._timer = None
        self._started = time.ticks_ms()
        self._heap_start = 0
        self._heap_peak = 0
        self.running = False

    def apply_settings(self):
        """Have the services take up settings that were changed while they run."""
        self.log.set_level(self.settings.log_level)

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

    def _capturing(self):
        return self.voice.capturing

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
            # Radio first: it needs memory outside the Python heap before that has grown.
            self.link.start()
            self._dead = list(self._services)
            gc.collect()
            self._heap_start = gc.mem_alloc()
            self.log.info("runtime", "%s on %s, start %d" % (self.settings.name, self.board.NAME, self.boot))
        while True:
            self._revive()
            self._heap_peak = max(self._heap_peak, gc.mem_alloc())
            self.power.account()
            await asyncio.sleep_ms(500)

    def run(self):
        """Run until Ctrl-C, which gives the prompt while the glasses go on working."""
        self._stop_timer()
        try:
            asyncio.run(self.main())
        except KeyboardInterrupt:
            self._background()
            print("The glasses go on in the background. glasses.run() follows them again, Ctrl-D restarts.")

    def _background(self):
        # The prompt waits in the interpreter's own loop, which runs scheduled callbacks: a timer
        # keeps asyncio going from there.
        import machine

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

    # --- looking ------------------------------------------------------------------------------

    def counters(self):
        """Every counter of the firmware by name."""
        counts = {}
        for part in (self.journal, self.saver, self.link, self.voice, self.bus, self.fingers):
            counts.update(part.counters())
        return counts

    def heap(self):
        """Heap bytes: at the start, now, the peak, and per coded frame (needs `probe_heap`)."""
        frames = self.voice.probed_frames
        return {
            "start": self._heap_start,
            "end": gc.mem_alloc(),
            "peak": max(self._heap_peak, gc.mem_alloc()),
            "bytes_per_frame": self.voice.probed_bytes / frames if frames else None,
        }

    def status(self):
        """What the glasses are doing, as a dict of JSON values."""
        battery = self.parts.battery
        return {
            "name": self.settings.name,
            "firmware": VERSION,
            "board": self.board.NAME,
            "boot": self.boot,
            "running": self.running,
            "up_s": time.ticks_diff(time.ticks_ms(), self._started) // 1000,
            "state": self.power.state,
            "connected": self.link.connected,
            "mtu": self.link.mtu,
            "security": self.settings.security,
            "pairing": self.link.guard.window_open,
            "hosts": len(self.link.guard.bonds.hosts),
            "capturing": self.voice.capturing,
            "muted": self.voice.muted,
            "level": self.voice.level,
            "battery_v": round(battery.volts(), 2) if battery else None,
            "battery_percent": battery.percent() if battery else None,
            "parts": self.parts.names(),
            "recordings": len(self.journal.recordings),
            "journal_free": self.journal.free,
            "saved": self.journal.saved,
            "saved_bytes": self.spool.bytes,
            "states": self.power.seconds(),
            "counters": self.counters(),
            "heap": self.heap(),
        }
