"""What glasses draw, summed up from outside: against sums that were made by hand."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lunette import paths
from lunette.virtual.air import Air, LinkModel
from lunette.virtual.battery import Battery, lipo_percent, lipo_volts
from lunette.virtual.cpython import micropython_modules, run
from lunette.virtual.energy_meter import EnergyMeter
from lunette.virtual.in_process import ADDRESS, InProcessGlasses, Load

CURRENTS = {
    "cpu": {80: (20.0, 30.0), 240: (50.0, 90.0)},
    "boot": 40.0,
    "boot_ms": 250,
    "load_file_ms": 10.0,
    "load_kb_ms": 0.0,
    "radio": 60.0,
    "advertise": 500.0,
    "connection": 30.0,
    "byte": 0.5,
    "deep_sleep": 0.01,
    "light_sleep": 1.0,
    "board": 0.5,
    "mic": 1.5,
    "light": 3.0,
}
PARTS = {
    "light": {"driver": "led", "pin": 2, "active": 1},
    "mic": {"driver": "i2s_microphone", "port": 0, "sck": 4, "ws": 5, "sd": 6},
    "battery": {"driver": "battery", "pin": 8, "ratio": 2.0},
    "usb": {"driver": "usb_sense", "pin": 9, "active": 1},
}
BOARD = SimpleNamespace(NAME="toy", CHIP="esp32s3", PARTS=PARTS, CURRENTS=CURRENTS)

Test = Callable[[Any, EnergyMeter, Air], Awaitable[None]]


def play(
    folder: Path,
    source: str,
    test: Test,
    battery: Battery | None = None,
    model: LinkModel | None = None,
    **meter_options: Any,
) -> None:
    """Run ``main()`` of the firmware `source` on glasses with a meter, from before their power comes on."""
    firmware = folder / "firmware"
    (firmware / "glasses").mkdir(parents=True)
    (firmware / "glasses" / "__init__.py").write_text(
        f"import asyncio, machine\nfrom notes import note\n{source}"
    )
    with micropython_modules(paths.HAL, firmware) as env:

        async def main() -> None:
            air = Air(model)
            glasses: Any = InProcessGlasses(env, air, BOARD, firmware=firmware, boot_ms=250, load=Load(10, 0))
            glasses.notes = []
            sys.modules["notes"] = SimpleNamespace(note=glasses.notes.append)  # type: ignore[assignment]
            meter = EnergyMeter(glasses, battery, **meter_options)
            try:
                await glasses.power_on()
                await test(glasses, meter, air)
            finally:
                meter.close()
                await glasses.close()
                await air.close()
            assert not glasses.crashes

        run(main())


DAY = 7200  # seconds: a short one

SLEEPER = """
async def main():
    await asyncio.sleep_ms(300)
    machine.deepsleep(10000)
"""


def test_a_day_of_sleep_is_the_sum_of_its_parts(folder: Path) -> None:
    async def test(glasses: Any, meter: EnergyMeter, air: Air) -> None:
        await asyncio.sleep(DAY - asyncio.get_running_loop().time())
        table = meter.table()
        # Boot 0.25 s, three files of 10 ms, 0.3 s awake, 10 s asleep.
        whole, rest = divmod(DAY, 10.58)
        assert whole == glasses.starts - 1
        assert 0.58 < rest < 10.58, "the last one is asleep"
        n = glasses.starts
        asleep = DAY - n * 0.58
        expected = {
            "boot": {"boot": 40 * 0.25 * n, "board": 0.5 * 0.25 * n},
            "awake": {"cpu": (50 * 0.3 + 90 * 0.03) * n, "board": 0.5 * 0.33 * n},
            "asleep": {"deep_sleep": 0.01 * asleep, "board": 0.5 * asleep},
        }
        assert table == {label: pytest.approx(consumers, rel=1e-9) for label, consumers in expected.items()}
        total = sum(mas for consumers in expected.values() for mas in consumers.values())
        assert meter.mah() == pytest.approx(total / 3600, rel=1e-9)
        assert len(meter.curve) <= 50
        assert meter.curve == sorted(meter.curve) and meter.curve[0] == (0, 0)
        slope = meter.mah() / DAY
        assert all(abs(mah - slope * t) < 0.02 for t, mah in meter.curve)

    play(folder, SLEEPER, test, points=50)


EVERYTHING = """
import bluetooth

async def main():
    ble = bluetooth.BLE()
    ble.active(True)
    ((handle,),) = ble.gatts_register_services(((bluetooth.UUID(0x180F), ((bluetooth.UUID(0x2A19), 0x12),)),))
    ble.gap_advertise(100000, b"\\x02\\x01\\x06")
    await asyncio.sleep_ms(1000)
    ble.gap_advertise(None)
    ble.active(False)
    await asyncio.sleep_ms(1000)
    machine.freq(80000000)
    await asyncio.sleep_ms(1000)
    mic = machine.I2S(0, sck=4, ws=5, sd=6, mode=1, bits=16, format=0, rate=16000, ibuf=8192)
    await asyncio.sleep_ms(1000)
    mic.deinit()
    await asyncio.sleep_ms(1000)
    light = machine.Pin(2, machine.Pin.OUT, value=1)
    await asyncio.sleep_ms(1000)
    light.value(0)
    await asyncio.sleep_ms(1000)
    machine.PWM(2, duty_u16=16384)
    await asyncio.sleep_ms(1000)
    machine.deepsleep()
"""


def test_each_consumer_counts_while_it_is_on(folder: Path) -> None:
    async def test(glasses: Any, meter: EnergyMeter, air: Air) -> None:
        steps = ("radio", "idle", "slow", "mic", "quiet", "light", "dark", "dim", "night")
        for label in steps:
            meter.label = label
            end = asyncio.get_running_loop().time() + (100 if label == "night" else 1)
            while (left := end - asyncio.get_running_loop().time()) > 1e-9:
                await asyncio.sleep(min(left, 0.07))
                meter.mah()  # whether somebody asks must not matter
        table = meter.table()
        events = air.stats()["advertisements"]
        assert 9 <= events <= 10
        assert table["radio"] == pytest.approx({"cpu": 50, "board": 0.5, "radio": 60 + 0.5 * events})
        assert table["idle"] == pytest.approx({"cpu": 50, "board": 0.5})
        for label in ("slow", "quiet", "dark"):
            assert table[label] == pytest.approx({"cpu": 20, "board": 0.5})
        assert table["mic"] == pytest.approx({"cpu": 20, "board": 0.5, "mic": 1.5})
        assert table["light"] == pytest.approx({"cpu": 20, "board": 0.5, "light": 3})
        assert table["dim"] == pytest.approx({"cpu": 20, "board": 0.5, "light": 0.75}, rel=1e-4)
        assert table["night"] == pytest.approx({"deep_sleep": 1, "board": 50})
        before = meter.mah()
        glasses.power_cut()
        await asyncio.sleep(100)
        assert meter.mah() == before

    play(folder, EVERYTHING, test)


def test_nobody_need_ask_when_something_changes(folder: Path) -> None:
    async def test(glasses: Any, meter: EnergyMeter, air: Air) -> None:
        await asyncio.sleep(100)
        radio = 60 + 0.5 * air.stats()["advertisements"]
        expected = {"cpu": 50 * 2 + 20 * 6 + 90 * 0.03, "board": 8.03 * 0.5, "radio": radio}
        assert meter.table()["awake"] == pytest.approx(expected | {"mic": 1.5, "light": 3.75}, rel=1e-4)

    play(folder, EVERYTHING, test)


TALKER = """
import bluetooth
conn = []

async def main():
    ble = bluetooth.BLE()
    ble.irq(lambda event, data: conn.append(data[0]) if event == 1 else None)
    ble.active(True)
    ((handle,),) = ble.gatts_register_services(((bluetooth.UUID(0x180F), ((bluetooth.UUID(0x2A19), 0x12),)),))
    ble.gap_advertise(100000, b"\\x02\\x01\\x06")
    while True:
        await asyncio.sleep_ms(100)
        if machine.Pin(1, machine.Pin.IN).value():
            ble.gatts_notify(conn[0], handle, bytes(13))
"""


@pytest.mark.parametrize("latency", [0, 3])
def test_a_connection_costs_by_its_interval_and_its_bytes(folder: Path, latency: int) -> None:
    async def test(glasses: Any, meter: EnergyMeter, air: Air) -> None:
        host = await air.device("host", "C0:FF:EE:00:00:02")
        await host.connect_le(ADDRESS)
        await asyncio.sleep(3.05)

        async def spend(label: str, seconds: float) -> float:
            meter.label = label
            await asyncio.sleep(seconds)
            meter.label = "after"
            return meter.table()[label]["radio"] - 60 * seconds

        each = 30 / 1000
        assert await spend("idle", 60) == pytest.approx(60 / (0.015 * (latency + 1)) * each)
        meter.label = "change"
        air.model.interval_ms = 60
        await asyncio.sleep(1)
        for _ in range(60):
            await asyncio.sleep(1)
        changed = meter.table()["change"]["radio"] - 60 * 61
        assert changed == pytest.approx(60 / (0.060 * (latency + 1)) * each, rel=0.1)
        assert await spend("slow", 60) == pytest.approx(60 / (0.060 * (latency + 1)) * each)
        octets = air.stats()["bytes"]
        glasses.chip.pins.drive(1, 1)
        spent = await spend("talking", 60)
        sent = air.stats()["bytes"] - octets
        assert 600 * 20 <= sent <= 601 * 20
        # With latency, those 600 events that it would have slept through.
        expected = 60 / (0.060 * (latency + 1)) * each + sent * 0.5 / 1000
        assert spent == pytest.approx(expected + (600 * each if latency else 0), rel=0.01)
        glasses.chip.pins.drive(1, 0)
        await glasses.radio.connections[0].disconnect()
        await asyncio.sleep(1)
        assert await spend("alone", 60) == 0

    play(folder, TALKER, test, model=LinkModel(latency=latency))


def test_sending_again_costs_again(folder: Path) -> None:
    bytes_paid = []

    async def test(glasses: Any, meter: EnergyMeter, air: Air) -> None:
        host = await air.device("host", "C0:FF:EE:00:00:02")
        connection = await host.connect_le(ADDRESS)
        meter.label = "lossy"
        await asyncio.sleep(1)
        for _ in range(200):
            host.send_l2cap_pdu(connection.handle, 4, b"\x0a\x01\x00")
            await asyncio.sleep(0.1)
        seconds = 21
        radio = meter.table()["lossy"]["radio"] - 60 * seconds - 30 / 1000 * seconds / 0.015
        bytes_paid.append(radio / 0.0005 / air.stats()["bytes"])

    play(folder / "1", TALKER, test)
    play(folder / "2", TALKER, test, model=LinkModel(loss=0.5))
    assert bytes_paid[0] == pytest.approx(1, abs=0.2)
    assert bytes_paid[1] == pytest.approx(2, abs=0.5)


def test_the_firmware_sees_its_cell_fall(folder: Path) -> None:
    source = """
async def main():
    adc = machine.ADC(machine.Pin(8), atten=machine.ADC.ATTN_11DB)
    while True:
        note(adc.read_uv() * 2 / 1e6)
        await asyncio.sleep_ms(600000)
"""
    empty = []
    battery = Battery(mah=100, percent=90)

    async def test(glasses: Any, meter: EnergyMeter, air: Air) -> None:
        await asyncio.sleep(2999)
        assert meter.percent() == pytest.approx(90 - meter.mah())
        assert meter.milliamps() == 50.5
        assert meter.seconds_left() == pytest.approx((90 - meter.mah()) / 50.5 * 3600)
        hours = [at / 3600 for at in range(0, 3000, 600)]
        expected = [lipo_volts(90 - 50.5 * hour) - 0.25 * 0.0505 for hour in hours]
        assert glasses.notes == pytest.approx(expected, abs=0.005)
        assert not empty
        await asyncio.sleep(4 * 3600)
        assert meter.percent() == 0 and len(empty) == 1

    play(folder, source, test, battery, on_empty=lambda: empty.append(1))


def test_light_sleep_is_neither_awake_nor_asleep(folder: Path) -> None:
    source = """
async def main():
    await asyncio.sleep_ms(1000)
    machine.lightsleep(5000)
    await asyncio.sleep_ms(1000)
    machine.deepsleep()
"""

    async def test(glasses: Any, meter: EnergyMeter, air: Air) -> None:
        await asyncio.sleep(20)
        table = meter.table()
        assert table["light sleep"] == pytest.approx({"light_sleep": 5, "board": 2.5})
        assert table["awake"] == pytest.approx({"cpu": 2 * 50 + 0.03 * 90, "board": 2.03 * 0.5})

    play(folder, source, test)


def test_computing_is_charged_on_request(folder: Path) -> None:
    async def test(glasses: Any, meter: EnergyMeter, air: Air) -> None:
        meter.label = "code"
        meter.busy(0.5)
        assert meter.table()["code"] == pytest.approx({"cpu": (90 - 50) * 0.5})

    play(folder, "async def main():\n    await asyncio.sleep_ms(10)\n", test)


@given(st.floats(0, 100))
def test_the_curve_of_a_cell_goes_both_ways(percent: float) -> None:
    assert lipo_percent(lipo_volts(percent)) == pytest.approx(percent, abs=1e-6)
    assert lipo_volts(percent) >= lipo_volts(max(0, percent - 1))
