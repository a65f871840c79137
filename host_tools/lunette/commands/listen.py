"""`lunette listen`: stay with the glasses and keep every recording."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lunette.commands import common, options

if TYPE_CHECKING:
    from lunette.client import Backends

_NOT_COUNTED = ("event", "log")


def listen(
    context: typer.Context,
    out: options.Out = Path("recordings"),
    form: options.Format = options.AudioFormat.wav,
    name: options.Name = None,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.1, help="Seconds of the first search; without it, for ever.", show_default=False),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(min=1, help="Stop after so many recordings.", show_default=False),
    ] = None,
    virtual: options.Virtual = False,
    as_json: options.Json = False,
) -> None:
    """Receive recordings until Ctrl-C.

    They come live, or after the fact if they were made without a link. A lost link is made again.
    """
    folder = common.folder(out)
    backends = common.backends(options.virtual(context, virtual))
    attach = None
    if options.virtual(context, virtual):  # restarted virtual glasses are on another air
        attach = partial(common.backends, True)
    common.run(_listen(folder, form.value, name, timeout, count, as_json, backends, attach))


async def _listen(
    folder: Path,
    form: str,
    name: str | None,
    timeout: float | None,
    count: int | None,
    as_json: bool,
    backends: Backends,
    attach: Callable[[], Any] | None,
) -> None:
    from lunette import display
    from lunette.listen import Listener

    enough = asyncio.Event()
    recorded: set[int] = set()
    kept: set[int] = set()

    def observe(what: str, detail: Any) -> None:
        view.observe(what, detail)
        # The glasses must hear that it is stored, or they would send it again to the next host.
        if what == "recorded":
            recorded.add(detail.number)
        done = what == "acknowledged" or (what == "recorded" and detail.truncated)
        if done and detail.number in recorded and detail.kind not in _NOT_COUNTED:
            kept.add(detail.number)
            if count is not None and len(kept) >= count:
                enough.set()

    listener = Listener(
        folder,
        name=name,
        backends=backends,
        observe=observe,
        first_timeout_s=timeout,
        attach=attach,
        format=form,
    )
    monitor = display.Monitor(client=lambda: listener.client)
    view = display.choose(monitor, sys.stdout, as_json=as_json)
    async with view:
        await common.listen_until(listener, enough.wait())
