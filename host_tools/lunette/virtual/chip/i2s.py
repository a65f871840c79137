"""The I2S ports: a microphone in, a speaker out, by the sample clock.

Modelled, from the driver's source: receive DMA in descriptors of 256 frames of 32-bit stereo that
become readable when full; ``ibuf // 2048`` of them, of which one is always being filled; the oldest
is lost silently when nobody reads; MONO is the left channel and 16 bits are the top two bytes; in
non-blocking mode one transfer under way and one queued, more are dropped silently; one object a port
and one direction an object; transmit plays silence when it has nothing. What microphones send is in
`microphones.py`.
Not modelled: I2S slave modes, clock error, samples torn by a DMA that laps a reader in the middle of
a descriptor, the clock stopping in light sleep, the first samples of a microphone waking up.

There is no periodic tick: what a transfer gets and when it completes follows from the sample clock
at the moment it starts, so each costs one timer.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lunette.chips import ChipData
from lunette.virtual.chip.bus import Bus
from lunette.virtual.chip.microphones import Capsule, I2sLine, Line, Slots, lines
from lunette.virtual.chip.pins import Pins
from lunette.virtual.chip.sound import Sound
from lunette.virtual.hal import _ops as ops

MODE_RX, MODE_TX = 1, 2  # i2s_dir_t
MONO, STEREO = 0, 1
DESCRIPTOR_FRAMES = 256
RX_FRAME_BYTES = 8

# (number, text): OSError with a number alone has no `errno` in CPython.
_EINVAL = (22, "EINVAL")
_ENOMEM = (12, "ENOMEM")
_ESP_INVALID_ARG = (-0x102, "ESP_ERR_INVALID_ARG")
_ESP_INVALID_STATE = (-0x103, "ESP_ERR_INVALID_STATE")

_MAX_SESSIONS = 256
_MAX_SEGMENTS = 4096
_MAX_COMPLETED = 4  # a program has at most two transfers out; the rest is for late fetches


@dataclass
class Session:
    """One life of a port, from init to deinit: what a test compares and computes latencies with."""

    port: int
    mode: int
    bits: int
    format: int
    rate: int
    ibuf: int
    pins: tuple[int, int, int]  # sck, ws, sd
    started: float  # time of the loop at which the sample clock started: that of frame 0
    first_sample: int = 0  # sample of the sound that is frame 0
    ended: float | None = None
    delivered: int = 0  # frames handed to the program
    overruns: int = 0  # how often frames were lost
    dropped: int = 0  # frames lost
    underruns: int = 0  # how often transmit ran dry
    refused: int = 0  # transfers dropped because two were out already
    lost_completions: int = 0  # interrupts that found the scheduler full
    # Receive: (first frame, count) of what was delivered, in order. Transmit: (first frame, samples).
    segments: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_MAX_SEGMENTS))
    played: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=_MAX_SEGMENTS))

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame in the program's buffer."""
        return self.bits // 8 * (2 if self.format == STEREO else 1)

    def frame_time(self, frame: int) -> float:
        """When `frame` is on the wire."""
        return self.started + frame / self.rate

    def played_pcm(self) -> np.ndarray[Any, Any]:
        """What was played from frame 0 to the last sample, silence where there was nothing.

        Shape (frames,) for MONO, (frames, 2) for STEREO; int16 or int32.
        """
        kind = np.int16 if self.bits == 16 else np.int32
        channels = 2 if self.format == STEREO else 1
        parts = [(at, np.frombuffer(b, kind).reshape(-1, channels)) for at, b in self.played]
        end = max((at + len(p) for at, p in parts), default=0)
        out = np.zeros((end, channels), kind)
        for at, p in parts:
            out[at : at + len(p)] = p
        return out if channels == 2 else out[:, 0]


@dataclass
class _Transfer:
    token: int
    frames: int
    data: bytes = b""
    pieces: list[tuple[int, int]] = field(default_factory=list)
    done: asyncio.Future[bytes] | None = None  # a blocking one


class _Port:
    """A running port: its DMA and its queue of transfers."""

    def __init__(self, owner: I2s, session: Session, descriptors: int):
        self.owner = owner
        self.session = session
        self.descriptors = descriptors
        self.blocking = True
        self.active: _Transfer | None = None
        self.queued: _Transfer | None = None
        self.completed: OrderedDict[int, bytes] = OrderedDict()
        self.last_completed = 0
        self.partial = b""  # beginning of a long non-blocking write
        self._handle: asyncio.TimerHandle | None = None
        self._due = 0.0
        # Reader: frames left of the descriptor in hand, and the next descriptor to take.
        self._position = 0
        self._left = 0
        self._head = 0
        self._before = (0, 0, 0)  # the same, when the active transfer began
        self._end = 0  # transmit: first frame that has nothing to play

    def submit(self, transfer: _Transfer) -> bool:
        now = asyncio.get_running_loop().time()
        if self.active is None:
            self._begin(transfer, now)
        elif self.queued is None:
            self.queued = transfer
        else:
            self.session.refused += 1
            return False
        return True

    def drop_transfers(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = None
        if self.active is not None and self.session.mode == MODE_RX:
            self._give_up(self.active)
        for transfer in (self.active, self.queued):
            if transfer is not None and transfer.done is not None:
                transfer.done.cancel()
        self.active = self.queued = None
        self.partial = b""

    def cancel(self, transfer: _Transfer) -> None:
        """Ctrl-C in a blocking transfer."""
        if transfer is self.queued:
            self.queued = None
        elif transfer is self.active:
            self.drop_transfers()

    def _begin(self, transfer: _Transfer, now: float) -> None:
        self.active = transfer
        due = self._start_rx(transfer, now) if self.session.mode == MODE_RX else self._start_tx(transfer, now)
        self._due = due
        self._handle = asyncio.get_running_loop().call_at(due, self._finish, transfer, due)

    def catch_up(self) -> None:
        """Complete what is due, in a program that was blocked. The driver's task was not: it has begun the
        queued transfer when the one before it was done. Then the ring fills, and overflows."""
        now = asyncio.get_running_loop().time()
        while self._handle is not None and self.active is not None and self._due <= now:
            self._handle.cancel()
            self._finish(self.active, self._due)

    def _finish(self, transfer: _Transfer, due: float) -> None:
        self._handle = None
        s = self.session
        if s.mode == MODE_RX:
            data = self.owner.capture(s, transfer.pieces)
            s.delivered += transfer.frames
            for piece in transfer.pieces:
                if s.segments and sum(s.segments[-1]) == piece[0]:
                    s.segments[-1] = (s.segments[-1][0], s.segments[-1][1] + piece[1])
                else:
                    s.segments.append(piece)
        else:
            data = b""
        self.active, waiting, self.queued = None, self.queued, None
        if waiting is not None:
            # At the moment that was due: the driver's task goes on at once, even if we are late.
            self._begin(waiting, due)
        if transfer.done is not None:
            if not transfer.done.done():
                transfer.done.set_result(data)
            return
        self.completed[transfer.token] = data
        while len(self.completed) > _MAX_COMPLETED:
            self.completed.popitem(last=False)
        self.last_completed = transfer.token
        if not self.owner.bus.interrupt(ops.SRC_I2S, s.port, transfer.token):
            s.lost_completions += 1

    # --- receive ------------------------------------------------------------------------------------

    def _start_rx(self, transfer: _Transfer, now: float) -> float:
        s = self.session
        oldest = self._full(now) - (self.descriptors - 1)
        if self._head < oldest:
            s.overruns += 1
            s.dropped += (oldest - self._head) * DESCRIPTOR_FRAMES
            self._head = oldest
        self._before = (self._position, self._left, self._head)
        transfer.pieces = self._take(transfer.frames)
        # The last frame is readable when its descriptor is full.
        return max(now, s.started + self._head * DESCRIPTOR_FRAMES / s.rate)

    def _take(self, frames: int) -> list[tuple[int, int]]:
        """Move the reader on by `frames`; returns the runs (first frame, count) that it gets."""
        pieces = []
        while frames:
            if not self._left:
                self._position = self._head * DESCRIPTOR_FRAMES
                self._left = DESCRIPTOR_FRAMES
                self._head += 1
            n = min(frames, self._left)
            pieces.append((self._position, n))
            self._position += n
            self._left -= n
            frames -= n
        return pieces

    def _give_up(self, transfer: _Transfer) -> None:
        # The driver had copied what was there; what was still to come is for the next reader.
        full = self._full(asyncio.get_running_loop().time())
        self._position, self._left, self._head = self._before
        self._take(sum(n for at, n in transfer.pieces if at < full * DESCRIPTOR_FRAMES))

    def _full(self, now: float) -> int:
        """How many descriptors have been filled."""
        return math.floor((now - self.session.started) * self.session.rate / DESCRIPTOR_FRAMES + 1e-6)

    # --- transmit -----------------------------------------------------------------------------------

    def _start_tx(self, transfer: _Transfer, now: float) -> float:
        s = self.session
        playing = math.ceil((now - s.started) * s.rate - 1e-6)
        if self._end < playing:
            if self._end:
                s.underruns += 1
            self._end = playing
        s.played.append((self._end, transfer.data))
        self._end += transfer.frames
        capacity = self.descriptors * DESCRIPTOR_FRAMES
        return max(now, s.started + (self._end - capacity) / s.rate)


class I2s:
    """`sessions` records every life of a port, the newest last.

    `parts` is what the board has wired to the pins; without it, whatever pins a port has lead to an I2S
    microphone, the left one.
    """

    def __init__(
        self,
        data: ChipData,
        bus: Bus,
        pins: Pins,
        sound: Sound,
        parts: Mapping[str, Mapping[str, Any]] | None = None,
    ):
        self._data = data
        self._pins = pins
        self.bus = bus
        self.sound = sound
        self.lines: list[Line] = lines(parts, sound)
        self.sessions: deque[Session] = deque(maxlen=_MAX_SESSIONS)
        self._ports: dict[int, _Port] = {}
        self.on_change: Callable[[], None] = lambda: None
        bus.register(
            {
                ops.I2S_INIT: self._init,
                ops.I2S_DEINIT: lambda a, b, c, d, data: self._stop(a),
                ops.I2S_READ: self._read,
                ops.I2S_FETCH: self._fetch,
                ops.I2S_WRITE: self._write,
                ops.I2S_BLOCK: self._block,
                ops.I2S_IRQ: self._irq,
                ops.I2S_PLAY: self._play,
            }
        )

    @property
    def takes(self) -> list[Session]:
        """Those of the sessions that received: microphones."""
        return [session for session in self.sessions if session.mode == MODE_RX]

    @property
    def playbacks(self) -> list[Session]:
        """Those of the sessions that transmitted: speakers."""
        return [session for session in self.sessions if session.mode == MODE_TX]

    @property
    def listening(self) -> bool:
        """A port is receiving."""
        return any(p.session.mode == MODE_RX for p in self._ports.values())

    def running(self, number: int) -> bool:
        """The clock of port `number` is on."""
        return number in self._ports

    def catch_up(self) -> None:
        """The program was blocked until now: do what the ports have done meanwhile."""
        for port in list(self._ports.values()):
            port.catch_up()

    def reset(self) -> None:
        for n in list(self._ports):
            self._stop(n)

    def capture(self, session: Session, pieces: list[tuple[int, int]]) -> bytes:
        """The bytes that a program reads for runs of frames (first frame, count)."""
        first, count = pieces[0][0], sum(n for _, n in pieces)
        if pieces[-1][0] + pieces[-1][1] == first + count:  # without a gap
            slots = self._on_the_line(session, first, count)
        else:
            slots = np.concatenate([self._on_the_line(session, at, n) for at, n in pieces])
        picked = slots if session.format == STEREO else slots[:, 0]
        if session.bits == 16:
            picked = picked >> 16
        return picked.astype("<i2" if session.bits == 16 else "<i4").tobytes()

    def _on_the_line(self, session: Session, frame: int, n: int) -> Slots:
        for line in self.lines:
            if line.wired(*session.pins):
                return line.slots(session, frame, n)
        return np.zeros((n, 2), np.int32)  # nobody drives it

    def microphone(self, side: str = "left") -> Capsule:
        """The board's microphone on that side, to give it a fault or noise of its own. Raises ValueError."""
        if not self.lines:
            raise ValueError("the board has no microphone")
        return self.lines[0].capsule(side)

    @property
    def channel(self) -> str:
        """Where the board's only I2S microphone drives the line, as `I2sLine.drive` has it. Settable."""
        return self._i2s_line.driven

    @channel.setter
    def channel(self, channel: str) -> None:
        self._i2s_line.drive(channel)

    @property
    def _i2s_line(self) -> I2sLine:
        return next(line for line in self.lines if isinstance(line, I2sLine))

    # --- requests -----------------------------------------------------------------------------------

    def _init(self, a: int, b: int, c: int, d: int, data: bytes | None) -> None:
        p = json.loads(data or b"{}")
        number = p["id"]
        if not 0 <= number < self._data.i2s_ports:
            raise ValueError("invalid id")
        self._stop(number)
        if p["mode"] not in (MODE_RX, MODE_TX):
            raise ValueError("invalid mode")
        if p["bits"] not in (16, 32):
            raise ValueError("invalid bits")
        if p["format"] not in (MONO, STEREO):
            raise ValueError("invalid format")
        for pin in (p["sck"], p["ws"]):
            self._pins.check(pin, output=True)
        self._pins.check(p["sd"], output=p["mode"] == MODE_TX)
        if p["rate"] <= 0:
            raise OSError(*_ESP_INVALID_ARG)
        loop = asyncio.get_running_loop()
        session = Session(
            number,
            p["mode"],
            p["bits"],
            p["format"],
            p["rate"],
            p["ibuf"],
            (p["sck"], p["ws"], p["sd"]),
            started=loop.time(),
        )
        frame_bytes = RX_FRAME_BYTES if p["mode"] == MODE_RX else session.frame_bytes
        descriptors = p["ibuf"] // (DESCRIPTOR_FRAMES * frame_bytes)
        if descriptors < 2:  # i2s_new_channel wants two
            raise OSError(*_ESP_INVALID_ARG)
        others = sum(q.session.ibuf for q in self._ports.values())
        if others + p["ibuf"] > self._data.dma_bytes:
            raise OSError(*_ENOMEM)
        session.first_sample = self.sound.index(session.started)
        self.sessions.append(session)
        self._ports[number] = _Port(self, session, descriptors)
        self.on_change()

    def _stop(self, number: int) -> None:
        port = self._ports.pop(number, None)
        if port is not None:
            port.drop_transfers()
            port.session.ended = asyncio.get_running_loop().time()
            self.on_change()

    def _port(self, number: int) -> _Port:
        try:
            return self._ports[number]
        except KeyError:
            raise OSError(*_ESP_INVALID_STATE) from None

    def _irq(self, number: int, on: int, c: int, d: int, data: bytes | None) -> None:
        port = self._port(number)
        port.drop_transfers()
        port.blocking = not on

    def _frames(self, port: _Port, nbytes: int) -> int:
        frames, rest = divmod(nbytes, port.session.frame_bytes)
        if rest:
            raise OSError(*_EINVAL)
        return frames

    def _read(self, number: int, nbytes: int, token: int, d: int, data: bytes | None) -> int:
        port = self._port(number)
        queued = port.submit(_Transfer(token, self._frames(port, nbytes)))
        return 2 * port.last_completed + queued

    def _fetch(self, a: int, token: int, c: int, d: int, data: bytes | None) -> bytes:
        number, chunk = a & 15, a >> 4
        port = self._ports.get(number)
        if port is None:
            return b""
        at = chunk * ops.ANSWER_BYTES
        return port.completed.get(token, b"")[at : at + ops.ANSWER_BYTES]

    def _write(self, number: int, token: int, more: int, d: int, data: bytes | None) -> int:
        port = self._port(number)
        port.partial += data or b""
        if more:
            return 1
        whole, port.partial = port.partial, b""
        return int(port.submit(_Transfer(token, len(whole) // port.session.frame_bytes, whole)))

    # The blocking ones are coroutines: nothing happens until the transport awaits them, which the
    # one in this process refuses to do.

    def _block(self, number: int, nbytes: int, c: int, d: int, data: bytes | None) -> Awaitable[bytes]:
        port = self._port(number)
        return self._wait(port, _Transfer(0, self._frames(port, nbytes)))

    def _play(self, number: int, b: int, c: int, d: int, data: bytes | None) -> Awaitable[int]:
        port = self._port(number)
        whole = data or b""
        transfer = _Transfer(0, len(whole) // port.session.frame_bytes, whole)

        async def play() -> int:
            await self._wait(port, transfer)
            return len(whole)

        return play()

    async def _wait(self, port: _Port, transfer: _Transfer) -> bytes:
        transfer.done = asyncio.get_running_loop().create_future()
        if not port.submit(transfer):
            raise OSError(*_ESP_INVALID_STATE)
        try:
            return await transfer.done
        except asyncio.CancelledError:
            if self._ports.get(port.session.port) is not port:
                raise OSError(*_ESP_INVALID_STATE) from None  # the port was stopped under the reader
            port.cancel(transfer)
            raise
