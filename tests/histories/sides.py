"""The two sides of a history and the link between them."""

from __future__ import annotations

import asyncio
import importlib
import random
from typing import TYPE_CHECKING, Any

from hosts import FOLDER, CrashingDisk

from lunette.protocol import wire
from lunette.receiver import Receiver, Steps, Tell, Work
from lunette.store import Store

from .ledger import MARK_BYTES, Truth, mark

if TYPE_CHECKING:
    from .play import Play


class Log:
    def error(self, area: str, text: str) -> None: ...

    debug = info = warning = error


HOSTS = (b"host A.", b"host B.")


class Glasses:
    """From one power-on to the next."""

    def __init__(self, play: Play, boot: int, slots: int):
        self.play = play
        module = importlib.import_module
        journal = module("glasses.journal")
        spool = module("glasses.spool")
        play.flash.plug(spool, module("glasses.savefile"))
        play.flash.allowed = lambda: self.capture is None
        self.capture: Any = None
        self.capture_left = 0
        self.journal = journal.Journal(slots * journal.SLOT, boot)
        self.pump = module("glasses.pump").Pump(self.journal, self.notify)
        self.journal.on_gone = self.on_gone
        self.spool = spool.Spool(Log())
        self.saver = module("glasses.saver").Saver(
            self.journal, self.spool, Log(), lambda: self.capture is not None, lambda: self.pump.running
        )
        self.session = module("glasses.session").Session(
            self.journal, self.pump, Log(), lambda: {"boot": boot}, self.handle
        )
        self.retry_at = 0.0
        self.spool.restore(self.journal)
        self.saving = asyncio.ensure_future(self.saver.run())

    def handle(self, request: dict[str, Any]) -> Any:
        raise ValueError("not here")

    def on_gone(self, recording: Any) -> None:
        self.play.say(f"{recording.number:x} is gone")
        self.play.ledger[recording.number].gone += 1
        self.pump.gone(recording)

    def notify(self, view: Any) -> None:
        link = self.play.link
        if link is None:
            raise OSError(128)
        assert len(view) <= link.mtu - 3
        if len(link.queue) >= link.buffers:
            raise OSError(12)
        link.queue.append(bytes(view))

    # --- capturing, as voice.py does it

    def begin(self, kind: str, frames: int, draft: bool) -> None:
        # Metadata tells recordings of one id apart, as `t` and `take` do.
        recording = self.journal.open(kind, {"n": self.play.rng.getrandbits(30)}, draft)
        self.play.ledger[recording.number] = Truth(kind)
        self.capture, self.capture_left = recording, frames

    def frame(self) -> None:
        recording, rng = self.capture, self.play.rng
        truth = self.play.ledger[recording.number]
        offset = self.journal.slot()
        if offset < 0:
            self.journal.lose(recording)
            truth.lost += 1
            self.play.counts.add("frames that found no room")
        else:
            index = recording.count
            frame = mark(recording.number, index, rng.randbytes(rng.choice((0, 3, 40, 164 - MARK_BYTES))))
            self.journal.data[offset : offset + len(frame)] = frame
            self.journal.append(recording, len(frame))
            truth.frames[index] = frame
        self.capture_left -= 1

    def end(self, keep: bool) -> None:
        recording, self.capture = self.capture, None
        truth = self.play.ledger[recording.number]
        if recording.draft and not keep:
            self.journal.discard(recording)
            truth.discarded = True
            return
        if recording.draft:
            self.journal.publish(recording)
        self.journal.close(recording, {"lost": recording.lost})
        truth.closed = True


class Link:
    """A connection: what is queued in the stack, and how fast it leaves."""

    def __init__(self, rng: random.Random, computer: Computer, calm: bool):
        self.computer = computer
        self.mtu = rng.choice((23, 30, 185, 247, 517))
        self.buffers = rng.choice((1, 3, 24))
        self.rate = 12 if calm else rng.choice((1, 2, 4, 12))  # packets a tick
        self.loses = 0.0 if calm else rng.choice((0.0, 0.0, 0.0, 0.05))  # between adapter and program
        self.queue: list[bytes] = []
        self.unpacker = wire.Unpacker()
        self.dropped = 0


class Computer:
    """A host: its disk outlives its programs."""

    def __init__(self, play: Play, identity: bytes):
        self.play = play
        self.identity = identity
        self.disk = CrashingDisk(play.rng)
        self.receiver: Receiver | None = None

    def start(self) -> None:
        self.receiver = Receiver(Store(FOLDER, "glasses", disk=self.disk))  # type: ignore[arg-type]

    def stop(self, how: str) -> None:
        self.receiver = None
        self.disk.crash_at = -1
        self.disk.open.clear()
        if how == "crash":  # of the computer: what was not synced may be gone
            self.disk = self.disk.after_crash()

    def carry_out(self, steps: Steps) -> None:
        for step in steps:
            if isinstance(step, Work):
                step.run()
            elif not isinstance(step, Tell):
                self.play.write(step.data)

    def hear(self, link: Link, packet: bytes) -> None:
        assert self.receiver is not None
        before = link.unpacker.gaps
        messages = link.unpacker.feed(packet)
        now = asyncio.get_running_loop().time()
        assert link.unpacker.errors == 0, "a packet that breaks the format"
        assert link.unpacker.gaps == 0 or link.dropped, "a gap that is none"
        if link.unpacker.gaps != before:
            self.carry_out(self.receiver.gap())
        for kind, body in messages:
            self.carry_out(self.receiver.message(wire.parse_message(kind, body), now))
