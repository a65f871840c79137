"""SLIP (RFC 1055), as the boot loaders frame their packets: an end mark before and after each."""

from __future__ import annotations

END, ESC = 0xC0, 0xDB
_ESCAPED = {0xDC: END, 0xDD: ESC}


def encode(packet: bytes) -> bytes:
    """The packet as it goes over the wire."""
    return b"\xc0" + packet.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"


class Decoder:
    """Packets out of a stream. What is outside a packet, or escapes what may not be, is dropped."""

    def __init__(self) -> None:
        self._packet: bytearray | None = None
        self._escaping = False

    def feed(self, data: bytes) -> list[bytes]:
        """The packets that are complete now."""
        done = []
        for byte in data:
            if byte == END:
                if self._packet:
                    done.append(bytes(self._packet))
                    self._packet = None
                else:
                    self._packet = bytearray()
                self._escaping = False
            elif self._packet is None:
                continue
            elif self._escaping:
                self._escaping = False
                if byte in _ESCAPED:
                    self._packet.append(_ESCAPED[byte])
                else:
                    self._packet = None
            elif byte == ESC:
                self._escaping = True
            else:
                self._packet.append(byte)
        return done
