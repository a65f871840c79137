"""What every sub-command needs: running asyncio work that Ctrl-C ends in order, and finding the air."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lunette.errors import LunetteError

if TYPE_CHECKING:
    from lunette.finding import Backends
    from lunette.listen import Listener

T = TypeVar("T")

_SHUTDOWN_S = 15.0
_PATIENCE = 3  # so many Ctrl-C end it at once, orderly or not


class Stopped(BaseException):
    """Ended by a signal, after an orderly shutdown. `number` is the signal's."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def debugging() -> bool:
    """The user wants tracebacks."""
    return bool(os.environ.get("LUNETTE_DEBUG"))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end. SIGINT, SIGTERM and SIGHUP cancel it and then raise Stopped.

    Failures that asyncio only logs become one line on standard error.
    """
    return asyncio.run(_guarded(work))


async def _guarded(work: Coroutine[Any, Any, T]) -> T:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        if len(received) >= _PATIENCE:
            os._exit(128 + number)
        # Should the shutdown itself get stuck: what this program started dies with it.
        loop.call_later(_SHUTDOWN_S, os._exit, 128 + number)
        task.cancel()

    def on_failure(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BrokenPipeError):
            stop(signal.SIGPIPE)
        elif debugging():
            loop.default_exception_handler(context)
        elif not received:
            what = f"{type(error).__name__}: {error}" if error else context.get("message")
            print(f"lunette: internal error: {what} (LUNETTE_DEBUG=1 shows more)", file=sys.stderr)

    loop.set_exception_handler(on_failure)
    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        signals.append(signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, stop, number)
    try:
        return await work
    except BaseException:
        if received:
            raise Stopped(received[0]) from None
        raise
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def listen_until(listener: Listener, enough: Coroutine[Any, Any, Any]) -> None:
    """Have `listener` run until `enough` returns. Raises what ends the listener before."""
    listening = asyncio.ensure_future(listener.run())
    waiting = asyncio.ensure_future(enough)
    try:
        await asyncio.wait({listening, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            await listening
    finally:
        waiting.cancel()
        listening.cancel()
        await asyncio.gather(listening, waiting, return_exceptions=True)


def backends(virtual: bool) -> Backends:
    """Bleak backends: the computer's own, or those of the running virtual glasses.

    Raises LunetteError if none are running.
    """
    from lunette.finding import Backends

    if not virtual:
        return Backends()
    from lunette.virtual import bleak_backend, control

    air, keys = os.environ.get("LUNETTE_AIR"), None
    if not air:
        running = control.require()
        air, keys = running.air, running.keys
        os.environ.setdefault("LUNETTE_MTU", str(running.mtu))
    bleak_backend.use_air(air, keys)
    return Backends(bleak_backend.VirtualClient, bleak_backend.VirtualScanner)


def folder(path: Path) -> Path:
    """`path`, absolute, made if it is not there. Raises LunetteError."""
    path = Path(os.path.abspath(path.expanduser()))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LunetteError(f"cannot use the folder {path}: {error.strerror}") from None
    return path


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file that appears in one step. Raises LunetteError.

    A device or a pipe (/dev/null, /dev/stdout) is written to, never replaced: root could.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        path = Path(os.path.realpath(path))  # a link stays one
        new = path.with_name(path.name + ".new")
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(data)
        os.replace(new, path)
    except OSError as error:
        raise LunetteError(f"cannot write {path}: {error.strerror}") from None
