"""The check `radio`: the glasses advertise, and this computer hears them."""

from __future__ import annotations

import asyncio
import secrets

from bleak import BleakScanner
from bleak.exc import BleakError

from lunette.doctor.host import bluetooth_trouble
from lunette.doctor.model import Finding, State
from lunette.doctor.patient import Patient
from lunette.finding import Backends

# A scan response of before would stay, with another name in it.
_ADVERTISE = """
import bluetooth, json
_ble = bluetooth.BLE()
_ble.active(True)
_ble.gap_advertise(100000, %r, resp_data=b"", connectable=False)
print(json.dumps("".join("%%02x" %% byte for byte in _ble.config("mac")[1])))
"""
_QUIET = """
_ble.gap_advertise(None)
_ble.active(False)
"""
_LISTEN_S = 8.0
_WEAK_DBM = -85
_ANTENNA = (
    "radio: plug the antenna in (XIAO boards have it as a part of its own), keep metal away from the chip's"
)


def radio(patient: Patient) -> Finding:
    """Advertises a name that nobody else has, and listens for it."""
    name = f"doctor-{secrets.token_hex(3)}"
    packet = b"\x02\x01\x06" + bytes([len(name) + 1, 9]) + name.encode()
    address = patient.ask(_ADVERTISE % packet, 15)
    found = {"name": name, "address": address}
    try:
        rssi, others = asyncio.run(_hear(name, patient.backends()))
    except (BleakError, OSError) as error:
        text, todo = bluetooth_trouble(error)
        return Finding(
            State.warning, f"Bluetooth starts, but this computer cannot listen: {text}", todo, found
        )
    finally:
        patient.run(_QUIET)
    found |= {"rssi": rssi, "others": others}
    if rssi is None:
        if others:
            return Finding(
                State.failed,
                f"the glasses advertise, and among {others} others this computer does not hear them",
                _ANTENNA,
                found,
            )
        return Finding(
            State.failed,
            "the glasses advertise, and this computer hears nobody at all",
            f"is this computer's Bluetooth on, and no other program scanning? then {_ANTENNA[7:]}",
            found,
        )
    if rssi < _WEAK_DBM:
        return Finding(State.warning, f"heard, but only with {rssi} dBm", _ANTENNA, found)
    return Finding(State.ok, f"heard with {rssi} dBm", data=found)


async def _hear(name: str, backends: Backends) -> tuple[int | None, int]:
    """(its strength in dBm, or None; how many others there are)"""
    others: set[str] = set()
    heard: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def seen(device: object, adv: object) -> None:
        if getattr(adv, "local_name", None) == name:
            if not heard.done():
                heard.set_result(adv.rssi)  # type: ignore[attr-defined]
        else:
            others.add(device.address)  # type: ignore[attr-defined]

    async with BleakScanner(detection_callback=seen, **backends.scanner_options()):
        try:
            return await asyncio.wait_for(heard, _LISTEN_S), len(others)
        except asyncio.TimeoutError:
            return None, len(others)
