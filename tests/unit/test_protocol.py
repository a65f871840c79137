"""The wire format: any messages through packets of any size, and anything else without harm."""

from __future__ import annotations

import json
import random
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lunette import paths
from lunette.protocol import wire
from lunette.virtual import interpreter

MTUS = st.integers(23, 527)
BODIES = st.one_of(
    st.binary(max_size=40),
    st.integers(0, wire.MAX_MESSAGE).map(lambda n: bytes(i * 7 & 0xFF for i in range(n))),
)
MESSAGES = st.lists(st.tuples(st.integers(0, 255), BODIES), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=6), JSON, max_size=4)
U32 = st.integers(0, 2**32 - 1)


def pack(messages: list[tuple[int, bytes]], mtu: int, seq: int = 0) -> list[bytes]:
    """Packets as docs/protocol.md describes them, made without the firmware."""
    stream, starts = b"", set()
    for kind, body in messages:
        starts.add(len(stream))
        stream += bytes([kind, len(body) & 0xFF, len(body) >> 8]) + body
    room = mtu - 3 - 2
    packets = []
    for at in range(0, len(stream), room):
        piece = stream[at : at + room]
        inside = [s - at for s in starts if at <= s < at + len(piece) and s - at < 255]
        packets.append(bytes([seq & 0xFF, min(inside, default=255)]) + piece)
        seq += 1
    return packets


def unpack(packets: list[bytes]) -> tuple[list[tuple[int, bytes]], Any]:
    unpacker = wire.Unpacker()
    found = []
    for packet in packets:
        found += unpacker.feed(packet)
    return found, unpacker


@given(MESSAGES, MTUS)
@example([(1, b"x" * 300)] * 400, 23)  # more than 256 packets
@example([(1, b"x" * (522 - 255 - 3)), (2, b"y")], 527)  # a start that `first` cannot name
def test_messages_survive_packets_of_any_size(messages: list[tuple[int, bytes]], mtu: int) -> None:
    found, unpacker = unpack(pack(messages, mtu))
    assert found == messages
    assert (unpacker.gaps, unpacker.errors) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 255), BODIES), max_size=8), MTUS)
def test_the_pump_makes_the_packets_of_the_reference(
    micropython: Any, messages: list[tuple[int, bytes]], mtu: int
) -> None:
    from glasses.journal import Journal
    from glasses.pump import Pump

    packets: list[bytes] = []
    pump = Pump(Journal(1000), lambda buffer: packets.append(bytes(buffer)))
    pump.connect(b"host")
    for kind, body in messages:
        assert pump.control(kind, body)
    pump.start(mtu)
    assert pump.pump()
    # It leaves room in a packet rather than begin another one of the link layer with a few bytes.
    room = mtu - 3
    assert packets == pack(messages, 3 + (244 if 244 < room < 488 else min(room, 495)))


@st.composite
def broken_streams(draw: st.DrawFn) -> tuple[list[tuple[int, bytes]], int, list[int]]:
    """Messages that differ, an MTU, and the order in which their packets arrive (indices)."""
    sizes = draw(st.lists(st.integers(4, 120), min_size=2, max_size=40))
    messages = [(1 + i % 7, struct.pack("<I", i) + bytes([i]) * (n - 4)) for i, n in enumerate(sizes)]
    mtu = draw(st.integers(23, 200))
    order = list(range(len(pack(messages, mtu))))
    for _ in range(draw(st.integers(0, 5))):
        if not order:
            break
        at = draw(st.integers(0, len(order) - 1))
        fault = draw(st.sampled_from(("lose", "repeat", "swap")))
        if fault == "lose":
            del order[at : at + draw(st.integers(1, 5))]
        elif fault == "repeat":
            order.insert(at, order[at])
        elif at + 1 < len(order):
            order[at], order[at + 1] = order[at + 1], order[at]
    return messages, mtu, order


@given(broken_streams())
def test_no_message_is_invented_and_the_next_start_is_found(
    case: tuple[list[tuple[int, bytes]], int, list[int]],
) -> None:
    messages, mtu, order = case
    packets = pack(messages, mtu)
    unpacker = wire.Unpacker()
    found = [m for i in order for m in unpacker.feed(packets[i])]
    assert all(m in messages for m in found)
    if order != list(range(len(packets)))[: len(order)]:
        assert unpacker.gaps > 0
    # The packets after the last fault are in order: each message that starts in them arrives.
    whole = len(order) - 1
    while whole > 0 and order[whole] == order[whole - 1] + 1:
        whole -= 1
    if order and order[-1] == len(packets) - 1:
        room = mtu - 5
        at, expected = 0, []
        for message in messages:
            if at >= order[whole] * room:
                expected.append(message)
            at += 3 + len(message[1])
        assert found[len(found) - len(expected) :] == expected


def test_a_lost_first_packet_is_a_gap() -> None:
    packets = pack([(1, b"a" * 30), (2, b"b" * 30)], 23)
    found, unpacker = unpack(packets[1:])
    assert found == [(2, b"b" * 30)]
    assert unpacker.gaps == 1


def test_a_loss_of_256_packets_is_noticed() -> None:
    messages = [(1, bytes([i % 251]) * (20 + i % 13)) for i in range(400)]
    packets = pack(messages, 23)
    assert len(packets) > 300
    found, unpacker = unpack(packets[:10] + packets[266:])
    assert unpacker.errors > 0
    assert all(m in messages for m in found)
    assert found[-1] == messages[-1]


@pytest.mark.parametrize("claimed", [0, 3, 10])
def test_a_start_that_is_none_is_an_error(claimed: int) -> None:
    packets = pack([(1, b"a" * 60), (2, b"b" * 60)], 23)
    assert packets[1][1] == wire.NO_START
    packets[1] = bytes([packets[1][0], claimed]) + packets[1][2:]
    found, unpacker = unpack(packets)
    assert unpacker.errors == 1
    assert found == [(2, b"b" * 60)]


@given(st.lists(st.binary(max_size=530), max_size=40))
def test_random_packets_do_no_harm(packets: list[bytes]) -> None:
    unpacker = wire.Unpacker()
    for packet in packets:
        unpacker.feed(packet)
        assert len(unpacker._buffer) <= wire.MAX_MESSAGE + wire.MESSAGE_HEADER + 530
    # It is not stuck: what comes after is understood, if not from the first packet on.
    seq = packets[-1][0] + 1 if packets and len(packets[-1]) >= 2 else unpacker._seq + 1
    found = [m for p in pack([(9, b"." * 200)] * 5 + [(3, b"end")], 60, seq) for m in unpacker.feed(p)]
    assert (3, b"end") in found


def test_a_message_that_never_ends_is_not_collected() -> None:
    unpacker = wire.Unpacker()
    for i in range(2000):
        unpacker.feed(bytes([i & 0xFF, 0 if i == 0 else 255]) + b"\x01\xff\xff" + b"x" * 500)
        assert len(unpacker._buffer) <= wire.MAX_MESSAGE + 600
    assert unpacker.errors > 0


@given(st.binary(max_size=600))
@example(b'{"a":1')
@example(b"{" + b'"a":{' * 100 + b"}" * 101)
@example(b'{"a":"\xff"}')
@example(b"\x81\x00\x00\x00")
@example(b"\x83")
@example(b'{"a":' + b"[" * 100_000)
def test_requests_are_parsed_or_refused(data: bytes) -> None:
    try:
        request = wire.parse_request(data)
    except wire.ProtocolError as error:
        assert str(error)
        return
    assert request[0] == data[0]


@given(st.integers(0, 255), st.binary(max_size=600))
@example(wire.HELLO, b"[" * 100_000)
@example(wire.HELLO, b'{"a":' * 100_000)
@example(wire.OPEN, b"\0\0\0\0\xff{}")
def test_messages_are_parsed_or_refused(kind: int, body: bytes) -> None:
    try:
        message = wire.parse_message(kind, body)
    except wire.ProtocolError as error:
        assert str(error)
        return
    assert message[0] == kind


@given(U32, U32, U32, st.sampled_from(wire.KINDS), OBJECTS, st.binary(min_size=1, max_size=176))
def test_what_is_built_is_parsed(
    number: int, index: int, crc: int, kind: str, meta: dict[str, Any], frame: bytes
) -> None:
    parse = wire.parse_message
    assert parse(wire.OPEN, wire.open_body(number, kind, meta)) == (wire.OPEN, number, kind, meta)
    assert parse(wire.DATA, wire.data_body(number, index, frame)) == (wire.DATA, number, index, frame)
    assert parse(wire.MORE, frame) == (wire.MORE, frame)
    assert parse(wire.CLOSE, wire.close_body(number, index, crc, meta)) == (
        wire.CLOSE,
        number,
        index,
        crc,
        meta,
    )
    assert parse(wire.GONE, wire.gone_body(number)) == (wire.GONE, number)
    assert parse(wire.REPLY, wire.dumps(meta)) == (wire.REPLY, meta)
    assert wire.parse_request(wire.ack(number, index)) == (wire.ACK, number, index)
    assert wire.parse_request(wire.resume(number, index)) == (wire.RESUME, number, index)
    assert wire.parse_request(wire.ready()) == (wire.READY, wire.VERSION)
    request = {"id": 1} | meta
    assert wire.parse_request(wire.dumps(request)) == (wire.JSON_REQUEST, request)


def test_the_bytes_are_those_of_the_specification() -> None:
    assert wire.ack(0x01020304, 5) == bytes.fromhex("81 04030201 05000000")
    assert wire.resume(1, 0x100) == bytes.fromhex("82 01000000 00010000")
    assert wire.ready(1) == bytes.fromhex("83 01")
    assert wire.message(wire.GONE, wire.gone_body(7)) == bytes.fromhex("07 0400 07000000")
    assert wire.open_body(1, "photo", {}) == bytes.fromhex("01000000 01") + b"{}"
    assert wire.close_body(1, 2, 0xFFFFFFFF, {}) == bytes.fromhex("01000000 02000000 ffffffff") + b"{}"


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(wire.ProtocolError, match="smell"):
        wire.open_body(1, "smell", {})


def _hostile_requests() -> Iterator[bytes]:
    """Requests that JSON parsers differ on, and mutations of good ones."""
    yield from (b'{"a":' * 80, b"{" + b"[" * 400, b"{[1]:2}", b"{{}:{}}", b'{"op":"\\ud800"}', b'{"n":1e999}')
    yield from (
        b'{"n":NaN}',
        b"{1:2}",
        b"{}x",
        b'{"op":"ping"',
        b"{\x00}",
        b'{"a":"\xff\xfe"}',
        b"{" + b"9" * 400,
    )
    yield from (
        b'{"n":' + b"9" * 400 + b"}",
        b"{,}",
        b'{"a"}',
        b"{:}",
        b'{"a":}',
        b"",
        b"\x81",
        b"\x83\x01\x01",
    )
    rng = random.Random(1)
    good = [
        json.dumps({"id": 7, "op": "set", "name": "mtu", "value": [1, {"a": None}]}).encode(),
        wire.ack(1, 2),
    ]
    for _ in range(2000):
        data = bytearray(rng.choice(good))
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = (
                rng.choice(b'{}[]":,0123\\u\xff\x00ae') if rng.random() < 0.8 else 200
            )
        yield bytes(data[: rng.randint(1, len(data))])


def test_hostile_requests_are_refused_in_micropython(tmp_path: Path) -> None:
    """The same law where the firmware really runs: its JSON parser is another one."""
    requests = list(_hostile_requests())
    (tmp_path / "requests").write_bytes(b"".join(struct.pack("<H", len(r)) + r for r in requests))
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, struct\n"
        f"sys.path.insert(0, {str(paths.FIRMWARE)!r})\n"
        "from glasses import protocol\n"
        f"file = open({str(tmp_path / 'requests')!r}, 'rb')\n"
        "parsed = refused = 0\n"
        "while True:\n"
        "    head = file.read(2)\n"
        "    if not head:\n"
        "        break\n"
        "    data = file.read(struct.unpack('<H', head)[0])\n"
        "    try:\n"
        "        request = protocol.parse_request(data)\n"
        "        assert request[0] == data[0]\n"
        "        parsed += 1\n"
        "    except protocol.ProtocolError:\n"
        "        refused += 1\n"
        "    except Exception as error:\n"
        "        print('escaped', repr(error), data)\n"
        "print('done', parsed + refused)\n"
    )
    result = subprocess.run(
        interpreter.command(str(script)), capture_output=True, text=True, timeout=30, check=False
    )
    assert result.stdout.splitlines() == [f"done {len(requests)}"], result.stdout + result.stderr
