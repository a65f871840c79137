"""The chip's Bluetooth: NimBLE's behaviour, as MicroPython shows it, on a Bumble device.

What is modelled and what is not is listed in ``hal/bluetooth.py``, the module that programs see.
"""

from __future__ import annotations

import asyncio
import json
import logging
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from bumble.device import Connection, Device

from lunette.virtual.chip.advertising import Advertising, stop_advertising
from lunette.virtual.chip.bus import Bus
from lunette.virtual.chip.gatt_server import BUFFERS, FRAGMENT, Counters, GattServer
from lunette.virtual.chip.l2cap import fixed_channels_only
from lunette.virtual.chip.questions import Questions
from lunette.virtual.chip.security import Security
from lunette.virtual.hal import _ops as ops

__all__ = ["BUFFERS", "FRAGMENT", "MAX_CONNECTIONS", "Radio"]

log = logging.getLogger(__name__)

EIO, ENODEV, EINVAL, ENOTCONN = 5, 19, 22, 128

MAX_CONNECTIONS = 4  # CONFIG_BT_NIMBLE_MAX_CONNECTIONS of MicroPython's images

_CONNECT, _DISCONNECT, _MTU, _PARAMETERS = 1, 2, 21, 27


class Radio:
    """Answers the BLE_ requests. `plug` gives it the Bumble device that is its antenna."""

    def __init__(self, bus: Bus):
        self._bus = bus
        self._device: Device | None = None
        self._known: Device | None = None  # has our handlers already
        self._active = False
        self._name = "MPY ESP32"
        self._mtu = 256
        self._connections: dict[int, Connection] = {}
        self.on_start: Callable[[], None] = lambda: None
        """Bluetooth is being switched on, which takes its time."""
        self._work: asyncio.Queue[Callable[[], Awaitable[Any]]] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None
        self._busy = False  # the worker is in the middle of something
        self.on_change: Callable[[], None] = lambda: None
        """Called after the radio went on or off, or a connection came, changed or went."""
        self.questions = Questions(bus)
        self.security = Security(bus, self.questions)
        self._server = GattServer(
            bus, self.questions, self.security, self._need_active, self._connection, self._later
        )
        self._advertising = Advertising(bus, self.security, self._need_active, self._has_room, self._later)
        self._server.name = self._name
        self._server.connected = self._connections.__contains__
        bus.register(
            {
                ops.BLE_ACTIVE: self._on_active,
                ops.BLE_CONFIG: self._on_config,
                ops.BLE_DISCONNECT: self._on_disconnect,
                ops.BLE_MTU: self._on_exchange_mtu,
                ops.BLE_PAIR: self._on_pair,
            }
        )

    # --- the simulator's side ---------------------------------------------------------------

    @property
    def active(self) -> bool:
        return self._active

    @property
    def connected(self) -> bool:
        return bool(self._connections)

    @property
    def connections(self) -> list[Connection]:
        return list(self._connections.values())

    @property
    def counters(self) -> Counters:
        return self._server.counters

    def pending(self, handle: int) -> int:
        """ACL fragments that wait for the air on a connection."""
        return self._server.pending(handle) if self._device is not None and self._active else 0

    def plug(self, device: Device) -> None:
        """Use this (powered on) device as the radio: a new one, or the one that `cut` gave back."""
        self._device = device
        self.security.plug(device)
        self._server.plug(device)
        if device is not self._known:
            self._known = device
            fixed_channels_only(device)
            device.on(Device.EVENT_CONNECTION, self._on_connection)
        if self._worker is None:
            self._worker = asyncio.ensure_future(self._run())

    async def unplug(self) -> None:
        """Take the device away at once, without a word to its peers."""
        worker = self._worker
        self.cut()
        if worker is not None:
            await asyncio.gather(worker, return_exceptions=True)

    def cut(self) -> Device | None:
        """The same at this instant. The device, if it is as it was when it was plugged in, but for what
        `plug` sets anew; else None: its peers and its controller know of things that it no longer does."""
        device, worker, self._worker = self._device, self._worker, None
        clean = device is not None and not self._busy and not device.connections
        if worker is not None:
            worker.cancel()
        # What was yet to be done is not done. A worker that does not hear of its end waits for the old queue.
        self._work = asyncio.Queue()
        self._busy = False
        self._connections.clear()
        self._advertising.forget()
        self.security.unplug()
        self._device = None
        self.reset()
        self.on_change()
        return device if clean else None

    def reset(self) -> None:
        """The chip was reset: the radio is off and has forgotten everything."""
        self._forget()
        self.security.reset()
        self._name = self._server.name = "MPY ESP32"
        self._mtu = 256

    async def close(self) -> None:
        await self.unplug()

    # --- work that Bumble does asynchronously -------------------------------------------------

    def _later(self, work: Callable[[], Awaitable[Any]]) -> None:
        self._work.put_nowait(work)

    async def _run(self) -> None:
        # A cancellation that meets the answer to an HCI command gets lost on its way through Bumble,
        # so it is not what ends this: it hung about once in ten times on a busy computer.
        while asyncio.current_task() is self._worker:
            work = await self._work.get()
            self._busy = True
            try:
                await work()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # a host that left in between
                log.debug("radio: %s", error)
            finally:
                if asyncio.current_task() is self._worker:
                    self._busy = False

    def _forget(self) -> None:
        self._active = False
        self._advertising.forget()
        self._server.clear(self._device)
        self.security.down()
        device = self._device
        if device is None:
            return
        for connection in list(self._connections.values()):
            self._later(lambda c=connection: c.disconnect())  # type: ignore[misc]
        self._connections.clear()
        self._later(lambda: stop_advertising(device))
        self.on_change()

    def _need_active(self) -> Device:
        if not self._active or self._device is None:
            raise OSError(ENODEV)
        return self._device

    def _has_room(self) -> bool:
        return len(self._connections) < MAX_CONNECTIONS

    # --- requests -------------------------------------------------------------------------------

    def _on_active(self, a: int, b: int, c: int, d: int, data: bytes | None) -> int:
        if a < 0:
            return int(self._active)
        if a and not self._active:
            if self._device is None:
                raise OSError(EIO)
            self._active = True
            self.on_change()  # it draws current from now on, also while it starts
            self.on_start()
            self._server.clear(self._device)
            self._device.gatt_server.max_mtu = self._mtu
            self.on_change()
        elif not a and self._active:
            self._forget()
        return int(self._active)

    def _on_config(self, a: int, b: int, c: int, d: int, data: bytes | None) -> bytes:
        if a:
            device = self._need_active()
            name = (data or b"").decode()
            if name == "mac":
                if self._advertising.private:
                    raise OSError(EINVAL)
                return json.dumps([1, list(reversed(bytes(device.static_address)))]).encode()
            known: dict[str, Any] = {"gap_name": self._name, "mtu": self._mtu, "rxbuf": 256}
            if name not in known:
                raise ValueError("unknown config param")
            return json.dumps(known[name]).encode()
        for name, value in json.loads(data or b"{}").items():
            if name == "gap_name":
                self._name = self._server.name = str(value)[:32]
            elif name == "mtu":
                if not 23 <= int(value) <= 527:
                    raise OSError(EINVAL)
                self._mtu = int(value)
                if self._device is not None:
                    self._device.gatt_server.max_mtu = self._mtu
            elif name == "addr_mode":
                self._advertising.set_address_mode(int(value))
            elif name != "rxbuf" and not self.security.configure(name, value):
                raise ValueError("unknown config param")
        return b""

    # --- connections --------------------------------------------------------------------------

    def _connection(self, handle: int) -> Connection:
        self._need_active()
        connection = self._connections.get(handle)
        if connection is None:
            raise OSError(ENOTCONN)
        return connection

    def _on_disconnect(self, a: int, b: int, c: int, d: int, data: bytes | None) -> int:
        self._need_active()
        connection = self._connections.get(a)
        if connection is None:
            return 0
        self._later(lambda: connection.disconnect())
        return 1

    def _on_pair(self, a: int, b: int, c: int, d: int, data: bytes | None) -> None:
        self.security.request(self._connection(a))

    def _on_exchange_mtu(self, a: int, b: int, c: int, d: int, data: bytes | None) -> None:
        connection = self._connection(a)
        self._later(lambda: connection.gatt_client.request_mtu(self._mtu))

    # --- Bumble's events ---------------------------------------------------------------------

    def _on_connection(self, connection: Connection) -> None:
        if not self._active:
            self._later(lambda: connection.disconnect())
            return
        handle = connection.handle
        self._connections[handle] = connection
        self.on_change()
        self.security.opened(connection)
        address = bytes(reversed(bytes(connection.peer_address)))
        kind = 0 if connection.peer_address.is_public else 1
        self._bus.interrupt(ops.SRC_BLE, _CONNECT, handle, kind, address)

        def gone(reason: int) -> None:
            if self._connections.pop(handle, None) is not None:
                self.security.closed(handle)
                self._server.closed(handle)
                self._bus.interrupt(ops.SRC_BLE, _DISCONNECT, handle, kind, address)
                self.on_change()

        def mtu() -> None:
            self._bus.interrupt(ops.SRC_BLE, _MTU, handle, connection.att_mtu)

        def parameters() -> None:
            p = connection.parameters
            self.on_change()
            self._bus.interrupt(
                ops.SRC_BLE,
                _PARAMETERS,
                handle,
                0,
                struct.pack(
                    "<HHHB",
                    round(p.connection_interval / 1.25),
                    p.peripheral_latency,
                    round(p.supervision_timeout / 10),
                    0,
                ),
            )

        connection.on(Connection.EVENT_DISCONNECTION, gone)
        connection.on(Connection.EVENT_CONNECTION_ATT_MTU_UPDATE, mtu)
        connection.on(Connection.EVENT_CONNECTION_PARAMETERS_UPDATE, parameters)
