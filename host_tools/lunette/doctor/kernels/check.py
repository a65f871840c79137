"""The check `kernels`, and the times that the check `time` adds up."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from lunette.console import Failed, Gone, Restarted, Silent
from lunette.doctor.kernels import vectors
from lunette.doctor.kernels.registry import Kernel, kernels
from lunette.doctor.model import Finding, Findings, State
from lunette.doctor.patient import Patient

KERNEL_S = 60.0  # the longest takes half a second on a chip, and an emulated one may be 50 times slower
# Those that the running glasses use are called as they are; else the files as they are now.
_PROGRAM = """
import json, sys
if %r:
    sys.modules.pop(%r, None)
_m = __import__(%r, None, None, ("",))
print("form", _m.__file__)
_k = getattr(_m, %r)
for _name, _specs in %r:
    print("case", _name)
    gc.collect()
    try:
        print(json.dumps(outcome(_k, _specs)))
    except MemoryError:
        print("memory")
print("time")
print(microseconds(_k, %r))
gc.collect()
"""
_DEPLOY = "`lunette deploy` puts the firmware on, compiled by mpy-cross"
_REPORT = (
    "run `lunette deploy`, which compiles by mpy-cross; if it is wrong after that, this image's MicroPython "
    "makes or runs wrong code: `lunette flash` puts the board's image on"
)


@dataclass
class Outcome:
    """Of one kernel. `wrong` names cases that differ, `trouble` is what else went wrong."""

    form: str = ""
    us: int | None = None
    wrong: list[str] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)
    trouble: str = ""
    missing: bool = False
    no_memory: str = ""
    lost: bool = False  # the chip did not come back

    @property
    def good(self) -> bool:
        return not (self.wrong or self.stray or self.trouble or self.no_memory)


def prepare(patient: Patient) -> None:
    """What every run needs on the glasses."""
    patient.find_firmware()
    patient.run(vectors.BENCH.read_text())


def call(
    patient: Patient, kernel: Kernel, expected: dict[str, list[Any]], only_time: bool = False
) -> Outcome:
    """Run one kernel's cases there and compare."""
    cases = [] if only_time else list(kernel.cases.items())
    module, timed = kernel.module, kernel.cases[kernel.timed]
    program = _PROGRAM % (not patient.running, module, module, kernel.name, tuple(cases), timed)
    outcome = Outcome()
    try:
        printed = patient.run(program, KERNEL_S)
    except Failed as error:
        _read(error.printed, expected, outcome)
        if error.exception == "MemoryError":
            outcome.no_memory = _where(error.printed)
        else:
            outcome.missing = error.exception in ("ImportError", "AttributeError")
            outcome.trouble = f"{error.exception}: {error.detail}{_during(error.printed)}"
    except Restarted as error:
        outcome.trouble = f"the chip restarts{_during(error.printed)}"
        outcome.lost = not patient.recover()
    except Silent as error:
        outcome.trouble = f"it does not return{_during(error.printed)}"
        outcome.lost = not patient.recover()
    except Gone:
        outcome.trouble = "the chip restarts: its port was lost"
        outcome.lost = not patient.recover(lost=True)
    else:
        _read(printed, expected, outcome)
    return outcome


def _read(printed: str, expected: dict[str, list[Any]], outcome: Outcome) -> None:
    case = ""
    for line in printed.splitlines():
        what, _, rest = line.partition(" ")
        if what == "form":
            outcome.form = rest
        elif what == "case":
            case = rest
        elif what == "time":
            case = ""
        elif line == "memory":
            outcome.no_memory = case
        elif case and line.startswith("["):
            result, sums, stray = json.loads(line)
            if [result, sums] != expected.get(case):
                outcome.wrong.append(case)
            if stray:
                outcome.stray.append(case)
        elif line.strip().isdigit():
            outcome.us = int(line)


def _where(printed: str) -> str:
    cases = [line[5:] for line in printed.splitlines() if line.startswith("case ")]
    return cases[-1] if cases else ""


def _during(printed: str) -> str:
    case = _where(printed)
    return f' (case "{case}")' if case else ""


def run(patient: Patient) -> Finding:
    """Every kernel, each a run of its own."""
    expected = vectors.stored()
    findings = Findings()
    prepare(patient)
    forms: set[str] = set()
    rows: dict[str, Any] = {}
    findings.data["kernels"] = rows
    alike = []
    everything = kernels()
    for number, kernel in enumerate(everything):
        outcome = call(patient, kernel, expected[kernel.full])
        rows[kernel.full] = _row(kernel, outcome)
        if outcome.form:
            forms.add(".mpy" if outcome.form.endswith(".mpy") else "source")
        if outcome.us is not None:
            wrong = "  WRONG" if outcome.wrong or outcome.stray else ""
            findings.more.append(f"{kernel.full:<22}{outcome.us:>6} us {kernel.what}{wrong}")
        if outcome.good:
            alike.append(kernel.full)
            continue
        if outcome.missing and not forms:
            return Finding(State.failed, f"no kernels on the glasses ({outcome.trouble})", _DEPLOY)
        _complain(findings, kernel, outcome)
        if outcome.lost:
            rest = ", ".join(other.full for other in everything[number + 1 :])
            findings.fail(
                f"the chip stopped answering in {kernel.full}"
                + (f", so {rest} were not run" if rest else ""),
                "press the reset button, then try again",
            )
            findings.data["lost"] = True
            break
        if outcome.trouble:
            prepare(patient)  # the chip may have restarted
    form = " and ".join(sorted(forms))
    findings.data["form"] = form
    findings.good(f"{len(alike)} kernels, {_form(form)}, all right")
    return findings.finding()


def _form(form: str) -> str:
    return "from source, compiled on the chip" if form == "source" else f"from {form}"


def _row(kernel: Kernel, outcome: Outcome) -> dict[str, Any]:
    row: dict[str, Any] = {"us": outcome.us, "what": kernel.what, "form": outcome.form}
    for key in ("wrong", "stray", "trouble", "no_memory"):
        if getattr(outcome, key):
            row[key] = getattr(outcome, key)
    return row


def _complain(findings: Findings, kernel: Kernel, outcome: Outcome) -> None:
    source = ", compiled on the chip," if outcome.form.endswith(".py") else ""
    if outcome.wrong:
        findings.fail(
            f"{kernel.full}{source} gives wrong results ({', '.join(outcome.wrong)})",
            _REPORT,
        )
    if outcome.stray:
        findings.fail(
            f"{kernel.full}{source} writes beside its buffers ({', '.join(outcome.stray)})", _REPORT
        )
    if outcome.missing:
        findings.fail(f"{kernel.full} is not there: {outcome.trouble}", _DEPLOY)
    elif outcome.trouble:
        findings.fail(f"{kernel.full}{source.rstrip(',')}: {outcome.trouble}", _REPORT)
    if outcome.no_memory:
        findings.warn(
            f'{kernel.full}: too little memory for the case "{outcome.no_memory}"',
            "press the reset button and try again while the glasses do not run",
        )
