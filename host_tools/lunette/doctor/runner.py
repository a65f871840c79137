"""Carries out checks one after the other, whatever happens to the glasses meanwhile."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable

from lunette.console import Failed, Gone, Restarted, Silent
from lunette.doctor.model import Check, Finding, Result, State, Where
from lunette.doctor.patient import Patient
from lunette.errors import LunetteError

PROMPT = "prompt"
_RESET = "press the reset button, then try again"


def examine(
    checks: Iterable[Check],
    patient: Patient,
    begin: Callable[[str, str], None] = lambda name, what: None,
    end: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Run the checks. `begin(name, what)` and `end(result)` are told how far it is.

    A prompt is opened for those that need one, which counts as a check. Where glasses run behind it, they are
    stopped for the checks that need the parts for themselves, and are started again at the end.
    """
    return _Examination(patient, begin, end).run(list(checks))


class _Examination:
    def __init__(self, patient: Patient, begin: Callable[[str, str], None], end: Callable[[Result], None]):
        self._patient = patient
        self._begin, self._end = begin, end
        self._results: list[Result] = []
        self._lost = ""  # why nothing more is run on the glasses
        self._todo = ""

    def run(self, checks: list[Check]) -> list[Result]:
        patient = self._patient
        try:
            for check in checks:
                if check.where is not Where.host and patient.prompt is None and not self._lost:
                    self._one(Check(PROMPT, "the prompt", Where.host, 30.0, self._open))
                self._one(check)
            return self._results
        finally:
            if patient.prompt is not None and patient.was_running and not patient.running and not self._lost:
                with contextlib.suppress(LunetteError):
                    patient.start()
            patient.close()

    def _open(self, patient: Patient) -> Finding:
        try:
            patient.open()
        except LunetteError as error:
            head, _, todo = str(error).rpartition(": ")
            self._lost, self._todo = "there is no prompt", todo
            return Finding(State.failed, head or todo, todo)
        running = ", the glasses run and go on" if patient.running else ""
        return Finding(
            State.ok, f"MicroPython answers on {patient.port}{running}", data={"port": patient.port}
        )

    def _one(self, check: Check) -> None:
        began = time.monotonic()
        self._begin(check.name, check.what)
        finding = self._finding(check)
        result = Result(check.name, finding, time.monotonic() - began)
        self._results.append(result)
        self._end(result)

    def _finding(self, check: Check) -> Finding:
        patient = self._patient
        if check.where is not Where.host and self._lost:
            return Finding(State.not_run, f"not run: {self._lost}", self._todo)
        patient.limit(check.limit_s)
        try:
            if check.where is Where.parts and patient.running:
                patient.stop()
            finding = check.run(patient)
        except Failed as error:
            return _failed(error)
        except Silent:
            return self._broken(check, "the chip stopped answering", lost=False)
        except Restarted as error:
            return self._broken(check, f"the chip restarted{_cause(error.printed)}", lost=False)
        except Gone:
            return self._broken(check, "the chip's port was lost", lost=True)
        except LunetteError as error:
            head, _, todo = str(error).rpartition(": ")
            return Finding(State.failed, head or todo, todo)
        except (ValueError, TypeError, LookupError) as error:
            # Something else printed in between, or the line is bad.
            return Finding(
                State.failed,
                f"the glasses' answer makes no sense ({type(error).__name__}: {error})",
                f"press the reset button and try `lunette doctor --only {check.name}`, or another cable",
            )
        if finding.data.pop("lost", False):
            self._give_up(check)
        return finding

    def _broken(self, check: Check, what: str, lost: bool) -> Finding:
        if self._patient.recover(lost):
            return Finding(
                State.failed,
                f"{what} in this check; it was brought back",
                f"try it alone: `lunette doctor --only {check.name}`; {_TODO.get(check.name, _GENERAL)}",
            )
        self._give_up(check)
        return Finding(State.failed, f"{what} in this check and does not come back", _RESET)

    def _give_up(self, check: Check) -> None:
        self._lost = f"the chip stopped answering in the check {check.name}"
        self._todo = _RESET


_GENERAL = "if it stays, `lunette flash` puts a fresh image on"
_TODO = {
    "mic": "if it stays, I2S does not work with this image: `lunette flash` puts the board's on",
    "radio": "if it stays, Bluetooth does not start: power the board well, `lunette flash` puts its image on",
}


def _failed(error: Failed) -> Finding:
    """A check's program raised on the glasses."""
    if error.exception == "MemoryError":
        return Finding(
            State.failed,
            "the glasses have too little memory for this check",
            "press the reset button and try again while they do not run",
        )
    return Finding(
        State.failed,
        f"it fails on the glasses: {error.exception}: {error.detail}",
        "`lunette deploy` and try again; if it stays, report it with the traceback of LUNETTE_DEBUG=1",
        {"traceback": error.traceback},
    )


def _cause(printed: str) -> str:
    """What it said why."""
    for line in printed.splitlines():
        if "Guru Meditation" in line or "abort()" in line or "rst:0x" in line:
            return f" ({line.strip()[:80]})"
    return ""
