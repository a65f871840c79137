"""Single keys from the terminal, without waiting for Enter; Ctrl-C stays what it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def keys(on_key: Callable[[str], None], descriptor: int | None = None) -> Iterator[bool]:
    """Give each key typed on the terminal `descriptor` (standard input) to `on_key`, in the running loop.

    Gives False, and does nothing, where there is no terminal or this program is in its background:
    touching it would stop the program. The terminal is left as it was found.
    """
    if descriptor is None:
        try:
            descriptor = sys.stdin.fileno()
        except (ValueError, AttributeError, OSError):  # closed, or not a file
            yield False
            return
    fd = descriptor
    if not _in_foreground(fd):
        yield False
        return
    loop = asyncio.get_running_loop()
    before = termios.tcgetattr(fd)

    def take_over(*_: object) -> None:
        mode = termios.tcgetattr(fd)
        mode[3] &= ~(termios.ICANON | termios.ECHO)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(fd, termios.TCSADRAIN, mode)

    def read() -> None:
        try:
            data = os.read(fd, 256)
        except OSError:  # the terminal is gone
            data = b""
        if not data:
            loop.remove_reader(fd)  # for good: it would be ready for ever
            return
        for key in data.decode("utf-8", "ignore"):
            on_key(key)

    take_over()
    loop.add_reader(fd, read)
    # A shell gives the terminal its own modes while a program is suspended.
    loop.add_signal_handler(signal.SIGCONT, take_over)
    try:
        yield True
    finally:
        loop.remove_signal_handler(signal.SIGCONT)
        loop.remove_reader(fd)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _in_foreground(fd: int) -> bool:
    try:
        return os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False
