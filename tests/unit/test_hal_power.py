from __future__ import annotations

import asyncio

import pytest
from hal_rig import Rig, with_chip

from lunette.virtual.chip.power import ChipStopped


def hooks(rig: Rig) -> list[tuple[object, ...]]:
    """Record what the simulator is told, with the time."""
    told: list[tuple[object, ...]] = []
    chip = rig.chip
    now = asyncio.get_running_loop().time
    chip.on_reset = lambda kind: told.append(("reset", kind, round(now(), 6)))
    chip.on_sleep = lambda ms: told.append(("sleep", ms, round(now(), 6)))
    chip.on_wake = lambda reason: told.append(("wake", reason, round(now(), 6)))
    chip.on_radio_off = lambda: told.append(("radio", "off", round(now(), 6)))
    return told


def deepsleep(rig: Rig, *ms: int) -> None:
    with pytest.raises(ChipStopped) as caught:
        rig.machine.deepsleep(*ms)
    assert caught.value.kind == "deepsleep"


# --- clock, causes, resets ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["esp32", "esp32s3", "esp32c3", "esp32c6"])
def test_clock_frequencies(name: str) -> None:
    @with_chip(name)
    async def check(rig: Rig) -> None:
        freq = rig.machine.freq
        good = [20, 40, 80, 160] + ([240] if name in ("esp32", "esp32s3") else [])
        for mhz in good:
            freq(mhz * 1_000_000)
            assert freq() == mhz * 1_000_000
        for mhz in {10, 120, 240, 320} - set(good):
            with pytest.raises(ValueError, match="frequency must be 20MHz"):
                freq(mhz * 1_000_000)

    check()


@with_chip()
async def test_constants_and_identity(rig: Rig) -> None:
    m = rig.machine
    assert (m.PWRON_RESET, m.HARD_RESET, m.WDT_RESET, m.DEEPSLEEP_RESET, m.SOFT_RESET) == (1, 2, 3, 4, 5)
    assert m.reset_cause() == m.PWRON_RESET and m.wake_reason() == 0
    assert m.unique_id() == rig.chip.unique_id and len(m.unique_id()) == 6
    m.enable_irq(m.disable_irq())


@with_chip()
async def test_a_hard_reset_does_not_return(rig: Rig) -> None:
    told = hooks(rig)
    with pytest.raises(ChipStopped):
        rig.machine.reset()
    await asyncio.sleep(0)
    assert ("reset", "hard", 0.0) in told
    assert rig.machine.reset_cause() == rig.machine.HARD_RESET


@with_chip()
async def test_a_soft_reset_ends_the_program(rig: Rig) -> None:
    told = hooks(rig)
    with pytest.raises(SystemExit):
        rig.machine.soft_reset()
    await asyncio.sleep(0)
    assert told == [("reset", "soft", 0.0)]
    assert rig.machine.reset_cause() == rig.machine.SOFT_RESET


@pytest.mark.parametrize("cause", ["power_on", "hard", "wdt", "deepsleep", "soft"])
def test_what_a_reset_leaves_standing(cause: str) -> None:
    @with_chip()
    async def check(rig: Rig) -> None:
        m, chip = rig.machine, rig.chip
        Pin = m.Pin
        calls: list[object] = []
        m.RTC().memory(b"kept")
        m.RTC().datetime((2026, 8, 1, 5, 1, 2, 3, 0))
        m.freq(80_000_000)
        Pin(4, Pin.OUT, value=1)
        Pin(5, Pin.OUT, value=1, hold=True)
        Pin(6, Pin.IN).irq(calls.append)
        m.PWM(7, duty_u16=40000)
        m.Timer(0, period=10, callback=calls.append)
        mic = m.I2S(0, sck=1, ws=2, sd=3, mode=1, bits=16, format=0, rate=16000, ibuf=8192)
        mic.irq(calls.append)
        mic.readinto(bytearray(512))
        m.WDT(timeout=1000)
        rig.esp32.wake_on_ext0(Pin(9), 0)
        nvs = rig.esp32.NVS("space")
        nvs.set_i32("committed", 1)
        nvs.commit()
        nvs.set_i32("pending", 2)
        chip.pins.drive(6, 1)  # an interrupt that nobody takes any more
        chip.reset(cause)
        chip.pins.drive(6, 0)
        resets: list[str] = []
        chip.on_reset = resets.append
        await asyncio.sleep(2)

        soft, power = cause == "soft", cause == "power_on"
        assert calls == [] and not chip.timers.running and not chip.i2s.listening
        assert m.RTC().memory() == (b"" if power else b"kept")
        assert m.RTC().datetime()[0] == (2000 if power else 2026)
        if not soft:  # the watchdog has bitten by now, and reset all of this
            assert resets == []
            assert m.freq() == 240_000_000
            assert m.reset_cause() == {"power_on": 1, "hard": 2, "wdt": 3, "deepsleep": 4}[cause]
            with pytest.raises(OSError):
                nvs.get_i32("pending")
        else:
            assert resets == ["wdt"]
        assert chip.pins.level(5) == (0 if power else 1)
        assert nvs.get_i32("committed") == 1

    check()


@with_chip()
async def test_a_soft_reset_keeps_levels_the_clock_and_the_watchdog(rig: Rig) -> None:
    m, chip = rig.machine, rig.chip
    m.freq(80_000_000)
    m.Pin(4, m.Pin.OUT, value=1)
    m.PWM(7, duty_u16=40000)
    m.WDT(timeout=1000)
    rig.esp32.NVS("space").set_i32("pending", 2)
    chip.reset("soft")
    assert m.freq() == 80_000_000
    assert chip.pins.level(4) == 1 and chip.pins.duty(7) == 0.0
    assert chip.power.wdt_running
    assert rig.esp32.NVS("space").get_i32("pending") == 2


# --- watchdog -----------------------------------------------------------------------------------------


@with_chip()
async def test_a_hungry_watchdog_bites_on_time(rig: Rig) -> None:
    told = hooks(rig)
    wdt = rig.machine.WDT(timeout=1000)
    for _ in range(5):
        await asyncio.sleep(0.9)
        wdt.feed()
    await asyncio.sleep(3)
    assert [t for t in told if t[0] == "reset"] == [("reset", "wdt", 5.5)]
    assert rig.machine.reset_cause() == rig.machine.WDT_RESET


@with_chip()
async def test_watchdog_arguments(rig: Rig) -> None:
    WDT = rig.machine.WDT
    for bad in (lambda: WDT(id=1), lambda: WDT(timeout=0), lambda: WDT(timeout=-5)):
        with pytest.raises(ValueError):
            bad()
    assert not hasattr(WDT(), "deinit")


@with_chip()
async def test_the_watchdog_does_not_run_in_deep_sleep(rig: Rig) -> None:
    told = hooks(rig)
    rig.machine.WDT(timeout=1000)
    deepsleep(rig, 5000)
    await asyncio.sleep(10)
    assert [t[:2] for t in told] == [("radio", "off"), ("sleep", 5000), ("radio", "off"), ("wake", 4)]


# --- deep sleep -----------------------------------------------------------------------------------------


@with_chip()
async def test_timer_wake(rig: Rig) -> None:
    told = hooks(rig)
    await asyncio.sleep(1)
    deepsleep(rig, 2500)
    assert rig.chip.power.asleep and rig.chip.power.stopped_at == 1.0
    await asyncio.sleep(10)
    assert ("sleep", 2500, 1.0) in told and ("wake", 4, 3.5) in told
    m = rig.machine
    assert (m.reset_cause(), m.wake_reason()) == (m.DEEPSLEEP_RESET, m.TIMER_WAKE)
    assert not rig.chip.power.asleep
    rig.chip.reset("hard")
    assert m.wake_reason() == 0


@with_chip()
async def test_without_a_source_it_sleeps_for_ever(rig: Rig) -> None:
    told = hooks(rig)
    deepsleep(rig)
    await asyncio.sleep(100_000)
    assert rig.chip.power.asleep and rig.chip.power.slept_forever == 1
    assert not [t for t in told if t[0] == "wake"]
    rig.chip.reset("power_on")
    assert not rig.chip.power.asleep


@with_chip()
async def test_ext0_wakes_on_its_level(rig: Rig) -> None:
    told = hooks(rig)
    Pin = rig.machine.Pin
    rig.esp32.wake_on_ext0(pin=Pin(4, Pin.IN, Pin.PULL_UP), level=rig.esp32.WAKEUP_ALL_LOW)
    deepsleep(rig)
    await asyncio.sleep(5)
    assert rig.chip.power.slept_forever == 0
    rig.chip.pins.drive(5, 1)
    rig.chip.pins.press(4)
    await asyncio.sleep(0)
    assert told[-1] == ("wake", rig.machine.EXT0_WAKE, 5.0)
    rig.chip.pins.release(4)
    rig.chip.pins.press(4)
    assert [t[0] for t in told].count("wake") == 1


@with_chip()
async def test_a_wake_pin_that_is_active_wakes_at_once(rig: Rig) -> None:
    told = hooks(rig)
    Pin = rig.machine.Pin
    pin = Pin(4, Pin.IN, Pin.PULL_UP)
    rig.chip.pins.press(4)
    assert pin() == 0
    rig.esp32.wake_on_ext0(pin, 0)
    deepsleep(rig, 60_000)
    await asyncio.sleep(1)
    assert [t for t in told if t[0] in ("sleep", "wake")] == [("sleep", 60_000, 0.0), ("wake", 2, 0.0)]


@pytest.mark.parametrize(("name", "wakes_on_one"), [("esp32s3", True), ("esp32", False), ("esp32c6", True)])
def test_ext1_low_means_all_only_on_the_first_chip(name: str, wakes_on_one: bool) -> None:
    @with_chip(name)
    async def check(rig: Rig) -> None:
        told = hooks(rig)
        Pin = rig.machine.Pin
        pins = [Pin(n, Pin.IN, Pin.PULL_UP) for n in (2, 4)]
        rig.esp32.wake_on_ext1(pins, rig.esp32.WAKEUP_ALL_LOW)
        deepsleep(rig)
        rig.chip.pins.press(2)
        await asyncio.sleep(0)
        assert any(t[0] == "wake" for t in told) is wakes_on_one
        rig.chip.pins.press(4)
        await asyncio.sleep(0)
        assert ("wake", 3, 0.0) in told

    check()


@with_chip()
async def test_ext1_any_high(rig: Rig) -> None:
    told = hooks(rig)
    rig.esp32.wake_on_ext1([2, 4], rig.esp32.WAKEUP_ANY_HIGH)
    deepsleep(rig)
    await asyncio.sleep(1)
    assert rig.chip.power.asleep
    rig.chip.pins.drive(4, 1)
    assert told[-1] == ("wake", 3, 1.0)


@with_chip("esp32c3")
async def test_gpio_wake_on_the_c3(rig: Rig) -> None:
    told = hooks(rig)
    rig.esp32.wake_on_gpio([rig.machine.Pin(3)], rig.esp32.WAKEUP_ALL_LOW)
    deepsleep(rig)
    await asyncio.sleep(1)
    assert rig.chip.power.asleep  # the pull that this source turns on keeps the pin high
    rig.chip.pins.press(3)
    assert told[-1] == ("wake", 7, 1.0)
    rig.esp32.wake_on_gpio([rig.machine.Pin(6)], 0)
    with pytest.raises(ValueError, match="wake-up pin not supported"):
        rig.machine.deepsleep()


@pytest.mark.parametrize(
    ("name", "absent"),
    [
        ("esp32s3", []),
        ("esp32", []),
        ("esp32c3", ["wake_on_ext0", "wake_on_ext1", "wake_on_touch"]),
        ("esp32c6", ["wake_on_ext0", "wake_on_touch"]),
    ],
)
def test_wake_functions_that_a_chip_lacks_are_absent(name: str, absent: list[str]) -> None:
    @with_chip(name)
    async def check(rig: Rig) -> None:
        names = ["wake_on_ext0", "wake_on_ext1", "wake_on_touch", "wake_on_gpio"]
        assert [n for n in names if not hasattr(rig.esp32, n)] == absent

    check()


@with_chip()
async def test_wake_pins_are_checked(rig: Rig) -> None:
    e = rig.esp32
    for call in (
        lambda: e.wake_on_ext0(38, 0),
        lambda: e.wake_on_ext1([4, 38], 0),
        lambda: e.wake_on_ext0(22),
    ):
        with pytest.raises(ValueError, match="invalid pin"):
            call()
    e.wake_on_ext0(4, 0)
    with pytest.raises(ValueError, match="no resources"):
        e.wake_on_touch(True)
    e.wake_on_ext0(None)
    e.wake_on_touch(True)
    with pytest.raises(ValueError, match="no resources"):
        e.wake_on_ext0(4, 0)
    e.wake_on_gpio([4], 0)
    with pytest.raises(ValueError, match="not supported on this chip"):
        rig.machine.deepsleep()


@with_chip()
async def test_touch_wakes(rig: Rig) -> None:
    told = hooks(rig)
    rig.esp32.wake_on_touch(True)
    deepsleep(rig)
    rig.chip.power.touched()
    assert told[-1] == ("wake", 5, 0.0)


@with_chip()
async def test_a_pin_irq_can_name_the_wake_source(rig: Rig) -> None:
    m = rig.machine
    pin = m.Pin(4, m.Pin.IN, m.Pin.PULL_UP)
    with pytest.raises(ValueError, match="bad wake value"):
        pin.irq(trigger=m.Pin.WAKE_LOW, wake=1)
    pin.irq(trigger=m.Pin.WAKE_LOW, wake=m.DEEPSLEEP)
    told = hooks(rig)
    deepsleep(rig)
    rig.chip.pins.press(4)
    assert told[-1] == ("wake", 2, 0.0)
    rig.chip.pins.release(4)
    pin.init(m.Pin.IN, m.Pin.PULL_UP)
    pin.irq(trigger=m.Pin.WAKE_LOW, wake=m.SLEEP)  # from light sleep only
    deepsleep(rig)
    rig.chip.pins.press(4)
    assert rig.chip.power.asleep


@with_chip()
async def test_outputs_in_deep_sleep(rig: Rig) -> None:
    Pin = rig.machine.Pin
    for n in (4, 5, 38, 39):
        Pin(n, Pin.OUT, value=1, hold=n in (5, 39))
    level = rig.chip.pins.level
    deepsleep(rig, 1000)
    # 4 is let go; 5 has an RTC pad, which holds; 38 is let go; 39 has none, and nothing else was asked.
    assert [level(n) for n in (4, 5, 38, 39)] == [0, 1, 0, 0]
    await asyncio.sleep(2)
    assert level(5) == 1
    Pin(5, Pin.OUT, value=0)
    assert level(5) == 1
    Pin(5, Pin.OUT, value=0, hold=False)
    assert level(5) == 0
    Pin(39, Pin.OUT, value=1, hold=True)
    rig.esp32.gpio_deep_sleep_hold(True)
    deepsleep(rig, 1000)
    assert level(39) == 1


@with_chip()
async def test_sleep_lengths(rig: Rig) -> None:
    with pytest.raises(OverflowError):
        rig.machine.deepsleep(1 << 31)
    assert not rig.chip.power.asleep
    with pytest.raises(NotImplementedError):
        rig.machine.lightsleep(10)  # it would block the virtual clock
    assert rig.chip.power.light_sleeps == 0


@with_chip()
async def test_light_sleep_for_a_program_elsewhere(rig: Rig) -> None:
    from lunette.virtual.hal import _ops as ops

    told = hooks(rig)
    loop = asyncio.get_running_loop()
    rig.machine.WDT(timeout=1000)
    rig.esp32.wake_on_ext0(4, 1)
    task = asyncio.ensure_future(rig.chip.bus.request(ops.LIGHTSLEEP, 3000, 0, 0, 0, None))
    await task
    assert loop.time() == 3.0 and rig.machine.wake_reason() == rig.machine.TIMER_WAKE
    loop.call_later(0.5, rig.chip.pins.drive, 4, 1)
    await rig.chip.bus.request(ops.LIGHTSLEEP, -1, 0, 0, 0, None)
    assert loop.time() == 3.5 and rig.machine.wake_reason() == rig.machine.EXT0_WAKE
    assert told == [("radio", "off", 0.0), ("radio", "off", 3.0)]
    await asyncio.sleep(1.5)
    assert told[-1] == ("reset", "wdt", 4.5)
