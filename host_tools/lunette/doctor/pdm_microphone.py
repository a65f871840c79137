"""The check `mic` of a PDM microphone: its bits, as the I2S port gives them, and what they say of the wires.

Such a microphone turns sound into the share of ones among its bits, in silence a half. It moves the noise of
single bits up to high frequencies: between the sound and some 20 kHz there is next to nothing. Bits that are
nobody's have noise there as everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lunette.doctor.microphone import PIECE, RATE, capture, check_clock, figure
from lunette.doctor.model import Finding, Findings
from lunette.doctor.patient import Patient

_KEEP, _STEP = 12, 4  # pieces of 16 ms: 0.77 s, every fourth piece of it
_BITS = 64  # of a frame
_SOUND = (100, 7000)  # Hz
_QUIET = (12_000, 22_000)
_UNEVEN = 0.1  # of the share of ones, from a half; microphones are within some 0.03
_SHAPED_DB = -10.0  # in the quiet band, beside bits at random; microphones have -25 and less
_SILENT_DB = -82.0  # the simulated one's own noise is at -89


@dataclass(frozen=True)
class Bits:
    """Of all that was captured. `ones` is their share, `constant` the one word (32 bits) that there was.
    Levels are dB of full scale, `shaped_db` that of the quiet band beside bits at random."""

    ones: float
    constant: int | None
    level_db: float
    floor_db: float
    shaped_db: float


def look(words: NDArray[np.int32]) -> Bits:
    """What the words, as they are in memory, say: whole pieces."""
    # The first bit is the highest of each word.
    bits = np.unpackbits(words.astype(">i4").view(np.uint8)).astype(np.float64)
    ones = float(bits.mean())
    if (words == words[0]).all():
        return Bits(ones, int(words[0]) & 0xFFFFFFFF, -math.inf, -math.inf, -math.inf)
    n = PIECE * _BITS
    window = np.hanning(n)
    pieces = (2 * bits - 1).reshape(-1, n)
    spectrum = np.fft.rfft((pieces - pieces.mean(axis=1, keepdims=True)) * window, axis=1)
    power = 2 * np.abs(spectrum) ** 2 / (n * np.sum(window**2))
    hz = np.fft.rfftfreq(n, 1 / (RATE * _BITS))
    sound = power[:, (hz >= _SOUND[0]) & (hz < _SOUND[1])].sum(axis=1)
    quiet = (hz >= _QUIET[0]) & (hz < _QUIET[1])
    at_random = 2 * np.count_nonzero(quiet) / n
    return Bits(
        ones,
        None,
        _db(float(sound.mean())),
        _db(float(np.percentile(sound, 10))),
        _db(float(power[:, quiet].sum(axis=1).mean()) / at_random),
    )


def _db(power: float) -> float:
    return 10 * math.log10(power) if power > 0 else -math.inf


def mic(patient: Patient) -> Finding:
    """Captures the bits."""
    data = patient.part("mic") or {}
    findings = Findings()
    pins = {"sck": int(data["clock"]), "ws": int(data["ws"]), "sd": int(data["data"])}
    took, words = capture(patient, "STEREO", _KEEP, _STEP, pins)
    expected = _KEEP * _STEP * PIECE / RATE
    bits = look(words)
    findings.data = {
        "rate": round(RATE * expected / took) if took > 0 else 0,
        "ones": round(bits.ones, 4),
        "constant": bits.constant,
        "level_db": figure(bits.level_db),
        "floor_db": figure(bits.floor_db),
        "shaped_db": figure(bits.shaped_db),
    }
    check_clock(took, expected, findings)
    judge(patient, bits, findings)
    return findings.finding()


def judge(patient: Patient, bits: Bits, findings: Findings) -> None:
    """Which wire it is."""
    part = patient.part("mic") or {}
    data, clock = (patient.wire(key.upper(), part[key]) for key in ("data", "clock"))
    hookup = (
        patient.known_board and patient.known_board.hardware and patient.known_board.hardware.hookup("mic")
    )
    # Of a microphone that is on the board nobody has to check the wires.
    remedy = f"mic: check the wires of {data} and {clock}, its 3V3 and GND"
    if hookup and hookup.on_board:
        remedy = "mic: is the board that it sits on plugged in to its stop? else it is broken"
    if bits.constant == 0:
        findings.fail(f"only zeros come: nothing drives {data}, or it has no clock", remedy)
    elif bits.constant == 0xFFFFFFFF:
        findings.fail(f"only ones come: {data} floats, or is connected to 3V3", remedy)
    elif bits.constant is not None:
        findings.fail(f"the same bits come again and again ({bits.constant:#010x})", remedy)
    elif bits.shaped_db > _SHAPED_DB:
        findings.fail(
            "the bits are nobody's: they are noise at all frequencies",
            f"{remedy}; {data} and {clock} exchanged, or SELECT the other way than this port samples",
        )
    elif abs(bits.ones - 0.5) > _UNEVEN:
        findings.fail(f"{bits.ones:.0%} of the bits are ones: in silence it is a half", remedy)
    elif bits.level_db < _SILENT_DB and (patient.virtual or getattr(patient.board, "name", "") == "virtual"):
        findings.warn(
            "silence, as virtual microphones have it",
            "`lunette sim say FILE` speaks to them; on a board this is a hole that is covered",
        )
    findings.good(
        f"level {bits.level_db:.0f} dB, floor {bits.floor_db:.0f} dB of full scale, "
        f"{bits.ones:.1%} of the bits are ones"
    )
