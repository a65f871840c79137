"""Virtual glasses and a host that were paired before: the files of both, without the pairing."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path
from typing import Any

from lunette import firmware
from lunette.virtual.bleak_radio import Identity
from lunette.virtual.bonding import make_bond

BONDS = "bonds.json"


async def introduce(host: Identity, address: str) -> bytes:
    """Have `host` keep a bond with glasses of that address; returns their /bonds.json."""
    format_ = firmware.load("bonds")  # there is one writer of it
    keys: dict[int, Any] = {}
    peer = b""
    for kind, key, value in await make_bond(host, address, secrets.token_bytes(16)):
        keys[kind] = value
        if kind != format_.IRK:
            peer = key
    with tempfile.TemporaryDirectory(prefix="lunette-bond-") as folder:
        path = Path(folder, BONDS)
        bonds = format_.Bonds(str(path))
        bonds.set_irk(keys[format_.IRK])
        bonds.keep(peer, keys[format_.OURS], keys[format_.THEIRS])
        bonds.save()
        return path.read_bytes()
