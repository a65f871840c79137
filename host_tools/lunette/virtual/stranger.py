"""A central that the glasses do not know, with a Bluetooth stack of its own: what does it get to hear?"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

from bumble import att, core, gatt, hci
from bumble.device import Connection, Peer
from bumble.hci import Address
from bumble.pairing import PairingConfig

from lunette.protocol import wire
from lunette.virtual.air import Air

_CONNECT_S, _TRY_S, _ALL_S = 2.0, 2.0, 30.0
# What everybody may know: generic access, generic attribute, device information.
_PUBLIC = [core.UUID.from_16_bits(number) for number in (0x1800, 0x1801, 0x180A)]
_REFUSALS = (core.BaseBumbleError, att.ATT_Error, hci.HCI_Error, asyncio.TimeoutError)
_numbers = itertools.count(1)


class Stranger:
    """`tries` (of `scene.TRIES`) in their order; then it stays until `leave`, or until it is sent away."""

    def __init__(self, air: Air, target: str, tries: list[str]):
        self._air = air
        self._target = target
        self._tries = tries
        self._connection: Connection | None = None
        self._device: Any = None
        self.connected = False  # it ever was
        self.sent_away = False
        self.refused: list[str] = []
        self.notified = 0  # values, subscribed to or not
        self.bytes = 0  # of those, and of what it read that is not public

    def report(self) -> dict[str, Any]:
        names = ("connected", "sent_away", "refused", "notified", "bytes")
        return {name: getattr(self, name) for name in names}

    async def run(self, seconds: float) -> None:
        """All of it; with `seconds` 0 it stays until the glasses end the connection."""
        self._device = await self._air.device("stranger", f"C0:FF:EE:00:02:{next(_numbers) & 0xFF:02X}")
        self._device.pairing_config_factory = lambda connection: PairingConfig(
            sc=True, mitm=False, bonding=True
        )
        gone = asyncio.Event()
        try:
            await self._attempt(self._connect(gone), _ALL_S)
            if self.connected:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(gone.wait(), seconds or None)
                self.sent_away = gone.is_set()
        finally:
            if self._connection is not None and not gone.is_set():
                with contextlib.suppress(*_REFUSALS):
                    await self._connection.disconnect()
            self._air.remove(self._device)

    async def _connect(self, gone: asyncio.Event) -> None:
        # Its own limit: Bumble's leaves the attempt pending when nobody advertises.
        connecting = self._device.connect(Address(self._target), timeout=_CONNECT_S)
        connection: Connection = await asyncio.wait_for(connecting, 2 * _CONNECT_S)
        self._connection, self.connected = connection, True
        connection.on(Connection.EVENT_DISCONNECTION, lambda reason: gone.set())
        client = connection.gatt_client
        was: Callable[..., Any] = client.on_att_handle_value_notification

        def on_notification(pdu: Any) -> None:
            self.notified += 1
            self.bytes += len(pdu.attribute_value)
            was(pdu)

        client.on_att_handle_value_notification = on_notification  # type: ignore[method-assign, assignment]
        peer = Peer(connection)
        await peer.discover_services()
        found = []
        for service in peer.services:
            if service.uuid not in _PUBLIC:
                found += await service.discover_characteristics()
        for what in self._tries:
            if gone.is_set():
                return
            if not await self._attempt(self._try(what, connection, found), _TRY_S):
                self.refused.append(what)

    @staticmethod
    async def _attempt(work: Coroutine[Any, Any, None], limit_s: float) -> bool:
        """Whether it went well. A task of its own, because Bumble cancels what waits for a lost link."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait({task}, timeout=limit_s)
        finally:
            task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(outcome, BaseException) and not isinstance(
            outcome, (*_REFUSALS, asyncio.CancelledError)
        ):
            raise outcome
        return outcome is None

    async def _try(self, what: str, connection: Connection, found: list[Any]) -> None:
        (control,) = [each for each in found if each.uuid == core.UUID(wire.CONTROL)]
        if what == "subscribe":
            for each in found:
                if each.properties & gatt.Characteristic.Properties.NOTIFY:
                    await each.subscribe(lambda value: None)
        elif what == "read":
            for each in found:
                if each.properties & gatt.Characteristic.Properties.READ:
                    self.bytes += len(await each.read_value())
        elif what == "ready":
            await control.write_value(wire.ready(), with_response=True)
        elif what == "command":
            await control.write_value(wire.ready(), with_response=False)
        elif what == "pair":
            await connection.pair()
        else:
            raise AssertionError(what)
