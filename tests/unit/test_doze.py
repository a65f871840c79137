"""Light sleep between beacons, in virtual time: memory stays, and Bluetooth is off in between."""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sleepy import Night, play
from test_voice import reference, speech

from lunette.virtual.in_process import ASLEEP, AWAKE

LIGHT: dict[str, Any] = {"sleep": "light"}


async def dozes(night: Night, timeout: float = 90.0) -> None:
    """Until they sleep lightly."""
    glasses = night.world.glasses
    before = night.world.chip.power.light_sleeps
    await night.world.until(lambda: night.world.chip.power.light_sleeps > before, "they doze", timeout)
    assert glasses.power.state == "sleep" or night.world.power.phase == AWAKE


@pytest.mark.parametrize("reach_s", [2, 10])
def test_hosts_find_them_within_the_time_that_is_set(folder: Path, reach_s: int) -> None:
    async def test(night: Night) -> None:
        await dozes(night)
        night.forget()
        heard = await night.scanner()
        await asyncio.sleep(60)
        gaps = [after - before for (before, _), (after, _) in itertools.pairwise(heard)]
        silence = [gap for gap in gaps if gap > 0.5]
        assert len(silence) >= 60 // (reach_s + 1) - 1
        assert max(silence) <= reach_s
        # As many calls as in a beacon out of deep sleep, although they have been unused for long.
        assert (len(gaps) - len(silence)) / len(silence) >= 3
        assert not night.phases and night.world.glasses.link.door.connects == 0

    play(folder, test, settings=LIGHT | {"reach_s": reach_s})


def test_a_press_is_heard_within_milliseconds(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        await dozes(night)
        await asyncio.sleep(1)
        said = speech(4)
        world.say(said)
        pressed = night.now
        await world.talk(2)
        (session,) = world.chip.i2s.sessions
        assert session.started - pressed < 0.1, "after Bluetooth is on"
        await asyncio.sleep(0.5)
        (waiting,) = world.glasses.journal.recordings
        assert waiting.closed
        world.listen()
        (recording,) = await world.complete(1)
        first = session.first_sample - world.chip.sound.index(pressed)
        heard = said[first:][: recording.next_index * 320]
        assert recording.lost == 0 and np.array_equal(recording.pcm(), reference(heard))

    play(folder, test, settings=LIGHT)


def test_a_host_that_scans_gets_everything_and_a_stranger_nothing(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        await world.talk(1)
        await dozes(night)
        stranger = await night.stranger(["subscribe", "read", "ready", "command"])
        await world.until(lambda: stranger.connected, "a stranger", 12)
        came = night.now
        await dozes(night, 5)
        assert night.now - came < 3.2 and (stranger.notified, stranger.bytes) == (0, 0)
        world.listen()
        (recording,) = await world.complete(1)
        assert recording.crc_ok and world.glasses.power.holds("link")

    play(folder, test, settings=LIGHT | {"reach_s": 2})


def test_usb_ends_a_doze(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        await dozes(night)
        await asyncio.sleep(1)
        world.usb(True)
        await asyncio.sleep(0.2)
        assert world.radio.active, "at once"
        await asyncio.sleep(40)
        assert "usb" in world.glasses.power.locks() and world.radio.active
        world.usb(False)
        await dozes(night)

    play(folder, test, settings=LIGHT)


def test_times_and_charges_of_a_doze(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        await dozes(night)
        before = world.glasses.power.spent_ms()
        await asyncio.sleep(49)
        await world.tap()
        await asyncio.sleep(1)
        after = world.glasses.power.spent_ms()
        assert 46_000 <= after["sleep"] - before["sleep"] <= 50_000
        slept = world.glasses.meter.charges()["sleep"]
        assert slept["light_sleep"] == pytest.approx(after["sleep"] * 1.4, rel=0.01)

    play(folder, test, settings=LIGHT)


def test_after_many_beacons_they_start_afresh_and_doze_on(folder: Path) -> None:
    """An hour's worth of them, ten here: what Bluetooth has leaked is free again."""

    async def test(night: Night) -> None:
        await dozes(night)
        vars(sys.modules["glasses.doze"])["_MOST"] = 10
        night.forget()
        first = night.world.glasses
        await asyncio.sleep(160)
        assert night.world.glasses is not first and night.world.glasses.start.cause == "timer"
        (asleep,), (awake,) = night.times(ASLEEP), night.times(AWAKE)
        assert awake - asleep < 11, "one deep sleep"
        assert night.world.chip.power.light_sleeps >= 13
        assert "glasses/parts/battery" in night.loaded and not night.world.light

    play(folder, test, settings=LIGHT)


def test_a_press_whose_edge_nobody_saw(folder: Path) -> None:
    """The chip wakes by the level; its pin interrupts are for edges, and it had no clock to see one."""

    async def test(night: Night) -> None:
        world = night.world
        await dozes(night)
        await asyncio.sleep(1)
        button = world.glasses.parts.buttons["talk"]
        drain = button.drain

        def unseen(edge: Any) -> None:
            button._tail, button.drain = button._head, drain

        button.drain = unseen
        await world.talk(1)
        await asyncio.sleep(0.5)
        (recording,) = world.glasses.journal.recordings
        assert recording.closed and recording.count >= 45

    play(folder, test, settings=LIGHT)
