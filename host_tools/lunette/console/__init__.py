"""The glasses' MicroPython prompt, used by programs: over USB, a terminal device or a socket."""

from lunette.console.errors import Failed, Gone, Restarted, Silent
from lunette.console.prompt import Prompt

__all__ = ["Failed", "Gone", "Prompt", "Restarted", "Silent"]
