"""Text as sound, by the synthetic voices of eSpeak NG: what is said in scenes and in tests.

The library comes with the package espeakng-loader, which is not installed with Lunette.
"""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lunette.audio_files import resample
from lunette.codecs import SPEECH_RATE, Pcm
from lunette.errors import LunetteError

INSTALL = "pip install espeakng-loader"
VOICE = "en-us"
RATE = 150
RATES = range(80, 451)  # words a minute: eSpeak NG takes others for the nearest of these
PEAK_DBFS = -10.0

_TIMEOUT_S = 60.0


def _package() -> Any:
    """The module espeakng_loader. LunetteError with what to do if it cannot be imported."""
    try:
        import espeakng_loader
    except ImportError:
        raise LunetteError(
            f"speaking a text needs the package espeakng-loader, which has eSpeak NG: {INSTALL}"
        ) from None
    return espeakng_loader


def installed() -> bool:
    """Whether texts can be spoken here."""
    return importlib.util.find_spec("espeakng_loader") is not None


@functools.lru_cache(maxsize=1)
def _voices() -> tuple[frozenset[str], frozenset[str]]:
    """(languages, speakers) that eSpeak NG has: the voice "en-us+f3" is of both. They are files."""
    data = Path(_package().get_data_path())
    languages = frozenset(path.name.lower() for path in (data / "lang").rglob("*") if path.is_file())
    return languages, frozenset(path.name for path in (data / "voices" / "!v").iterdir())


def check(voice: str) -> None:
    """LunetteError if eSpeak NG has no such voice, or is not there."""
    languages, speakers = _voices()
    language, plus, speaker = voice.partition("+")
    if language not in languages:
        raise LunetteError(
            f"eSpeak NG has no voice {voice!r}: they are called by their language, as en-us, en, de, fr"
        )
    if plus and speaker not in speakers:
        raise LunetteError(f"eSpeak NG has no voice {voice!r}: speakers are +f1 to +f5, +m1 to +m8, and more")


@functools.lru_cache(maxsize=256)
def wave(text: str, voice: str = VOICE, words_a_minute: int = RATE) -> NDArray[np.float64]:
    """`text` as `voice` says it, at 16 kHz, in steps of int16 and as loud as eSpeak NG makes it. Read only.

    Each text has a process of its own: the library goes on with the flutter of its voice where it was at the
    end of the text before, and the same text would be other samples. Raises LunetteError.
    """
    check(voice)
    package = _package()
    script = Path(__file__).with_name("speak.py")
    command = [sys.executable, "-I", str(script), package.get_library_path(), package.get_data_path()]
    try:
        done = subprocess.run(
            [*command, voice, str(words_a_minute)],
            input=text.encode(),
            capture_output=True,
            timeout=_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise LunetteError(f"eSpeak NG has not said {text[:40]!r} in {_TIMEOUT_S:.0f} s") from None
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise LunetteError(f"eSpeak NG failed: {why[0] if why else f'code {done.returncode}'}")
    rate = int.from_bytes(done.stdout[:4], "little")
    samples = np.frombuffer(done.stdout[4:], "<i2")
    if not samples.any():
        raise LunetteError(f"there is nothing to say in {text[:40]!r}")
    said = resample(samples, rate, SPEECH_RATE)
    said.flags.writeable = False
    return said


def clip(text: str, voice: str = VOICE, words_a_minute: int = RATE) -> Pcm:
    """The same as int16, its loudest sample at `PEAK_DBFS`."""
    said = wave(text, voice, words_a_minute)
    peak = 32768 * 10 ** (PEAK_DBFS / 20)
    return np.rint(said * (peak / np.abs(said).max())).astype(np.int16)
