"""The check `time`: the kernels against real time, and the chip's clock against this computer's."""

from __future__ import annotations

import time

from lunette.doctor.kernels import check as kernels_check
from lunette.doctor.kernels.registry import kernels
from lunette.doctor.model import Finding, Findings
from lunette.doctor.patient import Patient

_FRAME_US = 20_000
_MUCH = 0.5  # of the time: the rest is Bluetooth's, and the collector's
_APART_S = 1.5
_ASKS = 5
_DRIFT = 0.01
_PERIOD = 1 << 30


def speed(patient: Patient) -> Finding:
    """Microseconds for a frame of speech, and drift."""
    findings = Findings()
    kernels_check.prepare(patient)
    total = 0
    for kernel in kernels():
        if not kernel.per_frame:
            continue
        outcome = kernels_check.call(patient, kernel, {}, only_time=True)
        if outcome.us is None or outcome.lost:
            findings.data["lost"] = outcome.lost
            findings.fail(
                f"{kernel.full} cannot be timed: {outcome.trouble or 'too little memory'}",
                "`lunette deploy`, then `lunette doctor --only kernels`",
            )
            return findings.finding()
        findings.data[kernel.full] = outcome.us
        total += kernel.per_frame * outcome.us
    share = total / _FRAME_US
    findings.data |= {"frame_us": total, "share": round(share, 4)}
    if share >= 1:
        findings.fail(
            f"coding a frame of 20 ms takes {total / 1000:.1f} ms: speech cannot be kept up with",
            "raise the clock (machine.freq()), and deploy the compiled firmware: `lunette deploy`",
        )
    elif share >= _MUCH:
        findings.warn(
            f"coding takes {share:.0%} of the time", "raise the clock (machine.freq()) while they record"
        )
    else:
        findings.good(f"coding a frame of 20 ms takes {total} us ({share:.1%})")
    _drift(patient, findings)
    return findings.finding()


def _drift(patient: Patient, findings: Findings) -> None:
    patient.run("import time")
    began_host, began_chip = _now(patient)
    time.sleep(_APART_S)
    ended_host, ended_chip = _now(patient)
    drift = (ended_chip - began_chip) % _PERIOD / 1e6 / (ended_host - began_host) - 1
    findings.data["drift"] = round(drift, 5)
    if abs(drift) > _DRIFT:
        findings.warn(
            f"the chip's clock is off by {drift:+.1%} of this computer's",
            "its crystal or machine.freq() is not what the image expects: `lunette flash` puts the board's "
            "image on. (An emulated chip's clock may be off.)",
        )
    else:
        findings.good(f"clocks agree within {max(abs(drift), 0.0005):.2%}")


def _now(patient: Patient) -> tuple[float, int]:
    """(this computer's time, the chip's microseconds), of the question that was answered fastest."""
    best = None
    for _ in range(_ASKS):
        asked = time.monotonic()
        ticks = int(patient.run("print(time.ticks_us())"))
        took = time.monotonic() - asked
        if best is None or took < best[0]:
            best = (took, asked + took / 2, ticks)
    assert best is not None
    return best[1], best[2]
