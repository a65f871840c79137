"""The simulated chip's pairing, bonds and permissions, as a program's handler sees them.

The other side is the real Bleak over the simulated air.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from bleak import BleakClient, BleakScanner
from bleak.exc import BleakError, BleakGATTProtocolError
from bumble import hci
from bumble.keys import MemoryKeyStore, PairingKeys

from lunette import paths
from lunette.virtual import bleak_radio
from lunette.virtual.air import Air
from lunette.virtual.bleak_backend import VirtualClient, VirtualScanner, use_air
from lunette.virtual.bonding import make_bond
from lunette.virtual.chip.chip import Chip
from lunette.virtual.chip.radio import Radio
from lunette.virtual.cpython import micropython_modules, run

ADDRESS = "C0:FF:EE:00:00:01"
SERVICE = "11111111-0000-4000-8000-000000000000"
PLAIN = "11111111-0000-4000-8000-000000000001"
ENCRYPTED = "11111111-0000-4000-8000-000000000002"
AUTHENTICATED = "11111111-0000-4000-8000-000000000003"

CONNECT, DISCONNECT, WRITE, READ = 1, 2, 3, 4
ENCRYPTION, GET, SET = 28, 29, 30
OUR, PEER, IRK = 1, 2, 10
NOBODY = 0xFFFF


class Program:
    """What runs on the chip: keeps secrets in a dictionary and writes down what it was told and asked.

    `asked` holds copies: (event, ...) with what was answered last. `override` may answer in its place.
    """

    def __init__(self, secrets: list[tuple[int, bytes, bytes]] = ()) -> None:  # type: ignore[assignment]
        self.bluetooth = importlib.import_module("bluetooth")
        self.ble = self.bluetooth.BLE()
        self.secrets: dict[tuple[int, bytes], bytes] = {(t, k): v for t, k, v in secrets}
        self.asked: list[tuple[Any, ...]] = []
        self.override: Callable[[int, tuple[Any, ...]], Any] | None = None
        self.ble.irq(self.handler)

    def handler(self, event: int, data: tuple[Any, ...]) -> Any:
        copy = tuple(bytes(d) if isinstance(d, memoryview) else d for d in data)
        answer = self.override(event, copy) if self.override is not None else NotImplemented
        if answer is NotImplemented:
            answer = self.answer(event, copy)
        self.asked.append((event, *copy, answer))
        return answer

    def answer(self, event: int, data: tuple[Any, ...]) -> Any:
        if event == GET:
            kind, index, key = data
            if key is not None:
                return self.secrets.get((kind, key))
            of_kind = [v for (t, _), v in self.secrets.items() if t == kind]
            return of_kind[index] if index < len(of_kind) else None
        if event == SET:
            kind, key, value = data
            if value is None:
                return self.secrets.pop((kind, key), None) is not None
            self.secrets[kind, key] = value
            return True
        return None

    def start(self, **config: Any) -> None:
        self.ble.active(True)
        self.ble.config(mtu=185, **({"bond": True, "le_secure": True, "io": 3} | config))
        uuid = self.bluetooth.UUID
        flags = (0x001A, 0x120A, 0x240A)  # read, write, one notifies; encrypted; authenticated
        characteristics = tuple(zip(map(uuid, (PLAIN, ENCRYPTED, AUTHENTICATED)), flags, strict=True))
        ((self.plain, self.encrypted, self.authenticated),) = self.ble.gatts_register_services(
            ((uuid(SERVICE), characteristics),)
        )
        self.advertise()

    def advertise(self) -> None:
        self.ble.gap_advertise(50000, adv_data=b"\x02\x01\x06")

    def told(self, *events: int) -> list[tuple[Any, ...]]:
        return [a[:-1] for a in self.asked if a[0] in events]

    @property
    def bonds(self) -> set[tuple[int, bytes]]:
        return {k for k in self.secrets if k[0] != IRK}

    @property
    def connection(self) -> int:
        return int(self.told(CONNECT)[-1][1])


class Scene:
    def __init__(self) -> None:
        self.air = Air()
        self.chip = Chip()
        self.radio = Radio(self.chip.bus)
        self.device: Any = None

    async def program(self, *args: Any, start: bool = True, **config: Any) -> Program:
        program = Program(*args)
        if start:
            program.start(**config)
        return program

    async def client(self, **options: Any) -> BleakClient:
        client = BleakClient(ADDRESS, backend=VirtualClient, **options)
        await client.connect()
        return client

    async def settle(self) -> None:
        await asyncio.sleep(1)

    def host(self) -> str:
        return str(bleak_radio.host_identity().address)

    def host_key(self) -> bytes:
        return b"\1" + bytes(bleak_radio.host_identity().address)

    def another_host(self) -> None:
        """From here on the host is somebody else's."""
        bleak_radio._identities.clear()


Test = Callable[[Scene], Awaitable[None]]


def scene(test: Test) -> Callable[[], None]:
    def runner() -> None:
        async def main() -> None:
            here = Scene()
            here.device = await here.air.device("glasses", ADDRESS)
            here.radio.plug(here.device)
            here.chip.attach_cpython(importlib.import_module("_port"))
            use_air(here.air)
            try:
                await test(here)
            finally:
                await asyncio.sleep(1)
                await here.radio.close()
                await here.air.close()
                use_air(None)

        with micropython_modules(paths.HAL):
            run(main())

    runner.__name__ = test.__name__  # type: ignore[attr-defined]
    runner.__doc__ = test.__doc__
    return runner


@pytest.fixture(autouse=True)
def fresh_host(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("LUNETTE_KEYS", raising=False)
    monkeypatch.setattr(bleak_radio, "_identities", {})
    yield


# Switching on


@scene
async def test_switching_on_makes_an_identity_key_once(here: Scene) -> None:
    program = await here.program(start=False)
    program.ble.active(True)
    key = program.secrets[IRK, b"irk"]
    assert program.asked == [
        (GET, IRK, 0, b"irk", None),
        (SET, IRK, b"irk", key, True),
        (GET, PEER, 0, None, None),
    ]
    assert len(key) == 16 and here.radio.security.irk == key
    program.ble.active(True)  # it is on
    assert len(program.asked) == 3
    program.ble.active(False)
    program.ble.active(True)
    assert program.told(SET) == [(SET, IRK, b"irk", key)], "the one it has is used again"
    assert here.radio.security.irk == key


@scene
async def test_a_program_that_keeps_nothing_has_the_stacks_own_key(here: Scene) -> None:
    program = await here.program(start=False)
    program.override = lambda event, data: None
    program.ble.active(True)
    shared = here.radio.security.irk
    program.ble.active(False)
    program.ble.irq(None)
    program.ble.active(True)
    assert here.radio.security.irk == shared
    program.ble.active(False)
    program.ble.irq(program.handler)
    program.override = lambda event, data: b"too short" if event == GET else NotImplemented
    program.ble.active(True)
    assert here.radio.security.irk == program.secrets[IRK, b"irk"] != shared


@scene
async def test_bonds_are_looked_through_up_to_the_first_that_is_none(here: Scene) -> None:
    bond = await make_bond(bleak_radio.host_identity(), ADDRESS, bytes(range(16)))
    program = await here.program(bond, start=False)
    program.ble.active(True)
    assert [a[1:4] for a in program.asked] == [(IRK, 0, b"irk"), (PEER, 0, None), (PEER, 1, None)]
    program.ble.active(False)
    program.asked.clear()
    here.radio.security.store.secret_bytes += 4  # another build of the stack
    program.ble.active(True)
    assert [a[1:4] for a in program.asked] == [(IRK, 0, b"irk"), (PEER, 0, None)]


@scene
async def test_a_program_with_endless_bonds_cannot_be_switched_on(here: Scene) -> None:
    bond = await make_bond(bleak_radio.host_identity(), ADDRESS, bytes(16))
    program = await here.program(bond, start=False)
    program.override = lambda event, data: bond[2][2] if data[:1] == (PEER,) else NotImplemented
    with pytest.raises(OSError) as caught:
        program.ble.active(True)
    assert caught.value.args == (116,) and not program.ble.active()


# Pairing


@scene
async def test_pairing_asks_and_tells_in_the_stacks_order(here: Scene) -> None:
    program = await here.program()
    program.asked.clear()
    client = await here.client(pair=True)
    key = here.host_key()
    kinds = [
        a[:1] + tuple(x for x in a[1:-1] if x != program.secrets.get((a[1], key))) for a in program.asked
    ]
    connection = program.connection
    assert [k for k in kinds if k[0] in (GET, SET, ENCRYPTION, CONNECT)] == [
        (CONNECT, connection, 1, bytes(reversed(bytes(bleak_radio.host_identity().address)))),
        (GET, PEER, 0, None),  # is there room for one more?
        (GET, OUR, 0, bytes(7)),
        (GET, PEER, 0, key),  # is there one already?
        (SET, OUR, key),
        (SET, PEER, key),
        (ENCRYPTION, connection, 1, 0, 1, 16),
    ]
    assert program.bonds == {(OUR, key), (PEER, key)}
    assert {len(v) for k, v in program.secrets.items() if k[0] != IRK} == {
        here.radio.security.store.secret_bytes
    }
    await client.disconnect()


@scene
async def test_a_bond_encrypts_the_next_connection(here: Scene) -> None:
    program = await here.program()
    await (await here.client(pair=True)).disconnect()
    await here.settle()
    program.asked.clear()
    program.advertise()
    client = await here.client()
    key, connection = here.host_key(), program.connection
    assert [a[:-1] for a in program.asked if a[0] in (GET, SET, ENCRYPTION)] == [
        (GET, OUR, 0, key),
        (ENCRYPTION, connection, 1, 0, 1, 16),
    ]
    assert await client.read_gatt_char(ENCRYPTED) == b""
    await client.disconnect()


@scene
async def test_without_bonding_nothing_is_kept(here: Scene) -> None:
    program = await here.program(bond=False)
    client = await here.client(pair=True)
    assert program.told(ENCRYPTION) == [(ENCRYPTION, program.connection, 1, 0, 0, 16)]
    assert program.bonds == set()
    await client.disconnect()


@scene
async def test_bonding_is_off_until_configured(here: Scene) -> None:
    program = await here.program(start=False)
    program.ble.active(True)
    program.advertise()
    client = await here.client(pair=True)
    assert program.told(ENCRYPTION) == [(ENCRYPTION, program.connection, 1, 0, 0, 16)]
    await client.disconnect()


@pytest.mark.parametrize("le_secure", [True, False])
def test_either_way_of_pairing_makes_a_bond(le_secure: bool) -> None:
    @scene
    async def test(here: Scene) -> None:
        program = await here.program(le_secure=le_secure)
        await (await here.client(pair=True)).disconnect()
        await here.settle()
        program.advertise()
        if not le_secure:
            # Bumble as a central looks for legacy keys; Bleak's host does not care which they are.
            keys = await bleak_radio.host_identity().keystore.get(ADDRESS)
            assert keys is not None and keys.ltk is None
        client = await here.client()
        assert program.told(ENCRYPTION)[-1][2:] == (1, 0, 1, 16)
        await client.disconnect()

    test()


@scene
async def test_a_host_that_forgot_pairs_again_and_its_old_bond_goes_first(here: Scene) -> None:
    program = await here.program()
    client = await here.client(pair=True)
    await client.disconnect()
    bleak_radio.host_identity().keystore = MemoryKeyStore()
    old = dict(program.secrets)
    await here.settle()
    program.advertise()
    program.asked.clear()
    client = await here.client(pair=True)
    key = here.host_key()
    deleted = [(a[1], a[2], a[4]) for a in program.asked if a[0] == SET and a[3] is None]
    # Of each kind until the program says that there is none.
    assert deleted == [(OUR, key, True), (OUR, key, False), (PEER, key, True), (PEER, key, False)]
    assert program.bonds == {(OUR, key), (PEER, key)}
    assert program.secrets[OUR, key] != old[OUR, key]
    assert await client.read_gatt_char(ENCRYPTED) == b""
    await client.disconnect()


async def _stuck(here: Scene, answer: bool) -> None:
    """A known host pairs anew, and `answer` is all that the program has to say to that."""
    program = await here.program()
    await (await here.client(pair=True)).disconnect()
    bleak_radio.host_identity().keystore = MemoryKeyStore()
    await here.settle()
    program.advertise()
    program.override = lambda event, data: answer if event == SET else NotImplemented
    client = await here.client()
    with pytest.raises(BleakError):
        await client.pair()
    assert here.radio.security.stuck == 1
    await client.disconnect()


@scene
async def test_a_program_that_refuses_to_forget_hangs_the_stack(here: Scene) -> None:
    await _stuck(here, False)


@scene
async def test_a_program_that_always_says_deleted_hangs_the_stack(here: Scene) -> None:
    await _stuck(here, True)


@scene
async def test_the_stack_has_no_limit_of_bonds(here: Scene) -> None:
    program = await here.program()
    for n in range(5):
        await (await here.client(pair=True)).disconnect()
        assert len(program.bonds) == 2 * (n + 1)
        await here.settle()
        program.advertise()
        here.another_host()


@scene
async def test_a_refused_secret_leaves_the_link_encrypted_but_no_bond(here: Scene) -> None:
    program = await here.program()
    program.override = lambda event, data: False if event == SET else NotImplemented
    client = await here.client(pair=True)
    assert program.told(ENCRYPTION)[-1][2:] == (1, 0, 1, 16), "the stack still says bonded"
    assert await client.read_gatt_char(ENCRYPTED) == b""
    assert program.bonds == set()
    await client.disconnect()
    await here.settle()
    program.advertise()
    with pytest.raises(BleakError, match="unpair"):
        await here.client()


@scene
async def test_glasses_that_forgot_the_host(here: Scene) -> None:
    program = await here.program()
    await (await here.client(pair=True)).disconnect()
    await here.settle()
    program.secrets.clear()
    program.asked.clear()
    program.advertise()
    client = BleakClient(ADDRESS, backend=VirtualClient)
    with pytest.raises(BleakError, match="unpair"):
        await client.connect()
    assert program.told(ENCRYPTION) == []
    await client.unpair()
    await here.settle()
    program.advertise()
    client = await here.client(pair=True)
    assert await client.read_gatt_char(ENCRYPTED) == b""
    await client.disconnect()


@scene
async def test_another_build_of_the_stack_voids_bonds(here: Scene) -> None:
    program = await here.program()
    await (await here.client(pair=True)).disconnect()
    await here.settle()
    here.radio.security.store.secret_bytes = 96
    program.advertise()
    with pytest.raises(BleakError, match="unpair"):
        await here.client()


@scene
async def test_a_wrong_key_ends_the_connection(here: Scene) -> None:
    program = await here.program()
    await (await here.client(pair=True)).disconnect()
    await here.settle()
    keystore = bleak_radio.host_identity().keystore
    wrong = PairingKeys(address_type=hci.Address.RANDOM_DEVICE_ADDRESS, ltk=PairingKeys.Key(value=bytes(16)))
    await keystore.update(ADDRESS, wrong)
    program.asked.clear()
    program.advertise()
    with pytest.raises(BleakError):
        await here.client()
    await here.settle()
    assert program.told(ENCRYPTION, DISCONNECT) and program.told(ENCRYPTION)[-1][2:] == (0, 0, 0, 0)
    assert program.asked[-1][0] == DISCONNECT


@scene
async def test_the_program_asks_for_security(here: Scene) -> None:
    program = await here.program()
    for expected_sets in (2, 0):  # by pairing, then with the bond
        program.asked.clear()
        client = await here.client()
        if expected_sets:
            program.ble.gap_pair(program.connection)
            with pytest.raises(OSError) as caught:
                program.ble.gap_pair(program.connection)
            assert caught.value.args == (114,)
        await here.settle()
        assert program.told(ENCRYPTION) == [(ENCRYPTION, program.connection, 1, 0, 1, 16)]
        assert len(program.told(SET)) == expected_sets
        await client.disconnect()
        await here.settle()
        program.advertise()
    with pytest.raises(OSError) as caught:
        program.ble.gap_pair(1234)
    assert caught.value.args == (128,)


@scene
async def test_a_request_for_security_that_nobody_answers_ends_by_itself(here: Scene) -> None:
    program = await here.program()
    deaf = await here.air.device("deaf", "C0:00:00:00:00:01")
    connection = await deaf.connect(hci.Address(ADDRESS, hci.Address.RANDOM_DEVICE_ADDRESS))
    await here.settle()
    program.ble.gap_pair(program.connection)
    await asyncio.sleep(29)
    assert program.told(ENCRYPTION) == []
    await asyncio.sleep(2)
    assert program.told(ENCRYPTION) == [(ENCRYPTION, program.connection, 0, 0, 0, 0)]
    program.ble.gap_pair(program.connection)
    await connection.disconnect()


@pytest.mark.parametrize("how", ["disconnect", "lose power"])
@pytest.mark.parametrize("when", ["room", "repeat", "store"])
@pytest.mark.parametrize("what", ["pair", "connect", "read"])
def test_glasses_that_leave_in_the_middle_of_pairing(what: str, when: str, how: str) -> None:
    moment = {"room": (GET, PEER, 0, None), "repeat": (GET, PEER, 0), "store": (SET, OUR)}[when]

    @scene
    async def test(here: Scene) -> None:
        program = await here.program()
        assert here.device is not None

        def leave(event: int, data: tuple[Any, ...]) -> Any:
            asked_for_room = (GET, OUR, 0, bytes(7)) in program.told(GET)
            if (event, *data)[: len(moment)] == moment and (when != "repeat" or asked_for_room):
                program.override = None
                if how == "disconnect":
                    program.ble.gap_disconnect(program.connection)
                else:
                    here.air.remove(here.device)
            return NotImplemented

        client = BleakClient(ADDRESS, backend=VirtualClient, pair=what == "connect")
        if what == "connect":
            program.override = leave
            action = client.connect()
        else:
            await client.connect()
            program.override = leave
            action = client.pair() if what == "pair" else client.read_gatt_char(ENCRYPTED)
        # What pairing had done before the end may stand; the end itself is an error and no hang.
        try:
            await asyncio.wait_for(action, 29)
        except BleakError:
            pass
        else:
            assert when == "store" and what == "pair", "the host had nothing more to wait for"
        await asyncio.sleep(25)
        assert not client.is_connected
        if how == "disconnect":
            assert [a[0] for a in program.asked][-2:] == [ENCRYPTION, DISCONNECT]

    test()


@pytest.mark.parametrize("how", ["disconnect", "lose power"])
def test_glasses_that_leave_while_a_bonded_host_connects(how: str) -> None:
    @scene
    async def test(here: Scene) -> None:
        program = await here.program(await make_bond(bleak_radio.host_identity(), ADDRESS, bytes(16)))

        def leave(event: int, data: tuple[Any, ...]) -> Any:
            if event == GET:
                if how == "disconnect":
                    program.ble.gap_disconnect(program.connection)
                else:
                    here.air.remove(here.device)
            return NotImplemented

        program.override = leave
        with pytest.raises(BleakError):
            await asyncio.wait_for(here.client(), 29)

    test()


# A bond without pairing


@scene
async def test_a_made_bond_is_as_good_as_one_from_pairing(here: Scene) -> None:
    irk = bytes(range(16))
    program = await here.program(await make_bond(bleak_radio.host_identity(), ADDRESS, irk))
    client = await here.client()
    assert here.radio.security.irk == irk
    assert program.told(ENCRYPTION) == [(ENCRYPTION, program.connection, 1, 0, 1, 16)]
    assert program.told(SET) == []
    await client.disconnect()


# Permissions


@scene
async def test_a_stranger_is_refused_and_the_program_is_not_told(here: Scene) -> None:
    program = await here.program()
    program.ble.gatts_write(program.encrypted, b"secret")
    client = await here.client()
    raw = client._backend._connection.gatt_client  # type: ignore[attr-defined]
    program.asked.clear()
    complaints: list[str] = []
    listener = logging.Handler(logging.ERROR)
    listener.emit = lambda record: complaints.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(listener)
    for handle in (program.encrypted, program.authenticated):
        with pytest.raises(Exception) as caught:
            await raw.read_value(handle)
        assert caught.value.error_code == 0x05  # type: ignore[attr-defined]
        with pytest.raises(Exception) as caught:
            await raw.write_value(handle, b"x", True)
        assert caught.value.error_code == 0x05  # type: ignore[attr-defined]
        await raw.write_value(handle, b"x", False)
    await here.settle()
    logging.getLogger().removeHandler(listener)
    assert complaints == [], "write commands are dropped silently"
    assert {a[0] for a in program.asked} == {GET}, "it is only asked whether there is a bond"
    assert program.ble.gatts_read(program.encrypted) == b"secret"
    await client.disconnect()


@scene
async def test_a_bonded_host_is_told_that_encryption_is_missing(here: Scene) -> None:
    program = await here.program()
    await (await here.client(pair=True)).disconnect()
    await here.settle()
    bleak_radio.host_identity().keystore = MemoryKeyStore()
    program.advertise()
    client = await here.client()
    raw = client._backend._connection.gatt_client  # type: ignore[attr-defined]
    with pytest.raises(Exception) as caught:
        await raw.read_value(program.encrypted)
    assert caught.value.error_code == 0x0F  # type: ignore[attr-defined]
    await client.disconnect()


@scene
async def test_just_works_is_not_authenticated(here: Scene) -> None:
    program = await here.program()
    client = await here.client(pair=True)
    await client.write_gatt_char(ENCRYPTED, b"hello", response=True)
    assert program.told(WRITE) == [(WRITE, program.connection, program.encrypted)]
    with pytest.raises(BleakGATTProtocolError) as caught:
        await client.read_gatt_char(AUTHENTICATED)
    assert caught.value.code == 0x05
    await client.disconnect()


@scene
async def test_a_host_pairs_when_an_attribute_asks_for_it(here: Scene) -> None:
    program = await here.program()
    program.ble.gatts_write(program.encrypted, b"secret")
    client = await here.client()
    assert program.told(ENCRYPTION) == []
    assert await client.read_gatt_char(ENCRYPTED) == b"secret"
    assert program.bonds
    await client.disconnect()


@scene
async def test_notifications_ask_for_nothing(here: Scene) -> None:
    program = await here.program()
    client = await here.client()
    got: list[bytes] = []
    await client.start_notify(PLAIN, lambda _, data: got.append(bytes(data)))
    program.ble.gatts_write(program.plain, b"to subscribers", True)
    await here.settle()
    program.ble.gatts_notify(program.connection, program.plain, b"at once")
    await here.settle()
    assert got == [b"to subscribers", b"at once"]
    await client.disconnect()
    await here.settle()
    program.advertise()
    client = await here.client()
    program.ble.gatts_write(program.plain, b"nobody has subscribed", True)
    await here.settle()
    assert len(got) == 2, "subscriptions end with the connection"
    await client.disconnect()


# Reading


@scene
async def test_the_program_may_answer_a_read_or_refuse_it(here: Scene) -> None:
    program = await here.program()
    client = await here.client()
    for answer, code in (
        (0, None),
        (None, None),
        ("x", None),
        (True, 1),
        (2, 2),
        (5, 5),
        (8, 8),
        (0x81, 0x81),
    ):

        def override(event: int, data: tuple[Any, ...], answer: Any = answer) -> Any:
            if event != READ:
                return NotImplemented
            program.ble.gatts_write(program.plain, b"fresh for %d" % data[0])
            return answer

        program.override = override
        if code is None:
            assert await client.read_gatt_char(PLAIN) == b"fresh for %d" % program.connection
        else:
            with pytest.raises(BleakGATTProtocolError) as caught:
                await client.read_gatt_char(PLAIN)
            assert caught.value.code == code
        assert program.told(READ)[-1] == (READ, program.connection, program.plain)
    await client.disconnect()


@scene
async def test_a_value_that_is_sent_is_read_on_behalf_of_nobody(here: Scene) -> None:
    """A program that refuses reads of strangers silences its own updates unless it knows 0xFFFF."""
    program = await here.program()
    client = await here.client()
    got: list[bytes] = []
    await client.start_notify(PLAIN, lambda _, data: got.append(bytes(data)))
    program.override = lambda event, data: 5 if event == READ else NotImplemented
    program.ble.gatts_write(program.plain, b"never seen", True)
    await here.settle()
    assert got == [] and program.told(READ) == [(READ, NOBODY, program.plain)]
    with pytest.raises(OSError):
        program.ble.gatts_notify(program.connection, program.plain)
    program.override = lambda event, data: 5 if event == READ and data[0] != NOBODY else NotImplemented
    program.ble.gatts_write(program.plain, b"seen", True)
    await here.settle()
    assert got == [b"seen"]
    await client.disconnect()


# A program that fails


@scene
async def test_a_handler_that_raised_answers_nothing_any_more(here: Scene) -> None:
    program = await here.program()
    await (await here.client(pair=True)).disconnect()
    await here.settle()
    program.advertise()

    def fail(event: int, data: tuple[Any, ...]) -> Any:
        if event == CONNECT:
            raise ValueError("on purpose")
        return NotImplemented

    program.override = fail
    with pytest.raises(BleakError, match="unpair"):  # no secrets
        await here.client()
    assert here.chip.errors and here.radio.questions.unanswered == 0
    await here.settle()
    program.advertise()
    bleak_radio.host_identity().keystore = MemoryKeyStore()
    client = await here.client()
    assert await client.read_gatt_char(PLAIN) == b"", "reads are allowed"
    await client.disconnect()


@scene
async def test_a_handler_that_raises_when_asked_is_asked_no_more(here: Scene) -> None:
    program = await here.program()
    client = await here.client()
    calls: list[int] = []

    def fail(event: int, data: tuple[Any, ...]) -> Any:
        calls.append(event)
        raise ValueError("on purpose")

    program.override = fail
    assert await client.read_gatt_char(PLAIN) == b""
    assert await client.read_gatt_char(PLAIN) == b""
    assert calls == [READ] and len(here.chip.errors) == 1
    program.override = None
    program.ble.irq(program.handler)
    assert await client.read_gatt_char(PLAIN) == b""
    assert program.told(READ) == [(READ, program.connection, program.plain)]
    await client.disconnect()


@scene
async def test_a_program_that_does_not_answer_is_waited_for_and_counted(here: Scene) -> None:
    program = await here.program()
    client = await here.client()
    here.chip.bus.ring = None  # interrupts reach nobody
    loop = asyncio.get_running_loop()
    before = loop.time()
    assert await client.read_gatt_char(PLAIN) == b""
    assert 5 <= loop.time() - before < 6
    assert here.radio.questions.unanswered == 1
    assert program.told(READ) == []
    await client.disconnect()


# Several centrals


@scene
async def test_four_connections_and_no_fifth(here: Scene) -> None:
    program = await here.program()
    clients = []
    for n in range(4):
        here.another_host()
        device = await here.air.device(f"host{n}", f"C0:00:00:00:00:{n:02X}")
        clients.append(await device.connect(hci.Address(ADDRESS, hci.Address.RANDOM_DEVICE_ADDRESS)))
        await here.settle()
        assert len(program.told(CONNECT)) == n + 1
        if n < 3:
            program.advertise()
    with pytest.raises(OSError) as caught:
        program.advertise()
    assert caught.value.args == (12,)
    second = program.told(CONNECT)[1][1]
    assert program.ble.gap_disconnect(second)
    await here.settle()
    assert [a[1] for a in program.told(DISCONNECT)] == [second]
    assert sorted(c.handle for c in here.radio.connections) == sorted(
        a[1] for a in program.told(CONNECT) if a[1] != second
    )
    program.advertise()
    assert await BleakScanner.find_device_by_address(ADDRESS, timeout=5, backend=VirtualScanner)


# Private addresses


async def advertised(timeout: float = 5.0) -> set[str]:
    """Who advertises now, as this host sees it."""
    found = await BleakScanner.discover(timeout, backend=VirtualScanner)
    return {device.address for device in found}


@scene
async def test_strangers_see_addresses_that_change_and_bonded_hosts_do_not(here: Scene) -> None:
    program = await here.program(start=False)
    program.start(addr_mode=2)
    with pytest.raises(OSError) as caught:
        program.ble.config("mac")
    assert caught.value.args == (22,)
    (first,) = await advertised()
    assert first != ADDRESS and first[0] in "4567", "a resolvable address begins with the bits 01"
    assert await advertised() == {first}
    await asyncio.sleep(15 * 60)
    (second,) = await advertised()
    assert second not in (first, ADDRESS)
    # A stranger connects by the address it sees, and pairs: from then on it knows the identity.
    client = BleakClient(second, backend=VirtualClient)
    await client.connect()
    assert await client.read_gatt_char(ENCRYPTED) == b""
    await client.disconnect()
    await here.settle()
    program.advertise()
    assert await advertised() == {ADDRESS}
    await asyncio.sleep(15 * 60)
    assert await advertised() == {ADDRESS}
    program.asked.clear()
    client = await here.client()
    assert client.address == ADDRESS
    assert program.told(ENCRYPTION) == [(ENCRYPTION, program.connection, 1, 0, 1, 16)]
    await client.disconnect()
    await here.settle()
    program.advertise()
    here.another_host()
    (third,) = await advertised()
    assert third not in (first, second, ADDRESS)


@scene
async def test_pairing_anew_with_private_glasses_that_forgot(here: Scene) -> None:
    program = await here.program(addr_mode=2)
    (seen,) = await advertised()
    client = BleakClient(seen, backend=VirtualClient, pair=True)
    await client.connect()
    await client.disconnect()
    await here.settle()
    program.secrets = {k: v for k, v in program.secrets.items() if k[0] == IRK}
    program.advertise()
    with pytest.raises(BleakError, match="unpair"):
        await client.connect()
    scanner = BleakScanner(backend=VirtualScanner)  # so that the host's controller stays on
    await scanner.start()
    await client.unpair()
    await here.settle()
    program.advertise()
    assert await advertised() == {seen}, "to a host without the bond they are strangers again"
    client = BleakClient(seen, backend=VirtualClient, pair=True)
    await client.connect()
    assert await client.read_gatt_char(ENCRYPTED) == b""
    await client.disconnect()
    await scanner.stop()


@scene
async def test_a_made_bond_with_private_glasses(here: Scene) -> None:
    program = await here.program(
        await make_bond(bleak_radio.host_identity(), ADDRESS, bytes(range(16))), addr_mode=2
    )
    client = await here.client()
    assert program.told(ENCRYPTION) == [(ENCRYPTION, program.connection, 1, 0, 1, 16)]
    await client.disconnect()
    await here.settle()
    program.ble.config(addr_mode=1)
    program.advertise()
    assert await advertised() == {ADDRESS}
    assert program.ble.config("mac") == (1, bytes.fromhex(ADDRESS.replace(":", "")))
    with pytest.raises(NotImplementedError):
        program.ble.config(addr_mode=3)
    with pytest.raises(OSError):
        program.ble.config(addr_mode=4)
    with pytest.raises(NotImplementedError):
        program.ble.config(io=1)
