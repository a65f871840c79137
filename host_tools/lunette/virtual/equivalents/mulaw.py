"""Mu-law by table."""

from __future__ import annotations

from typing import Any

import numpy as np

from lunette.virtual.equivalents import octets


def _tables() -> tuple[np.ndarray[Any, np.dtype[np.uint8]], np.ndarray[Any, np.dtype[np.int16]]]:
    """The code of each sample (as uint16), and the sample of each code: by a search among G.711's decision
    values, not by arithmetic on bits."""
    codes = np.arange(128)
    segments, steps = codes >> 4, codes & 15
    begins = ((steps + 16) << (segments + 1)) - 33  # of the 14-bit magnitudes of a code
    middles = ((2 * steps + 33) << segments) - 33
    samples = np.arange(1 << 16).astype(np.uint16).view(np.int16).astype(np.int64)
    found = np.searchsorted(begins, np.abs(samples >> 2), side="right") - 1
    encoded = np.where(samples < 0, 0x7F, 0xFF) - found
    decoded = np.concatenate([-4 * middles[::-1], 4 * middles[::-1]])
    return encoded.astype(np.uint8), decoded.astype("<i2")


_CODES, _SAMPLES = _tables()


def encode(pcm: Any, pcm_off: int, out: Any, out_off: int, n: int) -> int:
    octets(out)[out_off : out_off + n] = _CODES[np.frombuffer(pcm, "<u2")[pcm_off : pcm_off + n]].tobytes()
    return n


def decode(codes: Any, off: int, n: int, pcm: Any, pcm_off: int) -> int:
    samples = _SAMPLES[np.frombuffer(codes, np.uint8)[off : off + n]]
    octets(pcm)[2 * pcm_off : 2 * (pcm_off + n)] = samples.tobytes()
    return n


EQUIVALENTS = {"dsp.mulaw.encode": encode, "dsp.mulaw.decode": decode}
