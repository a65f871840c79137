"""The standard GATT services and what the link does for services beside its own, as a Bleak host sees it."""

from __future__ import annotations

import asyncio
import datetime as dt
import importlib
import struct
from pathlib import Path

import pytest
from bleak import BleakClient
from bleak.exc import BleakError
from world import ADDRESS, World, run_world, virtual_board

from lunette.client import GlassesClient
from lunette.protocol import wire

BATTERY, BATTERY_LEVEL = (f"0000{n}-0000-1000-8000-00805f9b34fb" for n in ("180f", "2a19"))
INFORMATION = "0000180a-0000-1000-8000-00805f9b34fb"
TIME, TIME_VALUE = (f"0000{n}-0000-1000-8000-00805f9b34fb" for n in ("1805", "2a2b"))
GAP = "00001800-0000-1000-8000-00805f9b34fb"
MOMENT = dt.datetime(2028, 2, 29, 23, 59, 57)


def current_time(moment: dt.datetime, weekday: int | None = None) -> bytes:
    day = moment.isoweekday() if weekday is None else weekday
    return struct.pack("<HBBBBBBBB", *moment.timetuple()[:6], day, 0, 0)


def rtc() -> tuple[int, ...]:
    return tuple(importlib.import_module("machine").RTC().datetime())


async def text(client: BleakClient, uuid16: str) -> str:
    return bytes(await client.read_gatt_char(f"0000{uuid16}-0000-1000-8000-00805f9b34fb")).decode()


def test_the_services_are_there(folder: Path) -> None:
    async def test(world: World) -> None:
        client = await world.central()
        assert {s.uuid for s in client.services} == {GAP, BATTERY, INFORMATION, TIME, wire.SERVICE}
        assert await text(client, "2a24") == "virtual"
        assert await text(client, "2a26") == world.glasses.status()["firmware"]
        assert await text(client, "2a27") == "esp32s3"
        assert await text(client, "2a29") == "Lunette"

    run_world(folder, test, listen=False)


def test_the_battery_tells_its_level_and_its_changes(folder: Path) -> None:
    (folder / "settings.json").write_text('{"linger_s": 0}')  # a host that only listens may stay

    async def test(world: World) -> None:
        world.usb(False)  # fed by it, the level does not fall
        client = await world.central()
        told: list[bytes] = []
        await client.start_notify(BATTERY_LEVEL, lambda _, data: told.append(bytes(data)))
        assert await client.read_gatt_char(BATTERY_LEVEL) == bytes([64])  # 3.9 V, by the curve
        await asyncio.sleep(65)
        assert told == [], "nothing has changed"
        world.chip.analog.volts[8] = 1.80
        await world.until(lambda: bytes([5]) in told, "the new level, in steps", timeout=290)
        assert told == sorted(told, reverse=True)
        assert await client.read_gatt_char(BATTERY_LEVEL) == bytes([5])

    run_world(folder, test, listen=False)


def test_a_level_that_changed_while_nobody_was_there(folder: Path) -> None:
    async def test(world: World) -> None:
        await asyncio.sleep(0.5)
        world.chip.analog.volts[8] = 2.1
        await asyncio.sleep(400)  # what is shown follows in steps
        client = await world.central()
        assert await client.read_gatt_char(BATTERY_LEVEL) == bytes([100])

    run_world(folder, test, listen=False)


def test_a_board_without_a_battery_offers_none(folder: Path) -> None:
    board = virtual_board()
    board.PARTS = {name: part for name, part in board.PARTS.items() if name != "battery"}

    async def test(world: World) -> None:
        client = await world.central()
        assert {s.uuid for s in client.services} == {GAP, INFORMATION, TIME, wire.SERVICE}

    run_world(folder, test, listen=False, board=board)


def test_the_time_is_unknown_until_it_is_set_and_then_goes_on(folder: Path) -> None:
    async def test(world: World) -> None:
        client = await world.central()
        unknown = await client.read_gatt_char(TIME_VALUE)
        assert unknown[:4] == bytes(4) and unknown[7] == 0, "no year, month, day, weekday"
        told: list[bytes] = []
        await client.start_notify(TIME_VALUE, lambda _, data: told.append(bytes(data)))
        await client.write_gatt_char(TIME_VALUE, current_time(MOMENT), response=True)
        await asyncio.sleep(0.5)
        assert rtc()[:7] == (2028, 2, 29, MOMENT.weekday(), 23, 59, 57)
        assert [t[:8] + t[9:] for t in told] == [current_time(MOMENT)[:8] + b"\1"], "changed by hand"
        await asyncio.sleep(10)
        later = await client.read_gatt_char(TIME_VALUE)
        at = dt.datetime(*struct.unpack("<HBBBBB", later[:7]))
        assert dt.timedelta(seconds=9) <= at - MOMENT <= dt.timedelta(seconds=11)
        assert later[7] == at.isoweekday()

    run_world(folder, test, listen=False)


def test_times_that_are_none_are_refused(folder: Path) -> None:
    wrong = [
        b"",
        b"\0",
        current_time(MOMENT)[:9],
        current_time(MOMENT) + b"\0",
        current_time(dt.datetime(2019, 12, 31)),
        current_time(dt.datetime(2100, 1, 1)),
        *(
            struct.pack("<HBBBBBBBB", *fields, 0, 0, 0)
            for fields in (
                (2027, 2, 29, 0, 0, 0),
                (2028, 2, 30, 0, 0, 0),
                (2028, 4, 31, 0, 0, 0),
                (2028, 0, 1, 0, 0, 0),
                (2028, 13, 1, 0, 0, 0),
                (2028, 1, 0, 0, 0, 0),
                (2028, 1, 1, 24, 0, 0),
                (2028, 1, 1, 0, 60, 0),
                (2028, 1, 1, 0, 0, 60),
            )
        ),
    ]

    async def test(world: World) -> None:
        from glasses import services

        before = rtc()[:3]
        for value in wrong:
            with pytest.raises(ValueError):
                services.set_time(value)
            assert rtc()[:3] == before, value.hex(" ")
        services.set_time(current_time(MOMENT))
        assert rtc()[:7] == (2028, 2, 29, MOMENT.weekday(), 23, 59, 57)

    run_world(folder, test, listen=False)


def test_a_refused_write_is_counted_and_hidden_from_readers(folder: Path) -> None:
    async def test(world: World) -> None:
        client = await world.central()
        before = rtc()[:3]
        await client.write_gatt_char(TIME_VALUE, b"\xff" * 40, response=True)
        assert world.radio.counters.truncated == 0, "seen as it was written"
        await asyncio.sleep(0.1)
        assert world.glasses.link.refused == 1
        assert (await client.read_gatt_char(TIME_VALUE))[:2] == b"\0\0"
        assert rtc()[:3] == before
        for uuid in (BATTERY_LEVEL, INFORMATION.replace("180a", "2a29")):
            with pytest.raises(BleakError):
                await client.write_gatt_char(uuid, b"x", response=True)
        assert world.glasses.link.door.errors == 0

    run_world(folder, test, listen=False)


def test_values_are_not_refreshed_for_nobody(folder: Path) -> None:
    async def test(world: World) -> None:
        await asyncio.sleep(0.1)
        service = next(s for s in world.glasses.link.radio.services if s.EVERY_S == 1)
        refreshed: list[float] = []
        refresh = service.refresh

        def note() -> None:
            refreshed.append(asyncio.get_running_loop().time())
            refresh()

        service.refresh = note
        await asyncio.sleep(20)
        assert refreshed == []
        async with GlassesClient(ADDRESS, backends=world.backends()):
            await asyncio.sleep(10)
            assert 9 <= len(refreshed) <= 12
        await asyncio.sleep(0.5)
        count = len(refreshed)
        await asyncio.sleep(20)
        assert len(refreshed) == count
        async with GlassesClient(ADDRESS, backends=world.backends()):
            await asyncio.sleep(10)
            assert 9 <= len(refreshed) - count <= 12

    run_world(folder, test, listen=False)


def test_there_is_room_for_eight_services(folder: Path) -> None:
    async def test(world: World) -> None:
        from glasses.services import Service

        link = world.glasses.link
        while len(link.radio.services) < 7:
            link.offer(Service())
        with pytest.raises(ValueError, match="8"):
            link.offer(Service())

    run_world(folder, test, listen=False)
