"""What can go wrong with code that runs on the glasses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from lunette.errors import LunetteError


class Failed(LunetteError):
    """It raised an exception there. `exception` is that one's name (the last word MicroPython says), `detail`
    what follows it, `traceback` the whole text, `printed` what the code had printed before."""

    def __init__(self, traceback: str, printed: str = ""):
        last = traceback.strip().rpartition("\n")[2]
        name, _, detail = last.partition(":")
        self.exception = name.strip()
        self.detail = detail.strip()
        self.traceback = traceback
        self.printed = printed
        super().__init__(f"on the glasses: {last}; `lunette doctor` looks what is wrong")


class Silent(LunetteError):
    """Nothing, or not all of it, came in the time that was given. `printed`: what did."""

    def __init__(self, message: str, printed: str = ""):
        self.printed = printed
        super().__init__(message)


class Restarted(LunetteError):
    """The chip started anew in the middle of it. `printed`: what it said, at most a few KB."""

    def __init__(self, printed: str):
        self.printed = printed
        super().__init__(
            "the glasses restarted by themselves; `lunette doctor` looks what is wrong with them"
        )


class Gone(LunetteError):
    """The port is lost: unplugged, or the other end closed it."""

    def __init__(self, port: str, why: str = ""):
        said = f" ({why})" if why else ""
        super().__init__(f"{port} is gone{said}: plug the glasses in again and repeat the command")


@contextlib.contextmanager
def understood() -> Iterator[None]:
    """For reading what was printed: what makes no sense was not printed so."""
    try:
        yield
    except (ValueError, IndexError, KeyError, TypeError):
        raise Garbled from None


class Garbled(LunetteError):
    """What came over the cable is not what can have been printed."""

    def __init__(self) -> None:
        super().__init__(
            "what comes from the glasses is garbled: try again; if it happens again use another cable, "
            "directly at the computer"
        )
