"""What is wrong with the glasses, part by part, and what to do about it."""

from lunette.doctor.catalog import CHECKS, chosen
from lunette.doctor.model import Check, Finding, Result, State, Where
from lunette.doctor.patient import Nobody, Patient, Person
from lunette.doctor.runner import examine

__all__ = [
    "CHECKS",
    "Check",
    "Finding",
    "Nobody",
    "Patient",
    "Person",
    "Result",
    "State",
    "Where",
    "chosen",
    "examine",
]
