"""What boards say of their battery and currents: there, sane, and every figure with its source."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from lunette import boards, paths
from lunette.errors import LunetteError

# Bounds within which a figure of this class of hardware must lie (mA, ms or mA ms): a slip of a unit or of a
# decimal point falls out.
SANE = {
    "boot": (10, 150),
    "boot_ms": (40, 2000),
    "load_file_ms": (0.5, 30),
    "load_kb_ms": (0.2, 30),
    "radio": (0.5, 100),
    "advertise": (20, 600),
    "connection": (5, 200),
    "byte": (0.1, 3),
    "deep_sleep": (0.003, 0.1),
    "light_sleep": (0.2, 5),
    "radio_ms": (5, 200),
    "board": (0.001, 30),
}
CPU = (5, 110)
PART = (0.05, 250)
SOURCE = re.compile(r"#.*\b(datasheet|thread|vendor|estimate)\b")
FIGURE = re.compile(r'^\s*("\w+"|\d+): [\d(]')

MINIMAL = """
NAME = "trial"
CHIP = "esp32s3"
JOURNAL_KB = 16
PARTS = {"mic": {"driver": "i2s_microphone", "port": 0, "sck": 4, "ws": 5, "sd": 6}}
BATTERY = {"mah": 250, "empty_v": 3.4, "full_v": 4.2}
CURRENTS = {
    "cpu": {80: (20, 30)}, "boot": 60, "boot_ms": 300, "load_file_ms": 4, "load_kb_ms": 3, "radio": 50,
    "advertise": 150, "connection": 30, "byte": 0.9, "deep_sleep": 0.01, "light_sleep": 1, "radio_ms": 40,
    "board": 0.02, "mic": 2,
}
"""


def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> boards.Board:
    """A board of that source, loaded."""
    (tmp_path / "trial").mkdir()
    (tmp_path / "trial" / "board.py").write_text(source)
    monkeypatch.setattr(paths, "BOARDS", tmp_path)
    return boards.load("trial")


def tables(board: boards.Board) -> list[str]:
    """The lines of a board's BATTERY and CURRENTS."""
    lines: list[str] = []
    inside = False
    for line in board.path.read_text().splitlines():
        inside = inside or line.startswith(("BATTERY =", "CURRENTS ="))
        if inside:
            lines.append(line)
        inside = inside and line != "}"
    return lines


@pytest.mark.parametrize("name", boards.names())
def test_a_board_knows_its_currents(name: str) -> None:
    currents = boards.load(name).currents
    assert currents is not None
    for key, value in currents.items():
        if key == "cpu":
            values = [ma for pair in value.values() for ma in pair]
            assert all(CPU[0] < ma < CPU[1] for ma in values)
            # Faster costs more, busy costs more than idle.
            for column in (0, 1):
                ordered = [value[mhz][column] for mhz in sorted(value)]
                assert ordered == sorted(ordered)
        else:
            low, high = SANE.get(key, PART)
            assert low < value < high, key


@pytest.mark.parametrize("name", boards.names())
def test_what_captures_or_shines_is_counted(name: str) -> None:
    board = boards.load(name)
    assert board.currents is not None
    for part, data in board.parts.items():
        if data["driver"] in ("i2s_microphone", "pdm_microphone", "led"):
            assert part in board.currents


@pytest.mark.parametrize("name", boards.names())
def test_every_figure_names_its_source(name: str) -> None:
    board = boards.load(name)
    figures = [line for line in tables(board) if FIGURE.match(line)]
    assert board.currents is not None
    # No figure hides in a line that this test does not look at.
    assert len(figures) == len(board.currents) - 1 + len(board.currents["cpu"]) + (
        3 if board.battery_mah else 0
    )
    assert [line for line in figures if not SOURCE.search(line)] == []


def firmware(name: str) -> dict[str, Any]:
    """What a firmware module without imports defines."""
    return runpy.run_path(str(paths.FIRMWARE / "glasses" / f"{name}.py"))


def test_clocks_are_those_the_power_states_ask_for() -> None:
    asked = {state.mhz for state in firmware("states")["TABLE"].values() if state.mhz}
    assert asked
    for name in boards.names():
        currents = boards.load(name).currents
        assert currents is not None and asked <= set(currents["cpu"])


@pytest.mark.parametrize("name", boards.names())
def test_pins_are_fit_for_what_they_do(name: str) -> None:
    """Buttons can wake the chip, nothing sits on a strapping pin, and no pin is used twice."""
    board = boards.load(name)
    wake = firmware("wake_sources")
    used: list[int] = []
    for data in board.parts.values():
        pins = [data[key] for key in ("pin", "sck", "ws", "sd", "clock", "data") if key in data]
        if data["driver"] == "pdm_microphone":
            pins.remove(data["ws"])  # nothing is connected to it
        if data["driver"] == "button":
            assert wake["check_pin"](board.chip, data["pin"]) == ""
        if data["driver"] == "battery" and board.chip == "esp32s3":
            assert data["pin"] in range(1, 11)  # ADC1; ADC2 shares its converter with the radio
        used += pins
    assert not set(used) & set(wake["STRAPPING"][board.chip])
    assert len(used) == len(set(used))


def test_batteries() -> None:
    assert boards.load("xiao_esp32s3_sense").battery_mah == 250
    assert boards.load("virtual").battery_mah == 250
    assert boards.load("esp32s3_devkit").battery_mah is None


def test_the_virtual_board_is_the_model_it_says_it_is() -> None:
    assert boards.load("virtual").currents == boards.load("xiao_esp32s3_sense").currents


def test_a_board_may_leave_both_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = trial(tmp_path, monkeypatch, MINIMAL.split("BATTERY")[0])
    assert board.battery_mah is None and board.currents is None


def test_what_is_there_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = trial(tmp_path, monkeypatch, MINIMAL)
    assert board.battery_mah == 250.0
    assert board.currents is not None and board.currents["cpu"][80] == (20, 30)


WRONG: list[tuple[str, str, Any]] = [
    ('"boot_ms": 300, ', "", 'CURRENTS lacks "boot_ms"'),
    ('"boot_ms": 300', '"boot_ms": "fast"', "CURRENTS[\"boot_ms\"] is 'fast', not a number above 0"),
    ('"byte": 0.9', '"byte": 0', 'CURRENTS["byte"] is 0, not a number above 0'),
    ('"byte": 0.9', '"byte": True', 'CURRENTS["byte"] is True, not a number above 0'),
    ('"byte": 0.9', '"byte": 1e999', 'CURRENTS["byte"] is inf, not a number above 0'),
    ('"cpu": {80: (20, 30)}, ', "", 'CURRENTS lacks "cpu"'),
    ("{80: (20, 30)}", "{}", 'CURRENTS["cpu"] is {}, not a dict of clocks'),
    ("(20, 30)", "20", 'CURRENTS["cpu"][80] is 20, not (idle, busy) in mA'),
    ("(20, 30)", "(30, 20)", 'CURRENTS["cpu"][80] is (30, 20), not (idle, busy) in mA'),
    ('"mic": 2,', '"horn": 2,', 'CURRENTS["horn"] is of no part of the board'),
    ('"mic": 2,', '"mic": -2,', 'CURRENTS["mic"] is -2, not a number above 0'),
    ('"mah": 250, ', "", 'BATTERY lacks "mah"'),
    ('"mah": 250', '"mah": None', 'BATTERY["mah"] is None, not a number above 0'),
    ('"empty_v": 3.4', '"empty_v": 4.3', 'BATTERY["empty_v"] is not below "full_v"'),
    ("CURRENTS = {", "CURRENTS = 5; _ = {", "CURRENTS is 5, not a dict"),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG)
def test_a_mistake_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, message: str
) -> None:
    assert old in MINIMAL
    with pytest.raises(LunetteError) as caught:
        trial(tmp_path, monkeypatch, MINIMAL.replace(old, new))
    assert str(caught.value).startswith(f"board trial: {message}; ")
