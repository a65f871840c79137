"""Somebody else's Bleak program, not changed in any way, meets virtual glasses."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bumble.core import AdvertisingData
from bumble.gatt import Characteristic, Service

import lunette.virtual
from lunette.virtual.air import Air, LinkModel

BLEAK_ENV = Path(lunette.virtual.__file__).parent / "bleak_env"
HEART_RATE = "00002a37-0000-1000-8000-00805f9b34fb"

# As anybody would write it from Bleak's documentation.
PROGRAM = """
import asyncio
from bleak import BleakClient, BleakScanner

HEART_RATE = "00002a37-0000-1000-8000-00805f9b34fb"

async def main():
    device = await BleakScanner.find_device_by_name("Somebody", timeout=10)
    print("found", device.address)
    done = asyncio.Event()
    def callback(sender, data):
        print("heard", data.hex())
        done.set()
    async with BleakClient(device) as client:
        await client.start_notify(HEART_RATE, callback)
        await client.write_gatt_char(HEART_RATE, b"ping", response=True)
        await asyncio.wait_for(done.wait(), 10)
        await client.stop_notify(HEART_RATE)
    print("bye", client.is_connected)

asyncio.run(main())
"""


def environment(air: str | None, *path: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LUNETTE_")}
    kept["PYTHONPATH"] = os.pathsep.join(str(entry) for entry in (BLEAK_ENV, *path))
    return kept | ({"LUNETTE_AIR": air} if air is not None else {})


def python(code: str, env: dict[str, str], *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *flags, "-c", code], env=env, capture_output=True, text=True, timeout=30, check=False
    )


def test_an_unmodified_program_connects_writes_and_is_notified(tmp_path: Path) -> None:
    program = tmp_path / "somebody.py"
    program.write_text(PROGRAM)

    async def body() -> tuple[int, str, str]:
        air = Air(LinkModel(interval_ms=7.5))
        glasses = await air.device("glasses", "C0:FF:EE:00:00:01")
        properties = Characteristic.Properties.NOTIFY | Characteristic.Properties.WRITE
        rate: Characteristic[bytes] = Characteristic(HEART_RATE, properties, Characteristic.WRITEABLE)
        # The write is answered with a notification.
        rate.on(
            Characteristic.EVENT_WRITE,
            lambda connection, value: asyncio.ensure_future(
                glasses.notify_subscriber(connection, rate, value + b"pong")
            ),
        )
        glasses.add_service(Service("180d", [rate]))
        name = bytes(AdvertisingData([(AdvertisingData.COMPLETE_LOCAL_NAME, b"Somebody")]))
        await glasses.start_advertising(advertising_data=name, advertising_interval_min=30)
        env = environment(f"127.0.0.1:{await air.serve()}")
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            # Anything left open when the program ends would be complained about.
            *("-W", "always::ResourceWarning", str(program)),
            env=env,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(child.communicate(), 30)
        await air.close()
        assert child.returncode is not None
        return child.returncode, out.decode(), err.decode()

    code, out, err = asyncio.run(body())
    assert (code, err) == (0, "")
    assert out.splitlines() == ["found C0:FF:EE:00:00:01", f"heard {b'pingpong'.hex()}", "bye False"]


def test_without_glasses_the_program_gets_bleaks_error() -> None:
    result = python(PROGRAM, environment("127.0.0.1:1"))
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert last == "bleak.exc.BleakError: no virtual glasses on 127.0.0.1:1: start them with `lunette sim`"


def test_an_older_bleak_is_told_so(tmp_path: Path) -> None:
    package = tmp_path / "bleak"
    (package / "backends").mkdir(parents=True)
    (package / "exc.py").write_text("class BleakError(Exception): pass")
    for module in ("client", "scanner"):
        source = f"def get_platform_{module}_backend_type(): return 'real'"
        (package / "backends" / f"{module}.py").write_text(source)
    (package / "backends" / "__init__.py").touch()
    for module in ("client", "scanner"):
        function = f"get_platform_{module}_backend_type"
        (package / "__init__.py").write_text(f"from bleak.backends.{module} import {function} as select")
        result = python("import bleak; bleak.select()", environment("127.0.0.1:1", tmp_path))
        assert result.stderr.strip().endswith("bleak.exc.BleakError: virtual glasses need Bleak 3.0 or later")


@pytest.mark.parametrize("air", ["127.0.0.1:1", None])
def test_start_up_imports_nothing_heavy_and_other_customisation_still_runs(
    tmp_path: Path, air: str | None
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.customised = True")
    code = """
import sys
print(sys.customised, sorted({"bleak", "bumble", "lunette", "asyncio"} & set(sys.modules)))
import bleak
print("virtual" if "bleak_env" in bleak.get_platform_client_backend_type.__code__.co_filename else "real")
import bleak.backends.scanner
print("virtual" if "bleak_env" in bleak.get_platform_scanner_backend_type.__code__.co_filename else "real")
"""
    result = python(code, environment(air, tmp_path))
    kind = "virtual" if air else "real"
    assert (result.stdout.splitlines(), result.stderr) == (["True []", kind, kind], "")
