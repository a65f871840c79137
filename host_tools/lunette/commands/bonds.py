"""`lunette pair`, `hosts` and `forget`: which hosts the glasses let in."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from lunette.commands import common, options
from lunette.commands.ask import Timeout, find
from lunette.errors import LunetteError


def pair(
    context: typer.Context,
    name: options.Name = None,
    timeout: Timeout = 10.0,
    virtual: options.Virtual = False,
) -> None:
    """Bond this computer with glasses that are in pairing mode.

    To put them into it: tap, then hold the button for 3 seconds until the light blinks. It lasts a minute.
    """
    from lunette import pairing

    backends = common.backends(options.virtual(context, virtual))
    print(f"paired with {common.run(pairing.pair(name, timeout, backends))}")


def hosts(
    context: typer.Context,
    name: options.Name = None,
    timeout: Timeout = 10.0,
    virtual: options.Virtual = False,
    as_json: options.Json = False,
) -> None:
    """List the hosts that the glasses are paired with."""
    backends = common.backends(options.virtual(context, virtual))
    known = common.run(_hosts(name, timeout, backends))
    for host in known:
        if as_json:
            print(json.dumps(host))
        else:
            print(f"{host['id']}{'  (this computer)' if host.get('me') else ''}")
    if not known and not as_json:
        print("paired with nobody")


async def _hosts(name: str | None, timeout: float, backends: Any) -> list[dict[str, Any]]:
    async with await find(name, timeout, backends) as glasses:
        known: list[dict[str, Any]] = await glasses.hosts()
        return known


def forget(
    context: typer.Context,
    host: Annotated[
        str | None, typer.Argument(help="Its id, from `hosts`; this computer without.", show_default=False)
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", help="All hosts, this computer too.")] = False,
    name: options.Name = None,
    timeout: Timeout = 10.0,
    virtual: options.Virtual = False,
) -> None:
    """Have the glasses forget a host, which must then be paired again."""
    if host is not None and everyone:
        raise LunetteError("forget takes a host or --all, not both")
    backends = common.backends(options.virtual(context, virtual))
    for gone in common.run(_forget(name, timeout, backends, host, everyone)):
        print(f"forgot {gone}")


async def _forget(
    name: str | None, timeout: float, backends: Any, host: str | None, everyone: bool
) -> list[str]:
    async with await find(name, timeout, backends) as glasses:
        gone: list[str] = await glasses.forget(host, everyone=everyone)
        return gone
