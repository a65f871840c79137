"""Code to the glasses, and what it prints back."""

from __future__ import annotations

import contextlib
import io
import json
import re
import struct
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import serial
from mpremote.transport import TransportError

from lunette.console.errors import Failed, Gone, Restarted, Silent, understood
from lunette.console.transport import Transport
from lunette.errors import LunetteError

_RAW = b"raw REPL; CTRL-B to exit\r\n"
_REBOOT = b"soft reboot\r\n"
_DOWNLOAD = re.compile(rb"waiting for download|DOWNLOAD\(|invalid header: 0x")
_BEHIND = b"go on in the background"  # what glasses.run() says to Ctrl-C
_HUSH = """
import sys
_g = sys.modules.get("glasses")
_g = getattr(_g, "_instance", None)
if _g:
    _g.log.set_level("error")
_w = getattr(sys.modules.get("glasses.wake"), "_start", None)
if _w:
    _w.app_has_come()
if globals().get("_LONELY_MS") and _timer:
    alive()
print(bool(_g))
"""
_UNHUSH = "if _g: _g.apply_settings()"
_ENTER_S = 8.0
_FAR_S = 24.0  # behind a socket is an emulated chip, as a rule: it boots slowly, and nothing here resets it
_TRIES = 4
_TOKEN = 1_234_567


class Prompt:
    """The prompt of the MicroPython behind a port, in raw mode. Made by `open`; a context manager.

    `interrupted`: glasses were running and go on behind the prompt. Methods raise `Silent`, `Gone` and
    `Restarted`; after the first and the last one, `recover` tries to get the prompt back.
    """

    def __init__(self, transport: Transport):
        self._transport = transport
        self.port = transport.device_name
        self.interrupted = False
        self._begun = bytearray()  # of a line, by `lines`

    @classmethod
    def open(cls, port: str, *, wait_s: float = 0.0, stay: bool = False) -> Prompt:
        """Interrupt whatever runs there, without a reset. `wait_s`: how long the port may take to appear.
        `stay`: a chip that restarts is not to run its main.py, but stays at its prompt.

        Raises LunetteError: no such port, not allowed, in use, no MicroPython, or silent.
        """
        until = time.monotonic() + wait_s
        while True:
            try:
                prompt = cls(Transport(port))
                break
            except LunetteError:
                if time.monotonic() >= until:
                    raise
            time.sleep(0.1)
        try:
            prompt._transport.stay = stay
            prompt._enter(max(_ENTER_S, wait_s))
            prompt._hush()
        except BaseException:
            prompt.close()
            raise
        return prompt

    def _hush(self) -> None:
        """What glasses log behind the prompt would be taken for answers. And a start that Ctrl-C ended before
        its main.py was there waits for that, to reset the chip (wake.py): it need not wait any more. A deploy
        that failed has it reset after two minutes (on_glasses.py): from now, as somebody is there."""
        for attempt in range(_TRIES):
            try:
                self.interrupted = self.run(_HUSH, 3).strip().endswith("True") or self.interrupted
                return
            except (Silent, Failed, Restarted):  # they logged something just now, or the port reset the chip
                if attempt == _TRIES - 1:
                    raise
                self._enter(_ENTER_S)

    def __enter__(self) -> Prompt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the friendly prompt behind, and the port."""
        if self.interrupted:
            with contextlib.suppress(Exception):
                self.run(_UNHUSH, 1)
        with contextlib.suppress(Exception):
            self._transport.serial.write(b"\r\x02")
            self._transport.serial.flush()
        with contextlib.suppress(Exception):
            self._transport.serial.close()

    # --- code -------------------------------------------------------------------------------------

    def run(self, code: str | bytes, timeout_s: float = 10.0) -> str:
        """Run it there; returns what it printed. `timeout_s` is for all of it.

        Raises Failed (it raised), Silent, Restarted, Gone.
        """
        with self._watched():
            self._transport.limit(timeout_s)
            self._transport.begin()
            self._send(code)
            printed = self._output(b"")
            trace = self._output(printed)
            self._transport.strict = False
        text = printed.decode(errors="replace").replace("\r\n", "\n")
        if trace:
            raise Failed(trace.decode(errors="replace").replace("\r\n", "\n"), text)
        return text

    def ask(self, expression: str, timeout_s: float = 10.0) -> Any:
        """The value of an expression, of what JSON can say."""
        printed = self.run(f"import json\nprint(json.dumps({expression}))", timeout_s)
        with understood():
            return json.loads(printed.rpartition("\n")[0].rpartition("\n")[2] or printed)

    def _send(self, code: str | bytes) -> None:
        try:
            # mpremote prints what it did not expect.
            with contextlib.redirect_stdout(io.StringIO()):
                self._transport.exec_raw_no_follow(code)
        except (TransportError, struct.error) as error:
            # Something else came, or nothing: what follows may say why.
            raise self._silent(
                str(error).encode() + self._transport.read_until(1, b"\n>>> ", None, None, 1)
            ) from None

    def _output(self, before: bytes) -> bytes:
        data = self._transport.read_until(1, b"\x04")
        if not data.endswith(b"\x04"):
            raise self._silent(before + data)
        return data[:-1]

    def _silent(self, printed: bytes) -> Silent:
        return Silent(
            f"the glasses on {self.port} do not answer: press their reset button and try again",
            printed.decode(errors="replace").replace("\r\n", "\n"),
        )

    # --- to and fro -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _watched(self) -> Any:
        try:
            yield
        except (Silent, Restarted):
            self._transport.strict = False
            raise
        except serial.SerialTimeoutException:
            raise self._silent(b"") from None
        except OSError as error:  # pyserial's own among them
            raise Gone(self.port, str(error).rpartition(": ")[2]) from None

    def _enter(self, seconds: float) -> None:
        """Into the raw REPL, by Ctrl-C only."""
        transport = self._transport
        said = b""
        each = seconds / _TRIES
        far = self.port.startswith("socket://")
        with self._watched():
            for tried in range(max(_TRIES, round(_FAR_S / each)) if far else _TRIES):
                if tried >= _TRIES and _DOWNLOAD.search(said):
                    break
                transport.limit(each)
                # Ctrl-B first: it ends a paste mode, and a raw one that has half a program.
                transport.serial.write(b"\r\x03\x03")
                said += transport.drain()
                transport.serial.write(b"\r\x02\r\x01")
                said += transport.read_until(1, _RAW)
                self.interrupted = self.interrupted or _BEHIND in said
                if said.endswith(_RAW) and (not tried or self._catch_up()):
                    transport.in_raw_repl = transport.use_raw_paste = True
                    return
        raise LunetteError(self._why_not(said))

    def _catch_up(self) -> bool:
        """A chip that was late still has the keys of more than one try before it, which lead out of the raw
        REPL and in again: wait for the prompt after the last of them."""
        transport = self._transport
        transport.limit(_ENTER_S)
        transport.serial.write(b"\x03print(7 * %d)\x04" % _TOKEN)
        ends = (b"%d" % (7 * _TOKEN), b"\x04", b"\x04")
        return all(transport.read_until(1, end).endswith(end) for end in ends)

    def _why_not(self, said: bytes) -> str:
        if _DOWNLOAD.search(said):
            if b"invalid header" in said:
                return f"the chip on {self.port} has no program: `lunette flash` puts MicroPython on it"
            return f"the chip on {self.port} waits in its boot loader: press its reset button and try again"
        text = said.replace(b"\r\x02\r\x01", b"").decode(errors="replace").strip()
        if text:
            return (
                f"no MicroPython prompt on {self.port}; it says {text[-60:]!r}: press its reset button and "
                "try again; if it has no MicroPython yet, `lunette flash` puts it on"
            )
        return (
            f"nothing answers on {self.port}: press the board's reset button and try again; if it has no "
            "MicroPython yet, `lunette flash` puts it on"
        )

    def recover(self, timeout_s: float = 5.0) -> bool:
        """Get the prompt back, by Ctrl-C or, where the port has the lines for it, by a reset, after which
        main.py is interrupted. False if it stays silent. `interrupted` says what is behind it then."""
        was, self.interrupted = self.interrupted, False
        try:
            with contextlib.suppress(LunetteError):
                self._enter(timeout_s)
                self._hush()
                return True
            if not self._reset_lines():
                self.interrupted = was
                return False
            self._enter(max(timeout_s, _ENTER_S))
            self._hush()
        except LunetteError:
            return False
        return True

    def _reset_lines(self) -> bool:
        """Reset the chip by the port's DTR and RTS lines; False where it has none."""
        port = self._transport.serial
        if not isinstance(port, serial.Serial) or self._transport.is_pty:
            return False
        from esptool.reset import HardReset

        native = bool(re.search(r"ttyACM|usbmodem", self.port))
        try:
            HardReset(port, native)()
        except OSError:
            return False
        return True

    def soft_reset(self, timeout_s: float = 30.0) -> None:
        """A clean interpreter: boot.py runs, main.py does not."""
        transport = self._transport
        with self._watched():
            transport.limit(timeout_s)
            transport.read_until(1, b">")
            transport.serial.write(b"\x04")
            said = transport.read_until(1, _REBOOT)
            if said.endswith(_REBOOT):
                said = transport.read_until(1, _RAW)
            if not said.endswith(_RAW):
                raise self._silent(said)
        self.interrupted = False

    def start(self) -> None:
        """Soft reset into boot.py and main.py. No more code is run here; `lines` follows what they print."""
        transport = self._transport
        with self._watched():
            transport.limit(5)
            transport.read_until(1, b">")
            transport.serial.write(b"\x02\x04")
            said = transport.read_until(1, _REBOOT)
            if not said.endswith(_REBOOT):
                raise self._silent(said)
        self.interrupted = False

    def lines(self, seconds: float, enough: Callable[[str], bool]) -> list[str]:
        """What is printed, until a line for which `enough` is true, a prompt, or the time is over."""
        transport = self._transport
        found: list[str] = []
        data = self._begun
        with self._watched():
            transport.limit(seconds)
            while transport.left_s > 0:
                more = transport.read_some(transport.left_s)
                data += more
                if more == b"\n":
                    found.append(data.decode(errors="replace").rstrip("\r\n"))
                    data.clear()
                    if enough(found[-1]):
                        break
                elif data == b">>> ":
                    break
        return found
