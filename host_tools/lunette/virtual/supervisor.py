"""Power, resets and the console of the virtual glasses: runs the firmware in a MicroPython process.

Modelled: power on, power cut at any instant, hard reset, soft reset (raw REPL stays raw, as mpremote
expects), a crash as a reset, Ctrl-C as an interrupt character, line ends as the chip prints them.
Not modelled: the boot ROM's messages, the second or so the chip takes to start.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

from lunette import paths
from lunette.errors import LunetteError
from lunette.virtual import flash as flash_image
from lunette.virtual import process
from lunette.virtual.child import Child
from lunette.virtual.keyboard import Keyboard
from lunette.virtual.printout import BOOTED, Printout
from lunette.virtual.process import State
from lunette.virtual.repl import Console

_CTRL_A = b"\x01"
_SOFT_REBOOT = b"MPY: soft reboot\r\n"
_CRASHES, _CRASH_WINDOW_S = 5, 10.0
_POKES_S = (0.002, 0.02, 0.2, 1.0)  # a busy computer takes its time until the prompt is there


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
        self._keyboard = Keyboard(lambda: self._child)
        self._printout = Printout(
            self._say, lambda: self._keyboard.press(_CTRL_A), lambda: self._keyboard.release()
        )
        self._console = Console(self._keyboard.type, self._flow)
        self._flowing = True
        self._crashes: deque[float] = deque(maxlen=_CRASHES)
        self._pokes: list[asyncio.TimerHandle] = []
        self._stalled = 0
        self._stall_end: asyncio.TimerHandle | None = None
        self._closed = False

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
        if self._image is None:
            self._image = flash_image.open_image(self._flash)
        try:
            self._spawn(run_main, raw=False)
        except BaseException:
            self._release_image()
            raise

    async def power_cut(self) -> None:
        """Power off, in the middle of whatever is going on."""
        if self._child is not None:
            self._kill()
        self._release_image()
        self._keyboard.clear()

    async def hard_reset(self) -> None:
        """The reset pin or `machine.reset()`: everything starts again, main.py too."""
        await self.power_cut()
        await self.start()

    def stall(self, seconds: float) -> None:
        """Have the interpreter do nothing at all for `seconds` from now on, if it runs. A reset or a power
        cut ends that, Ctrl-C too."""
        if self._child is None:
            return
        self._go_on()
        self._stalled = self._child.pid
        process.stop(self._stalled)
        self._stall_end = asyncio.get_running_loop().call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        if self._stall_end is not None:
            self._stall_end.cancel()
            self._stall_end = None
            if self.pid == self._stalled:  # not somebody else who has its number by now
                process.go_on(self._stalled)

    async def close(self) -> None:
        """Power off and disconnect every client. Nothing is left running."""
        if self._closed:
            return
        await self.power_cut()
        self._closed = True
        await self._console.close()
        await self._keyboard.close()

    def _spawn(self, run_main: bool, raw: bool, again: bool = False) -> None:
        environment = {
            "LUNETTE_FLASH": str(self._flash),
            "LUNETTE_HAL": str(self._hal),
            "LUNETTE_RUN_MAIN": "1" if run_main and not raw else "",
            # Typed between two runs: the chip would find it when it starts the first file.
            "LUNETTE_BREAK": "1" if again and self._keyboard.break_waits else "",
            "LUNETTE_RAW": BOOTED.decode() if raw else "",
        }
        if library_path := os.environ.get("LD_LIBRARY_PATH"):  # a CPython that is not installed in /usr
            environment["LD_LIBRARY_PATH"] = library_path
        self._printout.restart(raw)
        if raw:
            self._keyboard.hold()
        else:
            self._keyboard.release()
        child = Child(
            self._keyboard.stdin,
            environment,
            self._heap_kb,
            self._attach is not None,
            self._printout.take,
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
        self._keyboard.start()

    def _kill(self) -> None:
        child, self._child = self._child, None
        assert child is not None
        child.kill()
        self._printout.finish()
        self._gone(child, "killed")

    def _gone(self, child: Child, why: str) -> None:
        self._cancel_pokes()
        self._go_on()
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
        self._printout.finish()
        self._gone(child, "soft" if soft else "crash")
        if self._child is not None or self._closed:
            return  # on_exit has already decided
        try:
            if soft:
                self._say(_SOFT_REBOOT)
                self._spawn(run_main=True, raw=self._printout.raw, again=True)
            else:
                self._crashed(code)
        except LunetteError as error:
            self._say(f"\r\nlunette: {error}; the glasses stay off\r\n".encode())
            self._release_image()

    def _crashed(self, code: int) -> None:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        self._keyboard.clear()
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
        self._spawn(run_main=True, raw=False)

    def _release_image(self) -> None:
        if self._image is not None:
            self._image.close()
            self._image = None

    # --- console ---------------------------------------------------------------------------

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

    def _say(self, data: bytes) -> None:
        self._console.write(data)
        if self._on_output is not None:
            self._on_output(data)

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
        self._keyboard.type(data)
