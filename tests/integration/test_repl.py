"""The console of the virtual glasses: real mpremote, resets, Ctrl-C, clients, and nothing left behind."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from bench_glasses import LIMIT_S, Bench, make_image, wait_gone

from lunette.errors import LunetteError
from lunette.virtual import interpreter, process
from lunette.virtual.printout import BOOTED, Printout, chip_line_ends
from lunette.virtual.supervisor import Supervisor

# A HAL of one module. Requests: b"reset", b"hang" (never answered) and b"add" (answered).
_PORT = """
def open(request, bell):
    import _thread, builtins
    global _request, _bell, on_bell
    _request = builtins.open(request, "r+b")
    _bell = builtins.open(bell, "r+b")
    on_bell = print
    _thread.start_new_thread(_listen, ())

def _listen():
    import micropython
    byte = bytearray(1)
    while _bell.readinto(byte, 1):
        micropython.schedule(_ring, byte[0])
        _bell.write(byte, 1)

def _ring(n):
    on_bell("bell", n)

def call(what):
    _request.write(what)
    answer = bytearray(2)
    _request.readinto(answer, 2)
    return answer
"""
_MACHINE = """
import _port

def reset():
    _port.call(b"reset")
"""


class _Hal:
    """The simulator's side of that HAL."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        (folder / "_port.py").write_text(_PORT)
        (folder / "machine.py").write_text(_MACHINE)
        self.life: list[str] = []
        self.rung = asyncio.Event()
        self.bench: Bench | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    def attach(self, request: socket.socket, bell: socket.socket) -> None:
        self.life.append("attach")
        self.request, self.bell = request, bell
        request.setblocking(False)
        bell.setblocking(False)
        asyncio.get_running_loop().add_reader(request, self._on_request)
        asyncio.get_running_loop().add_reader(bell, self._on_bell)

    def detach(self) -> None:
        self.life.append("detach")
        asyncio.get_running_loop().remove_reader(self.request)
        asyncio.get_running_loop().remove_reader(self.bell)

    def on_exit(self, why: str) -> None:
        self.life.append(why)

    def _on_request(self) -> None:
        message = self.request.recv(100)
        assert self.bench is not None
        if message == b"reset":
            self.tasks.add(asyncio.get_running_loop().create_task(self.bench.glasses.hard_reset()))
        elif message == b"add":
            self.request.send(b"42")
        elif not message:
            asyncio.get_running_loop().remove_reader(self.request)

    def _on_bell(self) -> None:
        if self.bell.recv(10):
            self.rung.set()
        else:
            asyncio.get_running_loop().remove_reader(self.bell)


def _with_hal(tmp_path: Path, files: dict[str, Path | bytes]) -> tuple[Bench, _Hal]:
    hal = _Hal(tmp_path / "hal")
    bench = Bench(tmp_path, files, hal=hal.folder, attach=hal.attach, detach=hal.detach, on_exit=hal.on_exit)
    hal.bench = bench
    return bench, hal


# --- mpremote ------------------------------------------------------------------------------------


def test_mpremote(tmp_path: Path) -> None:
    async def scenario() -> None:
        local = tmp_path / "local"
        (local / "tree" / "deep").mkdir(parents=True)
        every_byte = bytes(range(256)) * 5  # Ctrl-C and line feeds among them
        (local / "bytes.bin").write_bytes(every_byte)
        (local / "tree" / "a.txt").write_text("a\n")
        (local / "tree" / "deep" / "b.txt").write_text("b\n")
        script = local / "script.py"
        script.write_text("print('ran', 6 * 7)\n")
        back = tmp_path / "back.bin"

        files: dict[str, Path | bytes] = {"boot.py": b"print('booting')\n", "main.py": b"mark = 'main'\n"}
        async with Bench(tmp_path, files) as bench:
            run = bench.mpremote
            assert await run("exec", "print('one\\ntwo')") == "one\ntwo\n"
            assert "ZeroDivisionError" in await run("exec", "1/0", fails=True)
            assert await run("eval", "6*7", "run", str(script)) == "42\nran 42\n"

            copied = await run(
                *("cp", str(local / "bytes.bin"), ":x.bin", "+", "cp", "-r", str(local / "tree"), ":", "+"),
                *("cp", ":x.bin", str(back), "+", "sha256sum", "x.bin", "+", "cat", "tree/deep/b.txt", "+"),
                *("mkdir", "made", "+", "rm", "x.bin", "+", "ls", "+", "ls", "tree", "+", "df"),
            )
            assert back.read_bytes() == every_byte
            assert hashlib.sha256(every_byte).hexdigest() in copied
            assert "\nb\n" in copied
            listing = copied.rpartition("ls :\n")[2]
            assert "made/" in listing and "tree/" in listing and "x.bin" not in listing
            assert "a.txt" in copied and "deep/" in copied
            assert "262144" in copied  # df: the size of the flash

            remote_sum = (
                "import hashlib, binascii\n"
                "print(binascii.hexlify(hashlib.sha256(open('bytes.bin', 'rb').read()).digest()).decode())"
            )
            mounted = await run("mount", str(local), "exec", remote_sum)
            assert hashlib.sha256(every_byte).hexdigest() in mounted

            # A soft reset into the raw REPL runs boot.py and not main.py; resume makes none.
            bench.output.clear()
            assert await run("exec", "kept = 5; print('mark' in globals())") == "False\n"
            assert b"soft reboot\r\nbooting\r\nraw REPL; CTRL-B to exit\r\n" in bench.output
            pty = bench.glasses.pty_path
            assert await run("resume", "eval", "kept", device=pty) == "5\n"
            assert await run("soft-reset", "resume", "eval", "'kept' in globals()", device=pty) == "False\n"
            assert set(bench.exits) == {"soft"}

    asyncio.run(scenario())


def test_mpremote_on_a_pty(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Bench(tmp_path, {"main.py": b"while True: pass\n"}) as bench:
            path = bench.glasses.pty_path
            assert path == bench.glasses.pty_path and path.startswith("/dev/pts/")
            assert await bench.mpremote("eval", "6*7", device=path) == "42\n"
            # Closed and opened again, as often as one likes; much output meets a slow reader.
            out = await bench.mpremote("resume", "exec", "for i in range(9000): print(i)", device=path)
            assert out.split() == [str(i) for i in range(9000)]

    asyncio.run(scenario())


def test_machine_reset_runs_everything_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench, hal = _with_hal(tmp_path, {"main.py": b"print('main runs')\n"})
        async with bench:
            await bench.printed("main runs")
            await bench.until(lambda: bench.glasses.reading_input)
            assert await bench.ask("import _port; _port.call(b'add')") == "bytearray(b'42')\r\n"
            before = bench.glasses.pid
            await bench.mpremote("resume", "reset")
            await bench.printed("main runs")
            assert bench.glasses.pid != before
            await bench.until(lambda: bench.glasses.reading_input)
            await bench.type("\x04")
            await bench.printed("MPY: soft reboot\r\nmain runs")
        assert hal.life == [
            *("attach", "detach", "killed", "attach", "detach", "soft", "attach", "detach", "killed")
        ]

    asyncio.run(scenario())


# --- power and resets ----------------------------------------------------------------------------


def test_power_and_soft_reset(tmp_path: Path) -> None:
    files: dict[str, Path | bytes] = {
        "boot.py": b"print('boot')\n",
        "main.py": b"import stop\nprint('main', stop.how)\nif stop.how: raise SystemExit(stop.how)\n",
        "stop.py": b"how = 0\n",
    }

    async def scenario() -> None:
        async with Bench(tmp_path, files) as bench:
            g = bench.glasses
            assert "boot\r\nmain 0\r\n" in await bench.printed(">>> ")
            assert "x = 1" not in await bench.ask("x = 1")
            for end in ("\x04", "raise SystemExit\r", "import sys; sys.exit(3)\r"):
                await bench.until(lambda: g.reading_input)
                await bench.type(end)
                assert "MPY: soft reboot\r\nboot\r\nmain 0\r\n" in await bench.printed("main 0\r\n")
            assert "NameError" in await bench.ask("x")
            await g.power_cut()
            assert not g.running and g.pid is None and not g.reading_input
            await bench.type("nobody hears this\r")
            await g.start(run_main=False)
            assert "main" not in await bench.printed(">>> ")
            # Keys typed right behind the reset are not lost, whatever is starting then.
            await bench.type("\x04print('after')\r")
            await bench.printed("\r\nafter\r\n")
            # main.py that asks for a soft reset gets one, for ever: Ctrl-C still gets a prompt.
            await bench.ask("open('stop.py', 'w').write('how = 7')")
            await bench.type("\x04")
            for _ in range(3):
                await bench.printed("main 7\r\nMPY: soft reboot\r\n")
            await bench.type("\x03")
            await bench.printed(">>> ")
            assert await bench.ask("1 + 1") == "2\r\n"
            # The same in the raw REPL, which stays raw.
            await bench.until(lambda: bench.glasses.reading_input)
            await bench.type("\x01\x04print('behind')\x04")
            assert "boot\r\nraw REPL; CTRL-B to exit\r\n>OKbehind" in await bench.printed("behind\n")
        assert set(bench.exits) == {"soft", "killed"} and bench.exits.count("killed") == 2

    asyncio.run(scenario())


def test_ctrl_c_ends_a_loop_of_soft_resets(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Bench(tmp_path, {"main.py": b"raise SystemExit\n"}) as bench:
            for _ in range(3):
                await bench.printed("MPY: soft reboot\r\n")
            await bench.type("\x03")
            # The program runs far too shortly to be met by chance.
            assert (await bench.printed(">>> ")).count("soft reboot") <= 3
            assert await bench.ask("1 + 1") == "2\r\n"

    asyncio.run(scenario())


def test_crash_is_a_hard_reset_until_it_is_too_often(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Bench(tmp_path, {"main.py": b"print('main')\n"}) as bench:
            for n in range(5):
                await bench.printed("main")
                pid = bench.glasses.pid
                assert pid is not None
                os.kill(pid, signal.SIGSEGV)
                text = await bench.printed("hard reset" if n < 4 else "the glasses stay off")
                assert "killed by signal 11" in text
            assert not bench.glasses.running and bench.exits == ["crash"] * 5
            await bench.glasses.start()  # by hand they can be switched on again
            await bench.printed("main")

    asyncio.run(scenario())


def test_what_a_program_sees(tmp_path: Path) -> None:
    look = (
        b"import sys, os\n"
        b"print(sorted(globals()), __name__, __file__)\n"
        b"print(sys.path, sys.argv, os.listdir('/'), os.getcwd(), os.getenv('LUNETTE_FLASH'))\n"
        b"print(sorted(sys.modules))\n"
        b"def f():\n    return 1 / 0\n"
        b"f()\n"
    )

    async def scenario() -> None:
        async with Bench(tmp_path, {"main.py": look}) as bench:
            lines = (await bench.printed(">>> ")).split("\r\n")
            assert lines[0] == "['__file__', '__name__', 'os', 'sys'] __main__ main.py"
            assert lines[1] == "['', '.frozen', '/lib'] [] ['main.py'] / None"
            assert lines[2] == "['__main__']" or lines[2] == "[]"
            # The traceback of the chip: it starts in the user's file.
            assert lines[3:7] == [
                "Traceback (most recent call last):",
                '  File "main.py", line 7, in <module>',
                '  File "main.py", line 6, in f',
                "ZeroDivisionError: divide by zero",
            ]
            assert await bench.ask("import gc; gc.mem_alloc() + gc.mem_free() < 512 * 1024") == "True\r\n"
            assert await bench.ask("f.__name__") == "'f'\r\n"

    asyncio.run(scenario())


def test_line_ends_are_the_chips_whatever_the_pieces() -> None:
    text = b"a\nb\r\nc\r\r\n\n"
    for cut in range(len(text) + 1):
        joined = chip_line_ends(text[:cut], b"") + chip_line_ends(text[cut:], text[:cut])
        assert joined == b"a\r\nb\r\nc\r\r\n\r\n"


def test_raw_again_after_a_soft_reset_whatever_the_pieces() -> None:
    banner = b'MicroPython v1\r\nType "help()" for more information.\r\n>>> '
    output = b"boot\n\x1e\x1dlun\n" + BOOTED + banner + b"\r\nraw REPL; CTRL-B to exit\r\n>OKa\n\x04\x04>"
    for cut in range(len(output) + 1):
        shown, calls = bytearray(), []
        printout = Printout(shown.extend, lambda: calls.append("booted"), lambda: calls.append("raw"))  # noqa: B023
        printout.restart(raw=True)
        printout.take(output[:cut])
        printout.take(output[cut:])
        assert shown == b"boot\r\n\x1e\x1dlun\r\nraw REPL; CTRL-B to exit\r\n>OKa\n\x04\x04>"
        assert calls == ["booted", "raw"] and printout.raw
        printout.take(b"\r\n" + banner)
        assert not printout.raw


# --- Ctrl-C --------------------------------------------------------------------------------------

_PROGRAMS = {
    "busy loop": "while True: pass\r",
    "asyncio": "import asyncio; asyncio.run(asyncio.Event().wait())",
    "time.sleep": "import time; time.sleep(1000)",
    "input": "input('? ')",
    "request to the chip": "import _port; _port.call(b'hang')",
    "file system": "while True: open('x', 'w').write('y')\r",
    "long call in C": "sum(range(30_000_000))",
    "swallowed twice": "exec(open('swallow.py').read())",
    "in callbacks": "exec(open('callbacks.py').read())",
}
_SWALLOW = b"""
for i in range(2):
    try:
        while True: pass
    except KeyboardInterrupt:
        print('swallowed')
while True: pass
"""
# Nearly all the time is spent in a scheduled callback, where KeyboardInterrupt is only printed.
_CALLBACKS = b"""
import micropython, time
n = 0
def callback(_):
    global n
    n += 1
    t = time.ticks_ms()
    while time.ticks_diff(time.ticks_ms(), t) < (100 if n < 10 else 0): pass
    micropython.schedule(callback, 0)
callback(0)
while True: pass
"""


def test_ctrl_c_always_gets_a_prompt(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench, hal = _with_hal(tmp_path, {"swallow.py": _SWALLOW, "callbacks.py": _CALLBACKS})
        async with bench:
            await bench.printed(">>> ")
            pid = bench.glasses.pid
            assert pid is not None
            for name, program in _PROGRAMS.items():
                # Typed in one go: the key must neither come too early nor be taken for input.
                await bench.type(f"{program}\r\x03")
                await bench.printed("KeyboardInterrupt")
                await bench.until(lambda: bench.glasses.reading_input, f"prompt after {name}")
                assert await bench.ask("6 * 7") == "42\r\n", name
            # The program starts while the key is already waiting behind it.
            await bench.until(lambda: bench.glasses.reading_input)
            os.kill(pid, signal.SIGSTOP)
            await bench.type("while True: pass\r\r\x03")
            await asyncio.sleep(0.05)  # for the supervisor to do what it would do wrong
            os.kill(pid, signal.SIGCONT)
            await bench.printed("KeyboardInterrupt")
            # At the prompt a KeyboardInterrupt would end the interpreter, so it is not delivered.
            await bench.until(lambda: bench.glasses.reading_input)
            assert not process.interrupt(pid)
            # A user who leans on the key does not end the interpreter.
            await bench.type("while True: pass\r\r" + "\x03" * 200)
            await bench.printed("KeyboardInterrupt")
            assert await bench.ask("1 + 1") == "2\r\n"
            assert bench.glasses.pid == pid and hal.life == ["attach"]

    asyncio.run(scenario())


def test_ctrl_c_and_main_py(tmp_path: Path) -> None:
    program = (
        b"import asyncio\nprint('main')\n"
        b"async def f():\n    while True: await asyncio.sleep(1)\nasyncio.run(f())\n"
    )

    async def scenario() -> None:
        async with Bench(tmp_path, {"main.py": program, "loop.py": b"while True: pass\n"}) as bench:
            # Typed before the interpreter is even there.
            await bench.type("\x03")
            await bench.printed("KeyboardInterrupt")
            assert await bench.ask("1 + 1") == "2\r\n"
            await bench.type("\x04")
            await bench.printed("main")
            await bench.type("\x03")
            text = await bench.printed(">>> ")
            assert "Traceback" in text and 'File "main.py", line 5' in text and "boot.py" not in text
            # Behind more keys than the program will ever read.
            await bench.type("execfile('loop.py')\r")
            await bench.type("#" * 100_000 + "\x03")
            await bench.printed("KeyboardInterrupt")
            # A key like any other where the program has said so, and at the prompt.
            await bench.printed(">>> ")
            await bench.until(lambda: bench.glasses.reading_input)
            await bench.type("\x03garbage\x03")
            await bench.printed("garbage\r\n>>> ")
            keys = "import micropython as m, sys; m.kbd_intr(-1); ord(sys.stdin.read(1)); m.kbd_intr(3)"
            assert "KeyboardInterrupt" not in await bench.ask("1")
            await bench.type(keys + "\r")
            await bench.printed("intr(3)\r\n")
            await bench.type("\x03")
            assert await bench.printed(">>> ") == "3\r\n>>> "
            # Raw REPL.
            await bench.until(lambda: bench.glasses.reading_input)
            await bench.type("\x01while True: pass\x04\x03")
            await bench.printed("KeyboardInterrupt: \n\x04>")
            await bench.type("\x02")
            await bench.printed(">>> ")

    asyncio.run(scenario())


def test_callbacks_run_at_an_idle_prompt(tmp_path: Path) -> None:
    async def scenario() -> None:
        bench, hal = _with_hal(tmp_path, {})
        async with bench:
            await bench.printed(">>> ")
            for n in range(1, 30):
                await bench.until(lambda: bench.glasses.reading_input)
                hal.rung.clear()
                hal.bell.send(bytes([n]))
                await asyncio.wait_for(hal.rung.wait(), LIMIT_S)
                bench.glasses.poke()
                await bench.printed(f"bell {n}\r\n")
            bench.output.clear()
            await bench.type("1 + 1\r")
            await bench.printed("2\r\n>>> ")
            # Also right after the prompt, and while a program runs.
            await bench.type("import time\r")
            hal.bell.send(bytes([77]))
            bench.glasses.poke()
            await bench.type("time.sleep_ms(1)\r")
            await bench.printed("bell 77\r\n")

    asyncio.run(scenario())


# --- clients -------------------------------------------------------------------------------------


def test_second_client_is_refused_then_welcome(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Bench(tmp_path) as bench:
            first_in, first_out = await asyncio.open_connection("127.0.0.1", bench.port)
            first_out.write(b"6 * 7\r")
            assert b"42\r\n" in await asyncio.wait_for(first_in.readuntil(b"42\r\n"), LIMIT_S)
            second_in, second_out = await asyncio.open_connection("127.0.0.1", bench.port)
            reply = await asyncio.wait_for(second_in.read(), LIMIT_S)
            assert reply == b"busy: another program has the console of these glasses\r\n"
            second_out.close()
            # The next one may come before the first one's leave was noticed.
            first_out.close()
            third_in, third_out = await asyncio.open_connection("127.0.0.1", bench.port)
            third_out.write(b"6 * 8\r")
            await asyncio.wait_for(third_in.readuntil(b"48\r\n"), LIMIT_S)
            third_out.close()

            with pytest.raises(LunetteError, match=f"port {bench.port} .* in use"):
                await _other(tmp_path).serve_repl(port=bench.port)

    def _other(folder: Path) -> Supervisor:
        return Supervisor(folder / "flash.img")

    asyncio.run(scenario())


def test_client_that_reads_nothing_slows_and_then_loses_the_console(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lunette.virtual.repl._STALL_S", 0.2)

    async def scenario() -> None:
        async with Bench(tmp_path) as bench:
            client = socket.create_connection(("127.0.0.1", bench.port))
            try:
                await bench.printed(">>> ")
                await bench.type("for i in range(200000): print('x' * 50)\r\r")
                await bench.until(lambda: not bench.glasses._flowing, "flow control")
                await bench.until(lambda: bench.glasses._flowing, "the client to be dropped")
                bench.output.clear()
                await bench.type("\x03")
                await bench.printed("KeyboardInterrupt")
            finally:
                client.close()

    asyncio.run(scenario())


# --- the process ---------------------------------------------------------------------------------


def test_what_cannot_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def start(image: Path) -> None:
        glasses = Supervisor(image)
        try:
            await glasses.start()
        finally:
            assert not glasses.running
            await glasses.close()

    with pytest.raises(LunetteError, match=r"missing\.img"):
        asyncio.run(start(tmp_path / "missing.img"))
    image = make_image(tmp_path / "flash.img", {})
    monkeypatch.setenv("LUNETTE_MICROPYTHON", "/no/such/program")
    with pytest.raises(LunetteError, match="LUNETTE_MICROPYTHON names /no/such/program"):
        asyncio.run(start(image))
    monkeypatch.delenv("LUNETTE_MICROPYTHON")
    monkeypatch.setattr(interpreter.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LunetteError, match="pip install"):
        asyncio.run(start(image))


def test_another_interpreter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that only has SIGINT, and that a second SIGINT would end."""
    program = Path(sys.prefix) / "bin" / "micropython"
    if not program.exists():
        pytest.skip("needs a micropython command")
    monkeypatch.setenv("LUNETTE_MICROPYTHON", str(program))

    async def scenario() -> None:
        async with Bench(tmp_path, {"main.py": b"print('main')\nwhile True: pass\n"}) as bench:
            await bench.printed("main")
            pid = bench.glasses.pid
            await bench.type("\x03")
            assert await bench.ask("6 * 7") == "42\r\n"
            await bench.type("while True: pass\r\r" + "\x03" * 20)
            await bench.printed("KeyboardInterrupt")
            assert await bench.ask("1 + 1") == "2\r\n"
            bench.glasses.poke()  # would end an interpreter without a handler
            assert await bench.ask("2 + 2") == "4\r\n"
            assert bench.glasses.pid == pid
            assert await bench.mpremote("eval", "6*7") == "42\n"

    asyncio.run(scenario())


_ORPHAN = """
import asyncio, sys
from pathlib import Path
from lunette.virtual.printout import BOOTED, Printout, chip_line_ends
from lunette.virtual.supervisor import Supervisor

async def main():
    glasses = Supervisor(Path(sys.argv[1]), on_output=lambda data: print(glasses.pid, flush=True))
    await glasses.start()
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_interpreter_dies_with_its_supervisor(tmp_path: Path) -> None:
    image = make_image(tmp_path / "flash.img", {"main.py": b"print('up')\nwhile True: pass\n"})
    with subprocess.Popen(
        [sys.executable, "-c", _ORPHAN, str(image)], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert process.state(pid) is not process.State.GONE
        owner.kill()
    assert wait_gone(pid)
