"""Boards: every mistake in their data is told with its key, and every pin that can work is let through."""

from __future__ import annotations

import copy
import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import thorough
from hypothesis import given, settings
from hypothesis import strategies as st

from lunette import boards, cli, paths
from lunette.boards import Board, wiring
from lunette.boards.drivers import check_parts, drivers
from lunette.boards.pins import advice, check_pins, used
from lunette.boards.subject import Subject, gpios
from lunette.chips import CHIPS
from lunette.errors import LunetteError
from lunette.virtual.chip.chip import Chip
from lunette.virtual.cpython import micropython_modules, run

NAMES = boards.names()
BOARDS = {name: boards.load(name) for name in NAMES}

# By hand, from datasheets and Seeed's and Espressif's pin lists: what each board's pins may be used for. The
# code derives the same from its tables, so a slip in one of them shows here.
HEADER = {
    "esp32_devkit": [36, 39, 34, 35, 32, 33, 25, 26, 27, 14, 12, 13, 23, 22, 21, 19, 18, 5, 17, 16, 4, 2, 15],
    "esp32s3_devkit": [*range(4, 19), 1, 2, 3, 21, 39, 40, 41, 42, 45, 46, 47],
    "virtual": [1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14],
    "xiao_esp32c3": [2, 3, 4, 5, 6, 7, 21, 10, 8, 20],
    "xiao_esp32s3_sense": [1, 2, 3, 4, 5, 6, 43, 9, 8, 7, 44],
}
STRAPPING = {"esp32": {0, 2, 5, 12, 15}, "esp32s3": {0, 3, 45, 46}, "esp32c3": {2, 8, 9}}
WAKES = {
    "esp32": {4, 13, 14, 25, 26, 27, 32, 33},  # with a pull of their own
    "esp32s3": {1, 2, *range(4, 19), 21},
    "esp32c3": {0, 1, 3, 4, 5},
}
ADC = {"esp32": set(range(32, 40)), "esp32s3": set(range(1, 21)), "esp32c3": {0, 1, 3, 4}}


ON_BOARD = {("xiao_esp32s3_sense", "mic"): {41, 42}}
# Where nothing is connected, on the header or not: not the LED's, memory's, USB's or the microphone's.
LOOSE = {"xiao_esp32s3_sense": {*range(19), *range(38, 41), *range(43, 49)}}


def fit_by_hand(board: Board, part: str, key: str) -> set[int]:
    pins = set(HEADER[board.name])
    if (board.name, part) in ON_BOARD:
        return LOOSE[board.name] if key == "ws" else ON_BOARD[board.name, part]
    if part == "talk":
        return pins & WAKES[board.chip]
    if part == "battery":
        return pins & ADC[board.chip] - STRAPPING[board.chip]
    if board.chip == "esp32" and (key in ("sck", "ws") or part in ("light", "buzzer")):
        pins -= set(range(34, 40))
    listened = key in ("sck", "ws") or (part, key) == ("speaker", "sd")
    return pins if listened else pins - STRAPPING[board.chip]


def check(board: Board, parts: dict[str, Any]) -> None:
    subject = Subject(board.name)
    check_parts(subject, board.chip_data, parts)
    check_pins(subject, board.chip_data, parts, board.hardware)


def moved(board: Board, part: str, key: str, pin: int) -> dict[str, Any]:
    parts = copy.deepcopy(board.parts)
    parts[part][key] = pin
    return parts


# --- pins -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_every_pin_of_every_part_is_let_through_or_refused_by_name(name: str) -> None:
    """All of them, one moved at a time: what is refused, why, and that what is offered instead works."""
    board = BOARDS[name]
    for part, key, own in used(board.chip_data, board.parts):
        others = {pin for p, k, pin in used(board.chip_data, board.parts) if (p, k) != (part, key)}
        fit = fit_by_hand(board, part, key) - others
        assert own in fit
        offered: set[str] = set()
        for pin in range(-2, 64):
            try:
                check(board, moved(board, part, key, pin))
            except LunetteError as error:
                assert pin not in fit, f"{part} {key} {pin}: {error}"
                where = f'PARTS["{part}"]["{key}"]'
                if pin in others:  # the later one of the two is at fault, the message names both
                    assert where in str(error) and f" is {pin}: " in str(error)
                    continue
                assert str(error).startswith(
                    (f"board {name}: {where} is {pin}: ", f"board {name}: {where} is -")
                )
                if pin >= 0:
                    offered.add(str(error).split("pick one of ")[1])
            else:
                assert pin in fit, f"{part} {key} {pin}"
        (text,) = offered  # the same whatever was wrong
        for first, last in re.findall(r"(\d+)(?: to (\d+))?", text):
            for pin in range(int(first), int(last or first) + 1):
                check(board, moved(board, part, key, pin))
                assert pin in fit


@pytest.mark.parametrize("name", NAMES)
def test_no_two_parts_share_a_pin(name: str) -> None:
    board = BOARDS[name]
    for part, key, _ in used(board.chip_data, board.parts):
        for other, k, pin in used(board.chip_data, board.parts):
            if (part, key) != (other, k):
                with pytest.raises(LunetteError, match=r"pick one of|no pin is left"):
                    check(board, moved(board, part, key, pin))


def test_reasons() -> None:
    for name, part, key, pin, reason in (
        ("xiao_esp32s3_sense", "talk", "pin", 3, "strapping pin"),
        ("xiao_esp32s3_sense", "talk", "pin", 44, "cannot wake the esp32s3"),
        ("xiao_esp32s3_sense", "light", "pin", 21, "taken by the board's user LED"),
        ("xiao_esp32s3_sense", "light", "pin", 40, "on no pin of the board's header"),  # detached: free
        ("xiao_esp32s3_sense", "light", "pin", 42, "taken by the board's PDM microphone"),
        ("xiao_esp32s3_sense", "mic", "clock", 5, "no pin of the board's PDM microphone, which WIRING says"),
        ("xiao_esp32s3_sense", "mic", "ws", 35, "taken by the PSRAM"),
        ("xiao_esp32s3_sense", "mic", "ws", 41, "already"),
        ("xiao_esp32s3_sense", "mic", "ws", 99, "esp32s3 has no such pin"),
        ("xiao_esp32s3_sense", "mic", "data", 19, "USB's"),
        ("xiao_esp32s3_sense", "mic", "data", 28, "the flash's"),
        ("xiao_esp32s3_sense", "battery", "pin", 43, "no ADC"),
        ("xiao_esp32c3", "battery", "pin", 5, "ADC2 of the esp32c3"),
        ("esp32_devkit", "talk", "pin", 34, "input only on the esp32 and has no pull"),
        ("esp32_devkit", "light", "pin", 35, "input only on the esp32, and an LED is driven"),
        ("esp32_devkit", "mic", "ws", 3, "taken by the board's USB bridge"),
        ("esp32_devkit", "mic", "sd", 4, 'that is PARTS["talk"]["pin"] already'),
    ):
        with pytest.raises(LunetteError, match=re.escape(reason)):
            check(BOARDS[name], moved(BOARDS[name], part, key, pin))


def test_the_classic_adc2_is_refused_and_an_input_only_button_needs_no_pull() -> None:
    board = BOARDS["esp32_devkit"]
    divider = {"driver": "battery", "pin": 26, "ratio": 2.0}
    with pytest.raises(LunetteError, match="ADC2 of the esp32: it does not work while the radio does"):
        check(board, {**board.parts, "battery": divider})
    check(board, {**board.parts, "battery": divider | {"pin": 34}})
    check(board, {**board.parts, "talk": {"driver": "button", "pin": 34, "pull": None}})


def test_a_speaker_has_a_port_of_its_own() -> None:
    speaker = {"driver": "i2s_speaker", "port": 1, "sck": 10, "ws": 11, "sd": 12}
    s3, c3 = BOARDS["esp32s3_devkit"], BOARDS["xiao_esp32c3"]
    for change, complaint in (
        ({"port": 0}, r'"port"\] is 0, which is PARTS\["mic"\]\["port"\] already; write 1$'),
        ({"port": 2}, r'"port"\] is 2, not a number from 0 to 1'),
        ({"level_db": 3}, r'"level_db"\] is 3, not a number from -40 to 0'),
        ({"enable": 99}, r'"enable"\] is 99: esp32s3 has no such pin; pick one of'),
        ({"enable": 45}, r'"enable"\] is 45: it is a strapping pin'),
        ({"sd": 11}, r'"sd"\] is 11: that is PARTS\["speaker"\]\["ws"\] already'),
        ({"mute": 13}, r'"mute"\] is no known key'),
    ):
        with pytest.raises(LunetteError, match=complaint):
            check(s3, {**s3.parts, "speaker": {**speaker, **change}})
    check(s3, {**s3.parts, "speaker": {**speaker, "level_db": -30.5, "enable": 13}})
    with pytest.raises(
        LunetteError, match=r"is 0, which .* already; the esp32c3 has no other: take a buzzer"
    ):
        check(c3, {**c3.parts, "speaker": {**speaker, "port": 0}})
    check(c3, {name: part for name, part in c3.parts.items() if name != "mic"})
    with pytest.raises(LunetteError, match='under the name "speaker" only'):
        check(s3, {**s3.parts, "beeper": speaker})


def test_a_buzzer_is_driven() -> None:
    s3, classic = BOARDS["esp32s3_devkit"], BOARDS["esp32_devkit"]
    check(s3, {**s3.parts, "buzzer": {"driver": "buzzer", "pin": 7, "level": 100}})
    for board, change, complaint in (
        (s3, {"pin": 3}, "strapping pin of the esp32s3: a buzzer there may stop the start"),
        (s3, {"level": 0}, r'"level"\] is 0, not a number from 1 to 100'),
        (classic, {"pin": 35}, "input only on the esp32, and a buzzer is driven"),
    ):
        with pytest.raises(LunetteError, match=complaint):
            check(board, {**board.parts, "buzzer": {"driver": "buzzer", "pin": 7, **change}})


def test_a_wear_sensor_is_read_with_the_pull_it_needs() -> None:
    classic = BOARDS["esp32_devkit"]
    sensor = {"driver": "worn_sense", "pin": 34}
    check(classic, {**classic.parts, "worn": sensor})
    for change, complaint in (
        ({"pull": "up"}, "input only on the esp32 and has no pull, which a sense wire needs"),
        ({"pull": "left"}, r'"pull"\] is \'left\''),
        ({"active": 2}, r'"active"\] is 2, not 0 or 1'),
    ):
        with pytest.raises(LunetteError, match=complaint):
            check(classic, {**classic.parts, "worn": sensor | change})
    with pytest.raises(LunetteError, match='under the name "worn" only'):
        check(classic, {**classic.parts, "nose": sensor})


def test_every_pin_of_a_part_has_a_wire_those_that_need_not_be_there_too(own: Callable[..., Board]) -> None:
    buzzer = BOARD.replace("PARTS = {", 'PARTS = {\n    "buzzer": {"driver": "buzzer", "pin": 7},')
    speaker = 'PARTS = {\n    "speaker": {"driver": "i2s_speaker", "port": 1, "sck": 7, "ws": 9, "sd": 10},'
    with pytest.raises(LunetteError, match=r'no wire for PARTS\["buzzer"\]\["pin"\]'):
        own(buzzer)
    wide = HARDWARE.replace("7, 8)", "7, 8, 10, 11)").replace(
        "WIRING = {",
        'WIRING = {\n    "speaker": {"what": "x", "wires": (("a", "sck"), ("b", "ws"), ("c", "sd"))},',
    )
    own(BOARD.replace("PARTS = {", speaker), wide)
    with pytest.raises(LunetteError, match=r'no wire for PARTS\["speaker"\]\["enable"\]'):
        own(BOARD.replace("PARTS = {", speaker.replace('"sd": 10', '"sd": 10, "enable": 11')), wide)
    enabled = wide.replace('("c", "sd"))', '("c", "sd"), ("SD", "enable"))')
    own(BOARD.replace("PARTS = {", speaker.replace('"sd": 10', '"sd": 10, "enable": 11')), enabled)


def test_adc1_is_what_is_offered() -> None:
    board = BOARDS["esp32s3_devkit"]
    divider = {"driver": "battery", "pin": 42, "ratio": 2.0}
    with pytest.raises(LunetteError, match=r"no ADC on the esp32s3; pick one of GPIO 7 to 10$"):
        check(board, {**board.parts, "battery": divider})


def test_what_works_but_is_worth_a_thought() -> None:
    board = BOARDS["esp32s3_devkit"]
    parts = copy.deepcopy(board.parts)
    parts["battery"] = {"driver": "battery", "pin": 12, "ratio": 2.0}
    parts["extra"] = {"driver": "button", "pin": 42}
    parts["worn"] = {"driver": "worn_sense", "pin": 41}
    del parts["light"]
    check(board, parts)
    notes = advice(board.chip_data, parts)
    words = ("ADC2", '"extra"', '"worn"', '"light"')
    assert [word for word in words if not any(word in note for note in notes)] == []
    assert all(advice(board.chip_data, board.parts) == [] for board in BOARDS.values())


def test_a_part_may_be_the_one_that_is_on_the_board(own: Callable[..., Board]) -> None:
    hardware = HARDWARE.replace(
        '"light": {"what": "LED", "wires": (("anode", "pin"), ("cathode", "GND"))}',
        '"light": {"what": "LED", "on_board": "user LED"}',
    )
    assert own(BOARD.replace('"led", "pin": 2', '"led", "pin": 21'), hardware).pin("light") == 21
    with pytest.raises(LunetteError, match=r'\["pin"\] is 7: it is no pin of the board\'s user LED'):
        own(BOARD.replace('"led", "pin": 2', '"led", "pin": 7'), hardware)


def test_pins_are_written_as_runs() -> None:
    assert gpios([]) == "none"
    assert gpios([3]) == "GPIO 3"
    assert gpios({9, 1, 2, 4, 5, 6}) == "GPIO 1, 2, 4 to 6, 9"


# --- data -----------------------------------------------------------------------------------------------

BOARD = """
NAME = "trial"
CHIP = "esp32s3"
JOURNAL_KB = 16
PARTS = {
    "talk": {"driver": "button", "pin": 1},
    "light": {"driver": "led", "pin": 2},
    "mic": {"driver": "i2s_microphone", "port": 0, "sck": 4, "ws": 5, "sd": 6},
    "battery": {"driver": "battery", "pin": 8, "ratio": 2.0},
}
"""
HARDWARE = """
TITLE = "Trial"
FLASH_MB = 8
PSRAM_MB = 8
PSRAM = "octal"
IMAGE = {"board": "ESP32_GENERIC_S3", "variant": "SPIRAM_OCT", "date": "20260406", "version": "v1.28.0"}
LEFT = ("3V3", 1, 2, 4, 5, 6, 7, 8)
RIGHT = ("GND", ("D9", 9), "BAT+")
ON_BOARD = {"user LED": (21,)}
WIRING = {
    "talk": {"what": "button", "wires": (("one", "pin"), ("other", "GND"))},
    "light": {"what": "LED", "wires": (("anode", "pin"), ("cathode", "GND"))},
    "mic": {"what": "mic", "wires": (("SCK", "sck"), ("WS", "ws"), ("SD", "sd"))},
    "battery": {"what": "R", "wires": (("+", "BAT+"), ("m", "pin"), ("-", "GND")), "between": ("1 kΩ",)},
}
BILL = ((1, "board", ""),)
"""


@pytest.fixture
def own(tmp_path: Path) -> Callable[..., Board]:
    """Load a board of these sources from a folder of its own."""

    def load(board: str = BOARD, hardware: str | None = HARDWARE) -> Board:
        folder = tmp_path / "trial"
        folder.mkdir(exist_ok=True)
        (folder / "board.py").write_text(board)
        (folder / "hardware.py").unlink(missing_ok=True)
        if hardware is not None:
            (folder / "hardware.py").write_text(hardware)
        return boards.load(str(folder))

    return load


WRONG_BOARD: list[tuple[str, str, str]] = [
    ('NAME = "trial"', "", "board.py does not set NAME; add it"),
    ('NAME = "trial"', 'NAME = "other"', "NAME says 'other', and the folder is trial; give both"),
    ('CHIP = "esp32s3"', 'CHIP = "esp8266"', "CHIP is 'esp8266', not 'esp32' or 'esp32s3' or"),
    ("JOURNAL_KB = 16", "JOURNAL_KB = 0", "JOURNAL_KB is 0, not a number from 4 to 4096; put that right"),
    ("JOURNAL_KB = 16", "JOURNAL_KB = 16\nJURNAL = 1", "board.py sets JURNAL, which nothing reads; "),
    (
        "JOURNAL_KB = 16",
        "JOURNAL_KB = 16\nFLASH_KB = 8192",
        "FLASH_KB is 8192: the image leaves 6144 KB of 8 MB",
    ),
    (
        "JOURNAL_KB = 16",
        "import machine\nJOURNAL_KB = 16",
        "board.py imports something in line 4; leave imports",
    ),
    ("JOURNAL_KB = 16", "JOURNAL_KB = = 16", "board.py, line 4: invalid syntax; put that right"),
    ("JOURNAL_KB = 16", "JOURNAL_KB = kb", "board.py: NameError: name 'kb' is not defined; put that right"),
    ('"driver": "led", ', "", 'PARTS["light"] lacks "driver"; it is one of button'),
    (
        '"led"',
        '"lamp"',
        'PARTS["light"]["driver"] is \'lamp\', which the firmware does not know; it is one of',
    ),
    (
        '"light":',
        '"lamp":',
        'PARTS["lamp"]: the firmware looks for a led under the name "light" only; call it',
    ),
    ('{"driver": "led", "pin": 2}', "2", 'PARTS["light"] is 2, not a dict; write {"driver": ...}'),
    ('"led", "pin": 2', '"led"', 'PARTS["light"] lacks "pin"; add it in board.py'),
    ('"led", "pin": 2', '"led", "pin": "2"', 'PARTS["light"]["pin"] is \'2\', not a number from'),
    ('"led", "pin": 2', '"led", "pin": True', 'PARTS["light"]["pin"] is True, not a number from'),
    (
        '"led", "pin": 2',
        '"led", "pin": 2, "aktive": 1',
        'PARTS["light"]["aktive"] is no known key; take it out of board.py (did you mean "active"?)',
    ),
    ('"led", "pin": 2', '"led", "pin": 2, "active": 2', 'PARTS["light"]["active"] is 2, not 0 or 1; put'),
    (
        '"led", "pin": 2',
        '"led", "pin": 2, "active": True',
        'PARTS["light"]["active"] is True, not 0 or 1; put',
    ),
    (
        '"pin": 1}',
        '"pin": 1, "pull": "down"}',
        'PARTS["talk"]["pull"] is \'down\' and "active" 0: it would always be pressed; write "pull": "up"',
    ),
    (
        '"pin": 1}',
        '"pin": 1, "pull": "high"}',
        "PARTS[\"talk\"][\"pull\"] is 'high', not 'up' or 'down' or None; put",
    ),
    ('"port": 0', '"port": 2', 'PARTS["mic"]["port"] is 2, not a number from 0 to 1; put'),
    (
        '"port": 0',
        '"port": 0, "ibuf": 4096',
        'PARTS["mic"]["ibuf"] is 4096, not a number from 6144 to 98304; put',
    ),
    ('"port": 0', '"port": 0, "channels": 3', 'PARTS["mic"]["channels"] is 3, not 1 or 2; put'),
    (
        '"port": 0',
        '"port": 0, "gain_db": 10',
        'PARTS["mic"]["gain_db"] is 10, not 0 or 6 or 12 or 18 or 24 or 30',
    ),
    (
        '"port": 0',
        '"port": 0, "channels": 2',
        'PARTS["mic"] has two channels and lacks "positions"; say where',
    ),
    (
        '"port": 0',
        '"port": 0, "channels": 2, "positions": ((0, 0, 0),)',
        'PARTS["mic"]["positions"] has 1, and "channels" is 2; give one for each',
    ),
    (
        '"port": 0',
        '"port": 0, "channels": 2, "positions": ((0, 0, 0), (0, 0))',
        'PARTS["mic"]["positions"] is ((0, 0, 0), (0, 0)), not a tuple of (x, y, z) in mm',
    ),
    (
        '"port": 0',
        '"port": 0, "channels": 2, "positions": ((70, 0, 0), (70, -5, 0))',
        'PARTS["mic"]["positions"] are 5 mm apart; two that work as one are 10 to 200 mm apart',
    ),
    (
        '"port": 0',
        '"port": 0, "mouth": (0, 20, -7500)',
        'PARTS["mic"]["mouth"] is (0, 20, -7500), not (x, y, z) in mm, each from -300 to 300; put',
    ),
    ('"sck": 4', '"sck": 99', 'PARTS["mic"]["sck"] is 99: esp32s3 has no such pin; pick one of GPIO 4, 7, 9'),
    (
        '"ratio": 2.0',
        '"ratio": 1.0',
        'PARTS["battery"]["ratio"] is 1.0: a full cell puts 4.20 V on the pin, and the '
        "esp32s3 reads 3.1 V at most; divide by 1.35 or more",
    ),
    (
        '"ratio": 2.0',
        '"ratio": 2.0, "empty_v": 4.3',
        'PARTS["battery"]["empty_v"] is 4.3, not below "full_v" (4.2)',
    ),
    ("PARTS = {", "PARTS = 5\n_ = {", "PARTS is 5, not a dict; put that right"),
]

WRONG_HARDWARE: list[tuple[str, str, str]] = [
    ('TITLE = "Trial"', "", "hardware.py does not set TITLE; add it"),
    ('TITLE = "Trial"', 'TITLE = ""', "TITLE is '', not a text; put that right in hardware.py"),
    ('TITLE = "Trial"', 'TITLE = "Trial"\nTOP = ()', "hardware.py sets TOP, which nothing reads; known are"),
    ("FLASH_MB = 8", "FLASH_MB = 7", "FLASH_MB is 7, not 1 or 2 or 4 or 8 or 16 or 32; put"),
    ('PSRAM = "octal"', "", "PSRAM is '', not 'quad' or 'octal'; put"),
    ('"date": "20260406", ', "", 'IMAGE lacks "date"; add it in hardware.py'),
    ("20260406", "6.4.2026", "IMAGE[\"date\"] is '6.4.2026', not YYYYMMDD; put"),
    ("v1.28.0", "latest", 'IMAGE["version"] is \'latest\', not a release like "v1.28.0"; put'),
    (
        '"variant":',
        '"varient":',
        'IMAGE["varient"] is no known key; take it out of hardware.py (did you mean "variant"',
    ),
    ('("D9", 9)', '("D9", "9")', "RIGHT[1] is ('D9', '9'); write (\"D0\", 1) or 1"),
    ('("D9", 9)', '("D9", 8)', 'the header has GPIO8 at "8" and at "D9"; put that right'),
    ('("D9", 9)', '("D9", 25)', 'the header has GPIO25 at "D9", and the esp32s3 has no such pin; put'),
    ("(21,)", "(21)", 'ON_BOARD["user LED"] is 21, not a tuple (is a comma missing?); put'),
    ("(21,)", "(99,)", 'ON_BOARD["user LED"][0] is 99, not a pin of the esp32s3; put'),
    (
        "BILL =",
        'DETACHED = ("camera",)\nBILL =',
        "DETACHED has 'camera', which is not in ON_BOARD; there are user LED",
    ),
    (
        '("SD", "sd")',
        '("SD", "sda")',
        'WIRING["mic"]["wires"][2] leads to \'sda\', which is neither a pin of the part '
        '"mic" nor power of the header; it can be sck, ws, sd, 3V3, BAT+, GND',
    ),
    (
        ', ("SD", "sd")',
        "",
        'WIRING has no wire for PARTS["mic"]["sd"]; add one to WIRING["mic"]: ("what it says there',
    ),
    ('("SD", "sd")', '("SD",)', 'WIRING["mic"]["wires"][2] is (\'SD\',); write ("SCK", "sck")'),
    (
        '("1 kΩ",)',
        '("1 kΩ", "", "")',
        'WIRING["battery"]["between"] has 3 entries for 3 wires; write one less',
    ),
    ('"what": "mic", ', "", 'WIRING["mic"] lacks "what"; add it'),
    (
        '"what": "mic"',
        '"of": "horn", "what": "mic"',
        'WIRING["mic"]["of"] is \'horn\', which is no part; the parts are',
    ),
    ('((1, "board", ""),)', '(("board", ""),)', "BILL[0] is ('board', ''); write (1, \"what\""),
]


@pytest.mark.parametrize(("old", "new", "message"), WRONG_BOARD)
def test_a_mistake_in_board_py_is_named(own: Callable[..., Board], old: str, new: str, message: str) -> None:
    assert old in BOARD
    with pytest.raises(LunetteError) as caught:
        own(BOARD.replace(old, new))
    assert str(caught.value).startswith(f"board trial: {message}")


@pytest.mark.parametrize(("old", "new", "message"), WRONG_HARDWARE)
def test_a_mistake_in_hardware_py_is_named(
    own: Callable[..., Board], old: str, new: str, message: str
) -> None:
    assert old in HARDWARE
    with pytest.raises(LunetteError) as caught:
        own(hardware=HARDWARE.replace(old, new))
    assert str(caught.value).startswith(f"board trial: {message}")


def test_what_is_loaded(own: Callable[..., Board]) -> None:
    board = own()
    assert board.image is not None and board.image.variant == "SPIRAM_OCT"
    assert board.image.name == "ESP32_GENERIC_S3-SPIRAM_OCT-20260406-v1.28.0.bin"
    assert board.image.url == f"https://micropython.org/resources/firmware/{board.image.name}"
    assert board.image.page == "https://micropython.org/download/ESP32_GENERIC_S3/"
    assert (board.flash_mb, board.psram_mb, board.journal_kb, board.title) == (8, 8, 16, "Trial")
    bare = own(hardware=None)
    assert bare.image is None and bare.flash_mb is None and bare.psram_mb == 0 and bare.title == "trial"


def test_images_are_for_their_chip() -> None:
    families = {"esp32": "ESP32_GENERIC", "esp32s3": "ESP32_GENERIC_S3", "esp32c3": "ESP32_GENERIC_C3"}
    for board in BOARDS.values():
        assert (board.image is None) == (board.name == "virtual")
        if board.image is not None:
            assert board.image.board == families[board.chip]
            assert (board.image.variant == "SPIRAM_OCT") == (board.psram_mb == 8)


GARBAGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.floats(),
    st.text(max_size=4),
    st.lists(st.integers()),
)


@settings(max_examples=75 * thorough.TIMES, deadline=None)
@given(st.data())
def test_whatever_is_written_is_taken_or_refused_with_its_key(data: st.DataObject) -> None:
    """One value of a part is replaced by anything: nothing but a LunetteError comes of it, which names it."""
    board = BOARDS[data.draw(st.sampled_from(NAMES))]
    parts = copy.deepcopy(board.parts)
    part = data.draw(st.sampled_from(sorted(parts)))
    known = drivers(board.chip_data)[parts[part]["driver"]]
    key = data.draw(st.sampled_from(["driver", *known.pins, *known.needed, *known.allowed, "other"]))
    parts[part][key] = data.draw(GARBAGE)
    try:
        check(board, parts)
    except LunetteError as error:
        # Of two parts that want the same the later one is at fault, and both are named.
        assert str(error).startswith(f'board {board.name}: PARTS["') and f'PARTS["{part}"]' in str(error)
        assert "; " in str(error)
    else:
        value = parts[part].get(key)
        assert key != "other" and type(value) in (int, float, str, type(None))


# --- on the glasses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_firmware_builds_every_board(name: str) -> None:
    """On its chip, less the pins of the board's PSRAM; the microphone starts, the divider reads."""
    board = BOARDS[name]
    kind = board.hardware.psram if board.hardware else ""
    with micropython_modules(paths.HAL, paths.FIRMWARE):

        async def main() -> None:
            chip = Chip(board.chip, reserved=board.chip_data.psram_pins.get(kind, ()))
            chip.attach_cpython(importlib.import_module("_port"))
            parts = importlib.import_module("glasses.board").Parts(SimpleNamespace(PARTS=board.parts))
            parts.make_rest()
            assert parts.problems == []
            parts.microphone.start()
            assert chip.pins.level(board.pin("light")) == board.parts["light"]["active"]
            parts.microphone.stop()
            if "battery" in board.parts:
                chip.analog.volts[board.pin("battery")] = 1.9
                assert parts.battery.volts() == pytest.approx(3.8, abs=0.02)
            assert not chip.errors

        run(main())


def test_hardware_is_not_copied_to_the_glasses() -> None:
    from lunette.virtual.simulator import firmware_files

    for board in BOARDS.values():
        files = firmware_files(board)
        assert "board.py" in files and not any("hardware" in name for name in files)


# --- names and paths ------------------------------------------------------------------------------------


def test_boards_are_found_by_name_and_by_folder(
    own: Callable[..., Board], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own()
    monkeypatch.chdir(tmp_path)
    for written in ("./trial", "trial/", "./trial/board.py", str(tmp_path / "trial")):
        assert boards.load(written).name == "trial"
        assert boards.where(written) == str(tmp_path / "trial")
        assert boards.module(written).CHIP == "esp32s3"
    assert boards.where("virtual") == "virtual"
    with pytest.raises(
        LunetteError, match=r"no board 'trial': take one of .* or a folder of your own, as in ./trial"
    ):
        boards.load("trial")
    with pytest.raises(LunetteError, match=r"no board.py in .*: write one"):
        boards.load("./nowhere")


# --- the command ----------------------------------------------------------------------------------------


def lunette(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.run(["boards", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = lunette(capsys)
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line for line in out.splitlines()[1:] if line.strip()}
    for name in NAMES:
        assert BOARDS[name].chip_data.title in rows[name]
        assert rows[name].endswith(BOARDS[name].image.name if BOARDS[name].image else "none")
    code, out, _ = lunette(capsys, "--json")
    assert [json.loads(line)["name"] for line in out.splitlines()] == NAMES


def test_one_board(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = lunette(capsys, "xiao_esp32c3")
    assert (code, err) == (0, "")
    for text in (
        "wake by      GPIO 0, 1, 3 to 5",
        "free         GPIO 20",
        "INMP441 microphone  WS                             D6      21",
        "1 x  LiPo cell",
        "https://micropython.org/download/ESP32_GENERIC_C3/",
        "asleep, only the button wakes  0.854 mA",
    ):
        assert text in out
    code, out, _ = lunette(capsys, "xiao_esp32c3", "--json")
    found = json.loads(out)
    assert found["image"]["url"].endswith("/ESP32_GENERIC_C3-20260406-v1.28.0.bin")
    assert {"thing": "LED, red", "terminal": "anode", "through": "1 kΩ", "to": "D10", "gpio": 10} in found[
        "wiring"
    ]


def test_a_broken_board_is_told_and_the_others_are_listed(
    capsys: pytest.CaptureFixture[str],
    own: Callable[..., Board],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "board.py").write_text("NAME = 1\n")
    monkeypatch.setattr(paths, "BOARDS", tmp_path)
    code, out, err = lunette(capsys)
    assert code == 1 and "trial" in out
    assert (
        err
        == "lunette: board broken: board.py does not set CHIP; add it (docs/new_board.md has an example)\n"
    )


def test_the_picture_as_a_file(
    capsys: pytest.CaptureFixture[str], own: Callable[..., Board], tmp_path: Path
) -> None:
    own()
    code, out, _ = lunette(capsys, str(tmp_path / "trial"), "--svg", str(tmp_path / "a.svg"))
    assert code == 0 and (tmp_path / "a.svg").read_text().startswith("<svg")
    code, out, _ = lunette(capsys, str(tmp_path / "trial"), "--svg", "-")
    assert code == 0 and out == (tmp_path / "a.svg").read_text()
    own(hardware=None)
    code, _, err = lunette(capsys, str(tmp_path / "trial"), "--svg", "-")
    assert code == 1 and "nothing to draw: give it a hardware.py" in err
    code, _, err = lunette(capsys, "--svg", "-")
    assert code == 2 and "need a board" in err


# --- what is made from the data -------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_picture_and_readme_are_as_the_data_says(name: str) -> None:
    """If this fails: `lunette boards NAME --write`, and look at the picture."""
    for path, text in wiring.files(BOARDS[name]).items():
        assert path.read_text() == text


def test_a_readme_keeps_what_is_its_own(own: Callable[..., Board]) -> None:
    board = own()
    first = wiring.updated("", board)
    assert first.startswith("# Trial\n\n<!-- wiring: ") and first.endswith("<!-- /wiring -->\n")
    stale = "# Mine\n\nBefore.\n\n<!-- wiring: old -->\n| x |\n<!-- /wiring -->\n\nAfter.\n"
    fresh = wiring.updated(stale, board)
    assert fresh.startswith("# Mine\n\nBefore.\n\n<!-- wiring: made") and fresh.endswith("-->\n\nAfter.\n")
    assert "| x |" not in fresh and wiring.updated(fresh, board) == fresh
    assert "| R | + | 1 kΩ | m | |" in fresh


def test_every_chip_of_a_board_is_known() -> None:
    assert {board.chip for board in BOARDS.values()} <= set(CHIPS)
