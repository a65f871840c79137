"""One Bluetooth LE connection between two controllers: connection events, air time, loss, silence.

Models: events at multiples of the interval after the anchor, alternating PDUs inside an event, the
air time of each, retransmission, peripheral latency, jitter, flow control by a receiver that is
full, and the supervision timeout. An idle link schedules nothing.
Does not model: channels, interference between links, clock drift, sleep clock accuracy. A link that
is idle is taken to have been heard at its last event.

Time is only the running loop's, so a loop with a virtual clock gives a virtual air.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Protocol

from lunette.virtual.link_model import LinkModel, exchange_airtime_s, pdu_airtime_s

# Transmit window offset of CONNECT_IND (Vol 6, Part B, 4.5.3): the first event comes soon, not at once.
_FIRST_EVENT_S = 1.25e-3
# In real time our timers fire late by about a millisecond. A link with a backlog makes up for that by
# keeping its event times; giving up an event each time would halve the rate at 7.5 ms. A machine
# that was suspended must not, so there is a limit.
_CATCH_UP_S = 0.1
_EPSILON = 1e-9

TO_PERIPHERAL, TO_CENTRAL = 0, 1


@dataclass(eq=False)
class Pdu:
    """One link layer PDU. `octets` of payload on air; `payload` is the owner's business."""

    octets: int
    payload: Any
    control: bool = False


class Endpoint(Protocol):
    """One side of a link."""

    def can_receive(self) -> bool:
        """False: the host does not take data at the moment; the peer has to send again."""

    def on_pdu(self, pdu: Pdu) -> None:
        """The peer's PDU arrived. In order, each once."""

    def on_acknowledged(self, pdu: Pdu) -> None:
        """The peer has this side's PDU."""

    def on_link_lost(self, reason: int) -> None:
        """The link is gone: HCI error code `reason`. Nothing follows."""


@dataclass
class DirectionStats:
    """Totals of one direction. Data PDUs only, but for the air time."""

    packets: int = 0
    bytes: int = 0
    retransmissions: int = 0
    airtime_s: float = 0.0


@dataclass
class LinkStats:
    """Totals over all links of an air."""

    events: int = 0
    connections: int = 0
    lost_links: int = 0
    directions: tuple[DirectionStats, DirectionStats] = field(
        default_factory=lambda: (DirectionStats(), DirectionStats())
    )


class RadioLink:
    """A connection of a central and a peripheral, from CONNECT_IND to its end.

    Both queues are in order. The owner bounds them (HCI flow control).
    """

    LOST = 0x08  # connection timeout

    def __init__(
        self,
        central: Endpoint,
        peripheral: Endpoint,
        model: LinkModel,
        stats: LinkStats,
        rng: random.Random,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._model = model
        self._stats = stats
        self._rng = rng
        self._ends: list[Endpoint | None] = [central, peripheral]
        self._queues: tuple[deque[Pdu], deque[Pdu]] = (deque(), deque())
        self.phys: tuple[str, str] = ("1M", "1M")
        self.encrypted = False
        self.closed = False
        self.held = 0  # connection events in which something was said
        self.octets = 0  # of payload on air, both ways, as often as they were sent
        self._interval_s = model.interval_units * 1.25e-3
        self._made_at = self._loop.time()
        self._anchor = self._made_at + _FIRST_EVENT_S
        self._index = -1  # of the last connection event held, counted from the anchor
        self._event_end = self._anchor
        self._free_at = self._anchor
        self._exchanges = 0
        self._timer: asyncio.TimerHandle | None = None
        self._in_event = False
        self._silent = False
        self._cut = False
        self._deadline: asyncio.TimerHandle | None = None
        stats.connections += 1
        self.set_parameters(model.interval_units, model.latency, model.timeout_units)

    @property
    def central(self) -> Endpoint | None:
        return self._ends[0]

    @property
    def peripheral(self) -> Endpoint | None:
        return self._ends[1]

    @property
    def alive(self) -> bool:
        """Not closed and not already bound to be lost."""
        return not self.closed and not self._cut

    @property
    def interval_s(self) -> float:
        """Seconds from one connection event to the next."""
        return self._interval_s

    def use_model(self, model: LinkModel) -> None:
        """Take loss, jitter and the length of events from another model."""
        self._model = model

    def set_parameters(self, interval: int, latency: int, timeout: int) -> None:
        """From the present event on: interval in 1.25 ms, latency in events, timeout in 10 ms units."""
        if self._index >= 0:
            self._anchor += self._index * self._interval_s
            self._index = 0
        self.interval, self.latency, self.timeout = interval, latency, timeout
        self._interval_s = interval * 1.25e-3

    def send(self, sender: Endpoint, pdu: Pdu) -> None:
        """Queue a PDU of one side. On a dead link it is lost, as on air."""
        if self.closed or sender not in self._ends:
            return
        self._queues[self._ends.index(sender)].append(pdu)
        self._wake()

    # Silence and the end

    def block(self) -> None:
        """Nothing crosses any more. Without an `unblock` in time, the supervision timeout follows."""
        if self.closed or self._silent:
            return
        self._silent = True
        self._in_event = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        heard = self._made_at
        if (now := self._loop.time()) >= self._anchor:
            events = math.floor((now - self._anchor) / self._interval_s + _EPSILON)
            heard = self._anchor + events * self._interval_s
        self._deadline = self._loop.call_at(heard + self.timeout * 1e-2, self.fail, self.LOST)

    def unblock(self) -> None:
        """The peers hear each other again (unless the link was cut); what was queued is sent."""
        if self.closed or self._cut or not self._silent:
            return
        self._silent = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._wake()

    def cut(self) -> None:
        """The link dies for good, each side by its supervision timeout."""
        self._cut = True
        self.block()

    def fail(self, reason: int) -> None:
        """End at once, both sides with this reason."""
        if self.closed:
            return
        ends = [end for end in self._ends if end is not None]
        self._close()
        self._stats.lost_links += 1
        for end in ends:
            end.on_link_lost(reason)

    def leave(self, end: Endpoint) -> None:
        """One side is done with the link. The other, if it does not leave too, finds out by timeout."""
        if end not in self._ends:
            return
        self._ends[self._ends.index(end)] = None
        if self._ends == [None, None]:
            self._close()
        else:
            self.cut()

    def _close(self) -> None:
        self.closed = True
        self._ends[:] = [None, None]
        for timer in (self._timer, self._deadline):
            if timer is not None:
                timer.cancel()
        self._timer = self._deadline = None
        for queue in self._queues:
            queue.clear()

    # Connection events

    def _wake(self, backlog: bool = False) -> None:
        """Schedule the next connection event, if there is something to say."""
        if self.closed or self._silent or self._in_event or self._timer is not None:
            return
        to_peripheral, to_central = self._queues
        if not to_peripheral and not to_central:
            return
        now = self._loop.time()
        due = self._index + 1
        index = max(due, math.ceil((now - self._anchor) / self._interval_s - _EPSILON))
        if backlog and now - (self._anchor + due * self._interval_s) < _CATCH_UP_S:
            index = due
        elif not to_central and self.latency:
            # The peripheral listens only to every (latency + 1)th event.
            index = math.ceil(index / (self.latency + 1)) * (self.latency + 1)
        start = self._anchor + index * self._interval_s
        if self._model.jitter_ms:
            start = max(start + self._rng.uniform(0, self._model.jitter_ms * 1e-3), self._free_at)
            index = max(index, math.floor((start - self._anchor) / self._interval_s + _EPSILON))
        self._timer = self._loop.call_at(start, self._begin_event, index, start)

    def _begin_event(self, index: int, start: float) -> None:
        self._timer = None
        self._in_event = True
        self._index = index
        self._event_end = self._anchor + (index + 1) * self._interval_s
        self._exchanges = 0
        self._stats.events += 1
        self.held += 1
        self._exchange(start)

    def _exchange(self, start: float) -> None:
        """Put the next PDU of each side on air at `start`, or end the event."""
        pdus = (
            self._queues[0][0] if self._queues[0] else None,
            self._queues[1][0] if self._queues[1] else None,
        )
        octets = (pdus[0].octets if pdus[0] else 0, pdus[1].octets if pdus[1] else 0)
        end = start + exchange_airtime_s(octets[0], octets[1], self.phys, self.encrypted)
        limit = self._model.pdus_per_event
        # The first exchange of an event always happens, however late jitter made it.
        full = self._exchanges > 0 and (
            end > self._event_end + _EPSILON or (limit is not None and self._exchanges >= limit)
        )
        if full or pdus == (None, None):
            self._in_event = False
            self._free_at = start
            self._wake(backlog=True)
            return
        self._exchanges += 1
        self.octets += octets[0] + octets[1]
        for direction in (TO_PERIPHERAL, TO_CENTRAL):
            self._stats.directions[direction].airtime_s += pdu_airtime_s(
                octets[direction], self.phys[direction], self.encrypted
            )
        self._timer = self._loop.call_at(end, self._end_exchange, pdus, end)

    def _end_exchange(self, pdus: tuple[Pdu | None, Pdu | None], end: float) -> None:
        self._timer = None
        for direction, pdu in enumerate(pdus):
            sender, receiver = self._ends[direction], self._ends[1 - direction]
            if pdu is None or sender is None or receiver is None:
                continue
            stats = self._stats.directions[direction]
            missed = self._model.loss > 0 and self._rng.random() < self._model.loss
            if missed or not receiver.can_receive():
                stats.retransmissions += 1
                continue
            self._queues[direction].popleft()
            if not pdu.control:
                stats.packets += 1
                stats.bytes += pdu.octets
            receiver.on_pdu(pdu)
            sender.on_acknowledged(pdu)
        if not self.closed and not self._silent:
            self._exchange(end)
