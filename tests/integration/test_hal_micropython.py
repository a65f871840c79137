"""The HAL in the real MicroPython, over sockets, in real time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lunette import paths
from lunette.virtual import interpreter
from lunette.virtual.chip.chip import Chip
from lunette.virtual.chip.server import ChipServer
from lunette.virtual.process import interrupt

PRELUDE = """
import sys, asyncio  # asyncio keeps the built-in clock, as boot.py sees to
sys.path.insert(0, {hal!r})
import _port
_port.open({request}, {bell})
import time, machine, esp32, neopixel, gc, micropython
from machine import Pin, I2S, Timer
"""

MIC = """
def microphone(**changes):
    options = dict(sck=1, ws=2, sd=3, mode=I2S.RX, bits=16, format=I2S.MONO, rate=16000, ibuf=40960)
    options.update(changes)
    return I2S(0, **options)
"""

TIMEOUT_S = 30
STORM = 200  # how many times Ctrl-C is pressed


class Program:
    """A MicroPython process on a chip; `lines` is what it has printed."""

    def __init__(self, server: ChipServer, process: asyncio.subprocess.Process):
        self.server = server
        self.process = process
        self.lines: list[str] = []
        self.ended = False
        self._more = asyncio.Event()

    async def read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.lines.append(line.decode().rstrip("\r\n"))
            self._more.set()
        self.ended = True
        self._more.set()

    async def printed(self, text: str) -> None:
        """Wait until a line is `text`, or there will be no more."""
        while text not in self.lines and not self.ended:
            self._more.clear()
            await self._more.wait()


Meanwhile = Callable[[Program], Awaitable[None]]


async def execute(chip: Chip, folder: Path, source: str, meanwhile: Meanwhile | None = None) -> list[str]:
    """Run `source` on `chip` to its end, or until `meanwhile` is over if the program never ends."""
    server = ChipServer(chip.bus)
    request, request_child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    bell, bell_child = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    fds = (request_child.fileno(), bell_child.fileno())
    script = folder / "program.py"
    script.write_text(PRELUDE.format(hal=str(paths.HAL), request=fds[0], bell=fds[1]) + MIC + source)
    process = await asyncio.create_subprocess_exec(
        *interpreter.command("-X", "heapsize=512k", str(script)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=1 << 20,
        pass_fds=fds,
        cwd="/",
    )
    request_child.close()
    bell_child.close()
    program = Program(server, process)
    server.attach(request, bell)
    reader = asyncio.ensure_future(program.read())

    async def to_the_end() -> None:
        if meanwhile is not None:
            await meanwhile(program)
            if "never returns" in source:
                process.kill()
        await reader
        await process.wait()

    try:
        await asyncio.wait_for(to_the_end(), TIMEOUT_S)
    except asyncio.TimeoutError:
        pytest.fail(f"still running after printing {program.lines}")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        server.detach()
    return program.lines


def real_time(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(coroutine)


def speech(n: int) -> np.ndarray:
    return np.random.default_rng(7).integers(-32768, 32768, n).astype(np.int16)


def test_pins_interrupts_and_failing_handlers(tmp_path: Path) -> None:
    source = """
led = Pin(21, Pin.OUT)
button = Pin(4, Pin.IN, Pin.PULL_UP)
other = Pin(5, Pin.IN)
seen = []
def pressed(pin):
    seen.append((pin is button, pin()))
    led(1 - pin())
def bad(pin):
    raise RuntimeError("in a handler")
other.irq(bad)
button.irq(pressed)
print("ready")
while len(seen) < 6:
    pass                      # interrupts come between bytecodes, like on the chip
print(seen, led())
button.irq(None)
state = machine.disable_irq()
button.irq(pressed, Pin.IRQ_FALLING)
print("masked")
for _ in range(200):
    time.sleep_ms(1)
print(len(seen))
machine.enable_irq(state)
while len(seen) < 7:
    time.sleep_ms(1)
print("unmasked")
"""

    async def main() -> None:
        chip = Chip()

        async def world(program: Program) -> None:
            await program.printed("ready")
            chip.pins.drive(5, 1)
            for _ in range(3):
                chip.pins.press(4)
                while chip.pins.level(21) != 1:
                    await asyncio.sleep(0.001)
                chip.pins.release(4)
                while chip.pins.level(21) != 0:
                    await asyncio.sleep(0.001)
            await program.printed("masked")
            chip.pins.press(4)

        lines = await execute(chip, tmp_path, source, world)
        assert "RuntimeError: in a handler" in lines
        assert "[(True, 0), (True, 1), (True, 0), (True, 1), (True, 0), (True, 1)] 0" in lines
        assert lines[-3:] == ["masked", "6", "unmasked"]

    real_time(main())


def test_a_second_of_sound_without_a_gap_and_without_the_heap(tmp_path: Path) -> None:
    source = """
import binascii
mic = microphone()
bufs = (bytearray(640), bytearray(640))
store = bytearray(640 * 60)
whole = memoryview(store)
slices = [whole[640 * i : 640 * i + 640] for i in range(60)]
turn = 0
def done(i2s):
    global turn
    buf = bufs[turn & 1]
    if turn < 60:
        view = slices[turn]
        for i in range(640):      # view[:] = buf would make a slice object
            view[i] = buf[i]
        turn += 1
    i2s.readinto(buf)
mic.irq(done)
mic.readinto(bufs[0])
mic.readinto(bufs[1])
pin = Pin(4, Pin.IN)
while turn < 4:
    time.sleep_ms(1)
before = 0
gc.collect()
gc.disable()
before = gc.mem_alloc()
micropython.heap_lock()
try:
    while turn < 54:
        pin.value()
        pin()
        time.ticks_ms()
        time.sleep_ms(2)
finally:
    micropython.heap_unlock()
print("grown", gc.mem_alloc() - before)
while turn < 60:
    time.sleep_ms(1)
mic.deinit()
print(binascii.hexlify(store).decode())
"""

    async def main() -> None:
        chip = Chip()
        chip.sound.say(speech(16000 * 5), at=asyncio.get_running_loop().time())
        lines = await execute(chip, tmp_path, source)
        assert len(lines) == 2, lines
        assert lines[0] == "grown 0"
        session = chip.i2s.sessions[-1]
        heard = np.frombuffer(bytes.fromhex(lines[1]), np.int16)
        assert len(heard) == 60 * 320 and heard.any()
        assert (heard == chip.sound.render(session.first_sample, len(heard))).all()
        assert (session.dropped, session.refused, session.lost_completions) == (0, 0, 0)

    real_time(main())


def test_long_buffers_32_bit_stereo(tmp_path: Path) -> None:
    source = """
import binascii, array
mic = microphone(bits=32, format=I2S.STEREO)
bufs = (bytearray(5120), array.array("i", [0] * 1280))
turn = 0
got = []
def done(i2s):
    global turn
    got.append(bytes(bufs[turn & 1]))
    turn += 1
    i2s.readinto(bufs[turn + 1 & 1])
mic.irq(done)
for b in bufs:
    mic.readinto(b)
while turn < 10:
    time.sleep_ms(1)
mic.deinit()
print(binascii.hexlify(b"".join(got[:10])).decode())
"""

    async def main() -> None:
        chip = Chip()
        chip.i2s.channel = "both"
        chip.sound.say(speech(16000 * 5), at=asyncio.get_running_loop().time())
        lines = await execute(chip, tmp_path, source)
        session = chip.i2s.sessions[-1]
        heard = np.frombuffer(bytes.fromhex(lines[-1]), np.int32).reshape(-1, 2)
        wanted = chip.sound.render(session.first_sample, 6400).astype(np.int32) << 16
        assert (heard[:, 0] == wanted).all() and (heard[:, 1] == wanted).all()

    real_time(main())


def test_everything_else_answers(tmp_path: Path) -> None:
    source = """
def refused(call):
    try:
        call()
    except Exception as e:
        return type(e).__name__, e.args[0] if isinstance(e, OSError) else str(e)
    return "no"

rtc = machine.RTC()
rtc.memory(bytes(range(256)) * 8)
print(rtc.memory() == bytes(range(256)) * 8, refused(lambda: rtc.memory(bytes(2049))))
rtc.memory(b"")
print(rtc.memory())
rtc.datetime((2026, 8, 1, 5, 12, 30, 15, 0))
print(rtc.datetime()[:7], time.time() == time.mktime((2026, 8, 1, 12, 30, 15, 5, 213)), time.localtime()[:6])
print(refused(lambda: Pin(22)), refused(lambda: machine.freq(123)))
print(refused(lambda: machine.I2S(5, sck=1, ws=2, sd=3, mode=1, bits=16, format=0, rate=16000, ibuf=8192)))
mic = microphone()
mic.irq(print)
print(refused(lambda: mic.readinto(bytearray(3))), refused(lambda: mic.write(bytearray(4))))
print(refused(lambda: microphone(ibuf=10**6)), refused(lambda: machine.deepsleep(1 << 31)))
print(refused(lambda: esp32.wake_on_ext0(38, 0)), machine.unique_id(), machine.reset_cause())
nvs = esp32.NVS("glasses")
nvs.set_blob("b", bytes(5000)); nvs.set_i32("i", -5); nvs.commit()
print(nvs.get_blob("b", bytearray(6000)), nvs.get_i32("i"), refused(lambda: nvs.get_i32("x")))
adc = machine.ADC(1, atten=3)
print(adc.read_uv(), len(esp32.idf_heap_info(esp32.HEAP_DATA)))
np = neopixel.NeoPixel(Pin(21), 2); np[1] = (1, 2, 3); np.write()
ticks = []
timer = Timer(0, period=5, callback=lambda t: ticks.append(t is timer))
while len(ticks) < 5:
    pass
timer.deinit()
print(ticks[:5])
pwm = machine.PWM(Pin(7), freq=1000, duty_u16=32768)
start = time.ticks_us(); time.sleep(0.05); spent = time.ticks_diff(time.ticks_us(), start)
print(49000 <= spent < 500000, len(time.gmtime(0)), time.gmtime(0)[0])
print(time.ticks_add(0, -1) == (1 << 30) - 1, time.ticks_diff(2, (1 << 30) - 3))
time._boot -= (1 << 30) * 1000  # as if it had run for twelve days
print(refused(lambda: time.ticks_add(0, 1 << 29)), 0 <= time.ticks_ms() < 20000)
"""

    async def main() -> None:
        chip = Chip()
        chip.analog.volts[1] = 1.55
        lines = await execute(chip, tmp_path, source)
        assert lines == [
            "True ('ValueError', 'buffer too long')",
            "b''",
            "(2026, 8, 1, 5, 12, 30, 15) True (2026, 8, 1, 12, 30, 15)",
            "('ValueError', 'invalid pin') ('ValueError', 'frequency must be 20MHz, 40MHz, 80Mhz, 160MHz "
            "or 240MHz')",
            "('ValueError', 'invalid id')",
            "('OSError', 22) ('OSError', 1)",
            "('OSError', 12) ('OverflowError', 'overflow converting long int to machine word')",
            "('ValueError', 'invalid pin') b'|\\xdf\\xa1\\x00\\x00\\x01' 1",
            "5000 -5 ('OSError', -4354)",
            "1550000 3",
            "[True, True, True, True, True]",
            "True 8 2000",
            "True 5",
            "('OverflowError', 'ticks interval overflow') True",
        ]
        assert chip.pins.neopixels[21] == [(0, 0, 0), (1, 2, 3)]
        assert chip.pins.duty(7) == pytest.approx(0.5, abs=0.001)

    real_time(main())


def test_blocking_transfers_light_sleep_and_streams(tmp_path: Path) -> None:
    source = """
import binascii, asyncio
mic = microphone()
buf = bytearray(9600)
start = time.ticks_ms()
print(mic.readinto(buf), 250 < time.ticks_diff(time.ticks_ms(), start) < 2000)
mic.deinit()
print(binascii.hexlify(buf).decode())
out = I2S(1, sck=4, ws=5, sd=6, mode=I2S.TX, bits=16, format=I2S.MONO, rate=16000, ibuf=4096)
print(out.write(buf))
start = time.ticks_ms()
machine.lightsleep(200)
print(machine.wake_reason() == machine.TIMER_WAKE, 190 < time.ticks_diff(time.ticks_ms(), start) < 2000)
async def stream():
    await asyncio.StreamReader(microphone()).readinto(buf)
try:
    asyncio.run(stream())
except NotImplementedError as e:
    print("refused:", e)
"""

    async def main() -> None:
        chip = Chip()
        chip.sound.say(speech(16000 * 5), at=asyncio.get_running_loop().time())
        lines = await execute(chip, tmp_path, source)
        assert lines[0] == "9600 True"
        first, second, _ = chip.i2s.sessions
        heard = np.frombuffer(bytes.fromhex(lines[1]), np.int16)
        assert (heard == chip.sound.render(first.first_sample, 4800)).all()
        assert (second.played_pcm()[-4800:] == heard).all()
        assert lines[2:4] == ["9600", "True True"]
        assert lines[4] == "refused: I2S as an asyncio stream hangs on the chip: use irq() and two buffers"

    real_time(main())


@pytest.mark.parametrize(
    ("call", "hook"),
    [
        ("machine.reset()", "on_reset"),
        ("machine.deepsleep(60000)", "on_sleep"),
        ("machine.WDT(timeout=100)", "on_reset"),
    ],
)
def test_what_never_returns(tmp_path: Path, call: str, hook: str) -> None:
    source = f"""
Pin(21, Pin.OUT, value=1)
machine.RTC().memory(b"note")
print("before")
{call}  # never returns
while "WDT" in {call!r}:  # a program that hangs
    pass
print("after")
"""

    async def main() -> None:
        chip = Chip()
        told = asyncio.Event()
        arguments: list[object] = []

        def hooked(argument: object) -> None:
            arguments.append(argument)
            told.set()

        setattr(chip, hook, hooked)

        async def world(program: Program) -> None:
            await told.wait()
            assert program.server._tasks or "WDT" in call  # the call stays without an answer

        lines = await execute(chip, tmp_path, source, world)
        assert lines == ["before"]
        assert arguments == [{"machine.r": "hard", "machine.d": 60000, "machine.W": "wdt"}[call[:9]]]
        assert chip.pins.level(21) == 0 and chip.memory.rtc_memory == b"note"
        chip.reset("power_on")

    real_time(main())


def test_soft_reset_is_told_and_exits(tmp_path: Path) -> None:
    async def main() -> None:
        chip = Chip()
        lines = await execute(chip, tmp_path, "print(1)\nmachine.soft_reset()\nprint(2)\n")
        assert lines == ["1"] and chip.power.cause == 5

    real_time(main())


@pytest.mark.parametrize("deferred", [False, True])
def test_ctrl_c_in_the_middle_of_requests_never_mixes_answers(tmp_path: Path, deferred: bool) -> None:
    source = f"""
deferred = {deferred}
rtc = machine.RTC()
rtc.memory(bytes(range(200)))
expected = rtc.memory()
led = Pin(21, Pin.OUT)
adc = machine.ADC(1, atten=3)
mic = microphone()
buf = bytearray(512)
caught = wrong = rounds = 0
while caught < {STORM}:
    try:
        print("armed", caught)
        while True:
            rounds += 1
            led(rounds & 1)
            answers = led(), adc.read_uv(), rtc.memory()
            if answers != (rounds & 1, 1550000, expected):
                wrong += 1
                print("wrong", rounds, answers)
            if deferred and rounds % 10 == 0:
                mic.readinto(buf)
    except KeyboardInterrupt:
        caught += 1
print("mixed up:", wrong, "enough:", rounds > 100)
"""

    async def main() -> None:
        chip = Chip()
        chip.analog.volts[1] = 1.55

        async def world(program: Program) -> None:
            delays = np.random.default_rng(3).uniform(0.0, 0.01, STORM)
            for i, delay in enumerate(delays):
                await program.printed(f"armed {i}")
                await asyncio.sleep(float(delay))
                interrupt(program.process.pid)

        lines = await execute(chip, tmp_path, source, world)
        assert "mixed up: 0 enough: True" in lines, [x for x in lines if not x.startswith("armed")]

    real_time(main())
