"""Who is let in: the firmware, a radio that pairs as NimBLE does, and strangers with their own stacks."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import thorough
from bleak import BleakScanner
from bleak.exc import BleakError
from bumble import att, core, hci
from bumble.device import Connection, Peer
from bumble.hci import Address
from bumble.pairing import PairingConfig
from test_voice import speech
from world import ADDRESS, World, run_world

from lunette.protocol import wire
from lunette.virtual.bleak_backend import VirtualScanner
from lunette.virtual.bleak_radio import host_identity
from lunette.virtual.static_device import static_address

BATTERY, TIME = "2A19", "2A2B"
_numbers = itertools.count(0x10)


class Stranger:
    """A central with a Bluetooth stack of its own, which does only what it is told."""

    def __init__(self, world: World, address: str | None = None):
        self.world = world
        self.address = address or f"C0:FF:EE:00:01:{next(_numbers) & 0xFF:02X}"
        self.heard: list[bytes] = []  # every notified value, subscribed or not
        self.read: list[bytes] = []
        self.gone: list[int] = []

    async def connect(self, timeout: float = 3) -> Stranger:
        self.device = await self.world.air.device("stranger", self.address)
        self.device.pairing_config_factory = lambda connection: PairingConfig(
            sc=True, mitm=False, bonding=True
        )
        self.connection: Connection = await self.device.connect(Address(ADDRESS), timeout=timeout)
        self.connection.on(Connection.EVENT_DISCONNECTION, self.gone.append)
        client = self.connection.gatt_client
        was: Callable[..., Any] = client.on_att_handle_value_notification

        def on_notification(pdu: Any) -> None:
            self.heard.append(bytes(pdu.attribute_value))
            was(pdu)

        client.on_att_handle_value_notification = on_notification  # type: ignore[method-assign]
        peer = Peer(self.connection)
        await peer.discover_services()
        self.found: list[Any] = []
        for service in peer.services:
            self.found += await service.discover_characteristics()
        return self

    def characteristic(self, uuid: str) -> Any:
        (found,) = [found for found in self.found if found.uuid == core.UUID(uuid)]
        return found

    async def do(self, what: str) -> None:
        """One attempt; that it is refused, or that the link ends meanwhile, is as it should be."""
        with contextlib.suppress(
            core.BaseBumbleError, att.ATT_Error, hci.HCI_Error, asyncio.TimeoutError, asyncio.CancelledError
        ):
            await asyncio.wait_for(self._do(what), 2)

    async def _do(self, what: str) -> None:
        if what == "subscribe":
            for uuid in (wire.STREAM, BATTERY, TIME):
                await self.characteristic(uuid).subscribe(lambda value: None)
        elif what == "ready":
            await self.characteristic(wire.CONTROL).write_value(wire.ready(), with_response=True)
        elif what == "command":
            await self.characteristic(wire.CONTROL).write_value(wire.ready(), with_response=False)
        elif what == "status":
            ask = wire.dumps({"id": 1, "op": "status"})
            await self.characteristic(wire.CONTROL).write_value(ask, with_response=True)
        elif what == "read":
            for uuid in (BATTERY, TIME):
                self.read.append(bytes(await self.characteristic(uuid).read_value()))
        elif what == "pair":
            await self.connection.pair()
        elif what == "encrypt":
            await self.connection.encrypt()
        else:
            raise AssertionError(what)

    async def leave(self) -> None:
        if not self.gone:
            with contextlib.suppress(core.BaseBumbleError, hci.HCI_Error):
                await self.connection.disconnect()
        self.world.air.remove(self.device)


ATTEMPTS = ("subscribe", "ready", "command", "status", "read", "pair")


async def _busy(world: World) -> None:
    """Something to overhear: speech, an event, a level that changes."""
    level = 0.0
    while True:
        world.press()
        await asyncio.sleep(0.7)
        world.release()
        world.glasses.note("secret")
        level = 0.2 - level
        world.chip.analog.volts[8] = 1.8 + level
        await asyncio.sleep(0.3)


@pytest.mark.parametrize("part", range(2 * thorough.TIMES))
def test_a_stranger_hears_nothing_in_any_order(folder: Path, part: int) -> None:
    """All orders of connecting, subscribing, asking, reading and pairing, while there is a lot to hear."""
    orders = list(itertools.permutations(ATTEMPTS))
    random.Random(5).shuffle(orders)
    mine = orders[part::36]

    async def test(world: World) -> None:
        talking = asyncio.create_task(_busy(world))
        try:
            for order in mine:
                stranger = await Stranger(world).connect()
                for what in order:
                    await stranger.do(what)
                    await asyncio.sleep(0.2)
                await asyncio.sleep(0.5)
                assert (stranger.heard, stranger.read) == ([], []), order
                assert stranger.gone, "who tries to pair is sent away"
                await stranger.leave()
        finally:
            talking.cancel()
        link = world.glasses.link
        assert link.door.connects == 0
        assert link.guard.refused_pairings == len(mine)
        assert link.counters()["link.irq_errors"] == 0
        assert len(link.guard.bonds.hosts) == 1
        world.release()
        world.listen()  # and the host, afterwards, gets all of it
        await world.until(lambda: any(r.kind == "event" for r in world.recordings), "the host is served")

    run_world(folder, test, listen=False)


def test_who_does_not_pair_is_sent_away(folder: Path) -> None:
    async def test(world: World) -> None:
        stranger = await Stranger(world).connect()
        await asyncio.sleep(14)
        assert not stranger.gone
        await asyncio.sleep(2)
        assert stranger.gone
        assert world.glasses.link.guard.strangers == 1

    run_world(folder, test, listen=False)


def test_strangers_do_not_keep_the_host_out(folder: Path) -> None:
    async def test(world: World) -> None:
        strangers = [await Stranger(world).connect() for _ in range(2)]
        start = asyncio.get_running_loop().time()
        world.listen()
        await world.until(lambda: world.glasses.link.streaming, "the host is served", 3)
        assert asyncio.get_running_loop().time() - start < 3
        for stranger in strangers:
            assert stranger.heard == []
        world.say(speech(2))
        await world.talk(1)
        (recording,) = await world.complete(1)
        assert (recording.lost, recording.crc_ok) == (0, True)

    run_world(folder, test, listen=False)


async def _gesture(world: World, seconds: float = 3.2) -> None:
    """Tap, then hold."""
    await world.tap()
    await asyncio.sleep(0.12)
    await world.talk(seconds)
    await asyncio.sleep(0.05)


def _blinks(world: World, since: float) -> int:
    return sum(level for t, level in world.light if t >= since)


def test_a_new_host_pairs_after_the_gesture_and_is_known_after_a_restart(folder: Path) -> None:
    async def test(world: World) -> None:
        world.listen()
        await asyncio.sleep(8)
        assert world.glasses.link.door.connects == 0, "without the gesture nobody is let in"
        start = asyncio.get_running_loop().time()
        await _gesture(world)
        assert _blinks(world, start) >= 2, "one for the finger's capture, one at the rung"
        assert world.glasses.journal.recordings == [], "the gesture is no recording"
        await world.until(lambda: world.glasses.link.streaming, "the host pairs", 60)
        assert not world.glasses.link.guard.window_open
        assert (folder / "bonds.json").exists()
        world.say(speech(2))
        await world.talk(1)
        (recording,) = await world.complete(1)
        assert (recording.lost, recording.crc_ok) == (0, True)
        await world.restart()
        await world.until(lambda: world.glasses.link.streaming, "the bond is known", 20)

    run_world(folder, test, listen=False, paired=False)


def test_the_window_closes_after_a_minute(folder: Path) -> None:
    async def test(world: World) -> None:
        await _gesture(world)
        assert world.glasses.status()["pairing"] is True
        await asyncio.sleep(61)
        assert world.glasses.status()["pairing"] is False
        stranger = await Stranger(world).connect()
        await stranger.do("pair")
        await stranger.do("ready")
        await asyncio.sleep(1)
        assert stranger.gone and stranger.heard == []
        start = asyncio.get_running_loop().time()
        await asyncio.sleep(5)
        assert _blinks(world, start) == 0

    run_world(folder, test, listen=False, paired=False)


def test_a_second_host_pairs_while_the_first_is_served(folder: Path) -> None:
    async def test(world: World) -> None:
        await _gesture(world)
        world.say(speech(4))
        world.press()
        await asyncio.sleep(0.5)
        second = await Stranger(world).connect()
        await second.do("pair")
        await asyncio.sleep(1)
        world.release()
        assert second.gone, "one host is served at a time"
        (recording,) = await world.complete(1)
        assert (recording.lost, recording.crc_ok) == (0, True)
        assert world.glasses.link.door.connects == 1
        assert [host["me"] for host in world.glasses.security.hosts()] == [False, True]
        await second.leave()

    run_world(folder, test)


def test_forgetting_by_gesture(folder: Path) -> None:
    async def test(world: World) -> None:
        start = asyncio.get_running_loop().time()
        await _gesture(world, 8.3)
        await asyncio.sleep(3)
        assert _blinks(world, start) >= 1 + 2 + 5
        assert not world.glasses.link.connected
        assert world.glasses.security.hosts() == []
        await asyncio.sleep(10)
        assert world.glasses.link.door.connects == 1

    run_world(folder, test)


def test_forgetting_by_command(folder: Path) -> None:
    async def test(world: World) -> None:
        assert world.listener is not None and world.listener.client is not None
        client = world.listener.client
        (me,) = await client.request("hosts")
        assert me == {"id": str(host_identity().address).split("/")[0], "me": True}
        assert await client.request("forget", host=me["id"]) == 1
        await asyncio.sleep(2)
        assert not world.glasses.link.connected
        assert b"peer" not in (folder / "bonds.json").read_bytes()
        await asyncio.sleep(10)
        assert world.glasses.link.door.connects == 1

    run_world(folder, test)


def test_a_host_that_lost_its_keys_gets_back_in(folder: Path) -> None:
    async def test(world: World) -> None:
        await host_identity().keystore.delete(str(static_address(ADDRESS)))
        with pytest.raises(BleakError):
            client = await world.central()
            await client.write_gatt_char(wire.CONTROL, wire.ready(), response=True)
        assert len(world.glasses.security.hosts()) == 1
        await asyncio.sleep(5)
        await _gesture(world)
        world.listen()
        await world.until(lambda: world.glasses.link.streaming, "it has paired again", 60)
        assert len(world.glasses.security.hosts()) == 1

    run_world(folder, test, listen=False)


def test_open_is_open(folder: Path) -> None:
    (folder / "settings.json").write_text('{"security": "open"}')

    async def test(world: World) -> None:
        stranger = await Stranger(world).connect()
        for what in ("subscribe", "read", "ready", "status"):
            await stranger.do(what)
        await asyncio.sleep(1)
        assert stranger.heard and stranger.read
        assert "open" in str(world.glasses.log.lines)

    run_world(folder, test, listen=False, paired=False)


async def _flags(world: World) -> int:
    """Flags of what is advertised now."""
    heard = await BleakScanner.discover(timeout=1, return_adv=True, backend=VirtualScanner)
    (advertisement,) = heard[ADDRESS][1].platform_data
    return int(advertisement.data.get(core.AdvertisingData.FLAGS, raw=True)[0])


def test_the_advert_says_when_hosts_may_pair(folder: Path) -> None:
    """General discoverable, and limited discoverable while the window is open (Core, Vol 3, Part C, 9.2)."""

    async def test(world: World) -> None:
        assert await _flags(world) == 0x06
        await _gesture(world)
        await asyncio.sleep(0.5)
        assert await _flags(world) == 0x05
        await asyncio.sleep(61)
        assert await _flags(world) == 0x06

    run_world(folder, test, listen=False)


def test_a_private_address_is_known_to_paired_hosts_only(folder: Path) -> None:
    (folder / "settings.json").write_text('{"private_address": true}')

    async def test(world: World) -> None:
        other = await world.air.device("other", "C0:FF:EE:00:02:01")
        heard: set[str] = set()
        other.on("advertisement", lambda advertisement: heard.add(str(advertisement.address)))
        await other.start_scanning(filter_duplicates=False)
        await asyncio.sleep(2)
        assert heard and not any(ADDRESS in address for address in heard)
        first = set(heard)
        world.listen()
        await world.until(lambda: world.glasses.link.streaming, "the host knows them")
        world.say(speech(2))
        await world.talk(0.6)
        assert (await world.complete(1))[0].crc_ok
        await world.stop_listening()
        await asyncio.sleep(1000)
        heard.clear()
        await asyncio.sleep(2)
        assert heard and not heard & first, "another address after a while"
        world.listen()
        await world.until(lambda: world.glasses.link.streaming, "the host knows them still")

    run_world(folder, test, listen=False)
