"""The glasses' requests by name; docs/protocol.md has what each takes, gives and refuses."""

from __future__ import annotations

import abc
from typing import Any

from lunette.errors import Disconnected


class Asking(abc.ABC):
    """Everything here raises Refused with the glasses' reason, Disconnected, NotPaired."""

    @abc.abstractmethod
    async def request(self, op: str, **fields: Any) -> Any:
        """Ask for `op`; returns its result."""

    @abc.abstractmethod
    async def unpair(self) -> None:
        """This computer forgets the bond with the glasses."""

    async def status(self) -> dict[str, Any]:
        """How they are: state, battery, counters, ..."""
        result: dict[str, Any] = await self.request("status")
        return result

    async def settings(self) -> dict[str, Any]:
        """All settings, by name."""
        result: dict[str, Any] = await self.request("settings")
        return result

    async def set(self, name: str, value: Any) -> dict[str, Any]:
        """Change a setting; returns all of them."""
        result: dict[str, Any] = await self.request("set", name=name, value=value)
        return result

    async def waiting(self) -> dict[str, Any]:
        """What waits on the glasses: `waiting`, how many, and `recordings`, the oldest of them as
        [id, kind, frames, complete]."""
        result: dict[str, Any] = await self.request("recordings")
        return result

    async def delete(self, recording: int) -> None:
        """Have them throw a recording away, received or not."""
        await self.request("delete", recording=recording)

    async def record(self, on: bool = True, *, until_silence: bool = False) -> int | None:
        """Start a recording (returns its id) or end it. It also ends when this host disconnects, and
        `until_silence` when nobody has spoken for the setting `silence_ms`."""
        fields = {"until_silence": True} if on and until_silence else {}
        result: int | None = await self.request("record", on=on, **fields)
        return result

    async def mute(self, on: bool = True) -> bool:
        """Mute the microphone, or not; returns whether it is muted."""
        return bool(await self.request("mute", on=on))

    async def time(self, epoch: int | None = None) -> int | None:
        """The glasses' clock in seconds since 1970, UTC, set to `epoch` if given; None: never set."""
        result: int | None = await self.request("time", **({} if epoch is None else {"epoch": epoch}))
        return result

    async def log(self) -> list[list[Any]]:
        """Their log as far back as they keep it: [number, ticks_ms, level, area, text], oldest first."""
        lines: list[list[Any]] = []
        while True:
            page = await self.request("log", **({"before": lines[0][0]} if lines else {}))
            if not page or (lines and page[-1][0] >= lines[0][0]):
                return lines
            lines = page + lines

    async def identify(self) -> None:
        """Have them blink."""
        await self.request("identify")

    async def reboot(self, force: bool = False) -> None:
        """Restart them. They refuse if something would be lost, unless `force`."""
        await self.request("reboot", **({"force": True} if force else {}))

    async def hosts(self) -> list[dict[str, Any]]:
        """The hosts that they are paired with: `id`, and whether it is `me`."""
        result: list[dict[str, Any]] = await self.request("hosts")
        return result

    async def forget(self, host: str | None = None, *, everyone: bool = False) -> list[str]:
        """Have them forget a host (its id; this one without), or `everyone`; returns the ids. A host that
        is forgotten has to be paired again. When it is this one, its own half of the bond goes too."""
        known = await self.hosts()
        mine = [entry["id"] for entry in known if entry.get("me")]
        if everyone:
            gone, fields = [entry["id"] for entry in known], {"all": True}
        elif host is None and not mine:
            gone, fields = [], {}
        else:
            gone = [host if host is not None else mine[0]]
            fields = {"host": gone[0]}
        me = host is None or bool({h.upper() for h in gone} & {h.upper() for h in mine})
        try:
            if fields:
                await self.request("forget", **fields)
        except Disconnected:
            if me:  # they may have hung up before their answer was out
                await self.unpair()
            raise
        if me:
            await self.unpair()
        return gone
