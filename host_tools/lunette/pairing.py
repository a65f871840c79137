"""Pairing this host with glasses, whatever is left of an earlier bond."""

from __future__ import annotations

import contextlib

from lunette.connection import GlassesClient
from lunette.errors import Disconnected, HungUp, NotPaired
from lunette.finding import Backends, require


async def pair(name: str | None = None, timeout: float = 10.0, backends: Backends | None = None) -> str:
    """Find glasses that are in pairing mode (of that name or address, if given) and bond with them;
    returns their address. Nothing happens if they are paired with this host already.

    Raises NotPaired, whose message says how to put them into pairing mode, if they do not let this host
    in; Disconnected; LunetteError if none are heard within `timeout` seconds.
    """
    try:
        return await _attempt(name, timeout, backends)
    except _Stale:
        # The glasses no longer know this host: its half of the bond is in the way of a new one.
        return await _attempt(name, timeout, backends, last=True)


class _Stale(Exception):
    """A bond that only this host knew of was removed."""


async def _attempt(name: str | None, timeout: float, backends: Backends | None, last: bool = False) -> str:
    client = GlassesClient(await require(name, timeout, backends), backends=backends)
    paired = False
    try:
        try:
            await client.open()
            paired = True
            await client.pair()
            paired = False
            # Some systems take a bond of their own for granted: only an answer proves it.
            await client.subscribe()
            await client.ready()
        except NotPaired:
            if paired or last:  # the pairing itself was refused
                raise
            with contextlib.suppress(Disconnected):
                await client.unpair()
            raise _Stale from None
        except HungUp as error:
            raise NotPaired("they hung up") from error
    finally:
        await client.disconnect()
    return client.address
