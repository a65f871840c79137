"""ADPCM, by `audioop`."""

from __future__ import annotations

from typing import Any

from lunette.codecs import audioop
from lunette.virtual.equivalents import octets


def encode_frame(row: int, d: int, pcm: Any, i: int, out: Any, o: int, end: int, state: Any) -> int:
    low, high, index = state[0], state[1], min(state[2], 88)
    predictor = (high << 8 | low) - (high >> 7 << 16)
    coded, (predictor, after) = audioop.lin2adpcm(octets(pcm)[2 * i : 2 * end], 2, (predictor, index))
    size = 4 + len(coded)
    out[o : o + size] = bytes((high, low, index, 0)) + coded
    state[0], state[1], state[2] = predictor & 255, predictor >> 8 & 255, after
    return o + size


def decode_frame(row: int, code: int, frame: Any, at: int, end: int, pcm: Any, i: int) -> int:
    octet = octets(frame)
    predictor = (octet[at] << 8 | octet[at + 1]) - (octet[at] >> 7 << 16)
    state = (predictor, min(octet[at + 2], 88))
    samples, _ = audioop.adpcm2lin(octet[at + 4 : end], 2, state)
    octets(pcm)[2 * i : 2 * i + len(samples)] = samples
    return i + len(samples) // 2


EQUIVALENTS = {"dsp.adpcm.encode_frame": encode_frame, "dsp.adpcm.decode_frame": decode_frame}
