"""Bytes to send: valid ones of every kind, and what mutation makes of them. All from a seeded `Random`."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from random import Random
from typing import Any

from lunette.protocol import wire

_NUMBERS = (0, 1, 2, 7, 255, 256, 32767, 65535, 65536, 2**30, 2**31 - 1, 2**31, 2**32 - 1)
_WORDS = (
    "",
    "x",
    "Lunette",
    "paired",
    "open",
    "debug",
    "info",
    "mtu",
    "é",
    "日本",
    "\x7f",
    "\ud800",
    '"',
    "\\",
)
# Beyond what the wire has room for, or beyond what JSON has a word for.
_STRANGE = ("NaN", "-Infinity", "1e999", "-0", "-1", "1" * 30, "9" * 400, "1e-400", "0.5", "\x00", "+1", "01")

# What each op takes, and values that mean something there: written down here, not taken from the firmware.
OPS: dict[str, dict[str, tuple[Any, ...]]] = {
    "ping": {},
    "status": {},
    "settings": {"name": ("mtu", "name", "nothing", "security")},
    "set": {
        "name": ("mtu", "name", "hold_ms", "adv_ms", "log_level", "omi", "security", "longest_s", "gap_ms"),
        "value": (
            23,
            185,
            512,
            100,
            300,
            "info",
            "debug",
            "error",
            True,
            False,
            "Lunette",
            "open",
            "paired",
            5,
        ),
    },
    "recordings": {},
    "delete": {"recording": (0, 1, 0x10001)},
    "record": {"on": (True, False), "until_silence": (True, False)},
    "mute": {"on": (False, False, True)},
    "time": {"epoch": (1577836800, 1700000000, 4102444799, 4102444800)},
    "identify": {},
    "hosts": {},
    "forget": {"host": ("C0:FF:EE:00:00:09",), "all": (False,)},
    "log": {"before": (0, 1, 10, 100, 100000)},
    "reboot": {"force": (False,)},
}
# Legal, and the end of the session: rare, so that there is a session to go on with.
DESTRUCTIVE = ({"op": "reboot", "force": True}, {"op": "forget", "all": True})


def number(rng: Random) -> int:
    near = rng.choice(_NUMBERS) + rng.choice((0, 0, 0, 1, -1))
    return near if rng.random() < 0.7 else rng.getrandbits(rng.choice((4, 8, 16, 32)))


def u16(rng: Random) -> int:
    return number(rng) & 0xFFFF


def u32(rng: Random) -> int:
    return number(rng) & 0xFFFFFFFF


def noise(rng: Random, longest: int = 64) -> bytes:
    return rng.randbytes(rng.randrange(longest + 1))


def mutate(rng: Random, data: bytes, others: Sequence[bytes] = (), longest: int = 600) -> bytes:
    """One to four changes: bits, bytes, cuts, repeats, splices."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(out) + 1)
        what = rng.randrange(8)
        if what == 0 and out:
            out[at % len(out)] ^= 1 << rng.randrange(8)
        elif what == 1 and out:
            out[at % len(out)] = rng.choice((0, 1, 0x22, 0x5B, 0x7B, 0x7F, 0x80, 0xC0, 0xFE, 0xFF))
        elif what == 2:
            del out[at:]
        elif what == 3:
            del out[at : at + rng.randrange(1, 5)]
        elif what == 4:
            out[at:at] = noise(rng, 8)
        elif what == 5:
            piece = bytes(out[at : at + rng.randrange(1, 20)])
            out[at:at] = piece * rng.choice((1, 2, 30))
        elif what == 6 and others:
            other = rng.choice(others)
            out[at:] = other[rng.randrange(len(other) + 1) :]
        else:
            out += noise(rng, 16)
    return bytes(out[:longest])


# --- CONTROL --------------------------------------------------------------------------------------


def _text(rng: Random) -> str:
    word = rng.choice(_WORDS)
    return (
        word * rng.choice((1, 1, 1, 3, 80, 430)) if rng.random() < 0.8 else "".join(rng.choices(_WORDS, k=6))
    )


def value(rng: Random, depth: int = 0) -> str:
    """JSON text of anything, or nearly JSON."""
    what = rng.randrange(9)
    if what == 0:
        return str(number(rng) * rng.choice((1, 1, -1)))
    if what == 1:
        return json.dumps(_text(rng), ensure_ascii=rng.random() < 0.5)
    if what == 2:
        return rng.choice(("true", "false", "null"))
    if what == 3:
        return rng.choice(_STRANGE)
    if what == 4:
        n = rng.choice((1, 5, 60, 240))
        return "[" * n + "]" * (n if rng.random() < 0.8 else n - 1)
    if what == 5:
        n = rng.choice((2, 40, 90))
        return '{"a":' * n + "1" + "}" * n
    if depth > 2:
        return "0"
    inside = [value(rng, depth + 1) for _ in range(rng.randrange(3))]
    if what == 6:
        return "[" + ",".join(inside) + "]"
    # Keys that JSON does not have, but a lenient parser might.
    keys = [rng.choice(('"id"', '"op"', '"a"', "1", "[1]", "{}", "null", "1.5")) for _ in inside]
    return "{" + ",".join(f"{k}:{v}" for k, v in zip(keys, inside, strict=True)) + "}"


def request(rng: Random, number_: int, recordings: Sequence[int] = ()) -> bytes:
    """A JSON request that is valid, or has one field that is not as it should be."""
    op = rng.choice(list(OPS))
    if op == "reboot" and rng.random() < 0.95:  # it is carried out whenever nothing waits for the host
        op = "status"
    parts = [f'"id":{number_}', f'"op":"{op}"']
    for name, good in OPS[op].items():
        if name == "recording" and recordings and rng.random() < 0.7:
            parts.append(f'"{name}":{rng.choice(list(recordings))}')
        elif rng.random() < 0.75:
            parts.append(f'"{name}":{json.dumps(rng.choice(good))}')
        elif rng.random() < 0.7:
            parts.append(f'"{name}":{value(rng)}')
    odd = rng.random()
    if odd < 0.08:
        parts.append(f'"{rng.choice(("id", "op", "on", "force", "", "éé"))}":{value(rng)}')
    elif odd < 0.12:
        parts.insert(0, f"{rng.choice(('1', '[]', '{}', 'null', 'true'))}:{value(rng)}")
    elif odd < 0.18:
        parts[0] = f'"id":{value(rng)}'
    elif odd < 0.22:
        parts[1] = f'"op":{value(rng)}'
    elif odd < 0.30:
        rng.shuffle(parts)
    return ("{" + ",".join(parts) + "}").encode("utf-8", "surrogatepass")


def control(rng: Random, number_: int, recordings: Sequence[int] = ()) -> bytes:
    """One write to CONTROL. A JSON request has the id `number_` unless mutation takes it."""
    what = rng.random()
    if what < 0.25:
        known = rng.choice(list(recordings)) if recordings and rng.random() < 0.8 else u32(rng)
        make = wire.ack if rng.random() < 0.5 else wire.resume
        data = make(known, u32(rng) if rng.random() < 0.4 else rng.randrange(60))
    elif what < 0.30:
        data = wire.ready(rng.choice((1, 1, 0, 2, 255)))
    elif what < 0.36:
        return noise(rng, rng.choice((4, 20, 520)))
    else:
        data = request(rng, number_, recordings)
    if rng.random() < 0.35:
        return mutate(rng, data, (wire.ready(), wire.ack(1, 2), b'{"id":1,"op":"status"}'), 524)
    return data[:524]


# --- the other characteristics ----------------------------------------------------------------------


def current_time(rng: Random) -> bytes:
    """Ten bytes of the Current Time Service, more or less."""
    year = rng.choice((2019, 2020, 2024, 2026, 2099, 2100, 0, 65535)) if rng.random() < 0.8 else u16(rng)
    rest = [rng.choice((0, 1, 2, 12, 13, 23, 24, 28, 29, 30, 31, 32, 59, 60, 255)) for _ in range(8)]
    data = struct.pack("<H8B", year, *rest)
    if rng.random() < 0.4:
        data = struct.pack(
            "<H8B", rng.randrange(2020, 2100), rng.randrange(1, 13), rng.randrange(1, 32), rng.randrange(24),
            rng.randrange(60), rng.randrange(60), rng.randrange(8), rng.randrange(256), rng.randrange(4),
        )  # fmt: skip
    return mutate(rng, data) if rng.random() < 0.4 else data


def omi_time(rng: Random) -> bytes:
    data = struct.pack("<I", u32(rng) if rng.random() < 0.5 else rng.randrange(1577836800, 4102444800))
    return mutate(rng, data) if rng.random() < 0.5 else data


# --- ATT, SMP, L2CAP --------------------------------------------------------------------------------


def att(rng: Random, handles: Sequence[int]) -> bytes:
    """A PDU of the attribute protocol: any opcode, handles mostly real, often malformed."""
    handle = rng.choice(list(handles)) if rng.random() < 0.7 else u16(rng)
    first, last = rng.choice(((1, 0xFFFF), (handle, handle), (1, handle), (handle, 0xFFFF), (0, 0), (9, 3)))
    short = rng.choice((0x2800, 0x2801, 0x2802, 0x2803, 0x2902, 0x2A00, 0x2A19, 0x2A2B, u16(rng)))
    uuid = struct.pack("<H", short) if rng.random() < 0.7 else rng.randbytes(16)
    text = noise(rng, rng.choice((2, 4, 10, 20, 300)))
    made = (
        lambda: struct.pack("<BH", 0x02, u16(rng)),
        lambda: struct.pack("<BHH", 0x04, first, last),
        lambda: struct.pack("<BHHH", 0x06, first, last, short) + text,
        lambda: struct.pack("<BHH", 0x08, first, last) + uuid,
        lambda: struct.pack("<BH", 0x0A, handle),
        lambda: struct.pack("<BHH", 0x0C, handle, rng.choice((0, 1, 9, 19, 22, 512, u16(rng)))),
        lambda: (
            b"\x0e" + b"".join(struct.pack("<H", rng.choice(list(handles))) for _ in range(rng.randrange(9)))
        ),
        lambda: (
            b"\x20" + b"".join(struct.pack("<H", rng.choice(list(handles))) for _ in range(rng.randrange(9)))
        ),
        lambda: struct.pack("<BHH", 0x10, first, last) + uuid,
        lambda: struct.pack("<BH", 0x12, handle) + text,
        lambda: struct.pack("<BHH", 0x12, handle, rng.choice((0, 1, 2, 3, 4, 0x100, 0xFFFF))),
        lambda: struct.pack("<BH", 0x52, handle) + text,
        lambda: struct.pack("<BHH", 0x16, handle, rng.choice((0, 0, 2, 18, 500, u16(rng)))) + text,
        lambda: bytes((0x18, rng.choice((0, 1, 1, 2, 255)))),
        lambda: b"\x1e",
        lambda: struct.pack("<BH", rng.choice((0x1B, 0x1D)), handle) + text,
        lambda: struct.pack("<BH", 0xD2, handle) + text,
        lambda: struct.pack("<BBHB", 0x01, rng.getrandbits(8), handle, rng.getrandbits(8)),
        lambda: (
            bytes((rng.choice((0x03, 0x05, 0x07, 0x09, 0x0B, 0x0D, 0x0F, 0x11, 0x13, 0x17, 0x19)),)) + text
        ),
        lambda: rng.randbytes(rng.randrange(30)),
    )
    pdu = rng.choice(made)()
    return mutate(rng, pdu, (b"\x0a\x03\x00", b"\x18\x01")) if rng.random() < 0.3 else pdu


_SMP_SIZES = {1: 6, 2: 6, 3: 16, 4: 16, 5: 1, 6: 16, 7: 10, 8: 16, 9: 7, 10: 16, 11: 1, 12: 64, 13: 16, 14: 1}


def smp(rng: Random) -> bytes:
    """A PDU of the security manager protocol."""
    code = rng.choice(list(_SMP_SIZES)) if rng.random() < 0.95 else rng.getrandbits(8)
    body = rng.randbytes(_SMP_SIZES.get(code, 5))
    if code == 1 and rng.random() < 0.7:
        body = bytes((rng.choice((3, 3, 0, 4, 9)), rng.choice((0, 0, 1, 7)), rng.choice((9, 1, 0, 0x2D, 255)),
                      rng.choice((16, 16, 7, 6, 0, 17, 255)), rng.choice((0, 1, 3, 7, 255)),
                      rng.choice((0, 1, 3, 7, 255))))  # fmt: skip
    pdu = bytes((code,)) + body
    return mutate(rng, pdu) if rng.random() < 0.2 else pdu


def signal(rng: Random) -> bytes:
    """A command on the LE signalling channel."""
    code = rng.choice((1, 2, 6, 7, 8, 10, 18, 19, 20, 21, 22, 23, 24, 25, 26, rng.getrandbits(8)))
    body = noise(rng, 16) if rng.random() < 0.6 else struct.pack("<HHHH", 6, 12, 0, 300)
    size = len(body) if rng.random() < 0.8 else u16(rng)
    pdu = struct.pack("<BBH", code, rng.getrandbits(8), size) + body
    return mutate(rng, pdu) if rng.random() < 0.2 else pdu


def frame(rng: Random, handles: Sequence[int]) -> bytes:
    """A whole L2CAP frame: channel, and a length that may lie."""
    what = rng.random()
    if what < 0.6:
        channel, body = 4, att(rng, handles)
    elif what < 0.8:
        channel, body = 6, smp(rng)
    elif what < 0.95:
        channel, body = 5, signal(rng)
    else:
        channel, body = u16(rng), noise(rng)
    size = len(body)
    if rng.random() < 0.02:
        size = rng.choice((0, size + 1, max(0, size - 1), 0xFFFF))
    return struct.pack("<HH", size, channel) + body


def request_of(fields: dict[str, Any], number_: int) -> bytes:
    return wire.dumps({"id": number_, **fields})
