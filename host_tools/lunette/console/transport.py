"""mpremote's transport, with a time limit over all it does, and the reasons why a port does not open."""

from __future__ import annotations

import errno
import re
import socket
import time
from collections.abc import Callable
from typing import Any

import serial
from mpremote.transport_serial import SerialTransport

from lunette.console import ports
from lunette.console.errors import Restarted
from lunette.errors import LunetteError

BAUD = 115200  # of bridges; the chip's own USB and sockets take no notice
_SLICE_S = 0.05
# What only a chip that starts anew prints: its boot ROM, ESP-IDF's panic handler, MicroPython's banner.
_STARTED = re.compile(
    rb"rst:0x[0-9a-fA-F]+ \(|Guru Meditation Error|abort\(\) was called|MPY: soft reboot|"
    rb'Type "help\(\)" for more information'
)
_MAY_END = (b"(", b"r", b"d", b"t", b"n")  # the last letters of these
_TAIL = 80
_SAYING_S = 1.5
_QUIET_S, _KEY_S = 1.0, 0.2
_SAID = 4096


class Transport(SerialTransport):
    """Speaks the raw REPL over what pyserial opens: a device, a pseudo terminal, ``socket://HOST:PORT``.

    `limit(seconds)` sets the time by which all that follows must be done; `read_until` then returns short.
    While `strict`, what only a chip that starts anew would print raises Restarted. With `stay` such a chip is
    kept at its prompt: Ctrl-C comes before its main.py is far. Raises LunetteError if the port cannot be
    opened.
    """

    def __init__(self, port: str):
        # Not the inherited one: it retries, prints, and forgets why a port does not open.
        self.in_raw_repl = False
        self.use_raw_paste = True
        self.device_name = port
        self.mounted = False
        self.serial: Any = open_port(port)
        self.is_pty = self._is_pty_device(port)
        self.strict = False
        self.stay = False
        self._recent = bytearray()
        self._deadline = 0.0
        self.limit(10)

    def limit(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        # For the reads that the inherited code makes by itself.
        self.serial.timeout = max(seconds, _SLICE_S)

    @property
    def left_s(self) -> float:
        return self._deadline - time.monotonic()

    def read_until(
        self,
        min_num_bytes: int,
        ending: bytes,
        timeout: float | None = None,
        data_consumer: Callable[[bytes], None] | None = None,
        timeout_overall: float | None = None,
    ) -> bytes:
        """What comes until `ending` does, or the time is over. Of other limits the overall one counts."""
        deadline = self._deadline
        if timeout_overall is not None:
            deadline = min(deadline, time.monotonic() + timeout_overall)
        data = bytearray()
        while not data.endswith(ending):
            left = deadline - time.monotonic()
            if left <= 0:
                break
            data += self.read_some(left)
        self.serial.timeout = max(self.left_s, _SLICE_S)
        return bytes(data)

    def read_some(self, seconds: float) -> bytes:
        """The next byte, or none within that time. (A byte: what follows may be somebody else's to read.)"""
        self.serial.timeout = max(seconds, 0.001)
        data = bytes(self.serial.read(1))
        if self.strict:
            self._recent += data
            if data in _MAY_END and _STARTED.search(self._recent[-_TAIL:]):
                self.strict = False
                raise Restarted(self._what_it_says())
        return data

    def _what_it_says(self) -> str:
        """What has come, and comes until the chip has nothing more to say."""
        self.limit(max(self.left_s, _SAYING_S))
        quiet_s, step_s = 0.0, _KEY_S if self.stay else _QUIET_S
        while self.left_s > 0 and quiet_s < _QUIET_S and not self._recent.endswith(b"\r\n>>> "):
            more = self.read_some(min(self.left_s, step_s))
            self._recent += more
            quiet_s = 0.0 if more else quiet_s + step_s
            if self.stay and not more:
                self.serial.write(b"\x03")
        return self._recent[-_SAID:].decode(errors="replace").replace("\r\n", "\n")

    def begin(self) -> None:
        """From here on a restart is none that was asked for."""
        self._recent.clear()
        self.strict = True

    def drain(self) -> bytes:
        """What has come so far; of what does not end, until the time is over."""
        data = bytearray()
        while self.left_s > 0 and (more := self.read_some(0.001)):
            data += more
        return bytes(data)


def open_port(port: str) -> Any:
    """pyserial's object for `port`. Raises LunetteError that says why it cannot be had, and what to do."""
    try:
        opened = serial.serial_for_url(port, do_not_open=True, baudrate=BAUD, exclusive=True)
        opened.write_timeout = 10
        opened.open()
    except (OSError, ValueError) as error:
        raise LunetteError(_why(port, error)) from None
    sock = getattr(opened, "_socket", None)
    if isinstance(sock, socket.socket):
        # Small pieces in both directions: each would wait 40 ms for an acknowledgement of the one before.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def _why(port: str, error: Exception) -> str:
    number = getattr(error, "errno", None)
    text = str(error)
    if port.startswith("socket://"):
        return f"nothing answers at {port} ({_plain(text)}): start what listens there, or check --port"
    if number == errno.ENOENT or "FileNotFoundError" in text or "No such file" in text:
        found = ports.candidates()
        there = f"; there are:\n{ports.describe(found)}" if found else "; no board is plugged in"
        return (
            f"there is no port {port}{there}\ncheck the cable, press the reset button, or name another --port"
        )
    if number == errno.EACCES or "PermissionError" in text or "Permission denied" in text:
        return f"you may not use {port}: on Linux {ports.JOIN_GROUP}"
    if number in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in text or "busy" in text:
        return f"another program has {port}: close it (a serial monitor, mpremote, an IDE) and try again"
    return f"cannot open {port} ({_plain(text)}): plug it in again, or name another --port"


def _plain(text: str) -> str:
    """pyserial's message without its own introduction."""
    return text.rpartition(": ")[2] if ": " in text else text
