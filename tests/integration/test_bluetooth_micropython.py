"""Pairing and bonds in the real MicroPython: the handler's return values cross the socket, in real time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from bleak import BleakClient
from bleak.exc import BleakError, BleakGATTProtocolError
from tests.integration.test_hal_micropython import Program, execute, real_time

from lunette.virtual import bleak_radio
from lunette.virtual.air import Air
from lunette.virtual.bleak_backend import VirtualClient, use_air
from lunette.virtual.chip.chip import Chip
from lunette.virtual.chip.radio import Radio

ADDRESS = "C0:FF:EE:00:00:01"
VALUE = "11111111-0000-4000-8000-000000000001"

GLASSES = """
import bluetooth
ble = bluetooth.BLE()
secrets = {}
say = []
refuse = 0
fail = False
def irq(event, data):
    if fail:
        raise ValueError("on purpose")
    if event == 29:
        kind, index, key = data
        if key is not None:
            return secrets.get((kind, bytes(key)))
        found = [v for k, v in secrets.items() if k[0] == kind]
        return found[index] if index < len(found) else None
    if event == 30:
        kind, key, value = data
        key = kind, bytes(key)
        if value is None:
            return secrets.pop(key, None) is not None
        secrets[key] = bytes(value)
        return True
    if event == 4:
        ble.gatts_write(data[1], "read %d" % len(secrets))
        return refuse
    if event == 28:
        say.append("encrypted %d %d %d %d" % data[1:])
    elif event == 3:
        say.append("written %s" % ble.gatts_read(data[1]))
    elif event == 2:
        say.append("gone")
ble.irq(irq)
ble.active(True)
print("identity key", len(secrets[10, b"irk"]))
ble.config(bond=True, le_secure=True, io=3)
U = bluetooth.UUID
ble.gatts_register_services(((U("11111111-0000-4000-8000-000000000000"),
    ((U("11111111-0000-4000-8000-000000000001"), 0x120a),)),))
def advertise():
    ble.gap_advertise(50000, adv_data=b"\\x02\\x01\\x06")
def wait(text):
    while True:
        while say:
            line = say.pop(0)
            print(line)
            if line == text:
                return
        time.sleep_ms(5)
"""


@pytest.fixture(autouse=True)
def fresh_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LUNETTE_KEYS", raising=False)
    monkeypatch.setattr(bleak_radio, "_identities", {})


def on_air(folder: Path, source: str, host: Callable[[Program], Awaitable[None]]) -> list[str]:
    """Run GLASSES and `source` in MicroPython, and `host` beside it; returns what was printed."""
    lines: list[str] = []

    async def main() -> None:
        chip, air = Chip(), Air()
        radio = Radio(chip.bus)
        radio.plug(await air.device("glasses", ADDRESS))
        use_air(air)
        try:
            lines.extend(await execute(chip, folder, GLASSES + source, host))
        finally:
            await radio.close()
            await air.close()
            use_air(None)

    real_time(main())
    return lines


def client(**options: bool) -> BleakClient:
    return BleakClient(ADDRESS, backend=VirtualClient, **options)


def test_a_bond_is_made_and_used_and_forgotten(tmp_path: Path) -> None:
    source = """
advertise()
print("up")
wait("gone")
print(sorted((k[0], len(k[1])) for k in secrets))
advertise()
print("up again")
wait("gone")
for key in list(secrets):
    if key[0] != 10:
        del secrets[key]
advertise()
print("forgotten")
wait("gone")
"""

    async def host(program: Program) -> None:
        await program.printed("up")
        async with client() as glasses:
            await glasses.write_gatt_char(VALUE, b"hello", response=True)  # pairs first
            assert await glasses.read_gatt_char(VALUE) == b"read 3"
        await program.printed("up again")
        async with client() as glasses:
            assert await glasses.read_gatt_char(VALUE) == b"read 3"
        await program.printed("forgotten")
        with pytest.raises(BleakError, match="unpair"):
            await client().connect()

    lines = on_air(tmp_path, source, host)
    assert lines == [
        "identity key 16",
        "up",
        "encrypted 1 0 1 16",
        "written b'hello'",
        "gone",
        "[(1, 7), (2, 7), (10, 3)]",
        "up again",
        "encrypted 1 0 1 16",
        "gone",
        "forgotten",
        "gone",
    ]


def test_reads_are_refused_and_a_broken_handler_knows_no_secrets(tmp_path: Path) -> None:
    source = """
refuse = 8
advertise()
print("up")
wait("written b'done'")
fail = True
print("failing")
time.sleep(1)
advertise()
print("up again")
time.sleep(1)
"""

    async def host(program: Program) -> None:
        await program.printed("up")
        async with client(pair=True) as glasses:
            with pytest.raises(BleakGATTProtocolError) as caught:
                await glasses.read_gatt_char(VALUE)
            assert caught.value.code == 8
            await glasses.write_gatt_char(VALUE, b"done", response=False)
            await program.printed("failing")
            # The handler fails once and is gone: what was written by itself is read.
            assert await glasses.read_gatt_char(VALUE) == b"done"
            assert await glasses.read_gatt_char(VALUE) == b"done"
        await program.printed("up again")
        with pytest.raises(BleakError, match="unpair"):
            await client().connect()

    lines = on_air(tmp_path, source, host)
    assert sum("on purpose" in line for line in lines) == 1
