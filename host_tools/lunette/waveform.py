"""A picture of speech as it was said and as it arrived."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lunette import picture

Pcm = NDArray[np.int16]

_MOST_DELAY_S = 0.25
_BLOCK_S = 0.02
_LOUD_DB = -30.0  # of the loudest block: what is softer is not voice


@dataclass(frozen=True)
class Comparison:
    """How `received` differs from `sent` over their common length.

    `missing_s` is how much longer sent is than received (negative: shorter); `peak` the largest
    difference in steps of 16 bit, `snr_db` the ratio of power of sent to that of the difference.

    Of a recording that was cleaned on the glasses (`cleaned`) these two mean nothing. Then `gain_db` is how
    much louder the voice is than it was at the microphone, and `delay_s` how much later; None where there is
    no voice.
    """

    seconds: float
    missing_s: float
    peak: int
    snr_db: float
    cleaned: bool = False
    gain_db: float | None = None
    delay_s: float | None = None


def compare(sent: Pcm, received: Pcm, rate: int, cleaned: bool = False) -> Comparison:
    """Compare int16 mono signals that start at the same instant."""
    n = min(len(sent), len(received))
    wide = sent[:n].astype(np.int64)
    difference = wide - received[:n].astype(np.int64)
    error = float(np.sum(difference**2))
    signal = float(np.sum(wide**2))
    snr = math.inf
    if error:
        snr = 10 * math.log10(signal / error) if signal else -math.inf
    peak = int(np.max(np.abs(difference))) if n else 0
    gain_db = delay_s = None
    late = _delay(sent[:n], received[:n], rate) if cleaned else None
    if late is not None:
        delay_s = late / rate
        gain_db = _gain_db(sent[:n], received[:n], late, rate)
    return Comparison(n / rate, (len(sent) - len(received)) / rate, peak, snr, cleaned, gain_db, delay_s)


def _delay(sent: Pcm, received: Pcm, rate: int) -> int | None:
    """By how many samples `received` is late, or early (negative): where the two are most alike."""
    if not np.any(sent) or not np.any(received):
        return None
    most = round(_MOST_DELAY_S * rate)
    size = 1 << (len(sent) + most).bit_length()
    spectrum = np.fft.rfft(received.astype(np.float64), size) * np.conj(
        np.fft.rfft(sent.astype(np.float64), size)
    )
    likeness = np.fft.irfft(spectrum, size)
    delays = np.arange(-most, most + 1)
    return int(delays[np.argmax(likeness[delays])])


def _gain_db(sent: Pcm, received: Pcm, late: int, rate: int) -> float | None:
    """Of the voice: over the blocks of `sent` that are loud, in power."""
    a = sent[max(0, -late) :].astype(np.float64)
    b = received[max(0, late) :].astype(np.float64)
    block = max(1, round(_BLOCK_S * rate))
    count = min(len(a), len(b)) // block
    powers = [(x[: count * block].reshape(count, block) ** 2).mean(axis=1) for x in (a, b)]
    if not count or not powers[0].any():
        return None
    loud = powers[0] >= powers[0].max() * 10 ** (_LOUD_DB / 10)
    if not powers[1][loud].any():
        return -math.inf
    return 10 * math.log10(float(powers[1][loud].sum() / powers[0][loud].sum()))


def draw(
    path: Path, sent: Pcm, received: Pcm, rate: int, title: str = "Lunette", cleaning: str | None = None
) -> Comparison:
    """Write a PNG of both signals with their spectrograms on one time axis; returns the numbers in it.

    `cleaning` is what the recording's metadata say. Where it was "off" (or None) the two are compared sample
    by sample, and their difference is drawn; else `received` is moved to where the voice is that of `sent`,
    and its level is compared. The file appears in one step.
    """
    cleaned = cleaning not in (None, "off")
    result = compare(sent, received, rate, cleaned)
    heights = [1.5, 1.3, 1.5, 1.3] + ([] if cleaned else [0.9])
    sheet = picture.Sheet(heights, [1.0, 0.08, 0.22, 0.08] + ([] if cleaned else [0.22]))
    top, top_spectrum, middle, middle_spectrum, *bottom = sheet.axes
    shown = _moved(received, -round((result.delay_s or 0) * rate)) if cleaned else received
    for axes, below, pcm, colour, words in (
        (top, top_spectrum, sent, picture.BLUE, "sent: at the microphone"),
        (middle, middle_spectrum, shown, picture.GREEN, "received: the file at the host"),
    ):
        # Where the glasses set the level, each has its own scale.
        limit = max(_most(pcm) if cleaned else _most(sent), 1000 / 32768) * 1.1
        picture.waveform(axes, pcm, rate, colour, limit)
        picture.label(axes, words, colour, str(picture.Level.of(pcm)))
        sheet.scale(picture.spectrum(below, pcm, rate), below)
    n = min(len(sent), len(received))
    for axes in bottom:
        difference = sent[:n].astype(np.int32) - received[:n]
        picture.waveform(axes, difference, rate, picture.RED, max(1 / 32768, _most(difference)) * 1.25)
        picture.label(axes, "difference (magnified)", picture.RED)
    sheet.time_axis(max(len(sent), len(received)) / rate, "seconds since the microphone was switched on")
    sheet.text(top, 0.62, title, fontsize=15, fontweight="bold")
    sheet.text(top, 0.28, _caption(result, sent, received, rate), fontsize=10.5)
    sheet.save(path)
    return result


def _caption(result: Comparison, sent: Pcm, received: Pcm, rate: int) -> str:
    parts = [f"{len(received) / rate:.2f} s received of {len(sent) / rate:.2f} s sent"]
    if not result.cleaned:
        exact = math.isinf(result.snr_db) and result.peak == 0
        parts.append("no difference at all" if exact else f"SNR {result.snr_db:.1f} dB")
        parts.append(f"largest difference {result.peak} of 32768")
    elif result.gain_db is None or result.delay_s is None:
        parts.append("cleaned on the glasses; there is no voice to compare")
    else:
        louder = f"{abs(result.gain_db):.1f} dB {'louder' if result.gain_db >= 0 else 'softer'}"
        parts.append(
            f"cleaned on the glasses: the voice is {louder}, and {result.delay_s * 1000:.0f} ms late"
        )
    return "    \N{MIDDLE DOT}    ".join(parts)


def _moved(pcm: Pcm, samples: int) -> Pcm:
    """Later by so many samples (earlier, below 0), as long as it was."""
    moved = np.zeros_like(pcm)
    if samples >= 0:
        moved[samples:] = pcm[: len(pcm) - samples]
    else:
        moved[:samples] = pcm[-samples:]
    return moved


def _most(samples: NDArray[np.integer]) -> float:
    return float(np.max(np.abs(samples.astype(np.int32)), initial=0)) / 32768
