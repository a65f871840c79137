"""The check `mic`: a second from the microphone at the board's pins, and what its bits say of the wires."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lunette.doctor.model import Finding, Findings
from lunette.doctor.patient import Patient

Samples = NDArray[np.int32]

# The light is on meanwhile, as with every capture. Pieces of 256 frames are the driver's descriptors.
_CAPTURE = """
import binascii, gc, time
from machine import I2S, Pin
_light = Pin(%(light)s, Pin.OUT, value=%(on)d) if %(light)s is not None else None
_size, _keep, _skip, _step = %(size)d, %(keep)d, %(skip)d, %(step)d
_data = bytearray(_keep * _size)
_scrap = bytearray(_size)
_view = memoryview(_data)
_i2s = I2S(%(port)d, sck=Pin(%(sck)d), ws=Pin(%(ws)d), sd=Pin(%(sd)d), mode=I2S.RX, bits=32,
    format=I2S.%(format)s, rate=%(rate)d, ibuf=%(ibuf)d)
try:
    for _ in range(_skip):
        _i2s.readinto(_scrap)
    _began = time.ticks_us()
    for _k in range(_keep):
        for _ in range(_step - 1):
            _i2s.readinto(_scrap)
        _i2s.readinto(_view[_k * _size : (_k + 1) * _size])
    _took = time.ticks_diff(time.ticks_us(), _began)
finally:
    _i2s.deinit()
    if _light is not None:
        _light.value(%(off)d)
print(_took)
for _k in range(_keep):
    print(binascii.b2a_base64(_view[_k * _size : (_k + 1) * _size]).decode().strip())
_data = _view = _scrap = _i2s = None
gc.collect()
"""
RATE = 16000
PIECE = 256
_PIECE_S = PIECE / RATE
_KEEP, _STEP = 24, 2  # 0.77 s, every second piece of it
_SKIP = 13  # 0.2 s: a microphone's start
_FULL = 2.0**31
_GARBLED_DB = -9.0  # nobody is so loud; noise of random bits has -4.8
_SOFT_DB = -100.0  # below the noise of any microphone
_DC = 0.1
_OFF = 0.2  # of the clock: by so much a busy chip may be late in reading


@dataclass(frozen=True)
class Heard:
    """Of one channel. Levels are dB of full scale; `stuck` are bits (31 is the sign) that never change
    although those around them do; `constant` is the one value there was."""

    constant: int | None
    level_db: float
    floor_db: float
    dc: float
    stuck: tuple[int, ...]


def listen(samples: Samples) -> Heard:
    """What the samples (int32, whole pieces) say."""
    if (samples == samples[0]).all():
        return Heard(int(samples[0]), -math.inf, -math.inf, float(samples[0]) / _FULL, ())
    x = samples.astype(np.float64) / _FULL
    dc = float(x.mean())
    pieces = x[: len(x) // PIECE * PIECE].reshape(-1, PIECE) if len(x) >= PIECE else x.reshape(1, -1)
    each = np.sqrt(np.mean((pieces - pieces.mean(axis=1, keepdims=True)) ** 2, axis=1))
    level = float(np.sqrt(np.mean((x - dc) ** 2)))
    return Heard(None, _db(level), _db(float(np.percentile(each, 10))), dc, _stuck(samples))


def _db(value: float) -> float:
    return 20 * math.log10(value) if value > 0 else -math.inf


def _stuck(samples: Samples) -> tuple[int, ...]:
    """Bits between the lowest and the highest that move (without the sign's copies above) that do not."""
    bits = samples.view(np.uint32)
    moves = int(np.bitwise_or.reduce(bits ^ bits[0]))
    # What moves with a quiet signal: up to the range that it covers. Above are copies of the sign.
    span = int(samples.max()) - int(samples.min())
    top = min(31, span.bit_length() - 1)
    moving = [bit for bit in range(32) if moves >> bit & 1]
    return tuple(bit for bit in range(moving[0], top) if not moves >> bit & 1)


def mic(patient: Patient) -> Finding:
    """Captures what the firmware hears, then both channels; of a PDM microphone its bits."""
    if (patient.part("mic") or {}).get("driver") == "pdm_microphone":
        from lunette.doctor import pdm_microphone

        return pdm_microphone.mic(patient)
    skipped = patient.cannot("mic", "i2s_microphone")
    if skipped is not None:
        return skipped
    findings = Findings()
    data = patient.part("mic") or {}
    pins = {key: int(data.get(key, 0)) for key in ("sck", "ws", "sd")}
    took, heard = capture(patient, "MONO", _KEEP, _STEP, pins)
    expected = _KEEP * _STEP * _PIECE_S
    _, both = capture(patient, "STEREO", 2, 1, pins)
    channels = (listen(both[0::2].copy()), listen(both[1::2].copy()))
    left = listen(heard)
    findings.data = {
        "rate": round(RATE * expected / took) if took > 0 else 0,
        "level_db": figure(left.level_db),
        "floor_db": figure(left.floor_db),
        "dc": round(left.dc, 5),
        "constant": left.constant,
        "stuck": list(left.stuck),
        "other_alive": [channel.constant is None for channel in channels],
    }
    check_clock(took, expected, findings)
    judge(patient, left, channels, bool(np.array_equal(both[0::2], both[1::2])), findings)
    return findings.finding()


def check_clock(took: float, expected: float, findings: Findings) -> None:
    """Seconds that a capture took, and should have taken."""
    if abs(took / expected - 1) > _OFF:
        findings.fail(
            f"{expected:.2f} s of sound took {took:.2f} s: the clock does not run as it should",
            "mic: its image or machine.freq() is wrong; `lunette flash` puts the board's image on",
        )


def figure(db: float) -> float | None:
    return round(db, 1) if math.isfinite(db) else None


def judge(
    patient: Patient, left: Heard, channels: tuple[Heard, Heard], alike: bool, findings: Findings
) -> None:
    """Which wire it is. `alike`: both channels carry the same."""
    data = patient.part("mic") or {}
    sd, sck, ws = (patient.wire(key.upper(), data[key]) for key in ("sd", "sck", "ws"))
    if left.constant is not None:
        if any(channel.constant is None for channel in channels):
            findings.fail(
                "the microphone talks in the right channel, and the left one is heard",
                f"mic: L/R (SEL) is high or open: connect it to GND; or {ws} is wired wrong",
            )
        elif left.constant == 0 and (patient.virtual or getattr(patient.board, "name", "") == "virtual"):
            findings.warn(
                "silence, as virtual microphones have it",
                "`lunette sim say FILE` speaks to them; on a board this is a wire",
            )
        elif left.constant == 0:
            findings.fail(
                f"only zeros come: {sd} is not connected or connected to GND, or L/R is high",
                f"mic: check the wire of {sd}, then L/R to GND, then {sck}, {ws}, its 3V3 and GND",
            )
        elif left.constant == -1:
            findings.fail(
                f"only ones come: {sd} is connected to 3V3, or floats",
                f"mic: check {sd} for a bridge of solder to 3V3, then its wire",
            )
        else:
            findings.fail(
                f"the same value comes again and again ({left.constant & 0xFFFFFFFF:#010x})",
                f"mic: check {sck} and {ws}: the microphone gets no clock, or they are exchanged",
            )
        return
    _alive(left, alike and data.get("channels", 1) == 1, (sd, sck, ws), findings)


def _alive(left: Heard, alike: bool, wires: tuple[str, str, str], findings: Findings) -> None:
    sd, sck, ws = wires
    if left.level_db > _GARBLED_DB:
        findings.fail(
            f"noise of {left.level_db:.0f} dB of full scale: the bits are garbled",
            f"mic: {sck} and {ws} may be exchanged, or {sd} floats: check these wires",
        )
    elif left.stuck:
        findings.fail(
            f"bits that never change: {', '.join(map(str, left.stuck))}",
            f"mic: check {sd} and {sck}: long or loose wires shift and lose bits",
        )
    elif alike:
        findings.fail(
            "both channels carry the same",
            f"mic: check the wire of {ws}: without it the microphone answers in both",
        )
    elif abs(left.dc) > _DC:
        findings.fail(
            f"the signal stands at {left.dc:+.0%} of full scale",
            f"mic: {sd} loses bits at {sck}'s edges: shorten these wires; or the microphone is broken",
        )
    elif left.level_db < _SOFT_DB:
        findings.warn(
            f"{left.level_db:.0f} dB of full scale, quieter than any microphone's own noise",
            "mic: is its hole covered? speak while this check runs",
        )
    findings.good(
        f"level {left.level_db:.0f} dB, floor {left.floor_db:.0f} dB of full scale, DC {left.dc:+.2%}"
    )


def capture(patient: Patient, form: str, keep: int, step: int, pins: dict[str, int]) -> tuple[float, Samples]:
    """(seconds it took, what was kept): `keep` pieces of 256 frames, every `step`th. `pins`: sck, ws, sd."""
    data: dict[str, Any] = patient.part("mic") or {}
    light = patient.part("light") or {}
    on = int(light.get("active", 1))
    values = {
        "light": light.get("pin"),
        "on": on,
        "off": 1 - on,
        "size": PIECE * (4 if form == "MONO" else 8),
        "keep": keep,
        "skip": _SKIP,
        "step": step,
        "format": form,
        "rate": RATE,
        "ibuf": int(data.get("ibuf", 32768)),
    }
    values |= {"port": int(data.get("port", 0)), **pins}
    took, *lines = patient.run(_CAPTURE % values, 15).split()
    return int(took) / 1e6, np.frombuffer(b"".join(map(base64.b64decode, lines)), "<i4").astype(np.int32)
