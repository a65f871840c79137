"""`lunette status`: what the glasses say of themselves."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from lunette.commands import common, options
from lunette.commands.ask import ask


def status(
    context: typer.Context,
    name: options.Name = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to search.")] = 10.0,
    virtual: options.Virtual = False,
    as_json: options.Json = False,
) -> None:
    """Connect, ask the glasses how they are, and disconnect."""
    backends = common.backends(options.virtual(context, virtual))
    result, address = common.run(ask(name, timeout, backends, "status", {}))
    answer = {**result, "address": address}
    if as_json:
        print(json.dumps(answer))
        return
    for line in describe(answer):
        print(line)


def _wake_word(found: dict[str, Any] | None) -> str:
    """What they listen for, or why they do not; empty if none is set."""
    if not found:
        return ""
    return f"listens for {found.get('words')}" if found.get("on") else f"not now: {found.get('why_not')}"


def describe(answer: dict[str, Any]) -> list[str]:
    """Lines for a person. Unknown keys are left to --json."""
    heap, states = answer.get("heap") or {}, answer.get("states") or {}
    parts = answer.get("parts") or {}
    battery = "none"
    if answer.get("battery_v") is not None:
        battery = f"{answer['battery_v']:.2f} V, {answer.get('battery_percent')} %"
        battery += ", charging" if answer.get("charging") else ", on USB" if answer.get("usb") else ""
    rows = [
        ("glasses", f"{answer.get('name')} ({answer.get('address')})"),
        ("firmware", f"{answer.get('firmware')} on board {answer.get('board')}, start {answer.get('boot')}"),
        ("state", f"{answer.get('state')}, up {answer.get('up_s')} s, started by {answer.get('cause')}"),
        ("capturing", "muted" if answer.get("muted") else "yes" if answer.get("capturing") else "no"),
        ("wake word", _wake_word(answer.get("wakeword"))),
        ("battery", battery),
        ("recordings", f"{answer.get('recordings')} wait, {answer.get('journal_free')} frames free"),
        ("parts", ", ".join(p if there else f"{p} (missing)" for p, there in parts.items()) or "none"),
        ("states", ", ".join(f"{state} {spent:.1f} s" for state, spent in states.items() if spent)),
        ("heap", ", ".join(f"{key} {value}" for key, value in heap.items() if value is not None)),
        ("counters", ", ".join(f"{k} {v}" for k, v in sorted((answer.get("counters") or {}).items()) if v)),
    ]
    return [f"{label:<11} {value}" for label, value in rows if value]
