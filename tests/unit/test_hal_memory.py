from __future__ import annotations

import asyncio
import datetime

import pytest
from hal_rig import Rig, with_chip
from hypothesis import given, settings
from hypothesis import strategies as st

# --- RTC ----------------------------------------------------------------------------------------------


@with_chip()
async def test_rtc_memory(rig: Rig) -> None:
    rtc = rig.machine.RTC()
    assert rtc.memory() == b""
    rtc.memory(bytearray(range(256)) * 8)
    assert rtc.memory() == bytes(range(256)) * 8
    with pytest.raises(ValueError, match="buffer too long"):
        rtc.memory(bytes(2049))
    assert len(rig.machine.RTC().memory()) == 2048
    rtc.memory(b"")
    assert rtc.memory() == b""


@with_chip()
async def test_the_clock_runs(rig: Rig) -> None:
    rtc = rig.machine.RTC()
    assert rtc.datetime() == (2000, 1, 1, 5, 0, 0, 0, 0)
    await asyncio.sleep(86400 * 31 + 1.5)
    assert rtc.datetime() == (2000, 2, 1, 1, 0, 0, 1, 500000)


_dates = st.datetimes(datetime.datetime(2000, 1, 1), datetime.datetime(2099, 12, 31))


@settings(max_examples=10, deadline=None)
@given(st.lists(_dates, min_size=30, max_size=30))
def test_dates_agree_with_the_calendar(dates: list[datetime.datetime]) -> None:
    @with_chip()
    async def check(rig: Rig) -> None:
        rtc = rig.machine.RTC()
        for when in dates:
            day = (when.year, when.month, when.day)
            clock = (when.hour, when.minute, when.second, when.microsecond)
            rtc.datetime((*day, 0, *clock))
            assert rtc.datetime() == (*day, when.weekday(), *clock)

    check()


# --- timers -------------------------------------------------------------------------------------------


def times_of(rig: Rig, **options: object) -> tuple[object, list[float]]:
    loop = asyncio.get_running_loop()
    seen: list[float] = []
    number = options.pop("id", 0)
    timer = rig.machine.Timer(number)
    timer.init(callback=lambda t: seen.append(round(loop.time(), 6)), **options)
    return timer, seen


@with_chip()
async def test_periodic_and_one_shot(rig: Rig) -> None:
    Timer = rig.machine.Timer
    timer, seen = times_of(rig, period=3, mode=Timer.PERIODIC)
    _, once = times_of(rig, id=1, period=5, mode=Timer.ONE_SHOT)
    _, fast = times_of(rig, id=2, freq=1000)
    await asyncio.sleep(0.0101)
    assert seen == [0.003, 0.006, 0.009] and once == [0.005] and len(fast) == 10
    assert timer is Timer(0)
    timer.deinit()
    await asyncio.sleep(1)
    assert len(seen) == 3


@with_chip()
async def test_virtual_timers_tick_in_steps_of_ten(rig: Rig) -> None:
    a, seen_a = times_of(rig, id=-1, period=25)
    b, seen_b = times_of(rig, id=-1, period=30)
    assert a is not b
    await asyncio.sleep(0.0701)
    assert seen_a == [0.02, 0.04, 0.06] and seen_b == [0.03, 0.06]
    with pytest.raises(ValueError, match="period too small"):
        rig.machine.Timer(-1, period=9)
    assert b.value() == 2  # ticks left


@pytest.mark.parametrize(("name", "count"), [("esp32s3", 4), ("esp32c3", 2)])
def test_hardware_timers_are_few(name: str, count: int) -> None:
    @with_chip(name)
    async def check(rig: Rig) -> None:
        rig.machine.Timer(count - 1)
        with pytest.raises(ValueError, match=f"invalid Timer number, max {count}"):
            rig.machine.Timer(count)
        with pytest.raises(ValueError, match="hard"):
            rig.machine.Timer(0, period=5, hard=True)
        with pytest.raises(ValueError, match="timer not set"):
            rig.machine.Timer(0).value()

    check()


# --- NVS and heap -----------------------------------------------------------------------------------------


def code(error: pytest.ExceptionInfo[OSError]) -> int:
    return -error.value.args[0]


@with_chip()
async def test_nvs_keeps_what_was_committed(rig: Rig) -> None:
    NVS = rig.esp32.NVS
    nvs = NVS("glasses")
    nvs.set_i32("n", -7)
    nvs.set_blob("b", b"\0\1\2" * 2000)
    buffer = bytearray(6000)
    assert nvs.get_i32("n") == -7
    assert nvs.get_blob("b", buffer) == 6000 and bytes(buffer) == b"\0\1\2" * 2000
    NVS("other").set_i32("x", 1)
    nvs.commit()
    rig.chip.reset("power_on")
    assert nvs.get_i32("n") == -7
    with pytest.raises(OSError) as caught:
        NVS("other").get_i32("x")
    assert code(caught) == 0x1102
    nvs.erase_key("n")
    with pytest.raises(OSError):
        nvs.get_i32("n")
    rig.chip.memory.wipe_nvs()
    with pytest.raises(OSError):
        nvs.get_blob("b", buffer)


@with_chip()
async def test_nvs_limits(rig: Rig) -> None:
    NVS = rig.esp32.NVS
    nvs = NVS("n" * 15)
    with pytest.raises(OSError):
        NVS("n" * 16)
    with pytest.raises(OSError):
        NVS("")
    with pytest.raises(OSError) as caught:
        nvs.set_i32("k" * 16, 1)
    assert code(caught) == 0x1109
    with pytest.raises(OverflowError):
        nvs.set_i32("k", 1 << 31)
    nvs.set_blob("k", b"12345")
    with pytest.raises(OSError) as caught:
        nvs.get_blob("k", bytearray(4))
    assert code(caught) == 0x110C
    with pytest.raises(OSError) as caught:
        nvs.get_i32("k")
    assert code(caught) == 0x1102
    nvs.set_blob("big", bytes(19000))
    with pytest.raises(OSError) as caught:
        nvs.set_blob("more", bytes(4000))
    assert code(caught) == 0x1105
    nvs.set_blob("big", bytes(18000))  # replacing counts the new one only
    with pytest.raises(OSError) as caught:
        nvs.set_blob("huge", bytes(40000))
    assert code(caught) == 0x110E


@with_chip()
async def test_heap_figures(rig: Rig) -> None:
    rig.chip.memory.heaps = [(100, 50, 40, 30), (1 << 23, 3, 2, 1)]
    assert rig.esp32.idf_heap_info(rig.esp32.HEAP_DATA) == [(100, 50, 40, 30), (1 << 23, 3, 2, 1)]
    assert rig.esp32.mcu_temperature() == 40
