"""The host's API for programs, with whole virtual glasses: docs/client.md says what it promises."""

from __future__ import annotations

import asyncio
import json
import re
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from fake_bleak import Radio
from test_voice import FRAME, reference, speech
from world import ADDRESS, World, run_world, virtual_board

from lunette import client
from lunette.client import Disconnected, Glasses, InUse, LunetteError, NotPaired, Refused
from lunette.virtual.air import LinkModel
from lunette.virtual.cpython import run

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

ROOT = Path(__file__).parents[2]
QUICK = LinkModel(supervision_timeout_ms=500)


def connect(world: World, **options: Any) -> Glasses:
    return client.connect(backends=world.backends(), **options)


def examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "client.md").read_text(), re.S)


def run_example(folder: Path, code: str) -> list[str]:
    """What an example prints, with glasses into which somebody speaks after a while."""
    printed: list[str] = []

    async def test(world: World) -> None:
        async def hand() -> None:
            await asyncio.sleep(3)
            world.glasses.note("bookmark")
            await asyncio.sleep(0.5)
            await world.talk(1.0)

        names = {name: getattr(client, name) for name in client.__all__}
        names |= {"asyncio": asyncio, "print": lambda *words: printed.append(" ".join(map(str, words)))}
        imported = "from lunette.client import connect"
        exec(code.replace("asyncio.run(main())", "").replace(imported, ""), names)
        names["connect"] = partial(client.connect, backends=world.backends())
        talking = asyncio.create_task(hand())
        await asyncio.wait_for(names["main"](), 30)
        talking.cancel()

    run_world(folder, test, listen=False)
    return printed


def test_the_examples_of_the_document(folder: Path) -> None:
    keep, take, ask = examples()
    first, note, said = run_example(folder, keep)
    assert first == "connected to Lunette"
    assert note.startswith("event 0.0 s ") and re.match(r"speech 1\.\d s .*/recordings/.*\.wav$", said)
    assert len(list((folder / "recordings").glob("*.wav"))) == 1
    assert [json.loads(line) for line in run_example(folder, take)] == ["bookmark"]
    assert run_example(folder, ask) == ["connected", "idle"]


def test_live_and_waiting_recordings_come_once_across_reconnections(folder: Path) -> None:
    async def test(world: World) -> None:
        world.say(speech(12))
        await world.talk(0.6)  # waits for a host
        got = []

        async def consume(glasses: Glasses) -> None:
            async for recording in glasses.recordings():
                got.append(recording)

        async with connect(world, folder=folder / "out") as glasses:
            consuming = asyncio.create_task(consume(glasses))
            await world.until(lambda: len(got) == 1, "the one that waited")
            world.press()
            for _ in range(3):
                await asyncio.sleep(1.2)
                world.air.drop()
            await asyncio.sleep(1)
            world.release()
            await world.until(lambda: len(got) == 2, "the live one")
            world.air.drop()
            await asyncio.sleep(3)
            assert glasses.is_connected
        await consuming  # ends with the context
        assert [(r.lost, r.crc_ok) for r in got] == [(0, True)] * 2
        assert [r.meta["take"] for r in got] == [1, 2]
        assert np.array_equal(got[1].pcm(), reference(world.heard()[: got[1].next_index * FRAME]))
        assert world.glasses.journal.recordings == []
        assert len(list((folder / "out").glob("*.wav"))) == 2

    run_world(folder, test, listen=False, model=QUICK)


@pytest.mark.parametrize("codec", ["dvi4", "mulaw", "pcm"])
def test_any_codec_becomes_flac_sample_for_sample(folder: Path, codec: str) -> None:
    (folder / "settings.json").write_text(json.dumps({"codec": codec}))

    async def test(world: World) -> None:
        said = speech(3)
        world.say(said)
        await world.talk(0.731)
        async with connect(world, folder=folder / "out", format="flac") as glasses:
            recording = await anext(glasses.recordings())
        assert (recording.lost, recording.crc_ok, recording.gaps) == (0, True, [])
        assert recording.path is not None and recording.path.suffix == ".flac"
        heard = world.heard()[: recording.samples]
        if codec == "dvi4":
            heard = reference(heard)
        elif codec == "mulaw":
            coded = audioop.lin2ulaw(np.asarray(heard, "<i2").tobytes(), 2)
            heard = np.frombuffer(audioop.ulaw2lin(coded, 2), "<i2")
        kept, rate = soundfile.read(recording.path, dtype="int16")
        assert rate == 16000 and np.array_equal(kept, heard)
        assert 0.731 <= recording.seconds <= 0.751
        (about,) = (json.loads(path.read_text()) for path in (folder / "out").glob("*.json"))
        assert about["file"] == recording.path.name and about["meta"]["codec"] == codec

    run_world(folder, test, listen=False)


def test_without_a_folder_the_glasses_keep_it_until_it_is_taken(folder: Path) -> None:
    async def test(world: World) -> None:
        for _ in range(2):
            await world.talk(0.6)
            await asyncio.sleep(0.2)

        def held() -> int:
            return len(world.glasses.journal.recordings)

        async with connect(world) as glasses:
            await asyncio.sleep(1)
            recordings = glasses.recordings()
            first = await recordings.__anext__()
            await asyncio.sleep(1)
            assert held() == 2 and first.path is None and len(first.pcm())
        async with connect(world) as glasses:  # this program did not come back for the next one
            first = await glasses.recordings().__anext__()
            world.air.drop()
            await asyncio.sleep(3)
            assert held() == 2
            second = await glasses.recordings().__anext__()
            await asyncio.sleep(1)
            assert held() == 1 and (first.meta["take"], second.meta["take"]) == (1, 2)
            await glasses.acknowledge(second)
            assert held() == 0
            await glasses.acknowledge(second)  # again is no harm
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(glasses.recordings().__anext__(), 3)
            await world.talk(0.5)
            assert (await glasses.recordings().__anext__()).meta["take"] == 3

    run_world(folder, test, listen=False, model=QUICK)


def test_what_is_taken_while_the_link_is_down_is_acknowledged_later(folder: Path) -> None:
    async def test(world: World) -> None:
        await world.talk(0.6)
        async with connect(world) as glasses:
            first = await glasses.recordings().__anext__()
            world.air.drop()
            with pytest.raises(Disconnected):
                await glasses.acknowledge(first)
            await world.until(lambda: not world.glasses.journal.recordings, "it is acknowledged")
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(glasses.recordings().__anext__(), 3)

    run_world(folder, test, listen=False, model=QUICK)


def test_nothing_is_taken_from_the_glasses_by_a_program_that_only_asks(folder: Path) -> None:
    async def test(world: World) -> None:
        await world.talk(0.6)
        async with connect(world, folder=folder / "out") as glasses:
            assert (await glasses.waiting())["waiting"] == 1
            await asyncio.sleep(2)
        assert len(world.glasses.journal.recordings) == 1
        assert not (folder / "out").exists()

    run_world(folder, test, listen=False)


def test_requests_by_name(folder: Path) -> None:
    async def test(world: World) -> None:
        async with connect(world) as glasses:
            assert (glasses.address, glasses.hello["name"]) == (ADDRESS, "Lunette")
            assert (await glasses.status())["state"] == "connected"
            assert (await glasses.set("hold_ms", 350))["hold_ms"] == 350
            assert (await glasses.settings())["hold_ms"] == 350
            assert await glasses.mute() is True and await glasses.mute(False) is False
            assert await glasses.time() is None
            assert await glasses.time(1_800_000_000) == 1_800_000_000
            for i in range(30):
                world.glasses.log.debug("test", f"line {i}")
            assert [line[4] for line in await glasses.log()][-30:] == [f"line {i}" for i in range(30)]
            number = await glasses.record()
            await asyncio.sleep(0.5)
            assert await glasses.record(False) is None
            await asyncio.sleep(0.3)
            await glasses.delete(number or 0)
            await glasses.identify()
            with pytest.raises(Refused) as refused:
                await glasses.delete(1)
            assert refused.value.code == "not-found"
            await glasses.reboot(force=True)

    run_world(folder, test, listen=False)


def test_requests_fail_while_the_glasses_are_away_and_work_again_later(folder: Path) -> None:
    async def test(world: World) -> None:
        told: list[str] = []
        async with connect(world, observe=lambda what, detail: told.append(what)) as glasses:
            asking = asyncio.ensure_future(glasses.request("ping"))
            await asyncio.sleep(0)
            world.air.set_in_range(ADDRESS, False)
            with pytest.raises(Disconnected):
                while True:
                    await asking
                    asking = asyncio.ensure_future(glasses.status())
            await asyncio.sleep(1)
            with pytest.raises(Disconnected, match="away"):
                await glasses.status()
            with pytest.raises(Disconnected):
                await glasses.wait_connected(5)
            world.air.set_in_range(ADDRESS, True)
            await glasses.wait_connected(60)
            assert await glasses.request("ping") == "pong"
            assert told.count("connected") == 2
        with pytest.raises(Disconnected, match="closed"):
            await glasses.status()
        with pytest.raises(LunetteError, match="another object"):
            await glasses.__aenter__()

    run_world(folder, test, listen=False, model=QUICK)


def test_a_drop_at_any_time_of_a_connections_life_is_disconnected(folder: Path) -> None:
    """With the air's own timing: while connecting, discovering, subscribing, getting ready, asking."""

    async def test(world: World) -> None:
        outcomes = set()
        for step in range(20):
            await world.until(lambda: not world.radio.connected, "the last one is gone")
            ends: list[int] = []
            glasses = client.GlassesClient(
                ADDRESS, backends=world.backends(), on_disconnect=partial(ends.append, step)
            )

            async def live(glasses: client.GlassesClient = glasses) -> None:
                await glasses.connect()
                outcomes.add("connected")
                await glasses.ready()
                outcomes.add("ready")
                while True:
                    await glasses.request("status")
                    outcomes.add("asked")

            task = asyncio.create_task(live())
            await world.until(lambda: world.radio.connected, "it connects")
            await asyncio.sleep(0.08 * step)
            assert world.air.drop() == 1
            await asyncio.wait({task}, timeout=60)
            assert isinstance(task.exception(), Disconnected)
            await glasses.disconnect()
            await asyncio.sleep(1)
            assert len(ends) <= 1
        assert outcomes == {"connected", "ready", "asked"}

    run_world(folder, test, listen=False, model=QUICK)


def test_glasses_that_are_not_there(folder: Path) -> None:
    async def test(world: World) -> None:
        with pytest.raises(LunetteError, match="no glasses heard in 2 s"):
            async with connect(world, name="Nobody", timeout=2):
                pass
        with pytest.raises(LunetteError, match="async with"):
            await connect(world).status()

    run_world(folder, test, listen=False)


def test_two_programs_in_one_folder(folder: Path) -> None:
    async def test(world: World) -> None:
        assert world.listener is not None
        await world.listener.leave()
        with pytest.raises(InUse, match="another program"):
            async with connect(world, folder=folder / "host") as glasses:
                await glasses.recordings().__anext__()
        async with connect(world, folder=folder / "elsewhere") as glasses:
            await world.talk(0.5)
            assert (await glasses.recordings().__anext__()).crc_ok

    run_world(folder, test)


def test_one_consumer_at_a_time(folder: Path) -> None:
    async def test(world: World) -> None:
        async with connect(world) as glasses:
            waiting = asyncio.ensure_future(glasses.recordings().__anext__())
            await asyncio.sleep(0.1)
            with pytest.raises(LunetteError, match="one consumer"):
                await glasses.recordings().__anext__()
            waiting.cancel()
            await asyncio.wait({waiting})
            await world.talk(0.5)
            assert (await glasses.recordings().__anext__()).crc_ok

    run_world(folder, test, listen=False)


def test_a_slow_program_with_a_folder_reads_speech_from_the_file(folder: Path) -> None:
    async def test(world: World) -> None:
        world.say(speech(3))
        async with connect(world, folder=folder / "out") as glasses:
            recordings = glasses.recordings()
            waiting = asyncio.ensure_future(recordings.__anext__())
            await world.talk(0.8)
            recording = await waiting
            await asyncio.sleep(1)
            assert not recording.frames and recording.acknowledged
            assert np.array_equal(recording.pcm(), reference(world.heard()[: recording.next_index * FRAME]))

    run_world(folder, test, listen=False)


def test_evicted_recordings_are_given_as_far_as_they_came(folder: Path) -> None:
    async def test(world: World) -> None:
        async with connect(world, folder=folder / "out") as glasses:
            recordings = glasses.recordings()
            waiting = asyncio.ensure_future(recordings.__anext__())
            world.press()
            await asyncio.sleep(1)
            world.air.set_in_range(ADDRESS, False)
            await asyncio.sleep(1)
            world.release()
            await asyncio.sleep(0.005)  # too short for the glasses to save it
            await world.talk(2)
            world.air.set_in_range(ADDRESS, True)
            gone = await waiting
            assert gone.truncated and gone.path is not None
            await glasses.acknowledge(gone)

    run_world(folder, test, listen=False, board=virtual_board(JOURNAL_KB=6), model=QUICK)


# --- pairing, with whole virtual glasses -----------------------------------------------------------------


async def gesture(world: World) -> None:
    """Tap, then hold for three seconds."""
    await world.tap()
    await asyncio.sleep(0.12)
    await world.talk(3.2)


def test_a_host_pairs_is_listed_and_is_forgotten(folder: Path) -> None:
    async def test(world: World) -> None:
        with pytest.raises(NotPaired, match="hold the button for 3 seconds"):
            async with connect(world):
                pass
        with pytest.raises(NotPaired):
            await connect(world).pair()
        assert world.glasses.security.hosts() == []
        await gesture(world)
        await connect(world).pair()
        async with connect(world, folder=folder / "out") as glasses:
            (me,) = await glasses.hosts()
            assert me["me"] is True
            world.say(speech(2))
            await world.talk(0.6)
            async for recording in glasses.recordings():
                assert recording.crc_ok
                break
            assert await glasses.forget(me["id"]) == [me["id"]]
            await asyncio.sleep(2)
        assert world.glasses.security.hosts() == []
        with pytest.raises(NotPaired):
            async with connect(world):
                pass
        await gesture(world)
        await connect(world).pair()
        assert len(world.glasses.security.hosts()) == 1

    run_world(folder, test, listen=False, paired=False)


def test_glasses_that_forgot_everybody_are_paired_anew(folder: Path) -> None:
    """The bond that only this host still has is no obstacle."""

    async def test(world: World) -> None:
        async with connect(world):
            pass
        (folder / "bonds.json").unlink()
        await world.restart()
        with pytest.raises(NotPaired):
            async with connect(world):
                pass
        await gesture(world)
        await connect(world).pair()
        async with connect(world) as glasses:
            assert await glasses.request("ping") == "pong"

    run_world(folder, test, listen=False)


# --- pairing, on a computer without a radio ---------------------------------------------------------


def test_glasses_that_do_not_know_this_host() -> None:
    async def test() -> None:
        radio = Radio(secure=True)
        glasses = client.connect(backends=radio.backends())
        with pytest.raises(NotPaired, match="hold the button for 3 seconds"):
            async with glasses:
                pass
        other = client.connect(backends=radio.backends())
        with pytest.raises(NotPaired):
            await other.pair()
        radio.pairing_mode = True
        await other.pair()
        async with other:
            await other.pair()
            assert await other.request("ping") == "ping"

    run(test())


def test_glasses_that_forget_this_host_while_it_is_there() -> None:
    async def test() -> None:
        radio = Radio(secure=True, bond_here=1, bond_there=1)
        told: list[tuple[str, Any]] = []
        glasses = client.connect(backends=radio.backends(), observe=lambda *event: told.append(event))
        async with glasses:
            radio.bond_there = 0
            radio.clients[-1].drop()
            await asyncio.sleep(3600)
            assert [detail for what, detail in told if what == "problem"] == [
                str(NotPaired("[org.bluez.Error.NotPermitted] Not paired"))
            ]
            assert radio.calls.count("connect") < 400, "not in a hurry"
            with pytest.raises(NotPaired):
                await glasses.status()
            radio.pairing_mode, radio.bond_here = True, 0
            await glasses.pair()
            await glasses.wait_connected(60)
            assert await glasses.request("ping") == "ping"

    run(test())
