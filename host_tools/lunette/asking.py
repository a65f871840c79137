"""The glasses' requests by name; docs/protocol.md has what each takes, gives and refuses."""

from __future__ import annotations

import abc
import asyncio
import base64
import zlib
from collections import deque
from collections.abc import Callable
from typing import Any

from lunette.errors import Disconnected, Refused

_LONGEST = 509  # bytes of a request: of 512, what a link of the largest MTU carries in one go
_AROUND = 56  # of them, beside the piece of a model
_NARROW = 80  # then a request goes as a long write, which every host can, but it takes several turns
_ON_THEIR_WAY = 6
_AGAIN_S = 0.5  # between two tries while they record
_STUCK = 3  # times that nothing comes of going back


class Asking(abc.ABC):
    """Everything here raises Refused with the glasses' reason, Disconnected, NotPaired."""

    @abc.abstractmethod
    async def request(self, op: str, **fields: Any) -> Any:
        """Ask for `op`; returns its result."""

    async def _post(self, op: str, **fields: Any) -> Any:
        """As `request`, of at most `_room` bytes, for when others are on their way."""
        return await self.request(op, **fields)

    def _room(self) -> int:
        """Bytes that the link carries in one go; 0 if it does not say."""
        return 0

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

    async def models(self) -> dict[str, Any]:
        """Their models of wake words: `models`, by name, with `name`, `bytes`, `whole`, `phrase` and `cutoff`
        (of 255) each; and `free`, bytes of the largest that there is room for."""
        found: list[dict[str, Any]] = []
        while True:
            page = await self.request("models", **({"after": found[-1]["name"]} if found else {}))
            found += page["models"]
            if not page.get("more") or not page["models"]:
                return {"models": found, "free": page["free"]}

    async def add_model(
        self,
        name: str,
        content: bytes,
        *,
        reached: Callable[[int], None] = lambda at: None,
        waiting: Callable[[str], None] = lambda why: None,
        patience: float = 60.0,
    ) -> bool:
        """Bring a model of a wake word (what `lunette wakeword convert` makes) onto them, under that name.
        What had the name stays until the new one is whole there. False if it is there already.

        `reached` is told how many bytes are there, as it grows. While they record nothing is written:
        `waiting` is told of it once, and after `patience` seconds Refused is raised, "busy".
        """
        opening = {"op": "model", "name": name, "size": len(content), "crc32": zlib.crc32(content)}
        patient = _Patience(self, waiting, patience)
        stuck, furthest, new = 0, -1, False
        while True:
            try:
                at = await patient.ask(opening)  # also where the glasses are, when something was lost
                if at > furthest:
                    stuck, furthest = 0, at
                reached(at)
                if at >= len(content):
                    return new
                new = True
                try:
                    await self._send(content, at, reached)
                    return True
                except Refused as error:
                    stuck += 1
                    if error.code not in ("order", "busy") or stuck > _STUCK:
                        raise
            except Disconnected:
                stuck += 1
                if stuck > _STUCK:
                    raise

    async def _send(self, content: bytes, at: int, reached: Callable[[int], None]) -> None:
        """The pieces from there on, some of them on their way at a time. Raises what the first of them does
        that comes to nothing; none is on its way then."""
        room = min(self._room(), _LONGEST)
        ask = self._post if room >= _NARROW else self.request
        piece = ((room if room >= _NARROW else _LONGEST) - _AROUND) // 4 * 3
        answers: deque[asyncio.Future[int]] = deque()
        try:
            while at < len(content) or answers:
                while at < len(content) and len(answers) < _ON_THEIR_WAY:
                    data = base64.b64encode(content[at : at + piece]).decode()
                    answers.append(asyncio.ensure_future(ask("model_part", at=at, data=data)))
                    at += piece
                reached(await answers.popleft())
        except asyncio.CancelledError:
            for answer in answers:
                answer.cancel()
            raise
        finally:
            await asyncio.gather(*answers, return_exceptions=True)

    async def remove_model(self, name: str) -> bool:
        """Remove a model of a wake word; returns whether they were set to listen for it, which ends."""
        return bool(await self.request("model_remove", name=name))

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


class _Patience:
    """Requests that are made again while the glasses are busy. `waiting` is told why, once."""

    def __init__(self, glasses: Asking, waiting: Callable[[str], None], seconds: float):
        self._glasses = glasses
        self._waiting = waiting
        self._seconds = seconds
        self._told = False

    async def ask(self, fields: dict[str, Any]) -> int:
        clock = asyncio.get_running_loop().time
        until = clock() + self._seconds
        while True:
            try:
                return int(await self._glasses.request(**fields))
            except Refused as error:
                if error.code != "busy" or clock() >= until:
                    raise
                if not self._told:
                    self._waiting(str(error))
                self._told = True
            await asyncio.sleep(_AGAIN_S)
