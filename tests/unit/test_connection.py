"""A link that breaks at each await, in every way in which Bleak's backends tell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from bleak.exc import BleakDBusError, BleakError, BleakGATTProtocolError
from fake_bleak import ADDRESS, HOW, Radio

from lunette.client import Disconnected, GlassesClient, LunetteError, NotPaired
from lunette.connection import is_about_pairing
from lunette.virtual.cpython import run


def connection(radio: Radio, **callbacks: Any) -> tuple[GlassesClient, list[str]]:
    ends: list[str] = []
    client = GlassesClient(
        ADDRESS, backends=radio.backends(), on_disconnect=lambda: ends.append("end"), **callbacks
    )
    return client, ends


async def whole(client: GlassesClient) -> None:
    await client.connect()
    await client.resume(1, 0)
    await client.ready()
    await client.ack(1, 1)
    assert await client.request("ping") == "ping"


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("at", ["connect", "start_notify", "resume", "ready", "ack", "request"])
def test_a_link_that_breaks_in_mid_await_is_disconnected(at: str, how: str) -> None:
    async def test() -> None:
        radio = Radio(breaks_at=at, how=how)
        client, ends = connection(radio)
        with pytest.raises(Disconnected):
            await asyncio.wait_for(whole(client), 300)
        if how != "hangs-unheard":
            assert not client.is_connected
        await client.disconnect()
        await client.disconnect()
        await asyncio.sleep(1)
        assert ends == ([] if at in ("connect", "start_notify") else ["end"])
        assert not client.is_connected

    run(test())


def test_a_link_that_breaks_before_the_answer() -> None:
    async def test() -> None:
        client, ends = connection(Radio(answers=False))
        await client.connect()
        await client.ready()
        asked = [asyncio.ensure_future(client.request("ping")) for _ in range(3)]
        done, _ = await asyncio.wait(asked)
        assert all(isinstance(task.exception(), Disconnected) for task in done)
        assert ends == ["end"]
        with pytest.raises(Disconnected):
            await client.request("ping")

    run(test())


def test_nothing_is_heard_of_a_connection_that_has_ended() -> None:
    async def test() -> None:
        radio = Radio()
        messages: list[Any] = []
        client, ends = connection(radio, on_message=messages.append)
        async with client:
            pass
        count = len(messages)
        radio.clients[0].late(bytearray(b"\x01\x00\x07\x04\x00\x01\x00\x05\x00"))
        radio.clients[0]._disconnected()
        assert (len(messages), ends) == (count, ["end"])

    run(test())


def test_somebody_elses_cancellation_stays_one() -> None:
    async def test() -> None:
        radio = Radio(breaks_at="request", how="hangs-unheard")
        client, _ = connection(radio)
        async with client:
            asking = asyncio.ensure_future(client.request("ping"))
            await asyncio.sleep(0.1)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    run(test())


def test_answers_with_strange_ids_are_nobodys() -> None:
    async def test() -> None:
        radio = Radio()
        client, _ = connection(radio)
        async with client:
            for strange in (b"[1]", b"{}", b"null", b'"1"', b"7.5"):
                radio.clients[0].send(6, b'{"id": ' + strange + b', "ok": true}')
            assert await client.request("ping") == "ping"

    run(test())


@pytest.mark.parametrize(
    ("error", "pairing"),
    [
        (BleakGATTProtocolError(0x05), True),
        (BleakGATTProtocolError(0x08), True),
        (BleakGATTProtocolError(0x0F), True),
        (BleakGATTProtocolError(0x11), False),
        (BleakGATTProtocolError(0x03), False),
        (BleakDBusError("org.bluez.Error.NotPermitted", ["Not paired"]), True),
        (BleakDBusError("org.bluez.Error.AuthenticationCanceled", ["Authentication Canceled"]), True),
        (BleakDBusError("org.bluez.Error.Failed", ["Operation failed with ATT error: 0x0f"]), True),
        (BleakDBusError("org.bluez.Error.Failed", ["Operation failed with ATT error: 0x0e"]), False),
        (BleakDBusError("org.bluez.Error.Failed", ["Not connected"]), False),
        (BleakError("Could not write value: Protocol Error 0x05: Insufficient Authentication"), True),
        (BleakError("Encryption is insufficient."), True),
        (BleakError("Peer removed pairing information"), True),
        (BleakError("C0:FF:EE:00:00:01 no longer knows this host: remove the bond"), True),
        (BleakError("Insufficient Resource"), False),
    ],
)
def test_what_is_about_pairing(error: Exception, pairing: bool) -> None:
    assert is_about_pairing(error) is pairing


# --- pairing ------------------------------------------------------------------------------------


def paired(radio: Radio, test: Callable[[], Awaitable[Any]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(test(), 600)

    run(main())


@pytest.mark.parametrize("system", ["bluez", "windows", "macos"])
def test_pairing_with_glasses_in_pairing_mode(system: str) -> None:
    from lunette.pairing import pair

    async def test() -> None:
        radio = Radio(secure=True, system=system, pairing_mode=True)
        assert await pair(None, 5, radio.backends()) == ADDRESS
        assert radio.encrypted and not any(client.is_connected for client in radio.clients)
        assert await pair(None, 5, radio.backends()) == ADDRESS, "again is no harm"
        client, _ = connection(radio)
        await whole(client)

    run(test())


@pytest.mark.parametrize("system", ["bluez", "windows", "macos"])
def test_without_pairing_mode_it_says_what_to_do(system: str) -> None:
    from lunette.pairing import pair

    async def test() -> None:
        radio = Radio(secure=True, system=system)
        with pytest.raises(NotPaired, match="tap, then hold the button for 3 seconds"):
            await pair(None, 5, radio.backends())
        assert not any(client.is_connected for client in radio.clients)
        client, _ = connection(radio)
        with pytest.raises(NotPaired, match="3 seconds"):
            await client.connect()

    run(test())


@pytest.mark.parametrize("system", ["bluez", "windows"])
def test_a_bond_that_only_this_host_knows_is_removed_first(system: str) -> None:
    from lunette.pairing import pair

    async def test() -> None:
        radio = Radio(secure=True, system=system, pairing_mode=True, bond_here=7)
        await pair(None, 5, radio.backends())
        assert radio.encrypted and radio.bond_here != 7
        assert radio.calls.count("unpair") == 1

    run(test())


def test_a_good_bond_is_never_removed() -> None:
    from lunette.pairing import pair

    for at in ("connect", "pair", "start_notify", "ready"):

        async def test(at: str = at) -> None:
            radio = Radio(secure=True, bond_here=7, bond_there=7, breaks_at=at)
            with pytest.raises(LunetteError):
                await pair(None, 5, radio.backends())
            assert radio.bond_here == 7

        run(test())


@pytest.mark.parametrize("how", HOW)
def test_glasses_that_hang_up_in_mid_pairing(how: str) -> None:
    from lunette.pairing import pair

    async def test() -> None:
        radio = Radio(secure=True, pairing_mode=True, breaks_at="pair", how=how)
        with pytest.raises(NotPaired):
            await asyncio.wait_for(pair(None, 5, radio.backends()), 300)

    run(test())


@pytest.mark.parametrize("at", ["start_notify", "ready"])
def test_glasses_that_hang_up_after_pairing_are_not_paired(at: str) -> None:
    from lunette.pairing import pair

    async def test() -> None:
        radio = Radio(secure=True, pairing_mode=True, breaks_at=at)
        with pytest.raises(NotPaired, match="hung up"):
            await pair(None, 5, radio.backends())

    run(test())


def test_forgetting_this_host_removes_both_halves() -> None:
    async def test() -> None:
        radio = Radio(secure=True, bond_here=1, bond_there=1)
        client, _ = connection(radio)
        async with client:
            assert await client.forget("BB:00:00:00:00:02") == ["BB:00:00:00:00:02"]
            assert radio.encrypted
            assert [h["me"] for h in await client.hosts()] == [True, False]
            assert await client.forget() == ["AA:00:00:00:00:01"]
        assert (radio.bond_here, radio.bond_there) == (0, 0)

    run(test())


def test_forgetting_everyone_removes_this_hosts_half_though_the_answer_is_lost() -> None:
    async def test() -> None:
        radio = Radio(secure=True, bond_here=1, bond_there=1)
        client, _ = connection(radio)
        async with client:
            ask = client.request

            async def lost(op: str, **fields: Any) -> Any:
                if op == "forget":
                    radio.answers = False
                return await ask(op, **fields)

            client.request = lost  # type: ignore[method-assign]
            with pytest.raises(Disconnected):
                await client.forget(everyone=True)
        assert radio.bond_here == 0

    run(test())
