"""Out of deep sleep, in virtual time and with the times of a real start: the first word, gestures whose
finger was down before anything ran, the beacon, and what outlives a sleep."""

from __future__ import annotations

import asyncio
import gc
import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sleepy import Night, play
from test_voice import FRAME, RATE, reference, speech
from world import virtual_board

from lunette.virtual.in_process import ASLEEP, AWAKE, BOOT

BOOT_S = 0.395  # of boards/virtual


GESTURES = ("press", "release", "tap", "double", "triple", "hold", "hold_end", "long", "ladder")


def gestures(night: Night) -> list[tuple[str, Any]]:
    """Every gesture of every program that starts from here on: as `Bus.emit` gets them."""
    seen: list[tuple[str, Any]] = []

    def wrap() -> None:
        bus: Any = sys.modules["glasses.bus"].Bus
        emit = bus.emit

        def told(self: Any, name: str, t: int, value: Any = None) -> None:
            if name.rpartition(".")[2] in GESTURES:
                seen.append((name, value))
            emit(self, name, t, value)

        bus.emit = told

    night.on_load("glasses/commands", wrap)  # which is imported after the bus
    return seen


# --- the first word ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("held", [0.6, 2.0, 4.0])
def test_a_press_out_of_deep_sleep_keeps_every_sample_from_the_start_on(folder: Path, held: float) -> None:
    """Let go while the runtime is being loaded, soon after, and long after."""

    async def test(night: Night) -> None:
        world = night.world
        await night.sleep()
        world.listen()
        await asyncio.sleep(0.5)
        assert night.asleep
        said = speech(8)
        world.say(said)
        pressed = night.now
        await night.talk(held)
        (recording,) = await world.complete(1)
        (session,) = world.chip.i2s.sessions

        # Heard within a tenth of a second of the first line, before Bluetooth is even imported.
        assert pressed + BOOT_S < session.started < pressed + BOOT_S + 0.1
        (bluetooth,) = (load for load in night.loads if load[1] == "bluetooth")
        assert session.started < bluetooth[0] and bluetooth[2]
        deaf = [name for _, name, on in night.loads if not on]
        assert len(deaf) < 20 and "asyncio" not in deaf and "glasses/runtime" not in deaf
        assert session.overruns == session.dropped == 0

        # All of it has come, as it was said.
        assert (recording.lost, recording.crc_ok, recording.end["overruns"]) == (0, True, 0)
        frames = recording.next_index
        assert frames * FRAME == session.delivered
        ends = session.started + frames * FRAME / RATE
        # To the frame in which the finger was lifted, or to where the runtime learnt of that; it counts in
        # whole milliseconds.
        assert pressed + held <= ends + 0.001
        assert ends < pressed + held + 0.021 or held < 1
        first = session.first_sample - world.chip.sound.index(pressed)
        heard = said[first : first + frames * FRAME]
        assert np.array_equal(world.heard()[: frames * FRAME], heard)
        assert np.array_equal(recording.pcm(), reference(heard))

        # The light is lit from before the first sample to after the last.
        (on, lit), (off, dark) = world.light[:2]
        assert (lit, dark) == (1, 0) and on <= session.started
        assert session.ended is not None and off >= session.ended
        stores = [one for one in gc.get_objects() if type(one).__name__ == "EarlyCapture"]
        assert not stores, "24 KB, for as long as they are awake"

    play(folder, test)


def test_a_load_too_long_for_the_store_is_counted(folder: Path) -> None:
    """Three seconds fit, a tenth of that here. What comes after is lost, and the host knows how much."""

    async def test(night: Night) -> None:
        world = night.world
        await night.sleep()
        room = {"_BYTES": 0, "_SHORTEST_FRAMES": 15}
        night.on_load("glasses/dsp/adpcm", lambda: vars(sys.modules["glasses.early"]).update(room))
        world.listen()
        world.say(speech(5))
        await night.talk(2)
        (recording,) = await world.complete(1)
        (session,) = world.chip.i2s.sessions
        ((first, missing),) = recording.gaps
        assert first == 15 * FRAME and missing > 5 * FRAME
        assert recording.lost == 0 and recording.crc_ok and recording.end["overruns"] == 0
        assert len(recording.pcm()) == session.delivered
        heard = reference(world.heard()[: 15 * FRAME])
        assert np.array_equal(recording.pcm()[: len(heard)], heard)

    play(folder, test)


def test_muted_glasses_stay_muted(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        world.glasses.voice.muted = True
        await night.sleep()
        await night.talk(2)
        await asyncio.sleep(2)
        assert world.glasses.start.cause == "button" and world.glasses.voice.muted
        assert not world.chip.i2s.sessions and not world.glasses.journal.recordings
        assert not [t for t, level in world.light if level]

    play(folder, test)


# --- gestures whose finger was there first ------------------------------------------------------------------


@pytest.mark.parametrize(
    "moves, expected",
    [
        ([2.0], ["press", "hold", "release", "hold_end"]),
        ([0.5], ["press", "hold", "release", "hold_end"]),
        ([0.08], ["press", "release", "tap"]),  # over long before the first line
        ([0.35], ["press", "release", "tap"]),
        ([0.08, 0.5, 0.1], ["press", "release", "press", "release", "double"]),
        ([0.35, 0.2, 0.1], ["press", "release", "press", "release", "double"]),
        ([0.08, 0.5, 0.1, 0.1, 0.1], ["press", "release", "press", "release", "press", "release", "triple"]),
        ([0.08, 0.5, 3.3], ["press", "release", "press", "ladder", "release", "long"]),
    ],
)
def test_gestures_that_began_before_the_program(
    folder: Path, moves: list[float], expected: list[str]
) -> None:
    """`moves`: seconds that the finger is down, up, down, ..."""

    async def test(night: Night) -> None:
        world = night.world
        await night.sleep()
        seen = gestures(night)
        at = 0.0
        for number, seconds in enumerate(moves):
            night.at(at, world.release if number & 1 else world.press)
            at += seconds
        night.at(at, world.release)
        await asyncio.sleep(at + 3)
        assert [name for name, _ in seen] == expected
        assert world.glasses.start.cause == "button"
        if expected[-1] == "hold_end":
            # How long the finger was down is known to a tenth of a second, although nobody saw it come.
            assert dict(seen)["release"] == pytest.approx(moves[0] * 1000, abs=100)
        elif expected[-1] == "long":
            assert dict(seen)["long"] == "pair" and world.glasses.link.guard.window_open
        speech_kept = [r for r in world.glasses.journal.recordings if r.kind == "speech"]
        assert len(speech_kept) == (expected[-1] == "hold_end")

    play(folder, test)


def test_another_button_wakes_them_without_listening(folder: Path) -> None:
    board = virtual_board()
    board.PARTS = board.PARTS | {"camera": {"driver": "button", "pin": 12, "active": 0, "pull": "up"}}

    async def test(night: Night) -> None:
        world = night.world
        await night.sleep()
        seen = gestures(night)
        world.chip.pins.press(12)
        night.at(2, lambda: world.chip.pins.release(12))
        await asyncio.sleep(3)
        assert [name for name, _ in seen] == [f"camera.{g}" for g in ("press", "hold", "release", "hold_end")]
        assert not world.chip.i2s.sessions

    play(folder, test, board=board)


def test_usb_wakes_them_and_is_no_finger(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        await night.sleep()
        seen = gestures(night)
        await asyncio.sleep(2)
        world.usb(True)
        await asyncio.sleep(30)
        assert world.power.phase == AWAKE and world.glasses.start.cause == "usb"
        assert seen == [] and not world.chip.i2s.sessions and not world.light
        assert "usb" in world.glasses.power.locks()

    play(folder, test, settings={"reach_s": 0})


# --- what outlives a sleep ----------------------------------------------------------------------------------


def test_numbers_of_recordings_do_not_repeat_over_sleeps(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        boots = {world.glasses.boot}
        for _ in range(4):
            await night.sleep()
            await asyncio.sleep(25)
            await night.talk(1)
            await asyncio.sleep(1)
            boots.add(world.glasses.boot)
        await night.sleep()
        world.listen()
        recordings = await world.complete(4)
        numbers = [recording.number for recording in recordings]
        assert len(set(numbers)) == 4 and numbers == sorted(numbers)
        assert len(boots) == 1, "boot numbers are for starts without memory"
        assert {number >> 16 for number in numbers} == boots
        await world.stop_listening()
        await night.sleep()
        world.power.power_cut()
        await world.power.power_on()
        assert world.glasses.boot not in boots

    play(folder, test)


def test_a_number_is_not_given_again_when_its_recording_is_gone(folder: Path) -> None:
    """Nothing in flash tells of it, and a host that has it would refuse another of that number."""

    async def test(night: Night) -> None:
        world = night.world
        world.listen()
        numbers = []
        for count in (1, 2, 3):
            await night.talk(1)
            numbers.append((await world.complete(count))[-1].number)
            await world.until(lambda: not world.glasses.journal.recordings, "it is acknowledged")
            world.glasses.standby.let_go("sleep")
            world.glasses.rest()
            await night.sleep()
        assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2]

    play(folder, test, settings={"reach_s": 0})


def test_what_waits_in_memory_is_in_flash_before_they_sleep(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        said = speech(20)
        world.say(said)
        await night.talk(1)
        world.glasses.note("bookmark")
        await asyncio.sleep(0.4)
        world.glasses.rest()  # sooner than they are saved by themselves
        assert not (folder / "journal").exists()
        await night.sleep(1.2)
        assert [path.suffix for path in (folder / "journal").iterdir()]
        await asyncio.sleep(25)
        world.power.power_cut()  # not even the RTC's memory is needed
        await world.power.power_on()
        await night.sleep()
        world.listen()
        recordings = await world.complete(2)
        assert sorted(recording.kind for recording in recordings) == ["event", "speech"]
        (voice,) = (recording for recording in recordings if recording.kind == "speech")
        assert voice.crc_ok and np.array_equal(
            voice.pcm(), reference(world.heard(0)[: voice.next_index * FRAME])
        )
        await asyncio.sleep(1)
        assert not list((folder / "journal").iterdir())

    play(folder, test)


# --- beacons ------------------------------------------------------------------------------------------------

RUNTIME = ("asyncio", "glasses/runtime", "glasses/link", "glasses/voice", "glasses/journal")


def windows(heard: list[tuple[float, bytes]]) -> list[tuple[float, float, int]]:
    """(begin, end, advertisements) of each time that they were heard."""
    found: list[tuple[float, float, int]] = []
    for t, _ in heard:
        if found and t - found[-1][1] < 0.5:
            found[-1] = (found[-1][0], t, found[-1][2] + 1)
        else:
            found.append((t, t, 1))
    return found


@pytest.mark.parametrize("reach_s", [2, 10])
def test_hosts_find_them_within_the_time_that_is_set(folder: Path, reach_s: int) -> None:
    async def test(night: Night) -> None:
        await night.sleep()
        heard = await night.scanner()
        await asyncio.sleep(60)
        calls = windows(heard)
        silence = [after[0] - before[1] for before, after in itertools.pairwise(calls)]
        assert max(silence) <= reach_s
        assert min(silence) > reach_s - 0.5, "no oftener than that"
        assert min(count for _, _, count in calls[1:-1]) >= 4
        assert not set(RUNTIME) & set(night.loaded), "nobody has come"
        assert "glasses.runtime" not in sys.modules
        awake = [
            asleep - woken for woken, asleep in zip(night.times(AWAKE), night.times(ASLEEP), strict=False)
        ]
        assert max(awake) < 0.5

    play(folder, test, settings={"reach_s": reach_s})


def test_without_reach_only_a_finger_wakes_them(folder: Path) -> None:
    async def test(night: Night) -> None:
        await night.sleep()
        await asyncio.sleep(7200)
        assert night.asleep and not night.phases
        await night.talk(1)
        await asyncio.sleep(1)
        assert len(night.world.glasses.journal.recordings) == 1

    play(folder, test, settings={"reach_s": 0})


def test_a_host_that_scans_gets_everything(folder: Path) -> None:
    """It finds them by a beacon. What it wrote before the runtime was there has been kept at the door."""

    async def test(night: Night) -> None:
        world = night.world
        await night.talk(1)
        await night.sleep()
        await asyncio.sleep(3)
        kept: list[int] = []
        # A beacon that looks seldom is like a runtime that loads for long: the host goes on meanwhile.
        night.on_load(
            "glasses/sleep", lambda: vars(sys.modules["glasses.beacon"]).update(LOOK_MS=900, WINDOW_MS=999)
        )
        night.on_load(
            "glasses/link", lambda: kept.append(len(sys.modules["glasses.wake"]._start.presence.door.inbox))
        )
        began = night.now
        world.listen()
        (recording,) = await world.complete(1)
        assert recording.crc_ok and night.now - began < 13
        assert kept[-1] >= 1, "the door has kept what it wrote"
        assert world.glasses.start.cause == "timer"
        assert world.listener is not None and world.listener.client is not None
        assert (await world.listener.client.request("status"))["cause"] == "timer"
        assert world.glasses.link.door.inbox_full == 0
        assert world.listener.reconnects == 0

    play(folder, test)


def test_the_level_of_the_battery_is_the_runtimes_after_a_beacon(folder: Path) -> None:
    """The beacon only knows what it was; who stays connected reads what it is."""

    async def test(night: Night) -> None:
        world = night.world
        await night.sleep()
        world.listen()
        await world.until(lambda: world.listener is not None and world.listener.connected, "a host", 13)
        client = world.listener.client  # type: ignore[union-attr]
        levels = []
        for volts in (1.95, 1.8):
            world.chip.analog.volts[8] = volts
            await asyncio.sleep(400)
            value = await client._client.read_gatt_char("2a19")  # type: ignore[union-attr]
            levels.append(value[0])
        assert levels[0] > levels[1] + 20 and levels[1] == world.glasses.battery.percent()

    play(folder, test, settings={"linger_s": 0})


def test_the_battery_is_looked_at_now_and_then_and_no_finger(folder: Path) -> None:
    """Every sixteenth beacon. An empty cell is the runtime's business."""

    async def test(night: Night) -> None:
        world = night.world
        await night.sleep()
        await asyncio.sleep(200)
        assert "glasses/parts/battery" in night.loaded and "glasses/runtime" not in night.loaded
        world.chip.analog.volts[8] = 1.69  # twice that at the cell: weak, but not empty
        seen = gestures(night)
        night.forget()
        await asyncio.sleep(200)
        assert "glasses/runtime" in night.loaded and seen == []
        assert not world.chip.i2s.sessions

    play(folder, test)


@pytest.mark.parametrize("tries", [[], ["subscribe", "read", "ready", "command", "pair"]])
def test_a_stranger_does_not_keep_them_awake(folder: Path, tries: list[str]) -> None:
    async def test(night: Night) -> None:
        world = night.world
        await night.sleep()
        await asyncio.sleep(9)
        stranger = await night.stranger(tries)
        await world.until(lambda: stranger.connected, "it connects", 20)
        came = night.now
        await world.until(lambda: night.asleep, "they sleep again", 10)
        assert night.now - came < 3.1
        assert (stranger.notified, stranger.bytes) == (0, 0)
        assert "glasses/runtime" not in night.loaded
        await asyncio.sleep(25)
        assert night.asleep or night.times(ASLEEP)[-1] > night.now - 11

    play(folder, test)


def test_a_stranger_in_a_beacon_does_not_keep_the_host_out(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        await night.sleep()
        await asyncio.sleep(9)
        stranger = await night.stranger([])
        await world.until(lambda: stranger.connected, "it connects", 20)
        world.listen()
        await world.until(lambda: world.listener is not None and world.listener.connected, "the host, too", 3)

    play(folder, test)


def test_a_press_in_a_beacon_is_heard_at_once(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        await night.sleep()
        await world.until(lambda: world.radio.active and night.now > 0, "a beacon", 20)
        await asyncio.sleep(0.05)
        said = speech(4)
        world.say(said)
        pressed = night.now
        await night.talk(2)
        await asyncio.sleep(1)
        (session,) = world.chip.i2s.sessions
        assert session.started - pressed < 0.1
        assert world.glasses.start.cause == "button"
        world.listen()
        (recording,) = await world.complete(1)
        assert recording.next_index * FRAME == session.delivered and recording.lost == 0
        assert np.array_equal(recording.pcm(), reference(world.heard()[: session.delivered]))

    play(folder, test)


def test_usb_in_a_beacon_keeps_them_awake(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        await night.sleep()
        await world.until(lambda: world.radio.active, "a beacon", 20)
        seen = gestures(night)
        world.usb(True)
        await asyncio.sleep(120)
        assert world.power.phase == AWAKE and seen == []
        world.usb(False)
        await night.sleep()

    play(folder, test)


def test_a_stuck_button_is_looked_at_now_and_then(folder: Path) -> None:
    """Something lies on it: it does not wake them for ever, and works again when it is free."""

    async def test(night: Night) -> None:
        world = night.world
        world.press()
        await asyncio.sleep(75)  # a finger is one for a minute; its recording is ended by the limit
        await night.sleep(120)
        await asyncio.sleep(200)
        assert 3 <= len(night.times(BOOT)) <= 4, "it is looked at once a minute"
        world.release()
        await asyncio.sleep(65)
        night.forget()
        await world.tap(0.6)
        await world.until(lambda: world.power.phase == AWAKE, "they wake", 2)

    play(folder, test, settings={"reach_s": 0, "longest_s": 5})


def test_a_stuck_button_is_no_press_for_a_start_that_something_else_made(folder: Path) -> None:
    async def test(night: Night) -> None:
        world = night.world
        world.press()
        await night.sleep(120)
        seen = gestures(night)
        sessions = len(world.chip.i2s.sessions)
        world.listen()
        await world.until(lambda: world.listener is not None and world.listener.connected, "a host", 13)
        await asyncio.sleep(5)
        assert seen == [] and len(world.chip.i2s.sessions) == sessions
        world.release()
        await asyncio.sleep(1)
        assert seen == []
        await night.talk(1)
        assert [name for name, _ in seen[:2]] == ["press", "hold"], "it has been free: it counts again"

    play(folder, test, settings={"longest_s": 5})
