"""Glasses that listen for a wake word: when they do, and what comes of it. With the published model, in
virtual time; detectors and networks are compared with others in tests/kernels."""

from __future__ import annotations

import asyncio
import importlib
import json
from pathlib import Path
from typing import Any

import pytest
from flash_shim import Disk
from listening import OTHERS, QUESTION, SETTLED_S, WORD, deafen, equip, listens, model, place, said
from test_voice import wav
from world import LIGHT, World, run_world, virtual_board

from lunette.errors import Refused

TRUE_MS = 220  # the network knows a word's end within so many


def question_of(recording: Any, pcm: Any, spans: Any) -> None:
    """It is whole in the recording, which begins before it."""
    begins, other = place(wav(recording.path), pcm)
    assert other < 0.02, "it is what was said"
    start, end = spans[-1]
    assert begins <= start and begins + recording.seconds >= end


@pytest.mark.parametrize("pause", [0.12, 0.9, 3.0])
def test_a_question_after_the_word_is_recorded(folder: Path, pause: float) -> None:
    equip(folder)

    async def test(world: World) -> None:
        await listens(world)
        pcm, spans, _ = await said(world, WORD, pause, QUESTION)
        (recording,) = await world.complete(1)
        assert recording.meta["cause"] == "wake" and recording.crc_ok and recording.lost == 0
        question_of(recording, pcm, spans)
        word = recording.meta["wake"]
        assert word["model"] == "okay_nabu" and word["score"] > 850
        starts, _ = place(wav(recording.path), pcm)
        ended = spans[0][1]
        assert abs(starts + word["ms"] / 1000 - ended) < TRUE_MS / 1000
        if pause < 1:
            assert starts < ended - 0.2, "it begins before the word's end"
            assert 400 <= word["ms"] + recording.end["trimmed_ms"] <= 440
        assert starts + recording.seconds < spans[-1][1] + 2, "a silence ends it"
        assert world.glasses.listener.wakes == 1
        await listens(world)

    run_world(folder, test)


def test_a_word_and_then_nothing_is_no_recording(folder: Path) -> None:
    equip(folder)

    async def test(world: World) -> None:
        events: list[Any] = []
        world.glasses.bus.now("wake", lambda name, t, value: events.append((t, value)))
        world.glasses.bus.now("listening", lambda name, t, value: events.append(value))
        await listens(world)
        began = world.glasses.parts.microphone.started_ms
        _, spans, at = await said(world, WORD, after=10)
        (t, value), yes, no = events
        assert value == {"model": "okay_nabu", "phrase": "Okay Nabu", "score": value["score"]}
        assert value["score"] > 850 and (yes, no) == (True, False)
        took = (world.chip.i2s.takes[0].started, began)
        assert abs(t - took[1] - (at + spans[0][1] - took[0]) * 1000) < TRUE_MS
        await listens(world)
        assert world.recordings == [] and world.glasses.journal.recordings == []

    run_world(folder, test)


def test_the_cue_is_lit_from_the_word_to_the_recordings_end(folder: Path) -> None:
    equip(folder)

    async def test(world: World) -> None:
        cue: list[tuple[int, bool]] = []
        pin = world.board.PARTS["cue"]["pin"]
        world.chip.pins.watch(
            lambda number, level, t: (
                cue.append((level, world.glasses.voice.capturing)) if number == pin else None
            )
        )
        await listens(world)
        await said(world, WORD, 0.4, QUESTION)
        await world.complete(1)
        assert cue == [(1, True), (0, False)]
        await said(world, WORD, after=10)  # and nothing more
        assert cue == [(1, True), (0, False)] * 2
        await world.talk(0.6)
        await world.complete(2)
        assert cue == [(1, True), (0, False)] * 3

    run_world(folder, test)


def test_other_sentences_are_forgotten(folder: Path) -> None:
    equip(folder)

    async def test(world: World) -> None:
        await listens(world)
        await said(world, QUESTION, 0.5, OTHERS[0], 0.5, OTHERS[1])
        assert world.glasses.listener.wakes == 0 and world.glasses.journal.recordings == []
        assert world.glasses.listener.frames > 300

    run_world(folder, test)


def test_a_press_takes_over_at_once_and_gives_back(folder: Path) -> None:
    equip(folder)

    async def test(world: World) -> None:
        await listens(world)
        await asyncio.sleep(1)
        await asyncio.gather(said(world, QUESTION, settle=0.5, after=1), world.talk(2.5), listens(world))
        (recording,) = await world.complete(1)
        assert recording.meta["cause"] == "button" and 2.5 <= recording.seconds < 2.53
        await listens(world)
        await world.tap()
        await asyncio.sleep(0.1)
        await listens(world)
        assert world.recordings == [recording]

    run_world(folder, test)


def test_muted_glasses_do_not_listen(folder: Path) -> None:
    equip(folder)

    async def test(world: World) -> None:
        await listens(world)
        assert world.listener is not None and world.listener.client is not None
        client = world.listener.client
        assert world.chip.pins.level(LIGHT) == 1
        await client.request("mute", on=True)
        assert not world.chip.i2s.running(0) and world.chip.pins.level(LIGHT) == 0
        await asyncio.sleep(3)
        status = await client.request("status")
        assert status["wakeword"] == {"on": False, "words": "Okay Nabu", "why_not": "the microphone is muted"}
        assert world.glasses.power.state == "connected" and not world.chip.i2s.running(0)
        await client.request("mute", on=False)
        await listens(world)
        assert world.glasses.power.state == "listening"

    run_world(folder, test)


def test_the_light_is_lit_and_flash_left_alone_while_they_listen(folder: Path) -> None:
    equip(folder)

    async def test(world: World) -> None:
        disk = Disk()
        disk.plug(*(importlib.import_module(f"glasses.{name}") for name in ("spool", "savefile")))
        world.glasses.spool._there = False
        dark: list[float] = []

        def lit() -> bool:
            return bool(world.chip.pins.level(LIGHT))

        disk.allowed = lambda: not world.chip.i2s.running(0)
        world.chip.pins.watch(
            lambda pin, level, t: (
                dark.append(t) if pin == LIGHT and not level and world.chip.i2s.running(0) else None
            )
        )
        await listens(world)
        assert lit()
        await said(world, WORD, 0.3, QUESTION, after=1)
        await world.until(
            lambda: world.glasses.listener.wakes and not world.glasses.voice.capturing, "the end"
        )
        await listens(world)
        for _ in range(18):
            await asyncio.sleep(0.05)
            assert world.chip.i2s.running(0) and world.glasses.journal.saved == 0, (
                "they listen while it waits"
            )
        await world.until(lambda: world.glasses.journal.saved == 1, "it is saved")
        await listens(world)
        assert lit() and not dark
        assert sum(line.startswith("rename") for line in disk.log) == 1

    run_world(folder, test, listen=False)


# --- settings ----------------------------------------------------------------------------------------


def test_a_setting_makes_running_glasses_listen(folder: Path) -> None:
    equip(folder, wakeword="")

    async def test(world: World) -> None:
        assert world.listener is not None and world.listener.client is not None
        client = world.listener.client
        await asyncio.sleep(1)
        assert world.glasses.listener is None and not world.chip.i2s.sessions
        with pytest.raises(Refused, match="no model hey_you"):
            await client.request("set", name="wakeword", value="okay_nabu, hey_you")
        with pytest.raises(Refused, match="no model's name"):
            await client.request("set", name="wakeword", value="../settings")
        await client.request("set", name="wakeword", value="okay_nabu")
        await listens(world)
        normal = world.glasses.listener._detector.networks[0].cutoff
        for sensitivity, cutoff in (("low", normal + (255 - normal) // 2), ("high", normal - normal // 4)):
            await client.request("set", name="sensitivity", value=sensitivity)
            assert not world.chip.i2s.running(0), "settings are written with the microphone off"
            await listens(world)
            assert world.glasses.listener._detector.networks[0].cutoff == cutoff
        await client.request("set", name="wakeword", value="")
        await asyncio.sleep(1)
        assert not world.chip.i2s.running(0) and world.glasses.power.state == "connected"
        assert json.loads((folder / "settings.json").read_text()) == {"sensitivity": "high"}

    run_world(folder, test)


def test_a_model_that_comes_or_goes_meanwhile(folder: Path) -> None:
    equip(folder, on_wake="event")
    (folder / "wakeword" / "okay_nabu.mww").unlink()

    async def test(world: World) -> None:
        assert world.listener is not None and world.listener.client is not None
        client = world.listener.client
        await asyncio.sleep(1)
        assert "no model okay_nabu" in world.glasses.listener.why_not
        await client.add_model("okay_nabu", model())
        await listens(world)
        await client.add_model("okay_nabu", model("alexa"))
        await listens(world)
        assert world.glasses.listener.heard_for() == "Alexa"
        await said(world, WORD, 0.2, "alexa", after=1)
        assert world.glasses.listener.wakes == 1
        await client.remove_model("okay_nabu")
        await asyncio.sleep(1)
        assert (
            world.glasses.listener.why_not == "the setting wakeword is empty"
            and not world.chip.i2s.running(0)
        )

    run_world(folder, test)


def test_two_models_at_once(folder: Path) -> None:
    equip(folder, "okay_nabu", "alexa")

    async def test(world: World) -> None:
        await listens(world)
        await said(world, "alexa", 0.3, QUESTION, 4.5, WORD, 0.3, QUESTION)
        recordings = await world.complete(2)
        assert [r.meta["wake"]["model"] for r in recordings] == ["alexa", "okay_nabu"]

    run_world(folder, test)


def test_the_app_alone_may_be_told(folder: Path) -> None:
    equip(folder, on_wake="event")

    async def test(world: World) -> None:
        told: list[Any] = []
        world.glasses.bus.on("wake", lambda event: told.append(event.value["phrase"]))
        await listens(world)
        await said(world, WORD, 0.3, QUESTION)
        assert told == ["Okay Nabu"]
        assert world.glasses.listener.on and world.glasses.journal.recordings == []

    run_world(folder, test)


# --- limits ------------------------------------------------------------------------------------------


def test_a_board_without_room_refuses_with_the_figure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    equip(folder)

    async def test(world: World) -> None:
        listener = importlib.import_module("glasses.listener")
        monkeypatch.setattr(listener.gc, "mem_free", lambda: 100_000, raising=False)
        await world.restart()
        await world.until(lambda: world.glasses is not None and world.glasses.running, "they run")
        await asyncio.sleep(1)
        status = world.glasses.status()["wakeword"]
        assert not status["on"] and not world.chip.i2s.running(0)
        assert status["why_not"] == "okay_nabu needs 75 KB of memory beside 32 for all else, and 97 are free"
        assert world.glasses.power.state != "listening"

    run_world(folder, test, listen=False)


@pytest.mark.parametrize("damage", ["short", "bits", "text", "empty", "gone"])
def test_a_damaged_model_is_refused_and_all_else_works(folder: Path, damage: str) -> None:
    equip(folder)
    path = folder / "wakeword" / "okay_nabu.mww"
    content = bytearray(model())
    content[20000] ^= 1
    path.write_bytes(
        {"short": model()[:30000], "bits": bytes(content), "text": b"hello " * 20}.get(damage, b"")
    )
    if damage == "gone":
        path.unlink()

    async def test(world: World) -> None:
        await asyncio.sleep(1)
        listener = world.glasses.listener
        assert not listener.on and listener.why_not
        logged = [line for line in world.glasses.log.lines if line[1:3] == (3, "wakeword")]
        assert len(logged) == 1, "once, not for ever"
        await world.talk(0.8)
        (recording,) = await world.complete(1)
        assert recording.crc_ok

    run_world(folder, test)


def test_a_program_that_is_late_skips_steps_and_hears_the_next_word(folder: Path) -> None:
    equip(folder)

    async def test(world: World) -> None:
        await listens(world)
        await asyncio.sleep(1)
        for stall_ms in (190, 190, 900):
            world.env.clock.sleep_us(stall_ms * 1000)
            await asyncio.sleep(0.5)
        counters = world.glasses.counters()
        assert counters["wakeword.skipped"] > 0
        assert counters["wakeword.gaps"] >= 1, "900 ms are more than the driver keeps"
        await said(world, WORD, 0.2, QUESTION)
        await world.complete(1)

    run_world(folder, test)


def test_a_lead_has_no_hole(folder: Path) -> None:
    equip(folder, lead_ms=2000)

    async def test(world: World) -> None:
        await listens(world)
        _, (talk, _) = await asyncio.gather(stall_before_the_word(world), talk_after_it(world))
        (recording,) = await world.complete(1)
        assert world.glasses.counters()["wakeword.gaps"]
        begins, other = place(wav(recording.path), talk)
        assert other < 0.02 and begins > SETTLED_S - 0.3, "it begins after what was lost"

    async def stall_before_the_word(world: World) -> None:
        await asyncio.sleep(SETTLED_S - 0.9)
        world.env.clock.sleep_us(600_000)

    async def talk_after_it(world: World) -> Any:
        pcm, spans, _ = await said(world, WORD, 0.2, QUESTION)
        return pcm, spans

    run_world(folder, test)


# --- when --------------------------------------------------------------------------------------------


def test_for_minutes_after_use(folder: Path) -> None:
    equip(folder, listen_when="used", listen_min=1)

    async def test(world: World) -> None:
        await listens(world)
        deafen(world)
        await world.until(lambda: not world.glasses.listener.on, "they stop", 70)
        assert world.glasses.listener.why_not == "they were not used for 1 min"
        world.air.drop()
        await world.until(lambda: not world.glasses.link.connected, "the host is gone")
        await world.until(lambda: world.glasses.link.streaming, "and comes again")
        await asyncio.sleep(1)
        assert not world.glasses.listener.on, "that is no use"
        await world.tap()
        await listens(world)

    run_world(folder, test)


def test_when_charging(folder: Path) -> None:
    equip(folder, listen_when="charging")

    async def test(world: World) -> None:
        await listens(world)
        world.usb(False)
        await asyncio.sleep(1)
        assert not world.chip.i2s.running(0) and world.glasses.listener.why_not == "they are not charged"
        world.usb(True)
        await listens(world)

    run_world(folder, test)


def test_when_worn_and_a_board_that_cannot_tell(folder: Path) -> None:
    equip(folder, listen_when="worn")
    board = virtual_board()
    pin = board.PARTS["worn"]["pin"]

    async def test(world: World) -> None:
        await asyncio.sleep(1)
        assert not world.chip.i2s.sessions and world.glasses.listener.why_not == "they are not worn"
        world.chip.pins.drive(pin, 1)
        await listens(world)
        world.chip.pins.drive(pin, 0)
        await asyncio.sleep(1)
        assert not world.chip.i2s.running(0)

    run_world(folder, test, board=board)
    del board.PARTS["worn"]

    async def without(world: World) -> None:
        await asyncio.sleep(1)
        assert "cannot tell" in world.glasses.listener.why_not

    run_world(folder, without, board=board)


def test_not_with_a_battery_that_is_all_but_empty(folder: Path) -> None:
    equip(folder)

    async def test(world: World) -> None:
        await listens(world)
        deafen(world)
        world.usb(False)
        world.chip.analog.volts[8] = 1.72
        await world.until(lambda: not world.glasses.listener.on, "they stop", 600)
        assert world.glasses.listener.why_not == "the battery is all but empty"
        assert world.glasses.power.state != "listening"

    run_world(folder, test)
