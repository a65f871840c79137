from __future__ import annotations

import asyncio

import pytest
from hal_rig import Rig, with_chip
from hypothesis import given
from hypothesis import strategies as st

from lunette.chips import CHIPS, chip_data
from lunette.virtual.chip.analog import Analog
from lunette.virtual.chip.bus import Bus
from lunette.virtual.hal import _ops as ops


@with_chip()
async def test_one_object_a_pin(rig: Rig) -> None:
    Pin = rig.machine.Pin
    assert Pin(4) is Pin(4, Pin.OUT) is Pin(Pin(4))
    assert repr(Pin(4)) == "Pin(4)"


@pytest.mark.parametrize("number", [-1, 19, 22, 26, 49, 1000, "LED", 1.5, None])
@with_chip()
async def test_a_pin_that_is_not_there_is_refused(rig: Rig, number) -> None:
    with pytest.raises(ValueError, match="invalid pin"):
        rig.machine.Pin(number)


@with_chip(reserved=range(33, 38))
async def test_a_board_reserves_pins(rig: Rig) -> None:
    rig.machine.Pin(38)
    with pytest.raises(ValueError):
        rig.machine.Pin(35)


@with_chip("esp32")
async def test_input_only_pins(rig: Rig) -> None:
    Pin = rig.machine.Pin
    with pytest.raises(ValueError, match="pin can only be input"):
        Pin(34, Pin.OUT)
    pin = Pin(34, Pin.IN, Pin.PULL_UP)
    assert pin() == 0  # there is no pull to switch on


@with_chip()
async def test_output_levels_reach_the_outside(rig: Rig) -> None:
    Pin = rig.machine.Pin
    seen: list[tuple[int, int]] = []
    rig.chip.pins.watch(lambda pin, level, t: seen.append((pin, level)))
    led = Pin(21, Pin.OUT, value=1)
    assert rig.chip.pins.level(21) == led() == 1
    led.toggle()
    led.on()
    led.off()
    led(True)
    led.value(0)
    assert seen == [(21, 1), (21, 0), (21, 1), (21, 0), (21, 1), (21, 0)]


@with_chip()
async def test_a_pin_without_mode_reads_zero(rig: Rig) -> None:
    rig.chip.pins.drive(4, 1)
    assert rig.machine.Pin(4)() == 0
    assert rig.machine.Pin(4, rig.machine.Pin.IN)() == 1


@with_chip()
async def test_pulls_decide_when_nobody_drives(rig: Rig) -> None:
    Pin = rig.machine.Pin
    pin = Pin(4, Pin.IN, Pin.PULL_UP)
    assert pin() == 1
    rig.chip.pins.drive(4, 0)
    assert pin() == 0
    rig.chip.pins.drive(4, None)
    pin.init(pull=Pin.PULL_DOWN)
    assert pin() == 0
    pin.init(pull=Pin.PULL_UP)
    pin.init(Pin.IN)  # no pull given: it stays
    assert pin() == 1
    pin.init(pull=None)
    assert pin() == 0
    rig.chip.pins.resistor(4, 1)
    assert pin() == 1


@with_chip()
async def test_open_drain_and_short_circuits(rig: Rig) -> None:
    Pin = rig.machine.Pin
    line = Pin(4, Pin.OPEN_DRAIN, Pin.PULL_UP, value=1)
    assert line() == 1
    rig.chip.pins.drive(4, 0)
    assert line() == 0
    assert not rig.chip.pins.conflicts
    out = Pin(5, Pin.OUT, value=1)
    rig.chip.pins.drive(5, 0)
    assert [(c.pin, c.driven) for c in rig.chip.pins.conflicts] == [(5, 1)]
    assert out() == 1


@with_chip()
async def test_edges_call_the_handler_with_the_pin(rig: Rig) -> None:
    Pin = rig.machine.Pin
    pin = Pin(4, Pin.IN, Pin.PULL_UP)
    calls: list[tuple[object, int]] = []
    irq = pin.irq(lambda p: calls.append((p, p())), Pin.IRQ_FALLING)
    rig.chip.pins.press(4)
    assert not calls  # never inside what caused it
    await asyncio.sleep(0)
    assert calls == [(pin, 0)]
    rig.chip.pins.release(4)
    await asyncio.sleep(0)
    assert len(calls) == 1
    assert irq.trigger(Pin.IRQ_RISING) == Pin.IRQ_FALLING
    rig.chip.pins.press(4)
    rig.chip.pins.release(4)
    await asyncio.sleep(0)
    assert calls[1:] == [(pin, 1)]
    pin.irq(handler=None)
    rig.chip.pins.press(4)
    await asyncio.sleep(0)
    assert len(calls) == 2
    assert pin.irq() is irq


@with_chip()
async def test_the_scheduler_holds_eight(rig: Rig) -> None:
    Pin = rig.machine.Pin
    calls: list[object] = []
    Pin(4, Pin.IN).irq(calls.append, Pin.IRQ_RISING)
    for _ in range(10):
        rig.chip.pins.drive(4, 1)
        rig.chip.pins.drive(4, 0)
    await asyncio.sleep(0)
    assert len(calls) == 8
    assert rig.chip.bus.dropped == 2


@with_chip()
async def test_a_failing_handler_is_reported_and_the_next_runs(rig: Rig) -> None:
    Pin = rig.machine.Pin
    calls: list[object] = []

    def bad(pin: object) -> None:
        raise RuntimeError("handler")

    Pin(4, Pin.IN).irq(bad)
    Pin(5, Pin.IN).irq(calls.append)
    rig.chip.pins.drive(4, 1)
    rig.chip.pins.drive(5, 1)
    await asyncio.sleep(0)
    assert len(calls) == 1
    assert [str(e) for e in rig.chip.errors] == ["handler"]
    rig.chip.errors.clear()


@with_chip()
async def test_a_bouncing_button_is_the_same_every_time(rig: Rig) -> None:
    Pin = rig.machine.Pin
    pin = Pin(4, Pin.IN, Pin.PULL_UP)
    loop = asyncio.get_running_loop()

    async def edges() -> list[tuple[int, int]]:
        start = loop.time()
        seen: list[tuple[int, int]] = []
        stop = rig.chip.pins.watch(lambda n, level, t: seen.append((round((t - start) * 1e6), level)))
        rig.chip.pins.press(4, bounce_ms=5)
        await asyncio.sleep(0.01)
        stop()
        rig.chip.pins.release(4)
        return seen

    first = await edges()
    assert len(first) >= 5 and first[0] == (0, 0) and first[-1][1] == 0 and first[-1][0] <= 5000
    assert await edges() == first
    rig.chip.pins.press(4, bounce_ms=5)
    rig.chip.pins.release(4)  # lets go while it still bounces
    await asyncio.sleep(0.01)
    assert pin() == 1


@with_chip()
async def test_signal_inverts(rig: Rig) -> None:
    machine = rig.machine
    led = machine.Signal(machine.Pin(21, machine.Pin.OUT), invert=True)
    led.on()
    assert rig.chip.pins.level(21) == 0 and led.value() == 1
    led(0)
    assert rig.chip.pins.level(21) == 1
    assert machine.Signal(20 - 2, machine.Pin.IN)() == 0


@with_chip()
async def test_hold_freezes_the_pad(rig: Rig) -> None:
    Pin = rig.machine.Pin
    pin = Pin(4, Pin.OUT, value=1, hold=True)
    pin(0)
    assert rig.chip.pins.level(4) == 1
    pin.init(hold=False)
    assert rig.chip.pins.level(4) == 0


@with_chip()
async def test_neopixel(rig: Rig) -> None:
    np = rig.neopixel.NeoPixel(rig.machine.Pin(21), 2)
    np[0] = (1, 2, 3)
    np[1] = (4, 5, 6)
    assert 21 not in rig.chip.pins.neopixels
    np.write()
    assert rig.chip.pins.neopixels[21] == [(1, 2, 3), (4, 5, 6)]
    np.fill((7, 8, 9))
    assert np[1] == (7, 8, 9) and len(np) == 2
    rig.machine.Pin(21, rig.machine.Pin.IN)
    np.write()  # the pin is no output any more
    assert rig.chip.pins.neopixels[21] == [(1, 2, 3), (4, 5, 6)]


# --- ADC ----------------------------------------------------------------------------------------------


@with_chip()
async def test_attenuation_and_clipping(rig: Rig) -> None:
    ADC = rig.machine.ADC
    adc = ADC(rig.machine.Pin(1), atten=ADC.ATTN_11DB)
    rig.chip.analog.volts[1] = 1.55
    assert adc.read() == 2048
    assert adc.read_u16() == 2048 << 4 | 2048 >> 8
    assert abs(adc.read_uv() - 1_550_000) <= 1000
    rig.chip.analog.volts[1] = 4.2
    assert (adc.read(), adc.read_u16(), adc.read_uv()) == (4095, 65535, 3_100_000)
    adc.atten(ADC.ATTN_0DB)
    rig.chip.analog.volts[1] = 0.5
    assert abs(adc.read_uv() - 500_000) <= 1000
    assert abs(ADC(1).read_uv() - 500_000) <= 1000  # without an attenuation it keeps what is set


@with_chip()
async def test_pins_without_an_adc(rig: Rig) -> None:
    for n in (0, 21, 43):
        with pytest.raises(ValueError):
            rig.machine.ADC(n)
    with pytest.raises(ValueError):
        rig.machine.ADC(1).atten(4)


@given(st.sampled_from(sorted(CHIPS)), st.integers(0, 3), st.floats(0, 5))
def test_a_reading_is_the_voltage_within_a_step(name: str, attenuation: int, volts: float) -> None:
    data = chip_data(name)
    bus = Bus()
    analog = Analog(data, bus)
    pin = min(data.adc)
    analog.volts[pin] = volts
    bus.call(ops.ADC_INIT, pin, attenuation, 0, 0, None)
    top = data.adc_top_mv[attenuation] / 1000
    uv = bus.call(ops.ADC_READ, pin, 2, 0, 0, None)[0]
    assert abs(uv / 1e6 - min(volts, top)) <= 0.0005 + top / 4095


@with_chip()
async def test_noise_is_off_by_default_and_deterministic(rig: Rig) -> None:
    adc = rig.machine.ADC(1)
    rig.chip.analog.volts[1] = 0.4
    assert len({adc.read() for _ in range(50)}) == 1
    rig.chip.analog.noise_lsb = 3
    values = {adc.read() for _ in range(200)}
    assert 4 <= len(values) <= 7


def test_chip_tables_agree_with_themselves() -> None:
    for data in CHIPS.values():
        assert data.input_only <= data.gpio and data.strapping <= data.gpio
        assert data.adc1 <= data.gpio and not data.adc1 & data.adc2
        assert data.default_mhz in data.freqs_mhz
        assert list(data.adc_top_mv) == sorted(data.adc_top_mv)
    with pytest.raises(ValueError, match="esp32s3"):
        chip_data("esp8266")
