"""A 32-bit MicroPython: the WebAssembly build on npm, run by node. It is fetched once, into out/."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from lunette import paths

PACKAGE = "@micropython/micropython-webassembly-pyscript"
VERSION = "1.27.0"  # the newest; it has no native code, as no build for this machine has

_HEAP = 4 << 20
_RUN = Path(__file__).parent / "wasm" / "run.mjs"
_FOLDER = paths.ROOT / "out" / f"webassembly-{VERSION}"
_LIMIT_S = 120


class Missing(Exception):
    """There is no such MicroPython here; the message says why."""


def module() -> Path:
    """The package's module. Raises Missing without node and npm, and when npm does not get it."""
    found = _FOLDER / "package" / "micropython.mjs"
    if shutil.which("node") is None:
        raise Missing("node is not installed")
    if not found.exists():
        _fetch()
    return found


def _fetch() -> None:
    if shutil.which("npm") is None:
        raise Missing("npm is not installed")
    _FOLDER.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_FOLDER.parent, prefix="webassembly-") as name:
        folder = Path(name)
        command = ["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}"]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_LIMIT_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Missing(f"npm pack {PACKAGE}: {error}") from None
        archives = list(folder.glob("*.tgz"))
        if done.returncode or not archives:
            raise Missing(f"npm pack {PACKAGE}: {done.stderr.strip()[-200:] or 'no archive'}")
        with tarfile.open(archives[0]) as archive:
            for member in archive.getmembers():
                if member.isfile() and ".." not in member.name and not member.name.startswith("/"):
                    archive.extract(member, folder)
        archives[0].unlink()
        shutil.rmtree(_FOLDER, ignore_errors=True)
        folder.rename(_FOLDER)
        folder.mkdir()  # for its owner to remove


def run(files: Mapping[str, bytes], steps: Sequence[tuple[str, int]]) -> str:
    """Run steps, (code, ms to let tasks run after it), one after the other; returns what they print.

    `files` by absolute path. Garbage is collected between steps only. Raises Missing, and RuntimeError for an
    exception in a step.
    """
    job = {
        "heap": _HEAP,
        "files": {path: base64.b64encode(content).decode() for path, content in files.items()},
        "steps": [list(step) for step in steps],
    }
    command = ["node", str(_RUN), str(module())]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, timeout=_LIMIT_S)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "node died")
    return done.stdout
