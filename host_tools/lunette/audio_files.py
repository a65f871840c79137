"""Sound in files: WAV and FLAC are written; those are read, and whatever else libsndfile knows.

Sound is int16, mono, in one-dimensional numpy arrays.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lunette.codecs import SPEECH_RATE, Pcm
from lunette.errors import LunetteError

FORMATS = ("wav", "flac")
"""What is written: a file's suffix says which."""

_RATES = range(1000, 768001)
_BLOCK = 1 << 16
_FLAC_ANY_RATE = 65535  # above, a multiple of 10: RFC 9639, 9.1.2


def holds(form: str, samples: int, rate: int) -> bool:
    """Whether a file of that format can hold so many samples. WAV holds all; libsndfile writes no FLAC
    without samples, nor of a rate that the head of a frame cannot tell."""
    return form == "wav" or (samples > 0 and (rate <= _FLAC_ANY_RATE or rate % 10 == 0))


def audio_bytes(pcm: npt.ArrayLike, rate: int = SPEECH_RATE, form: str = "wav") -> bytes:
    """A file of int16 mono samples, in one of `FORMATS`.

    Raises:
        ValueError: ``pcm`` is not a one-dimensional int16 array, or the format cannot hold it (`holds`).
    """
    import soundfile  # loads a library: not for those who only look something up

    samples = np.asarray(pcm)
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise ValueError(
            f"need a one-dimensional int16 array, not {samples.dtype} of {samples.ndim} dimensions"
        )
    if form not in FORMATS or not holds(form, len(samples), rate):
        raise ValueError(f"{len(samples)} samples at {rate} Hz do not go into a {form} file")
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form.upper(), subtype="PCM_16")
    return file.getvalue()


def write_audio(path: str | os.PathLike[str], pcm: npt.ArrayLike, rate: int = SPEECH_RATE) -> None:
    """Write int16 mono samples as a file of the format that its suffix says, by way of a temporary file:
    never a partial one.

    Raises:
        ValueError: as `audio_bytes`.
        LunetteError: the file cannot be written.
    """
    path = Path(path)
    content = audio_bytes(pcm, rate, path.suffix[1:].lower())
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            temporary.write_bytes(content)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    except OSError as error:
        raise LunetteError(f"cannot write {path}: {error.strerror or error}") from error


def read_audio(path: str | os.PathLike[str], rate: int = SPEECH_RATE) -> Pcm:
    """Read a sound file as int16 mono at ``rate``.

    Takes any number of channels (averaged) and any rate (resampled, see `resample`). 16-bit mono at
    ``rate`` comes back bit for bit.

    Raises:
        LunetteError: the file is missing, is no sound, is cut short or has no samples; the message says
            which and what to do.
    """
    import soundfile

    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LunetteError(f"cannot read {path}: {error.strerror or error}") from error
    hint = f"convert it with: ffmpeg -i {path} -ac 1 -ar {SPEECH_RATE} -c:a pcm_s16le speech.wav"
    if not content:
        raise LunetteError(f"{path} is empty; {hint}")
    _check_riff(path, content)
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            file_rate, promised = file.samplerate, file.frames
            if file_rate not in _RATES:
                raise LunetteError(f"{path} is corrupt: {file.channels} channels at {file_rate} Hz")
            # Not all at once: a header can promise any length.
            size = max(1, _BLOCK // file.channels)
            blocks = []
            while len(block := file.read(size, always_2d=True)):
                blocks.append(block.mean(axis=1) * 32768.0)
    except soundfile.SoundFileError as error:
        reason = getattr(error, "error_string", str(error)).rstrip(".")
        raise LunetteError(f"{path} is no sound file that can be read ({reason}); {hint}") from error
    samples = np.concatenate([np.empty(0), *blocks])
    if len(samples) < promised:
        raise LunetteError(f"{path} is cut short: {len(samples)} of {promised} samples are there")
    if not len(samples):
        raise LunetteError(f"{path}: there are no samples in it")
    return _to_int16(resample(samples, file_rate, rate))


def _check_riff(path: Path, content: bytes) -> None:
    """libsndfile takes what there is of a WAV file for the whole of it."""
    if len(content) < 12 or content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        return
    size = 8 + struct.unpack_from("<I", content, 4)[0]
    if len(content) < size < 0x7FFFFFFF:  # a tool that wrote to a pipe did not know: the most there may be
        raise LunetteError(f"{path} is cut short: {len(content)} of {size} bytes are there")


def resample(samples: npt.ArrayLike, rate: int, new_rate: int) -> npt.NDArray[np.float64]:
    """Resample by a polyphase windowed-sinc filter (Kaiser, about 80 dB; passband to 0.9 of Nyquist).

    The result has ``round(len * new_rate / rate)`` samples and starts at the same instant. Good for
    speech in and out of tests; it is no mastering tool.
    """
    source = np.asarray(samples, np.float64)
    if rate == new_rate:
        return source
    divisor = math.gcd(rate, new_rate)
    up, down = new_rate // divisor, rate // divisor
    # Cut off below the lower of the two Nyquist rates; frequencies in cycles a source sample.
    cutoff = 0.95 * min(1.0, up / down)
    half = math.ceil(64 / cutoff)
    offsets = np.arange(-half, half + 1)
    distance = offsets[None, :] - np.arange(up)[:, None] / up
    window = np.i0(8.0 * np.sqrt(np.clip(1 - (distance / (half + 1)) ** 2, 0, None))) / np.i0(8.0)
    bank = np.sinc(cutoff * distance) * window
    bank /= bank.sum(axis=1, keepdims=True)  # a constant stays that constant in every phase

    count = max(1, (len(source) * up + down // 2) // down)
    padded = np.concatenate([np.zeros(half), source, np.zeros(half + 1)])
    result = np.empty(count)
    for begin in range(0, count, 4096):  # bounds the memory of the gathered windows
        position = np.arange(begin, min(begin + 4096, count)) * down
        base = np.minimum(position // up, len(source))
        result[begin : begin + len(base)] = np.einsum(
            "ij,ij->i", padded[base[:, None] + (offsets + half)[None, :]], bank[position % up]
        )
    return result


def _to_int16(samples: npt.NDArray[np.float64]) -> Pcm:
    return np.clip(np.floor(samples + 0.5), -32768, 32767).astype(np.int16)
