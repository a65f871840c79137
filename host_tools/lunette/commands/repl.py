"""`lunette repl`: the glasses' prompt, in mpremote's terminal."""

from __future__ import annotations

import sys

import typer

from lunette.commands import options
from lunette.errors import LunetteError

HINT = (
    "glasses.status(), .parts(), .power(), .journal(), .listen(), .log() tell more",
    "Ctrl-C: the prompt, while the glasses go on; glasses.run() follows them again",
    "Ctrl-] or Ctrl-x: leave; Ctrl-D: start the glasses' program anew",
)


def repl(context: typer.Context, port: options.Port = None, virtual: options.Virtual = False) -> None:
    """Open the prompt of the glasses. Nothing is reset by it."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise LunetteError(
            "lunette repl needs a terminal: for programs there is `mpremote connect PORT resume exec CODE`"
        )
    _talk(options.port(context, port, virtual))


def _talk(port: str) -> None:
    from mpremote.main import State, argparse_repl
    from mpremote.repl import do_repl

    from lunette.console import Gone
    from lunette.console.transport import Transport

    state = State()
    state.transport = Transport(port)
    serial = state.transport.serial
    try:
        # mpremote waits for this descriptor, which pyserial's sockets call something else.
        serial.fd = serial.fileno()
        for line in HINT:
            print(line)
        sys.stdout.flush()
        if do_repl(state, argparse_repl().parse_args([])):
            raise Gone(port)
    except OSError as error:  # pyserial's own are among them
        raise Gone(port, str(error)) from None
    finally:
        serial.close()
