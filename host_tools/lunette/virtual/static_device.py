"""A Bumble host whose identity is one static random address, as everybody on the simulated air has.

Its controller resolves the private addresses of peers that it is bonded with.
"""

from __future__ import annotations

import hashlib

from bumble.device import Device, DeviceConfiguration
from bumble.hci import Address
from bumble.host import Host
from bumble.keys import JsonKeyStore, KeyStore, MemoryKeyStore


def static_address(text: str) -> Address:
    """The address `text`, like "C0:FF:EE:00:00:01". ValueError unless it is static random."""
    try:
        address = Address(text, Address.RANDOM_DEVICE_ADDRESS)
    except ValueError:
        raise ValueError(f"address: {text!r} is not six hexadecimal bytes") from None
    if not address.is_static:
        raise ValueError(f"address: {text} is not static random; its first byte must be C0 or above")
    return address


def own_irk(address: Address) -> bytes:
    """The identity resolving key of the host with `address`: always the same, so that it need not be kept."""
    return hashlib.sha256(b"lunette irk " + bytes(address)).digest()[:16]


def new_device(name: str, address: Address, host: Host, keystore: KeyStore | None = None) -> Device:
    """A device, not yet powered on. Without `keystore` its bonds last as long as it does."""
    config = DeviceConfiguration(
        name=name,
        address=address,
        irk=own_irk(address),
        # Otherwise Bumble hands out the controller's public address if that has one, and the peer files
        # the bond under an address at which this device never shows up again.
        identity_address_type=Address.RANDOM_DEVICE_ADDRESS,
        # By itself Bumble scans for a private address of a bonded peer before it connects, without a limit.
        address_resolution_offload=True,
    )
    device = Device(config=config, host=host)
    device.keystore = keystore or MemoryKeyStore()
    return device


def json_keystore(path: str, address: Address) -> JsonKeyStore:
    """Bonds of the device with `address` in a JSON file, which others may share."""
    return JsonKeyStore(namespace=str(address), filename=path)
