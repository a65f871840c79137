"""A central without manners: it sends any bytes on any channel and keeps what it hears."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from bumble import att, core, hci, smp
from bumble.device import Connection
from bumble.hci import Address
from bumble.keys import KeyStore
from bumble.pairing import PairingConfig
from tests.world import ADDRESS, World

_numbers = itertools.count(0x10)
ANSWER_S = 2.0


class RawPeer:
    """`heard` has the (handle, value) of every notification and indication, `answers` counts what ATT
    requests were answered with: (opcode, error code or 0)."""

    def __init__(
        self, world: World, address: str | None = None, keys: KeyStore | None = None, to: str = ADDRESS
    ):
        self.world = world
        self.address = address or f"C0:FF:EE:00:02:{next(_numbers) & 0xFF:02X}"
        self._keys = keys
        self._to = to
        self.heard: deque[tuple[int, bytes]] = deque(maxlen=1000)
        self.values = 0
        self.on_value: Callable[[int, bytes], None] | None = None
        self.answers: Counter[tuple[int, int]] = Counter()
        self.last = b""
        self._waiting: asyncio.Future[bytes] | None = None
        self.gone = False
        self.connection: Connection
        self.change: Callable[[bytes], bytes] | None = None  # of what our own security manager sends

    async def connect(self, timeout: float = 20) -> RawPeer:
        self.device = await self.world.air.device("raw", self.address)
        if self._keys is not None:
            self.device.keystore = self._keys
        self.device.pairing_config_factory = lambda connection: PairingConfig(
            sc=True, mitm=False, bonding=True
        )
        self.device.l2cap_channel_manager.register_fixed_channel(att.ATT_CID, self._on_att)
        inner = self.device.smp_manager.on_smp_pdu

        def on_smp_pdu(connection: Connection, pdu: bytes) -> None:
            with contextlib.suppress(Exception):  # answers to what we did not ask
                inner(connection, pdu)

        self.device.smp_manager.on_smp_pdu = on_smp_pdu  # type: ignore[method-assign]
        self.device.smp_manager.send_command = self._send_smp  # type: ignore[method-assign]
        try:
            self.connection = await self.device.connect(Address(self._to), timeout=timeout)
        except BaseException:
            self.world.air.remove(self.device)
            raise
        self.connection.on(Connection.EVENT_DISCONNECTION, self._on_gone)
        return self

    def _on_gone(self, reason: int) -> None:
        self.gone = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(b"")

    def _on_att(self, handle: int, pdu: bytes) -> None:
        if pdu[0] in (0x1B, 0x1D):
            value = int.from_bytes(pdu[1:3], "little"), pdu[3:]
            self.values += 1
            self.heard.append(value)
            if self.on_value is not None:
                self.on_value(*value)
            return
        self.answers[pdu[0], pdu[4] if pdu[0] == 1 and len(pdu) > 4 else 0] += 1
        self.last = pdu
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(pdu)

    def _send_smp(self, connection: Connection, command: smp.SMP_Command) -> None:
        pdu = bytes(command)
        connection.send_l2cap_pdu(smp.SMP_CID, self.change(pdu) if self.change is not None else pdu)

    # --- sending

    def send(self, channel: int, pdu: bytes) -> None:
        if not self.gone:
            self.device.send_l2cap_pdu(self.connection.handle, channel, pdu)

    def frame(self, data: bytes) -> None:
        """A whole L2CAP frame, header included."""
        if not self.gone:
            self.device.host.send_acl_sdu(self.connection.handle, data)

    def command(self, handle: int, value: bytes) -> None:
        self.send(att.ATT_CID, b"\x52" + handle.to_bytes(2, "little") + value)

    async def ask(self, pdu: bytes, timeout: float = ANSWER_S) -> bytes | None:
        """What an ATT request is answered with; None if it is not."""
        if self.gone:
            return None
        self._waiting = asyncio.get_running_loop().create_future()
        self.send(att.ATT_CID, pdu)
        try:
            return await asyncio.wait_for(self._waiting, timeout) or None  # b"": the link has ended
        except asyncio.TimeoutError:
            return None
        finally:
            self._waiting = None

    async def write(self, handle: int, value: bytes) -> int:
        """Write and wait: 0, an ATT error code, or -1 without an answer."""
        answer = await self.ask(b"\x12" + handle.to_bytes(2, "little") + value)
        if answer is None:
            return -1
        return answer[4] if answer[0] == 1 else 0

    async def _try(self, work: Any, timeout: float) -> bool:
        try:
            await asyncio.wait_for(work, timeout)
        except (core.BaseBumbleError, hci.HCI_Error, asyncio.TimeoutError):
            return False
        except asyncio.CancelledError:
            if not self.gone:
                raise
            return False
        return True

    async def pair(self, timeout: float = 5) -> bool:
        return await self._try(self.connection.pair(), timeout)

    async def encrypt(self, timeout: float = 5) -> bool:
        return await self._try(self.connection.encrypt(), timeout)

    async def leave(self) -> None:
        if not self.gone:
            with contextlib.suppress(core.BaseBumbleError, hci.HCI_Error, asyncio.TimeoutError):
                await asyncio.wait_for(self.connection.disconnect(), 5)
        self.world.air.remove(self.device)
