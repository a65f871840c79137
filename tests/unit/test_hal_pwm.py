"""PWM: arguments, channels and timers as the port has them, and what comes out of the pin and when."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hal_rig import Rig, with_chip
from hypothesis import given, settings
from hypothesis import strategies as st


@with_chip()
async def test_pwm_is_a_brightness(rig: Rig) -> None:
    machine, pins = rig.machine, rig.chip.pins
    pwm = machine.PWM(machine.Pin(21), freq=1000, duty_u16=16384)
    assert pins.duty(21) == 0.25
    assert (pwm.freq(), pwm.duty_u16(), pwm.duty(), pwm.duty_ns()) == (1000, 16384, 256, 250_000)
    assert repr(pwm) == "PWM(Pin(21), freq=1000, duty_u16=16384)"
    pwm.duty(1023)
    assert pins.duty(21) == 1.0
    assert repr(pwm) == "PWM(Pin(21), freq=1000, duty=1023)"
    pwm.duty_u16(65536 // 4)
    pwm.init(invert=1)
    assert pins.duty(21) == 0.75 and repr(pwm).endswith("duty_u16=16384, invert=True)")
    pwm.duty_ns(500_000)
    assert pins.duty(21) == 0.5 and repr(pwm).startswith("PWM(Pin(21), freq=1000, duty_ns=500000")
    pwm.freq(2000)  # as many nanoseconds of a shorter period
    assert pins.duty(21) == 0.0 and pwm.duty_ns() == 499_992  # what is read is never all of a period
    pwm.deinit()
    assert pins.level(21) == 0 and pins.duty(21) == 0.0 and repr(pwm) == "PWM(Pin(21))"


@with_chip()
async def test_what_is_not_said(rig: Rig) -> None:
    PWM = rig.machine.PWM
    first = PWM(4)
    assert (first.freq(), first.duty_u16()) == (5000, 32768)
    first.init(freq=800)
    second = PWM(4, duty_u16=100)  # the pin's channel goes on as it was
    assert second.freq() == 800
    first.duty(0)
    assert rig.chip.pwm.spans[-1].duty == 0


@with_chip()
async def test_arguments(rig: Rig) -> None:
    PWM = rig.machine.PWM
    pwm = PWM(21, freq=1000)
    cases: tuple[tuple[Any, type[Exception], str], ...] = (
        (lambda: pwm.freq(0), ValueError, "frequency must be from 1Hz to 40MHz"),
        (lambda: pwm.freq(40_000_001), ValueError, "frequency must be from 1Hz to 40MHz"),
        (lambda: PWM(22), ValueError, "invalid pin"),
        (lambda: PWM(21, 0), ValueError, "frequency"),
        (lambda: pwm.duty_u16(65536), ValueError, "duty_u16 must be from 0 to 65536"),
        (lambda: pwm.duty_u16(-1), ValueError, "duty_u16"),
        (lambda: pwm.duty(1024), ValueError, "duty must be from 0 to 1023"),
        (lambda: pwm.duty_ns(1_000_001), ValueError, "duty_ns must be from 0 to 1000000 ns"),
        (lambda: PWM(21, 440.0), TypeError, "can't convert float to int"),
        (lambda: pwm.duty_u16(0.5), TypeError, "can't convert float to int"),
        (lambda: PWM(4, freq=1000, duty_ns=100), RuntimeError, "PWM is inactive"),
        (lambda: PWM(21, lightsleep=True), NotImplementedError, "light sleep"),
        (lambda: pwm.freq(5), OSError, "ESP_FAIL"),  # a bit is lost to the flaw of the top duty
        (lambda: pwm.freq(4), OSError, "ESP_ERR_INVALID_ARG"),
    )
    for call, kind, text in cases:
        with pytest.raises(kind, match=text):
            call()
    assert pwm.freq() == 1000  # nothing of that counted
    pwm.deinit()
    pwm.deinit()
    for call in (pwm.freq, pwm.duty, pwm.duty_u16, pwm.duty_ns, lambda: pwm.freq(5), lambda: pwm.duty(5)):
        with pytest.raises(RuntimeError, match="PWM is inactive"):
            call()
    pwm.init(freq=500, duty_u16=9000)  # and it works again
    assert pwm.freq() == 500


@with_chip("esp32")
async def test_input_only_pins(rig: Rig) -> None:
    with pytest.raises(OSError) as caught:
        rig.machine.PWM(34)
    assert caught.value.args[0] == -0x102


@pytest.mark.parametrize(
    ("name", "channels"), [("esp32", 16), ("esp32s3", 8), ("esp32c3", 6), ("esp32c6", 6)]
)
def test_channels_of_one_frequency(name: str, channels: int) -> None:
    @with_chip(name)
    async def check(rig: Rig) -> None:
        pins = sorted(rig.chip.data.gpio - rig.chip.data.input_only)
        made = [rig.machine.PWM(pin, freq=1000) for pin in pins[:channels]]
        with pytest.raises(RuntimeError, match=f"out of PWM channels:{channels}$"):
            rig.machine.PWM(pins[channels], freq=1000)
        made[0].deinit()
        rig.machine.PWM(pins[channels], freq=1000)

    check()


@pytest.mark.parametrize(("name", "timers"), [("esp32", 8), ("esp32s3", 4), ("esp32c3", 4)])
def test_a_timer_each_frequency(name: str, timers: int) -> None:
    @with_chip(name)
    async def check(rig: Rig) -> None:
        pins = sorted(rig.chip.data.gpio - rig.chip.data.input_only)
        made = [rig.machine.PWM(pin, freq=1000 + n) for n, pin in enumerate(pins[:timers])]
        # The port looks for a channel with a timer to go with it, and says that there is no channel.
        with pytest.raises(RuntimeError, match="out of PWM channels"):
            rig.machine.PWM(pins[timers], freq=2000)
        more = rig.machine.PWM(pins[timers], freq=1001)  # shared
        with pytest.raises(RuntimeError, match=f"out of PWM timers:{timers}$"):
            more.freq(2000)
        assert more.freq() == pytest.approx(1001, abs=2)  # dividers are no finer
        made[0].freq(3000)  # its own, so it may be changed
        made[2].deinit()
        more.freq(2000)
        assert [made[0].freq(), made[1].freq(), more.freq()] == pytest.approx([3000, 1001, 2000], abs=4)

    check()


@with_chip()
async def test_a_timer_that_is_left_is_lost(rig: Rig) -> None:
    PWM = rig.machine.PWM
    a, _ = PWM(4, 1000), PWM(5, 2000)
    a.freq(2000)  # joins the other: that of 1000 Hz goes on
    PWM(6, 3000), PWM(7, 4000)
    with pytest.raises(RuntimeError):
        PWM(8, 5000)
    PWM(8, 1000)


@with_chip()
async def test_a_slow_clock_lowers_the_highest_frequency(rig: Rig) -> None:
    rig.machine.freq(40_000_000)
    with pytest.raises(ValueError, match="from 1Hz to 20MHz"):
        rig.machine.PWM(4, freq=30_000_000)
    rig.machine.PWM(4, freq=20_000_000)


@with_chip()
async def test_a_pin_that_is_initialised_has_left_its_channel(rig: Rig) -> None:
    Pin, PWM, pins = rig.machine.Pin, rig.machine.PWM, rig.chip.pins
    pwm = PWM(4, duty_u16=16384)
    Pin(4, Pin.OUT, value=1)
    pwm.duty_u16(100)
    assert pins.duty(4) == 1.0
    pwm.deinit()
    assert pins.level(4) == 1
    pwm = PWM(4, duty_u16=16384)
    assert pins.duty(4) == 0.25
    pwm.deinit()
    Pin(4).value(1)  # still the channel's, which is at rest
    assert pins.level(4) == 0
    Pin(4, Pin.OUT)
    assert pins.level(4) == 1


@with_chip()
async def test_what_was_played_and_when(rig: Rig) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    pwm = rig.machine.PWM(4, freq=800, duty_u16=1000)
    await asyncio.sleep(0.02)
    pwm.duty_u16(4000)
    await asyncio.sleep(0.03)
    pwm.duty_u16(0)
    await asyncio.sleep(0.01)
    pwm.init(freq=1000, duty_u16=2000)
    await asyncio.sleep(0.04)
    pwm.deinit()
    other = rig.machine.PWM(5, freq=500)
    tones = [
        (hz, round(a - began, 6), None if b is None else round(b - began, 6))
        for hz, a, b in rig.chip.pwm.tones(4)
    ]
    assert tones == [(800, 0, 0.05), (1000, 0.06, 0.1)]
    assert [span.duty for span in rig.chip.pwm.spans][:2] == [
        pytest.approx(d / 65536, abs=2**-13) for d in (1000, 4000)
    ]
    assert rig.chip.pwm.tones(5)[0][2] is None and rig.chip.pwm.running(5)
    rig.chip.reset("hard")
    assert rig.chip.pwm.tones(5)[0][2] == loop.time() and not rig.chip.pwm.running(5)
    assert other is not None


@given(hz=st.integers(10, 40_000_000), duty=st.integers(0, 65535))
@settings(max_examples=60)
def test_what_is_read_is_near_what_was_asked(hz: int, duty: int) -> None:
    """A divider has eight bits after its point, so it is at most 1 / 512 off; a duty loses its lower bits."""

    @with_chip()
    async def check(rig: Rig) -> None:
        pwm = rig.machine.PWM(4, freq=hz, duty_u16=duty)
        assert abs(pwm.freq() - hz) <= hz / 512 + 1
        step = 65536 >> min(13, max(1, (80_000_000 // hz).bit_length() - 1))
        assert duty - step < pwm.duty_u16() <= duty or duty == 65535 == pwm.duty_u16()

    check()
