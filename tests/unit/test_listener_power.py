"""What listening for a wake word means for power: the radio, sleep, and what wakes them to listen."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path

import pytest
from listening import QUESTION, WORD, alone, deafen, listens, play_night, said
from sleepy import SHORT, Night, play
from world import LIGHT, virtual_board

WORN = virtual_board().PARTS["worn"]["pin"]


def test_the_radio_is_off_between_beacons(folder: Path) -> None:
    async def test(night: Night) -> None:
        glasses = night.world.glasses
        await listens(night.world)
        deafen(night.world)
        await alone(night)
        heard = await night.scanner()
        before = glasses.meter.table()["listening"]
        off = on = 0
        for _ in range(600):
            await asyncio.sleep(0.1)
            if glasses.presence.radio.running:
                on += 1
            else:
                off += 1
            assert night.recording and not night.asleep and glasses.power.state == "listening"
        assert 5 <= glasses.doze.beacons <= 6 and on / 600 < 0.06
        gaps = [b[0] - a[0] for a, b in itertools.pairwise(heard)]
        assert 9 < max(gaps) < 11, "a host finds them every 10 s"
        table = glasses.meter.table()["listening"]
        radio, cpu = (table[name] - before[name] for name in ("radio", "cpu"))
        assert 0 < radio < 0.04 * cpu

    play_night(folder, test)


def test_a_word_switches_the_radio_on_and_the_question_arrives(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        await listens(world)
        await alone(night)
        world.listen()
        await world.until(lambda: world.glasses.link.streaming, "it connects at a beacon", 15)
        await world.until(lambda: not world.glasses.link.connected, "it is let go", 30)
        await alone(night)
        await said(world, WORD, 0.4, QUESTION)
        (recording,) = await world.complete(1, 5)
        assert recording.meta["cause"] == "wake" and recording.crc_ok and recording.lost == 0
        assert not world.glasses.journal.waiting()

    play_night(folder, test, linger_s=3)


def test_without_beacons_the_radio_stays_off_until_a_press(folder: Path) -> None:
    async def test(night: Night) -> None:
        await listens(night.world)
        deafen(night.world)
        await alone(night)
        for _ in range(100):
            await asyncio.sleep(0.5)
            assert night.recording and not night.world.glasses.presence.radio.running
        await night.world.tap()
        await night.world.until(lambda: night.world.glasses.presence.radio.running, "the radio is on", 1)

    play_night(folder, test, reach_s=0)


def test_what_waits_is_saved_meanwhile(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        await listens(world)
        await alone(night)
        await said(world, WORD, 0.4, QUESTION)
        await world.until(lambda: world.glasses.journal.saved == 1, "it is saved", 10)
        await listens(world)
        await alone(night)
        assert not night.asleep

    play_night(folder, test)


def test_whoever_has_the_microphone_off_does_not_send_them_to_sleep(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        await listens(world)
        await alone(night)
        for _ in range(12):
            assert not world.glasses.recording(), "flash may be written"
            await asyncio.sleep(0.3)
            assert not night.recording and not night.asleep
        await listens(world)

    play_night(folder, test)


def test_muted_they_sleep(folder: Path) -> None:
    async def test(night: Night) -> None:
        await listens(night.world)
        night.world.glasses.voice.muted = True
        await night.sleep()
        assert not night.recording and not night.world.chip.pins.level(LIGHT)

    play_night(folder, test)


def test_a_fresh_start_after_many_beacons_listens_again(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        first = world.glasses
        await listens(world)
        deafen(world)
        await alone(night)
        first.doze.beacons = 360
        await world.until(lambda: night.asleep, "they fall asleep", 15)
        slept = night.now
        await world.until(lambda: night.recording, "they listen again", 15)
        assert night.now - slept < 4, "deaf for no longer than that"
        assert world.glasses is not first and world.glasses.start.cause == "timer"
        await alone(night)
        assert world.glasses.power.state == "listening"

    play_night(folder, test)


def test_a_fresh_start_is_no_use(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        first = world.glasses
        await listens(world)
        deafen(world)
        await alone(night)
        await asyncio.sleep(20)
        first.doze.beacons = 360
        began = night.now
        await world.until(
            lambda: world.glasses is not None and world.glasses is not first, "a fresh start", 15
        )
        await listens(world)
        deafen(world)
        await world.until(lambda: not night.recording, "they stop", 60)
        assert 60 - 35 - 10 < night.now - began < 60 - 20, (
            "a minute after the start, and not after the fresh one"
        )
        await night.sleep()
        await asyncio.sleep(30)
        assert not night.recording

    play_night(folder, test, listen_when="used", listen_min=1)


@pytest.mark.parametrize("sleep", ["deep", "light"])
def test_being_put_on_wakes_them_to_listen(folder: Path, sleep: str) -> None:
    async def test(night: Night) -> None:
        world = night.world

        def sleeps() -> bool:
            return night.asleep if sleep == "deep" else not world.glasses.presence.radio.running

        await world.until(sleeps, "they sleep", 30)
        for _ in range(2):
            await asyncio.sleep(25)
            assert not night.recording
            world.chip.pins.drive(WORN, 1)
            put_on = night.now
            await world.until(lambda: night.recording, "they listen", 6)
            assert night.now - put_on < 4
            deafen(world)
            await asyncio.sleep(30)
            assert night.recording and world.glasses.power.state == "listening"
            assert world.glasses.status()["worn"]
            world.chip.pins.drive(WORN, 0)
            await world.until(lambda: night.asleep or not night.recording, "they stop", 5)
            await world.until(sleeps, "they sleep", 30)

    play_night(folder, test, listen_when="worn", sleep=sleep)


def test_worn_and_muted_they_sleep_on(folder: Path) -> None:
    async def test(night: Night) -> None:
        night.world.chip.pins.drive(WORN, 1)
        await listens(night.world)
        night.world.glasses.voice.muted = True
        await night.sleep()
        await asyncio.sleep(200)
        assert not night.recording and night.asleep
        assert sum(1 for _, phase in night.phases if phase == "awake") <= 21, "a beacon every 10 s, no more"

    play_night(folder, test, listen_when="worn")


def test_worn_with_nothing_to_listen_for_they_sleep_on(folder: Path) -> None:
    async def test(night: Night) -> None:
        (folder / "wakeword" / "okay_nabu.mww").unlink()
        night.world.chip.pins.drive(WORN, 1)
        await night.sleep()
        await asyncio.sleep(200)
        assert sum(1 for _, phase in night.phases if phase == "awake") <= 21, "a beacon every 10 s, no more"

    play_night(folder, test, listen_when="worn")


def test_other_glasses_do_not_wake_when_they_are_put_on(folder: Path) -> None:
    async def test(night: Night) -> None:
        await night.sleep()
        night.world.chip.pins.drive(WORN, 1)
        await asyncio.sleep(30)
        assert night.phases == [] and night.asleep

    (folder / "settings.json").write_text(json.dumps(SHORT))
    play(folder, test, settings={"reach_s": 0})
