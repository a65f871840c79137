"""`lunette scan`: which glasses are near."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from lunette.commands import common, options


def scan(
    context: typer.Context,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to listen.")] = 5.0,
    virtual: options.Virtual = False,
    as_json: options.Json = False,
) -> None:
    """List the glasses that can be heard, strongest first."""
    from lunette import client, finding

    backends = common.backends(options.virtual(context, virtual))
    found = common.run(client.scan(timeout, backends))
    if not found:
        raise finding.not_heard(timeout)
    width = max(len(glasses.name) for glasses in found)
    for glasses in found:
        if as_json:
            print(json.dumps({"name": glasses.name, "address": glasses.address, "rssi": glasses.rssi}))
        else:
            print(f"{glasses.name:<{width}}  {glasses.address}  {glasses.rssi} dBm")
