"""The guard against a model of the stack: NimBLE's order of questions, and strangers who try everything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from interrupts import at_every_step

from lunette import paths
from lunette.virtual.cpython import Environment, micropython_modules

OURS, THEIRS = 1, 2


@pytest.fixture
def env(folder: Any) -> Iterator[Environment]:
    with micropython_modules(paths.HAL, paths.FIRMWARE) as environment:
        yield environment


def key(name: str) -> bytes:
    return b"\x01" + name.encode().ljust(6, b".")


class Stack:
    """What NimBLE under MicroPython does to a program when peers connect, encrypt and pair (ble_sm.c)."""

    def __init__(self, guard: Any):
        self.guard = guard
        self.conns: dict[int, str] = {}
        self._next = 0

    def connect(self, name: str) -> int:
        conn = min(set(range(4)) - set(self.conns))
        self.conns[conn] = name
        self.guard.connected(conn, 1, bytes(reversed(key(name)[1:])))
        return conn

    def disconnect(self, conn: int) -> None:
        del self.conns[conn]
        self.guard.disconnected(conn)

    def encrypt(self, conn: int, secret: bytes) -> bool:
        """The central starts encryption with `secret`; a wrong one ends the link."""
        mine = self.guard.secret(OURS, 0, key(self.conns[conn]))
        if mine is None:
            self.guard.encrypted(conn, False, False, 0)
            return False
        if mine != secret:
            self.disconnect(conn)
            return False
        self.guard.encrypted(conn, True, True, 16)
        return True

    def pair(self, conn: int, secret: bytes, bonding: bool = True, size: int = 16) -> None:
        """The central asks to pair: as far as the stack is concerned it always may."""
        peer = key(self.conns[conn])
        self._count()
        for _ in range(100):
            if self.guard.secret(THEIRS, 0, peer) is None:
                break
            self._delete(peer)
        else:
            raise AssertionError("the stack hangs: a secret that was deleted is still there")
        if bonding:
            self.guard.take_secret(OURS, peer, secret)
            self.guard.take_secret(THEIRS, peer, peer + secret)
        self.guard.encrypted(conn, True, bonding, size)

    def _delete(self, peer: bytes) -> None:
        for kind in (OURS, THEIRS):  # until there is nothing left, says ble_store_util_delete_all
            for _ in range(100):
                if not self.guard.take_secret(kind, peer, None):
                    break
            else:
                raise AssertionError("the stack hangs: what is not there can be deleted")

    def _count(self) -> int:
        count = 0
        while self.guard.secret(THEIRS, count, None) is not None:
            count += 1
        return count

    def tidy(self) -> None:
        for conn in self.guard.unwanted():
            self.disconnect(conn)


def new_guard(hosts: str = "") -> tuple[Any, Stack]:
    from glasses.bonds import Bonds
    from glasses.guard import Guard

    guard = Guard(Bonds())
    for name in hosts:
        guard.bonds.keep(key(name), b"secret " + name.encode(), key(name) + b"secret")
    return guard, Stack(guard)


def test_a_host_pairs_in_the_window_and_is_known_ever_after(env: Environment) -> None:
    guard, stack = new_guard()
    conn = stack.connect("phone")
    guard.open_window()
    assert not guard.trusted(conn)
    stack.pair(conn, b"s")
    assert guard.trusted(conn)
    assert not guard.window_open, "one host a gesture"
    stack.disconnect(conn)
    conn = stack.connect("phone")
    assert not guard.trusted(conn)
    assert stack.encrypt(conn, b"s") and guard.trusted(conn)


def test_a_pairing_outside_the_window_is_ended_before_it_has_keys(env: Environment) -> None:
    guard, stack = new_guard("a")
    conn, other = stack.connect("thief"), stack.connect("a")
    stack._count()
    assert guard.unwanted() == []
    guard.secret(THEIRS, 0, key("thief"))
    assert guard.unwanted() == [conn]
    # The stack also looks there when it refuses an access, and nobody is paired by that.
    guard.secret(THEIRS, 0, key("a"))
    assert guard.unwanted() == [conn] and other in guard.peers
    guard.open_window()
    stack._count()
    guard.secret(THEIRS, 0, key("a"))
    assert guard.unwanted() == [conn]


def test_nobody_pairs_outside_the_window(env: Environment) -> None:
    guard, stack = new_guard("a")
    conn = stack.connect("thief")
    stack.pair(conn, b"s")
    assert not guard.trusted(conn)
    assert guard.unwanted() == [conn]
    assert guard.refused_pairings == 1
    assert [host.key for host in guard.bonds.hosts] == [key("a")]


def test_the_window_closes_by_itself(env: Environment) -> None:
    guard, stack = new_guard()
    guard.open_window()
    env.clock.sleep_us(60_000_001)
    conn = stack.connect("late")
    stack.pair(conn, b"s")
    assert not guard.trusted(conn) and guard.bonds.hosts == []


def test_who_takes_a_hosts_address_gets_nothing_and_costs_the_host_nothing(env: Environment) -> None:
    guard, stack = new_guard("a")
    thief = stack.connect("a")
    stack.pair(thief, b"mine now")
    assert not guard.trusted(thief)
    # The host itself comes while the thief is still there: its keys must work, or its phone forgets them.
    host = stack.connect("a")
    assert stack.encrypt(host, b"secret a") and guard.trusted(host)
    stack.tidy()
    assert list(stack.conns) == [host]


def test_without_bonding_nobody_is_trusted(env: Environment) -> None:
    guard, stack = new_guard("a")
    for window in (False, True):
        if window:
            guard.open_window()
        conn = stack.connect("a")
        stack.pair(conn, b"s", bonding=False)
        assert not guard.trusted(conn)
        stack.disconnect(conn)


def test_a_short_key_is_not_enough(env: Environment) -> None:
    guard, stack = new_guard()
    guard.open_window()
    conn = stack.connect("a")
    stack.pair(conn, b"s", size=7)
    assert not guard.trusted(conn)


def test_a_full_store_gives_up_the_least_used_host_only_for_a_new_one(env: Environment) -> None:
    guard, stack = new_guard("abc")
    thief = stack.connect("x")
    stack.pair(thief, b"s")
    stack.tidy()
    assert len(guard.bonds.hosts) == 3
    conn = stack.connect("a")
    assert stack.encrypt(conn, b"secret a")
    stack.disconnect(conn)  # so that b is the least recently used
    guard.open_window()
    conn = stack.connect("new")
    stack.pair(conn, b"s")
    assert guard.trusted(conn)
    assert [host.key for host in guard.bonds.hosts] == [key("c"), key("a"), key("new")]


def test_a_pairing_that_fails_in_the_window_costs_nothing(env: Environment) -> None:
    """The stack has the old keys deleted before it tries for new ones."""
    guard, stack = new_guard("abc")
    guard.open_window()
    conn = stack.connect("a")
    guard.take_secret(OURS, key("a"), None)
    guard.take_secret(THEIRS, key("a"), None)
    stack.disconnect(conn)
    conn = stack.connect("a")
    assert stack.encrypt(conn, b"secret a") and guard.trusted(conn)
    assert len(guard.bonds.hosts) == 3


def test_a_host_that_lost_its_keys_pairs_again(env: Environment) -> None:
    guard, stack = new_guard("a")
    guard.open_window()
    conn = stack.connect("a")
    stack.pair(conn, b"another")
    assert guard.trusted(conn)
    assert [host.ours for host in guard.bonds.hosts] == [b"another"]


def test_a_phone_that_connects_under_a_private_address(env: Environment) -> None:
    guard, stack = new_guard()
    guard.open_window()
    conn = stack.connect("priv")
    guard.take_secret(OURS, key("id"), b"s")
    guard.take_secret(THEIRS, key("id"), b"s")
    guard.encrypted(conn, True, True, 16)
    assert guard.trusted(conn) and guard.peers[conn].key == key("id")


def test_strangers_are_sent_away_and_cannot_take_all_connections(env: Environment) -> None:
    guard, stack = new_guard("a")
    first, second = stack.connect("x"), stack.connect("y")
    host = stack.connect("a")
    assert guard.unwanted() == [first], "the oldest, and not who may be a host"
    assert stack.encrypt(host, b"secret a")
    stack.tidy()
    env.clock.sleep_us(14_900_000)
    assert guard.unwanted() == []
    env.clock.sleep_us(200_000)
    assert guard.unwanted() == [second]
    stack.tidy()
    assert guard.next_ms() == -1
    assert guard.strangers == 2


def test_forgetting_ends_the_connection(env: Environment) -> None:
    guard, stack = new_guard("ab")
    conn = stack.connect("a")
    stack.encrypt(conn, b"secret a")
    guard.forget(guard.bonds.find(key("a")))
    assert not guard.trusted(conn) and guard.unwanted() == [conn]
    stack.tidy()
    conn = stack.connect("a")
    assert not stack.encrypt(conn, b"secret a")
    assert [host.key for host in guard.bonds.hosts] == [key("b")]


def test_both_signs_of_a_bond_are_needed(env: Environment) -> None:
    """That the stack has asked for the key, and that it says that the link is bonded."""
    guard, stack = new_guard("a")
    conn = stack.connect("a")
    assert not guard.encrypted(conn, True, True, 16)
    assert guard.secret(OURS, 0, key("a")) is not None
    assert not guard.encrypted(conn, True, False, 16)
    assert guard.encrypted(conn, True, True, 16)


def test_open_serves_everybody(env: Environment) -> None:
    from glasses.bonds import Bonds
    from glasses.guard import Guard

    guard = Guard(Bonds(), paired=False)
    assert Stack(guard).connect("x") == 0 and guard.trusted(0)


def test_the_keys_of_a_pairing_that_is_not_good_enough_go_to_nobody(env: Environment) -> None:
    guard, stack = new_guard("a")
    guard.open_window()
    weak, host = stack.connect("x"), stack.connect("a")
    stack.pair(weak, b"s", size=7)
    assert stack.encrypt(host, b"secret a")
    assert guard.peers[host].key == key("a") and guard.window_open
    assert [bond.key for bond in guard.bonds.hosts] == [key("a")]


def test_half_a_pairing_is_forgotten_with_its_connection(env: Environment) -> None:
    guard, stack = new_guard("a")
    guard.open_window()
    half, host = stack.connect("x"), stack.connect("a")
    guard.take_secret(OURS, key("x"), b"s")
    stack.disconnect(half)
    guard.take_secret(THEIRS, key("x"), b"s")
    stack.disconnect(stack.connect("y"))
    assert stack.encrypt(host, b"secret a")
    assert [bond.key for bond in guard.bonds.hosts] == [key("a")]


def test_a_refusal_does_not_outlive_the_connection(env: Environment) -> None:
    guard, stack = new_guard("a")
    host, thief = stack.connect("a"), stack.connect("x")
    guard.take_secret(OURS, key("x"), b"s")
    stack.disconnect(thief)
    assert stack.encrypt(host, b"secret a") and guard.trusted(host)


def test_who_takes_a_hosts_address_cannot_end_its_connection(env: Environment) -> None:
    guard, stack = new_guard("a")
    thief, host = stack.connect("a"), stack.connect("a")
    assert stack.encrypt(host, b"secret a")
    stack.pair(thief, b"mine")
    assert guard.trusted(host) and guard.unwanted() == [thief]
    assert guard.refused_pairings == 1
    stack.tidy()
    stack.pair(host, b"another")  # the host itself may not do that either
    assert guard.unwanted() == [host]


def test_the_keys_that_a_host_was_asked_for_vouch_for_nobody_else(env: Environment) -> None:
    """A pairing that claims to be a bond, but leaves no keys, under the address of a host."""
    guard, stack = new_guard("a")
    guard.open_window()
    thief, host = stack.connect("a"), stack.connect("a")
    assert stack.encrypt(host, b"secret a")
    stack._count()
    guard.secret(THEIRS, 0, key("a"))
    assert not guard.encrypted(thief, True, True, 16)
    assert not guard.trusted(thief) and guard.trusted(host)


def test_a_handle_that_is_used_again_is_another_connection(env: Environment) -> None:
    guard, stack = new_guard("a")
    thief = stack.connect("x")
    guard.send_away(guard.peers[thief])
    del stack.conns[thief]  # and nobody told the guard
    host = stack.connect("a")
    assert host == thief and guard.unwanted() == []
    assert stack.encrypt(host, b"secret a")


def test_a_window_that_nobody_closed_does_not_open_again(env: Environment) -> None:
    """ticks_ms wraps after twelve days; half of that later, what was past is to come."""
    guard, _ = new_guard()
    guard.open_window()
    env.clock.sleep_us(60_000_001)
    assert guard.lapsed() and not guard.window_open
    guard.close_window()
    env.clock.sleep_us((1 << 29) * 1000)
    assert not guard.lapsed() and not guard.window_open


# --- interrupts in the middle of a task -----------------------------------------------------------


def pairs_in_the_window(stack: Stack) -> None:
    stack.pair(stack.connect("new"), b"s")


def pairs_and_goes(stack: Stack) -> None:
    conn = stack.connect("new")
    stack.pair(conn, b"s")
    stack.disconnect(conn)


def comes(stack: Stack) -> None:
    stack.connect("z")


def goes(stack: Stack) -> None:
    stack.disconnect(0)


def comes_back(stack: Stack) -> None:
    stack.disconnect(0)
    stack.encrypt(stack.connect("b"), b"secret b")


TASKS: dict[str, Any] = {
    "window": lambda guard: (guard.window_open, guard.window_ms(), guard.lapsed()),
    "next": lambda guard: guard.next_ms(),
    "unwanted": lambda guard: guard.unwanted(),
    "alone": lambda guard: guard.alone(),
    "open": lambda guard: guard.open_window(),
    "close": lambda guard: guard.close_window(),
    "find": lambda guard: guard.bonds.find(key("c")).key,
    "forget": None,
    "save": lambda guard: guard.bonds.save(),
}


@pytest.mark.parametrize("what", TASKS)
@pytest.mark.parametrize("interrupt", [pairs_in_the_window, pairs_and_goes, comes, goes, comes_back])
def test_interrupts_may_come_at_any_step_of_a_task(env: Environment, what: str, interrupt: Any) -> None:
    tasks: list[Any] = []

    def prepare() -> Stack:
        guard, stack = new_guard("abc")
        stack.encrypt(stack.connect("b"), b"secret b")
        stack.connect("x")
        guard.open_window()
        host = guard.bonds.find(key("a"))
        tasks.append(TASKS[what] or (lambda guard: guard.forget(host)))
        return stack

    def check(stack: Stack) -> None:
        guard = stack.guard
        kept = [host.key for host in guard.bonds.hosts]
        assert len(kept) == len(set(kept)) <= 3
        assert (key("a") in kept) is (what != "forget" and "new" not in str(kept))
        if interrupt in (pairs_in_the_window, pairs_and_goes) and what not in ("close", "open"):
            assert key("new") in kept
        if not guard.bonds.dirty:
            assert [host.key for host in type(guard.bonds)().hosts] == kept, "what is new will be saved"
        for conn in stack.conns:
            assert guard.trusted(conn) is (stack.conns[conn] in ("b", "new")) or key("new") not in kept

    at_every_step(prepare, lambda stack: tasks[-1](stack.guard), interrupt, check)


class Strangers(RuleBasedStateMachine):
    """Outside the window nobody gets in without a host's key, whatever is tried in whatever order, and the
    hosts can always use theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.modules = micropython_modules(paths.HAL, paths.FIRMWARE)
        self.env = self.modules.__enter__()

    @initialize()
    def begin(self) -> None:
        self.guard, self.stack = new_guard("abc")
        self.guard.bonds.hosts = self.guard.bonds.hosts[-3:]
        self.honest: set[int] = set()

    def _some(self, data: Any) -> int | None:
        return data.draw(st.sampled_from(sorted(self.stack.conns))) if self.stack.conns else None

    @rule(name=st.sampled_from("abcxyz"))
    def connect(self, name: str) -> None:
        if len(self.stack.conns) < 4:
            self.stack.connect(name)

    @rule(data=st.data())
    def disconnect(self, data: Any) -> None:
        conn = self._some(data)
        if conn is not None:
            self.stack.disconnect(conn)
            self.honest.discard(conn)

    @rule(data=st.data(), bonding=st.booleans())
    def pair(self, data: Any, bonding: bool) -> None:
        conn = self._some(data)
        if conn is not None:
            self.stack.pair(conn, b"thief's", bonding)
            self.honest.discard(conn)

    @rule(data=st.data())
    def pair_without_keys(self, data: Any) -> None:
        """It breaks off when the old keys are gone and the new ones are not there."""
        conn = self._some(data)
        if conn is not None:
            self.stack._delete(key(self.stack.conns[conn]))

    @rule(data=st.data())
    def guess(self, data: Any) -> None:
        conn = self._some(data)
        if conn is not None and not self.stack.encrypt(conn, b"guess"):
            self.honest.discard(conn)

    @rule(data=st.data())
    def encrypt(self, data: Any) -> None:
        conn = self._some(data)
        if conn is not None and self.stack.conns[conn] in "abc":
            away = conn in self.guard.unwanted()
            assert self.stack.encrypt(conn, b"secret " + self.stack.conns[conn].encode())
            assert self.guard.trusted(conn) is not away
            if not away:
                self.honest.add(conn)

    @rule(seconds=st.integers(0, 20))
    def wait(self, seconds: int) -> None:
        self.env.clock.sleep_us(seconds * 1_000_000)
        self.stack.tidy()
        self.honest &= set(self.stack.conns)

    @invariant()
    def only_the_honest_are_trusted(self) -> None:
        if hasattr(self, "guard"):
            trusted = {conn for conn in self.stack.conns if self.guard.trusted(conn)}
            assert trusted <= self.honest
            assert sorted(host.ours for host in self.guard.bonds.hosts) == [
                b"secret a",
                b"secret b",
                b"secret c",
            ]

    def teardown(self) -> None:
        self.modules.__exit__(None, None, None)


Strangers.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestStrangers = pytest.mark.usefixtures("folder")(Strangers.TestCase)
