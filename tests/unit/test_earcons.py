"""Earcons: which sound comes when, what it sounds like at the amplifier or the piezo, and that it ends."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from world import World, run_world, virtual_board

from lunette import boards
from lunette.virtual.energy_meter import EnergyMeter

RATE = 16000
SPEAKER = {"driver": "i2s_speaker", "port": 1, "sck": 10, "ws": 11, "sd": 12, "enable": 13}
BUZZER = {"driver": "buzzer", "pin": 10}
START, STOP, ERROR = (1000, 1600), (1600, 1000), (800, 800)
NOTE_S = 0.04
LATEST_S = 0.02  # how much later than what it tells of
RING_S = 0.08  # what the driver may have to play first


def board(**parts: Any) -> Any:
    return virtual_board(PARTS={**virtual_board().PARTS, **parts})


def ended(world: World) -> list[Any]:
    """The playbacks, all over."""
    found = world.chip.i2s.playbacks
    assert all(session.ended is not None for session in found)
    return found


def pitches(pcm: Any) -> tuple[int, ...]:
    """The strongest frequency of each run of sound, of 40 ms at a time, in Hz."""
    found = []
    loud = np.convolve(np.abs(pcm.astype(float)), np.ones(160) / 160, "same") > 100
    edges = np.flatnonzero(np.diff(np.concatenate([[0], loud.astype(int), [0]])))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        count = round((end - begin) / RATE / NOTE_S)
        for note in np.array_split(pcm[begin:end], count):
            spectrum = np.abs(np.fft.rfft(note * np.hanning(len(note)), 1 << 14))
            found.append(round(np.argmax(spectrum) * RATE / (1 << 14), -1))
    return tuple(int(hz) for hz in found)


def times_of(world: World) -> list[tuple[str, float]]:
    """Filled with (event, when) as the glasses emit them."""
    seen: list[tuple[str, float]] = []
    loop = asyncio.get_running_loop()
    world.glasses.bus.now("*", lambda name, t, value: seen.append((name, loop.time())))
    return seen


def test_a_recording_begins_and_ends_with_a_sound(folder: Path) -> None:
    async def test(world: World) -> None:
        noise = np.random.default_rng(1).integers(-9000, 9000, 2 * RATE)
        world.say(noise)
        seen = times_of(world)
        pressed = asyncio.get_running_loop().time()
        await world.talk(0.8)
        (recording,) = await world.complete(1)
        await asyncio.sleep(0.5)
        start, stop = ended(world)
        when = dict(seen)
        assert when["recording"] == pytest.approx(pressed + 0.3, abs=0.02)
        for session, event, hz in ((start, "recording", START), (stop, "recorded", STOP)):
            assert session.port == 1
            assert when[event] <= session.started <= when[event] + LATEST_S
            assert session.ended - session.started <= 2 * NOTE_S + RING_S + LATEST_S
            assert pitches(session.played_pcm()) == hz
        # The microphone has run meanwhile, and nothing of its samples is lost.
        assert (recording.lost, recording.end["overruns"]) == (0, 0)
        (take,) = world.chip.i2s.takes
        assert take.port == 0 and take.started < start.started and start.ended < take.ended
        assert (take.dropped, take.refused) == (0, 0)
        assert world.glasses.counters()["earcons.played"] == 2
        assert world.glasses.counters()["earcons.failed"] == 0

    run_world(folder, test, board=board(speaker=SPEAKER))


@pytest.mark.parametrize("level_db", [-20, -30, -6])
def test_tones_are_soft_whole_and_without_a_click(folder: Path, level_db: int) -> None:
    async def test(world: World) -> None:
        from glasses import earcons

        for notes in (earcons.START, earcons.STOP, earcons.ERROR):
            world.glasses.earcons.play(notes)
            await asyncio.sleep(0.3)
            session = ended(world)[-1]
            pcm = session.played_pcm().astype(float)
            assert session.underruns == 0 and session.refused == 0
            assert len(pcm) == RATE * sum(ms for _, ms in notes) // 1000 <= 0.1 * RATE
            peak = 32767 * 10 ** (level_db / 20)
            assert np.max(np.abs(pcm)) == pytest.approx(peak, rel=0.001)
            assert abs(pcm[0]) <= 1 and abs(pcm[-1]) <= 0.01 * peak
            # A sine's steepest step is 2 pi f / rate; nothing is steeper, at the edges least of all.
            steps = np.abs(np.diff(np.concatenate([[0], pcm, [0]])))
            top = max(hz for hz, _ in notes)
            assert np.max(steps) <= 2 * np.pi * top / RATE * peak + 1
            assert max(steps[:8].max(), steps[-8:].max()) < 0.05 * peak
            # What is not near a note is far down: no clicks, no overtones.
            spectrum = np.abs(np.fft.rfft(pcm * np.blackman(len(pcm)), 1 << 14)) ** 2
            at = np.arange(len(spectrum)) * RATE / (1 << 14)
            own = np.any([np.abs(at - hz) < 300 for hz, _ in notes if hz], axis=0)
            assert spectrum[~own].sum() < 10**-4.5 * spectrum.sum()
            assert spectrum[at > 3000].sum() < 1e-6 * spectrum.sum()

    run_world(folder, test, listen=False, board=board(speaker={**SPEAKER, "level_db": level_db}))


def test_a_tap_is_silent(folder: Path) -> None:
    async def test(world: World) -> None:
        await world.tap()
        await asyncio.sleep(1)
        assert len(world.chip.i2s.takes) == 1 and ended(world) == []

    run_world(folder, test, board=board(speaker=SPEAKER))


def test_a_refusal_is_heard(folder: Path) -> None:
    async def test(world: World) -> None:
        world.glasses.voice._may_capture = lambda: "the battery is too low"
        await world.talk(0.6)
        await asyncio.sleep(0.5)
        assert [pitches(session.played_pcm()) for session in ended(world)] == [ERROR, ERROR]
        assert world.chip.i2s.takes == []

    run_world(folder, test, board=board(speaker=SPEAKER))


def test_a_microphone_that_does_not_start_is_heard(folder: Path) -> None:
    async def test(world: World) -> None:
        def broken() -> None:
            raise OSError(12)

        world.glasses.parts.microphone._begin = broken
        world.press()
        await asyncio.sleep(0.2)
        assert [pitches(session.played_pcm()) for session in ended(world)] == [ERROR]
        world.release()

    run_world(folder, test, board=board(speaker=SPEAKER))


def test_muted_glasses_say_so_to_who_holds_the_button(folder: Path) -> None:
    async def test(world: World) -> None:
        world.glasses.voice.muted = True
        await world.tap()
        await asyncio.sleep(0.6)
        assert ended(world) == []
        await world.talk(0.6)
        await asyncio.sleep(0.5)
        assert [pitches(session.played_pcm()) for session in ended(world)] == [ERROR]

    run_world(folder, test, board=board(speaker=SPEAKER))


def test_hands_free_sounds_when_it_begins_to_listen(folder: Path) -> None:
    async def test(world: World) -> None:
        bus = world.glasses.bus
        for name, value, heard in (
            ("listening", True, START),
            ("recording", 1, None),  # the first voice: not into that
            ("recorded", 1, STOP),
            ("listening", True, START),
            ("listening", False, STOP),  # nobody spoke
            ("recording", 2, START),
        ):
            before = len(ended(world))
            bus.emit(name, 0, value)
            await asyncio.sleep(0.3)
            new = [pitches(session.played_pcm()) for session in ended(world)[before:]]
            assert new == ([heard] if heard else []), name

    run_world(folder, test, listen=False, board=board(speaker=SPEAKER))


def test_the_setting_and_boards_without_a_sound(folder: Path) -> None:
    async def off(world: World) -> None:
        world.glasses.settings.set("earcons", False)
        await world.talk(0.6)
        await world.complete(1)
        assert world.chip.i2s.playbacks == []
        world.glasses.settings.set("earcons", True)  # counts at once
        await world.talk(0.6)
        await world.complete(2)
        await asyncio.sleep(0.3)
        assert len(ended(world)) == 2

    async def none(world: World) -> None:
        await world.talk(0.6)
        await world.complete(1)
        assert world.chip.i2s.playbacks == [] and len(world.chip.pwm.spans) == 0
        assert world.glasses.counters()["earcons.played"] == 0

    run_world(folder, off, board=board(speaker=SPEAKER))
    run_world(folder, none)


def test_the_wake_lock_and_the_amplifier_are_on_while_it_plays(folder: Path) -> None:
    async def test(world: World) -> None:
        from glasses import earcons

        glasses, pins = world.glasses, world.chip.pins
        loop = asyncio.get_running_loop()
        await world.until(lambda: glasses.power.state == "standby", "nobody needs them")
        assert pins.level(13) == 0
        glasses.earcons.play(earcons.START)
        began = loop.time()
        assert glasses.power.state == "active" and glasses.power.locks()["earcon"] == ("active", 1)
        assert glasses._depth(1000) == "idle" and pins.level(13) == 1
        await asyncio.sleep(0.05)
        assert glasses.power.holds("earcon")
        await world.until(lambda: not glasses.power.holds("earcon"), "it ends", 0.3)
        assert 2 * NOTE_S < loop.time() - began <= 2 * NOTE_S + RING_S + LATEST_S
        assert glasses.power.state == "standby" and pins.level(13) == 0
        assert not world.chip.i2s.running(1)
        # Asleep lightly, the clocks of the port would stand still.
        glasses.presence.radio.running = False
        glasses.power.holds = lambda owner: False  # no cable, no grace
        assert glasses._depth(1000) == "light"
        glasses.earcons.play(earcons.START)
        assert glasses._depth(1000) == "idle"
        glasses.earcons.stop()
        assert glasses._depth(1000) == "light"
        glasses.presence.radio.running = True

    run_world(folder, test, listen=False, board=board(speaker=SPEAKER))


def test_what_comes_next_is_not_kept_waiting(folder: Path) -> None:
    async def test(world: World) -> None:
        from glasses import earcons

        glasses = world.glasses
        glasses.earcons.play(earcons.START)
        await asyncio.sleep(0.03)
        glasses.earcons.play(earcons.ERROR)
        first, second = world.chip.i2s.playbacks
        assert first.ended == second.started and second.ended is None
        assert glasses.power.locks()["earcon"] == ("active", 1)
        await asyncio.sleep(0.3)
        assert pitches(ended(world)[1].played_pcm()) == ERROR
        assert not glasses.power.holds("earcon")
        glasses.earcons.stop()  # harmless

    run_world(folder, test, listen=False, board=board(speaker=SPEAKER))


@pytest.mark.parametrize("part", [{"speaker": SPEAKER}, {"buzzer": BUZZER}])
def test_no_tone_is_left_hanging(folder: Path, part: dict[str, Any]) -> None:
    """Switched off, or the task that ends it dies: Ctrl-C fell into it."""

    async def test(world: World) -> None:
        from glasses import earcons

        glasses, chip = world.glasses, world.chip

        def silent() -> bool:
            return not chip.i2s.running(1) and not chip.pwm.running(10) and chip.pins.level(13) == 0

        def die() -> int:
            glasses.earcons._part.step = step
            raise RuntimeError

        step = glasses.earcons._part.step
        glasses.earcons._part.step = die
        glasses.earcons.play(earcons.START)
        await asyncio.sleep(1.2)  # it is revived, and looks what was going on
        assert silent() and not glasses.earcons.playing and not glasses.power.holds("earcon")

        glasses.earcons.play(earcons.START)
        await asyncio.sleep(0.03)
        assert not silent()
        calls = []
        deepsleep = glasses.power.enter

        def enter(*args: Any) -> Any:
            found = deepsleep(*args)
            calls.append(silent())
            return found

        glasses.power.enter = enter
        glasses.off()
        await world.until(lambda: world.power.phase == "asleep", "they are off")
        assert True in calls, "the tone was to end before the chip was told to sleep"
        assert chip.pins.level(10) == 0

    run_world(folder, test, listen=False, board=board(**part))


def test_ctrl_c_ends_a_tone_before_there_is_a_prompt(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(world: World) -> None:
        from glasses import earcons, runtime

        def interrupted(coroutine: Any) -> None:
            coroutine.close()
            raise KeyboardInterrupt

        glasses = world.glasses
        monkeypatch.setattr(runtime.asyncio, "run", interrupted)
        monkeypatch.setattr(glasses, "run_behind_prompt", lambda: None)
        glasses.earcons.play(earcons.START)
        glasses.run()
        assert not world.chip.i2s.running(1) and not glasses.earcons.playing

    run_world(folder, test, listen=False, board=board(speaker=SPEAKER))


def test_a_port_that_is_not_to_be_had_disturbs_nothing(folder: Path) -> None:
    async def test(world: World) -> None:
        world.say(np.random.default_rng(2).integers(-9000, 9000, RATE))
        world.glasses.parts.speaker._port = 7
        await world.talk(0.6)
        (recording,) = await world.complete(1)
        assert recording.lost == 0
        counters = world.glasses.counters()
        assert (counters["earcons.played"], counters["earcons.failed"]) == (0, 2)
        assert not world.glasses.power.holds("earcon")
        assert any("no sound" in line[3] for line in world.glasses.log.lines)

    run_world(folder, test, board=board(speaker=SPEAKER))


def test_its_current_is_counted_inside_and_outside(folder: Path) -> None:
    data = board(speaker=SPEAKER)
    data.CURRENTS = {**data.CURRENTS, "speaker": 7.0}

    async def test(world: World) -> None:
        from glasses import earcons

        meter = EnergyMeter(world.power)
        world.glasses.earcons.play(earcons.START)
        await asyncio.sleep(1)
        world.glasses.account()
        (session,) = ended(world)
        outside = sum(spent.get("speaker", 0.0) for spent in meter.table().values())
        assert outside == pytest.approx(7.0 * (session.ended - session.started))
        inside = sum(spent.get("speaker", 0.0) for spent in world.glasses.meter.charges().values()) / 1000
        assert inside == pytest.approx(outside, rel=0.02)
        meter.close()

    run_world(folder, test, listen=False, board=data)


# --- buzzer -----------------------------------------------------------------------------------------------


def test_a_buzzer_plays_the_same(folder: Path) -> None:
    async def test(world: World) -> None:
        seen = times_of(world)
        await world.talk(0.6)
        await world.complete(1)
        await asyncio.sleep(0.3)
        world.glasses.voice.muted = True
        await world.talk(0.6)
        await asyncio.sleep(0.3)
        tones = world.chip.pwm.tones(10)
        assert [hz for hz, _, _ in tones] == pytest.approx([*START, *STOP, *ERROR], abs=1)
        when = dict(reversed(seen))
        for n, event in ((0, "recording"), (2, "recorded")):
            assert when[event] <= tones[n][1] <= when[event] + LATEST_S
        for _, began, until in tones:
            assert until is not None and until - began == pytest.approx(NOTE_S, abs=0.006)
        assert tones[1][1] == pytest.approx(tones[0][2], abs=0.001)  # without a gap
        assert tones[5][1] - (tones[4][2] or 0) == pytest.approx(0.02, abs=0.006)
        # Fades in and out in steps, and is a fifth of the loudest at most.
        duties = [span.duty for span in world.chip.pwm.spans if began_in(span, tones[0])]
        assert max(duties) == pytest.approx(0.1, abs=0.001)
        top = duties.index(max(duties))
        assert len(duties) >= 5 and duties[0] < 0.05 and duties[-1] < 0.05
        assert duties[:top] == sorted(duties[:top]) and duties[top:] == sorted(duties[top:], reverse=True)
        assert not world.chip.pwm.running(10) and world.chip.pins.level(10) == 0
        assert not world.chip.pins.pulsed(10), "its pin is a plain one again"
        assert world.chip.pins.mode(10) == 3

    def began_in(span: Any, tone: tuple[int, float, float | None]) -> bool:
        return span.duty > 0 and tone[1] <= span.began < (tone[2] or 0)

    run_world(folder, test, board=board(buzzer=BUZZER))


def test_a_buzzer_whose_program_is_late_goes_on_where_it_should_be(folder: Path) -> None:
    async def test(world: World) -> None:
        from glasses import earcons

        part = world.glasses.parts.buzzer
        part.play(earcons.START)
        loop: Any = asyncio.get_running_loop()
        loop.advance(0.05)
        assert part.step() > 0
        assert world.chip.pwm.tones(10)[-1][0] == pytest.approx(1600, abs=1)
        loop.advance(0.5)
        assert part.step() == 0
        part.stop()
        part.stop()
        assert world.chip.pins.level(10) == 0

    run_world(folder, test, listen=False, board=board(buzzer=BUZZER))


def test_boards_with_a_sound_are_what_docs_say() -> None:
    found = {
        name: [p for p in boards.load(name).parts if p in ("speaker", "buzzer")] for name in boards.names()
    }
    assert found["virtual"] == found["esp32s3_devkit"] == ["speaker"]
