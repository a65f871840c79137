"""The conversation in docs/protocol.md, held with the firmware."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

from world import World, run_world

from lunette.client import find
from lunette.connection import GlassesClient
from lunette.protocol import wire

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
ANY = "..."


def lines() -> list[tuple[str, dict[str, Any]]]:
    """(what is asked, what is answered)"""
    (talk,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.S)
    pairs = re.findall(r"> (.*)\n< (.*)\n", talk)
    assert len(pairs) * 2 == len(talk.splitlines())
    return [(asked, json.loads(answered)) for asked, answered in pairs]


def fits(answer: Any, shown: Any) -> bool:
    if shown == ANY:
        return True
    if isinstance(shown, dict):
        extra = answer.keys() - shown.keys()
        return (not extra or ANY in shown) and all(
            key in answer and fits(answer[key], value) for key, value in shown.items() if key != ANY
        )
    if isinstance(shown, list):
        if shown and shown[-1] == ANY:
            return len(answer) >= len(shown) - 1 and all(map(fits, answer, shown[:-1]))
        return len(answer) == len(shown) and all(map(fits, answer, shown))
    return type(answer) is type(shown) and bool(answer == shown)


def test_the_glasses_answer_as_the_page_says(folder: Path) -> None:
    async def test(world: World) -> None:
        asked_for = {json.loads(text)["op"] for text, _ in lines() if text.endswith("}")}
        assert set(world.glasses.commands._table) <= asked_for, "every request is in it"
        world.glasses.note("bookmark")
        device = await find(timeout=5, backends=world.backends())
        assert device is not None
        client = GlassesClient(device, backends=world.backends())
        answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        client._dispatch = lambda message: (  # type: ignore[method-assign]
            answers.put_nowait(message[1]) if message[0] == wire.REPLY else None
        )
        await client.connect()
        await client.write_raw(wire.CONTROL, wire.ready())
        for asked, shown in lines():
            await client.write_raw(wire.CONTROL, asked.encode())
            answer = await asyncio.wait_for(answers.get(), 2)
            assert fits(answer, shown), f"{asked}\nsays {answer}\nnot  {shown}"
        await client.disconnect()

    run_world(folder, test, listen=False)
