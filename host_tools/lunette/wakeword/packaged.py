"""Models of microWakeWord on this computer: .tflite files with a manifest beside them, and those that the
package pymicro-wakeword carries."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lunette.errors import LunetteError
from lunette.wakeword import format

INSTALL = "pip install pymicro-wakeword"
CUTOFF, WINDOW = 0.85, 5  # of a model without a manifest


@dataclass(frozen=True)
class Source:
    """A .tflite file and what its manifest says: `phrase` is the wake word, `cutoff` a probability, `window`
    of how many steps' probabilities the mean is compared with it. `described`: there is a manifest."""

    path: Path
    phrase: str
    cutoff: float = CUTOFF
    window: int = WINDOW
    languages: tuple[str, ...] = ()
    described: bool = False

    @property
    def name(self) -> str:
        return self.path.stem


@dataclass(frozen=True)
class Glasses:
    """What a file for the glasses says at its beginning. `cutoff` is of 255; `memory` is what they need for
    it, in bytes, about."""

    phrase: str
    cutoff: int
    window: int
    size: int
    memory: int

    @classmethod
    def of(cls, head: bytes) -> Glasses:
        """By the file, or its first 96 bytes. LunetteError if it is none of this version."""
        if len(head) < format.HEAD.size:
            raise LunetteError("this is no model for the glasses")
        magic, version, _, _, cutoff, size, _, arena, sums, _, _, window, phrase = format.HEAD.unpack_from(
            head
        )
        if magic != format.MAGIC or version != format.VERSION:
            raise LunetteError(
                "this is no model for the glasses, or one of another version: convert it again"
            )
        words = head[format.HEAD.size :][:phrase].rstrip(b"\0").decode(errors="replace")
        return cls(words, cutoff, window, size, size + arena + 4 * sums)


def package() -> Any:
    """The module pymicro_wakeword. LunetteError with what to do if it cannot be imported."""
    try:
        import pymicro_wakeword
    except ImportError:
        raise LunetteError(
            f"this needs the package pymicro-wakeword, which has models and TensorFlow's runtime: {INSTALL}"
        ) from None
    return pymicro_wakeword


def runtime() -> Path:
    """TensorFlow Lite's C library of that package. Raises LunetteError."""
    found = next((Path(package().__file__).parent / "lib").glob("*tensorflowlite_c.*"), None)
    if found is None:
        raise LunetteError("pymicro-wakeword has no TensorFlow for this computer")
    return found


def carried() -> list[Source]:
    """Those of the package, by name. LunetteError if it is not installed."""
    return inside(Path(package().__file__).parent / "models")


def inside(folder: Path) -> list[Source]:
    """Those in a folder, by name. Raises LunetteError."""
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".tflite")
    except OSError as error:
        raise LunetteError(f"cannot read {folder}: {error.strerror}") from None
    return [read(path) for path in files]


def find(model: str) -> Source:
    """A model by its file or, if there is no such file, by its name in the package. Raises LunetteError."""
    path = Path(model).expanduser()
    if path.is_file():
        return read(path)
    if path.suffix or path.name != model:
        raise LunetteError(f"there is no file {model}")
    known = carried()
    for source in known:
        if source.name == model:
            return source
    raise LunetteError(f"there is no model {model}: give a .tflite file, or one of {_names(known)}")


def _names(sources: Iterable[Source]) -> str:
    return ", ".join(source.name for source in sources)


def read(path: Path) -> Source:
    """A .tflite file with the manifest of the same name beside it, if there is one. Raises LunetteError."""
    manifest = path.with_suffix(".json")
    phrase = path.stem.replace("_", " ")
    if not manifest.is_file():
        return Source(path, phrase)
    try:
        described = json.loads(manifest.read_bytes())
        micro = described["micro"]
        cutoff, window = float(micro["probability_cutoff"]), int(micro["sliding_window_size"])
        languages = tuple(map(str, described.get("trained_languages", ())))
        if not (0 < cutoff < 1 and 0 < window < 256):
            raise ValueError(f"a cutoff of {cutoff} and a window of {window}")
        return Source(path, str(described.get("wake_word", phrase)), cutoff, window, languages, True)
    except KeyError as error:
        raise LunetteError(f"{manifest} is no manifest of microWakeWord: it has no {error.args[0]}") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise LunetteError(f"{manifest} is no manifest of microWakeWord: {error}") from None
