"""Glasses in this process: starts, sleep, resets and what is left of a program afterwards."""

from __future__ import annotations

import asyncio
import builtins
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bumble.device import Device

from lunette import paths
from lunette.virtual.air import Air
from lunette.virtual.cpython import micropython_modules, run
from lunette.virtual.in_process import ADDRESS, ASLEEP, AWAKE, BOOT, OFF, InProcessGlasses, Load

Test = Callable[["InProcessGlasses", Air], Awaitable[None]]

BOARD = SimpleNamespace(NAME="toy", CHIP="esp32s3", PARTS={})
TALK = 1


def play(folder: Path, source: str, test: Test, files: dict[str, str] | None = None, **options: Any) -> None:
    """Run the firmware `source` (glasses/__init__.py; `files`: more of it), and ``await test(glasses, air)``.

    The program has `note(*what)`, which appends to `glasses.notes`.
    """
    firmware = folder / "firmware"
    (firmware / "glasses").mkdir(parents=True)
    for name, text in {"glasses/__init__.py": source, **(files or {})}.items():
        (firmware / name).write_text(text)
    with micropython_modules(paths.HAL, firmware) as env:

        async def main() -> None:
            air = Air()
            glasses: Any = InProcessGlasses(env, air, BOARD, firmware=firmware, **options)
            glasses.notes = []
            with_note = SimpleNamespace(note=lambda *what: glasses.notes.append(what))
            sys.modules["notes"] = with_note  # type: ignore[assignment]
            try:
                await glasses.power_on()
                await test(glasses, air)
            finally:
                del sys.modules["notes"]
                await glasses.close()
                await air.close()
            assert not glasses.chip.errors and not glasses.crashes

        run(main())


SLEEPER = """
import asyncio, time, machine
from notes import note
starts = 0

async def main():
    global starts
    starts += 1
    memory = machine.RTC().memory()
    machine.RTC().memory(memory + b"+")
    note(starts, memory, machine.reset_cause(), machine.wake_reason(), time.ticks_ms())
    await asyncio.sleep_ms(300)
    note("awake", time.ticks_ms())
    machine.deepsleep(10000)
    note("never")
"""


def test_every_wake_up_is_a_fresh_program(folder: Path) -> None:
    async def test(glasses: Any, air: Air) -> None:
        phases = {}
        glasses.watch(
            lambda: phases.setdefault((glasses.phase, glasses.phase_at), asyncio.get_running_loop().time())
        )
        await asyncio.sleep(20)
        assert glasses.notes == [
            (1, b"", 1, 0, 0),
            ("awake", 300),
            (1, b"+", 4, 4, 0),  # the RTC's memory stays, variables and ticks begin anew
            ("awake", 300),
        ]
        assert glasses.phase == ASLEEP and glasses.starts == 2
        assert [(round(t, 6), phase) for (phase, _), t in phases.items()] == [
            (0.3, AWAKE),  # the radio goes off first
            (0.3, ASLEEP),
            (10.3, BOOT),
            (10.3, AWAKE),
            (10.6, ASLEEP),
        ]

    play(folder, SLEEPER, test)


def test_boot_and_loading_take_their_time(folder: Path) -> None:
    source = "from glasses import big\n" + SLEEPER

    async def test(glasses: Any, air: Air) -> None:
        # main.py and board.py, glasses, and 10 KB of source, of which 45 % remain in a .mpy.
        own = (len(source) + 10240) * 0.34 / 1024 * 3 + 2 * 4
        roots = 2 * (4 + 700 / 1024 * 3)
        assert glasses.blocked_s == pytest.approx((own + roots) / 1000)
        assert glasses.notes == [(1, b"", 1, 0, int(250 + own + roots + 1e-6))]
        await asyncio.sleep(15)
        assert glasses.notes[2][-1] == glasses.notes[0][-1], "at each start"

    big = "x = 1\n".ljust(10240, "#")
    play(folder, source, test, {"glasses/big.py": big}, boot_ms=250, load=Load(4, 3))


HEIR = """
import asyncio, machine
from notes import note

go = asyncio.Event()

async def stubborn(pin):
    try:
        await asyncio.sleep_ms(100000)
    except asyncio.CancelledError:
        note("cancelled")
    finally:
        pin.value(1)
        open("testament", "w").write("x")

async def writer(pin):
    try:
        await asyncio.sleep_ms(100000)
    finally:
        open("testament", "w").close()

async def neighbour(pin):
    await go.wait()
    open("testament", "w").close()

async def pulse(pin):
    while True:
        try:
            await asyncio.sleep_ms(13)
            pin.value(1 - pin.value())
        except Exception:
            pass

async def forever(pin):
    while True:
        try:
            await asyncio.sleep_ms(7)
        except BaseException:
            pin.value(1)

async def main():
    if machine.wake_reason():
        await asyncio.sleep_ms(1000000)
    pins = [machine.Pin(n, machine.Pin.OUT, value=0) for n in (4, 5, 6, 7, 8)]
    for work, pin in zip((stubborn, pulse, forever, writer, neighbour), pins):
        asyncio.create_task(work(pin))
    machine.Timer(0, period=20, callback=lambda timer: note("timer"))
    await asyncio.sleep_ms(50)
    if AT_ONCE:
        go.set()
    END
"""


@pytest.mark.parametrize("how", ["deepsleep", "reset", "wdt", "power", "interrupt", "soft_reset"])
def test_a_program_that_is_over_does_nothing_more(folder: Path, how: str) -> None:
    endings = {
        "deepsleep": "machine.deepsleep(5000)",
        "reset": "machine.reset()",
        "wdt": "machine.WDT(timeout=10); await asyncio.sleep_ms(10**6)",
        "power": "await asyncio.sleep_ms(10**6)",
        "interrupt": "machine.Timer(1, period=5, mode=0, callback=lambda t: machine.reset());"
        "await asyncio.sleep_ms(10**6)",
        "soft_reset": "machine.soft_reset()",
    }

    async def test(glasses: Any, air: Air) -> None:
        levels: list[tuple[int, int, float]] = []
        await asyncio.sleep(0.0495)
        before = len(glasses.notes)
        glasses.chip.pins.watch(lambda *seen: levels.append(seen))
        await asyncio.sleep(0.03)
        if how == "power":
            glasses.power_cut()
        after = len(asyncio.all_tasks())
        end = {"wdt": 0.06, "power": 0.0795, "interrupt": 0.055}.get(how, 0.05)
        assert not [seen for seen in levels if seen[1] and seen[2] > end - 1e-6]
        await asyncio.sleep(1)
        assert not Path("testament").exists()
        assert ("cancelled",) not in glasses.notes
        if how == "deepsleep":
            assert glasses.phase == ASLEEP and len(asyncio.all_tasks()) < after + 1
            assert glasses.notes[before:] == []
        if how == "power":
            assert glasses.phase == OFF
            await glasses.power_on()
            await asyncio.sleep(0.01)
            assert glasses.chip.power.cause == 1

    at_once = how in ("deepsleep", "reset", "soft_reset")
    source = (
        HEIR.replace("END", endings[how])
        .replace("AT_ONCE", str(at_once))
        .replace(
            "if machine.wake_reason()",
            "note(machine.reset_cause())\n    if machine.reset_cause() != 1",
        )
    )
    play(folder, source, test)
    assert not Path("testament").exists()


def test_a_task_that_will_not_end_is_an_error(folder: Path) -> None:
    source = """
import asyncio

async def deaf(stop, sleep):
    patience = 50
    while patience:
        try:
            await sleep(1)
        except stop:
            patience -= 1

async def main():
    asyncio.create_task(deaf(BaseException, asyncio.sleep))
    await asyncio.sleep_ms(1)
    import machine
    machine.deepsleep()
"""

    async def test(glasses: Any, air: Air) -> None:
        await asyncio.sleep(1)
        for task in asyncio.all_tasks():
            while "deaf" in repr(task) and not task.done():
                task.cancel()
                await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="go on without a chip: deaf"):
        play(folder, source, test)


def test_a_crash_stays_to_be_seen(folder: Path) -> None:
    async def test(glasses: Any, air: Air) -> None:
        await asyncio.sleep(1)
        assert not glasses.running and glasses.phase == AWAKE
        glasses.power_cut()
        (error,) = glasses.crashes
        glasses.crashes.clear()
        assert str(error) == "a bug"

    play(folder, "async def main():\n    raise ValueError('a bug')\n", test)


def test_the_pressed_button_wakes(folder: Path) -> None:
    source = """
import asyncio, machine, esp32
from notes import note

async def main():
    note(machine.wake_reason(), machine.Pin(1, machine.Pin.IN, machine.Pin.PULL_UP).value())
    await asyncio.sleep_ms(100)
    esp32.wake_on_ext0(machine.Pin(1, machine.Pin.IN, machine.Pin.PULL_UP), 0)
    machine.deepsleep()
"""

    async def test(glasses: Any, air: Air) -> None:
        await asyncio.sleep(100)
        glasses.chip.pins.press(TALK)
        await asyncio.sleep(0.35)
        assert glasses.phase == AWAKE
        glasses.chip.pins.release(TALK)
        await asyncio.sleep(100)
        assert glasses.notes == [(0, 1), (2, 0)]
        assert glasses.phase == ASLEEP

    play(folder, source, test, boot_ms=250)


def test_power_that_goes_while_they_boot(folder: Path) -> None:
    async def test(glasses: Any, air: Air) -> None:
        glasses.power_cut()
        for wait in (0, 1e-9, 0.1, 0.2499):
            waiting = asyncio.ensure_future(glasses.power_on())
            await asyncio.sleep(wait)
            glasses.power_cut()
            await waiting
            assert glasses.phase == OFF
        await asyncio.sleep(2)
        assert glasses.starts == 1
        await glasses.power_on()
        assert glasses.starts == 2

    play(folder, SLEEPER, test, boot_ms=250)


# --- the radio ------------------------------------------------------------------------------------------

BEACON = """
import asyncio, machine, bluetooth

async def main():
    ble = bluetooth.BLE()
    ble.active(True)
    ble.gatts_register_services(((bluetooth.UUID(0x180F), ((bluetooth.UUID(0x2A19), 2),)),))
    ble.gap_advertise(30000, b"\\x02\\x01\\x06")
    for _ in range(60):
        await asyncio.sleep_ms(5)
        if machine.Pin(1, machine.Pin.IN).value():
            await asyncio.sleep_ms(100000)
    machine.deepsleep(10000)
"""


def test_hosts_hear_them_while_they_are_awake(folder: Path) -> None:
    """The antenna is kept from one start to the next. A new one each time is heard at the same times."""
    heard: list[list[float]] = []

    async def listen(glasses: Any, air: Air) -> None:
        host = await air.device("host", "C0:FF:EE:00:00:02")
        times: list[float] = []
        host.on(Device.EVENT_ADVERTISEMENT, lambda found: times.append(asyncio.get_running_loop().time()))
        await host.start_scanning()
        await asyncio.sleep(100)
        heard.append(times)
        assert 8 * 9 <= len(times) <= 12 * 10
        assert all(t % 10.3 <= 0.3 + 1e-6 or t % 10.3 > 10.299 for t in times)

    async def anew(glasses: Any, air: Air) -> None:
        air.rest = lambda device: False  # type: ignore[method-assign]
        await listen(glasses, air)

    for name, test in (("kept", listen), ("new", anew)):
        play(folder / name, BEACON, test)
    assert heard[0] == heard[1]


@pytest.mark.parametrize("how", ["deepsleep", "power"])
def test_who_is_connected_learns_of_the_end_by_silence(folder: Path, how: str) -> None:
    async def test(glasses: Any, air: Air) -> None:
        loop = asyncio.get_running_loop()
        host = await air.device("host", "C0:FF:EE:00:00:02")
        glasses.chip.pins.drive(TALK, 1)
        connection = await host.connect_le(ADDRESS)
        ended: list[float] = []
        connection.on("disconnection", lambda reason: ended.append(loop.time()))
        await asyncio.sleep(5)
        assert glasses.radio.connected and not ended
        then = loop.time()
        if how == "power":
            glasses.power_cut()
        else:
            glasses._on_halt("deepsleep")
        await asyncio.sleep(1.9)
        assert not ended and not glasses.radio.connected
        await asyncio.sleep(0.2)
        assert ended[0] - then == pytest.approx(2, abs=0.05)
        glasses.power_cut()
        await glasses.power_on()
        assert await host.connect_le(ADDRESS)

    play(folder, BEACON, test)


# --- a program that is blocked ----------------------------------------------------------------------------

EAR = """
import asyncio, time, machine
from notes import note
buffers = [bytearray(640), bytearray(640)]
filled = 0

def on_filled(i2s):
    global filled
    filled += 1
    note(time.ticks_ms() - began)
    if AGAIN:
        i2s.readinto(buffers[filled & 1])

async def main():
    global began
    began = time.ticks_ms()
    mic = machine.I2S(0, sck=4, ws=5, sd=6, mode=1, bits=16, format=0, rate=16000, ibuf=IBUF)
    mic.irq(on_filled)
    for buffer in buffers:
        mic.readinto(buffer)
    import glasses.big
    note("loaded", time.ticks_ms() - began, filled)
    if not AGAIN:
        mic.readinto(buffers[0])
    await asyncio.sleep_ms(200)
"""


def test_the_microphone_goes_on_while_a_module_loads(folder: Path) -> None:
    """200 ms in C: two transfers are done, their handlers come after it, the rest is in the ring or lost."""

    def session(name: str, ibuf: int) -> Any:
        kept: list[Any] = []

        async def test(glasses: Any, air: Air) -> None:
            await asyncio.sleep(1)
            kept.extend((glasses.chip.i2s.sessions[-1], list(glasses.notes)))

        source = EAR.replace("AGAIN", "False").replace("IBUF", str(ibuf))
        big = {"glasses/big.py": "#" * 1000}
        play(folder / name, source, test, big, load=Load(200, 0))
        return kept

    wide, notes = session("wide", 32768)
    assert notes[:3] == [(200,), (200,), ("loaded", 200, 2)]
    assert wide.overruns == 0 and list(wide.segments) == [(0, 960)], "the ring has held it"
    narrow, _ = session("narrow", 4 * 2048)
    # 12 descriptors were filled, the newest 3 of them are there.
    assert narrow.overruns == 1 and narrow.dropped == 12 * 256 - 3 * 256 - 3 * 256
    assert [first for first, _ in narrow.segments] == [0, 9 * 256]


def test_handlers_run_between_modules(folder: Path) -> None:
    """Twenty modules of 10 ms each: the microphone's handler keeps up, and nothing is lost."""

    async def test(glasses: Any, air: Air) -> None:
        voice = np.arange(16000, dtype=np.int16)
        glasses.chip.sound.say(voice)
        await asyncio.sleep(1)
        assert glasses.chip.i2s.sessions[-1].overruns == 0
        loaded = next(note for note in glasses.notes if note[0] == "loaded")
        assert loaded == ("loaded", 210, 10)
        late = [t - 20 * (n + 1) for n, (t,) in enumerate(glasses.notes[:10])]
        assert all(0 <= ms <= 22 for ms in late), "a descriptor, and a module"

    files = {f"glasses/m{n}.py": "x = 1" for n in range(20)}
    files["glasses/big.py"] = "from glasses import " + ", ".join(f"m{n}" for n in range(20))
    source = EAR.replace("AGAIN", "True").replace("IBUF", "8192")
    play(folder, source, test, files, load=Load(10, 0))


def test_the_watchdog_bites_a_program_that_loads_for_too_long(folder: Path) -> None:
    source = """
import asyncio, machine
from notes import note

async def main():
    note(machine.reset_cause())
    if machine.reset_cause() == 1:
        wdt = machine.WDT(timeout=100)
        try:
            import glasses.big
        finally:
            wdt.feed()
        note("never")
    await asyncio.sleep_ms(1000)
"""

    async def test(glasses: Any, air: Air) -> None:
        await asyncio.sleep(1)
        assert glasses.notes == [(1,), (3,)]

    play(folder, source, test, {"glasses/big.py": "x = 1"}, load=Load(150, 0))


def test_builtins_are_left_as_they_were(folder: Path) -> None:
    before = dict(vars(builtins))
    finders = list(sys.meta_path)

    async def test(glasses: Any, air: Air) -> None:
        await asyncio.sleep(30)

    play(folder, SLEEPER, test)
    assert vars(builtins) == before and sys.meta_path == finders
    assert not [name for name in sys.modules if name.startswith("glasses")]


# --- the same, twice --------------------------------------------------------------------------------------

DAY = """
import asyncio, json, os, random, sys, time, uuid
from pathlib import Path
from lunette import paths
from lunette.virtual.cpython import VirtualLoop
from lunette.virtual.kernels import fast_kernels
from lunette.virtual.seeded import seeded
from world import World, run_world
from lunette.virtual.air import LinkModel

async def day(world):
    print(os.urandom(4).hex(), random.random(), uuid.uuid4(), time.time(), time.strftime("%c"))
    rng = random.Random(1)
    for _ in range(3):
        await world.talk(rng.uniform(0.5, 2))
        await asyncio.sleep(rng.uniform(1, 5))
    await world.restart()
    await world.talk(1)
    await world.complete(4)
    for t, what, detail in world.events:
        print(repr(t), what, getattr(detail, "number", ""), getattr(detail, "crc", ""))
    print(json.dumps(world.air.stats()), asyncio.get_running_loop().time())

with seeded(7):
    run_world(Path("."), day, model=LinkModel(loss=0.2, jitter_ms=3))
"""


def test_two_processes_live_the_same_day(folder: Path) -> None:
    """Whatever the order of hashes: to the last digit of every time."""
    days = []
    for seed in ("1", "2"):
        Path(seed).mkdir()
        where = os.pathsep.join((str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")))
        env = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": where}
        program = [sys.executable, "-c", DAY]
        days.append(subprocess.Popen(program, cwd=seed, env=env, stdout=subprocess.PIPE, text=True))
    one, other = (day.communicate()[0] for day in days)
    assert [day.returncode for day in days] == [0, 0]
    assert one.count("frame") > 100
    assert one == other
