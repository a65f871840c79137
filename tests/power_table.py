"""The table of power states in docs/power.md, made from the firmware: `python -m tests.power_table`."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "power.md"
_BLOCK = re.compile(r"(<!-- states: made from firmware/glasses/states.py -->\n).*?(<!-- /states -->)", re.S)


def table() -> str:
    """The table in Markdown."""
    states: dict[str, Any] = runpy.run_path(str(ROOT / "firmware" / "glasses" / "states.py"))
    lines = [
        "| state | CPU | Bluetooth | parts that work | woken by | leads to |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name in states["ORDER"]:
        state = states["TABLE"][name]
        lines.append(
            f"| `{name}` | {f'{state.mhz} MHz' if state.mhz else 'off'} | {'on' if state.radio else 'off'} "
            f"| {', '.join(state.kinds) or 'none'} | {', '.join(state.wake) or 'is awake'} "
            f"| {', '.join(f'`{other}`' for other in state.into)} |"
        )
    return "\n".join(lines) + "\n"


def renewed(page: str) -> str:
    """The page with the table as it is now. ValueError if it has no place for one."""
    if not _BLOCK.search(page):
        raise ValueError(f"{PAGE.name} has no place for the table of states")
    return _BLOCK.sub(lambda match: match.group(1) + table() + match.group(2), page)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text()))
