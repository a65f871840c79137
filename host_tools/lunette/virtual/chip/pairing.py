"""Bumble's security manager protocol, told what NimBLE would do at each turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from bumble import hci, pairing, smp
from bumble.device import Connection, Device
from bumble.keys import PairingKeys

from lunette.virtual.chip.bond_store import StackStuck

if TYPE_CHECKING:
    from lunette.virtual.chip.security import Security


class _Delegate(pairing.PairingDelegate):
    """Lets NimBLE's questions be asked before a Pairing Request is answered."""

    def __init__(self, ask: Callable[[], Awaitable[None]]):
        super().__init__()
        self._questions = ask

    async def accept(self) -> bool:
        try:
            await self._questions()
        except StackStuck:
            await asyncio.get_running_loop().create_future()  # never answered
        return True


class PairingManager(smp.Manager):
    """Bumble's security manager with NimBLE's bookkeeping."""

    def __init__(self, device: Device, security: Security):
        super().__init__(device, self._config)
        self._security = security

    def _config(self, connection: Connection) -> pairing.PairingConfig:
        config = self._security.pairing_config()
        config.delegate = _Delegate(lambda: self._security.may_pair(connection))
        return config

    def on_smp_pdu(self, connection: Connection, pdu: bytes) -> None:
        old = self.sessions.get(connection.handle)
        if pdu[:1] == bytes([smp.CommandCode.PAIRING_REQUEST]) and old is not None and old.completed:
            del self.sessions[connection.handle]  # pairing again on the same connection
        self._security.progress(connection)
        super().on_smp_pdu(connection, pdu)

    async def on_pairing(
        self, session: smp.Session, identity_address: hci.Address | None, keys: PairingKeys
    ) -> None:
        await self._security.paired(session, identity_address, keys)
        self.device.on_pairing(session.connection, identity_address, keys, session.sc)

    def on_pairing_failure(self, session: smp.Session, reason: smp.ErrorCode) -> None:
        self._security.failed(session.connection)
        super().on_pairing_failure(session, reason)
