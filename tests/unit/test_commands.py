"""Every request of the host, through the real client and the air, and every way to refuse it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from test_voice import speech
from world import World, run_world

from lunette.client import GlassesClient, Refused


def ask(folder: Path, test: Callable[[World, Any], Awaitable[None]], **options: Any) -> None:
    """Run `test(world, request)` with a listening host."""

    async def run(world: World) -> None:
        assert world.listener is not None and world.listener.client is not None
        await test(world, world.listener.client.request)

    run_world(folder, run, **options)


async def refused(asked: Awaitable[Any]) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        await asked
    return caught.value.code, str(caught.value)


def test_what_is_unknown_is_answered(folder: Path) -> None:
    async def test(world: World, request: Any) -> None:
        code, text = await refused(request("dance"))
        assert code == "unknown-op" and "identify" in text and "reboot" in text
        assert await refused(request("ping", loud=True)) == ("unknown-field", "ping does not take loud")
        assert await refused(request("set", name="hold_ms")) == ("missing-field", "set needs value")
        assert (await refused(request("mute", on=1)))[0] == "bad-value"
        assert (await refused(request("time", epoch=True)))[0] == "bad-value"
        assert await request("ping") == "pong"

    ask(folder, test)


def test_settings_are_validated_kept_and_used(folder: Path) -> None:
    async def test(world: World, request: Any) -> None:
        assert (await request("settings", name="hold_ms")) == {"hold_ms": 300}
        assert (await refused(request("set", name="hold_ms", value=1)))[0] == "bad-value"
        assert (await refused(request("settings", name="nothing")))[0] == "bad-value"
        assert (await request("set", name="hold_ms", value=400))["hold_ms"] == 400
        await request("set", name="log_level", value="error")
        assert json.loads(Path("settings.json").read_text()) == {"hold_ms": 400, "log_level": "error"}
        assert world.glasses.log._threshold == 3
        world.press()
        await asyncio.sleep(0.6)
        assert (await refused(request("set", name="hold_ms", value=500)))[0] == "busy"
        world.release()

    ask(folder, test)


def test_a_host_records(folder: Path) -> None:
    async def test(world: World, request: Any) -> None:
        assert (await refused(request("record", on=False)))[0] == "idle"
        number = await request("record", on=True)
        assert (await refused(request("record", on=True)))[0] == "busy"
        listed = (await request("recordings"))["recordings"]
        assert [number, "speech"] == listed[0][:2] and listed[0][3] is False
        assert (await refused(request("delete", recording=number)))[0] == "busy"
        await world.talk(0.5)  # a finger does not end what a host began
        assert world.glasses.voice.capturing
        await asyncio.sleep(0.5)
        await request("record", on=False)
        (recording,) = await world.complete(1)
        assert (recording.number, recording.cause, recording.lost) == (number, "host", 0)
        assert 1.0 < recording.seconds < 1.2

    ask(folder, test)


def test_mute_is_stronger_than_button_and_host(folder: Path) -> None:
    async def test(world: World, request: Any) -> None:
        await request("record", on=True)
        await asyncio.sleep(0.3)
        assert await request("mute", on=True) is True
        await world.complete(1)  # what was said before is kept
        starts = world.glasses.parts.microphone.starts
        assert (await refused(request("record", on=True)))[0] == "muted"
        await world.talk(0.5)
        assert world.glasses.parts.microphone.starts == starts
        assert (await request("status"))["muted"] is True
        assert await request("mute", on=False) is False
        await world.talk(0.5)
        await world.complete(2)

    ask(folder, test)


def test_what_a_host_began_ends_when_it_leaves(folder: Path) -> None:
    async def test(world: World, request: Any) -> None:
        await request("record", on=True)
        await asyncio.sleep(0.4)
        await world.stop_listening()
        await world.until(lambda: not world.glasses.voice.capturing, "the recording ends")
        assert world.glasses.journal.recordings[0].closed

    ask(folder, test)


def test_a_stuck_button_does_not_record_for_ever(folder: Path) -> None:
    Path("settings.json").write_text('{"longest_s": 5}')

    async def test(world: World, request: Any) -> None:
        world.press()
        await asyncio.sleep(9)
        (recording,) = await world.complete(1)
        assert 5.0 <= recording.seconds < 5.1 and recording.lost == 0
        assert not world.glasses.voice.capturing

    ask(folder, test)


def test_deleting_tells_the_host_that_waits(folder: Path) -> None:
    async def test(world: World) -> None:
        await world.talk(1.0)
        await asyncio.sleep(0.2)
        (recording,) = world.glasses.journal.recordings
        messages: list[Any] = []
        device = await world.central()  # only to know the address; it leaves again
        address = device.address
        await device.disconnect()
        await asyncio.sleep(0.5)
        client = GlassesClient(address, backends=world.backends(), on_message=messages.append)
        async with client:
            assert (await refused(client.request("delete", recording=1)))[0] == "not-found"
            await asyncio.sleep(0.5)
            await client.request("delete", recording=recording.number)
            assert (await client.request("recordings")) == {"waiting": 0, "saved": 0, "recordings": []}
        kinds = [message[0] for message in messages]
        assert kinds.count(7) == 1  # GONE, as it was never acknowledged
        assert world.glasses.journal.free == world.glasses.journal.slots

    run_world(folder, test, listen=False)


def test_time(folder: Path) -> None:
    async def test(world: World, request: Any) -> None:
        assert await request("time") is None  # nobody has set it
        for epoch in (0, 1577836799, 4102444800, -5):
            assert (await refused(request("time", epoch=epoch)))[0] == "bad-value"
        assert await request("time", epoch=1_800_000_000) == 1_800_000_000
        await asyncio.sleep(90)
        assert await request("time") == 1_800_000_090

    ask(folder, test)


def test_the_log_can_be_paged_through(folder: Path) -> None:
    async def test(world: World, request: Any) -> None:
        for i in range(80):
            world.glasses.log.debug("test", f"line {i}")
        total = world.glasses.log.total
        page = await request("log")
        assert [line[0] for line in page] == list(range(total - 10, total))
        assert page[-1][3:] == ["test", "line 79"]
        seen = [line[0] for line in page]
        while page:
            page = await request("log", before=seen[0])
            seen = [line[0] for line in page] + seen
        assert seen == list(range(total - 64, total))  # all that the ring keeps, once

    ask(folder, test)


def test_reboot_loses_nothing_unasked(folder: Path) -> None:
    async def test(world: World, request: Any) -> None:
        asked: list[str] = []
        world.chip.on_reset = asked.append
        recording = world.glasses.journal.open("event", {})
        code, text = await refused(request("reboot"))
        assert code == "busy" and "1 recordings cannot be saved" in text
        world.glasses.journal.close(recording)
        world.glasses.link.kick()
        await world.until(lambda: not world.glasses.journal.recordings, "it is received")
        assert await request("reboot") is None
        await world.until(lambda: asked == ["hard"], "the chip is reset")

    ask(folder, test)


def test_a_restart_waits_for_a_recording_that_began_while_it_saved(folder: Path) -> None:
    """The button goes down at any moment between the request and the reset."""

    async def test(world: World, request: Any) -> None:
        asked: list[str] = []
        kept: list[int] = []
        journal, saver = world.glasses.journal, world.glasses.saver

        def on_reset(cause: str) -> None:
            assert not world.glasses.voice.capturing
            waiting = [r for r in journal.recordings if r.file is None]
            assert waiting == [], "all is in flash"
            kept.append(journal.saved)
            asked.append(cause)

        world.chip.on_reset = on_reset
        world.say(speech(20))
        sweep = saver._sweep

        async def press_at_the_end() -> None:
            await sweep()
            saver._sweep = sweep
            world.press()
            await asyncio.sleep(0.05)

        saver._sweep = press_at_the_end
        await request("reboot")
        await world.stop_listening()
        await asyncio.sleep(2)
        assert not asked
        world.release()
        await world.until(lambda: asked, "the chip is reset")
        assert kept == [1]

    ask(folder, test)


def test_identify_blinks(folder: Path) -> None:
    async def test(world: World, request: Any) -> None:
        before = len(world.light)
        assert await request("identify") is None
        await asyncio.sleep(3)
        assert [level for _, level in world.light[before:]] == [1, 0] * 6

    ask(folder, test)


def test_who_asks_fast_starts_each_thing_once(folder: Path) -> None:
    """A task for each request would fill the memory: a host can write hundreds in a second."""

    async def test(world: World, request: Any) -> None:
        link = world.glasses.link
        before = len(asyncio.all_tasks())
        blinks = len(world.light)
        for number in range(200):
            for op in ("identify", "forget"):
                link.session.serve(json.dumps({"id": number, "op": op, "all": True}).encode(), 185)
                link.session.serve(json.dumps({"id": number, "op": op}).encode(), 185)
            del link.pump._control[:]
        assert len(asyncio.all_tasks()) == before + 2
        await asyncio.sleep(3)
        assert [level for _, level in world.light[blinks:]] == [1, 0] * 6
        assert world.glasses.security.hosts() == []

    ask(folder, test)


def test_hosts_that_are_forgotten_together_are_all_forgotten(folder: Path) -> None:
    async def test(world: World, request: Any) -> None:
        bonds = world.glasses.link.guard.bonds
        for number in range(2):
            bonds.keep(bytes((1, number, 0, 0, 0, 0, 0xC0)), b"ours", b"theirs")
        first, second = (host.address for host in bonds.hosts[1:])
        assert await request("forget", host=first) == 1
        assert await request("forget", host=second) == 1
        await asyncio.sleep(1)
        assert len(world.glasses.security.hosts()) == 1
        assert await request("ping") == "pong", "who asked is still known"
        (me,) = world.glasses.security.hosts()
        assert await request("forget", host=me["id"]) == 1
        await asyncio.sleep(1)
        assert world.glasses.security.hosts() == [], "and it can be done again"

    ask(folder, test)


@pytest.mark.parametrize(
    ("number", "comes_back"),
    [
        (7, True), (-1, True), (10**300, True), ("x" * 64, True), ("\x7f" * 64, True), ("x" * 65, False),
        ("\x7f" * 440, False), (1.5, False), ([7], False), ({"a": 1}, False), (None, True),
    ],
)  # fmt: skip
def test_every_request_is_answered_whatever_its_id(folder: Path, number: Any, comes_back: bool) -> None:
    async def test(world: World, request: Any) -> None:
        link = world.glasses.link
        data = json.dumps({"id": number, "op": "ping"}, ensure_ascii=False).encode()
        assert len(data) <= 512
        link.session.serve(data, 185)
        ((_, body),) = link.pump._control
        assert json.loads(body) == {"id": number if comes_back else None, "ok": True, "result": "pong"}
        del link.pump._control[:]

    ask(folder, test)
