"""`lunette power` and `lunette sleep`: what keeps the glasses awake, what they use, and going to sleep."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from lunette.commands import common, options
from lunette.commands.ask import Timeout, ask


def power(
    context: typer.Context,
    name: options.Name = None,
    timeout: Timeout = 15.0,
    virtual: options.Virtual = False,
    as_json: options.Json = False,
) -> None:
    """What keeps the glasses awake, what they have used (by the board's table), and their crashes."""
    backends = common.backends(options.virtual(context, virtual))
    answer, _ = common.run(ask(name, timeout, backends, "power", {}))
    if as_json:
        print(json.dumps(answer))
        return
    for line in describe(answer):
        print(line)


def sleep(
    context: typer.Context,
    off: Annotated[
        bool, typer.Option("--off", help="Switch them off: then only their button wakes them.")
    ] = False,
    name: options.Name = None,
    timeout: Timeout = 15.0,
    virtual: options.Virtual = False,
) -> None:
    """Let the glasses sleep as soon as nothing else keeps them awake."""
    backends = common.backends(options.virtual(context, virtual))
    common.run(ask(name, timeout, backends, "sleep", {"off": off}))
    print("they switch off now" if off else "they sleep when nothing keeps them awake")


def describe(answer: dict[str, Any]) -> list[str]:
    """Lines for a person."""
    held = ", ".join(f"{owner} ({lock[0]})" for owner, lock in sorted(answer["locks"].items()))
    energy = answer["energy"]
    spent = {consumer for by in energy.values() for consumer in by}
    totals = {consumer: sum(by.get(consumer, 0.0) for by in energy.values()) for consumer in spent}
    crashes = answer["crashes"]
    rows = [
        ("started by", answer["cause"] + (", in safe mode" if crashes["safe"] else "")),
        ("state", f"{answer['state']}, {answer['mhz']} MHz"),
        ("awake for", held or "nobody"),
        ("sleep", answer["sleep"]),
        ("states", ", ".join(f"{state} {time:.1f} s" for state, time in answer["states"].items() if time)),
        ("used", f"{answer['mah']:.2f} mAh since power-on, modelled"),
        (
            "by",
            ", ".join(
                f"{consumer} {mah:.2f}"
                for consumer, mah in sorted(totals.items(), key=lambda item: -item[1])
                if mah >= 0.005
            ),
        ),
        ("crashes", f"{crashes['total']}" if crashes["total"] else "none"),
    ]
    lines = [f"{label:<11} {value}" for label, value in rows if value]
    for boot, cause, up_s, text in crashes["log"]:
        lines.append(f"  start {boot}, reset cause {cause}, up {up_s} s: {text}")
    return lines
