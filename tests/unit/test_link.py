"""The link: firmware, radio and a Bleak host in one virtual clock, and everything that can go wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from bumble.hci import Address
from test_voice import FRAME, reference, speech
from world import ADDRESS, World, run_world, virtual_board

from lunette.client import Disconnected, GlassesClient, Refused, find, scan
from lunette.listen import Listener
from lunette.protocol import wire
from lunette.virtual.air import LinkModel

import numpy as np  # isort: skip


def test_the_glasses_are_found_by_name_and_service(folder: Path) -> None:
    async def test(world: World) -> None:
        (found,) = await scan(2, world.backends())
        assert (found.name, found.address) == ("Lunette", ADDRESS)
        assert await find("Lunette", 2, world.backends()) is not None
        assert await find(ADDRESS.lower(), 2, world.backends()) is not None
        assert await find("Other", 1, world.backends()) is None

    run_world(folder, test, listen=False)


@pytest.mark.parametrize("released_while_away", [False, True])
def test_a_drop_in_the_middle_of_speech_loses_nothing(folder: Path, released_while_away: bool) -> None:
    async def test(world: World) -> None:
        world.say(speech(6))
        world.press()
        await asyncio.sleep(1)
        assert world.air.drop() == 1
        await asyncio.sleep(1.5 if released_while_away else 3.5)
        world.release()
        (recording,) = await world.complete(1)
        assert (recording.lost, recording.crc_ok) == (0, True)
        assert world.listener is not None and world.listener.reconnects == 1
        samples = recording.next_index * FRAME
        assert np.array_equal(recording.pcm(), reference(world.heard()[:samples]))
        await asyncio.sleep(1)
        assert world.glasses.journal.recordings == []
        assert [what for _, what, _ in world.events].count("recorded") == 1
        assert len(list((folder / "host").glob("*.wav"))) == 1
        assert not list((folder / "host" / ".partial").rglob("*.frames"))

    run_world(folder, test, model=LinkModel(supervision_timeout_ms=1000))


def test_drops_again_and_again(folder: Path) -> None:
    async def test(world: World) -> None:
        world.say(speech(8))
        world.press()
        for pause in (0.35, 0.9, 1.3, 0.77):
            await asyncio.sleep(pause)
            world.air.drop()
        await asyncio.sleep(1)
        world.release()
        await asyncio.sleep(0.4)
        await world.talk(0.4)
        first, second = await world.complete(2)
        for recording in (first, second):
            assert (recording.lost, recording.crc_ok) == (0, True)
        assert np.array_equal(first.pcm(), reference(world.heard(0)[: first.next_index * FRAME]))

    run_world(folder, test, model=LinkModel(supervision_timeout_ms=500))


def test_speech_without_a_host_waits_for_one(folder: Path) -> None:
    async def test(world: World) -> None:
        world.say(speech(5))
        for _ in range(2):
            await world.talk(0.6)
            await asyncio.sleep(0.5)
        world.glasses.note("later")
        world.listen()
        recordings = await world.complete(3)
        assert [r.kind for r in recordings] == ["event", "speech", "speech"], "events go first"
        assert all(r.crc_ok and r.lost == 0 for r in recordings)
        assert [r.meta["take"] for r in recordings[1:]] == [1, 2]

    run_world(folder, test, listen=False)


def test_the_smallest_mtu_carries_everything(folder: Path) -> None:
    async def test(world: World) -> None:
        assert world.glasses.link.mtu == 23
        world.say(speech(2))
        await world.talk(0.5)
        (recording,) = await world.complete(1)
        assert (recording.lost, recording.crc_ok) == (0, True)
        assert world.listener is not None and world.listener.client is not None
        status = await world.listener.client.request("status")
        assert status["counters"]["voice.frames"] == 25
        assert world.radio.counters.truncated == 0

    run_world(folder, test, model=LinkModel(mtu=23, interval_ms=7.5))


def test_a_stack_without_buffers_is_not_hammered(folder: Path) -> None:
    """A slow link: notify is refused once a frame and once a connection interval, not in a loop."""

    async def test(world: World) -> None:
        start = asyncio.get_running_loop().time()
        world.air.model.interval_ms = 100
        await world.until(lambda: world.glasses.link.door.interval_ms == 100, "the interval is known")
        world.air.model.pdus_per_event = 2
        world.say(speech(6))
        await world.talk(4)
        (recording,) = await world.complete(1, timeout=60)
        assert (recording.lost, recording.crc_ok) == (0, True)
        assert np.array_equal(recording.pcm(), reference(world.heard()[: recording.next_index * FRAME]))
        intervals = (asyncio.get_running_loop().time() - start) / 0.1
        enomem = world.glasses.link.pump.enomem
        assert enomem == world.radio.counters.enomem
        assert 5 < enomem <= intervals + recording.next_index

    run_world(folder, test)


@pytest.mark.parametrize(
    "request_",
    [b"", b"\x00", b"\x81\x01", b"\x82" + b"x" * 40, b"\x83", b"hello", b"{", b'{"op":', b"\xff" * 500],
)
def test_malformed_requests_are_counted_and_survived(folder: Path, request_: bytes) -> None:
    async def test(world: World) -> None:
        assert world.listener is not None and world.listener.client is not None
        link = world.glasses.link
        client = world.listener.client
        await client._write(request_)
        await client._write(wire.ack(12345, 7))  # of no recording
        await asyncio.sleep(0.1)
        assert link.refused == 2
        assert await client.request("ping") == "pong"
        await world.talk(0.4)
        assert (await world.complete(1))[0].crc_ok
        assert link.counters()["link.irq_errors"] == 0

    run_world(folder, test)


def test_a_wrong_version_is_counted(folder: Path) -> None:
    async def test(world: World) -> None:
        assert world.listener is not None and world.listener.client is not None
        await world.listener.client._write(wire.ready(99))
        await asyncio.sleep(0.1)
        assert world.glasses.link.refused == 1

    run_world(folder, test)


def test_a_flood_of_requests_is_bounded(folder: Path) -> None:
    async def test(world: World) -> None:
        client = await world.central()
        for i in range(200):
            await client.write_gatt_char(wire.CONTROL, wire.ack(i, 0), response=False)
        await asyncio.sleep(1)
        link = world.glasses.link
        assert link.refused + link.door.inbox_full == 200
        await client.disconnect()
        async with GlassesClient(ADDRESS, backends=world.backends()) as glasses:
            assert await glasses.request("ping") == "pong"

    run_world(folder, test, listen=False)


def test_requests_that_come_faster_than_the_interrupt_are_all_served(folder: Path) -> None:
    """On the chip the handler runs before the next write is taken; here it may lag behind."""

    async def test(world: World) -> None:
        client = await world.central()
        await asyncio.sleep(0.1)
        ring, world.chip.bus.ring = world.chip.bus.ring, None
        await client.write_gatt_char(wire.CONTROL, wire.ready(), response=True)
        await client.write_gatt_char(wire.CONTROL, b"broken", response=True)
        await client.write_gatt_char(wire.CONTROL, wire.dumps({"id": 1, "op": "ping"}), response=True)
        world.chip.bus.ring = ring
        world.chip.deliver()
        await asyncio.sleep(0.1)
        assert world.glasses.link.streaming
        assert world.glasses.link.refused == 1
        assert world.glasses.link.pump.notifications >= 1

    run_world(folder, test, listen=False)


def test_an_inbox_that_is_full_is_counted(folder: Path) -> None:
    async def test(world: World) -> None:
        client = await world.central()
        await asyncio.sleep(0.1)
        ring, world.chip.bus.ring = world.chip.bus.ring, None
        for i in range(50):
            await client.write_gatt_char(wire.CONTROL, wire.ack(i, 0), response=True)
        world.chip.bus.ring = ring
        world.chip.deliver()  # all at once, before any task runs
        await asyncio.sleep(0.1)
        link = world.glasses.link
        assert (link.refused, link.door.inbox_full, link.door.errors) == (32, 18, 0)

    run_world(folder, test, listen=False)


def test_an_error_in_the_interrupt_does_not_disable_bluetooth(folder: Path) -> None:
    async def test(world: World) -> None:
        assert world.listener is not None and world.listener.client is not None
        ble = world.glasses.link.radio.ble
        read = ble.gatts_read

        def fail(handle: int) -> bytes:
            ble.gatts_read = read
            raise OSError(22)

        ble.gatts_read = fail
        await world.listener.client._write(wire.dumps({"id": 1, "op": "ping"}))
        await asyncio.sleep(0.1)
        assert world.glasses.link.door.errors == 1
        assert await world.listener.client.request("ping") == "pong"

    run_world(folder, test)


def test_requests_and_refusals(folder: Path) -> None:
    async def test(world: World) -> None:
        assert world.listener is not None and world.listener.client is not None
        client = world.listener.client
        assert (await client.request("status"))["state"] == "connected"
        assert (await client.request("settings"))["hold_ms"] == 300
        assert (await client.request("set", name="hold_ms", value=500))["hold_ms"] == 500
        assert isinstance(await client.request("log"), list)
        for op, fields, reason in (
            ("dance", {}, "unknown op dance"),
            ("set", {"name": "hold_ms", "value": 5}, "150 to 1000"),
            ("set", {"name": "x", "value": 5}, "no setting"),
            ("set", {"name": ["x"], "value": 5}, "of type str"),
            ("set", {}, "needs name"),
        ):
            with pytest.raises(Refused, match=reason):
                await client.request(op, **fields)
        world.press()
        await asyncio.sleep(0.7)
        with pytest.raises(Refused, match="recording"):
            await client.request("set", name="hold_ms", value=300)
        world.release()
        await world.complete(1)
        # A strange id comes back as none at all, and breaks nothing.
        await client._write(b'{"op":"ping","id":' + b"[" * 200 + b"]" * 200 + b"}")
        assert await client.request("ping") == "pong"
        assert world.glasses.link.refused == 0

    run_world(folder, test)


def test_a_request_fails_at_once_when_the_link_dies(folder: Path) -> None:
    async def test(world: World) -> None:
        glasses = GlassesClient(ADDRESS, backends=world.backends())
        await glasses.connect()
        await glasses.ready()
        world.air.drop()
        start = asyncio.get_running_loop().time()
        with pytest.raises(Disconnected):
            await glasses.request("ping")
        assert asyncio.get_running_loop().time() - start <= 2.1  # the supervision timeout
        await world.until(lambda: world.glasses.link.door.disconnects == 1, "the glasses notice")
        await asyncio.sleep(0.1)
        assert world.glasses.power.state == "standby"
        assert (await scan(2, world.backends()))[0].address == ADDRESS

    run_world(folder, test, listen=False)


def test_a_second_central_disturbs_nobody(folder: Path) -> None:
    async def test(world: World) -> None:
        other = await world.air.device("other", "C0:FF:EE:00:00:99")
        with pytest.raises(Exception):  # noqa: B017 - connected glasses do not advertise
            await other.connect(Address(ADDRESS), timeout=1)
        world.glasses.link.radio.advertise()  # even if they did
        world.say(speech(3))
        world.press()
        connection = await other.connect(Address(ADDRESS), timeout=3)
        gone: list[int] = []
        connection.on("disconnection", gone.append)
        await asyncio.sleep(1)
        assert gone, "it is sent away"
        world.release()
        (recording,) = await world.complete(1)
        assert (recording.lost, recording.crc_ok) == (0, True)
        assert world.glasses.link.refused == 0
        assert (world.glasses.link.door.connects, world.glasses.link.door.disconnects) == (1, 0)
        assert world.listener is not None and world.listener.reconnects == 0

    run_world(folder, test)


@pytest.mark.parametrize("every", [3, 7, 20])
def test_packets_that_the_host_loses_are_sent_again(folder: Path, every: int) -> None:
    """Operating systems do drop notifications."""

    async def test(world: World) -> None:
        world.say(speech(3))
        dropped = 0
        feed = wire.Unpacker.feed
        seen = 0

        def lossy(self: Any, packet: Any) -> Any:
            nonlocal seen, dropped
            seen += 1
            if seen % every == 0 and seen < 60:
                dropped += 1
                return []
            return feed(self, packet)

        wire.Unpacker.feed = lossy
        try:
            await world.talk(0.7)
            world.glasses.note("between")
            await asyncio.sleep(0.1)
            await world.talk(0.7)
            recordings = await world.complete(3, timeout=60)
        finally:
            wire.Unpacker.feed = feed
        assert dropped >= 2
        speeches = [r for r in recordings if r.kind == "speech"]
        for i, recording in enumerate(speeches):
            assert (recording.lost, recording.crc_ok) == (0, True)
            heard = world.heard(i)[: recording.next_index * FRAME]
            assert np.array_equal(recording.pcm(), reference(heard))
        if every == 20:  # else a HELLO was among the lost, and only a new connection helps
            assert world.listener is not None and world.listener.reconnects == 0

    run_world(folder, test)


def test_a_host_program_that_was_killed_goes_on_where_it_was(folder: Path) -> None:
    async def test(world: World) -> None:
        world.say(speech(4))
        world.press()
        await asyncio.sleep(1.5)
        first = world.listener
        await world.stop_listening()
        assert first is not None and 0 < len(first.recordings[0].frames) < 100
        world.listen()  # a new program, the same folder
        await asyncio.sleep(1)
        world.release()
        (recording,) = await world.complete(1)
        assert (recording.lost, recording.crc_ok) == (0, True)
        assert np.array_equal(recording.pcm(), reference(world.heard()[: recording.next_index * FRAME]))

    run_world(folder, test)


def test_another_host_gets_what_the_first_has_not_acknowledged(folder: Path) -> None:
    async def test(world: World) -> None:
        world.say(speech(4))
        world.press()
        await asyncio.sleep(1.5)
        await world.stop_listening()
        world.listen("another")
        await asyncio.sleep(1)
        world.release()
        (recording,) = await world.complete(1)
        assert recording.lost > 0
        assert not recording.crc_ok, "the checksum is of the whole"
        assert recording.lost + len(recording.frames) == recording.next_index
        await asyncio.sleep(1)
        assert world.glasses.journal.recordings == []

    run_world(folder, test)


@pytest.mark.parametrize("kb, lost", [(256, 0), (6, 25)])
def test_a_host_that_lost_its_folder_gets_what_is_still_held(folder: Path, kb: int, lost: int) -> None:
    """All frames are acknowledged, but not the CLOSE. What was reclaimed is not asked for for ever."""

    async def test(world: World) -> None:
        await world.talk(0.5)
        await asyncio.sleep(0.2)
        async with GlassesClient(ADDRESS, backends=world.backends()) as glasses:
            await asyncio.sleep(1)
            await glasses.ack(world.glasses.journal.recordings[0].number, 25)
        assert world.glasses.journal.free == world.glasses.journal.slots
        await world.talk(0.68)
        world.listen()
        first, second = await world.complete(2)
        if first.number > second.number:
            first, second = second, first
        assert (first.crc_ok, first.lost) == (not lost, lost)
        assert (second.crc_ok, second.lost) == (True, 0)
        await asyncio.sleep(1)
        assert world.glasses.journal.recordings == []

    run_world(folder, test, listen=False, board=virtual_board(JOURNAL_KB=kb))


def test_recordings_that_are_gone_are_kept_as_far_as_they_came(folder: Path) -> None:
    async def test(world: World) -> None:
        world.glasses.spool.room = lambda: -1  # flash is full as well
        world.say(speech(9))
        world.press()
        await asyncio.sleep(1)
        assert world.listener is not None
        await world.listener.leave()
        world.release()
        await asyncio.sleep(0.5)
        for _ in range(2):  # the first one is evicted
            await world.talk(0.5)
            await asyncio.sleep(0.5)
        assert world.glasses.journal.evicted_recordings >= 1
        world.listener.come_back()
        recordings = await world.complete(2)
        gone = recordings[0]
        assert gone.end == {"truncated": True}
        assert not gone.crc_ok
        assert 10 < len(gone.frames) < 60
        assert '"crc_ok": false' in next((folder / "host").glob(f"*{gone.number:08x}.json")).read_text()

    run_world(folder, test, board=virtual_board(JOURNAL_KB=6))


def test_a_listener_that_hears_nobody_says_so(folder: Path) -> None:
    from lunette.errors import LunetteError

    async def test(world: World) -> None:
        listener = Listener(folder / "x", name="Nobody", backends=world.backends(), first_timeout_s=3)
        with pytest.raises(LunetteError, match="no glasses heard in 3 s"):
            await listener.run()

    run_world(folder, test, listen=False)


def test_firmware_that_does_not_answer_is_named(folder: Path) -> None:
    async def test(world: World) -> None:
        await asyncio.sleep(0.1)
        world.glasses._tasks["link"].cancel()
        with pytest.raises(Disconnected, match="do not answer"):
            async with GlassesClient(ADDRESS, backends=world.backends()):
                pass
        # The failed context has not left a connection behind.
        await world.until(lambda: not world.radio.connected, "disconnected")

    run_world(folder, test, listen=False)


def test_a_service_that_fails_is_started_again(folder: Path) -> None:
    async def test(world: World) -> None:
        def fail(data: bytes, mtu: int) -> None:
            del world.glasses.link.session.serve
            raise KeyError("bug")

        assert world.listener is not None and world.listener.client is not None
        world.glasses.link.session.serve = fail
        await world.listener.client._write(wire.dumps({"id": 1, "op": "ping"}))
        await asyncio.sleep(1)
        assert await world.listener.client.request("ping") == "pong"
        assert any("link failed: KeyError" in line[3] for line in world.glasses.log.lines)

    run_world(folder, test)
