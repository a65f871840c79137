"""Days on which glasses listen for a wake word: what it costs, and that nothing but time stands in for it."""

from __future__ import annotations

import asyncio
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lunette import boards
from lunette.commands.energy import curve_lines, day_lines
from lunette.energy import curve, hearing, plot
from lunette.energy.day import Day, Press, load
from lunette.energy.hearing import Hearing
from lunette.energy.run import DayResult, Player, play, world
from lunette.errors import LunetteError
from lunette.virtual.cpython import Environment, run
from lunette.wakeword import packaged

BOARD = "xiao_esp32s3_sense"
PAGE = Path(__file__).parents[2] / "docs" / "wakeword.md"
CLOCK_HZ = 160e6
CYCLES = 1.3
VECTORS, STEPS = 100, 100 / 3  # a second


def page() -> tuple[float, dict[str, float]]:
    """Of docs/wakeword.md: instructions of a vector, and of a step of each model, on xtensawin."""
    text = PAGE.read_text()
    vector = re.search(r"\| of which are executed, about \| ([\d,]+) \|", text)
    assert vector is not None
    rows = re.findall(r"\| (\w+) \| ([\d,]+) \| [\d.]+ \| ([\d.]+) \|", text)
    steps = {name: int(count.replace(",", "")) * float(each) for name, count, each in rows}
    return int(vector[1].replace(",", "")), steps


def share(*names: str) -> float:
    """Of the time that the chip computes, by the figures."""
    products = [hearing.products(hearing.model(name)) for name in names]
    steps = sum(hearing.STEP_INSTRUCTIONS + hearing.PRODUCT_INSTRUCTIONS * n for n in products)
    return (VECTORS * hearing.VECTOR_INSTRUCTIONS + STEPS * steps) * CYCLES / CLOCK_HZ


def listening_day(near: bool, words: str = "okay_nabu", seconds: float = 120) -> Day:
    day = Day(
        "near" if near else "alone",
        seconds=seconds,
        settings={"wakeword": words, "linger_s": 0, "awake_s": 5, "grace_s": 10},
    )
    day.near = [(0.0, seconds)] if near else []
    return day


@pytest.fixture(scope="module", params=["alone", "with a host"])
def played(request: pytest.FixtureRequest) -> DayResult:
    return play(listening_day(request.param == "with a host"), BOARD)


def busy_share(result: DayResult) -> float:
    """Of the time in which they listened, by what the onlooker's meter says of the CPU."""
    idle, busy = (boards.module(BOARD).CURRENTS["cpu"][160])[:2]
    ma = result.energy["listening"]["cpu"] * 3600 / result.seconds["listening"]
    return float((ma - idle) / (busy - idle))


# --- what it costs ----------------------------------------------------------------------------------------


def test_the_figures_are_those_of_the_page() -> None:
    vector, steps = page()
    assert vector == pytest.approx(hearing.VECTOR_INSTRUCTIONS, rel=0.05) and len(steps) == 4
    assert hearing.CYCLES == CYCLES and "at 1.3 cycles each" in PAGE.read_text()
    for name, instructions in steps.items():
        products = hearing.products(hearing.model(name))
        ours = hearing.STEP_INSTRUCTIONS + hearing.PRODUCT_INSTRUCTIONS * products
        assert ours == pytest.approx(instructions, rel=0.07), name


def test_the_cpu_is_busy_for_as_long_as_the_instructions_take(played: DayResult) -> None:
    # Switching the radio on takes 40 ms at each beacon, once in 10 s.
    assert busy_share(played) == pytest.approx(share("okay_nabu"), abs=0.005)
    assert not played.problems


def test_more_words_take_more_time_and_features_are_made_once() -> None:
    result = play(listening_day(True, "okay_nabu, alexa"), BOARD)
    assert busy_share(result) == pytest.approx(share("okay_nabu", "alexa"), abs=0.005)


def test_the_firmware_and_an_onlooker_come_to_the_same(played: DayResult) -> None:
    """Two accounts that share nothing but the board's table and how long the CPU was held up."""
    assert played.firmware is not None
    firmware, onlooker = played.firmware["listening"], played.energy["listening"]
    assert set(firmware) == set(onlooker) == {"cpu", "radio", "board", "mic", "light"}
    for consumer in ("cpu", "mic", "light"):
        assert firmware[consumer] == pytest.approx(onlooker[consumer], rel=0.005), consumer
    assert sum(firmware.values()) == pytest.approx(sum(onlooker.values()), rel=0.01)


def test_alone_the_radio_is_off_and_with_a_host_it_is_on(played: DayResult) -> None:
    radio = played.energy["listening"]["radio"] * 3600 / played.seconds["listening"]
    assert 52 < radio < 60 if played.day == "near" else 0.5 < radio < 8
    assert played.seconds["listening"] > 115
    assert {segment.kind for segment in played.segments} == {"standby", "listening"}


def test_hours_count_it(played: DayResult) -> None:
    ma = sum(played.energy["listening"].values()) * 3600 / played.seconds["listening"]
    assert played.hours_of_listening == pytest.approx(250 / ma)
    assert played.as_dict()["hours_of_listening"] == played.hours_of_listening
    assert played.hours_of_use == pytest.approx(250 / (played.mah * 3600 / 120))


def test_the_program_is_held_up_for_as_long_at_the_clock_that_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    idle = SimpleNamespace(busy_ms=7)
    runtime = SimpleNamespace(_instance=SimpleNamespace(idle=idle))
    monkeypatch.setitem(sys.modules, "glasses", runtime)  # type: ignore[arg-type]
    hears = Hearing([hearing.model("okay_nabu")])
    env, glasses = Environment(), SimpleNamespace(blocked_s=1.0)
    kernels = {name: hears.instead(name) for name in ("wakeword.features.quantise", "wakeword.layers.take")}

    async def main() -> None:
        loop = asyncio.get_running_loop()
        hears.attach(env, glasses)  # type: ignore[arg-type]
        for mhz in (80, 240):
            glasses.chip = SimpleNamespace(power=SimpleNamespace(freq_hz=mhz * 1_000_000))
            for name, times, instructions in (
                ("wakeword.features.quantise", 300, hearing.VECTOR_INSTRUCTIONS),
                (
                    "wakeword.layers.take",
                    100,
                    hearing.STEP_INSTRUCTIONS + hearing.PRODUCT_INSTRUCTIONS * 37_184,
                ),
            ):
                kernel = kernels[name]
                assert kernel is not None
                began, blocked, busy = loop.time(), glasses.blocked_s, idle.busy_ms
                for _ in range(times):
                    assert kernel(bytes(3), 1) == 0
                took = loop.time() - began
                assert took == pytest.approx(times * instructions * CYCLES / (mhz * 1e6), rel=1e-4)
                assert glasses.blocked_s - blocked == pytest.approx(took)
                assert idle.busy_ms - busy == pytest.approx(took * 1000, abs=1)
        assert (hears.vectors, hears.steps) == (600, 200)

    run(main())


def test_only_what_hears_a_word_is_not_computed() -> None:
    hears = Hearing([hearing.model("okay_nabu")])
    for name in ("dsp.adpcm.encode_frame", "dsp.pcm.copy", "dsp.i2s.pick"):
        assert hears.instead(name) is None
    names = ("wakeword.spectrum.window", "wakeword.layers.dense", "dsp.highpass.run", "dsp.activity.decide")
    functions = [hears.instead(name) for name in names]
    assert None not in functions
    assert len(set(functions)) == len(names), "the firmware compares kernels"


# --- nothing else is different ----------------------------------------------------------------------------


class Watched(Player):
    """What was counted by the end: by the firmware, and of vectors and steps that were not computed."""

    counters: dict[str, int]
    heard = (0, 0)

    def _result(self, phone: Any) -> DayResult:
        if self._hears is not None:
            self.heard = self._hears.vectors, self._hears.steps
        self.counters = sys.modules["glasses"]._instance.listener.counters()
        return super()._result(phone)


def watched(hears: Hearing | None) -> tuple[DayResult, Watched, str]:
    day = listening_day(False, seconds=40)
    day.presses = [Press(20, 3, True)]
    with world(1, day.start_s, day.settings, hears) as (env, printed):
        player = Watched(day, BOARD, env, lambda seconds: None, hears)
        result = run(player.play())
    return result, player, printed.getvalue()


def test_with_the_real_kernels_they_do_the_same_at_the_same_times() -> None:
    quick, counted, _ = watched(Hearing([hearing.model("okay_nabu")]))
    real, there, said = watched(None)
    quick_counters, real_counters = counted.counters, there.counters
    # Whether they may listen again is looked at every quarter of a second: until then it is standby.
    states = [[state for state in result.states if state[1] - state[0] > 0.26] for result in (quick, real)]
    assert [state[2:4] for state in states[0]] == [state[2:4] for state in states[1]]
    assert "active" in quick.seconds and "listening" in quick.seconds
    for ours, theirs in zip(*states, strict=True):
        assert ours[:2] == pytest.approx(theirs[:2], abs=0.26), ours[2]
    frames = real_counters["wakeword.frames"]
    assert abs(quick_counters["wakeword.frames"] - frames) <= 1 and frames > 1500
    assert quick_counters["wakeword.skipped"] == quick_counters["wakeword.gaps"] == 0
    assert quick_counters["wakeword.wakes"] == real_counters["wakeword.wakes"] == 0
    # Windows are of 30 ms, 10 ms apart, and begin anew with the microphone.
    assert counted.heard[0] == pytest.approx(2 * frames, abs=8)
    assert counted.heard[1] == pytest.approx(2 * frames / 3, abs=4)
    assert quick.received == pytest.approx(real.received, abs=0.05)
    assert "Error" not in said
    # Time that was computed away is what differs.
    assert busy_share(real) < 0.02 < 0.2 < busy_share(quick)


def test_a_day_without_a_word_is_played_as_ever() -> None:
    day = listening_day(False, "", 30)
    result = play(day, BOARD)
    assert "listening" not in result.seconds and result.hours_of_listening is None
    assert not any(line.startswith("listening") for line in day_lines([result]))


# --- days and curves --------------------------------------------------------------------------------------


def test_the_day_that_comes_with_lunette_listens_after_use() -> None:
    day = load("listening")
    assert day.settings["wakeword"] == curve.WORD and day.settings["listen_when"] == "used"
    assert day.settings["listen_min"] >= 10 and len(day.presses) >= 5


def test_names_of_the_setting() -> None:
    assert hearing.names("") == hearing.names(" , ") == []
    assert hearing.names("okay_nabu, alexa,okay_nabu") == ["okay_nabu", "alexa"]


def test_a_word_without_a_model_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LunetteError, match="there is no model nobody"):
        play(listening_day(False, "nobody"), BOARD)
    hearing.model.cache_clear()
    monkeypatch.setitem(sys.modules, "pymicro_wakeword", None)
    with pytest.raises(LunetteError, match="pip install pymicro-wakeword"):
        play(listening_day(False), BOARD)
    assert curve.listening_ma(BOARD, near=False) is None


def test_the_curve_has_what_listening_costs() -> None:
    alone, hosted = (curve.listening_ma(BOARD, near=near) for near in (False, True))
    assert alone is not None and hosted is not None
    currents = boards.module(BOARD).CURRENTS
    idle, busy = currents["cpu"][160]
    still = idle + share("okay_nabu") * (busy - idle)
    still += currents["mic"] + currents["light"] + currents["board"]
    # A beacon every 10 s: 120 ms of radio, 40 ms until it is on, some advertisements.
    assert still + 0.5 < alone < still + 1.5
    assert still + currents["radio"] < hosted < still + currents["radio"] + 2
    toy = curve.Curve("toy", 240.0, (2, 10), [9.0, 2.0], None, 0.02, 80.0, 90.0, 80, 30.0, 80.0)
    lines = curve_lines(toy)
    assert re.search(r"listening for a wake word +30\.000 +8\.0 hours", lines[-2])
    assert re.search(r"listening, a host connected +80\.000 +3\.0 hours", lines[-1])
    unknown = curve_lines(replace(toy, listening=None, listening_connected=None))
    assert packaged.INSTALL in unknown[-1] and len(unknown) == len(lines) - 1


def test_pictures_and_tables(played: DayResult, tmp_path: Path) -> None:
    plot.draw_days(tmp_path / "day.png", [played])
    assert (tmp_path / "day.png").read_bytes().startswith(b"\x89PNG")
    toy = curve.Curve("toy", 240.0, (2, 10), [9.0, 2.0], None, 0.02, 80.0, 90.0, 80, 30.0, 80.0)
    plot.draw_curves(tmp_path / "curve.png", [toy])
    lines = [line for line in day_lines([played]) if line.startswith("listening")]
    assert f"{played.hours_of_listening:.1f} h on a full battery" in lines[0]
    assert re.search(r" mAh in +2\.0 min", lines[1])
