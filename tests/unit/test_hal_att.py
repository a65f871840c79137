"""What the simulated chip answers to odd bytes: NimBLE's answers, and its silences, byte for byte."""

from __future__ import annotations

import asyncio
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from bumble import att, l2cap, smp
from test_hal_security import ADDRESS, ENCRYPTION, OUR, PEER, Program, Scene, fresh_host, scene
from tests.fuzz.peer import RawPeer

from lunette.virtual import bleak_radio
from lunette.virtual.bonding import make_bond
from lunette.virtual.chip.att_channel import MAX_PREPARED

__all__ = ["fresh_host"]

NOTIFIED, INDICATED = 18, 19
INVALID_HANDLE, WRITE_NOT_PERMITTED, NOT_SUPPORTED, INVALID_OFFSET = 0x01, 0x03, 0x06, 0x07
QUEUE_FULL, NOT_FOUND, LENGTH, NO_AUTHENTICATION = 0x09, 0x0A, 0x0D, 0x05


async def _peer(here: Scene, **options: Any) -> RawPeer:
    world: Any = SimpleNamespace(air=here.air)
    return await RawPeer(world, to=ADDRESS, **options).connect()


async def _error(peer: RawPeer, pdu: bytes) -> int:
    answer = await peer.ask(pdu)
    assert answer is not None and answer[:2] == bytes((1, pdu[0])), answer
    return answer[4]


def _pdu(op: int, *numbers: int, rest: bytes = b"") -> bytes:
    return struct.pack(f"<B{len(numbers)}H", op, *numbers) + rest


@scene
async def test_a_request_that_is_too_short_is_not_answered(here: Scene) -> None:
    program = await here.program()
    peer = await _peer(here)
    for text in ("0a", "0a01", "04 0100", "06 0100 ffff 00", "12 05", "18", "16 0100 00",
                 "08 0100 ffff 010203", "10 0100 ffff 002800"):  # fmt: skip
        pdu = bytes.fromhex(text)
        assert await peer.ask(pdu, 0.3) is None, pdu.hex()
    assert await peer.ask(_pdu(0x0A, program.plain)) == b"\x0b"


@scene
async def test_unknown_requests_are_refused_and_unknown_commands_dropped(here: Scene) -> None:
    await here.program()
    peer = await _peer(here)
    for op in (0x00, 0x14, 0x22, 0x3F, 0x80, 0xBF):
        assert await _error(peer, bytes((op, 1, 2))) == NOT_SUPPORTED
    for op in (0x40, 0x53, 0xD2, 0xFF):
        assert await peer.ask(bytes((op, 1, 2)), 0.3) is None


@scene
async def test_ranges_are_checked_first(here: Scene) -> None:
    await here.program()
    peer = await _peer(here)
    for op in (0x04, 0x06, 0x08, 0x10):
        rest = b"" if op == 0x04 else b"\x00\x28"
        assert await _error(peer, _pdu(op, 0, 9, rest=rest)) == INVALID_HANDLE
        assert await _error(peer, _pdu(op, 9, 8, rest=rest)) == INVALID_HANDLE


@scene
async def test_requests_that_meet_a_value_that_may_not_be_read_are_answered(here: Scene) -> None:
    program = await here.program()
    peer = await _peer(here)
    program.ble.gatts_write(program.plain, b"ab")
    for op in (0x0E, 0x20):
        assert await _error(peer, _pdu(op, program.plain, program.encrypted)) == NO_AUTHENTICATION
        assert await _error(peer, _pdu(op, program.plain, 999)) == INVALID_HANDLE
    assert await peer.ask(_pdu(0x0E, program.plain, program.plain)) == b"\x0fabab"
    assert await peer.ask(_pdu(0x20, program.plain, program.plain)) == b"\x21\2\0ab\2\0ab"
    find = bytes.fromhex("02000040000000801111000000111111")[::-1]  # by a UUID of 16 bits: there is none here
    assert await _error(peer, _pdu(0x06, 1, 0xFFFF, 0x2A00, rest=find)) == NOT_FOUND
    assert await peer.ask(_pdu(0x06, 1, 0xFFFF, 0x2800, rest=b"\x00\x18")) == _pdu(0x07, 1, 3)


@scene
async def test_declarations_are_not_for_writing(here: Scene) -> None:
    program = await here.program()
    peer = await _peer(here)
    before = await peer.ask(_pdu(0x0A, program.plain - 1))
    for op in (0x12, 0x16):
        rest = b"\0\0" if op == 0x12 else b"\0\0\0\0"
        assert await _error(peer, _pdu(op, program.plain - 1, rest=rest)) == WRITE_NOT_PERMITTED
        assert await _error(peer, _pdu(op, 999, rest=rest)) == INVALID_HANDLE
    peer.command(program.plain - 1, b"\0\0")
    assert await peer.ask(_pdu(0x0A, program.plain - 1)) == before


@scene
async def test_a_subscription_has_two_bytes_and_only_bits_that_are_offered(here: Scene) -> None:
    program = await here.program()
    peer = await _peer(here)
    handle = program.plain + 1
    for value in (b"", b"\1", b"\1\0\0"):
        assert await _error(peer, _pdu(0x12, handle, rest=value)) == LENGTH
    for value in (b"\2\0", b"\3\0", b"\1\1"):  # indications are not offered
        assert await _error(peer, _pdu(0x12, handle, rest=value)) == NOT_SUPPORTED
    assert await peer.write(handle, b"\1\0") == 0
    program.ble.gatts_write(program.plain, b"told", True)
    await here.settle()
    assert list(peer.heard) == [(program.plain, b"told")]


@scene
async def test_prepared_writes_are_put_together_in_order_of_their_offsets(here: Scene) -> None:
    program = await here.program()
    peer = await _peer(here)
    for offset, part in ((2, b"cd"), (0, b"ab")):
        pdu = _pdu(0x16, program.plain, offset, rest=part)
        assert await peer.ask(pdu) == b"\x17" + pdu[1:]
    assert program.told(3) == []
    assert await peer.ask(b"\x18\1") == b"\x19"
    await here.settle()
    assert program.ble.gatts_read(program.plain) == b"abcd"
    assert len(program.told(3)) == 1
    await peer.ask(_pdu(0x16, program.plain, 1, rest=b"x"))
    assert await _error(peer, b"\x18\1") == INVALID_OFFSET
    await peer.ask(_pdu(0x16, program.plain, 0, rest=b"gone"))
    assert await peer.ask(b"\x18\0") == b"\x19", "taken back"
    assert await peer.ask(b"\x18\1") == b"\x19", "nothing is left"
    assert program.ble.gatts_read(program.plain) == b"abcd"
    assert await _error(peer, _pdu(0x16, program.encrypted, 0, rest=b"x")) == NO_AUTHENTICATION


@scene
async def test_prepared_writes_are_few_and_go_with_the_connection(here: Scene) -> None:
    program = await here.program()
    first = await _peer(here)
    program.advertise()
    for _ in range(MAX_PREPARED):
        assert (await first.ask(_pdu(0x16, program.plain, 0, rest=b"x")) or b"")[:1] == b"\x17"
    second = await _peer(here)
    pdu = _pdu(0x16, program.plain, 0, rest=b"x")
    assert await _error(first, pdu) == QUEUE_FULL
    assert await _error(second, pdu) == QUEUE_FULL, "there is one pool"
    await first.leave()
    await here.settle()
    assert await second.ask(pdu) == b"\x17" + pdu[1:]


@scene
async def test_a_peer_may_notify_us_and_the_program_is_told(here: Scene) -> None:
    program = await here.program()
    peer = await _peer(here)
    peer.send(att.ATT_CID, _pdu(0x1B, 7, rest=b"note"))
    assert await peer.ask(_pdu(0x1D, 8, rest=b"ind")) == b"\x1e"
    peer.send(att.ATT_CID, _pdu(0x1B, 0, rest=b"of nothing"))
    await here.settle()
    connection = program.connection
    assert program.told(NOTIFIED, INDICATED) == [
        (NOTIFIED, connection, 7, b"note"),
        (INDICATED, connection, 8, b"ind"),
    ]


@scene
async def test_answers_that_nobody_asked_for_do_nothing(here: Scene) -> None:
    program = await here.program()
    peer = await _peer(here)
    for pdu in (b"\x03\x17\x00", b"\x0b", b"\x1e", b"\x01\x0a\x01\x00\x05", b"\x01", b"\x09\x00"):
        assert await peer.ask(pdu, 0.2) is None
    assert await peer.ask(_pdu(0x0A, program.plain)) is not None


@scene
async def test_no_channel_can_be_opened_and_no_command_is_carried_out(here: Scene) -> None:
    await here.program()
    peer = await _peer(here)
    heard: list[tuple[int, bytes]] = []
    peer.device.l2cap_channel_manager.on_pdu = (  # type: ignore[method-assign]
        lambda connection, cid, pdu: heard.append((cid, pdu))
    )
    signalling = l2cap.L2CAP_LE_SIGNALING_CID
    for pdu in (
        b"\x12\x05\x08\x00" + struct.pack("<HHHH", 6, 12, 0, 300),  # other connection parameters
        b"\x14\x06\x0a\x00" + struct.pack("<HHHHH", 0x27, 64, 64, 64, 9),  # a channel for EATT
        b"\xee\x07\x00\x00",
    ):
        peer.send(signalling, pdu)
        await asyncio.sleep(0.1)
        assert heard.pop() == (signalling, bytes((1, pdu[1], 2, 0, 0, 0)))
    ignored = [b"\x12", b"\x12\x05\x09\x00ab", b"\1\1\2\0\0\0", b"\x13\1\2\0\0\0"]
    for cid, pdu in [(signalling, pdu) for pdu in ignored] + [(1, b"\x0a\1\2\0\1\0"), (0x40, b"data")]:
        peer.send(cid, pdu)
    await here.settle()
    assert heard == []


# The security manager


@pytest.mark.parametrize("garbage", [b"\x03" + bytes(16), b"\x0d" + bytes(16), b"\x05\x08", b"\xff", b""])
def test_what_belongs_to_no_pairing_hinders_nobody(garbage: bytes) -> None:
    """A bonded host is still let in, on the same connection."""

    @scene
    async def test(here: Scene) -> None:
        host = bleak_radio.host_identity()
        bond = await make_bond(host, ADDRESS, bytes(16))
        program = await here.program(bond)
        peer = await _peer(here, address=here.host(), keys=host.keystore)
        peer.send(smp.SMP_CID, garbage)
        await here.settle()
        assert program.told(ENCRYPTION) == []
        assert await peer.encrypt()
        await here.settle()
        assert program.told(ENCRYPTION) == [(ENCRYPTION, program.connection, 1, 0, 1, 16)]

    test()


@scene
async def test_impossible_pairings_are_refused_and_told(here: Scene) -> None:
    program = await here.program()
    peer = await _peer(here)
    for request in (
        (1, 5, 0, 9, 16, 3, 3),
        (1, 3, 2, 9, 16, 3, 3),
        (1, 3, 0, 9, 6, 3, 3),
        (1, 3, 0, 9, 17, 3, 3),
    ):
        peer.send(smp.SMP_CID, bytes(request))
    peer.send(smp.SMP_CID, bytes((1, 3, 0)))  # too short: told as well
    await here.settle()
    assert program.told(ENCRYPTION) == 5 * [(ENCRYPTION, program.connection, 0, 0, 0, 0)]
    assert program.bonds == set()


@scene
async def test_a_point_that_is_not_on_the_curve_ends_the_pairing(here: Scene) -> None:
    program = await here.program()
    peer = await _peer(here)
    peer.change = lambda pdu: pdu[:1] + bytes(64) if pdu[0] == 12 else pdu
    assert not await peer.pair(3)
    await here.settle()
    assert program.bonds == set() and program.told(ENCRYPTION) == [
        (ENCRYPTION, program.connection, 0, 0, 0, 0)
    ]
    peer.change = None
    assert await peer.pair(3), "and it may try again"


@scene
async def test_a_new_pairing_replaces_one_that_is_under_way(here: Scene) -> None:
    program = await here.program()
    peer = await _peer(here)
    peer.send(smp.SMP_CID, bytes((1, 3, 0, 9, 16, 3, 3)))
    await asyncio.sleep(0.1)
    assert await peer.pair(5)
    await here.settle()
    key = b"\1" + bytes(peer.device.static_address)
    assert program.bonds == {(OUR, key), (PEER, key)}
    assert isinstance(program, Program)
