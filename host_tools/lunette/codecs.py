"""Speech on the host: decoding what the glasses coded, and WAV files.

Speech is int16, mono, in one-dimensional numpy arrays.
"""

from __future__ import annotations

import contextlib
import math
import os
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lunette.errors import LunetteError

Pcm = npt.NDArray[np.int16]

SPEECH_RATE = 16000
"""Samples a second of the glasses' microphone."""

# --- DVI4 (IMA ADPCM in the frames of RFC 3551) ---------------------------------------------------

_HEADER = struct.Struct(">hBB")  # predictor, step index, reserved
_MAX_INDEX = 88
# fmt: off
_STEPS = (
    7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 19, 21, 23, 25, 28, 31, 34, 37, 41, 45, 50, 55, 60, 66, 73, 80,
    88, 97, 107, 118, 130, 143, 157, 173, 190, 209, 230, 253, 279, 307, 337, 371, 408, 449, 494, 544, 598,
    658, 724, 796, 876, 963, 1060, 1166, 1282, 1411, 1552, 1707, 1878, 2066, 2272, 2499, 2749, 3024, 3327,
    3660, 4026, 4428, 4871, 5358, 5894, 6484, 7132, 7845, 8630, 9493, 10442, 11487, 12635, 13899, 15289,
    16818, 18500, 20350, 22385, 24623, 27086, 29794, 32767,
)
# fmt: on
_ADAPT = (-1, -1, -1, -1, 2, 4, 6, 8)


def _moves() -> list[list[tuple[int, int]]]:
    """``[step index][code]`` -> (change of the predictor, next step index)."""
    table = []
    for index, step in enumerate(_STEPS):
        row = []
        for code in range(16):
            parts = ((4, step), (2, step >> 1), (1, step >> 2))
            change = (step >> 3) + sum(part for bit, part in parts if code & bit)
            following = min(max(index + _ADAPT[code & 7], 0), _MAX_INDEX)
            row.append((-change if code & 8 else change, following))
        table.append(row)
    return table


_MOVES = _moves()


class Dvi4Decoder:
    """Decodes the frames of one recording in order.

    Every frame is complete in itself; `breaks` counts those that do not begin where the one before
    ended, which is where frames are missing.
    """

    def __init__(self) -> None:
        self.breaks = 0
        self._end: tuple[int, int] | None = None

    def decode(self, frame: bytes | bytearray | memoryview) -> Pcm:
        """The frame's samples: two for every byte after the first four.

        A step index above 88 counts as 88, as on the glasses.

        Raises:
            ValueError: the frame is shorter than its header.
        """
        if len(frame) < _HEADER.size:
            raise ValueError(f"a DVI4 frame has at least {_HEADER.size} bytes, this one {len(frame)}")
        predictor, index, _ = _HEADER.unpack_from(frame)
        index = min(index, _MAX_INDEX)
        if self._end is not None and self._end != (predictor, index):
            self.breaks += 1
        samples = []
        moves = _MOVES
        for byte in memoryview(frame)[_HEADER.size :]:
            for code in (byte >> 4, byte & 15):
                change, index = moves[index][code]
                predictor += change
                if predictor > 32767:
                    predictor = 32767
                elif predictor < -32768:
                    predictor = -32768
                samples.append(predictor)
        self._end = (predictor, index)
        return np.array(samples, np.int16)


def decode_dvi4(frame: bytes | bytearray | memoryview) -> Pcm:
    """Decode one frame by itself; see `Dvi4Decoder.decode`."""
    return Dvi4Decoder().decode(frame)


# --- WAV files ------------------------------------------------------------------------------------

_PCM, _EXTENSIBLE = 0x0001, 0xFFFE
_RATES = range(1000, 768001)


def wav_bytes(pcm: npt.ArrayLike, rate: int = SPEECH_RATE) -> bytes:
    """A WAV file of int16 mono samples.

    Raises:
        ValueError: ``pcm`` is not a one-dimensional int16 array, or too long for a WAV file.
    """
    samples = np.asarray(pcm)
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise ValueError(
            f"need a one-dimensional int16 array, not {samples.dtype} of {samples.ndim} dimensions"
        )
    data = samples.astype("<i2", copy=False).tobytes()
    if len(data) > 0xFFFFFFFF - 36:
        raise ValueError("too long for a WAV file")
    header = struct.pack("<4sI4s4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16)
    header += struct.pack("<HHIIHH", _PCM, 1, rate, 2 * rate, 2, 16)
    header += struct.pack("<4sI", b"data", len(data))
    return header + data


def write_wav(path: str | os.PathLike[str], pcm: npt.ArrayLike, rate: int = SPEECH_RATE) -> None:
    """Write int16 mono samples as a WAV file, by way of a temporary file: never a partial one.

    Raises:
        ValueError: as `wav_bytes`.
        LunetteError: the file cannot be written.
    """
    content = wav_bytes(pcm, rate)
    path = Path(path)
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


def read_wav(path: str | os.PathLike[str], rate: int = SPEECH_RATE) -> Pcm:
    """Read a WAV file as int16 mono at ``rate``.

    Takes PCM of 8, 16, 24 or 32 bits, any number of channels (averaged) and any rate (resampled, see
    `resample`). 16-bit mono at ``rate`` comes back bit for bit.

    Raises:
        LunetteError: the file is missing, is no such WAV, is cut short or has no samples; the
            message says which and what to do.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LunetteError(f"cannot read {path}: {error.strerror or error}") from error
    channels, file_rate, bits, data = _parse(path, content)
    frames = len(data) // (channels * bits // 8)
    if frames == 0:
        raise LunetteError(f"{path}: there are no samples in it")
    samples = _to_int16_scale(data[: frames * channels * bits // 8], bits)
    if channels > 1:
        samples = samples.reshape(frames, channels).mean(axis=1)
    return _to_int16(resample(samples, file_rate, rate))


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


def _parse(path: Path, content: bytes) -> tuple[int, int, int, bytes]:
    """Channels, rate, bits a sample and sample data of a RIFF file.

    Not the ``wave`` module: before Python 3.12 it refuses the extensible header that common tools
    write for 24 and 32 bits.
    """
    hint = f"convert it with: ffmpeg -i {path} -ac 1 -ar {SPEECH_RATE} -c:a pcm_s16le speech.wav"
    if len(content) < 12 or content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        what = "is empty" if not content else "is not a WAV file"
        raise LunetteError(f"{path} {what}; {hint}")
    form: bytes | None = None
    at = 12
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        body = content[at + 8 : at + 8 + size]
        if name == b"fmt ":
            form = body
        elif name == b"data":
            if form is None or len(form) < 16:
                break
            if len(body) < size and size != 0xFFFFFFFF:  # a tool that wrote to a pipe did not know
                raise LunetteError(f"{path} is cut short: {len(body)} of {size} bytes of sound are there")
            channels, rate, bits = _format(path, form, hint)
            return channels, rate, bits, body
        at += 8 + size + (size & 1)
    raise LunetteError(f"{path} is corrupt: no complete format and data in it; {hint}")


def _format(path: Path, form: bytes, hint: str) -> tuple[int, int, int]:
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", form)
    if kind == _EXTENSIBLE and len(form) >= 26:
        (kind,) = struct.unpack_from("<H", form, 24)
    if kind != _PCM or bits not in (8, 16, 24, 32):
        raise LunetteError(f"{path} holds format {kind} of {bits} bits, not PCM of 8 to 32 bits; {hint}")
    if channels == 0 or rate not in _RATES:
        raise LunetteError(f"{path} is corrupt: {channels} channels at {rate} Hz")
    return channels, rate, bits


def _to_int16_scale(data: bytes, bits: int) -> npt.NDArray[np.float64]:
    """Samples as floats, full scale -32768..32767."""
    if bits == 8:
        return (np.frombuffer(data, np.uint8).astype(np.float64) - 128) * 256
    if bits == 16:
        return np.frombuffer(data, "<i2").astype(np.float64)
    if bits == 32:
        return np.frombuffer(data, "<i4") / 65536.0
    triples = np.frombuffer(data, np.uint8).reshape(-1, 3)
    words = np.zeros((len(triples), 4), np.uint8)
    words[:, 1:] = triples  # into the upper three bytes: the sign falls into place
    return words.view("<i4").reshape(-1) / 65536.0


def _to_int16(samples: npt.NDArray[np.float64]) -> Pcm:
    return np.clip(np.floor(samples + 0.5), -32768, 32767).astype(np.int16)
