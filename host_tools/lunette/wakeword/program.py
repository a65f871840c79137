"""Programs that run wake words here as the glasses do: their own code, in MicroPython."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lunette.errors import LunetteError
from lunette.virtual import interpreter


def printed(name: str, arguments: Sequence[str], contents: Sequence[bytes], limit_s: float) -> list[str]:
    """The lines that the program of that name (of this folder) prints; it is given `arguments`, then the
    names of files with `contents`. Raises LunetteError: with its last words, or after `limit_s` seconds."""
    with tempfile.TemporaryDirectory(prefix="lunette-wakeword-") as folder:
        files = [Path(folder) / str(i) for i in range(len(contents))]
        for file, content in zip(files, contents, strict=True):
            file.write_bytes(content)
        script = Path(__file__).with_name(name)
        command = interpreter.command(str(script), *arguments, *map(str, files))
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit_s
            )
        except subprocess.TimeoutExpired:
            raise LunetteError(f"MicroPython has not heard it in {limit_s:.0f} s") from None
    if done.returncode:
        raise LunetteError(f"MicroPython failed: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")
    return done.stdout.splitlines()
