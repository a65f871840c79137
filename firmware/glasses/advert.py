"""What hosts find the glasses by: UUIDs, and the advertisement, 31 bytes and 31 in the scan response.

Host and glasses import this file, as they do protocol.py, which a beacon does not need.
"""

import binascii

SERVICE = "4c550001-6e65-7474-6521-676c61737365"
STREAM = "4c550002-6e65-7474-6521-676c61737365"  # notify: packets, glasses to host
CONTROL = "4c550003-6e65-7474-6521-676c61737365"  # write: requests, host to glasses

# One byte of manufacturer data. Lunette has no company number: 0xFFFF is for tests.
COMPANY = 0xFFFF
RESTING = 0x01  # nothing is there for a host

RESPONSE_BYTES = 31
# Flags of the advertisement: no BR/EDR, and discoverable in general, or for a limited time while hosts
# may pair.
_GENERAL = 0x06
_LIMITED = 0x05
# Of manufacturer data, before the byte: length, type, COMPANY.
_STATE = b"\x04\xff\xff\xff"


def _uuid_field(text):
    """A 128-bit service UUID; others may follow elsewhere."""
    return b"\x11\x06" + bytes(reversed(binascii.unhexlify(text.replace("-", ""))))


def name_field(name, room):
    """The name (UTF-8) in at most `room` bytes, shortened to whole characters if need be."""
    if len(name) + 2 <= room:
        return bytes((len(name) + 1, 0x09)) + name
    end = room - 2
    while name[end] & 0xC0 == 0x80:  # in the middle of a character
        end -= 1
    return bytes((end + 1, 0x08)) + name[:end]


def compose(name, service, other=None, pairing=False, resting=False):
    """(advertisement, scan response). `service` is the UUID of Lunette; with `other` that one is in the
    advertisement, since other products' apps look nowhere else, and Lunette's in the response.
    `resting`: there is nothing for a host, which need not connect unless it wants something itself."""
    first = _uuid_field(service)
    second = b""
    if other:
        first, second = _uuid_field(other), first
    flags = b"\x02\x01" + bytes((_LIMITED if pairing else _GENERAL,))
    state = _STATE + bytes((RESTING if resting else 0,))
    return flags + first + state, second + name_field(name.encode(), RESPONSE_BYTES - len(second))
