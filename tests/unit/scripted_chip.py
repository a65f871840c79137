"""The far end of a console, as scripted: a chip that answers, falls silent, restarts, or is no MicroPython.

It keeps the manners of MicroPython's raw REPL: banner at Ctrl-A, "OK" and two Ctrl-D around what a program
prints, raw-paste mode declined. Programs are not run: `answers` says what each one does.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType

RAW = b"raw REPL; CTRL-B to exit\r\n>"
FRIENDLY = (
    b"\r\nMicroPython v1.29.0 on 2026-08-01; A board with ESP32S3\r\n"
    b'Type "help()" for more information.\r\n>>> '
)

Answer = bytes | tuple[bytes, bytes] | None


class ScriptedChip:
    """`answers(code)` gives what a program prints, or (prints, traceback), or None to fall silent. Bytes that
    begin with "!" are sent as they are instead of an answer. `hello`: what is said to Ctrl-C.

    A context manager; `port` is for pyserial. With `deaf`, Ctrl-A is never answered. `late`: the chip boots
    until so many keys have come, and takes them all then.
    """

    def __init__(
        self,
        answers: Callable[[str], Answer] = lambda code: b"",
        *,
        hello: bytes = b"\r\n>>> ",
        deaf: bool = False,
        late: int = 0,
    ):
        self._answers, self._hello, self._deaf, self._late = answers, hello, deaf, late
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = f"socket://127.0.0.1:{self._listening.getsockname()[1]}"
        self.programs: list[str] = []
        self.keys = bytearray()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> ScriptedChip:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(5)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.settimeout(5)
            client, _ = self._listening.accept()
            with client:
                self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        raw, program = False, bytearray()
        while data := client.recv(4096):
            self.keys += data
            if len(self.keys) < self._late:
                continue
            if self._late:
                data, self._late = bytes(self.keys), 0
            for byte in data:
                key = bytes([byte])
                if key == b"\x03":
                    program.clear()
                    if not raw:
                        client.sendall(self._hello)
                elif raw and key == b"\x01" and program == b"\x05A":
                    client.sendall(b"R\x00")
                    program.clear()
                elif key == b"\x01" and not self._deaf:
                    raw = True
                    program.clear()
                    client.sendall(RAW)
                elif key == b"\x02" and not self._deaf:
                    raw = False
                    client.sendall(FRIENDLY)
                elif raw and key == b"\x04":
                    if not self._answer(client, bytes(program)):
                        raw = False
                    program.clear()
                elif raw:
                    program += key

    def _answer(self, client: socket.socket, program: bytes) -> bool:
        """Whether the raw REPL is still there."""
        if not program:
            client.sendall(b"OK\r\nMPY: soft reboot\r\n" + RAW)
            return True
        self.programs.append(program.decode())
        answer = self._answers(self.programs[-1])
        if answer is None:
            client.sendall(b"OK")
            return True
        if isinstance(answer, bytes) and answer.startswith(b"!"):
            client.sendall(b"OK" + answer[1:])
            return not answer.endswith(b">>> ")
        out, trace = answer if isinstance(answer, tuple) else (answer, b"")
        client.sendall(b"OK" + out + b"\x04" + trace + b"\x04>")
        return True
