"""`lunette pull`: fetch what waits on the glasses, then end."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lunette.commands import common, options

if TYPE_CHECKING:
    from lunette.client import Backends
    from lunette.listen import Listener

_ASK_EVERY_S = 0.3


def pull(
    context: typer.Context,
    out: options.Out = Path("recordings"),
    form: options.Format = options.AudioFormat.wav,
    name: options.Name = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to search.")] = 10.0,
    virtual: options.Virtual = False,
    as_json: options.Json = False,
) -> None:
    """Receive every recording that waits on the glasses, and end when none is left."""
    folder = common.folder(out)
    backends = common.backends(options.virtual(context, virtual))
    common.run(_pull(folder, form.value, name, timeout, as_json, backends))


async def _pull(
    folder: Path, form: str, name: str | None, timeout: float, as_json: bool, backends: Backends
) -> None:
    from lunette import display
    from lunette.listen import Listener

    listener = Listener(
        folder,
        name=name,
        backends=backends,
        observe=lambda what, detail: view.observe(what, detail),
        first_timeout_s=timeout,
        patient=False,
        format=form,
    )
    monitor = display.Monitor(client=lambda: listener.client)
    view = display.choose(monitor, sys.stdout, as_json=as_json)
    async with view:
        await common.listen_until(listener, _until_empty(listener))


async def _until_empty(listener: Listener) -> None:
    """Return when the glasses say that nothing waits. A recording that is being made waits."""
    from lunette.errors import LunetteError

    while True:
        await asyncio.sleep(_ASK_EVERY_S)
        client = listener.client
        if client is None or not client.is_connected or not client.hello:
            continue
        try:
            listed = await client.request("recordings")
        except LunetteError:  # the link went; the listener makes it again
            continue
        if not listed["waiting"] and all(r.complete for r in listener.recordings):
            return
