"""Speech as the glasses coded it, decoded: int16, mono, in one-dimensional numpy arrays."""

from __future__ import annotations

import struct
import warnings

import numpy as np
import numpy.typing as npt

from lunette.errors import UnknownCodec

with warnings.catch_warnings():
    # In the standard library up to Python 3.12, with an announcement of its end; then audioop-lts.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

Pcm = npt.NDArray[np.int16]
Frame = bytes | bytearray | memoryview

SPEECH_RATE = 16000
"""Samples a second of the glasses' microphone."""

_HEADER = struct.Struct(">hBB")  # of DVI4 (RFC 3551): predictor, step index, reserved
_MAX_INDEX = 88
_GAP_BYTES = 3


class Dvi4Decoder:
    """Decodes the frames of one recording in order.

    Every frame is complete in itself; `breaks` counts those that do not begin where the one before
    ended, which is where frames are missing.
    """

    def __init__(self) -> None:
        self.breaks = 0
        self._end: tuple[int, int] | None = None

    def decode(self, frame: Frame) -> Pcm:
        """The frame's samples: two for every byte after the first four.

        A step index above 88 counts as 88, as on the glasses.

        Raises:
            ValueError: the frame is shorter than its header.
        """
        if len(frame) < _HEADER.size:
            raise ValueError(f"a DVI4 frame has at least {_HEADER.size} bytes, this one {len(frame)}")
        predictor, index, _ = _HEADER.unpack_from(frame)
        begin = predictor, min(index, _MAX_INDEX)
        if self._end is not None and self._end != begin:
            self.breaks += 1
        samples, self._end = audioop.adpcm2lin(bytes(frame[_HEADER.size :]), 2, begin)
        return np.frombuffer(samples, np.int16)


def decode_dvi4(frame: Frame) -> Pcm:
    """Decode one frame by itself; see `Dvi4Decoder.decode`."""
    return Dvi4Decoder().decode(frame)


def decode_mulaw(frame: Frame) -> Pcm:
    """Decode mu-law of G.711: a sample a byte."""
    return np.frombuffer(audioop.ulaw2lin(bytes(frame), 2), np.int16)


def decode_pcm(frame: Frame) -> Pcm:
    """16-bit little-endian samples. Raises ValueError if the last one is not whole."""
    return np.frombuffer(bytes(frame), "<i2").astype(np.int16, copy=False)


_DECODERS = {"dvi4": decode_dvi4, "mulaw": decode_mulaw, "pcm": decode_pcm}
CODECS = tuple(_DECODERS)


def decode(codec: str, frame: Frame) -> Pcm:
    """Decode one frame of a recording whose metadata name that codec.

    Raises:
        UnknownCodec: it is not one of `CODECS`.
        ValueError: this is no frame of that codec.
    """
    decoder = _DECODERS.get(codec)
    if decoder is None:
        raise UnknownCodec(codec)
    return decoder(frame)


def gap_samples(frame: Frame) -> int | None:
    """How many samples were not captured where this frame of speech is, if it is a gap frame
    (docs/protocol.md); None if it holds speech."""
    return int.from_bytes(frame, "little") if len(frame) == _GAP_BYTES else None
