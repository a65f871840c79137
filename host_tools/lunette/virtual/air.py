"""The air: a simulated radio on which virtual glasses and host programs meet.

For example:

    air = Air(LinkModel(interval_ms=30, loss=0.1))
    glasses = await air.device("glasses", "C0:FF:EE:00:00:01")     # a Bumble device, here
    port = await air.serve()                                       # HCI for programs elsewhere
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any, cast

from bumble.core import InvalidPacketError
from bumble.device import Device
from bumble.hci import Address, HCI_AclDataPacket, HCI_Number_Of_Completed_Packets_Event, HCI_Packet
from bumble.host import Host
from bumble.transport.common import AsyncPipeSink, PacketParser, TransportLostError

from lunette.virtual.controller import RadioController
from lunette.virtual.link_model import LinkModel
from lunette.virtual.medium import Medium
from lunette.virtual.quiet_bumble import make_quiet
from lunette.virtual.radio_link import TO_CENTRAL, TO_PERIPHERAL
from lunette.virtual.static_device import json_keystore, new_device, static_address

__all__ = ["Air", "LinkModel"]

make_quiet()


class Air:
    """Controllers, the links between them, and the weather.

    Everything belongs to the running event loop; time is that loop's.
    """

    def __init__(self, model: LinkModel | None = None) -> None:
        self._medium = Medium(model or LinkModel())
        self._devices: dict[Device, RadioController] = {}
        self._servers: list[asyncio.Server] = []
        self._ports: set[_HciPort] = set()

    @property
    def model(self) -> LinkModel:
        """What the air is like. Change its fields, or assign another one, at any time."""
        return self._medium.model

    @model.setter
    def model(self, model: LinkModel) -> None:
        self._medium.model = model

    async def device(self, name: str, address: str, *, keystore: str | None = None) -> Device:
        """A powered-on Bumble device with a controller of its own.

        `address` is static random ("C0:FF:EE:00:00:01"); `keystore` names a JSON file for its bonds, else
        they are gone with it. ValueError if the address is not static random or already on the air.
        """
        own = static_address(address)
        if self._find(own) is not None:
            raise ValueError(f"address: {own} is already on the air")
        controller = RadioController(name, self._medium)
        controller.random_address = controller.identity = own
        host = _DirectHost(cast(Any, controller), _DirectSink(controller))
        device = new_device(name, own, host, json_keystore(keystore, own) if keystore else None)
        self._devices[device] = controller
        try:
            await device.power_on()
        except BaseException:
            self.remove(device)
            raise
        return device

    def remove(self, device: Device) -> None:
        """Take a device's power away: its peers only notice by the supervision timeout."""
        controller = self._devices.pop(device, None)
        if controller is None:
            return
        controller.power_off()
        host = device.host
        host.set_packet_sink(_Nothing())
        # Ends connections and cancels Bumble's own tasks; only then are other waiting commands failed,
        # as nobody would ever look at the error of a task.
        _forget_who_gave_up(device)
        host.emit("flush")
        asyncio.get_running_loop().call_soon(_fail_pending_command, host)

    def rest(self, device: Device) -> bool:
        """As `remove`, for a device that will be given its power back as it is: making one takes long. False,
        and nothing is done, if it has a link, or is in the middle of something."""
        controller = self._devices.get(device)
        if controller is None or controller.le_connections or device.host.pending_command is not None:
            return False
        controller.le_legacy_advertiser.stop()
        device.legacy_advertiser = None
        assert controller.identity is not None
        device.random_address = controller.random_address = controller.identity
        return True

    def controller(self, device: Device) -> RadioController | None:
        """What is between that device and the air, for whoever counts what it sends; None: it has gone."""
        return self._devices.get(device)

    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Offer controllers by HCI (H4) over TCP, one for each client. Returns the port.

        A client that closes its connection is gone from the air as without power. OSError if the
        port is busy.
        """
        server = await asyncio.get_running_loop().create_server(lambda: _HciPort(self), host, port)
        self._servers.append(server)
        return int(server.sockets[0].getsockname()[1])

    def drop(self) -> int:
        """Cut every link: nothing crosses, and both sides see 0x08 after the supervision timeout.

        Returns how many links were cut. New connections can be made at once.
        """
        links = [link for link in self._medium.links if link.alive]
        for link in links:
            link.cut()
        return len(links)

    def set_in_range(self, device_or_address: Device | str, in_range: bool) -> None:
        """Carry a device away or back. Away, nobody hears its adverts and its links fall silent; they
        survive if it comes back before the supervision timeout. ValueError if it is not on the air.
        """
        if isinstance(device_or_address, str):
            controller = self._find(Address(device_or_address))
        else:
            controller = self._devices.get(device_or_address)
        if controller is None:
            raise ValueError(f"{device_or_address} is not on the air")
        self._medium.set_in_range(controller, in_range)

    def stall(self, device: Device, stalled: bool) -> None:
        """The computer of a device takes nothing from its adapter for a while, so flow control holds its
        peers back; False ends that. ValueError if it is not on the air."""
        controller = self._devices.get(device)
        if controller is None:
            raise ValueError(f"{device.name} is not on the air")
        controller.host_takes_data = not stalled

    def _find(self, address: Address) -> RadioController | None:
        for controller in self._medium.attached:
            if address in (controller.identity, controller.random_address, controller.public_address):
                return controller
        return None

    def stats(self) -> dict[str, Any]:
        """Totals since the start.

        `packets`, `bytes` (payload octets of data PDUs), `retransmissions`, `airtime_s`: both directions
        together, and each by itself in `to_central` and `to_peripheral`. `events` (connection events
        held), `connections`, `lost_links`, `advertisements`: counts. `links`: up right now.
        """
        stats = self._medium.stats
        each = [dataclasses.asdict(direction) for direction in stats.directions]
        totals = {key: each[0][key] + each[1][key] for key in each[0]}
        return totals | {
            "to_peripheral": each[TO_PERIPHERAL],
            "to_central": each[TO_CENTRAL],
            "events": stats.events,
            "connections": stats.connections,
            "lost_links": stats.lost_links,
            "advertisements": self._medium.advertisements,
            "links": sum(link.alive for link in self._medium.links),
        }

    async def close(self) -> None:
        """Silence: no device, no listening port, no timer stays behind."""
        for device in list(self._devices):
            self.remove(device)
        ports = list(self._ports)
        for port in ports:
            port.close()
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()
        for controller in self._medium.attached:
            controller.power_off()
        self._medium.close()
        await asyncio.gather(*(port.closed for port in ports), *(server.wait_closed() for server in servers))
        # Bumble's tasks were cancelled above; they end within a few turns of the loop.
        for _ in range(5):
            await asyncio.sleep(0)


class _DirectSink(AsyncPipeSink):
    """To the controller of a host in this process. The pipe makes it answer after the host is ready to
    listen, as a real one would. Data, which are most of it, need not become bytes in between."""

    def __init__(self, controller: RadioController):
        super().__init__(controller)
        self._controller = controller

    def on_data(self, packet: HCI_AclDataPacket) -> None:
        self.loop.call_soon(self._on_data, packet)

    def _on_data(self, packet: HCI_AclDataPacket) -> None:
        if self._controller.powered:
            self._controller.on_hci_acl_data_packet(packet)


class _DirectHost(Host):
    def send_hci_packet(self, packet: HCI_Packet) -> None:
        if isinstance(packet, HCI_AclDataPacket) and isinstance(self.hci_sink, _DirectSink):
            self.hci_sink.on_data(packet)
        else:
            super().send_hci_packet(packet)

    def on_direct(self, packet: HCI_AclDataPacket | HCI_Number_Of_Completed_Packets_Event) -> None:
        """From the controller, as it is."""
        if not self.ready:
            return
        if isinstance(packet, HCI_AclDataPacket):
            self.on_hci_acl_data_packet(packet)
        else:
            self.on_hci_number_of_completed_packets_event(packet)


class _Nothing:
    """Where the controller of a removed device was."""

    def on_packet(self, packet: bytes) -> None:
        raise TransportLostError("the device is no longer on the air")


def _fail_pending_command(host: Host) -> None:
    if host.pending_response is not None and not host.pending_response.done():
        host.pending_response.set_exception(TransportLostError("the device is no longer on the air"))


class _HciPort(asyncio.Protocol):
    """One client of `Air.serve`: H4 packets to and from a controller of its own."""

    def __init__(self, air: Air) -> None:
        self._air = air
        self._parser = PacketParser()
        self._transport: asyncio.Transport | None = None
        self._controller: RadioController | None = None
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._controller = RadioController("hci", self._air._medium)
        self._controller.set_packet_sink(self)
        self._parser.set_packet_sink(self._controller)
        self._air._ports.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except InvalidPacketError:
            # Not HCI, or out of step, which HCI over a stream cannot recover from.
            self.close()

    def on_packet(self, packet: bytes) -> None:
        """From the controller to the client."""
        if self._transport is not None:
            self._transport.write(packet)

    def pause_writing(self) -> None:
        if self._controller is not None:
            self._controller.host_takes_data = False

    def resume_writing(self) -> None:
        if self._controller is not None:
            self._controller.host_takes_data = True

    def connection_lost(self, _error: Exception | None) -> None:
        self._transport = None
        self._air._ports.discard(self)
        if self._controller is not None:
            self._controller.power_off()
        if not self.closed.done():
            self.closed.set_result(None)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _forget_who_gave_up(device: Device) -> None:
    """Bumble tells each that waits for a disconnection, and fails in the middle if one was cancelled."""
    for connection in device.connections.values():
        for event in (connection.EVENT_DISCONNECTION, connection.EVENT_DISCONNECTION_FAILURE):
            for listener in list(connection.listeners(event)):
                waiting = getattr(listener, "__self__", None)
                if isinstance(waiting, asyncio.Future) and waiting.done():
                    connection.remove_listener(event, listener)
