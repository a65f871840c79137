"""Omi compatibility, as a host sees it that was written for Omi and knows nothing of Lunette."""

from __future__ import annotations

import asyncio
import importlib
import json
import struct
import subprocess
import sys
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bleak import BleakClient, BleakScanner
from test_voice import FRAME, reference, speech
from world import ADDRESS, World, run_world

from lunette import paths
from lunette.client import scan
from lunette.protocol import wire
from lunette.virtual import interpreter
from lunette.virtual.air import LinkModel
from lunette.virtual.bleak_backend import VirtualScanner
from lunette.virtual.cpython import micropython_modules

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

TAIL = "-e8f2-537e-4f6c-d104768a1214"
MAIN, AUDIO, CODEC = (f"19b1000{n}{TAIL}" for n in "012")
FEATURES, FEATURES_VALUE = (f"19b1002{n}{TAIL}" for n in "01")
TIME, TIME_VALUE = (f"19b1003{n}{TAIL}" for n in "01")
BUTTON, BUTTON_VALUE = (f"23ba792{n}-0000-1000-7450-346eac492e92" for n in "45")
OMI = {MAIN, FEATURES, TIME, BUTTON}
TAPS = (-18, 59, -135, 261, -468, 828, -1602, 5171)


def narrow(pcm: Any) -> Any:
    """The half-band filter in numpy, from silence: every second sample of the convolution, rounded."""
    taps = np.zeros(31, np.int64)
    taps[0:15:2] = TAPS
    taps += taps[::-1]
    taps[15] = 8192
    whole = np.convolve(np.asarray(pcm, np.int64), taps)[: len(pcm) : 2]
    return np.clip((whole + 8192) >> 14, -32768, 32767).astype(np.int16)


class Phone:
    """Takes notifications as Omi's app does: packets with rising ids, fragments with rising indices."""

    def __init__(self, client: BleakClient):
        self.client = client
        self.packets: list[bytes] = []
        self.events: list[int] = []

    @classmethod
    async def connect(cls, world: World) -> Phone:
        phone = cls(await world.central())
        await phone.client.start_notify(AUDIO, lambda _, data: phone.packets.append(bytes(data)))
        await phone.client.start_notify(BUTTON_VALUE, lambda _, data: phone._on_button(bytes(data)))
        return phone

    def _on_button(self, data: bytes) -> None:
        event, zero = struct.unpack("<ii", data)
        assert zero == 0
        self.events.append(event)

    @property
    def ids(self) -> list[int]:
        return [struct.unpack_from("<H", packet)[0] for packet in self.packets]

    @property
    def pcm(self) -> Any:
        return np.frombuffer(b"".join(packet[3:] for packet in self.packets), "<i2")

    def check_order(self, first: int = 0) -> None:
        assert self.ids == [(first + i) & 0xFFFF for i in range(len(self.packets))]


def run_omi(
    folder: Path, test: Callable[[World], Awaitable[None]], listen: bool = False, **values: Any
) -> None:
    """`run_world` with glasses whose setting `omi` is on."""
    model = values.pop("model", None)
    (folder / "settings.json").write_text(json.dumps({"omi": True, "security": "open", **values}))
    run_world(folder, test, listen=listen, model=model)


def test_off_by_default(folder: Path) -> None:
    async def test(world: World) -> None:
        seen = await BleakScanner.discover(timeout=2, return_adv=True, backend=VirtualScanner)
        assert MAIN not in seen[ADDRESS][1].service_uuids
        client = await world.central()
        assert not OMI & {s.uuid for s in client.services}
        assert "glasses.compat.omi" not in sys.modules, "not even in memory"

    run_world(folder, test, listen=False)


@pytest.mark.parametrize(
    "name, shown",
    [("Lunette", "Lunette"), ("Lunette links", "Lunette lin"), ("Lunette zzéphyr", "Lunette zz")],
)
def test_it_is_found_by_omi_and_by_lunette(folder: Path, name: str, shown: str) -> None:
    async def test(world: World) -> None:
        seen = await BleakScanner.discover(timeout=2, return_adv=True, backend=VirtualScanner)
        _, adv = seen[ADDRESS]
        assert adv.service_uuids == [MAIN, wire.SERVICE]
        assert adv.local_name == shown
        assert [found.address for found in await scan(2, world.backends())] == [ADDRESS]

    run_omi(folder, test, name=name)


def test_the_services_and_what_they_say(folder: Path) -> None:
    async def test(world: World) -> None:
        client = await world.central()
        assert {s.uuid for s in client.services} >= OMI
        every = [c.uuid for s in client.services for c in s.characteristics]
        assert every.count(AUDIO) == 1
        assert f"19b10005{TAIL}" not in every, "that one would say that there is a camera"
        assert await client.read_gatt_char(CODEC) == b"\1"
        assert await client.read_gatt_char(FEATURES_VALUE) == struct.pack("<I", 1 << 2 | 1 << 3)
        assert await client.read_gatt_char(BUTTON_VALUE) == bytes(8)

    run_omi(folder, test)


@pytest.mark.parametrize("mtu, fragments", [(517, 1), (326, 1), (325, 2), (185, 2), (23, 20)])
def test_speech_arrives_whole_filtered_and_in_order(folder: Path, mtu: int, fragments: int) -> None:
    async def test(world: World) -> None:
        phone = await Phone.connect(world)
        world.say(speech(3))
        await world.talk(0.731)
        await asyncio.sleep(0.5)
        phone.check_order()
        frames = len(phone.packets) // fragments
        assert frames == 37, "from the press on, the part before it was a hold included"
        assert [packet[2] for packet in phone.packets] == list(range(fragments)) * frames
        assert all(len(packet) % 2 for packet in phone.packets), "whole samples after three bytes"
        assert np.array_equal(phone.pcm, narrow(reference(world.heard()[: frames * FRAME])))
        assert world.radio.counters.truncated == 0
        # The next recording goes on with the ids and begins with silence in the filter.
        packets = len(phone.packets)
        await world.talk(0.4)
        await asyncio.sleep(0.5)
        phone.check_order()
        again = np.frombuffer(b"".join(p[3:] for p in phone.packets[packets:]), "<i2")
        assert np.array_equal(again, narrow(reference(world.heard()[: 2 * len(again)])))

    run_omi(folder, test, model=LinkModel(mtu=mtu, interval_ms=7.5, pdus_per_event=None))


@pytest.mark.parametrize("codec, pieces", [("mulaw", 2), ("pcm", 4)])
def test_other_codecs_of_the_journal(folder: Path, codec: str, pieces: int) -> None:
    async def test(world: World) -> None:
        phone = await Phone.connect(world)
        world.say(speech(3))
        await world.talk(0.731)
        await asyncio.sleep(0.5)
        phone.check_order()
        assert [packet[2] for packet in phone.packets] == [0] * 37 * pieces
        heard = world.heard()[: 37 * FRAME]
        if codec == "mulaw":
            coded = audioop.lin2ulaw(np.asarray(heard, "<i2").tobytes(), 2)
            heard = np.frombuffer(audioop.ulaw2lin(coded, 2), "<i2")
        assert np.array_equal(phone.pcm, narrow(heard))

    run_omi(folder, test, model=LinkModel(mtu=517, interval_ms=7.5, pdus_per_event=None), codec=codec)


def test_it_is_live(folder: Path) -> None:
    async def test(world: World) -> None:
        phone = await Phone.connect(world)
        world.press()
        await asyncio.sleep(1)
        before = len(phone.packets)
        await asyncio.sleep(1)
        assert 48 <= len(phone.packets) - before <= 52
        assert 98 <= len(phone.packets) <= 101, "no more than two frames behind the microphone"

    run_omi(folder, test, model=LinkModel(mtu=517))


def test_a_tap_is_heard_by_nobody(folder: Path) -> None:
    async def test(world: World) -> None:
        phone = await Phone.connect(world)
        world.say(speech(3))
        await world.tap()
        await asyncio.sleep(1)
        assert phone.packets == []
        assert phone.events == [4, 5, 1]

    run_omi(folder, test)


def test_who_connects_in_the_middle_hears_only_what_comes(folder: Path) -> None:
    async def test(world: World) -> None:
        world.say(speech(9))
        world.press()
        await asyncio.sleep(3)
        ble = world.glasses.link.radio.ble
        notify, sent = ble.gatts_notify, []

        def note(conn: int, handle: int, data: Any) -> None:
            notify(conn, handle, data)
            if len(data) != 8:  # that is the button's
                sent.append(bytes(data))

        ble.gatts_notify = note
        phone = await Phone.connect(world)
        await asyncio.sleep(1)
        world.release()
        await asyncio.sleep(0.5)
        phone.check_order(phone.ids[0])
        phone.packets = sent  # those before the subscription too, which the host's side throws away
        frames = sum(packet[2] == 0 for packet in sent)
        count = world.glasses.journal.recordings[0].count
        assert 50 <= frames <= count - 149, "nothing of the first three seconds"
        heard = reference(world.heard())
        expected = narrow(heard[: count * FRAME])[-len(phone.pcm) :]
        # The filter begins with silence: the first samples differ.
        assert np.array_equal(phone.pcm[16:], expected[16:])

    run_omi(folder, test)


def test_a_phone_that_comes_back_goes_on_live(folder: Path) -> None:
    async def test(world: World) -> None:
        world.say(speech(9))
        first = await Phone.connect(world)
        world.press()
        await asyncio.sleep(1)
        await first.client.disconnect()
        await asyncio.sleep(3)
        sent = len(first.packets)
        second = await Phone.connect(world)
        await asyncio.sleep(1)
        world.release()
        await asyncio.sleep(0.5)
        assert len(first.packets) == sent
        second.check_order(second.ids[0])
        assert 40 < len(second.packets) <= 120, "two fragments a frame of the last second only"
        assert world.glasses.link.door.errors == 0
        # All of it waits for a Lunette host.
        await second.client.disconnect()
        world.listen()
        (recording,) = await world.complete(1)
        assert (recording.lost, recording.crc_ok) == (0, True)

    run_omi(folder, test, adv_ms=20)


def test_a_slow_link_skips_and_counts_but_never_lags(folder: Path) -> None:
    async def test(world: World) -> None:
        phone = await Phone.connect(world)
        audio = next(s for s in world.glasses.link.radio.services if s.ADVERTISED)
        world.say(speech(20))
        await world.talk(15)
        await asyncio.sleep(5)
        phone.check_order()
        assert audio.skipped > 0
        assert world.radio.counters.enomem > 0
        frames = world.glasses.journal.recordings[0].count
        whole = [i for i, packet in enumerate(phone.packets) if packet[2] == 0]
        assert len(whole) + audio.skipped == frames
        assert audio._recording is None

    run_omi(folder, test, model=LinkModel(mtu=23, interval_ms=100, pdus_per_event=4))


def test_lunette_hosts_are_served_as_ever(folder: Path) -> None:
    async def test(world: World) -> None:
        world.say(speech(3))
        await world.talk(0.731)
        (recording,) = await world.complete(1)
        assert (recording.lost, recording.crc_ok) == (0, True)
        assert np.array_equal(recording.pcm(), reference(world.heard()[: recording.next_index * FRAME]))
        audio = next(s for s in world.glasses.link.radio.services if s.ADVERTISED)
        assert audio.sent == 0, "a host that has the recordings is not sent them twice"
        assert audio.handles[0] not in world.radio.counters.by_handle

    run_omi(folder, test, listen=True)


def test_what_the_finger_does(folder: Path) -> None:
    async def test(world: World) -> None:
        phone = await Phone.connect(world)
        for expected in ([4, 5, 1], [4, 5, 4, 5, 2], [4, 5, 4, 5, 4, 5, 6]):
            phone.events.clear()
            for _ in range(expected.count(4)):
                await world.tap()
                await asyncio.sleep(0.08)
            await asyncio.sleep(1)
            assert phone.events == expected
        phone.events.clear()
        await world.talk(0.5)
        await asyncio.sleep(0.5)
        assert phone.events == [4, 3, 5]

    run_omi(folder, test)


def test_events_wait_for_room_in_order_and_not_for_ever(folder: Path) -> None:
    async def test(world: World) -> None:
        phone = await Phone.connect(world)
        button = next(s for s in world.glasses.link.radio.services if hasattr(s, "dropped"))
        ble = world.glasses.link.radio.ble
        notify = ble.gatts_notify

        def full(*args: Any) -> None:
            raise OSError(12)

        ble.gatts_notify = full
        for _ in range(4):
            await world.tap()
            await asyncio.sleep(0.5)
        assert phone.events == []
        ble.gatts_notify = notify
        await world.until(lambda: len(phone.events) >= 9, "they come")
        await asyncio.sleep(1)
        assert phone.events == [4, 5, 1] * 3
        assert button.dropped == 3

    run_omi(folder, test)


def test_events_are_not_kept_for_the_next_host(folder: Path) -> None:
    async def test(world: World) -> None:
        first = await Phone.connect(world)
        button = next(s for s in world.glasses.link.radio.services if hasattr(s, "dropped"))
        ble = world.glasses.link.radio.ble
        notify = ble.gatts_notify

        def full(*args: Any) -> None:
            raise OSError(12)

        ble.gatts_notify = full
        await world.tap()
        await asyncio.sleep(0.5)
        await first.client.disconnect()
        await asyncio.sleep(0.5)
        await Phone.connect(world)
        ble.gatts_notify = notify
        await asyncio.sleep(1)
        assert button.handles[0] not in world.radio.counters.by_handle

    run_omi(folder, test)


def test_the_time(folder: Path) -> None:
    async def test(world: World) -> None:
        client = await world.central()
        await client.write_gatt_char(TIME_VALUE, struct.pack("<I", 1835481599), response=True)
        await asyncio.sleep(0.1)
        rtc = importlib.import_module("machine").RTC()
        assert rtc.datetime()[:7] == (2028, 2, 29, 1, 23, 59, 59)
        for wrong in (b"", b"\1", struct.pack("<I", 5), struct.pack("<Q", 1835481599)):
            await client.write_gatt_char(TIME_VALUE, wrong, response=True)
        await asyncio.sleep(0.1)
        assert world.glasses.link.refused == 4
        assert rtc.datetime()[:6] == (2028, 2, 29, 1, 23, 59)
        assert world.glasses.link.door.errors == 0

    run_omi(folder, test)


def test_a_fault_of_ours_does_not_stop_the_microphone(folder: Path) -> None:
    async def test(world: World) -> None:
        audio = next(s for s in world.glasses.link.radio.services if s.ADVERTISED)

        def fail() -> bool:
            raise KeyError("bug")

        audio.send = fail
        world.say(speech(3))
        await world.talk(0.731)
        (recording,) = await world.complete(1)
        assert (recording.lost, recording.crc_ok) == (0, True)
        assert world.glasses.link.counters()["link.failed"] > 0
        assert not any("failed" in line[3] for line in world.glasses.log.lines)

    run_omi(folder, test, listen=True)


ALLOCATION = """
import gc, sys
sys.path.insert(0, {firmware!r})
class Fake: pass
sys.modules["bluetooth"] = sys.modules["machine"] = Fake()
sys.modules["machine"].RTC = Fake
from glasses.compat import omi
from glasses.journal import Journal

class Link:
    mtu = 247
    @property
    def streaming(self):
        return False

class Bus:
    def __init__(self):
        self.handlers = {{}}
    def now(self, name, handler):
        self.handlers[name] = handler

class Ble:
    sent = 0
    def gatts_notify(self, conn, handle, data):
        self.sent += 1
    def gatts_write(self, handle, data):
        pass

bus, ble, journal = Bus(), Ble(), Journal(60000)
audio = omi.Audio(Link(), journal, bus)
audio.bind(ble, (1, 2), None)
audio.connected(0)
from glasses.coder import Coder
coder = Coder({codec!r})
recording = journal.open("speech", {{"codec": coder.codec, "frame": coder.frame_samples}})
bus.handlers["recording"]("recording", 0, recording.number)
samples, used = bytearray(640), 0
for i in range(60):
    journal.append(recording, coder.encode(samples, 0, journal.data, journal.slot()))
    journal.data[journal.slot()] = 9
    journal.append(recording, 3)  # what was not captured
    gc.disable()
    before = gc.mem_alloc()
    audio.send()
    after = gc.mem_alloc()
    gc.enable()
    if i >= 3:  # packet sizes are met for the first time
        used += after - before
print(ble.sent, used)
"""


@pytest.mark.parametrize("codec, sent", [("dvi4", 120), ("mulaw", 60), ("pcm", 60)])
def test_sending_allocates_nothing_in_micropython(codec: str, sent: int) -> None:
    script = ALLOCATION.format(firmware=str(paths.FIRMWARE), codec=codec)
    done = subprocess.run(interpreter.command("-c", script), capture_output=True, text=True, timeout=30)
    assert (done.stdout.split(), done.stderr) == ([str(sent), "0"], "")


# --- the filter -------------------------------------------------------------------------------------


def signals() -> dict[str, Any]:
    rng = np.random.default_rng(3)
    t = np.arange(640) / 16000
    return {
        "speech": speech(0.04),
        "noise": rng.integers(-32768, 32768, 640).astype(np.int16),
        "loudest": np.sign(narrow_taps_worst()).astype(np.int16) * 32767,
        "square": (32767 * np.sign(np.sin(2 * np.pi * 1000 * t))).astype(np.int16),
        "lowest": np.full(640, -32768, np.int16),
    }


def narrow_taps_worst() -> Any:
    """Signs that add up all taps: the largest sum there can be, over and over."""
    one = np.zeros(32)
    one[0:15:2] = TAPS
    one[30:15:-2] = TAPS
    one[15] = 1
    one[one == 0] = 1
    return np.tile(one, 20)


def decimated(kernel: Callable[..., Any], pcm: Any) -> Any:
    wide = bytearray(60) + bytearray(np.asarray(pcm, "<i2").tobytes())
    out = bytearray(len(pcm) + 2)
    out[-2:] = b"\x5a\x5a"
    kernel(wide, out, len(pcm) // 2)
    assert out[-2:] == b"\x5a\x5a"
    return np.frombuffer(out, "<i2")[:-1]


@pytest.mark.parametrize("name", signals())
def test_the_filter_within_32_bits(name: str) -> None:
    with micropython_modules(firmware_dir=paths.FIRMWARE / "glasses"):
        kernel = importlib.import_module("dsp.halfband").decimate
        pcm = signals()[name]
        assert np.array_equal(decimated(kernel, pcm), narrow(pcm))


def test_the_filter_passes_speech_and_stops_what_would_alias() -> None:
    t = np.arange(16000) / 16000
    for hertz, low, high in ((0, -0.1, 0.1), (1000, -0.1, 0.1), (3200, -0.1, 0.1), (4800, -200, -50)):
        tone = np.round(16000 * np.cos(2 * np.pi * hertz * t)).astype(np.int16)
        level = 20 * np.log10(np.sqrt(np.mean(narrow(tone)[100:].astype(float) ** 2)) + 1e-9)
        gain = level - 20 * np.log10(np.sqrt(np.mean(tone.astype(float) ** 2)))
        assert low <= gain <= high, hertz
