"""ADPCM, by `audioop`."""

from __future__ import annotations

from typing import Any

from lunette.codecs import audioop
from lunette.virtual.equivalents import octets


def encode(pcm: Any, pcm_off: int, out: Any, out_off: int, n: int, state: Any) -> int:
    low, high, index = state[0], state[1], min(state[2], 88)
    predictor = (high << 8 | low) - (high >> 7 << 16)
    samples = octets(pcm)[2 * pcm_off : 2 * (pcm_off + n)]
    coded, (predictor, after) = audioop.lin2adpcm(samples, 2, (predictor, index))
    size = 4 + len(coded)
    out[out_off : out_off + size] = bytes((high, low, index, 0)) + coded
    state[0], state[1], state[2] = predictor & 255, predictor >> 8 & 255, after
    return size


EQUIVALENTS = {"dsp.adpcm.encode": encode}
