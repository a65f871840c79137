"""The image file that is the glasses' flash: made, filled and read while the glasses are off.

It holds littlefs2 as on the chip, so a full flash is a real ENOSPC and killing the interpreter is a
power cut. MicroPython itself does the work (`flash_tool.py`).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from lunette.errors import LunetteError
from lunette.virtual import interpreter

BLOCK_BYTES = 4096
_MIN_BLOCKS = 4
_TOOL = Path(__file__).with_name("flash_tool.py")


def create(image: Path, size_kb: int = 2048) -> None:
    """Make an empty file system of `size_kb` KiB (a multiple of 4, at least 16), replacing `image`.

    Raises ValueError for such a size, LunetteError when the image is in use or cannot be written.
    """
    if size_kb % (BLOCK_BYTES // 1024) or size_kb * 1024 < _MIN_BLOCKS * BLOCK_BYTES:
        raise ValueError(f"size_kb must be a multiple of 4 and at least 16, not {size_kb}")
    try:
        with image.open("ab") as file:
            hold(file, image)
            file.truncate(0)
            file.write(b"\xff" * (size_kb * 1024))
    except OSError as error:
        raise LunetteError(f"cannot make the flash image {image}: {error.strerror}") from None
    _tool(image, "format")


def install(image: Path, files: Mapping[str, Path | bytes]) -> None:
    """Write `files` (name on the flash, like "glasses/link.py" -> file or contents), making their folders.

    Raises LunetteError naming the file that does not exist or did not fit.
    """
    with tempfile.TemporaryDirectory(prefix="lunette-") as folder:
        manifest = []
        for number, (name, content) in enumerate(files.items()):
            if isinstance(content, bytes):
                source = Path(folder) / str(number)
                source.write_bytes(content)
            else:
                source = content.resolve()
                if not source.is_file():
                    raise LunetteError(f"cannot install {name}: there is no file {content}")
            manifest.append((name.strip("/"), str(source)))
        path = Path(folder) / "manifest"
        path.write_text(json.dumps(manifest))
        _tool(image, "install", str(path))


def read(image: Path, name: str) -> bytes:
    """The contents of the file `name` on the flash. Raises LunetteError if there is none."""
    with tempfile.TemporaryDirectory(prefix="lunette-") as folder:
        output = Path(folder) / "file"
        _tool(image, "read", name.strip("/"), str(output))
        return output.read_bytes()


def listdir(image: Path, folder: str = "/") -> list[str]:
    """The names in `folder` of the flash, sorted. Raises LunetteError if there is none."""
    return sorted(json.loads(_tool(image, "list", folder.strip("/"))))


def hold(file: IO[bytes], image: Path) -> None:
    """Keep `image`, opened as `file`, for one user until the file is closed: two would destroy it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LunetteError(f"the flash image {image} is in use by running virtual glasses") from None


def open_image(image: Path) -> IO[bytes]:
    """Open and hold `image`. Raises LunetteError if it is missing, no image, or in use."""
    try:
        file = image.open("r+b")
    except OSError as error:
        raise LunetteError(f"cannot open the flash image {image}: {error.strerror}") from None
    try:
        size = os.fstat(file.fileno()).st_size
        if size % BLOCK_BYTES or size < _MIN_BLOCKS * BLOCK_BYTES:
            raise LunetteError(f"{image} is no flash image: {size} bytes")
        hold(file, image)
    except BaseException:
        file.close()
        raise
    return file


def _tool(image: Path, *arguments: str) -> str:
    with open_image(image):
        command = interpreter.command("-X", "heapsize=4m", str(_TOOL), str(image.resolve()), *arguments)
        done = subprocess.run(
            command, env={}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )
    if done.returncode == 0:
        return done.stdout
    try:
        number, name = json.loads(done.stdout)
    except ValueError:
        raise LunetteError(f"{image}: MicroPython failed: {(done.stderr or done.stdout).strip()}") from None
    what = name or " ".join(arguments[1:2])
    if number == errno.ENOSPC:
        raise LunetteError(f"{what} does not fit the flash image {image}")
    if number in (errno.ENODEV, errno.EILSEQ):  # EILSEQ is littlefs's word for damaged
        raise LunetteError(f"{image} holds no file system, or a damaged one")
    raise LunetteError(f"{what} on {image}: {os.strerror(number)}")
