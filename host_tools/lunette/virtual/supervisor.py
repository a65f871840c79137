"""Power, resets and the console of the virtual glasses: runs the firmware in a MicroPython process.

Modelled: power on, power cut at any instant, hard reset, soft reset (raw REPL stays raw, as mpremote
expects), a crash as a reset, Ctrl-C as an interrupt character, line ends as the chip prints them.
Not modelled: the boot ROM's messages, the second or so the chip takes to start.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import os
import socket
import termios
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

from lunette import paths
from lunette.errors import LunetteError
from lunette.virtual import flash as flash_image
from lunette.virtual import process
from lunette.virtual.child import Child
from lunette.virtual.process import State
from lunette.virtual.repl import Console

CTRL_A, CTRL_C = b"\x01", b"\x03"
_SOFT_REBOOT = b"MPY: soft reboot\r\n"
_RAW_BANNER = b"raw REPL; CTRL-B to exit\r\n"
_FRIENDLY_BANNER = b'Type "help()" for more information.\r\n>>> '
# boot.py prints it last when asked to; no program prints it by chance.
_BOOTED = b"\x1e\x1dlunette booted\x1d\x1e"
_REMOTE_FS = b"\x18"  # mpremote's mounted folder talks binary from here on

_INPUT_LIMIT = 1 << 20
_TICK_S = 0.002
_READY_S = 5.0  # a process that neither runs code nor reads keys for so long gets Ctrl-C as a key
_RETRY_S = 0.3
_RETRIES = 10
_CRASHES, _CRASH_WINDOW_S = 5, 10.0
_POKES_S = (0.002, 0.02)


class Supervisor:
    """The chip's power switch and its console.

    flash: the image made by `flash.create`. heap_kb: the interpreter's heap, KiB (16 and up; objects are
    twice the chip's size). hal: folder of the modules that replace the chip's.
    attach(request, doorbell): gets the simulator's ends of the HAL's sockets of every new interpreter;
    detach() follows when it is gone. Without attach it runs without those modules.
    on_output(data): everything printed. on_exit(why): "soft" (reset), "crash" or "killed", after detach.

    Every method must be called from the event loop's thread.
    """

    def __init__(
        self,
        flash: Path,
        *,
        heap_kb: int = 512,
        hal: Path = paths.HAL,
        attach: Callable[[socket.socket, socket.socket], None] | None = None,
        detach: Callable[[], None] | None = None,
        on_output: Callable[[bytes], None] | None = None,
        on_exit: Callable[[str], None] | None = None,
    ):
        if heap_kb < 16:
            raise ValueError(f"heap_kb must be at least 16, not {heap_kb}")
        self._flash = flash.resolve()
        self._heap_kb = heap_kb
        self._hal = hal.resolve()
        self._attach = attach
        self._detach = detach
        self._on_output = on_output
        self._on_exit = on_exit

        self._child: Child | None = None
        self._image: IO[bytes] | None = None
        self._console = Console(self._typed, self._flow)
        self._flowing = True
        self._crashes: deque[float] = deque(maxlen=_CRASHES)
        self._closed = False

        self._stdin_child, self._stdin = os.pipe()
        os.set_blocking(self._stdin, False)
        os.set_blocking(self._stdin_child, True)
        self._input = bytearray()  # typed, not yet in the pipe
        self._input_ready = asyncio.Event()
        self._feeder: asyncio.Task[None] | None = None
        self._breaking = False  # a Ctrl-C is being carried out
        self._pokes: list[asyncio.TimerHandle] = []

        self._raw = False  # the REPL is, or was before this reset, raw
        self._entering_raw = False
        self._hidden: bytes | None = None  # output held back while the REPL is made raw again
        self._tail = b""
        self._binary = False

    # --- power -----------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Power is on."""
        return self._child is not None

    @property
    def pid(self) -> int | None:
        """Process id of the interpreter, None while power is off."""
        return None if self._child is None else self._child.pid

    async def start(self, run_main: bool = True) -> None:
        """Power on: boot.py, then main.py if `run_main`, then the REPL. Does not wait for any of them.

        Raises LunetteError if the flash image or the interpreter is missing or unusable.
        """
        if self._closed:
            raise RuntimeError("the supervisor is closed")
        if self._child is not None:
            return
        reason = process.check_platform()
        if reason is not None:
            raise LunetteError(reason)
        if self._feeder is None:
            self._feeder = asyncio.get_running_loop().create_task(self._feed())
        if self._image is None:
            self._image = flash_image.open_image(self._flash)
        self._raw = False
        try:
            self._spawn(run_main)
        except BaseException:
            self._release_image()
            raise

    async def power_cut(self) -> None:
        """Power off, in the middle of whatever is going on."""
        if self._child is not None:
            self._kill()
        self._release_image()
        self._input.clear()
        self._drain_stdin()

    async def hard_reset(self) -> None:
        """The reset pin or `machine.reset()`: everything starts again, main.py too."""
        await self.power_cut()
        await self.start()

    async def close(self) -> None:
        """Power off and disconnect every client. Nothing is left running."""
        if self._closed:
            return
        await self.power_cut()
        self._closed = True
        if self._feeder is not None:
            self._feeder.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._feeder
        self._cancel_pokes()
        await self._console.close()
        os.close(self._stdin)
        os.close(self._stdin_child)

    def _spawn(self, run_main: bool, again: bool = False) -> None:
        self._entering_raw = self._raw
        self._hidden = None
        self._tail = b""
        self._binary = False
        environment = {
            "LUNETTE_FLASH": str(self._flash),
            "LUNETTE_HAL": str(self._hal),
            "LUNETTE_RUN_MAIN": "1" if run_main and not self._raw else "",
            # Typed between two runs: the chip would find it when it starts the first file.
            "LUNETTE_BREAK": "1" if again and (self._breaking or CTRL_C in self._input[:1]) else "",
            "LUNETTE_RAW": _BOOTED.decode() if self._raw else "",
        }
        if library_path := os.environ.get("LD_LIBRARY_PATH"):
            environment["LD_LIBRARY_PATH"] = library_path
        if self._raw:
            # The key that makes the REPL raw must be the first it reads.
            self._input[:0] = self._drain_stdin()
        child = Child(
            self._stdin_child,
            environment,
            self._heap_kb,
            self._attach is not None,
            self._printed,
            self._ended,
        )
        self._child = child
        child.flow(self._flowing)
        if self._attach is not None:
            assert child.request is not None and child.doorbell is not None
            try:
                self._attach(child.request, child.doorbell)
            except BaseException:
                self._child = None
                child.kill()
                child.release()
                raise
        self._input_ready.set()

    def _kill(self) -> None:
        child, self._child = self._child, None
        assert child is not None
        child.kill()
        self._gone(child, "killed")

    def _gone(self, child: Child, why: str) -> None:
        self._cancel_pokes()
        if self._detach is not None and self._attach is not None:
            self._detach()
        child.release()
        if self._on_exit is not None:
            self._on_exit(why)

    def _ended(self, code: int) -> None:
        """The interpreter has ended by itself."""
        child, self._child = self._child, None
        assert child is not None
        soft = code == 0
        self._show_hidden()
        self._gone(child, "soft" if soft else "crash")
        if self._child is not None or self._closed:
            return  # on_exit has already decided
        try:
            if soft:
                self._say(_SOFT_REBOOT)
                self._spawn(run_main=True, again=True)
            else:
                self._crashed(code)
        except LunetteError as error:
            self._say(f"\r\nlunette: {error}; the glasses stay off\r\n".encode())
            self._release_image()

    def _crashed(self, code: int) -> None:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        self._raw = False
        self._input.clear()
        self._drain_stdin()
        now = asyncio.get_running_loop().time()
        self._crashes.append(now)
        if len(self._crashes) == _CRASHES and now - self._crashes[0] < _CRASH_WINDOW_S:
            self._crashes.clear()
            seconds = f"{_CRASH_WINDOW_S:.0f}"
            self._say(
                f"\r\nlunette: MicroPython {how}, {_CRASHES} times in {seconds} s; "
                "the glasses stay off\r\n".encode()
            )
            self._release_image()
            return
        self._say(f"\r\nlunette: MicroPython {how}; hard reset\r\n".encode())
        self._spawn(run_main=True)

    def _release_image(self) -> None:
        if self._image is not None:
            self._image.close()
            self._image = None

    # --- console: output ---------------------------------------------------------------------------

    async def serve_repl(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Serve the console over TCP to one client at a time; returns the port.

        Raises LunetteError if the port is taken.
        """
        return await self._console.serve(host, port)

    @property
    def pty_path(self) -> str:
        """Path of a terminal device that is the console too, for `mpremote connect`."""
        return self._console.pty_path

    def _flow(self, on: bool) -> None:
        self._flowing = on
        if self._child is not None:
            self._child.flow(on)

    def _printed(self, data: bytes) -> None:
        """Take what the interpreter printed; hide how the REPL is made raw again after a soft reset."""
        if not self._entering_raw:
            self._show(data)
            return
        if self._hidden is None:
            data = self._tail + data
            self._tail = b""
            before, found, after = data.partition(_BOOTED)
            if not found:
                # The mark may come in two pieces.
                keep = next((n for n in range(len(_BOOTED) - 1, 0, -1) if data.endswith(_BOOTED[:n])), 0)
                self._tail = data[len(data) - keep :]
                self._show(data[: len(data) - keep])
                return
            self._show(before)
            self._hidden = after
            self._to_stdin(CTRL_A)
        else:
            self._hidden += data
        _, found, after = self._hidden.partition(_RAW_BANNER)
        if found:
            self._entering_raw = False
            self._hidden = None
            self._show(_RAW_BANNER + after)
            self._input_ready.set()

    def _show_hidden(self) -> None:
        if self._entering_raw and self._tail:
            self._show(self._tail)
            self._tail = b""

    def _show(self, data: bytes) -> None:
        """Follow what state the REPL is in, and give `data` to everybody with the chip's line ends."""
        if not data:
            return
        seen = self._tail + data if not self._entering_raw else data
        raw, friendly = seen.rfind(_RAW_BANNER), seen.rfind(_FRIENDLY_BANNER)
        if raw >= 0 or friendly >= 0:
            self._raw = raw > friendly
        if _REMOTE_FS in data:
            self._binary = True
        # In the raw REPL programs may talk binary; boot.py on the way to it does not.
        if (self._entering_raw or not self._raw) and not self._binary:
            data = _chip_line_ends(data, seen[: len(seen) - len(data)])
        if not self._entering_raw:
            self._tail = seen[-len(_FRIENDLY_BANNER) :]
        self._say(data)

    def _say(self, data: bytes) -> None:
        self._console.write(data)
        if self._on_output is not None:
            self._on_output(data)

    # --- console: input ----------------------------------------------------------------------------

    @property
    def reading_input(self) -> bool:
        """The REPL waits for a key (so scheduled callbacks only run when poked)."""
        return self._child is not None and process.state(self._child.pid) is State.READING

    def poke(self) -> None:
        """Have callbacks that the interpreter has scheduled run also if it waits at the prompt.

        Looks again a little later, in case it is just arriving there.
        """
        if self._child is None:
            return
        if self.reading_input:
            process.wake(self._child.pid)
        self._cancel_pokes()
        loop = asyncio.get_running_loop()
        self._pokes = [loop.call_later(delay, self._poke_late, self._child.pid) for delay in _POKES_S]

    def _poke_late(self, pid: int) -> None:
        if self.pid == pid and self.reading_input:
            process.wake(pid)

    def _cancel_pokes(self) -> None:
        for handle in self._pokes:
            handle.cancel()
        self._pokes.clear()

    async def console_write(self, data: bytes) -> None:
        """Feed `data` to the console as if typed. Does not wait for it to be read."""
        self._typed(data)

    def _typed(self, data: bytes) -> None:
        if self._child is None:
            return  # power is off: nobody receives
        room = _INPUT_LIMIT - len(self._input)
        self._input += data[:room]
        if CTRL_C in data[room:]:  # a full buffer loses keys, as on the chip, but not this one
            self._input += CTRL_C
        self._input_ready.set()

    async def _feed(self) -> None:
        """Carry typed bytes to the interpreter in order, and Ctrl-C as what it means there and then."""
        while True:
            await self._input_ready.wait()
            if not self._input or self._child is None:
                self._input_ready.clear()
                continue
            if self._entering_raw:
                await self._feed_only_break()
                continue
            if self._input.startswith(CTRL_C):
                del self._input[:1]
                await self._break()
                continue
            end = self._input.find(CTRL_C)
            sent = self._to_stdin(bytes(self._input[: end if end >= 0 else None][:4096]))
            del self._input[:sent]
            if not sent:
                await self._feed_only_break()

    async def _feed_only_break(self) -> None:
        # The bytes before it have to wait, Ctrl-C must not: on the chip it is no input either.
        at = self._input.find(CTRL_C)
        if at >= 0 and self._child is not None and process.state(self._child.pid) is State.RUNNING:
            del self._input[at]
            await self._break()
        else:
            await asyncio.sleep(_TICK_S)

    async def _break(self) -> None:
        """Ctrl-C: interrupt the program and wait for its prompt, or pass the key to a prompt that reads."""
        self._breaking = True
        try:
            child = await self._break_or_key()
            if child is not None:
                await self._until_prompt(child)
        finally:
            self._breaking = False

    async def _break_or_key(self) -> Child | None:
        """Returns the child that was interrupted, None if Ctrl-C was a key."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _READY_S
        while (child := self._child) is not None:
            state = process.state(child.pid)
            if state is State.RUNNING:
                if process.interrupt(child.pid):
                    return child
            elif (state is State.READING and not self._unread()) or loop.time() > deadline:
                self._to_stdin(CTRL_C)
                return None
            # Starting, or about to run what was just typed.
            await asyncio.sleep(_TICK_S)
        return None

    async def _until_prompt(self, child: Child) -> None:
        # A KeyboardInterrupt can be swallowed: raised in a scheduled callback it is only printed.
        loop = asyncio.get_running_loop()
        for attempt in range(_RETRIES):
            until = loop.time() + _RETRY_S
            while loop.time() < until:
                await asyncio.sleep(_TICK_S)
                if self._child is not child or process.state(child.pid) is State.READING:
                    return
            if attempt < _RETRIES - 1:
                process.interrupt(child.pid, again=True)

    def _to_stdin(self, data: bytes) -> int:
        try:
            return os.write(self._stdin, data)
        except BlockingIOError:
            return 0

    def _unread(self) -> int:
        count = array.array("i", [0])
        fcntl.ioctl(self._stdin_child, termios.FIONREAD, count)
        return count[0]

    def _drain_stdin(self) -> bytes:
        n = 0 if self._closed else self._unread()
        return os.read(self._stdin_child, n) if n else b""


def _chip_line_ends(data: bytes, before: bytes) -> bytes:
    """`data`, printed after `before`, with every lone line feed as carriage return and line feed."""
    head = b"\r" if before.endswith(b"\r") else b""
    joined = head + data
    return joined.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")[len(head) :]
