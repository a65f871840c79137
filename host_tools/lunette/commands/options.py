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


class AudioFormat(str, Enum):
    """What speech is kept as."""

    wav = "wav"
    flac = "flac"


Virtual = Annotated[bool, typer.Option("--virtual", help="Use the running virtual glasses, not Bluetooth.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")]
Name = Annotated[str | None, typer.Option(help="Name or address of the glasses.", show_default=False)]
Port = Annotated[
    str | None,
    typer.Option(
        help="Device of the USB cable, or socket://HOST:PORT; without it, the one that is plugged in.",
        show_default=False,
    ),
]
Board = Annotated[str | None, typer.Option(help="A board of `lunette boards`.", show_default=False)]
Out = Annotated[Path, typer.Option(help="Folder for recordings.")]
Format = Annotated[
    AudioFormat,
    typer.Option("--format", help="Files of speech; FLAC has the same samples in half the room."),
]


def virtual(context: typer.Context, here: bool) -> bool:
    """--virtual, given before or after the sub-command."""
    return here or bool(context.obj)


def port(context: typer.Context, named: str | None, here: bool = False) -> str:
    """The port to use: the named one, that of the running virtual glasses with --virtual, the one that is
    plugged in. Raises LunetteError."""
    from lunette.console import ports

    if named is None and virtual(context, here):
        from lunette.virtual import control

        return f"socket://127.0.0.1:{control.require().repl_port}"
    return ports.choose(named)
