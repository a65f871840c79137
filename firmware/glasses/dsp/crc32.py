"""CRC-32 (ISO-HDLC: that of zlib, Ethernet and ``binascii.crc32``), a nibble at a time, in place.

The running value lives in a ``state`` of 4 bytes, little-endian, and is the finished CRC of what has
been fed so far. It is a buffer because a 32-bit integer is a heap object on the chip.
"""

from array import array

import micropython

# Entry i is the CRC register after shifting out the four bits i; polynomial 0xEDB88320 (reflected).
# fmt: off
_TABLE = array("I", (
    0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC,
    0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
    0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
    0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
))
# fmt: on


def reset(state):
    """Make ``state`` (bytearray of 4) the CRC of nothing."""
    state[0] = state[1] = state[2] = state[3] = 0


def value(state):
    """The CRC as an int, 0..2**32-1. Allocates on the chip."""
    return int.from_bytes(state, "little")


@micropython.viper
def update(state: ptr8, buf: ptr8, off: int, n: int):
    """Feed ``buf[off : off + n]``."""
    table = ptr32(_TABLE)
    # The register is the complement of the value. Complemented bytewise: `x ^ -1` of a uint would set
    # the upper half of a 64-bit word on a PC. A uint, because >> of an int copies the sign.
    crc = uint(state[0] ^ 255)
    crc |= uint(state[1] ^ 255) << 8
    crc |= uint(state[2] ^ 255) << 16
    crc |= uint(state[3] ^ 255) << 24
    i = off
    end = off + n
    while i < end:
        crc ^= buf[i]
        crc = (crc >> 4) ^ uint(table[crc & 15])
        crc = (crc >> 4) ^ uint(table[crc & 15])
        i += 1
    state[0] = (crc & 255) ^ 255
    state[1] = ((crc >> 8) & 255) ^ 255
    state[2] = ((crc >> 16) & 255) ^ 255
    state[3] = ((crc >> 24) & 255) ^ 255
