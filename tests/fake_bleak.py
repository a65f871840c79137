"""A Bleak backend without a radio, whose link breaks where and how a test says, and that pairs as the
operating systems do."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.exc import BleakDBusError, BleakError, BleakGATTProtocolError

from lunette.finding import Backends
from lunette.protocol import wire

ADDRESS = "C0:FF:EE:00:00:01"
HOW = ("error", "dbus", "eof", "cancelled", "hangs", "hangs-unheard", "assertion")


@dataclass
class Radio:
    """Glasses and this computer's Bluetooth. `breaks_at` is an operation, `how` one of HOW: what the call
    does then. `answers` False: requests are taken, and the link breaks before the answer."""

    breaks_at: str | None = None
    how: str = "error"
    answers: bool = True
    secure: bool = False  # the glasses let only bonded hosts in
    system: str = "bluez"  # or "macos", "windows"
    bond_here: int = 0  # number of the bond that each side has, 0: none
    bond_there: int = 0
    pairing_mode: bool = False
    calls: list[str] = field(default_factory=list)
    clients: list[Any] = field(default_factory=list)

    def backends(self) -> Backends:
        def client(*args: Any, **options: Any) -> FakeClient:
            made = FakeClient(self, *args, **options)
            self.clients.append(made)
            return made

        client.__name__ = "FakeClient"
        return Backends(client, FakeScanner)

    @property
    def encrypted(self) -> bool:
        return bool(self.bond_here) and self.bond_here == self.bond_there


class FakeScanner(BaseBleakScanner):
    """Hears the glasses, at once."""

    def __init__(self, detection_callback: Any, service_uuids: Any, *args: Any, **options: Any):
        super().__init__(detection_callback, service_uuids)

    async def start(self) -> None:
        self.seen_devices = {}
        data = AdvertisementData("Lunette", {}, {}, [wire.SERVICE], None, -50, ())
        device = self.create_or_update_device(ADDRESS, ADDRESS, "Lunette", None, data)
        asyncio.get_running_loop().call_soon(self.call_detection_callbacks, device, data)

    async def stop(self) -> None:
        pass


class FakeClient:
    """What `bleak.BleakClient` needs of a backend."""

    def __init__(self, radio: Radio, device: Any, *, disconnected_callback: Any = None, **options: Any):
        self.radio = radio
        self.address = device if isinstance(device, str) else device.address
        self.mtu_size = 247
        self.is_connected = False
        self.services = SimpleNamespace(
            get_characteristic=lambda uuid: SimpleNamespace(
                uuid=uuid, properties=["write", "write-without-response", "notify"], handle=1
            )
        )
        self.late: Any = None
        self._disconnected = disconnected_callback
        self._notify: Any = None
        self._seq = 0

    async def _operation(self, name: str) -> None:
        radio = self.radio
        radio.calls.append(name)
        await asyncio.sleep(0.01)
        if name != radio.breaks_at:
            return
        if radio.how != "hangs-unheard":
            self.drop()
        if radio.how == "error":
            raise BleakError("Not connected")
        if radio.how == "dbus":
            raise BleakDBusError("org.bluez.Error.Failed", ["Not connected"])
        if radio.how == "eof":
            raise EOFError
        if radio.how == "assertion":
            raise AssertionError
        if radio.how == "cancelled":
            raise asyncio.CancelledError
        await asyncio.Event().wait()

    def drop(self) -> None:
        """The link is lost. The callback comes twice: some backends do that."""
        self.late = self._notify
        if self.is_connected:
            self.is_connected = False
            for _ in range(2):
                asyncio.get_running_loop().call_soon(self._disconnected)

    def _check_bond(self) -> None:
        radio = self.radio
        if not radio.secure or radio.encrypted:
            return
        if radio.system == "windows":
            raise BleakGATTProtocolError(0x05)
        if radio.system == "macos":
            if radio.pairing_mode and not radio.bond_here:  # a dialog, and somebody said yes
                radio.bond_here = radio.bond_there = 1
                return
            raise BleakError("Authentication is insufficient.")
        raise BleakDBusError("org.bluez.Error.NotPermitted", ["Not paired"])

    async def connect(self, pair: bool = False, **options: Any) -> None:
        await self._operation("connect")
        self.is_connected = True

    async def disconnect(self) -> None:
        self.radio.calls.append("disconnect")
        self.drop()

    async def pair(self, *args: Any, **options: Any) -> None:
        radio = self.radio
        if radio.system == "macos":
            raise NotImplementedError
        await self._operation("pair")
        if radio.bond_here:  # "already paired"
            return
        if not radio.pairing_mode:
            raise BleakDBusError("org.bluez.Error.AuthenticationFailed", ["Authentication Failed"])
        radio.bond_here = radio.bond_there = radio.bond_there + 1

    async def unpair(self) -> None:
        if self.radio.system == "macos":
            raise NotImplementedError
        self.radio.calls.append("unpair")
        self.radio.bond_here = 0
        self.drop()

    async def start_notify(self, characteristic: Any, callback: Any, **options: Any) -> None:
        await self._operation("start_notify")
        self._check_bond()
        self._notify = callback

    async def write_gatt_char(self, characteristic: Any, data: Any, response: bool) -> None:
        request = wire.parse_request(bytes(data))
        name = {wire.READY: "ready", wire.ACK: "ack", wire.RESUME: "resume"}.get(request[0], "request")
        await self._operation(name)
        self._check_bond()
        if not self.is_connected:
            raise BleakError("Not connected")
        if not self.radio.answers and name == "request":
            asyncio.get_running_loop().call_later(0.1, self.drop)
        elif name == "ready":
            self.send(wire.HELLO, wire.dumps({"name": "Lunette"}))
        elif name == "request":
            result = self.answer(request[1])
            self.send(wire.REPLY, json.dumps({"id": request[1]["id"], "ok": True, "result": result}).encode())

    def answer(self, request: dict[str, Any]) -> Any:
        me = "AA:00:00:00:00:01"
        known = [{"id": me, "me": True}, {"id": "BB:00:00:00:00:02", "me": False}]
        if request["op"] == "hosts":
            return known if self.radio.bond_there else known[1:]
        if request["op"] == "forget" and (request.get("all") or request.get("host") == me):
            self.radio.bond_there = 0
        return request["op"]

    def send(self, kind: int, body: bytes) -> None:
        message = wire.message(kind, body)
        packet = bytes([self._seq, 0]) + message
        self._seq = (self._seq + 1) & 0xFF
        asyncio.get_running_loop().call_soon(self._notify, bytearray(packet))
