"""Bumble's security manager protocol, told what NimBLE would do at each turn."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from bumble import hci, pairing, smp
from bumble.device import Connection, Device
from bumble.keys import PairingKeys

from lunette.virtual.chip.bond_store import StackStuck

if TYPE_CHECKING:
    from lunette.virtual.chip.security import Security

log = logging.getLogger(__name__)


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


# Bytes of the commands that NimBLE knows, code included. A peripheral is not sent a security request.
_SIZES = {1: 7, 3: 17, 4: 17, 5: 2, 6: 17, 7: 11, 8: 17, 9: 8, 10: 17, 12: 65, 13: 17}


def _objection(request: bytes) -> smp.ErrorCode | None:
    """ble_sm_pair_cmd_is_valid and the size of keys."""
    capability, out_of_band, _, key_size = request[1:5]
    if capability > 4 or out_of_band > 1 or not 7 <= key_size <= 16:
        return smp.ErrorCode.INVALID_PARAMETERS
    return None


class _Session(smp.Session):
    """A pairing that an exception ends, wherever Bumble raises it."""

    async def on_smp_pairing_request_command_async(self, command: smp.SMP_Pairing_Request_Command) -> None:
        try:
            await super().on_smp_pairing_request_command_async(command)
        except Exception:
            log.debug("radio: pairing", exc_info=True)
            self.send_pairing_failed(smp.ErrorCode.UNSPECIFIED_REASON)


class PairingManager(smp.Manager):
    """Bumble's security manager with NimBLE's bookkeeping."""

    def __init__(self, device: Device, security: Security):
        super().__init__(device, self._config)
        self._security = security
        self.session_proxy = _Session

    def _config(self, connection: Connection) -> pairing.PairingConfig:
        config = self._security.pairing_config()
        config.delegate = _Delegate(lambda: self._security.may_pair(connection))
        return config

    def on_smp_pdu(self, connection: Connection, pdu: bytes) -> None:
        code = pdu[0] if pdu else 0
        size = _SIZES.get(code)
        if size is None:
            return
        if len(pdu) < size:
            self._security.failed(connection)  # no answer, but the program is told
            return
        session = self.sessions.get(connection.handle)
        if code == smp.CommandCode.PAIRING_REQUEST:
            if session is not None:  # pairing again, or a new attempt in the midst of one, which replaces it
                session.completed = True
                session.on_disconnection(0)
            reason = _objection(pdu)
            if reason is not None:
                self.send_command(connection, smp.SMP_Pairing_Failed_Command(reason=reason))
                self._security.failed(connection)
                return
        elif session is None or session.completed:
            return  # there is nothing that this could belong to
        self._security.progress(connection)
        super().on_smp_pdu(connection, pdu[:size])

    def send_command(self, connection: Connection, command: smp.SMP_Command) -> None:
        super().send_command(connection, command)
        session = self.sessions.get(connection.handle)
        if isinstance(command, smp.SMP_Pairing_Failed_Command) and session is not None:
            session.on_pairing_failure(command.reason)  # Bumble goes on after an exception of its own

    async def on_pairing(
        self, session: smp.Session, identity_address: hci.Address | None, keys: PairingKeys
    ) -> None:
        await self._security.paired(session, identity_address, keys)
        self.device.on_pairing(session.connection, identity_address, keys, session.sc)

    def on_pairing_failure(self, session: smp.Session, reason: smp.ErrorCode) -> None:
        self._security.failed(session.connection)
        super().on_pairing_failure(session, reason)
