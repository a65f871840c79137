"""The air: time, order, loss, silence, and what each side of a link is told."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from bumble import att, core, hci, pairing
from bumble.core import AdvertisingData
from bumble.device import AdvertisingType, Connection, Device
from bumble.gatt import Characteristic, Service
from bumble.host import Host
from bumble.transport.tcp_client import open_tcp_client_transport
from hypothesis import given, settings
from hypothesis import strategies as st

from lunette.virtual.air import Air, LinkModel
from lunette.virtual.cpython import run
from lunette.virtual.link_model import exchange_airtime_s, pdu_airtime_s
from lunette.virtual.radio_link import LinkStats, Pdu, RadioLink
from lunette.virtual.static_device import new_device, static_address

GLASSES = "C0:FF:EE:00:00:01"
PHONE = "C0:FF:EE:00:00:02"
SERVICE = "11111111-0000-4000-8000-000000000000"
STREAM = "11111111-0000-4000-8000-000000000001"
ADVERT = bytes(AdvertisingData([(AdvertisingData.FLAGS, b"\x06")]))
SCAN_RESPONSE = bytes(AdvertisingData([(AdvertisingData.COMPLETE_LOCAL_NAME, b"Lunette")]))

Properties = Characteristic.Properties


def now() -> float:
    return asyncio.get_running_loop().time()


async def glasses_on(air: Air, interval_ms: float = 100) -> tuple[Device, Characteristic]:
    device = await air.device("glasses", GLASSES)
    stream: Characteristic[bytes] = Characteristic(
        STREAM, Properties.NOTIFY | Properties.WRITE_WITHOUT_RESPONSE, Characteristic.WRITEABLE
    )
    device.add_service(Service(SERVICE, [stream]))
    await advertise(device, interval_ms)
    return device, stream


async def advertise(device: Device, interval_ms: float = 100) -> None:
    await device.start_advertising(
        advertising_data=ADVERT,
        scan_response_data=SCAN_RESPONSE,
        advertising_interval_min=interval_ms,
        advertising_interval_max=interval_ms,
    )


def only(device: Device) -> Connection:
    (connection,) = device.connections.values()
    return connection


def ending(connection: Connection) -> asyncio.Future[tuple[float, int]]:
    """When this side was told that the connection is over, and why."""
    future: asyncio.Future[tuple[float, int]] = asyncio.get_running_loop().create_future()
    connection.on(Connection.EVENT_DISCONNECTION, lambda reason: future.set_result((now(), reason)))
    return future


async def linked(
    air: Air,
) -> tuple[Device, Connection, Characteristic, Device, Connection]:
    """Glasses and a phone with a connection between them, past the first events."""
    glasses, stream = await glasses_on(air)
    phone = await air.device("phone", PHONE)
    connection = await phone.connect_le(GLASSES)
    await connection.gatt_client.request_mtu(air.model.mtu)
    return glasses, only(glasses), stream, phone, connection


def in_virtual_time(test: Callable[..., Awaitable[None]], model: LinkModel | None = None) -> None:
    async def body() -> None:
        air = Air(model)
        await test(air)
        await air.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, "the air left tasks running"
        timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
        assert all(timer.cancelled() for timer in timers), "the air left timers running"

    run(body())


# The model


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("interval_ms", 7.0),
        ("interval_ms", 8.0),
        ("interval_ms", 4001.25),
        ("interval_ms", "15"),
        ("interval_ms", float("nan")),
        ("phy", "3M"),
        ("loss", 1.0),
        ("loss", -0.1),
        ("loss", True),
        ("jitter_ms", -1),
        ("mtu", 22),
        ("mtu", 528),
        ("mtu", 100.0),
        ("supervision_timeout_ms", 90),
        ("supervision_timeout_ms", 2005),
        ("latency", 500),
        ("pdus_per_event", 0),
        ("rssi", 30),
        ("seed", 0.5),
    ],
)
def test_model_refuses_and_names_the_field(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        LinkModel(**{field: value})
    model = LinkModel()
    before = getattr(model, field)
    with pytest.raises(ValueError, match=field):
        setattr(model, field, value)
    assert getattr(model, field) == before


def test_model_refuses_timing_no_timeout_can_cover() -> None:
    with pytest.raises(ValueError, match="latency"):
        LinkModel(interval_ms=4000, latency=3)
    model = LinkModel(interval_ms=4000)
    with pytest.raises(ValueError, match="latency"):
        model.latency = 3
    assert model.latency == 0
    assert model.timeout_units * 10 > 2 * 4000


def test_airtime_is_that_of_the_specification() -> None:
    # Vol 6, Part B, 2.1: preamble, access address, header, payload, CRC; microseconds by hand.
    assert pdu_airtime_s(0, "1M") == pytest.approx(80e-6)
    assert pdu_airtime_s(0, "2M") == pytest.approx(44e-6)
    assert pdu_airtime_s(251, "1M", encrypted=True) == pytest.approx(2120e-6)
    assert pdu_airtime_s(251, "2M") == pytest.approx(1048e-6)
    assert pdu_airtime_s(0, "2M", encrypted=True) == pytest.approx(44e-6)
    assert exchange_airtime_s(0, 251, ("2M", "2M")) == pytest.approx((44 + 150 + 1048 + 150) * 1e-6)


# The link by itself


class End:
    """One side of a link that notes what happens to it."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, Any]] = []
        self.acknowledged: list[Any] = []
        self.lost: list[tuple[float, int]] = []
        self.open = True

    def can_receive(self) -> bool:
        return self.open

    def on_pdu(self, pdu: Pdu) -> None:
        self.heard.append((now(), pdu.payload))

    def on_acknowledged(self, pdu: Pdu) -> None:
        self.acknowledged.append(pdu.payload)

    def on_link_lost(self, reason: int) -> None:
        self.lost.append((now(), reason))


def bare_link(model: LinkModel) -> tuple[RadioLink, End, End, LinkStats]:
    central, peripheral, stats = End(), End(), LinkStats()
    link = RadioLink(central, peripheral, model, stats, random.Random(model.seed))
    return link, central, peripheral, stats


models = st.builds(
    LinkModel,
    interval_ms=st.integers(6, 40).map(lambda units: units * 1.25),
    loss=st.sampled_from([0.0, 0.1, 0.7]),
    jitter_ms=st.sampled_from([0.0, 3.0, 40.0]),
    latency=st.sampled_from([0, 4]),
    pdus_per_event=st.sampled_from([None, 1, 6]),
    seed=st.integers(0, 1000),
)
# (virtual seconds to wait before it, from the central?, octets)
sendings = st.lists(
    st.tuples(st.sampled_from([0.0, 0.001, 0.05]), st.booleans(), st.integers(0, 251)), max_size=40
)


@settings(max_examples=60, deadline=None)
@given(models, sendings)
def test_everything_arrives_once_in_order_and_takes_its_time(
    model: LinkModel, sent: list[tuple[float, bool, int]]
) -> None:
    async def body() -> list[list[tuple[float, Any]]]:
        link, central, peripheral, stats = bare_link(model)
        start = now()
        for number, (wait, from_central, octets) in enumerate(sent):
            await asyncio.sleep(wait)
            link.send(central if from_central else peripheral, Pdu(octets, (number, now(), octets)))
        while len(central.heard) + len(peripheral.heard) < len(sent):
            await asyncio.sleep(1)
        for sender, receiver, flag in ((central, peripheral, True), (peripheral, central, False)):
            expected = [number for number, entry in enumerate(sent) if entry[1] == flag]
            assert [payload[0] for _, payload in receiver.heard] == expected
            assert [payload[0] for payload in sender.acknowledged] == expected
            for when, (_, given_at, octets) in receiver.heard:
                assert when >= given_at + pdu_airtime_s(octets, "1M") - 1e-9
        arrivals = sorted(central.heard + peripheral.heard)
        if arrivals:
            on_air = sum(direction.airtime_s for direction in stats.directions)
            assert arrivals[-1][0] - start >= on_air
        # Nothing to say: nothing scheduled.
        assert not [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
        return [central.heard, peripheral.heard]

    assert run(body()) == run(body()), "the same seed must give the same air"


@settings(max_examples=25, deadline=None)
@given(st.integers(6, 40), st.sampled_from(["1M", "2M"]), st.sampled_from([None, 1, 6]), st.integers(1, 251))
def test_backlog_fills_each_event_as_the_airtime_allows(
    units: int, phy: str, limit: int | None, octets: int
) -> None:
    interval = units * 1.25e-3

    async def body() -> None:
        link, central, peripheral, _ = bare_link(LinkModel(interval_ms=units * 1.25, pdus_per_event=limit))
        link.phys = (phy, phy)
        for _ in range(400):
            link.send(peripheral, Pdu(octets, None))
        while len(central.heard) < 400:
            await asyncio.sleep(1)
        first = central.heard[0][0]
        per_event = [0] * 400
        for when, _ in central.heard:
            per_event[int((when - first) / interval + 1e-6)] += 1
        # Independent of the link: whole exchanges that fit, and a central that stops at the limit.
        exchange = octets * 8 / (1e6 if phy == "1M" else 2e6) + pdu_airtime_s(0, phy) * 2 + 300e-6
        fits = max(int(interval / exchange + 1e-9), 1)
        expected = fits if limit is None else min(fits, limit)
        full = [count for count in per_event if count][:-1]
        assert set(full) <= {expected}
        assert peripheral.heard == []

    run(body())


def test_both_directions_share_the_exchanges_of_an_event() -> None:
    async def body() -> None:
        link, central, peripheral, stats = bare_link(LinkModel(interval_ms=15, pdus_per_event=None))
        link.phys = ("2M", "2M")
        for _ in range(60):
            link.send(central, Pdu(251, None))
            link.send(peripheral, Pdu(251, None))
        await asyncio.sleep(10 * 0.015 + 0.001)
        # (1048 + 150 + 1048 + 150) us: six exchanges fit in 15 ms, each with a PDU each way.
        assert (len(central.heard), len(peripheral.heard), stats.events) == (60, 60, 10)

    run(body())


def test_a_receiver_without_room_holds_the_sender_back() -> None:
    async def body() -> None:
        link, central, peripheral, stats = bare_link(LinkModel())
        central.open = False
        for number in range(3):
            link.send(peripheral, Pdu(10, number))
        await asyncio.sleep(1)
        assert central.heard == [] and peripheral.acknowledged == []
        assert stats.directions[1].retransmissions > 0
        central.open = True
        await asyncio.sleep(1)
        assert [payload for _, payload in central.heard] == [0, 1, 2]

    run(body())


def test_a_sleeping_peripheral_is_reached_at_its_own_events_only() -> None:
    async def body() -> None:
        model = LinkModel(interval_ms=10, latency=9)
        link, central, peripheral, _ = bare_link(model)
        link.send(peripheral, Pdu(1, "up"))
        await asyncio.sleep(0.105)
        assert len(central.heard) == 1, "the peripheral may speak at any event"
        delays = []
        for number in range(20):
            given_at = now()
            link.send(central, Pdu(1, number))
            while len(peripheral.heard) <= number:
                await asyncio.sleep(0.001)
            delays.append(peripheral.heard[-1][0] - given_at)
            await asyncio.sleep(0.013 * number)
        assert 0.06 < max(delays) <= 0.1 + 0.001
        assert (
            len({round((when - peripheral.heard[0][0]) % 0.1, 6) % 0.1 for when, _ in peripheral.heard}) == 1
        )

    run(body())


# Adverts


async def reports_of(air: Air, active: bool, seconds: float) -> list[tuple[float, Any]]:
    scanner = await air.device("scanner", "C0:FF:EE:00:00:03")
    reports: list[tuple[float, Any]] = []
    scanner.host.on("advertising_report", lambda report: reports.append((now(), report)))
    await scanner.start_scanning(active=active)
    await asyncio.sleep(seconds)
    await scanner.stop_scanning()
    return reports


@pytest.mark.parametrize("active", [True, False])
def test_scan_responses_are_reports_of_their_own_and_only_for_active_scans(active: bool) -> None:
    async def test(air: Air) -> None:
        await glasses_on(air)
        air.model.rssi = -71
        reports = [report for _, report in await reports_of(air, active, 1)]
        kinds = hci.HCI_LE_Advertising_Report_Event.EventType
        adverts = [report for report in reports if report.event_type == kinds.ADV_IND]
        responses = [report for report in reports if report.event_type == kinds.SCAN_RSP]
        assert {report.data for report in adverts} == {ADVERT}
        assert {report.data for report in responses} == ({SCAN_RESPONSE} if active else set())
        assert len(responses) == (len(adverts) if active else 0)
        assert {report.rssi for report in reports} == {-71}

    in_virtual_time(test)


def test_advertising_interval_is_in_units_of_the_specification() -> None:
    async def test(air: Air) -> None:
        await glasses_on(air, interval_ms=100)
        times = [when for when, _ in await reports_of(air, active=False, seconds=20)]
        gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
        assert 0.1 <= min(gaps) < 0.102 and 0.108 < max(gaps) <= 0.11

    in_virtual_time(test)


@pytest.mark.parametrize(
    ("kind", "code"),
    [(AdvertisingType.UNDIRECTED, 3), (AdvertisingType.UNDIRECTED_SCANNABLE, 2)],
)
def test_adverts_that_are_not_connectable_are_heard_but_lead_nowhere(
    kind: AdvertisingType, code: int
) -> None:
    async def test(air: Air) -> None:
        glasses = await air.device("glasses", GLASSES)
        await glasses.start_advertising(kind, advertising_data=ADVERT)
        assert {int(report.event_type) for _, report in await reports_of(air, False, 2)} == {code}
        phone = await air.device("phone", PHONE)
        with pytest.raises(core.TimeoutError):
            await phone.connect_le(GLASSES, timeout=5)

    in_virtual_time(test)


def test_directed_adverts_reach_their_target_only() -> None:
    async def test(air: Air) -> None:
        glasses = await air.device("glasses", GLASSES)
        target = static_address(PHONE)
        await glasses.start_advertising(AdvertisingType.DIRECTED_CONNECTABLE_LOW_DUTY, target=target)
        assert await reports_of(air, False, 2) == []
        phone = await air.device("phone", PHONE)
        assert await phone.connect_le(GLASSES, timeout=5)

    in_virtual_time(test)


# Connecting and disconnecting


def test_an_attempt_that_is_given_up_completes_and_the_next_one_works() -> None:
    async def test(air: Air) -> None:
        phone = await air.device("phone", PHONE)
        start = now()
        with pytest.raises(core.TimeoutError):
            await phone.connect_le(GLASSES, timeout=3)
        assert now() - start == pytest.approx(3, abs=0.01)
        glasses, _ = await glasses_on(air)
        await asyncio.sleep(1)
        assert not glasses.connections, "the attempt was cancelled"
        assert await phone.connect_le(GLASSES, timeout=3)

    in_virtual_time(test)


def test_of_two_centrals_one_gets_the_glasses_and_the_other_keeps_waiting() -> None:
    async def test(air: Air) -> None:
        phones = [await air.device("phone", PHONE), await air.device("other", "C0:FF:EE:00:00:03")]
        attempts = [asyncio.ensure_future(phone.connect_le(GLASSES)) for phone in phones]
        glasses, _ = await glasses_on(air)
        done, waiting = await asyncio.wait(attempts, timeout=2)
        assert (len(done), len(waiting), len(glasses.connections)) == (1, 1, 1)
        await advertise(glasses)
        await asyncio.wait(attempts, timeout=2)
        assert all(attempt.done() for attempt in attempts) and len(glasses.connections) == 2

    in_virtual_time(test)


def test_both_sides_are_told_the_parameters_of_the_model() -> None:
    async def test(air: Air) -> None:
        _, peripheral, _, _, central = await linked(air)
        for side in (peripheral, central):
            assert side.parameters.connection_interval == 30
            assert side.parameters.peripheral_latency == 2
            assert side.parameters.supervision_timeout == 1500
            assert (side.data_length.max_tx_octets, side.data_length.max_rx_octets) == (251, 251)
            phy = await side.get_phy()
            assert (phy.tx_phy, phy.rx_phy) == (hci.Phy.LE_2M, hci.Phy.LE_2M)
            assert await side.get_rssi() == -40

    in_virtual_time(test, LinkModel(interval_ms=30, latency=2, supervision_timeout_ms=1500, rssi=-40))


def test_a_changed_model_reaches_the_link_and_both_hosts() -> None:
    async def test(air: Air) -> None:
        _, peripheral, _, _, central = await linked(air)
        air.model.interval_ms = 50
        air.model.phy = "1M"
        await asyncio.sleep(0.5)
        for side in (peripheral, central):
            assert side.parameters.connection_interval == 50
            assert (await side.get_phy()).tx_phy == hci.Phy.LE_1M
        air.model = LinkModel(interval_ms=100)
        await asyncio.sleep(0.5)
        assert (peripheral.parameters.connection_interval, (await peripheral.get_phy()).rx_phy) == (100, 2)
        assert air.stats()["retransmissions"] == 0
        air.model = LinkModel(interval_ms=100, loss=0.95)
        await central.gatt_client.send_command(att.ATT_Write_Command(attribute_handle=1, attribute_value=b""))
        await asyncio.sleep(1)
        assert air.stats()["retransmissions"] > 0

    in_virtual_time(test)


def test_hosts_may_change_interval_phy_and_data_length() -> None:
    async def test(air: Air) -> None:
        _, peripheral, _, _, central = await linked(air)
        await central.update_parameters(40, 60, 0, 2000)
        assert central.parameters.connection_interval == 60
        await peripheral.update_parameters(10, 20, 1, 3000)
        assert peripheral.parameters.connection_interval == 15, "the model's, where it was asked for"
        await asyncio.sleep(0.1)
        assert central.parameters.supervision_timeout == 3000
        await central.set_phy(tx_phys=[hci.Phy.LE_1M])
        await asyncio.sleep(0.1)
        assert (await central.get_phy()).tx_phy == hci.Phy.LE_1M
        assert (await peripheral.get_phy()).rx_phy == hci.Phy.LE_1M
        assert (await peripheral.get_phy()).tx_phy == hci.Phy.LE_2M
        before = air.stats()["to_central"]["packets"]
        await peripheral.set_data_length(27, 328)
        await asyncio.sleep(0.1)
        assert central.data_length.max_rx_octets == 27
        completions: list[None] = []
        queue = peripheral.data_packet_queue
        assert queue is not None
        queue.on("flow", lambda: completions.append(None))
        peripheral.send_l2cap_pdu(0x0042, bytes(96))
        await asyncio.sleep(0.2)
        assert len(completions) == 1, "one buffer of the host, given back once"
        assert air.stats()["to_central"]["packets"] - before == 4, "100 octets in PDUs of 27"

    in_virtual_time(test)


@pytest.mark.parametrize("by_central", [True, False])
def test_a_disconnection_has_a_local_and_a_remote_reason(by_central: bool) -> None:
    async def test(air: Air) -> None:
        _, peripheral, _, _, central = await linked(air)
        local, remote = (central, peripheral) if by_central else (peripheral, central)
        endings = ending(local), ending(remote)
        await local.disconnect()
        assert [reason for _, reason in await asyncio.gather(*endings)] == [0x16, 0x13]
        assert air.stats()["links"] == 0 and air.stats()["lost_links"] == 0

    in_virtual_time(test)


def test_commands_for_links_that_are_gone_are_refused() -> None:
    async def test(air: Air) -> None:
        *_, phone, central = await linked(air)
        await central.disconnect()
        gone = hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR
        for request in (
            hci.HCI_Disconnect_Command(connection_handle=central.handle, reason=0x13),
            hci.HCI_LE_Set_PHY_Command(
                connection_handle=central.handle, all_phys=0, tx_phys=2, rx_phys=2, phy_options=0
            ),
        ):
            with pytest.raises(hci.HCI_Error) as caught:
                await phone.send_async_command(request)
            assert caught.value.error_code == gone
        with pytest.raises(hci.HCI_Error) as caught:
            await phone.send_async_command(
                hci.HCI_Inquiry_Command(lap=0x9E8B33, inquiry_length=1, num_responses=0)
            )
        assert caught.value.error_code == hci.HCI_ErrorCode.UNKNOWN_HCI_COMMAND_ERROR

    in_virtual_time(test)


# Loss of the link


def test_a_drop_is_noticed_by_both_after_the_timeout_and_nothing_crosses() -> None:
    async def test(air: Air) -> None:
        glasses, peripheral, stream, _, central = await linked(air)
        heard: list[bytes] = []
        central.gatt_client.notification_subscribers[stream.handle] = {heard.append}
        endings = ending(peripheral), ending(central)
        await asyncio.sleep(0.1234)
        dropped_at = now()
        assert air.drop() == 1
        assert air.drop() == 0
        for number in range(30):
            await glasses.notify_subscriber(peripheral, stream, bytes([number]), force=True)
        for when, reason in await asyncio.gather(*endings):
            assert reason == 0x08
            assert 2 - 0.015 <= when - dropped_at <= 2
        await advertise(glasses)
        phone = central.device
        again = await phone.connect_le(GLASSES)
        again.gatt_client.notification_subscribers[stream.handle] = {heard.append}
        await glasses.notify_subscriber(only(glasses), stream, b"new", force=True)
        await asyncio.sleep(1)
        assert heard == [b"new"], "what was under way on a lost link is lost"

    in_virtual_time(test)


def test_whoever_disconnects_during_a_drop_is_told_so_in_the_end() -> None:
    async def test(air: Air) -> None:
        _, peripheral, _, _, central = await linked(air)
        endings = ending(central), ending(peripheral)
        air.drop()
        await central.disconnect()
        assert [reason for _, reason in await asyncio.gather(*endings)] == [0x16, 0x08]

    in_virtual_time(test)


def test_out_of_range_adverts_are_unseen_and_links_survive_a_short_absence() -> None:
    async def test(air: Air) -> None:
        glasses, stream = await glasses_on(air)
        air.set_in_range(GLASSES, False)
        assert await reports_of(air, True, 2) == []
        air.set_in_range(glasses, True)
        phone = await air.device("phone", PHONE)
        central = await phone.connect_le(GLASSES)
        peripheral = only(glasses)
        heard: list[bytes] = []
        central.gatt_client.notification_subscribers[stream.handle] = {heard.append}
        endings = ending(peripheral), ending(central)

        air.set_in_range(phone, False)
        for number in range(30):
            await glasses.notify_subscriber(peripheral, stream, bytes([number]), force=True)
        await asyncio.sleep(1.9)
        assert heard == []
        air.set_in_range(phone, True)
        await asyncio.sleep(1)
        assert heard == [bytes([number]) for number in range(30)]

        away_at = now()
        air.set_in_range(glasses, False)
        for when, reason in await asyncio.gather(*endings):
            assert reason == 0x08 and when - away_at == pytest.approx(2, abs=0.016)
        with pytest.raises(ValueError, match="not on the air"):
            air.set_in_range("C0:00:00:00:00:99", False)

    in_virtual_time(test)


def test_a_device_without_power_is_missed_after_the_timeout() -> None:
    async def test(air: Air) -> None:
        glasses, _, _, phone, central = await linked(air)
        over = ending(central)
        cut_at = now()
        air.remove(glasses)
        when, reason = await over
        assert reason == 0x08 and when - cut_at == pytest.approx(2, abs=0.016)
        with pytest.raises(core.TimeoutError):
            await phone.connect_le(GLASSES, timeout=2)
        glasses, _ = await glasses_on(air)
        assert await phone.connect_le(GLASSES, timeout=2)

    in_virtual_time(test)


def test_a_reset_of_the_controller_is_silent_on_air() -> None:
    async def test(air: Air) -> None:
        glasses, _, _, _, central = await linked(air)
        over = ending(central)
        await glasses.reset()
        assert (await over)[1] == 0x08
        assert await reports_of(air, True, 2) == []

    in_virtual_time(test)


# Data


async def stream_through(air: Air, count: int, size: int = 244) -> float:
    """Notify as fast as the stack takes it; returns payload kbit/s, arrival to arrival."""
    glasses, peripheral, stream, _, central = await linked(air)
    heard: list[tuple[float, bytes]] = []
    central.gatt_client.notification_subscribers[stream.handle] = {lambda value: heard.append((now(), value))}
    sent = [number.to_bytes(4, "little") + bytes(size - 4) for number in range(count)]
    for value in sent:
        await glasses.notify_subscriber(peripheral, stream, value, force=True)
    while len(heard) < count:
        await asyncio.sleep(1)
    assert [value for _, value in heard] == sent
    # Counted from the end of the first event, so that both ends of the measured time are alike.
    first = heard[0][0]
    return (count - 1) * size * 8 / (heard[-1][0] - first) / 1000


@pytest.mark.parametrize(
    ("model", "per_event"),
    [
        # (44 + 150 + 1048 + 150) us an exchange: five in 7.5 ms, and ten in 15 ms if the central lets them.
        (LinkModel(interval_ms=7.5), 5),
        (LinkModel(interval_ms=15), 6),
        (LinkModel(interval_ms=15, pdus_per_event=None), 10),
        # (80 + 150 + 2088 + 150) us
        (LinkModel(interval_ms=15, phy="1M", pdus_per_event=None), 6),
    ],
)
def test_goodput_is_what_the_airtime_allows(model: LinkModel, per_event: int) -> None:
    async def test(air: Air) -> None:
        expected = per_event * 244 * 8 / model.interval_ms
        assert await stream_through(air, 1000) == pytest.approx(expected, rel=0.01)
        assert air.stats()["retransmissions"] == 0

    in_virtual_time(test, model)


def test_loss_costs_time_not_data() -> None:
    async def test(air: Air) -> None:
        goodput = await stream_through(air, 1000)
        assert goodput == pytest.approx(0.8 * 6 * 244 * 8 / 15, rel=0.05)
        stats = air.stats()["to_central"]
        assert stats["retransmissions"] / (stats["packets"] + stats["retransmissions"]) == pytest.approx(
            0.2, abs=0.04
        )

    in_virtual_time(test, LinkModel(interval_ms=15, loss=0.2))


def test_the_air_holds_the_host_back() -> None:
    async def test(air: Air) -> None:
        glasses, peripheral, stream, _, _ = await linked(air)
        queue = peripheral.data_packet_queue
        assert queue is not None and queue.max_in_flight == 12
        await asyncio.sleep(0.5)
        for _ in range(100):
            await glasses.notify_subscriber(peripheral, stream, bytes(244), force=True)
        before = air.stats()["to_central"]["packets"]
        await asyncio.sleep(0.35)
        sent = air.stats()["to_central"]["packets"] - before
        assert 3 * 6 <= sent <= 4 * 6
        assert queue.pending == 100 - sent, "buffers are given back as packets are acknowledged"

    in_virtual_time(test, LinkModel(interval_ms=100))


def test_encryption_costs_four_octets_and_different_keys_end_the_link() -> None:
    async def test(air: Air) -> None:
        glasses, peripheral, stream, phone, central = await linked(air)
        for device in (glasses, phone):
            device.pairing_config_factory = lambda _connection: pairing.PairingConfig(
                mitm=False, identity_address_type=pairing.PairingConfig.AddressType.RANDOM
            )
        await central.pair()
        assert central.is_encrypted and peripheral.is_encrypted
        await asyncio.sleep(1)
        before = air.stats()["to_central"]
        await glasses.notify_subscriber(peripheral, stream, bytes(20), force=True)
        await asyncio.sleep(1)
        after = air.stats()["to_central"]
        assert after["bytes"] - before["bytes"] == 27
        assert after["airtime_s"] - before["airtime_s"] == pytest.approx((2 + 4 + 2 + 27 + 3 + 4) * 4e-6)

        await central.disconnect()
        assert phone.keystore and glasses.keystore
        (entry,) = await phone.keystore.get_all()
        assert entry[0] == GLASSES and (await glasses.keystore.get_all())[0][0] == PHONE
        await advertise(glasses)
        central = await phone.connect_le(GLASSES, timeout=5)
        await central.encrypt()
        assert central.is_encrypted, "the bond is found again"
        await central.disconnect()

        assert entry[1].ltk
        entry[1].ltk.value = bytes(16)
        await phone.keystore.update(*entry)
        await advertise(glasses)
        central = await phone.connect_le(GLASSES, timeout=5)
        endings = ending(central), ending(only(glasses))
        with pytest.raises(asyncio.CancelledError):
            await central.encrypt()
        assert [reason for _, reason in await asyncio.gather(*endings)] == [0x3D, 0x3D]

    in_virtual_time(test)


# Devices and ports


def test_addresses_are_static_random_and_unique() -> None:
    async def test(air: Air) -> None:
        await air.device("glasses", GLASSES)
        with pytest.raises(ValueError, match="already on the air"):
            await air.device("twin", GLASSES)
        for wrong in ("00:11:22:33:44:55", "nonsense"):
            with pytest.raises(ValueError, match="address"):
                await air.device("wrong", wrong)

    in_virtual_time(test)


async def remote_device(port: int, address: str) -> tuple[Device, Any]:
    transport = await open_tcp_client_transport(f"127.0.0.1:{port}")
    device = new_device("remote", static_address(address), Host(transport.source, transport.sink))
    await device.power_on()
    return device, transport


def test_a_program_elsewhere_attaches_by_tcp_and_is_missed_when_it_dies() -> None:
    async def body() -> None:
        air = Air(LinkModel(interval_ms=7.5, supervision_timeout_ms=100))
        glasses, _ = await glasses_on(air, interval_ms=20)
        port = await air.serve()
        phone, transport = await remote_device(port, PHONE)
        await phone.connect_le(GLASSES, timeout=5)
        over = ending(only(glasses))
        transport.sink.transport.abort()
        _when, reason = await asyncio.wait_for(over, 5)
        assert reason == 0x08
        await air.close()
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(body())


def test_closing_the_air_ends_its_clients() -> None:
    async def body() -> None:
        air = Air()
        _phone, transport = await remote_device(await air.serve(), PHONE)
        await air.close()
        await asyncio.wait_for(asyncio.shield(transport.source.terminated), 5)
        await air.close()

    asyncio.run(body())


def test_a_busy_port_and_a_client_that_talks_nonsense() -> None:
    async def body() -> None:
        air = Air()
        port = await air.serve()
        with pytest.raises(OSError):
            await air.serve(port=port)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 5) == b""
            raise ConnectionResetError  # an orderly end is as good
        writer.close()
        await air.close()

    asyncio.run(body())


def test_a_client_that_does_not_read_holds_the_glasses_back() -> None:
    async def body() -> None:
        air = Air(LinkModel(interval_ms=7.5))
        glasses, stream = await glasses_on(air, interval_ms=20)
        phone, transport = await remote_device(await air.serve(), PHONE)
        central = await phone.connect_le(GLASSES, timeout=5)
        heard: list[bytes] = []
        enough = asyncio.Event()

        def listener(value: bytes) -> None:
            heard.append(value)
            if len(heard) == 20:
                enough.set()

        central.gatt_client.notification_subscribers[stream.handle] = {listener}
        (port,) = air._ports
        port.pause_writing()  # asyncio says so when the socket's buffers are full
        for number in range(20):
            await glasses.notify_subscriber(only(glasses), stream, bytes([number]), force=True)
        await asyncio.sleep(0.1)
        assert heard == [] and air.stats()["to_central"]["retransmissions"] > 0
        port.resume_writing()
        await asyncio.wait_for(enough.wait(), 5)
        assert heard == [bytes([number]) for number in range(20)]
        transport.sink.close()
        await air.close()

    asyncio.run(body())
