"""Bleak programs on the simulated air: in the simulator's process, and attached to it by TCP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bleak import BleakClient, BleakScanner
from bleak.exc import (
    BleakCharacteristicNotFoundError,
    BleakDeviceNotFoundError,
    BleakError,
    BleakGATTProtocolError,
)
from bumble import att, pairing
from bumble.core import AdvertisingData
from bumble.device import Connection, Device
from bumble.gatt import Characteristic, CharacteristicValue, Descriptor, Service
from bumble.keys import MemoryKeyStore

from lunette.virtual import bleak_radio
from lunette.virtual.air import Air, LinkModel
from lunette.virtual.bleak_backend import VirtualClient, VirtualScanner, use_air
from lunette.virtual.cpython import run

GLASSES = "C0:FF:EE:00:00:01"
SERVICE = "11111111-0000-4000-8000-000000000000"
STREAM = "11111111-0000-4000-8000-000000000001"
BOX = "11111111-0000-4000-8000-000000000002"
SECRET = "11111111-0000-4000-8000-000000000003"
STATE = "11111111-0000-4000-8000-000000000004"
BATTERY_SERVICE = "0000180f-0000-1000-8000-00805f9b34fb"
BATTERY_LEVEL = "00002a19-0000-1000-8000-00805f9b34fb"

Properties = Characteristic.Properties
Permissions = Characteristic.Permissions
Ad = AdvertisingData.Type


class Glasses:
    """A peripheral with one of everything, made with Bumble alone."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.written: list[bytes] = []
        self.value = b"\0"
        box = CharacteristicValue[bytes](read=self._read, write=self._write)
        self.label = Descriptor("2901", Descriptor.READABLE | Descriptor.WRITEABLE, b"a box")
        self.stream: Characteristic[bytes] = Characteristic(STREAM, Properties.NOTIFY, Permissions(0))
        self.state: Characteristic[bytes] = Characteristic(STATE, Properties.INDICATE, Permissions(0))
        self.box: Characteristic[bytes] = Characteristic(
            BOX,
            Properties.READ | Properties.WRITE | Properties.WRITE_WITHOUT_RESPONSE,
            Permissions.READABLE | Permissions.WRITEABLE,
            box,
            [self.label],
        )
        secret = Characteristic(
            SECRET,
            Properties.READ,
            Permissions.READABLE | Permissions.READ_REQUIRES_ENCRYPTION,
            b"for bonded hosts",
        )
        device.add_services(
            [
                Service(SERVICE, [self.stream, self.box, secret, self.state]),
                Service(
                    BATTERY_SERVICE,
                    [Characteristic(BATTERY_LEVEL, Properties.READ, Permissions.READABLE, b"\x55")],
                ),
            ]
        )
        self.accepts_pairing = True
        device.pairing_config_factory = lambda _connection: pairing.PairingConfig(
            mitm=False,
            identity_address_type=pairing.PairingConfig.AddressType.RANDOM,
            delegate=_Delegate(self),
        )

    def _read(self, _connection: Any) -> bytes:
        return self.value

    def _write(self, _connection: Any, value: bytes) -> None:
        if value == b"refused":
            raise att.ATT_Error(0x80)
        self.written.append(value)
        self.value = value

    @property
    def connection(self) -> Connection:
        (connection,) = self.device.connections.values()
        return connection

    async def advertise(self) -> None:
        await self.device.start_advertising(
            advertising_data=bytes(
                AdvertisingData(
                    [
                        (Ad.FLAGS, b"\x06"),
                        (Ad.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS, b"\x0f\x18"),
                        (Ad.MANUFACTURER_SPECIFIC_DATA, b"\x34\x12abc"),
                        (Ad.SERVICE_DATA_16_BIT_UUID, b"\x0f\x18\x55"),
                    ]
                )
            ),
            scan_response_data=bytes(
                AdvertisingData([(Ad.COMPLETE_LOCAL_NAME, b"Lunette"), (Ad.TX_POWER_LEVEL, b"\xf8")])
            ),
            advertising_interval_min=30,
            advertising_interval_max=30,
        )

    async def notify(self, value: bytes) -> None:
        await self.device.notify_subscriber(self.connection, self.stream, value)


class _Delegate(pairing.PairingDelegate):
    def __init__(self, glasses: Glasses) -> None:
        super().__init__()
        self.glasses = glasses

    async def accept(self) -> bool:
        return self.glasses.accepts_pairing


class World:
    """Air, glasses, and how Bleak gets to them."""

    def __init__(self, air: Air, glasses: Glasses) -> None:
        self.air = air
        self.glasses = glasses

    def client(self, **kwargs: Any) -> BleakClient:
        return BleakClient(GLASSES, backend=VirtualClient, **kwargs)

    async def until(self, condition: Callable[[], object]) -> None:
        """Poll, with a limit; virtual time costs nothing and real time a few milliseconds."""
        deadline = asyncio.get_running_loop().time() + 20
        while not condition():
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def world(tcp: bool, model: LinkModel | None = None) -> AsyncIterator[World]:
    air = Air(model or LinkModel(interval_ms=7.5, supervision_timeout_ms=300))
    glasses = Glasses(await air.device("glasses", GLASSES))
    await glasses.advertise()
    use_air(f"127.0.0.1:{await air.serve()}" if tcp else air)
    try:
        yield World(air, glasses)
        await asyncio.sleep(0.05)
        assert not bleak_radio.Radio._all, "a radio that nobody uses is still attached"
    finally:
        use_air(None)
        await air.close()


Test = Callable[[World], Awaitable[None]]


@pytest.fixture(params=["in process", "by TCP"])
def on_air(request: pytest.FixtureRequest) -> Callable[[Test], None]:
    """Run a test with the air here in virtual time, or behind a port in real time."""
    tcp = request.param == "by TCP"

    def go(test: Test) -> None:
        async def body() -> None:
            async with world(tcp) as here:
                await test(here)

        if tcp:
            asyncio.run(body())
        else:
            run(body())

    return go


def in_virtual_time(test: Test, model: LinkModel | None = None) -> None:
    async def body() -> None:
        async with world(False, model) as here:
            await test(here)

    run(body())


@pytest.fixture(autouse=True)
def clean_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("LUNETTE_AIR", "LUNETTE_KEYS", "LUNETTE_MTU"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(bleak_radio, "_identities", {})
    yield
    bleak_radio.Radio._all.clear()


# Scanning


def test_discovery_merges_advert_and_scan_response(on_air: Callable[[Test], None]) -> None:
    async def test(here: World) -> None:
        here.air.model.rssi = -61
        found = await BleakScanner.discover(0.3, return_adv=True, backend=VirtualScanner)
        device, data = found[GLASSES]
        assert (device.address, device.name, data.local_name) == (GLASSES, "Lunette", "Lunette")
        assert data.service_uuids == [BATTERY_SERVICE]
        assert data.manufacturer_data == {0x1234: b"abc"}
        assert data.service_data == {BATTERY_SERVICE: b"\x55"}
        assert (data.tx_power, data.rssi) == (-8, -61)

    on_air(test)


def test_passive_scans_filters_and_several_scanners() -> None:
    async def test(here: World) -> None:
        named: list[str | None] = []
        other: list[str] = []
        kwargs: dict[str, Any] = {"backend": VirtualScanner}
        async with BleakScanner(
            lambda _, data: named.append(data.local_name), scanning_mode="passive", **kwargs
        ):
            await asyncio.sleep(0.3)
            assert named and set(named) == {None}
        wanted = BleakScanner(lambda device, _: other.append(device.address), [BATTERY_SERVICE], **kwargs)
        unwanted = BleakScanner(lambda device, _: other.append("unwanted"), [SERVICE], **kwargs)
        async with wanted, unwanted:
            await asyncio.sleep(0.3)
            with pytest.raises(BleakError, match="already"):
                await wanted.start()
        assert other and set(other) == {GLASSES}
        assert [device.address for device in wanted.discovered_devices] == [GLASSES]
        assert unwanted.discovered_devices == []
        await wanted.stop()

    in_virtual_time(test)


def test_malformed_adverts_are_taken_for_what_they_are() -> None:
    async def test(here: World) -> None:
        heard: list[Any] = []
        for data in (
            b"\x02\xff\x01",
            b"\x03\x16\x01",
            b"\x05\x07\x01\x02\x03\x04",
            b"\x1e\x09ab",
            b"\0\0\0",
            b"\x01",
        ):
            await here.glasses.device.start_advertising(advertising_data=data, scan_response_data=b"")
            async with BleakScanner(lambda _, found: heard.append(found), backend=VirtualScanner):
                await asyncio.sleep(3)
        assert {found.local_name for found in heard} == {None, "ab"}
        assert not any(
            found.service_uuids or found.manufacturer_data or found.service_data for found in heard
        )

    in_virtual_time(test)


# Connecting


def test_a_client_by_address_finds_connects_and_leaves(on_air: Callable[[Test], None]) -> None:
    async def test(here: World) -> None:
        gone: list[BleakClient] = []
        client = here.client(disconnected_callback=gone.append)
        assert not client.is_connected and client.mtu_size == 23
        async with client:
            assert client.is_connected
            assert (client.name, client.mtu_size) == ("Lunette", 247)
            assert here.glasses.connection.att_mtu == 247
            with pytest.raises(BleakError, match="already connected"):
                await client.connect()
        assert not client.is_connected
        await here.until(lambda: gone)
        await asyncio.sleep(0.05)
        assert gone == [client]
        with pytest.raises(BleakError):
            await client.read_gatt_char(BOX)
        await client.disconnect()
        await here.glasses.advertise()
        async with client:
            assert await client.read_gatt_char(BATTERY_LEVEL) == b"\x55"

    on_air(test)


def test_a_device_from_a_scan_is_connected_without_another() -> None:
    async def test(here: World) -> None:
        device = await BleakScanner.find_device_by_name("Lunette", backend=VirtualScanner)
        assert device is not None
        async with BleakClient(device, backend=VirtualClient, services=[BATTERY_SERVICE]) as client:
            assert [service.uuid for service in client.services] == [BATTERY_SERVICE]
        await here.glasses.device.stop_advertising()
        start = asyncio.get_running_loop().time()
        with pytest.raises(asyncio.TimeoutError):
            await BleakClient(device, backend=VirtualClient, timeout=3).connect()
        assert asyncio.get_running_loop().time() - start == pytest.approx(3, abs=0.1)

    in_virtual_time(test)


def test_services_are_those_of_the_glasses(on_air: Callable[[Test], None]) -> None:
    async def test(here: World) -> None:
        async with here.client() as client:
            service = client.services.get_service(SERVICE)
            assert service is not None
            found = {entry.uuid: set(entry.properties) for entry in service.characteristics}
            assert found == {
                STREAM: {"notify"},
                BOX: {"read", "write", "write-without-response"},
                SECRET: {"read"},
                STATE: {"indicate"},
            }
            box = client.services.get_characteristic(BOX)
            assert box is not None and box.handle == here.glasses.box.handle
            assert box.max_write_without_response_size == 244
            (label,) = box.descriptors
            assert (label.handle, label.uuid[:8]) == (here.glasses.label.handle, "00002901")
            with pytest.raises(BleakCharacteristicNotFoundError):
                await client.read_gatt_char("2a00dead-0000-4000-8000-000000000000")

    on_air(test)


def test_nobody_there() -> None:
    async def test(here: World) -> None:
        with pytest.raises(BleakDeviceNotFoundError):
            await BleakClient("C0:00:00:00:00:99", backend=VirtualClient, timeout=2).connect()
        with pytest.raises(BleakDeviceNotFoundError):
            await BleakClient("not an address", backend=VirtualClient, timeout=2).connect()

    in_virtual_time(test)


def test_a_cancelled_connect_leaves_nothing_pending() -> None:
    async def test(here: World) -> None:
        device = await BleakScanner.find_device_by_address(GLASSES, backend=VirtualScanner)
        assert device is not None
        # The scanner keeps the radio attached; otherwise the attempt would end with that.
        async with BleakScanner(backend=VirtualScanner):
            await here.glasses.device.stop_advertising()
            attempt = asyncio.ensure_future(BleakClient(device, backend=VirtualClient).connect())
            await asyncio.sleep(0.5)
            attempt.cancel()
            with pytest.raises(asyncio.CancelledError):
                await attempt
            await here.glasses.advertise()
            await asyncio.sleep(1)
            assert not here.glasses.device.connections
            async with BleakClient(device, backend=VirtualClient):
                pass

    in_virtual_time(test)


def test_losing_the_link_while_connecting_is_an_error_and_no_news() -> None:
    async def test(here: World) -> None:
        gone: list[object] = []
        here.glasses.device.on(Device.EVENT_CONNECTION, lambda _connection: here.air.drop())
        with pytest.raises(BleakError, match="disconnected"):
            await here.client(disconnected_callback=gone.append).connect()
        await asyncio.sleep(1)
        assert gone == []

    in_virtual_time(test)


@pytest.mark.parametrize("listening", [True, False])
def test_no_air(monkeypatch: pytest.MonkeyPatch, listening: bool) -> None:
    async def body() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            where = f"127.0.0.1:{server.getsockname()[1]}"
            if not listening:
                server.close()
            monkeypatch.setenv("LUNETTE_AIR", where)
            monkeypatch.setattr(bleak_radio, "_ATTACH_TIMEOUT_S", 0.2)
            for attempt in (
                BleakClient(GLASSES, backend=VirtualClient).connect,
                BleakScanner(backend=VirtualScanner).start,
            ):
                with pytest.raises(
                    BleakError, match=f"no virtual glasses on {where}: start .* `lunette sim`"
                ):
                    await attempt()

    asyncio.run(body())
    assert not bleak_radio.Radio._all


@pytest.mark.parametrize("where", ["", "nowhere", "host:0", "host:port", ":1"])
def test_an_air_that_cannot_be(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.setenv("LUNETTE_AIR", where)
    with pytest.raises(BleakError, match="LUNETTE_AIR"):
        asyncio.run(BleakScanner(backend=VirtualScanner).start())


def test_the_offered_mtu(monkeypatch: pytest.MonkeyPatch) -> None:
    async def mtu(tcp: bool) -> int:
        async with world(tcp, LinkModel(interval_ms=7.5, mtu=100)) as here, here.client() as client:
            return client.mtu_size

    assert run(mtu(tcp=False)) == 100
    monkeypatch.setenv("LUNETTE_MTU", "185")
    assert asyncio.run(mtu(tcp=True)) == 185
    monkeypatch.setenv("LUNETTE_MTU", "7")
    with pytest.raises(BleakError, match="LUNETTE_MTU"):
        asyncio.run(mtu(tcp=True))


# Requests


def test_reading_and_writing(on_air: Callable[[Test], None]) -> None:
    async def test(here: World) -> None:
        long = bytes(range(256)) * 2
        async with here.client() as client:
            for value in (b"", b"short", long):
                await client.write_gatt_char(BOX, value, response=True)
                assert await client.read_gatt_char(BOX) == value
            await client.write_gatt_char(BOX, bytes(244), response=False)
            await here.until(lambda: here.glasses.written[-1:] == [bytes(244)])
            assert await client.read_gatt_descriptor(here.glasses.label.handle) == b"a box"
            await client.write_gatt_descriptor(here.glasses.label.handle, b"renamed")
            assert await client.read_gatt_descriptor(here.glasses.label.handle) == b"renamed"
            with pytest.raises(BleakError, match="at most 244"):
                await client.write_gatt_char(BOX, bytes(245), response=False)
            with pytest.raises(BleakError, match="at most 512"):
                await client.write_gatt_char(BOX, bytes(513), response=True)
            with pytest.raises(BleakGATTProtocolError) as caught:
                await client.write_gatt_char(BOX, b"refused", response=True)
            assert caught.value.code == 0x80

    on_air(test)


def test_writes_without_response_arrive_in_order_and_are_held_back(on_air: Callable[[Test], None]) -> None:
    async def test(here: World) -> None:
        values = [number.to_bytes(2, "little") + bytes(242) for number in range(200)]
        async with here.client() as client:
            longest = 0
            for value in values:
                await client.write_gatt_char(BOX, value, response=False)
                queue = client._backend._connection.data_packet_queue  # type: ignore[attr-defined]
                longest = max(longest, queue.pending)
            assert longest <= 24
            await here.until(lambda: len(here.glasses.written) == len(values))
        assert here.glasses.written == values

    on_air(test)


def test_a_cancelled_read_does_not_confuse_the_next() -> None:
    async def test(here: World) -> None:
        async with here.client() as client:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.read_gatt_char(BATTERY_LEVEL), 0.001)
            here.glasses.value = b"box"
            assert await client.read_gatt_char(BOX) == b"box"

    in_virtual_time(test)


@pytest.mark.parametrize("how", ["drop", "glasses disconnect", "glasses lose power"])
def test_the_end_of_the_link_ends_requests_with_an_error(on_air: Callable[[Test], None], how: str) -> None:
    async def test(here: World) -> None:
        gone: list[BleakClient] = []
        client = here.client(disconnected_callback=gone.append)
        await client.connect()
        await client.start_notify(STREAM, lambda _, __: None)
        requests = [
            asyncio.ensure_future(client.read_gatt_char(BOX)),
            asyncio.ensure_future(client.write_gatt_char(BOX, bytes(500), response=True)),
            asyncio.ensure_future(client.stop_notify(STREAM)),
        ]
        await asyncio.sleep(0)
        if how == "drop":
            here.air.drop()
        elif how == "glasses lose power":
            here.air.remove(here.glasses.device)
        else:
            await here.glasses.connection.disconnect()
        results = await asyncio.wait_for(asyncio.gather(*requests, return_exceptions=True), 5)
        assert [type(result) for result in results[:-1]] == [BleakError] * 2 or how == "glasses disconnect"
        assert type(results[-1]) is BleakError and "disconnected" in str(results[-1])
        await here.until(lambda: gone)
        await asyncio.sleep(0.1)
        assert gone == [client] and not client.is_connected
        with pytest.raises(BleakError):
            await client.write_gatt_char(here.glasses.box.handle, b"late", response=False)

    on_air(test)


def test_flooding_a_dead_link_ends_with_an_error() -> None:
    async def test(here: World) -> None:
        client = here.client()
        await client.connect()
        here.air.drop()
        with pytest.raises(BleakError, match="disconnected"):
            for _ in range(1000):
                await client.write_gatt_char(BOX, bytes(244), response=False)

    in_virtual_time(test)


def test_a_simulator_that_ends_takes_its_connections_along() -> None:
    async def body() -> None:
        async with world(tcp=True) as here:
            gone: list[object] = []
            client = here.client(disconnected_callback=gone.append)
            await client.connect()
            await here.air.close()
            await here.until(lambda: gone)
            assert not client.is_connected

    asyncio.run(body())


# Notifications


def test_notifications_and_indications(on_air: Callable[[Test], None]) -> None:
    async def test(here: World) -> None:
        heard: list[tuple[str, bytes]] = []
        async with here.client() as client:
            await client.start_notify(STREAM, lambda sender, data: heard.append((sender.uuid, bytes(data))))
            await client.start_notify(STATE, lambda sender, data: heard.append((sender.uuid, bytes(data))))
            with pytest.raises(BleakError, match="already"):
                await client.start_notify(STREAM, lambda _, __: None)
            with pytest.raises(BleakError, match="neither"):
                await client.start_notify(BOX, lambda _, __: None)
            for number in range(50):
                await here.glasses.notify(bytes([number]))
            await here.until(lambda: len(heard) == 50)
            assert heard == [(STREAM, bytes([number])) for number in range(50)]
            await here.glasses.device.indicate_subscriber(here.glasses.connection, here.glasses.state, b"on")
            assert heard[-1] == (STATE, b"on"), "an indication is confirmed once it was delivered"

            await client.stop_notify(STREAM)
            await here.glasses.notify(b"unheard")
            await here.glasses.device.notify_subscriber(
                here.glasses.connection, here.glasses.stream, b"unwanted", force=True
            )
            assert await client.read_gatt_char(BATTERY_LEVEL) == b"\x55"
            assert len(heard) == 51
            with pytest.raises(BleakError, match="not started"):
                await client.stop_notify(STREAM)

    on_air(test)


def test_a_callback_that_fails_does_not_stop_the_stream(on_air: Callable[[Test], None]) -> None:
    async def test(here: World) -> None:
        failures: list[Any] = []
        heard: list[int] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: failures.append(context["exception"])
        )

        def callback(_sender: object, data: bytearray) -> None:
            heard.append(data[0])
            raise RuntimeError("mine")

        async with here.client() as client:
            await client.start_notify(STREAM, callback)
            for number in range(3):
                await here.glasses.notify(bytes([number]))
            await here.until(lambda: len(heard) == 3)
        assert heard == [0, 1, 2] and len(failures) == 3

    on_air(test)


def test_goodput_to_a_bleak_program() -> None:
    async def test(here: World) -> None:
        arrivals: list[float] = []
        loop = asyncio.get_running_loop()
        async with here.client() as client:
            await client.start_notify(STREAM, lambda _, __: arrivals.append(loop.time()))
            for _ in range(600):
                await here.glasses.notify(bytes(244))
            await here.until(lambda: len(arrivals) == 600)
        kbps = 599 * 244 * 8 / (arrivals[-1] - arrivals[0]) / 1000
        assert kbps == pytest.approx(5 * 244 * 8 / 7.5, rel=0.01)

    in_virtual_time(test)


# Security


def test_an_attribute_that_wants_a_bond_gets_one_and_it_lasts(on_air: Callable[[Test], None]) -> None:
    async def test(here: World) -> None:
        async with here.client() as client:
            assert not here.glasses.connection.is_encrypted
            assert await client.read_gatt_char(SECRET) == b"for bonded hosts"
            assert here.glasses.connection.is_encrypted
        pairings: list[object] = []
        here.glasses.device.on("pairing_start", pairings.append)
        await here.glasses.advertise()
        async with here.client() as client:
            assert here.glasses.connection.is_encrypted, "a bonded link is encrypted at once"
            await client.pair()
        assert pairings == []

    on_air(test)


def test_pairing_first_on_request_and_unpairing() -> None:
    async def test(here: World) -> None:
        async with here.client(pair=True) as client:
            assert here.glasses.connection.is_encrypted
            await client.unpair()
            assert not client.is_connected
        await here.glasses.advertise()
        async with here.client():
            assert not here.glasses.connection.is_encrypted

    in_virtual_time(test)


def test_the_security_request_of_the_glasses_is_answered() -> None:
    async def test(here: World) -> None:
        for _ in range(2):  # by pairing, then by encrypting
            async with here.client() as client:
                here.glasses.device.request_pairing(here.glasses.connection)
                await here.until(lambda: here.glasses.connection.is_encrypted)
                assert await client.read_gatt_char(SECRET)
            await here.glasses.advertise()

    in_virtual_time(test)


def test_glasses_that_do_not_want_to_pair() -> None:
    async def test(here: World) -> None:
        here.glasses.accepts_pairing = False
        async with here.client() as client:
            with pytest.raises(BleakError, match="pairing failed"):
                await client.pair()
            with pytest.raises(BleakGATTProtocolError) as caught:
                await client.read_gatt_char(SECRET)
            assert caught.value.code in (0x05, 0x0F)
        await here.glasses.advertise()
        with pytest.raises(BleakError, match="pairing failed"):
            await here.client(pair=True).connect()
        await here.until(lambda: not here.glasses.device.connections)

    in_virtual_time(test)


def test_glasses_that_forgot_the_bond() -> None:
    async def test(here: World) -> None:
        async with here.client(pair=True):
            pass
        here.glasses.device.keystore = MemoryKeyStore()
        await here.glasses.advertise()
        client = here.client()
        with pytest.raises(BleakError, match="unpair"):
            await client.connect()
        await client.unpair()
        await here.glasses.advertise()
        async with here.client(pair=True):
            assert here.glasses.connection.is_encrypted

    in_virtual_time(test)


def test_bonds_survive_the_host_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = tmp_path / "keys.json"
    monkeypatch.setenv("LUNETTE_KEYS", str(keys))

    async def test(here: World) -> None:
        peers: set[str] = set()
        for bonded in (False, True):
            monkeypatch.setattr(bleak_radio, "_identities", {})  # as another process would start
            async with here.client() as client:
                peers.add(str(here.glasses.connection.peer_address))
                assert here.glasses.connection.is_encrypted == bonded
                await client.read_gatt_char(SECRET)
            await here.glasses.advertise()
        assert len(peers) == 1
        assert GLASSES in json.loads(keys.read_text())[peers.pop()]

    in_virtual_time(test)
    keys.write_text("{broken")
    monkeypatch.setattr(bleak_radio, "_identities", {})
    monkeypatch.setenv("LUNETTE_AIR", "127.0.0.1:1")
    with pytest.raises(BleakError, match=r"keys\.json"):
        asyncio.run(BleakScanner(backend=VirtualScanner).start())


def test_an_attachment_that_is_given_up_half_way_leaves_nothing_on_the_air() -> None:
    async def main(turns: int) -> None:
        air = Air(LinkModel())
        use_air(air)
        try:
            given_up = asyncio.ensure_future(bleak_radio.Radio.acquire())
            for _ in range(turns):
                await asyncio.sleep(0)
            given_up.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                (await given_up).release()  # it was faster
            radio = await bleak_radio.Radio.acquire()
            assert list(air._devices) == [radio.device], turns
            radio.release()
            await asyncio.sleep(1)
            assert not air._devices, turns
        finally:
            use_air(None)
            await air.close()

    for turns in range(120):
        run(main(turns))
