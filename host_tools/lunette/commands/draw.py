"""`lunette draw`: a picture of recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lunette.errors import LunetteError

if TYPE_CHECKING:
    from lunette.picture import Track


def draw(
    files: Annotated[list[Path], typer.Argument(help="Sound: WAV, FLAC, or what else libsndfile reads.")],
    out: Annotated[
        Path | None, typer.Option(help="The PNG; beside the first file without.", show_default=False)
    ] = None,
) -> None:
    """Draw recordings below each other: waveform, spectrogram, level, and what is known of them.

    From the JSON beside a recording come its gaps (hatched) and where somebody spoke (the bar between).
    """
    from lunette import picture

    if len(files) > picture.MOST_TRACKS:
        raise LunetteError(
            f"{len(files)} recordings are too many for one picture: {picture.MOST_TRACKS} at most"
        )
    if out is not None and out.suffix.lower() != ".png":
        raise LunetteError(f"--out {out} is no PNG: give it a name that ends with .png")
    tracks = [track(path) for path in files]
    target = out or files[0].with_suffix(".png")
    try:
        picture.draw(target, tracks)
    except OSError as error:
        raise LunetteError(f"cannot write {target}: {error.strerror or error}") from None
    for found in tracks:
        print(f"{found.title}  {found.seconds:.2f} s  {picture.Level.of(found.pcm)}")
    print(target)


def track(path: Path) -> Track:
    """A recording as `draw` shows it, with what the JSON beside it says. Raises LunetteError."""
    from lunette.audio_files import read_audio
    from lunette.codecs import SPEECH_RATE
    from lunette.picture import Track

    about = _about(path)
    meta = _table(about, "meta")
    words = [(meta.get("codec"), "{}"), (meta.get("cleaning"), "cleaning {}")]
    detail = ", ".join(form.format(word[:12]) for word, form in words if isinstance(word, str))
    gaps = [(begin, begin + seconds) for begin, seconds in _pairs(about.get("gaps"))]
    voice = _table(about, "end").get("voice")
    return Track(
        read_audio(path),
        SPEECH_RATE,
        path.name,
        detail,
        gaps,
        [(begin / 1000, end / 1000) for begin, end in _pairs(voice)] if isinstance(voice, list) else None,
    )


def _about(path: Path) -> dict[str, Any]:
    """What lies beside the recording; nothing if that is not lunette's."""
    try:
        about = json.loads(path.with_suffix(".json").read_bytes())
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def _table(about: dict[str, Any], key: str) -> dict[str, Any]:
    found = about.get(key)
    return found if isinstance(found, dict) else {}


def _pairs(found: Any) -> list[tuple[float, float]]:
    """Pairs of numbers; what is none is left out."""
    if not isinstance(found, list):
        return []
    return [
        (float(pair[0]), float(pair[1]))
        for pair in found
        if isinstance(pair, list) and len(pair) == 2 and all(isinstance(n, (int, float)) for n in pair)
    ]
