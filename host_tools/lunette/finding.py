"""Which glasses are near, over Bleak."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bleak import BleakScanner
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError

from lunette.errors import LunetteError
from lunette.protocol import wire


@dataclass
class Backends:
    """Bleak backend classes to use; None is the computer's own Bluetooth adapter."""

    client: Any = None
    scanner: Any = None

    def client_options(self) -> dict[str, Any]:
        return {"backend": self.client} if self.client else {}

    def scanner_options(self) -> dict[str, Any]:
        return {"backend": self.scanner} if self.scanner else {}


@dataclass
class Found:
    """Glasses that advertise: `device` to connect to, `name`, `address`, `rssi` in dBm."""

    device: BLEDevice
    name: str
    address: str
    rssi: int


def explain(error: Exception) -> LunetteError:
    """A Bluetooth failure in words that say what to do."""
    text = str(error) or type(error).__name__
    if isinstance(error, LunetteError):
        return error
    lowered = text.lower()
    if isinstance(error, FileNotFoundError) or any(word in lowered for word in ("dbus", "bluez", "adapter")):
        return LunetteError(
            f"no usable Bluetooth adapter ({text}): switch Bluetooth on, or add --virtual for virtual glasses"
        )
    return LunetteError(f"Bluetooth: {text}")


def not_heard(timeout: float, name: str | None = None) -> LunetteError:
    """Nobody advertised (of that name or address) in `timeout` seconds."""
    which = f"no glasses {name!r}" if name else "no glasses"
    return LunetteError(
        f"{which} heard in {timeout:g} s: are they on, in range, and not connected to another host?"
    )


async def scan(timeout: float = 5.0, backends: Backends | None = None) -> list[Found]:
    """All Lunette glasses heard within `timeout` seconds, strongest first. Raises LunetteError."""
    backends = backends or Backends()
    try:
        seen = await BleakScanner.discover(
            timeout=timeout, return_adv=True, service_uuids=[wire.SERVICE], **backends.scanner_options()
        )
    except (BleakError, OSError) as error:
        raise explain(error) from error
    found = [
        Found(device, adv.local_name or device.name or "?", device.address, adv.rssi)
        for device, adv in seen.values()
        if wire.SERVICE in adv.service_uuids
    ]
    return sorted(found, key=lambda f: -f.rssi)


def is_resting(adv: Any) -> bool:
    """They advertise that there is nothing for a host."""
    state = adv.manufacturer_data.get(wire.COMPANY, b"")
    return bool(state and state[0] & wire.RESTING)


async def find(
    name: str | None = None,
    timeout: float = 10.0,
    backends: Backends | None = None,
    accept: Callable[[Any], bool] = lambda adv: True,
) -> BLEDevice | None:
    """The first glasses heard (of that name or address, if given) whose advertisement data `accept` takes,
    or None after `timeout` seconds. Raises LunetteError without a usable adapter."""
    backends = backends or Backends()

    def wanted(device: BLEDevice, adv: Any) -> bool:
        if wire.SERVICE not in adv.service_uuids or not accept(adv):
            return False
        return name is None or name in (adv.local_name, device.name) or name.upper() == device.address.upper()

    try:
        return await BleakScanner.find_device_by_filter(
            wanted, timeout=timeout, service_uuids=[wire.SERVICE], **backends.scanner_options()
        )
    except (BleakError, OSError) as error:
        raise explain(error) from error


async def require(name: str | None, timeout: float, backends: Backends | None = None) -> BLEDevice:
    """As `find`; LunetteError when nobody is heard."""
    device = await find(name, timeout, backends)
    if device is None:
        raise not_heard(timeout, name)
    return device
