"""The chip's security manager: NimBLE's questions around Bumble's pairing.

Bumble does the protocol (Just Works, LE Secure Connections or legacy). What is asked of the program, in
which order, and what its answers lead to follows NimBLE (ble_sm.c, ble_store.c) and MicroPython's use of it.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from dataclasses import dataclass
from typing import Any

from bumble import att, crypto, hci, pairing, smp
from bumble.device import Connection, Device
from bumble.keys import PairingKeys

from lunette.virtual.chip.bond_store import BondStore, StackStuck
from lunette.virtual.chip.bus import Bus
from lunette.virtual.chip.pairing import PairingManager
from lunette.virtual.chip.questions import Questions
from lunette.virtual.chip.secrets import DEFAULT_IRK, OUR_SEC, PEER_SEC, Secret, address_key
from lunette.virtual.hal import _ops as ops

log = logging.getLogger(__name__)

_ENCRYPTION = 28
_EALREADY = 114
# ble_sm.c: a procedure that makes no progress is given up (Vol 3, Part H, 3.4).
PROCEDURE_S = 30.0
_NO_IO = 3


@dataclass
class LinkState:
    """Of one connection, as event 28 shows it. `busy`: a security procedure is under way."""

    encrypted: bool = False
    authenticated: bool = False
    bonded: bool = False
    key_size: int = 0
    busy: bool = False
    restoring: Secret | None = None
    timer: asyncio.TimerHandle | None = None


class Security:
    """Bonds, encryption and permissions.

    `irk` is the identity key in use. `stuck` counts how often the program would have hung the stack.
    """

    def __init__(self, bus: Bus, questions: Questions):
        self._bus = bus
        self._questions = questions
        self.store = BondStore(questions)
        self._device: Device | None = None
        self._links: dict[int, LinkState] = {}
        self.stuck = 0
        self.irk = DEFAULT_IRK
        self.bond = self.mitm = False
        self.le_secure = True
        bus.register({ops.BLE_IRK: self._on_irk, ops.BLE_PEER: self._on_peer})

    def plug(self, device: Device) -> None:
        """Take over the device's security manager."""
        self._device = device
        device.smp_manager = PairingManager(device, self)
        device.host.long_term_key_provider = self._long_term_key
        self._use_irk(self.irk)

    def unplug(self) -> None:
        self.down()
        self._device = None

    def down(self) -> None:
        """The radio is off."""
        self._questions.forget()
        for link in self._links.values():
            _stop(link)
        self._links.clear()
        self._use_irk(DEFAULT_IRK)

    def reset(self) -> None:
        """The chip was reset."""
        self.bond = self.mitm = False
        self.le_secure = True

    # --- configuration ------------------------------------------------------------------------

    def configure(self, name: str, value: Any) -> bool:
        """One of the names of ``BLE.config``; False if it is not about security."""
        if name == "bond":
            self.bond = bool(value)
        elif name == "mitm":
            self.mitm = bool(value)
        elif name == "le_secure":
            self.le_secure = bool(value)
        elif name == "io":
            if value != _NO_IO:
                raise NotImplementedError("the chip model has neither display nor keyboard: io is 3")
        else:
            return False
        return True

    def _on_irk(self, a: int, b: int, c: int, d: int, data: bytes | None) -> bytes:
        if a:
            return crypto.r()
        self._use_irk(data or DEFAULT_IRK)
        return b""

    def _use_irk(self, irk: bytes) -> None:
        self.irk = irk
        if self._device is not None:
            self._device.irk = irk

    def _on_peer(self, a: int, b: int, c: int, d: int, data: bytes | None) -> int:
        return int(self.store.is_secret(data))

    def pairing_config(self) -> pairing.PairingConfig:
        return pairing.PairingConfig(
            sc=self.le_secure,
            mitm=self.mitm,
            bonding=self.bond,
            identity_address_type=pairing.PairingConfig.AddressType.RANDOM,
        )

    # --- connections --------------------------------------------------------------------------

    def opened(self, connection: Connection) -> None:
        handle = connection.handle
        self._links[handle] = LinkState()
        connection.on(Connection.EVENT_CONNECTION_ENCRYPTION_CHANGE, lambda: self._encrypted(connection))
        connection.on(
            Connection.EVENT_CONNECTION_ENCRYPTION_FAILURE, lambda error: self._not_encrypted(connection)
        )

    def closed(self, handle: int) -> None:
        """Before the program is told of the disconnection: the end of a procedure is reported first."""
        link = self._links.get(handle)
        if link is not None:
            if link.busy:
                self._report(handle, link)
            _stop(link)
            del self._links[handle]

    def request(self, connection: Connection) -> None:
        """``gap_pair`` of a peripheral: ask the central to encrypt, and to pair if need be."""
        link = self._links[connection.handle]
        if link.busy:
            raise OSError(_EALREADY)
        self._begin(connection.handle, link)
        assert self._device is not None
        self._device.request_pairing(connection)

    def _begin(self, handle: int, link: LinkState) -> None:
        _stop(link)
        link.busy = True
        loop = asyncio.get_running_loop()
        link.timer = loop.call_later(PROCEDURE_S, self._expired, handle, link)

    def _expired(self, handle: int, link: LinkState) -> None:
        self._end_session(handle)
        _stop(link)
        self._report(handle, link)

    def _end_session(self, handle: int) -> None:
        assert self._device is not None
        session = self._device.smp_manager.sessions.get(handle)
        if session is not None:
            session.completed = True

    def _report(self, handle: int, link: LinkState) -> None:
        self._bus.interrupt(
            ops.SRC_BLE,
            _ENCRYPTION,
            handle,
            0,
            struct.pack("<BBBB", link.encrypted, link.authenticated, link.bonded, link.key_size),
        )

    # --- encryption ---------------------------------------------------------------------------

    def _session(self, handle: int) -> smp.Session | None:
        """The pairing that is under way on a connection."""
        assert self._device is not None
        session: smp.Session | None = self._device.smp_manager.sessions.get(handle)
        return session if session is not None and not session.completed else None

    async def _long_term_key(self, handle: int, rand: bytes, ediv: int) -> bytes | None:
        link = self._links.get(handle)
        device = self._device
        if link is None or device is None:
            return None
        session = self._session(handle)
        if session is not None:
            # Before there is a key to the session it has no such attribute.
            return session.get_long_term_key(rand, ediv) if hasattr(session, "ltk") else None
        connection = device.lookup_connection(handle)
        if connection is None:
            return None
        self._begin(handle, link)
        link.restoring = await self.store.read(OUR_SEC, address_key(connection.peer_address))
        if link.restoring is None or link.restoring.ltk is None:
            link.restoring = None
            _stop(link)
            return None
        return link.restoring.ltk

    def _encrypted(self, connection: Connection) -> None:
        link = self._links.get(connection.handle)
        if link is None:
            return
        link.encrypted = connection.is_encrypted
        if self._session(connection.handle) is not None:
            return  # told when the keys are exchanged
        if link.restoring is not None:
            link.authenticated = link.restoring.authenticated
            link.bonded, link.key_size = True, link.restoring.key_size
        _stop(link)
        self._report(connection.handle, link)

    def _not_encrypted(self, connection: Connection) -> None:
        link = self._links.get(connection.handle)
        if link is not None:
            _stop(link)
            self._report(connection.handle, link)

    # --- pairing, as responder ------------------------------------------------------------------

    def progress(self, connection: Connection) -> None:
        """A packet of the peer's security manager has arrived."""
        link = self._links.get(connection.handle)
        if link is not None and link.busy:
            self._begin(connection.handle, link)

    async def may_pair(self, connection: Connection) -> None:
        """What NimBLE asks when a Pairing Request comes. It refuses nothing; StackStuck if it never ends."""
        link = self._links.get(connection.handle)
        if link is not None:
            self._begin(connection.handle, link)
        try:
            await self.store.check_room()
            await self.store.remove_for_pairing(address_key(connection.peer_address))
        except StackStuck as error:
            self._hangs(error)
            raise

    async def paired(self, session: smp.Session, identity: hci.Address | None, keys: PairingKeys) -> None:
        """Pairing is complete: keep the keys if it was for a bond, then tell."""
        connection = session.connection
        link = self._links.get(connection.handle)
        if link is None:
            return
        link.authenticated = session.pairing_method != smp.PairingMethod.JUST_WORKS
        link.bonded, link.key_size = session.bonding, session.maximum_encryption_key_size
        if session.bonding:
            peer = address_key(identity or connection.peer_address)
            # In legacy pairing each side has handed out a key of its own; Bumble calls ours `ltk_central`.
            theirs = keys.ltk or keys.ltk_peripheral
            for kind, ltk, irk in (
                (OUR_SEC, session.ltk, self.irk),
                (PEER_SEC, theirs.value if theirs else None, keys.irk.value if keys.irk else None),
            ):
                secret = Secret(peer, ltk, irk, link.authenticated, session.sc, link.key_size)
                try:
                    await self.store.write(kind, secret)
                except StackStuck as error:
                    self._hangs(error)
                    return
        _stop(link)
        self._report(connection.handle, link)

    def _hangs(self, error: StackStuck) -> None:
        self.stuck += 1
        log.error("radio: the program hangs the Bluetooth stack: %s", error)

    def failed(self, connection: Connection) -> None:
        link = self._links.get(connection.handle)
        if link is not None:
            _stop(link)
            self._report(connection.handle, link)

    # --- permissions --------------------------------------------------------------------------

    async def check(self, connection: Connection, encrypted: bool, authenticated: bool, handle: int) -> None:
        """ble_att_svr_check_perms: raises the ATT error that answers an access without the rights to it."""
        if not encrypted and not authenticated:
            return
        link = self._links.get(connection.handle) or LinkState()
        if not link.encrypted:
            peer = await self.store.read(PEER_SEC, address_key(connection.peer_address))
            bonded = peer is not None and peer.ltk is not None
            raise att.ATT_Error(
                att.ErrorCode.INSUFFICIENT_ENCRYPTION
                if bonded
                else att.ErrorCode.INSUFFICIENT_AUTHENTICATION,
                handle,
            )
        if authenticated and not link.authenticated:
            raise att.ATT_Error(att.ErrorCode.INSUFFICIENT_AUTHENTICATION, handle)


def _stop(link: LinkState) -> None:
    """The end of a procedure."""
    link.busy = False
    link.restoring = None
    if link.timer is not None:
        link.timer.cancel()
        link.timer = None
