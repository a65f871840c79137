"""Models of wake words by the link: the client, the air and the whole firmware."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from test_models import model
from world import ADDRESS, World, run_world

from lunette.client import Disconnected, GlassesClient, NotPaired, Refused
from lunette.protocol import wire

Test = Callable[[World, GlassesClient], Awaitable[None]]


def over_the_air(folder: Path, test: Test) -> None:
    async def main(world: World) -> None:
        async with GlassesClient(ADDRESS, backends=world.backends()) as client:
            await test(world, client)

    run_world(folder, main, listen=False)


def there(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "wakeword").glob("*")}


@pytest.mark.parametrize(("mtu", "piece"), [(512, 141), (100, 30), (60, 339)])
def test_a_host_brings_a_model_and_takes_it_away(folder: Path, mtu: int, piece: int) -> None:
    """In requests that the link carries in one go, or as long writes if that would be too little."""
    (folder / "settings.json").write_text(f'{{"mtu": {mtu}}}')
    content = model(5000, phrase="Okay Nabu")
    steps: list[int] = []

    async def test(world: World, client: GlassesClient) -> None:
        found = await client.models()  # what is free is this computer's disk
        assert found.pop("free") > 0 and found == {"models": []}
        assert await client.add_model("okay_nabu", content, reached=steps.append) is True
        assert steps == [*range(0, 5000, piece), 5000]
        (entry,) = (await client.models())["models"]
        assert (entry["name"], entry["phrase"], entry["bytes"]) == ("okay_nabu", "Okay Nabu", 5000)
        assert there(folder) == {"okay_nabu.mww": content}
        assert await client.add_model("okay_nabu", content) is False
        assert await client.remove_model("okay_nabu") is False
        assert there(folder) == {}
        with pytest.raises(Refused) as caught:
            await client.add_model("okay_nabu", bytes(100))
        assert caught.value.code == "bad-value" and there(folder) == {}

    over_the_air(folder, test)


def test_long_lists_are_asked_for_in_pieces(folder: Path) -> None:
    async def test(world: World, client: GlassesClient) -> None:
        (folder / "wakeword").mkdir()
        names = [f"word_{i:02}" for i in range(40)]
        for name in names:
            (folder / "wakeword" / f"{name}.mww").write_bytes(model(phrase="x" * 40))
        assert [entry["name"] for entry in (await client.models())["models"]] == names

    over_the_air(folder, test)


def test_nothing_is_written_while_they_record_by_link(folder: Path) -> None:
    content = model(3000)
    told: list[str] = []

    async def test(world: World, client: GlassesClient) -> None:
        def reached(at: int) -> None:
            if at == 705:
                world.press()

        adding = asyncio.create_task(client.add_model("ask", content, reached=reached, waiting=told.append))
        await world.until(lambda: told, "they record")
        await asyncio.sleep(3)
        assert not adding.done() and set(there(folder)) == {"ask.new"}
        with pytest.raises(Refused, match="recording"):
            await client.add_model("ask", content, patience=0)
        world.release()
        assert await adding is True
        assert there(folder) == {"ask.mww": content} and len(told) == 1

    over_the_air(folder, test)


def test_a_host_that_leaves_in_the_middle(folder: Path) -> None:
    async def main(world: World) -> None:
        with pytest.raises(Disconnected):
            async with GlassesClient(ADDRESS, backends=world.backends()) as client:
                leaving: list[Any] = []

                def reached(at: int) -> None:
                    if at == 705:
                        leaving.append(asyncio.ensure_future(client.disconnect()))

                await client.add_model("ask", model(3000), reached=reached)
        await world.until(lambda: there(folder) == {}, "what was received is gone")

    run_world(folder, main, listen=False)


def test_a_power_cut_in_the_middle(folder: Path) -> None:
    async def main(world: World) -> None:
        with pytest.raises(Disconnected):
            async with GlassesClient(ADDRESS, backends=world.backends()) as client:

                def reached(at: int) -> None:
                    if at == 705:
                        world.power.power_cut()

                await client.add_model("ask", model(3000), reached=reached)
        assert set(there(folder)) == {"ask.new"}
        await world.power.power_on()
        async with GlassesClient(ADDRESS, backends=world.backends()) as client:
            assert (await client.models())["models"] == [] and there(folder) == {}
            assert await client.add_model("ask", model(3000)) is True

    run_world(folder, main, listen=False)


class Deaf(GlassesClient):
    """Loses some answers: of the requests with these numbers."""

    lost: tuple[int, ...] = ()
    asked = 0

    async def _ask(self, op: str, fields: dict[str, Any], response: bool) -> Any:
        self.asked += 1
        number = self.asked
        answer = await super()._ask(op, fields, response)
        if number in self.lost:
            raise Disconnected(f"the glasses did not answer {op}")
        return answer


@pytest.mark.parametrize(
    "lost",
    [
        (3,),
        (8, 9, 10),
        (23,),  # the last piece, with which the file got its name
        (2, 9, 15, 21),
    ],
)
def test_an_answer_that_is_lost(folder: Path, lost: tuple[int, ...]) -> None:
    async def main(world: World) -> None:
        client = Deaf(ADDRESS, backends=world.backends())
        client.lost = lost
        async with client:
            assert await client.add_model("ask", model(3000)) is True
        assert there(folder) == {"ask.mww": model(3000)}
        assert client.asked <= 23 + 2 * len(lost), "one piece came once"

    run_world(folder, main, listen=False)


class Forgetful(GlassesClient):
    """A piece of a model does not arrive, once; and those that are on their way are refused."""

    skipped = False

    async def _ask(self, op: str, fields: dict[str, Any], response: bool) -> Any:
        if fields.get("at") == 705 and not self.skipped:
            self.skipped = True
            await asyncio.sleep(3)
            raise Disconnected(f"the glasses did not answer {op}")
        return await super()._ask(op, fields, response)


def test_a_piece_that_is_lost(folder: Path) -> None:
    steps: list[int] = []

    async def main(world: World) -> None:
        async with Forgetful(ADDRESS, backends=world.backends()) as client:
            assert await client.add_model("ask", model(3000), reached=steps.append) is True
        assert there(folder) == {"ask.mww": model(3000)}
        assert steps == [0, 141, 282, 423, 564, 705, *range(705, 3000, 141), 3000]

    run_world(folder, main, listen=False)


class Nowhere(GlassesClient):
    opened = 0
    code = ""

    async def _ask(self, op: str, fields: dict[str, Any], response: bool) -> Any:
        self.opened += op == "model"
        if op == "model_part":
            raise Refused("no", self.code)
        return await super()._ask(op, fields, response)


@pytest.mark.parametrize(("code", "times"), [("order", 4), ("busy", 4), ("damaged", 1), ("no-room", 1)])
def test_who_gets_nowhere_gives_up(folder: Path, code: str, times: int) -> None:
    async def main(world: World) -> None:
        client = Nowhere(ADDRESS, backends=world.backends())
        client.code = code
        async with client:
            with pytest.raises(Refused):
                await client.add_model("ask", model())
            assert client.opened == times

    run_world(folder, main, listen=False)


class Slow(GlassesClient):
    slow = True

    async def _ask(self, op: str, fields: dict[str, Any], response: bool) -> Any:
        if self.slow and fields.get("at", 0) > 705:
            await asyncio.sleep(600)
        return await super()._ask(op, fields, response)


def test_who_is_cancelled_leaves_nothing_on_its_way(folder: Path) -> None:
    async def main(world: World) -> None:
        client = Slow(ADDRESS, backends=world.backends())
        async with client:
            started = asyncio.get_running_loop().time()
            adding = asyncio.create_task(client.add_model("ask", model(3000)))
            await asyncio.sleep(2)
            adding.cancel()
            with pytest.raises(asyncio.CancelledError):
                await adding
            assert asyncio.get_running_loop().time() - started < 3 and client._waiting == {}
            client.slow = False
            assert await client.add_model("ask", model(3000)) is True, "on where it was"
        assert there(folder) == {"ask.mww": model(3000)}

    run_world(folder, main, listen=False)


def test_a_stranger_brings_nothing(folder: Path) -> None:
    """As with all requests, the link has to be encrypted with a bond."""

    async def main(world: World) -> None:
        client = GlassesClient(ADDRESS, backends=world.backends())
        request = {"id": 1, "op": "model", "name": "ask", "size": 1000, "crc32": 0}
        with pytest.raises((NotPaired, Disconnected)):
            await client.open()
            await client.write_raw(wire.CONTROL, wire.dumps(request))
        await client.disconnect()
        assert world.glasses.commands.models is None and there(folder) == {}

    run_world(folder, main, listen=False, paired=False)


def test_what_is_listened_for_is_taken_from_the_setting(folder: Path) -> None:
    async def test(world: World, client: GlassesClient) -> None:
        for name in ("one", "two"):
            await client.add_model(name, model())
        world.glasses.settings.set("wakeword", "one,two")
        assert await client.remove_model("one") is True
        assert (await client.settings())["wakeword"] == "two"

    over_the_air(folder, test)
