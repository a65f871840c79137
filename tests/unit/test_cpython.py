"""The CPython stand-ins: virtual time, MicroPython's names, and checked viper integers."""

import asyncio
import builtins
import gc
import importlib
import os
import random
import socket
import sys
import time
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lunette.virtual import cpython
from lunette.virtual import viper as v
from lunette.virtual.cpython import TICKS_PERIOD, DeadlockError, VirtualLoop, micropython_modules, run
from lunette.virtual.viper import viper

# The annotations of the kernels below are evaluated when this module is imported.
ptr8, ptr16, ptr32, uint = v.ptr8, v.ptr16, v.ptr32, v.uint

# --- VirtualLoop ------------------------------------------------------------------------------


def test_an_hour_takes_no_time():
    async def main():
        began = time.monotonic()
        await asyncio.sleep(3600)
        return asyncio.get_running_loop().time(), time.monotonic() - began

    virtual, real = run(main())
    assert virtual == 3600
    assert real < 1


def test_timers_fire_in_order_and_at_their_own_time():
    async def main():
        loop = asyncio.get_running_loop()
        seen = []
        for when in (0.3, 0.1, 0.2, 1e5 + 0.7):
            loop.call_at(when, lambda when=when: seen.append((when, loop.time())))
        await asyncio.sleep(2e5)
        return seen

    assert run(main()) == [(t, t) for t in (0.1, 0.2, 0.3, 1e5 + 0.7)]


def test_a_timer_sees_its_own_time_exactly():
    chance = random.Random(1)
    times = [chance.uniform(2, 3) ** n for n in range(-10, 12) for _ in range(10)]

    async def main():
        loop = asyncio.get_running_loop()
        seen = []
        for when in times:
            loop.call_at(when, lambda: seen.append(loop.time()))
        await asyncio.sleep(1e6)
        return seen

    assert run(main()) == sorted(times)


def test_deadlock_is_an_error_that_says_where():
    async def forever_waiting():
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError, match=r"(?s)nothing will ever happen.*forever_waiting.*test_cpython"):
        run(forever_waiting())


def test_deadlock_cancels_what_is_left():
    cleaned = []

    async def side():
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)

    async def main():
        asyncio.create_task(side())  # noqa: RUF006
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError):
        run(main())
    assert cleaned == [True]


def test_real_descriptors_are_served_between_jumps():
    async def main():
        left, right = socket.socketpair()
        with left, right:
            left.setblocking(False)
            right.setblocking(False)
            loop = asyncio.get_running_loop()
            reading = asyncio.create_task(loop.sock_recv(right, 10))
            await asyncio.sleep(5)
            await loop.sock_sendall(left, b"hello")
            return await reading, loop.time()

    assert run(main()) == (b"hello", 5)


def test_a_descriptor_that_stays_silent_is_a_deadlock_after_patience():
    async def main():
        left, right = socket.socketpair()
        with left, right:
            right.setblocking(False)
            await asyncio.get_running_loop().sock_recv(right, 10)

    with pytest.raises(DeadlockError):
        run(main(), loop=VirtualLoop(patience_s=0.01))


def test_time_stands_still_while_an_executor_works():
    async def main():
        loop = asyncio.get_running_loop()
        read, write = os.pipe()
        loop.call_soon(os.write, write, b"x")
        # With a jump, the timeout would strike before the thread ever ran.
        data = await asyncio.wait_for(loop.run_in_executor(None, os.read, read, 1), 1.0)
        os.close(read)
        os.close(write)
        return data, loop.time()

    assert run(main()) == (b"x", 0)


# --- time -------------------------------------------------------------------------------------


def test_ticks_follow_virtual_time_and_wrap():
    async def main(env):
        await asyncio.sleep(0.29)
        assert (time.ticks_ms(), time.ticks_us()) == (290, 290_000)
        before = time.ticks_ms()
        env.clock.offset_us = (TICKS_PERIOD - 300) * 1000
        assert time.ticks_ms() == TICKS_PERIOD - 10
        await asyncio.sleep_ms(15)
        assert time.ticks_ms() == 5
        assert time.ticks_diff(time.ticks_ms(), TICKS_PERIOD - 10) == 15
        return before

    with micropython_modules() as env:
        assert run(main(env)) == 290


def test_no_millisecond_reads_as_the_one_before():
    async def main():
        for n in range(1, 2000):
            await asyncio.sleep(n / 1000 - asyncio.get_running_loop().time())
            assert (time.ticks_ms(), time.ticks_us()) == (n, n * 1000)

    with micropython_modules():
        run(main())


def test_blocking_sleep_advances_the_clock_with_and_without_a_loop():
    async def main():
        fired = []
        asyncio.get_running_loop().call_later(0.01, lambda: fired.append(time.ticks_ms()))
        time.sleep_ms(20)
        time.sleep_us(500)
        time.sleep(1)
        time.sleep_ms(-5)
        assert fired == []
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return fired, time.ticks_us()

    with micropython_modules() as env:
        time.sleep_ms(7)
        assert time.ticks_ms() == 7
        env.clock.fallback_us = 5000
        assert time.ticks_us() == 5000
        assert run(main()) == ([1020], 1_020_500)


@given(st.integers(0, TICKS_PERIOD - 1), st.integers(-(2**29) + 1, 2**29 - 1))
def test_ticks_add_and_diff_are_inverse(ticks, delta):
    later = cpython.ticks_add(ticks, delta)
    assert 0 <= later < TICKS_PERIOD
    assert cpython.ticks_diff(later, ticks) == delta


def test_ticks_add_refuses_half_a_period():
    with pytest.raises(OverflowError):
        cpython.ticks_add(0, TICKS_PERIOD // 2)


# --- asyncio ----------------------------------------------------------------------------------


def test_thread_safe_flag():
    async def main():
        flag = asyncio.ThreadSafeFlag()
        flag.set()
        await flag.wait()  # set before: returns at once, and clears
        assert flag.state == 0
        waiter = asyncio.create_task(flag.wait())
        await asyncio.sleep(0)
        flag.set()
        flag.clear()  # before the loop polled: as if it was never set
        await asyncio.sleep(1)
        assert not waiter.done()
        with pytest.raises(RuntimeError, match="one task"):
            await flag.wait()
        await asyncio.get_running_loop().run_in_executor(None, flag.set)
        await waiter
        assert flag.state == 0

    with micropython_modules():
        run(main())


def test_thread_safe_flag_set_during_cancellation_is_not_lost():
    async def main():
        flag = asyncio.ThreadSafeFlag()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for_ms(flag.wait(), 10)
        flag.set()
        await asyncio.wait_for_ms(flag.wait(), 10)

    with micropython_modules():
        run(main())


# --- micropython ------------------------------------------------------------------------------


def test_schedule_runs_in_order_later_and_is_eight_deep():
    async def main():
        import micropython

        seen = []
        for i in range(8):
            micropython.schedule(seen.append, i)
        with pytest.raises(RuntimeError, match="schedule queue full"):
            micropython.schedule(seen.append, 8)
        assert seen == []
        await asyncio.sleep(0)
        micropython.schedule(seen.append, 9)
        await asyncio.sleep(0)
        return seen

    with micropython_modules():
        assert run(main()) == [*range(8), 9]


def test_schedule_without_a_loop_waits_for_one():
    async def main(micropython, seen):
        micropython.schedule(seen.append, 2)
        await asyncio.sleep(0)

    with micropython_modules() as env:
        import micropython

        seen = []
        micropython.schedule(seen.append, 1)
        run(main(micropython, seen))
        assert seen == [1, 2]
        micropython.schedule(seen.append, 3)
        env.scheduler.run_pending()
        assert seen == [1, 2, 3]


def test_a_failing_scheduled_callback_is_printed_and_kept(capsys):
    with micropython_modules() as env:
        import micropython

        micropython.schedule(lambda _: 1 // 0, None)
        env.scheduler.run_pending()
        assert isinstance(env.scheduler.failures[0], ZeroDivisionError)
    assert "ZeroDivisionError" in capsys.readouterr().out


# --- Putting it in place ----------------------------------------------------------------------


def test_everything_is_restored():
    def names():
        return [set(vars(m)) for m in (time, asyncio, gc, builtins, sys)], time.sleep, list(sys.path)

    before = names()
    with pytest.raises(ZeroDivisionError), micropython_modules("/nowhere/hal", "/nowhere/firmware"):
        assert gc.mem_free() == 1 << 23
        assert gc.threshold() == -1
        assert builtins.ptr8
        assert "micropython" in sys.modules
        raise ZeroDivisionError
    assert names() == before
    assert "micropython" not in sys.modules


def test_each_block_imports_fresh_modules(tmp_path):
    (tmp_path / "glasses").mkdir()
    (tmp_path / "glasses" / "__init__.py").write_text("import machine\nfrom glasses import part\n")
    (tmp_path / "glasses" / "part.py").write_text("state = []\n")
    (tmp_path / "odd_helper.py").write_text("")
    machine = types.ModuleType("machine")
    outer = types.ModuleType("glasses")
    sys.modules["glasses"] = outer
    try:
        seen = []
        for _ in range(2):
            with micropython_modules(firmware_dir=tmp_path, extra={"machine": machine}):
                glasses = importlib.import_module("glasses")
                importlib.import_module("odd_helper")
                assert glasses.machine is machine
                seen.append(glasses.part)
                glasses.part.state.append(1)
            assert not {"machine", "glasses.part", "odd_helper"} & set(sys.modules)
            assert sys.modules["glasses"] is outer
        assert seen[0] is not seen[1]
        assert seen[1].state == [1]
    finally:
        del sys.modules["glasses"]


def test_blocks_do_not_nest():
    with micropython_modules(), pytest.raises(RuntimeError, match="active"), micropython_modules():
        pass


# --- viper: checked integers ------------------------------------------------------------------


@viper
def add(a: int, b: int) -> int:
    return a + b


@viper
def subtract(a: int, b: int) -> int:
    return a - b


@viper
def multiply(a: int, b: int) -> int:
    return a * b


@viper
def shift(a: int, b: int) -> int:
    return a << b


@viper
def hidden_overflow(a: int) -> int:
    # The result fits; the intermediate does not.
    return (a * 65536) >> 16


@viper
def literal_overflow(n: int) -> int:
    x = 1
    for _ in range(n):
        x *= 10
    return x


@viper
def unsigned_subtract(a: uint, b: uint) -> uint:
    return a - b


@viper
def hidden_borrow(a: uint, b: uint) -> uint:
    return (a - b) + b


@viper
def load(p: ptr8, i: int) -> int:
    return p[i]


@viper
def total(p: ptr8, n: int) -> int:
    acc = 0
    i = 0
    while i < n:
        acc += p[i]
        i += 1
    return acc


@viper
def store16(p: ptr16, i: int, value: int):
    p[i] = value


@viper
def bump(p: ptr8, i: int):
    p[i] += 3


@viper
def third_from(p: ptr16, off: int) -> int:
    q = ptr16(int(p) + off)
    return q[2]


@viper
def summed(p: ptr16, n: int) -> int:
    end = int(p) + n + n
    total = 0
    while end - int(p):
        total += p[0]
        p = ptr16(int(p) + 2)
    return total


@viper
def reached(p: ptr8, n: int) -> int:
    end = int(p) + n
    while int(p) < end:
        p = ptr8(2 + int(p))
    return int(p) - end


@viper
def scaled_address(p: ptr8) -> int:
    return int(p) * 2


@viper
def apart(p: ptr8, q: ptr8) -> int:
    return int(p) - int(q)


@viper
def signed_word(p: ptr32) -> int:
    return int(p[0])


@viper
def used_word(p: ptr32) -> int:
    return p[0] >> 16


@viper
def unsigned_word(p: ptr32) -> int:
    return int(uint(p[0]) >> 16)


@viper
def masked_word(p: ptr32) -> int:
    return p[0] & 0xFFFF


@viper
def copied_word(p: ptr32, q: ptr32):
    q[0] = p[0]


@viper
def mixed_compare(a: int, b: uint) -> int:
    return 1 if a < b else 0


@viper
def chained(a: int, b: int, c: int) -> int:
    return 1 if a <= b < c else 0


I32 = st.integers(-(2**31), 2**31 - 1)


@given(I32, I32, st.integers(0, 31))
def test_arithmetic_is_exact_or_refused(a, b, n):
    for kernel, exact, arg in (
        (add, a + b, b),
        (subtract, a - b, b),
        (multiply, a * b, b),
        (shift, a << n, n),
    ):
        if -(2**31) <= exact < 2**31:
            assert kernel(a, arg) == exact
        else:
            with pytest.raises(OverflowError, match=kernel.__name__):
                kernel(a, arg)


def test_intermediates_and_plain_literals_are_checked():
    assert hidden_overflow(32767) == 32767
    with pytest.raises(OverflowError, match="hidden_overflow"):
        hidden_overflow(32768)
    assert literal_overflow(9) == 10**9
    with pytest.raises(OverflowError, match="literal_overflow"):
        literal_overflow(10)


def test_shift_counts():
    with pytest.raises(OverflowError, match="shift"):
        shift(0, 32)


def test_arguments_must_fit():
    with pytest.raises(OverflowError, match="a="):
        add(2**31, 0)
    with pytest.raises(TypeError):
        add(1.5, 0)
    with pytest.raises(TypeError):
        add(1)
    with pytest.raises(OverflowError):
        unsigned_subtract(-1, 0)


def test_uint():
    assert unsigned_subtract(2**32 - 1, 1) == 2**32 - 2
    with pytest.raises(OverflowError, match="unsigned_subtract"):
        unsigned_subtract(1, 2)
    with pytest.raises(OverflowError, match="hidden_borrow"):
        hidden_borrow(1, 2)
    assert mixed_compare(3, 5) == 1
    with pytest.raises(OverflowError, match="mixes"):
        mixed_compare(3, 2**31)


def test_pointers_check_bounds():
    assert total(b"\x01\xff", 2) == 256
    with pytest.raises(IndexError, match=r"\[2\]"):
        total(b"\x01\xff", 3)
    for index in (-1, 2):
        with pytest.raises(IndexError):
            load(b"\x01\xff", index)
    buffer = bytearray(8)
    view = memoryview(buffer)[2:6]
    store16(view, 1, -1)
    assert buffer == b"\0\0\0\0\xff\xff\0\0"
    for index in (-1, 2):
        with pytest.raises(IndexError):
            store16(view, index, 0)
    store16(buffer, 0, 0x12345)
    assert buffer[:2] == b"\x45\x23"
    bump(buffer, 0)
    assert buffer[0] == 0x48
    buffer[0] = 254
    bump(buffer, 0)
    assert buffer[0] == 1


def test_pointers_refuse_read_only_and_misaligned_buffers():
    with pytest.raises(TypeError):
        store16(bytes(4), 0, 1)
    with pytest.raises(ValueError, match="aligned"):
        store16(memoryview(bytearray(8))[1:5], 0, 1)
    with pytest.raises(TypeError):
        total(1234, 1)


def test_pointers_move_through_their_buffer():
    words = bytearray(b"".join(n.to_bytes(2, "little") for n in range(100, 110)))
    assert third_from(words, 0) == 102
    assert third_from(words, 14) == 109
    assert summed(words, 10) == sum(range(100, 110))
    assert reached(words, 5) == 1
    with pytest.raises(IndexError, match="load"):
        third_from(words, 16)
    with pytest.raises(IndexError, match="load"):
        third_from(words, -6)
    with pytest.raises(ValueError, match="aligned"):
        third_from(words, 1)


def test_an_address_is_of_one_buffer_and_no_number():
    words = bytearray(8)
    with pytest.raises(TypeError, match="no address"):
        scaled_address(words)
    with pytest.raises(TypeError, match="two buffers"):
        apart(words, bytearray(8))


def test_words_whose_sign_depends_on_the_machine():
    low, high = (0x7FFF1234).to_bytes(4, "little"), (0x80001234).to_bytes(4, "little")
    assert signed_word(low) == 0x7FFF1234
    assert used_word(low) == 0x7FFF
    for kernel in (signed_word, used_word):
        with pytest.raises(OverflowError):
            kernel(high)
    assert unsigned_word(high) == 0x8000
    assert masked_word(high) == 0x1234
    out = bytearray(4)
    copied_word(high, out)
    assert out == high


def test_chained_comparison():
    assert [chained(1, b, 3) for b in range(5)] == [0, 1, 1, 0, 0]


def test_decorator_refuses_what_the_compiler_gets_wrong():
    with pytest.raises(SyntaxError, match="constant index 300"):

        @viper
        def bad(p: ptr8) -> int:
            return p[300]
