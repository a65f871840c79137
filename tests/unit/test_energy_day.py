"""Days: what their files may say, and that playing one gives figures that can be trusted."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jobs import divide

from lunette.commands.energy import curve_lines, day_lines
from lunette.energy import curve, plot, workers
from lunette.energy.cell import Cell
from lunette.energy.day import Day, Press, clock_text, load, names, parse
from lunette.energy.run import DayResult, play
from lunette.energy.states import Segment, merge
from lunette.errors import LunetteError
from lunette.virtual.cpython import run

BOARD = "xiao_esp32s3_sense"
HOUR = 3600.0


# --- the file ---------------------------------------------------------------------------------------------


def test_the_days_that_come_with_lunette() -> None:
    assert names() == ["heavy", "light", "listening"]
    heavy, light = load("heavy"), load("light")
    assert heavy.speech_s == HOUR and 0 < light.speech_s <= 600
    assert heavy.seconds == light.seconds == 24 * HOUR


def test_times_of_day_are_after_the_start() -> None:
    day = parse(
        {
            "start": "22:00",
            "phone": {"near": ["21:00-23:00"]},
            "usb": [{"from": "1:00", "to": "2:30"}],
            "tap": [{"at": "6:00"}],
            "talk": [{"every": "10 min", "from": "23:00", "to": "23:30", "for": "5 s"}],
        }
    )
    assert day.near == [(0, HOUR), (23 * HOUR, 24 * HOUR)]
    assert day.usb == [(3 * HOUR, 4.5 * HOUR)]
    assert [press.at_s for press in day.presses] == [HOUR, HOUR + 600, HOUR + 1200, 8 * HOUR]
    assert [press.talk for press in day.presses] == [True, True, True, False]
    assert clock_text(day.start_s, day.presses[-1].at_s) == "6:00"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"strat": "7:00"}, "unknown key strat"),
        ({"start": "7"}, "start = '7'"),
        ({"start": "25:00"}, "start"),
        ({"hours": 25}, "hours = 25"),
        ({"battery": True}, "battery = True"),
        ({"about": 1}, "about"),
        ({"settings": {"reach_s": -1}}, "[settings]: reach_s"),
        ({"settings": []}, "[settings]"),
        ({"link": {"interval_ms": 1}}, "[link]: interval_ms"),
        ({"link": {"seed": 1}}, "unknown key seed"),
        ({"phone": {"far": []}}, "unknown key far"),
        ({"phone": {"near": "9:00-10:00"}}, "near must be a list"),
        ({"phone": {"near": ["9:00"]}}, "near: '9:00'"),
        ({"phone": {"near": ["9:00-9:00"]}}, "no time at all"),
        ({"usb": [{"from": "9:00"}]}, "[[usb]] 1: to is missing"),
        ({"usb": {"from": "9:00", "to": "10:00"}}, "[[usb]], with two"),
        ({"talk": [{"at": "9:00"}]}, "[[talk]] 1: for is missing"),
        ({"talk": [{"at": "9:00", "for": "-3 s"}]}, "for = '-3 s'"),
        ({"talk": [{"at": "9:00", "for": "2 h"}]}, "longer than"),
        ({"talk": [{"at": "9:00", "for": "3 s", "every": "1 h"}]}, "every does not go with at"),
        ({"talk": [{"every": "1 h", "from": "9:00", "for": "3 s"}]}, "to is missing"),
        ({"tap": [{"at": "9:00", "for": "3 s"}]}, "unknown key for"),
        ({"tap": [{"every": "0.5 s", "from": "9:00", "to": "9:01"}]}, "every = '0.5 s'"),
        ({"tap": [{"every": "1 s", "from": "7:00", "to": "6:59"}]}, "every = '1 s' is"),
        ({"hours": 1, "tap": [{"at": "9:00"}]}, "after the day's end"),
        ({"talk": [{"at": ["9:00", "9:01"], "for": "61 s"}]}, "9:01 begins before"),
        ({"talk": [{"at": "6:59", "for": "61 s"}]}, "6:59 ends after the day"),
    ],
)
def test_what_is_wrong_is_named(data: dict[str, Any], said: str) -> None:
    with pytest.raises(LunetteError, match=re.escape(said)):
        parse(data)


def test_files_are_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[[tap]]\nat = "9:00"\n')
    assert load(str(path)).name == "mine"
    path.write_text("[[tap")
    for name, said in ((str(path), "is not TOML"), ("nobody", "no day 'nobody'"), (str(tmp_path), "no day")):
        with pytest.raises(LunetteError, match=said):
            load(name)


# --- playing ----------------------------------------------------------------------------------------------


def short_day(sleep: str) -> Day:
    """Speech, beacons, speech again with the phone back, awake to the end."""
    day = Day("short", seconds=600, settings={"sleep": sleep, "linger_s": 10, "grace_s": 10, "awake_s": 5})
    day.near = [(0.0, 200.0), (290.0, 600.0)]
    day.presses = [Press(150, 10, True), Press(250, 5, True), Press(590, 8, True)]
    return day


@pytest.fixture(scope="module", params=["deep", "light"])
def played(request: pytest.FixtureRequest) -> tuple[Day, DayResult]:
    day = short_day(request.param)
    return day, play(day, BOARD)


def test_what_is_said_arrives_and_they_sleep_in_between(played: tuple[Day, DayResult]) -> None:
    day, result = played
    assert result.talks == (3, 23.0)
    assert result.received[0] == 3 and 21.5 <= result.received[1] <= 23  # starting takes half a second
    assert result.lost_frames == 0 and not result.problems
    assert 40 <= result.beacons <= 55
    asleep = "light_sleep" if day.settings["sleep"] == "light" else "deep_sleep"
    assert result.energy["sleep"][asleep] > 0
    assert {s.kind for s in result.segments} == {"active", "connected", "standby", "asleep"}
    assert sum(s.seconds for s in result.segments) == pytest.approx(600)


def test_the_sum_over_consumers_is_the_total(played: tuple[Day, DayResult]) -> None:
    _, result = played
    assert sum(result.consumers.values()) == pytest.approx(result.mah)
    assert sum(s.mah for s in result.segments) == pytest.approx(result.mah)
    assert result.curve[-1][1] == pytest.approx(result.mah)
    assert result.battery_mah is not None and result.percent_end is not None
    assert 100 - result.percent_end == pytest.approx(100 * result.mah / result.battery_mah)
    assert sum(result.seconds.values()) == pytest.approx(600)


def test_the_firmware_and_an_onlooker_come_to_the_same(played: tuple[Day, DayResult]) -> None:
    """Two accounts that share nothing but the board's table."""
    _, result = played
    assert result.firmware is not None
    firmware = {state: sum(spent.values()) for state, spent in result.firmware.items()}
    assert sum(firmware.values()) == pytest.approx(result.mah, rel=0.05)
    for state, spent in result.energy.items():
        assert firmware[state] == pytest.approx(sum(spent.values()), rel=0.1), state


def test_a_day_gives_the_same_numbers_twice(played: tuple[Day, DayResult]) -> None:
    day, result = played
    if day.settings["sleep"] == "deep":  # one is enough
        assert play(day, BOARD).as_dict() == result.as_dict()


def test_an_empty_battery_ends_the_use_and_not_the_day() -> None:
    day = Day("empty", seconds=1500, percent=2.5, near=[], settings={"sleep": "never"})
    day.presses = [Press(1000, 5, True)]
    result = play(day, BOARD)
    assert result.empty_at_s is not None and 20 < result.empty_at_s < 500
    assert result.segments[-1].kind in ("off", "dark") and result.percent_end is not None
    assert result.received == (0, 0.0)
    assert any("off from then on" in line for line in day_lines([result]))


def test_without_charge_they_go_dark_until_the_cable_comes() -> None:
    day = Day("dark", seconds=400, percent=0.002, near=[], usb=[(300.0, 400.0)])
    result = play(day, BOARD)
    assert [s.kind for s in result.segments][-2:] == ["dark", "usb"]
    assert result.segments[-2].mah == 0 and result.segments[-2].seconds > 295
    assert result.usb_mah > 100 * 50 / 3600  # mA, s: they run


def test_the_cable_charges_and_is_not_the_batterys() -> None:
    day = Day("usb", seconds=900, percent=50, usb=[(0.0, 600.0)], near=[])
    day.settings = {"grace_s": 10, "awake_s": 5}
    result = play(day, BOARD)
    assert result.usb_mah > 5 * result.mah
    assert result.percent_end == pytest.approx(50 + 100 * 100 / 6 / 250 - 100 * result.mah / 250, abs=0.1)
    assert result.seconds["usb"] == pytest.approx(600)


# --- its pieces -------------------------------------------------------------------------------------------


def test_a_cell_is_charged_no_more_than_full_and_empties_again() -> None:
    async def main() -> None:
        import asyncio

        empty: list[float] = []
        loop = asyncio.get_running_loop()
        cell = Cell(100, 50, 60, lambda: empty.append(loop.time()))
        assert cell.left(10) == pytest.approx(40)
        cell.plug(10)
        await asyncio.sleep(1800)
        assert cell.left(15) == pytest.approx(70)  # what is used meanwhile is the cable's
        assert cell.volts(15, 80) > cell.curve(70)
        await asyncio.sleep(7200)
        assert cell.left(20) == 100
        cell.unplug(20)
        assert cell.left(70) == pytest.approx(50)
        assert cell.volts(70, 80) < cell.curve(50)
        assert cell.left(120) == 0 and cell.left(121) == 0
        await asyncio.sleep(1)
        assert len(empty) == 1

    run(main())


def test_beacons_are_sleep_and_waking_is_not() -> None:
    found = [
        (0.0, 10.0, "sleep", False, 1.0),
        (10.0, 10.5, "standby", False, 2.0),
        (10.5, 20.0, "sleep", False, 1.0),
        (20.0, 21.0, "standby", False, 2.0),
        (21.0, 30.0, "active", False, 5.0),
        (30.0, 40.0, "active", True, 5.0),
    ]
    assert merge(found) == [
        Segment(0, 20, "asleep", 4),
        Segment(20, 21, "standby", 2),
        Segment(21, 30, "active", 5),
        Segment(30, 40, "usb", 5),
    ]


def test_it_costs_less_to_be_found_later() -> None:
    deep = [curve.sleeping_ma(BOARD, "deep", reach, 17) for reach in (5, 60)]
    light = [curve.sleeping_ma(BOARD, "light", reach, 5) for reach in (5, 60)]
    drawer = curve.drawer_ma(BOARD)
    assert deep[0] > light[0] > light[1] > deep[1] > drawer > 0
    # Starts and beacons are the same charge however long the sleep between them.
    assert (deep[0] - drawer) * 5 == pytest.approx((deep[1] - drawer) * 60, rel=0.03)


def _curve() -> curve.Curve:
    light = [3.0, 1.0, 0.9]
    return curve.Curve("toy", 240.0, (2, 10, 60), [9.0, 2.0, 0.5], light, 0.02, 80.0, 90.0, 80)


def test_the_table_says_which_sleep_costs_less() -> None:
    lines = curve_lines(_curve())
    assert re.search(r"10 s +2\.000 +1\.000 +light +10\.0 days", lines[3])
    assert re.search(r"60 s +0\.500 +0\.900 +deep +20\.0 days", lines[4])
    assert re.search(r"drawer +0\.020 +500\.0 days", lines[5])
    assert re.search(r"connected, 80 MHz, idle +90\.000 +2\.7 hours", lines[7])


def test_pictures_and_tables(played: tuple[Day, DayResult], tmp_path: Path) -> None:
    _, result = played
    other = replace(result, day="other", battery_mah=None, percent_end=None)
    plot.draw_days(tmp_path / "days.png", [result, other])
    plot.draw_curves(tmp_path / "curve.png", [_curve()])
    for name in ("days.png", "curve.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    lines = day_lines([result, other])
    assert lines[0].split() == ["short", "other"]
    assert plot.NOTE in lines
    use = next(line for line in lines if line.startswith("use"))
    assert f"{result.hours_of_use:.1f} h on a full battery" in use


# --- workers ----------------------------------------------------------------------------------------------


def test_workers_give_results_in_order_and_errors_as_they_were() -> None:
    told: list[tuple[int, float]] = []
    jobs = [workers.Job(divide, (value,)) for value in (8, 9)]
    assert workers.run_all(jobs, lambda i, done: told.append((i, done))) == [8000, 4500]
    assert sorted(told) == [(0, 0.5), (1, 0.5)]
    with pytest.raises(LunetteError, match="not below 0"):
        workers.run_all([workers.Job(divide, (-1,))])
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        workers.run_all([workers.Job(divide, (7,))])
