"""A Bluetooth LE controller on the simulated air: Bumble's, corrected where it is not like a radio.

Bumble's virtual controller (0.0.236) is meant for testing host stacks. Against a real one: its packets take
no time and its queues no end; LE packets are 27 octets; scan responses are never delivered; a
cancelled connection attempt is never reported; whoever disconnects is told the reason it gave
instead of 0x16; the peripheral is told a made-up interval; links do not time out; RSSI, PHY and data
length commands are missing; legacy advertising intervals are taken as milliseconds instead of units
of 0.625 ms; an unknown asynchronous command is never answered.

Models: legacy advertising and scanning, one initiator, connections (see `radio_link`), encryption
as far as keys match or not, resolving the private addresses of peers, HCI flow control with a small
number of buffers.
Does not model: BR/EDR, extended advertising, isochronous channels, accept lists, privacy modes, making
private addresses, scan windows (a scanner hears every advert), the length update procedure (251 octets
from the first PDU on).
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable

from bumble import hci, ll
from bumble.controller import Connection, Controller, LegacyAdvertiser
from bumble.core import PhysicalTransport

from lunette.virtual.link_model import LinkModel
from lunette.virtual.medium import Medium
from lunette.virtual.radio_link import Pdu, RadioLink
from lunette.virtual.resolving_list import ResolvingList

logger = logging.getLogger(__name__)

ACL_OCTETS = 251
ACL_BUFFERS = 12
# Air time of 251 octets on 1M (Vol 6, Part B, 4.5.10).
ACL_TIME_US = 2120
MIN_ACL_OCTETS = 27
# Payload of a link layer control PDU; 2 (terminate) to 23 (encryption request), mostly 12 and below.
_CONTROL_OCTETS = 12
_ADVERTISING_UNIT_S = 0.625e-3
# Vol 6, Part B, 4.4.2.2.1: up to 10 ms are added to each interval so that advertisers do not stay in step.
_ADVERTISING_DELAY_S = 10e-3
_MAX_SEEN = 1000

_IND, _DIRECT_HIGH, _SCANNABLE, _NOT_CONNECTABLE, _DIRECT_LOW = 0, 1, 2, 3, 4
_CONNECTABLE = (_IND, _DIRECT_HIGH, _DIRECT_LOW)
_HAS_SCAN_RESPONSE = (_IND, _SCANNABLE)
_DIRECTED = (_DIRECT_HIGH, _DIRECT_LOW)

_PHYS = {"1M": hci.Phy.LE_1M, "2M": hci.Phy.LE_2M}
_PHY_BITS = ((hci.PhyBit.LE_2M, "2M"), (hci.PhyBit.LE_1M, "1M"))

# What Bumble's controller answers but does not list, or does not have.
_ALSO_SUPPORTED = {hci.HCI_READ_LOCAL_SUPPORTED_COMMANDS_COMMAND, hci.HCI_LE_SET_PHY_COMMAND}

_DIRECT = (hci.HCI_AclDataPacket, hci.HCI_Number_Of_Completed_Packets_Event)

_Error = hci.HCI_ErrorCode


@dataclasses.dataclass
class Advertisement(ll.AdvertisingPdu):
    """One advertising event. `kind` is the HCI advertising type."""

    sender: RadioController
    kind: int
    address: hci.Address
    data: bytes
    scan_response: bytes
    target: hci.Address | None


@dataclasses.dataclass
class PhyUpdateInd(ll.ControlPdu):
    """LL_PHY_UPDATE_IND. `phys`: central to peripheral, and back."""

    opcode = ll.ControlPdu.Opcode.LL_PHY_UPDATE_IND
    phys: tuple[str, str]


@dataclasses.dataclass
class ConnectionParamReq(ll.ControlPdu):
    """LL_CONNECTION_PARAM_REQ, of a peripheral. Units of 1.25 ms, events, 10 ms."""

    opcode = ll.ControlPdu.Opcode.LL_CONNECTION_PARAM_REQ
    interval_min: int
    interval_max: int
    latency: int
    timeout: int


@dataclasses.dataclass
class _DataFragment:
    """What an HCI ACL packet becomes on air. `last`: its acknowledgement frees the HCI buffer."""

    data: bytes
    start: bool
    last: bool


class RadioConnection(Connection):
    """One side of a `RadioLink`, seen from its controller."""

    controller: RadioController
    radio: RadioLink

    # Dataclass equality would compare controllers field by field.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def open(self, radio: RadioLink, model: LinkModel) -> None:
        self.radio = radio
        self.tx_octets = ACL_OCTETS
        self.buffers_used = 0
        self.disconnecting = False
        self._followed_timing = (model.interval_units, model.latency, model.timeout_units)
        self._followed_phy = "1M"

    def on_model_change(self, model: LinkModel) -> None:
        """Central only: give the link what the model now says, if it says something new."""
        timing = (model.interval_units, model.latency, model.timeout_units)
        if timing != self._followed_timing:
            self._followed_timing = timing
            self.send_ll_control_pdu(ll.ConnectionUpdateInd(*timing))
        if model.phy != self._followed_phy:
            self._followed_phy = model.phy
            self.send_ll_control_pdu(PhyUpdateInd((model.phy, model.phy)))

    @property
    def direction(self) -> int:
        """Index into the link's pair of PHYs of what this side sends."""
        return 0 if self.role == hci.Role.CENTRAL else 1

    # From the host

    def on_hci_acl_data_packet(self, packet: hci.HCI_AclDataPacket) -> None:
        if self.disconnecting:
            # Nothing is sent after LL_TERMINATE_IND; the host's buffers come back with the disconnection.
            return
        if self.controller.buffers_used >= self.controller.total_num_le_acl_data_packets:
            logger.warning("%s: the host overran the ACL buffers, packet dropped", self.controller.name)
            return
        self.buffers_used += 1
        for offset in range(0, max(len(packet.data), 1), self.tx_octets):
            data = packet.data[offset : offset + self.tx_octets]
            start = offset == 0 and packet.pb_flag != hci.HCI_ACL_PB_CONTINUATION
            last = offset + self.tx_octets >= len(packet.data)
            self.radio.send(self, Pdu(len(data), _DataFragment(data, start, last)))

    def send_ll_control_pdu(self, packet: ll.ControlPdu) -> None:
        self.radio.send(self, Pdu(_CONTROL_OCTETS, packet, control=True))

    # From the link

    def can_receive(self) -> bool:
        return self.controller.host_takes_data

    def on_pdu(self, pdu: Pdu) -> None:
        if pdu.control:
            self.controller.on_ll_control_pdu(self.peer_address, pdu.payload)
            return
        fragment = pdu.payload
        flag = hci.HCI_ACL_PB_FIRST_FLUSHABLE if fragment.start else hci.HCI_ACL_PB_CONTINUATION
        self.controller.send_hci_packet(
            hci.HCI_AclDataPacket(self.handle, flag, 0, len(fragment.data), fragment.data)
        )

    def on_acknowledged(self, pdu: Pdu) -> None:
        if pdu.control:
            self.controller.on_control_acknowledged(self, pdu.payload)
        elif pdu.payload.last:
            self.buffers_used -= 1
            self.controller.send_hci_packet(
                hci.HCI_Number_Of_Completed_Packets_Event(
                    connection_handles=[self.handle], num_completed_packets=[1]
                )
            )

    def on_link_lost(self, reason: int) -> None:
        # Vol 6, Part B, 5.1.6: a termination that is never acknowledged still ends as asked for.
        if self.disconnecting:
            reason = _Error.CONNECTION_TERMINATED_BY_LOCAL_HOST_ERROR
        self.controller.on_le_disconnected(self, reason)


class RadioAdvertiser(LegacyAdvertiser):
    """Legacy advertising with intervals, types and scan responses as the specification has them."""

    controller: RadioController

    def _on_timer_fired(self) -> None:
        self.send_advertising_data()
        interval = self.advertising_interval_min * _ADVERTISING_UNIT_S
        delay = self.controller.medium.rng.uniform(0, _ADVERTISING_DELAY_S)
        self.timer_handle = asyncio.get_running_loop().call_later(interval + delay, self._on_timer_fired)

    def send_advertising_data(self) -> None:
        if not self.enabled:
            return
        kind = self.advertising_type
        self.controller.advertised += 1
        self.controller.send_advertising_pdu(
            Advertisement(
                sender=self.controller,
                kind=kind,
                address=self.address,
                data=b"" if kind in _DIRECTED else bytes(self.advertising_data),
                scan_response=bytes(self.scan_response_data) if kind in _HAS_SCAN_RESPONSE else b"",
                target=self.peer_address if kind in _DIRECTED else None,
            )
        )


def _status(error: int) -> hci.HCI_StatusReturnParameters:
    return hci.HCI_StatusReturnParameters(_Error(error))


class RadioController(Controller):
    """See the module's text. `medium` is the air; `host` is attached as to any Bumble controller."""

    le_acl_data_packet_length = ACL_OCTETS
    total_num_le_acl_data_packets = ACL_BUFFERS
    supported_max_tx_octets = supported_max_rx_octets = ACL_OCTETS
    supported_max_tx_time = supported_max_rx_time = ACL_TIME_US
    suggested_max_tx_octets = ACL_OCTETS
    suggested_max_tx_time = ACL_TIME_US
    # No extended advertising: an ESP32 with a stock MicroPython image has none either.
    le_features = (
        hci.LeFeatureMask.LE_ENCRYPTION
        | hci.LeFeatureMask.CONNECTION_PARAMETERS_REQUEST_PROCEDURE
        | hci.LeFeatureMask.PERIPHERAL_INITIATED_FEATURE_EXCHANGE
        | hci.LeFeatureMask.LE_PING
        | hci.LeFeatureMask.LE_DATA_PACKET_LENGTH_EXTENSION
        | hci.LeFeatureMask.LE_2M_PHY
        | hci.LeFeatureMask.CHANNEL_SELECTION_ALGORITHM_2
    )
    le_legacy_advertiser: RadioAdvertiser

    def __init__(self, name: str, medium: Medium) -> None:
        super().__init__(name, link=medium)
        self.medium = medium
        self.le_legacy_advertiser = RadioAdvertiser(self)
        self.host_takes_data = True
        """False while the way to the host is full; then the link's flow control holds the peer back."""
        self.powered = True
        self.advertised = 0
        """Advertising events so far."""
        self.identity: hci.Address | None = None
        """What the air knows its owner by, whatever address it uses."""
        self._resolving = ResolvingList()
        self._seen: set[tuple[bytes, int, bytes]] = set()
        # What is listed as supported but has no handler would never be answered.
        self.supported_commands = {
            code
            for code in Controller.supported_commands | _ALSO_SUPPORTED
            if hasattr(self, f"on_{hci.HCI_Command.command_name(code).lower()}")
        }

    @property
    def connections(self) -> list[RadioConnection]:
        return [c for c in self.le_connections.values() if isinstance(c, RadioConnection)]

    @property
    def buffers_used(self) -> int:
        return sum(connection.buffers_used for connection in self.connections)

    def power_off(self) -> None:
        """Gone from the air between two instructions: peers notice by their supervision timeout."""
        self.powered = False
        self._forget_everything()
        self.medium.remove_controller(self)

    def _forget_everything(self) -> None:
        self.le_legacy_advertiser.stop()
        self.le_scan_enable = False
        self.pending_le_connection = None
        for connection in self.connections:
            connection.radio.leave(connection)
        self.le_connections.clear()

    # HCI in and out

    def on_packet(self, packet: bytes) -> None:
        if self.powered:
            super().on_packet(packet)

    def send_hci_packet(self, packet: hci.HCI_Packet) -> None:
        direct = getattr(self.hci_sink, "on_direct", None)
        if direct is not None and isinstance(packet, _DIRECT):
            asyncio.get_running_loop().call_soon(self._to_host_direct, direct, packet)
        else:
            asyncio.get_running_loop().call_soon(self._to_host, bytes(packet))

    def _to_host_direct(self, take: Callable[[hci.HCI_Packet], None], packet: hci.HCI_Packet) -> None:
        """To a host in this process: the two packets of which there are most need not become bytes."""
        if self.powered and self.hci_sink is not None:
            take(packet)

    def _to_host(self, packet: bytes) -> None:
        if self.powered and self.hci_sink is not None:
            self.hci_sink.on_packet(packet)

    def on_hci_command_packet(self, command: hci.HCI_Command) -> None:
        if command.op_code in self.supported_commands:
            super().on_hci_command_packet(command)
        elif isinstance(command, hci.HCI_SyncCommand):
            self.send_hci_packet(
                hci.HCI_Command_Complete_Event(
                    num_hci_command_packets=1,
                    command_opcode=command.op_code,
                    return_parameters=_status(_Error.UNKNOWN_HCI_COMMAND_ERROR),
                )
            )
        else:
            self._send_hci_command_status(_Error.UNKNOWN_HCI_COMMAND_ERROR, command.op_code)

    def _pending(self, command: hci.HCI_Command) -> None:
        self._send_hci_command_status(hci.HCI_COMMAND_STATUS_PENDING, command.op_code)

    def _connection(self, handle: int) -> RadioConnection | None:
        connection = self.find_le_connection_by_handle(handle)
        return connection if isinstance(connection, RadioConnection) else None

    def _connection_or_status(self, command: hci.HCI_Command, handle: int) -> RadioConnection | None:
        """The connection an asynchronous command is for, or None after refusing the command."""
        if (connection := self._connection(handle)) is None:
            self._send_hci_command_status(_Error.UNKNOWN_CONNECTION_IDENTIFIER_ERROR, command.op_code)
        return connection

    def on_hci_reset_command(self, _command: hci.HCI_Reset_Command) -> hci.HCI_StatusReturnParameters:
        self._forget_everything()
        self._resolving.clear()
        self.suggested_max_tx_octets = ACL_OCTETS
        return _status(_Error.SUCCESS)

    # Advertising and scanning

    def on_hci_le_set_scan_enable_command(
        self, command: hci.HCI_LE_Set_Scan_Enable_Command
    ) -> hci.HCI_StatusReturnParameters:
        self._seen.clear()
        return super().on_hci_le_set_scan_enable_command(command)

    def on_ll_advertising_pdu(self, packet: ll.AdvertisingPdu) -> None:
        if not self.powered or not isinstance(packet, Advertisement):
            return
        if packet.target is not None and packet.target not in (self.random_address, self.public_address):
            return
        shown = self._resolving.resolve(packet.address) if self.le_address_resolution else packet.address
        if self.le_scan_enable:
            self._report(packet.kind, shown, packet.data)
            active = self.le_scan_type == hci.HCI_LE_Set_Scan_Parameters_Command.ACTIVE_SCANNING
            if active and packet.kind in _HAS_SCAN_RESPONSE:
                # One also comes when it is empty, and hosts wait for it.
                kind = hci.HCI_LE_Advertising_Report_Event.EventType.SCAN_RSP
                self._report(kind, shown, packet.scan_response)
        pending = self.pending_le_connection
        wanted = pending is not None and pending.peer_address in (shown, packet.address)
        if wanted and packet.kind in _CONNECTABLE:
            self._connect_to(packet.sender, packet.address, shown)

    def _report(self, kind: int, address: hci.Address, data: bytes) -> None:
        if self.filter_duplicates:
            key = (bytes(address), kind, data)
            if key in self._seen:
                return
            if len(self._seen) >= _MAX_SEEN:
                self._seen.clear()
            self._seen.add(key)
        report = hci.HCI_LE_Advertising_Report_Event.Report(
            event_type=kind,
            address_type=address.address_type,
            address=address,
            data=data,
            rssi=self.medium.model.rssi,
        )
        self.send_hci_packet(hci.HCI_LE_Advertising_Report_Event([report]))

    def on_hci_le_clear_resolving_list_command(
        self, _command: hci.HCI_LE_Clear_Resolving_List_Command
    ) -> hci.HCI_StatusReturnParameters:
        self._resolving.clear()
        return _status(_Error.SUCCESS)

    def on_hci_le_add_device_to_resolving_list_command(
        self, command: hci.HCI_LE_Add_Device_To_Resolving_List_Command
    ) -> hci.HCI_StatusReturnParameters:
        self._resolving.add(command.peer_irk, command.peer_identity_address)
        return _status(_Error.SUCCESS)

    # Connecting

    def on_hci_le_create_connection_cancel_command(
        self, _command: hci.HCI_LE_Create_Connection_Cancel_Command
    ) -> hci.HCI_StatusReturnParameters:
        if (pending := self.pending_le_connection) is None:
            return _status(_Error.COMMAND_DISALLOWED_ERROR)
        self.pending_le_connection = None
        event = hci.HCI_LE_Connection_Complete_Event(
            status=_Error.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
            connection_handle=0,
            role=hci.Role.CENTRAL,
            peer_address_type=pending.peer_address.address_type,
            peer_address=pending.peer_address,
            connection_interval=0,
            peripheral_latency=0,
            supervision_timeout=0,
            central_clock_accuracy=0,
        )
        # After the command's own completion.
        asyncio.get_running_loop().call_soon(self.send_hci_packet, event)
        return _status(_Error.SUCCESS)

    def _connect_to(self, advertiser: RadioController, address: hci.Address, shown: hci.Address) -> None:
        pending = self.pending_le_connection
        assert pending is not None
        public = pending.own_address_type in (
            hci.OwnAddressType.PUBLIC,
            hci.OwnAddressType.RESOLVABLE_OR_PUBLIC,
        )
        own_address = self.public_address if public else self.random_address
        gone = not advertiser.powered or not advertiser.le_legacy_advertiser.enabled
        if gone or address in self.le_connections or own_address in advertiser.le_connections:
            # Somebody else was faster. Go on waiting for the next advert, as an initiator does.
            return
        self.pending_le_connection = None
        advertiser.le_legacy_advertiser.stop()
        central = self._new_connection(hci.Role.CENTRAL, own_address, address)
        peripheral = advertiser._new_connection(hci.Role.PERIPHERAL, address, own_address)
        radio = self.medium.connect(central, peripheral)
        for connection in (central, peripheral):
            connection.open(radio, self.medium.model)
        self._on_connected(central, shown)
        advertiser._on_connected(peripheral, own_address)
        # As a phone does by itself: to the PHY it prefers.
        central.on_model_change(self.medium.model)

    def _new_connection(
        self, role: hci.Role, self_address: hci.Address, peer_address: hci.Address
    ) -> RadioConnection:
        return RadioConnection(
            controller=self,
            handle=self.allocate_connection_handle(),
            role=role,
            self_address=self_address,
            peer_address=peer_address,
            link=self.medium,
            transport=PhysicalTransport.LE,
            link_type=hci.HCI_Connection_Complete_Event.LinkType.ACL,
        )

    def _on_connected(self, connection: RadioConnection, peer: hci.Address) -> None:
        """Tell the host; `peer` is the peer's address, or the identity that it was resolved to."""
        self.le_connections[connection.peer_address] = connection
        resolved = peer != connection.peer_address
        self.send_hci_packet(
            hci.HCI_LE_Enhanced_Connection_Complete_Event(
                status=_Error.SUCCESS,
                connection_handle=connection.handle,
                role=connection.role,
                peer_address_type=peer.address_type,
                peer_address=peer,
                local_resolvable_private_address=hci.Address.ANY_RANDOM,
                peer_resolvable_private_address=connection.peer_address
                if resolved
                else hci.Address.ANY_RANDOM,
                connection_interval=connection.radio.interval,
                peripheral_latency=connection.radio.latency,
                supervision_timeout=connection.radio.timeout,
                central_clock_accuracy=0,
            )
        )
        self._report_data_length(connection, ACL_OCTETS, ACL_OCTETS)

    def _report_data_length(self, connection: RadioConnection, tx_octets: int, rx_octets: int) -> None:
        self.send_hci_packet(
            hci.HCI_LE_Data_Length_Change_Event(
                connection_handle=connection.handle,
                max_tx_octets=tx_octets,
                max_tx_time=ACL_TIME_US,
                max_rx_octets=rx_octets,
                max_rx_time=ACL_TIME_US,
            )
        )

    # Disconnecting

    def on_hci_disconnect_command(self, command: hci.HCI_Disconnect_Command) -> None:
        if (connection := self._connection_or_status(command, command.connection_handle)) is None:
            return
        if connection.disconnecting:
            self._send_hci_command_status(_Error.COMMAND_DISALLOWED_ERROR, command.op_code)
            return
        self._pending(command)
        connection.send_ll_control_pdu(ll.TerminateInd(command.reason))
        connection.disconnecting = True

    def on_le_disconnected(self, connection: Connection, reason: int) -> None:
        assert isinstance(connection, RadioConnection)
        if self.le_connections.get(connection.peer_address) is not connection:
            return
        super().on_le_disconnected(connection, reason)
        connection.radio.leave(connection)

    # Link layer control

    def on_ll_control_pdu(self, sender_address: hci.Address, packet: ll.ControlPdu) -> None:
        connection = self.le_connections.get(sender_address)
        assert isinstance(connection, RadioConnection)
        match packet:
            case ll.ConnectionUpdateInd():
                connection.radio.set_parameters(packet.interval, packet.latency, packet.timeout)
                super().on_ll_control_pdu(sender_address, packet)
            case ConnectionParamReq():
                self._update_connection(connection, packet)
            case PhyUpdateInd():
                connection.radio.phys = packet.phys
                self._report_phys(connection)
            case _:
                super().on_ll_control_pdu(sender_address, packet)

    def on_control_acknowledged(self, connection: RadioConnection, packet: ll.ControlPdu) -> None:
        """The peer has a control PDU of ours: what both sides now know is reported on this side too."""
        match packet:
            case ll.TerminateInd():
                self.on_le_disconnected(connection, _Error.CONNECTION_TERMINATED_BY_LOCAL_HOST_ERROR)
            case ll.ConnectionUpdateInd():
                self.send_hci_packet(
                    hci.HCI_LE_Connection_Update_Complete_Event(
                        status=_Error.SUCCESS,
                        connection_handle=connection.handle,
                        connection_interval=packet.interval,
                        peripheral_latency=packet.latency,
                        supervision_timeout=packet.timeout,
                    )
                )
            case PhyUpdateInd():
                self._report_phys(connection)

    def on_hci_le_connection_update_command(self, command: hci.HCI_LE_Connection_Update_Command) -> None:
        if (connection := self._connection_or_status(command, command.connection_handle)) is None:
            return
        low, high = command.connection_interval_min, command.connection_interval_max
        if not 6 <= low <= high <= 3200 or command.max_latency > 499:
            self._send_hci_command_status(_Error.INVALID_COMMAND_PARAMETERS_ERROR, command.op_code)
            return
        self._pending(command)
        request = ConnectionParamReq(low, high, command.max_latency, command.supervision_timeout)
        if connection.role == hci.Role.CENTRAL:
            self._update_connection(connection, request)
        else:
            connection.send_ll_control_pdu(request)

    def _update_connection(self, connection: RadioConnection, request: ConnectionParamReq) -> None:
        """As central: the interval the model prefers if it was asked for, else the longest asked for."""
        preferred = self.medium.model.interval_units
        wanted = request.interval_min <= preferred <= request.interval_max
        connection.send_ll_control_pdu(
            ll.ConnectionUpdateInd(
                interval=preferred if wanted else request.interval_max,
                latency=request.latency,
                timeout=request.timeout,
            )
        )

    def on_le_encryption_change(self, connection: Connection, status: int) -> None:
        assert isinstance(connection, RadioConnection)
        if status == _Error.SUCCESS:
            connection.radio.encrypted = True
        super().on_le_encryption_change(connection, status)

    def on_le_long_term_key_reply(
        self, connection: Connection, request: ll.EncReq, long_term_key: bytes | None
    ) -> None:
        assert isinstance(connection, RadioConnection)
        if long_term_key is not None and long_term_key != request.ltk:
            # Each side fails to decrypt the other's first packet.
            connection.radio.fail(_Error.CONNECTION_TERMINATED_DUE_TO_MIC_FAILURE_ERROR)
            return
        super().on_le_long_term_key_reply(connection, request, long_term_key)

    # PHY, data length, RSSI

    def _report_phys(self, connection: RadioConnection) -> None:
        phys = connection.radio.phys
        self.send_hci_packet(
            hci.HCI_LE_PHY_Update_Complete_Event(
                status=_Error.SUCCESS,
                connection_handle=connection.handle,
                tx_phy=_PHYS[phys[connection.direction]],
                rx_phy=_PHYS[phys[1 - connection.direction]],
            )
        )

    def on_hci_le_set_phy_command(self, command: hci.HCI_LE_Set_PHY_Command) -> None:
        if (connection := self._connection_or_status(command, command.connection_handle)) is None:
            return
        phys = list(connection.radio.phys)
        wishes = (command.tx_phys, command.rx_phys)
        for bit, (direction, wish) in enumerate(
            zip((connection.direction, 1 - connection.direction), wishes, strict=True)
        ):
            if command.all_phys & (1 << bit):
                continue  # no preference
            chosen = [name for mask, name in _PHY_BITS if wish & mask]
            if not chosen:
                self._send_hci_command_status(
                    _Error.UNSUPPORTED_FEATURE_OR_PARAMETER_VALUE_ERROR, command.op_code
                )
                return
            phys[direction] = chosen[0]
        self._pending(command)
        connection.send_ll_control_pdu(PhyUpdateInd((phys[0], phys[1])))

    def on_hci_le_read_phy_command(
        self, command: hci.HCI_LE_Read_PHY_Command
    ) -> hci.HCI_LE_Read_PHY_ReturnParameters:
        connection = self._connection(command.connection_handle)
        phys = connection.radio.phys if connection else ("1M", "1M")
        direction = connection.direction if connection else 0
        return hci.HCI_LE_Read_PHY_ReturnParameters(
            status=_Error.SUCCESS if connection else _Error.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
            connection_handle=command.connection_handle,
            tx_phy=_PHYS[phys[direction]],
            rx_phy=_PHYS[phys[1 - direction]],
        )

    def on_hci_le_set_data_length_command(
        self, command: hci.HCI_LE_Set_Data_Length_Command
    ) -> hci.HCI_StatusAndConnectionHandleReturnParameters:
        status = _Error.SUCCESS
        if (connection := self._connection(command.connection_handle)) is None:
            status = _Error.UNKNOWN_CONNECTION_IDENTIFIER_ERROR
        elif not MIN_ACL_OCTETS <= command.tx_octets <= ACL_OCTETS:
            status = _Error.INVALID_COMMAND_PARAMETERS_ERROR
        elif connection.tx_octets != command.tx_octets:
            connection.tx_octets = command.tx_octets
            self._report_new_data_length(connection)
        return hci.HCI_StatusAndConnectionHandleReturnParameters(
            status=status, connection_handle=command.connection_handle
        )

    def _report_new_data_length(self, connection: RadioConnection) -> None:
        ends = (connection.radio.central, connection.radio.peripheral)
        peers = [end for end in ends if isinstance(end, RadioConnection) and end is not connection]
        soon: Callable[..., object] = asyncio.get_running_loop().call_soon  # after the command's completion
        for peer in peers:
            soon(self._report_data_length, connection, connection.tx_octets, peer.tx_octets)
            soon(peer.controller._report_data_length, peer, peer.tx_octets, connection.tx_octets)

    def on_hci_read_rssi_command(
        self, command: hci.HCI_Read_RSSI_Command
    ) -> hci.HCI_Read_RSSI_ReturnParameters:
        known = self._connection(command.handle) is not None
        return hci.HCI_Read_RSSI_ReturnParameters(
            status=_Error.SUCCESS if known else _Error.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
            handle=command.handle,
            rssi=self.medium.model.rssi,
        )
