"""Options that several sub-commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class Switch(str, Enum):
    """An argument that says on or off."""

    on = "on"
    off = "off"


Virtual = Annotated[bool, typer.Option("--virtual", help="Use the running virtual glasses, not Bluetooth.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]
Name = Annotated[str | None, typer.Option(help="Name or address of the glasses.", show_default=False)]
Out = Annotated[Path, typer.Option(help="Folder for recordings.")]


def virtual(context: typer.Context, here: bool) -> bool:
    """--virtual, given before or after the sub-command."""
    return here or bool(context.obj)
