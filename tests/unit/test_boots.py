"""The number of a start: it rises, but not on a wake from deep sleep; power loss and new flash included."""

from __future__ import annotations

import builtins
import os
from pathlib import Path
from typing import Any

import pytest
from restarts import Restarts, restarting


def resume(restarts: Restarts) -> Any:
    return restarts.module("boots").resume_numbers()


@restarting
async def numbers_rise(restarts: Restarts) -> None:
    Path("boot.count").write_text("16")
    assert resume(restarts) == (272, 0)  # power-on: 256 further, which is kept at once
    assert Path("boot.count").read_text() == "272"
    for i, cause in enumerate(("hard", "wdt", "soft"), 273):
        restarts.module("retained").retained.put("n", 9)
        restarts.reset(cause)
        assert resume(restarts) == (i, 0)
    assert Path("boot.count").read_text() == "272"  # retained memory counted
    restarts.reset("power_on")
    assert resume(restarts) == (528, 0)
    assert not Path("boot.count.new").exists()


def test_numbers_rise(folder: Path) -> None:
    numbers_rise()


@restarting
async def sleep_resumes(restarts: Restarts) -> None:
    boot, n = resume(restarts)
    assert n == 0
    for given in (0, 5, 60000):
        restarts.module("retained").retained.put("n", given)
        await restarts.sleep(100)
        assert resume(restarts) == (boot, given)
    restarts.module("retained").retained.put("n", 60001)
    await restarts.sleep(100)
    assert resume(restarts) == ((boot + 1) & 0x3FFF, 0)


def test_a_wake_from_deep_sleep_goes_on_counting(folder: Path) -> None:
    sleep_resumes()


@restarting
async def strange_memory(restarts: Restarts) -> None:
    boot = resume(restarts)[0]
    retained = restarts.module("retained").retained
    strange: tuple[dict[str, Any], ...] = (
        {"n": None},
        {"n": -1},
        {"n": "5"},
        {"boot": "x"},
        {"boot": 99999},
        {"boot": -4},
    )
    for values in strange:
        retained.put_all({"boot": boot, "n": 5} | values)
        await restarts.sleep(10)
        after = resume(restarts)
        assert after[1] == 0 and after[0] != boot
        boot = after[0]
        retained = restarts.module("retained").retained
    for memory in (b"", b"LU\x05\x00", restarts.chip.memory.rtc_memory[:-1]):
        restarts.chip.memory.rtc_memory = memory
        before = int(Path("boot.count").read_text())
        await restarts.sleep(10)
        assert resume(restarts) == ((before + 256) & 0x3FFF, 0)


def test_memory_that_is_not_intact(folder: Path) -> None:
    strange_memory()


@restarting
async def rollover(restarts: Restarts) -> None:
    Path("boot.count").write_text("0")
    resume(restarts)
    restarts.module("retained").retained.put("boot", 511)
    restarts.reset("hard")
    assert resume(restarts) == (512, 0) and Path("boot.count").read_text() == "512"
    restarts.module("retained").retained.put("boot", 0x3FFF)
    restarts.reset("hard")
    assert resume(restarts) == (0, 0) and Path("boot.count").read_text() == "0"


def test_the_file_is_kept_ahead_of_every_loss(folder: Path) -> None:
    rollover()


@restarting
async def new_flash(restarts: Restarts) -> None:
    boots = set()
    for text in (None, "", "no number", None):
        Path("boot.count").unlink(missing_ok=True)
        if text is not None:
            Path("boot.count").write_text(text)
        restarts.reset("power_on")
        boots.add(resume(restarts)[0])
        assert int(Path("boot.count").read_text()) in boots
    assert all(0 <= boot <= 0x3FFF for boot in boots)
    assert len(boots) > 1  # 1 in 16384**3 that they are alike


def test_new_flash_begins_anywhere(folder: Path) -> None:
    new_flash()


def test_a_full_file_system_does_not_keep_them_from_starting(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.open

    def full(path: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        if "w" in mode:
            raise OSError(28)
        return real(path, mode, *args, **options)

    @restarting
    async def check(restarts: Restarts) -> None:
        monkeypatch.setattr(builtins, "open", full)
        try:
            first = resume(restarts)[0]
            restarts.reset("hard")
            assert resume(restarts)[0] == (first + 1) & 0x3FFF
        finally:
            monkeypatch.undo()

    Path("boot.count").write_text("16")
    monkeypatch.chdir(folder)
    check()
    assert os.listdir(folder) == ["boot.count"] and Path(folder, "boot.count").read_text() == "16"


@restarting
async def full_memory(restarts: Restarts) -> None:
    Path("boot.count").write_text("700")
    seen = []
    for cause in ("power_on", "hard", "wdt", "deepsleep", "hard"):
        restarts.reset(cause)
        retained = restarts.module("retained").retained
        if cause == "power_on":
            retained.put("hog", "x" * 2025)
        seen.append(resume(restarts)[0])
    retained.remove("hog")
    retained.put_all({"boot": 99, "n": 0})
    retained.put("hog", "x" * (2048 - retained.bytes() - len(',"hog":""')))
    for _ in range(3):  # the first would take one digit more
        restarts.reset("hard")
        seen.append(resume(restarts)[0])
    assert seen[-3] == 100
    assert len(set(seen)) == len(seen)


def test_without_room_in_memory_no_number_is_given_twice(folder: Path) -> None:
    full_memory()
