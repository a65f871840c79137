"""What keeps the glasses awake between uses, and how they fall asleep and go off, in virtual time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sleepy import Night, play
from test_voice import FRAME, reference, speech
from world import ADDRESS, TALK

from lunette.client import GlassesClient
from lunette.virtual.in_process import ASLEEP, AWAKE
from lunette.virtual.stranger import Stranger

GRACE, USE = 10, 5  # of sleepy.SHORT
AGAIN = 2.5  # the task looks every second, and is told of the last second only at its end


async def falls_asleep(night: Night, earliest: float, latest: float) -> None:
    """They do so between these seconds from now."""
    began = night.now
    await night.world.until(lambda: night.asleep, "they fall asleep", latest)
    assert night.now - began >= earliest


async def up(night: Night) -> None:
    """Past what the start holds, with the last use at this moment."""
    await asyncio.sleep(GRACE - 1)
    night.world.glasses.note("a use is a press")
    await night.world.tap()
    await asyncio.sleep(0.4)


# --- reasons to be awake ------------------------------------------------------------------------------


def test_after_power_on_they_can_be_reached_by_cable(folder: Path) -> None:
    async def test(night: Night) -> None:
        assert set(night.world.glasses.power.locks()) >= {"grace", "use"}
        await falls_asleep(night, GRACE - 1, GRACE + AGAIN)

    play(folder, test)


def test_a_use_keeps_them_awake_for_a_while(folder: Path) -> None:
    async def test(night: Night) -> None:
        await up(night)
        await falls_asleep(night, USE - 1, USE + AGAIN)

    play(folder, test)


def test_a_wake_up_is_no_power_on(folder: Path) -> None:
    async def test(night: Night) -> None:
        await night.sleep()
        await night.world.tap()
        await falls_asleep(night, USE, USE + AGAIN + 1.5)

    play(folder, test)


def test_usb(folder: Path) -> None:
    async def test(night: Night) -> None:
        night.world.usb(True)
        await asyncio.sleep(300)
        assert list(night.world.glasses.power.locks()) == ["usb"]
        night.world.usb(False)
        await falls_asleep(night, 0, AGAIN)

    play(folder, test)


def test_the_setting_never(folder: Path) -> None:
    async def test(night: Night) -> None:
        await asyncio.sleep(1000)
        assert list(night.world.glasses.power.locks()) == ["setting"]
        night.world.glasses.settings.set("sleep", "deep")
        await falls_asleep(night, 0, AGAIN)

    play(folder, test, settings={"sleep": "never"})


def test_a_prompt_and_an_app(folder: Path) -> None:
    async def test(night: Night) -> None:
        power = night.world.glasses.power
        power.keep("standby", "prompt", True)  # as `run` does at Ctrl-C
        await asyncio.sleep(100)
        assert list(power.locks()) == ["prompt"]
        power.hold("standby", "app")
        power.keep("standby", "prompt", False)
        await asyncio.sleep(100)
        assert power.locks() == {"app": ("standby", 1)}
        power.release("app")
        await falls_asleep(night, 0, AGAIN)

    play(folder, test)


def test_hosts_may_pair_for_the_whole_minute(folder: Path) -> None:
    async def test(night: Night) -> None:
        await up(night)
        night.world.glasses.security.pair()
        await falls_asleep(night, 60, 60 + AGAIN)

    play(folder, test)


def test_a_finger_keeps_them_awake_for_a_minute(folder: Path) -> None:
    """Longer, and something lies on the button."""

    async def test(night: Night) -> None:
        night.world.glasses.voice.muted = True
        await up(night)
        night.world.press()
        await falls_asleep(night, 58.5, 60 + AGAIN)
        assert not night.world.chip.i2s.sessions or all(s.ended for s in night.world.chip.i2s.sessions)

    play(folder, test, settings={"reach_s": 0})


def test_strangers_keep_them_awake_for_a_quarter_of_a_minute_altogether(folder: Path) -> None:
    async def test(night: Night) -> None:
        await asyncio.sleep(GRACE - 3)

        async def insist(first: float) -> None:
            await asyncio.sleep(first)
            while True:
                await Stranger(night.world.air, ADDRESS, []).run(2)

        glasses = night.world.glasses
        # Two in turns, so that somebody is there all the time.
        insisting = [asyncio.ensure_future(insist(first)) for first in (0, 1)]
        await falls_asleep(night, 12, 25)
        for each in insisting:
            each.cancel()
        await asyncio.gather(*insisting, return_exceptions=True)
        assert glasses.link.door.connects == 0 and glasses.power.locks() == {}

    play(folder, test)


def test_a_host_keeps_them_awake_and_who_is_lost_is_waited_for(folder: Path) -> None:
    async def test(night: Night) -> None:
        await asyncio.sleep(100)
        assert list(night.world.glasses.power.locks()) == ["link"]
        assert night.world.listener is not None
        await night.world.listener.leave()
        await falls_asleep(night, USE, USE + AGAIN)

    play(folder, test, listen=True, settings={"linger_s": 0})


# --- flash that is full -------------------------------------------------------------------------------


def test_rather_awake_than_lose_what_flash_has_no_room_for(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        spool = world.glasses.spool
        room = spool.room
        spool.room = lambda: -1
        world.glasses.note("bookmark")
        await asyncio.sleep(400)
        assert world.power.phase == AWAKE
        assert world.glasses.power.locks() == {"unsaved": ("standby", 1)}
        assert len(world.glasses.journal.recordings) == 1
        spool.room = room
        spool.removed += 1  # as when a file has gone
        await falls_asleep(night, 0, 60 + AGAIN)
        assert len(list((folder / "journal").iterdir())) == 1

    play(folder, test)


# --- how often they advertise -------------------------------------------------------------------------


def test_the_longer_nobody_used_them_the_less_they_advertise(folder: Path) -> None:
    async def test(night: Night) -> None:
        await up(night)
        heard = await night.scanner()
        began = night.now
        await asyncio.sleep(100)

        def interval(since: float, until: float) -> float:
            times = [t - began for t, _ in heard if since < t - began < until]
            return (until - since) / len(times)

        # The link layer adds up to 10 ms to each.
        assert 0.100 <= interval(1, 14) <= 0.111
        assert 0.300 <= interval(17, 58) <= 0.315
        assert 1.000 <= interval(63, 100) <= 1.06
        await night.world.tap()
        await asyncio.sleep(5)
        assert interval(101, 105) <= 0.13, "used again"

    play(folder, test, settings={"sleep": "never"})


# --- off ----------------------------------------------------------------------------------------------


async def only_the_button_wakes(night: Night) -> None:
    world, power = night.world, night.world.chip.power
    assert night.asleep and world.glasses.power.state == "off"
    assert (power._ext0_pin, power._ext1_pins, power._gpio_pins) == (TALK, frozenset(), frozenset())
    world.usb(True)
    await asyncio.sleep(3600)
    world.usb(False)
    await asyncio.sleep(3600)
    assert night.asleep and not night.phases
    world.press()
    await asyncio.sleep(1.5)
    assert world.power.phase == AWAKE and world.glasses.power.state == "active"
    world.release()


def test_the_gesture_saves_and_switches_off(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        world.say(speech(3))
        await world.talk(1)
        await asyncio.sleep(1)
        assert world.glasses.journal.recordings[0].file is None
        await world.tap()
        await asyncio.sleep(0.12)
        await world.talk(12.2)
        await world.until(lambda: night.asleep, "they are off", 3)
        night.forget()
        assert len(list((folder / "journal").iterdir())) == 1
        heard = world.heard(0)
        await only_the_button_wakes(night)
        world.listen()
        recordings = await world.complete(2)
        first = min(recordings, key=lambda recording: recording.number)
        assert np.array_equal(first.pcm(), reference(heard[: first.next_index * FRAME]))

    play(folder, test)


def test_a_host_is_told_that_they_go_off(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        assert world.listener is not None and world.listener.client is not None
        await asyncio.sleep(1)
        assert await world.listener.client.request("sleep", off=True) is None
        await world.until(lambda: night.asleep, "they are off", 3)
        night.forget()
        assert [detail for _, what, detail in world.events if what == "resting"] == ["off"]
        await asyncio.sleep(2)
        assert not world.listener.connected
        await world.stop_listening()
        await only_the_button_wakes(night)

    play(folder, test, listen=True)


def test_off_in_the_middle_of_a_recording_keeps_it(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        world.say(speech(3))
        world.press()
        await asyncio.sleep(2)
        world.glasses.off()
        await world.until(lambda: night.asleep, "they are off", 2)
        night.forget()
        (session,) = world.chip.i2s.sessions
        heard = world.heard()
        assert len(list((folder / "journal").iterdir())) == 1
        # The finger stays, and later leaves. Neither is a press.
        await asyncio.sleep(200)
        assert night.asleep or night.phases[-1][1] == ASLEEP
        world.release()
        await asyncio.sleep(65)
        assert "glasses/runtime" not in night.loaded
        world.listen()
        world.press()
        await asyncio.sleep(0.8)
        world.release()
        recordings = await world.complete(2)
        first = min(recordings, key=lambda recording: recording.number)
        assert first.crc_ok and 1.9 < first.seconds < 2.2 and session.ended is not None
        assert np.array_equal(first.pcm(), reference(heard[: first.next_index * FRAME]))

    play(folder, test)


# --- the battery --------------------------------------------------------------------------------------


def set_cell(night: Night, volts: float) -> None:
    night.world.chip.analog.volts[8] = volts / 2


def test_an_empty_battery_ends_capture_saves_and_switches_off(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        world.say(speech(20))
        world.press()
        await asyncio.sleep(3)
        set_cell(night, 3.2)
        await world.until(lambda: night.asleep, "they go off", 12)
        heard = world.heard()
        assert len(list((folder / "journal").iterdir())) == 1
        world.release()
        await asyncio.sleep(130)  # to see that the finger has gone
        assert night.asleep
        night.forget()

        # Whoever presses now: off again at once, with neither light nor radio.
        sessions = len(world.chip.i2s.sessions)
        world.press()
        await asyncio.sleep(0.2)
        world.release()
        await world.until(lambda: night.times(AWAKE) and night.asleep, "off again", 3)
        assert not [level for _, level in world.light if level] and len(world.chip.i2s.sessions) == sessions
        assert world.chip.power._ext1_pins == frozenset(), "of the wake pins only the button"
        await asyncio.sleep(600)
        assert len(night.times(AWAKE)) == 1

        set_cell(night, 3.9)
        world.listen()
        await night.talk(2)
        recordings = await world.complete(2)
        first = min(recordings, key=lambda recording: recording.number)
        assert first.crc_ok and np.array_equal(first.pcm(), reference(heard[: first.next_index * FRAME]))

    play(folder, test)


def test_an_empty_battery_at_power_on(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        world.power.power_cut()
        set_cell(night, 3.1)
        await world.power.power_on()
        await world.until(lambda: night.asleep, "off", 3)
        night.forget()
        await asyncio.sleep(600)
        assert night.asleep and not night.phases
        world.power.power_cut()
        world.usb(True)
        await world.power.power_on()
        await asyncio.sleep(60)
        assert world.power.phase == AWAKE, "on USB the cell is not needed"

    play(folder, test)


# --- what a host asks for -----------------------------------------------------------------------------


def test_a_host_sends_them_to_sleep(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        assert world.listener is not None and world.listener.client is not None
        await asyncio.sleep(1)
        assert await world.listener.client.request("sleep") is None
        await falls_asleep(night, 0.5, 3)  # neither the start nor the use holds them now
        assert [detail for _, what, detail in world.events if what == "resting"] == ["sleep"]
        await asyncio.sleep(60)
        assert not world.listener.connected, "it leaves them alone"
        await night.talk(1)
        await world.complete(1)

    play(folder, test, listen=True)


def test_a_host_sees_what_keeps_them_awake(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        world.usb(True)
        async with GlassesClient(ADDRESS, backends=world.backends()) as client:
            await asyncio.sleep(20)
            found: dict[str, Any] = await client.request("power")
            assert found["cause"] == "power-on" and found["state"] == "connected"
            assert found["locks"] == {"link": ["connected", 1], "usb": ["standby", 1]}
            assert (found["sleep"], found["mhz"]) == ("deep", 80)
            assert found["states"]["connected"] == pytest.approx(20, abs=1)
            assert found["mah"] == pytest.approx(
                sum(sum(s.values()) for s in found["energy"].values()), abs=2e-3
            )
            assert found["energy"]["connected"]["cpu"] > 0 and found["crashes"]["row"] == 0

    play(folder, test)
