"""Bonds without pairing: for tests, and for scenes whose host was paired before they begin."""

from __future__ import annotations

import secrets

from bumble.hci import Address
from bumble.keys import PairingKeys

from lunette.virtual.bleak_radio import Identity
from lunette.virtual.chip.secrets import (
    IRK_KEY,
    OUR_IRK,
    OUR_SEC,
    PEER_SEC,
    SECRET_BYTES,
    Secret,
    address_key,
)
from lunette.virtual.static_device import own_irk, static_address


async def make_bond(
    host: Identity, glasses_address: str, glasses_irk: bytes, *, size: int = SECRET_BYTES
) -> list[tuple[int, bytes, bytes]]:
    """Bond `host` and the glasses: updates the keys of the host, returns what the glasses have to keep.

    That is what their program would have been asked to store, as (type, key, value): both sides' keys and
    the glasses' own identity key (16 bytes). ValueError if the address is not static random.
    """
    address = static_address(glasses_address)
    if len(glasses_irk) != 16:
        raise ValueError("glasses_irk is 16 bytes")
    ltk = secrets.token_bytes(16)
    peer = address_key(host.address)
    await host.keystore.update(
        str(address),
        PairingKeys(
            address_type=Address.RANDOM_DEVICE_ADDRESS,
            ltk=PairingKeys.Key(value=ltk),
            irk=PairingKeys.Key(value=glasses_irk),
        ),
    )
    return [
        (OUR_IRK, IRK_KEY, glasses_irk),
        (OUR_SEC, peer, Secret(peer, ltk, glasses_irk).pack(size)),
        (PEER_SEC, peer, Secret(peer, ltk, own_irk(host.address)).pack(size)),
    ]
