"""Bond secrets as NimBLE keeps them: a fixed structure that is opaque to the program.

A program stores what it is given under the type and key it is given with. `SECRET_BYTES` stands for
``sizeof(struct ble_store_value_sec)``, which another build of the stack may have different: secrets of any
other size are taken for absent.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from bumble import hci

OUR_SEC, PEER_SEC, OUR_IRK = 1, 2, 10
IRK_KEY = b"irk"
SECRET_BYTES = 80
# NimBLE's own (ble_hs_pvcy.c), for programs that keep none.
DEFAULT_IRK = bytes.fromhex("ef8de2164fec430dbf5bdd34c0531eb8")

_LAYOUT = struct.Struct("<7sB16s16sB")
_LTK, _IRK, _AUTHENTICATED, _SC = 1, 2, 4, 8


def address_key(address: hci.Address) -> bytes:
    """Seven bytes: the type of an identity address (0 public, 1 random), and the address, little-endian."""
    return bytes([0 if address.is_public else 1]) + bytes(address)


@dataclass
class Secret:
    """What one side of a bond has handed out: key `ltk` (16 bytes) and identity key `irk`."""

    peer: bytes
    ltk: bytes | None
    irk: bytes | None = None
    authenticated: bool = False
    sc: bool = True
    key_size: int = 16

    def pack(self, size: int) -> bytes:
        flags = (
            (_LTK if self.ltk else 0)
            | (_IRK if self.irk else 0)
            | (_AUTHENTICATED if self.authenticated else 0)
            | (_SC if self.sc else 0)
        )
        fixed = _LAYOUT.pack(self.peer, self.key_size, self.ltk or bytes(16), self.irk or bytes(16), flags)
        return fixed.ljust(size, b"\0")

    @classmethod
    def unpack(cls, value: bytes | None, size: int) -> Secret | None:
        """None if there is no value, or it is not one of this stack's."""
        if value is None or len(value) != size:
            return None
        peer, key_size, ltk, irk, flags = _LAYOUT.unpack_from(value)
        return cls(
            peer,
            ltk if flags & _LTK else None,
            irk if flags & _IRK else None,
            bool(flags & _AUTHENTICATED),
            bool(flags & _SC),
            key_size,
        )
