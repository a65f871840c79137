"""Models as the glasses have them, of whatever a user names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lunette.errors import LunetteError
from lunette.wakeword import packaged
from lunette.wakeword.packaged import Source

SUFFIX = ".mww"


@dataclass(frozen=True)
class Loaded:
    """`content` is the glasses' file. `source` is None for one that was converted before, which TensorFlow
    does not read. `cutoff` is as they have it: one of their probabilities, rounded down."""

    name: str
    phrase: str
    cutoff: float
    window: int
    content: bytes
    source: Source | None


def load(model: str, cutoff: float | None = None) -> Loaded:
    """A .tflite or .mww file, or a model of the package by its name; `cutoff` instead of the manifest's.
    Raises LunetteError."""
    path = Path(model).expanduser()
    if path.suffix == SUFFIX:
        if cutoff is not None:
            raise LunetteError(f"--cutoff is for .tflite files: {model} has its own")
        content = _read(path)
        made = packaged.Glasses.of(content)
        return Loaded(path.stem, made.phrase, made.cutoff / 256, made.window, content, None)
    source = packaged.find(model)
    content = converted(source, cutoff)
    limit = packaged.Glasses.of(content).cutoff / 256
    return Loaded(source.name, source.phrase, limit, source.window, content, source)


def converted(source: Source, cutoff: float | None = None) -> bytes:
    """The glasses' file of a model. Raises LunetteError."""
    if cutoff is not None and not 0 < cutoff < 1:
        raise LunetteError(f"a cutoff of {cutoff:g} is no probability between 0 and 1")
    try:
        from lunette.wakeword.convert import convert
    except ImportError as error:
        raise LunetteError(
            f"converting a model needs the package {error.name}: pip install {error.name}"
        ) from None

    content = _read(source.path)
    return convert(content, source.phrase, source.cutoff if cutoff is None else cutoff, source.window)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LunetteError(f"cannot read {path}: {error.strerror}") from None
