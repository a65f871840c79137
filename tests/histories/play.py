"""One history: what happens, at random, and the check at its end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from flash_shim import Disk as Flash
from flash_shim import PowerCut
from hosts import Crash

from .ledger import Counts, Truth, copies
from .sides import HOSTS, Computer, Glasses, Link

TICK_S = 0.02
KINDS = ("speech", "photo", "log", "event")


class Dropped(Exception):
    """The link is gone in the middle of something."""


class Play:
    """One history. `check` at its end is what it is about."""

    def __init__(self, seed: int, counts: Counts, verbose: bool = False):
        self.rng = random.Random(seed)
        self.seed = seed
        self.counts = counts
        self.verbose = verbose
        self.ledger: dict[int, Truth] = {}
        self.flash = Flash(self.rng.choice((1 << 20, 120_000, 90_000)))
        self.slots = self.rng.choice((12, 40, 200))
        self.boot = self.rng.choice((1, 7, 0x3FFE))
        self.computers = [Computer(self, identity) for identity in HOSTS]
        self.glasses: Glasses | None = None
        self.link: Link | None = None
        self.evicted = 0
        self.durable: set[int] = set()  # saved when the power went
        self.deleted = 0

    def say(self, text: str) -> None:
        if self.verbose:
            print(f"{asyncio.get_running_loop().time():8.2f} {text}")

    # --- power and links

    def power_on(self) -> None:
        self.flash.cut_at = -1
        self.boot = (self.boot + 1) & 0x3FFF
        held = {n for n, truth in self.ledger.items() if truth.cut}
        self.glasses = Glasses(self, self.boot, self.slots)
        restored = {r.number for r in self.glasses.journal.recordings}
        assert self.durable <= restored, "what was saved has to come back"
        for number in held & restored:
            self.ledger[number].cut = False  # the rename had just been done
        self.say(f"power on, {len(restored)} recordings from before")

    def power_off(self) -> None:
        glasses = self.glasses
        if glasses is None:
            return
        self.say("power off")
        self.counts.add("power cuts")
        self.drop()
        glasses.saving.cancel()
        self.evicted += glasses.journal.evicted_recordings
        self.durable = {r.number for r in glasses.journal.recordings if r.file is not None}
        for recording in glasses.journal.recordings:
            if recording.file is None:
                self.ledger[recording.number].cut = True
        self.glasses = None

    def connect(self, computer: Computer, calm: bool = False) -> None:
        glasses = self.glasses
        if glasses is None or self.link is not None:
            return
        if computer.receiver is None:
            try:
                computer.start()
            except Crash:
                self.counts.add("host crashes")
                computer.stop("crash")
                return
        link = self.link = Link(self.rng, computer, calm)
        self.say(f"{computer.identity!r} connects, MTU {link.mtu}, {link.buffers} buffers")
        self.counts.add("connections")
        glasses.session.begin(computer.identity)
        assert computer.receiver is not None
        self._guarded(lambda: computer.carry_out(computer.receiver.connect()))  # type: ignore[union-attr]

    def drop(self) -> None:
        if self.link is not None:
            self.say("drop")
            self.counts.add("drops")
            self.link = None
            if self.glasses is not None:
                self.glasses.pump.running = False

    def write(self, data: bytes) -> None:
        """The host writes to CONTROL; returns when the glasses have it."""
        if self.link is None or self.glasses is None:
            raise Dropped
        self.glasses.session.serve(data, self.link.mtu)

    def _guarded(self, work: Callable[[], None]) -> None:
        computer = self.link.computer if self.link is not None else None
        try:
            work()
        except Dropped:
            pass
        except Crash:
            assert computer is not None
            self.say(f"{computer.identity!r} crashes")
            self.counts.add("host crashes")
            computer.stop("crash")
            self.drop()

    # --- time

    async def tick(self, n: int = 1) -> None:
        """So many times 20 ms."""
        for _ in range(n):
            await asyncio.sleep(TICK_S)
            glasses = self.glasses
            if glasses is None:
                continue
            if glasses.saving.done():
                error = glasses.saving.exception()
                assert isinstance(error, PowerCut), error
                self.counts.add("power cuts in a save")
                self.power_off()
                continue
            if glasses.capture is not None:
                glasses.frame()
                if glasses.capture_left <= 0:
                    glasses.end(keep=not (glasses.capture.draft and self.rng.random() < 0.5))
            self._guarded(self._deliver)
            if self.link is not None:
                # As the link's task does: at once for what is new, later when there was no room.
                glasses.pump.pump()

    def _deliver(self) -> None:
        link = self.link
        for _ in range(link.rate if link is not None else 0):
            if link is not self.link or link is None or not link.queue:
                return
            packet = link.queue.pop(0)
            if self.rng.random() < link.loses:
                link.dropped += 1
                self.counts.add("packets that a host lost")
                continue
            link.computer.hear(link, packet)

    # --- what happens

    async def play(self) -> None:
        rng = self.rng
        self.power_on()
        steps: list[tuple[int, Callable[[], None]]] = [
            (9, self._capture),
            (3, self._at_once),
            (5, lambda: self.connect(rng.choice(self.computers))),
            (3, self.drop),
            (2, self._host_ends),
            (1, self._host_will_crash),
            (1, self.power_off),
            (1, self._power_will_go),
            (1, self._mtu),
            (1, self._delete),
        ]
        weights = [weight for weight, _ in steps]
        for _ in range(rng.choice((8, 15, 30))):
            if self.glasses is None and rng.random() < 0.7:
                self.power_on()
            rng.choices(steps, weights)[0][1]()
            await self.tick(rng.choice((0, 1, 5, 20, 60)))
        await self._settle()
        self.check()

    def _capture(self) -> None:
        if self.glasses is not None and self.glasses.capture is None:
            self.counts.add("captures")
            self.glasses.begin("speech", self.rng.choice((1, 10, 30, 80)), self.rng.random() < 0.5)

    def _at_once(self) -> None:
        if self.glasses is not None and self.glasses.capture is None:
            self.counts.add("captures")
            self.glasses.begin(self.rng.choice(KINDS[1:]), self.rng.choice((1, 1, 25)), False)
            while self.glasses.capture_left:
                self.glasses.frame()
            self.glasses.end(keep=True)

    def _host_ends(self) -> None:
        computer = self.rng.choice(self.computers)
        if computer.receiver is not None:
            if self.link is not None and self.link.computer is computer:
                self.drop()
            how = self.rng.choice(("kill", "crash"))
            self.say(f"{computer.identity!r}: {how}")
            self.counts.add("host crashes")
            computer.stop(how)

    def _host_will_crash(self) -> None:
        disk = self.rng.choice(self.computers).disk
        disk.crash_at = disk.steps + self.rng.randint(1, 12)

    def _power_will_go(self) -> None:
        self.flash.cut_at = self.flash.operations + self.rng.randint(0, 6)

    def _mtu(self) -> None:
        # What the stack holds already went out under the old one, which was larger or smaller.
        if self.link is not None and self.glasses is not None and not self.link.queue:
            self.link.mtu = self.rng.choice((23, 100, 247))
            self.glasses.pump.resize(self.link.mtu)
            self.counts.add("changes of the MTU")

    def _delete(self) -> None:
        if self.glasses is not None:
            closed = [r for r in self.glasses.journal.recordings if r.closed]
            if closed:
                self.deleted += 1
                self.glasses.journal.delete(self.rng.choice(closed))

    # --- the end

    async def _settle(self) -> None:
        """Everything is well from now on: the hosts come one after the other and take what there is."""
        if self.glasses is None:
            self.power_on()
        self.flash.cut_at = -1
        for computer in self.computers:
            computer.disk.crash_at = -1
        assert self.glasses is not None
        while self.glasses.capture is not None:
            await self.tick()
        for computer in self.computers * 2:
            self.drop()
            self.connect(computer, calm=True)
            await self._quiet()
        self.drop()
        await self.tick(100)  # files that are done with are removed

    async def _quiet(self) -> None:
        """Until nothing moves any more between the glasses and the host that is connected."""
        still = 0
        for _ in range(4000):
            before = self.link.queue if self.link is not None else []
            moved = bool(before)
            await self.tick()
            if self.glasses is not None and self.link is not None:
                moved = moved or bool(self.link.queue)
            still = 0 if moved else still + 1
            if still > 10:
                return
        raise AssertionError("it never comes to rest")

    def check(self) -> None:
        """Every frame is on a host's disk, once and unchanged, or its loss is accounted for."""
        glasses = self.glasses
        assert glasses is not None
        left = [r.number for r in glasses.journal.recordings]
        assert not left, f"still on the glasses: {[hex(n) for n in left]}"
        assert not self.flash.files, f"still in flash: {sorted(self.flash.files)}"
        assert glasses.journal.free == glasses.journal.slots and not glasses.journal.reclaimable
        for computer in self.computers:
            assert computer.receiver is not None
            open_ = [n for n, r in computer.receiver.store.recordings.items() if not r.complete]
            assert not open_, f"{computer.identity!r} waits for ever for {[hex(n) for n in open_]}"
        held = [copies(computer.disk.final()) for computer in self.computers]
        for number, truth in self.ledger.items():
            found = [copy[number] for copy in held if number in copy]
            if truth.discarded:
                assert not found, f"{number:x} was a tap"
                continue
            whole = [frames for about, frames in found if about["crc_ok"]]
            for about, frames in found:
                assert frames.items() <= truth.frames.items(), f"{number:x} was changed"
                if about["crc_ok"]:
                    assert frames == truth.frames, f"{number:x} has the right CRC and other frames"
                    assert about["lost"] == truth.lost
            if truth.gone or truth.cut or whole:
                continue
            # Two hosts may have shared it: each frame is then on one of the disks at least.
            together = {index for _, frames in found for index in frames}
            assert len(found) == 2 and together == set(truth.frames), (
                f"{number:x} ({truth.kind}, {len(truth.frames)} frames) is not whole anywhere: "
                f"{[(about, len(frames)) for about, frames in found]}"
            )
            self.counts.add("recordings that two hosts share")
        gone = sum(truth.gone for truth in self.ledger.values())
        counted = self.evicted + glasses.journal.evicted_recordings + self.deleted
        assert gone == counted, f"{gone} recordings are gone, {counted} were counted"
        self.counts.add("recordings", len(self.ledger))
        self.counts.add("recordings that were evicted or deleted", gone)
        self.counts.add("recordings lost with the power", sum(t.cut for t in self.ledger.values()))
        self.counts.add("frames", sum(len(t.frames) for t in self.ledger.values()))
