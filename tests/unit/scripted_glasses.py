"""A scripted chip that answers the doctor's programs as healthy glasses do, unless it is told otherwise.

Programs are known by a line that only they have, and answered by the figures of `Glasses`; one that is not
known raises NameError, as on a chip that lacks what it needs. What they compute is not modelled, but for
the kernels, whose stored results are given.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from scripted_chip import Answer

from lunette.doctor.kernels import vectors
from lunette.doctor.kernels.registry import kernels

CRASH = (
    b"\r\nGuru Meditation Error: Core  0 panic'ed (LoadProhibited). Exception was unhandled.\r\n"
    b"rst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
)
BANNER = (
    b"MicroPython v1.26.1 on 2025-09-11; Generic ESP32 module with ESP32\r\n"
    b'Type "help()" for more information.\r\n>>> '
)
UNKNOWN = (b"", b"Traceback (most recent call last):\r\nNameError: name isn't defined\r\n")
PARTS = {
    "talk": {"driver": "button", "pin": 5, "active": 0, "pull": "up"},
    "light": {"driver": "led", "pin": 10, "active": 1},
    "battery": {"driver": "battery", "pin": 4, "ratio": 2.0, "empty_v": 3.4, "full_v": 4.2},
    "usb": {"driver": "usb_sense", "pin": 3, "active": 1},
}


@dataclass
class Glasses:
    """What they answer; `instead` maps a piece of a program to what comes instead of its answer."""

    version: tuple[int, ...] = (1, 26, 1)
    mpy: int = 3 << 8 | 6 | 11 << 10  # rv32imc
    machine: str = "XIAO ESP32C3 with ESP32C3"
    board: Any = field(default_factory=lambda: ["xiao_esp32c3", "esp32c3", PARTS, 32])
    chip: dict[str, Any] = field(default_factory=lambda: {"hz": 160_000_000, "reset_cause": 1, "id": "7cdf"})
    missing: tuple[str, ...] = ()
    kernels: str = "mpy"
    heap: tuple[int, int] = (150_000, 20_000)
    heap_bytes: int = 300_000  # in the words of deploy
    idf: tuple[tuple[int, ...], ...] = ((181_920, 106_496, 98_304, 96_000),)
    piece: int = 32
    flash: dict[str, Any] = field(default_factory=dict)
    wrote: str = "same"
    base: str = "/firmware_a"
    files: dict[str, str] = field(
        default_factory=lambda: {"glasses/bus.mpy": "0" * 32, "board.mpy": "1" * 32}
    )
    digests: dict[str, str] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()  # kernels
    us: int = 50
    instead: dict[str, Answer] = field(default_factory=dict)

    def __call__(self, code: str) -> Answer:
        for piece, answer in self.instead.items():
            if piece in code:
                return answer
        said = self._said(code)
        return UNKNOWN if said is None else said.replace("\n", "\r\n").encode() + b"\r\n"

    def _said(self, code: str) -> str | None:
        if "_g.log" in code or "microphone" in code:
            return "False"
        if "i._machine" in code or 'getattr(i, "_machine"' in code:
            return json.dumps(["micropython", self.version, self.mpy, self.machine, self.heap_bytes])
        if "reset_cause" in code:
            return json.dumps({"machine": self.machine} | self.chip)
        if "import board" in code:
            return json.dumps(self.board)
        if "dsp/adpcm" in code:
            return json.dumps({"missing": self.missing, "kernels": self.kernels, "release": ""})
        if "mem_alloc" in code:
            return json.dumps({"free": self.heap[0], "used": self.heap[1], "idf": self.idf})
        if "piece = kb" in code:
            return str(self.piece)
        if "statvfs" in code:
            return json.dumps(self._flash())
        if "manifest.json" in code:
            return json.dumps({"id": "abcd1234", "files": self.files})
        if "hashlib" in code:
            have = self.files | self.digests
            return "\n".join(have[name] for name in sorted(have) if f"/{name}'" in code)
        if "doctor.new" in code:
            return self.wrote
        if "microseconds(_k" in code:
            return self._kernel(code)
        if "print(base)" in code:
            return self.base
        return "" if "def microseconds" in code else None

    def _flash(self) -> dict[str, Any]:
        usual = {"base": self.base, "block": 4096, "blocks": 512, "free": 400}
        return usual | dict.fromkeys(("boot", "main", "board", "glasses", "manifest"), True) | self.flash

    def _kernel(self, code: str) -> str:
        kernel = next(k for k in kernels() if repr(k.module) in code and f"getattr(_m, {k.name!r})" in code)
        lines = [f"form /firmware_a/{kernel.module.replace('.', '/')}.{self.kernels}"]
        for case, gives in vectors.stored()[kernel.full].items():
            if repr(case) in code:
                lines += [f"case {case}", json.dumps([*gives, kernel.full in self.wrong])]
        return "\n".join([*lines, "time", str(self.us)])


def crashing(begun: str = "") -> Answer:
    """The chip restarts after it has printed `begun`, and is at its prompt."""
    return b"!" + begun.replace("\n", "\r\n").encode() + CRASH + BANNER
