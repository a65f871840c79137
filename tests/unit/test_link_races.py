"""The link's tasks, with Bluetooth interrupts in the middle of them: whom is what sent, and who is served."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from interrupts import at_every_step
from world import fast_kernels

from lunette import paths
from lunette.protocol import wire
from lunette.virtual.cpython import Environment, micropython_modules

CONNECT, DISCONNECT, WRITE, MTU, ENCRYPTION = 1, 2, 3, 21, 28
OURS = 1
A, B, STRANGER = b"\x01aaaaaa", b"\x01bbbbbb", b"\x01ssssss"


@pytest.fixture
def env(folder: Any) -> Iterator[Environment]:
    with micropython_modules(paths.HAL, paths.FIRMWARE) as environment:
        fast_kernels()
        yield environment


class Ble:
    """What the link uses of bluetooth.BLE, with the connections that there are. `sent`: (who, packet)."""

    def __init__(self) -> None:
        self.conns: dict[int, bytes] = {}
        self.sent: list[tuple[bytes, bytes]] = []
        self.value = b""
        self.on_air = False

    def gatts_notify(self, conn: int, handle: int, buffer: Any) -> None:
        if conn not in self.conns:
            raise OSError(128)
        self.sent.append((self.conns[conn], bytes(buffer)))

    def gatts_read(self, handle: int) -> bytes:
        return self.value

    def gap_advertise(self, interval: int | None, **_: Any) -> None:
        self.on_air = interval is not None

    def gap_disconnect(self, conn: int) -> bool:
        return conn in self.conns


class Rig:
    """A link without a radio, two hosts that it knows, and what comes from the air."""

    def __init__(self) -> None:
        import asyncio

        from glasses import link as module
        from glasses.bonds import Bonds
        from glasses.bus import Bus
        from glasses.door import Door
        from glasses.guard import Guard
        from glasses.journal import Journal
        from glasses.link import Link
        from glasses.log import Log
        from glasses.peripheral import Peripheral
        from glasses.settings import Settings

        module.asyncio = asyncio  # (see `task`)
        bonds = Bonds()
        for key in (A, B):
            bonds.keep(key, b"secret", b"secret")
        self.guard = Guard(bonds)
        self.journal = Journal(64 * 176)
        settings: Any = Settings()
        log = Log("error")
        radio = Peripheral(settings, log, self.guard)
        door = Door(radio, self.guard)
        self.ble = radio.ble = Ble()  # type: ignore[assignment]
        radio.running = True
        self.link = Link(
            radio, door, self.journal, Bus(), log, self.guard, lambda: {"secret": 1}, lambda request: 1
        )
        self.link.start()
        self.control = self.link.radio.control = 9
        self.link.radio.owners = {9: None}

    def irq(self, event: int, *data: Any) -> Any:
        answer = self.link.door.irq(event, data)
        assert self.link.door.errors == 0
        return answer

    def connect(self, key: bytes) -> int:
        conn = min({0, 1, 2, 3} - self.ble.conns.keys())
        self.ble.conns[conn] = key
        self.ble.on_air = False
        self.irq(CONNECT, conn, key[0], bytes(reversed(key[1:])))
        if key != STRANGER:
            self.guard.secret(OURS, 0, key)
            self.irq(ENCRYPTION, conn, True, False, True, 16)
        return conn

    def disconnect(self, conn: int) -> None:
        del self.ble.conns[conn]
        self.ble.on_air = False
        self.irq(DISCONNECT, conn, 1, bytes(6))

    def write(self, conn: int, data: bytes) -> None:
        self.ble.value = data
        self.irq(WRITE, conn, self.control)

    def task(self) -> None:
        """What the link's task does each time that it is woken."""
        wait = _wait_twice()
        self.link._flag = SimpleNamespace(set=lambda: None, wait=wait)  # type: ignore[assignment]
        importlib.import_module("glasses.link").asyncio = SimpleNamespace(sleep_ms=wait)  # type: ignore
        with pytest.raises(Waits):
            self.link.run().send(None)

    def serve(self, key: bytes) -> int:
        conn = self.connect(key)
        self.task()
        self.write(conn, wire.ready())
        self.task()
        return conn

    def record(self, frames: int) -> Any:
        recording = self.journal.open("speech", {})
        for i in range(frames):
            offset = self.journal.slot()
            self.journal.data[offset : offset + 100] = bytes([i]) * 100
            self.journal.append(recording, 100)
        return recording


class Waits(Exception):
    pass


def _wait_twice() -> Callable[[], Any]:
    left = [1]

    async def wait(*_: Any) -> None:
        if not left:
            raise Waits
        left.pop()

    return wait


def stranger_takes_the_place(rig: Rig) -> None:
    rig.disconnect(0)
    rig.connect(STRANGER)


def other_host_takes_the_place(rig: Rig) -> None:
    rig.disconnect(0)
    rig.connect(B)


def key_is_forgotten(rig: Rig) -> None:
    rig.guard.forget(rig.guard.bonds.find(A))


def loses_encryption(rig: Rig) -> None:
    rig.irq(ENCRYPTION, 0, False, False, False, 0)


def leaves(rig: Rig) -> None:
    rig.disconnect(0)


INTERRUPTS = [
    stranger_takes_the_place,
    other_host_takes_the_place,
    key_is_forgotten,
    loses_encryption,
    leaves,
]


@pytest.mark.parametrize("interrupt", INTERRUPTS)
def test_the_pump_sends_to_nobody_but_its_host(env: Environment, interrupt: Any) -> None:
    """The interrupt comes while packets are being filled and sent, and the task is late."""

    def prepare() -> Rig:
        rig = Rig()
        rig.irq(MTU, rig.serve(A), 185)
        rig.record(3)
        rig.ble.sent.clear()
        return rig

    def check(rig: Rig) -> None:
        heard = {who for who, _ in rig.ble.sent[before[0] :]}
        assert heard == set(), "nothing after the interrupt"
        rig.task()
        rig.link.kick()
        assert STRANGER not in {who for who, _ in rig.ble.sent}
        assert B not in {who for who, _ in rig.ble.sent}, "it has not said READY"

    before = [0]

    def remembered(rig: Rig) -> None:
        interrupt(rig)
        before[0] = len(rig.ble.sent)

    assert at_every_step(prepare, lambda rig: rig.link.kick(), remembered, check) > 100


@pytest.mark.parametrize("interrupt", INTERRUPTS)
def test_the_task_serves_who_is_there(env: Environment, interrupt: Any) -> None:
    """The interrupt comes while the task gets to know the host before."""

    def prepare() -> Rig:
        rig = Rig()
        rig.record(2)
        rig.connect(A)
        return rig

    def check(rig: Rig) -> None:
        rig.task()
        rig.task()
        present = rig.ble.conns.get(0)
        served = present if interrupt in (other_host_takes_the_place,) else None
        assert rig.link.connected is (served is not None)
        if served is None:
            assert rig.link._session == 0 and not rig.link.streaming
            assert rig.ble.on_air, "others find the glasses"
            return
        assert rig.journal.host == served, "what it acknowledges is its own"
        rig.write(0, wire.ready())
        rig.task()
        assert {who for who, _ in rig.ble.sent} == {served}

    assert at_every_step(prepare, Rig.task, interrupt, check) > 50


def test_what_a_host_wrote_before_it_was_forgotten_is_not_done(env: Environment) -> None:
    rig = Rig()
    conn = rig.serve(A)
    rig.ble.sent.clear()
    key_is_forgotten(rig)
    rig.write(conn, b'{"id": 1, "op": "ping"}')
    rig.link.kick()
    rig.task()
    assert rig.ble.sent == []


@pytest.mark.parametrize("what", ["mtu", "interval_ms", "connected"])
def test_a_host_may_leave_while_it_is_looked_at(env: Environment, what: str) -> None:
    def prepare() -> Rig:
        rig = Rig()
        rig.connect(A)
        return rig

    at_every_step(prepare, lambda rig: getattr(rig.link.door, what), leaves, lambda rig: None)


def test_the_link_knows_whether_it_is_on_the_air(env: Environment) -> None:
    """A connection ends advertising, also when it comes just as that begins."""

    def check(rig: Rig) -> None:
        rig.task()
        assert rig.ble.on_air

    at_every_step(Rig, lambda rig: rig.link.radio.advertise(), lambda rig: rig.connect(STRANGER), check)
