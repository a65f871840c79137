from __future__ import annotations

import array
import asyncio
import errno
from typing import Any

import numpy as np
import pytest
from hal_rig import Rig, with_chip
from hypothesis import given, settings
from hypothesis import strategies as st

RATE = 16000


def clip(n: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(-32768, 32768, n).astype(np.int16)


LONG = clip(6 * RATE, 3)


def microphone(rig: Rig, **changes: Any) -> Any:
    I2S = rig.machine.I2S
    options = dict(sck=1, ws=2, sd=3, mode=I2S.RX, bits=16, format=I2S.MONO, rate=RATE, ibuf=8192)
    return I2S(changes.pop("id", 0), **{**options, **changes})


def double_buffer(mic: Any, size: int, got: list[bytes]) -> list[bytearray]:
    """Read for ever into two buffers, as the firmware does."""
    buffers = [bytearray(size), bytearray(size)]
    turn = [0]

    def done(i2s: Any) -> None:
        buffer = buffers[turn[0] & 1]
        turn[0] += 1
        got.append(bytes(buffer))
        i2s.readinto(buffer)

    mic.irq(done)
    for buffer in buffers:
        assert mic.readinto(buffer) == size
    return buffers


@with_chip()
async def test_two_buffers_get_every_sample(rig: Rig) -> None:
    pcm = clip(RATE)
    rig.chip.sound.say(pcm)
    got: list[bytes] = []
    double_buffer(microphone(rig), 640, got)
    await asyncio.sleep(1)
    heard = np.frombuffer(b"".join(got), np.int16)
    assert len(heard) >= RATE - 512
    assert (heard == pcm[: len(heard)]).all()
    session = rig.chip.i2s.sessions[-1]
    assert (session.delivered, session.dropped, session.overruns) == (len(heard), 0, 0)


@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("stereo", [0, 1])
@pytest.mark.parametrize("channel", ["left", "right", "both"])
@with_chip()
async def test_formats_are_picked_from_32_bit_stereo(rig: Rig, bits: int, stereo: int, channel: str) -> None:
    pcm = clip(256)
    rig.chip.sound.say(pcm)
    rig.chip.i2s.channel = channel
    mic = microphone(rig, bits=bits, format=stereo)
    buffer = bytearray(256 * bits // 8 * (1 + stereo))
    mic.irq(lambda i2s: None)
    mic.readinto(buffer)
    await asyncio.sleep(0.1)
    # Independent of the model: the wire's 32-bit slots, and the bytes of them that the driver takes.
    nothing = np.zeros(256, np.int16)
    slots = {
        "left": pcm if channel != "right" else nothing,
        "right": pcm if channel != "left" else nothing,
    }
    expected = b""
    for i in range(256):
        for side in ("left", "right")[: 1 + stereo]:
            slot = (int(slots[side][i]) * 65536).to_bytes(4, "little", signed=True)
            expected += slot[4 - bits // 8 :]
    assert bytes(buffer) == expected


@with_chip()
async def test_samples_are_readable_when_their_descriptor_is_full(rig: Rig) -> None:
    mic = microphone(rig)
    loop = asyncio.get_running_loop()
    times: list[float] = []
    mic.irq(lambda i2s: times.append(loop.time()))
    start = loop.time()
    buffers = [bytearray(2), bytearray(512), bytearray(640)]
    mic.readinto(buffers[0])
    mic.readinto(buffers[1])
    await asyncio.sleep(0.1)
    mic.readinto(buffers[2])
    await asyncio.sleep(0.1)
    frames = [(t - start) * RATE for t in times]
    # 1 frame is in the first descriptor; 257 need the second. After a pause there is enough at once.
    assert frames[:2] == pytest.approx([256, 512])
    assert frames[2] == pytest.approx(1600)


@with_chip()
async def test_one_under_way_one_queued_a_third_is_dropped(rig: Rig) -> None:
    pcm = clip(4000)
    rig.chip.sound.say(pcm)
    mic = microphone(rig)
    calls: list[object] = []
    mic.irq(calls.append)
    buffers = [bytearray(512) for _ in range(3)]
    assert [mic.readinto(b) for b in buffers] == [512, 512, 512]
    await asyncio.sleep(0.2)
    assert calls == [mic, mic]
    assert bytes(buffers[0]) == pcm[:256].tobytes() and bytes(buffers[1]) == pcm[256:512].tobytes()
    assert not any(buffers[2])
    assert rig.chip.i2s.sessions[-1].refused == 1
    # And the port goes on: the refused attempt left nothing behind.
    mic.readinto(buffers[2])
    await asyncio.sleep(0.2)
    assert len(calls) == 3 and any(buffers[2])


@with_chip()
async def test_an_overrun_loses_the_oldest_descriptors_silently(rig: Rig) -> None:
    pcm = clip(RATE)
    rig.chip.sound.say(pcm)
    mic = microphone(rig, ibuf=8192)  # four descriptors, one of them being filled
    mic.irq(lambda i2s: None)
    await asyncio.sleep(10 * 256 / RATE)
    buffer = bytearray(512 * 3)
    mic.readinto(buffer)
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    assert bytes(buffer) == pcm[7 * 256 : 10 * 256].tobytes()
    session = rig.chip.i2s.sessions[-1]
    assert (session.overruns, session.dropped) == (1, 7 * 256)
    assert list(session.segments) == [(7 * 256, 3 * 256)]


@with_chip()
async def test_a_pause_within_the_buffer_loses_nothing(rig: Rig) -> None:
    pcm = clip(RATE)
    rig.chip.sound.say(pcm)
    mic = microphone(rig, ibuf=8192)
    mic.irq(lambda i2s: None)
    await asyncio.sleep(3.9 * 256 / RATE)
    buffer = bytearray(512 * 3)
    mic.readinto(buffer)
    await asyncio.sleep(0.001)
    assert bytes(buffer) == pcm[: 3 * 256].tobytes()
    assert rig.chip.i2s.sessions[-1].overruns == 0


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(1, 900), st.floats(0, 0.2)), min_size=1, max_size=25),
    descriptors=st.integers(2, 8),
)
def test_every_frame_is_delivered_or_counted(steps, descriptors: int) -> None:
    @with_chip()
    async def check(rig: Rig) -> None:
        pcm = LONG
        rig.chip.sound.say(pcm)
        mic = microphone(rig, ibuf=descriptors * 2048)
        got: list[bytes] = []
        done = asyncio.Event()
        mic.irq(lambda i2s: done.set())
        # The last read passes the descriptor in hand: a gap after it is counted before it is reached.
        for frames, pause in [*steps, (512, 0.0)]:
            await asyncio.sleep(pause)
            buffer = bytearray(2 * frames)
            mic.readinto(buffer)
            await done.wait()
            done.clear()
            got.append(bytes(buffer))
        session = rig.chip.i2s.sessions[-1]
        heard = np.frombuffer(b"".join(got), np.int16)
        runs = [pcm[at : at + n] for at, n in session.segments]
        assert (np.concatenate(runs) == heard).all()
        assert session.delivered == len(heard)
        at, n = session.segments[-1]
        assert at + n == session.delivered + session.dropped
        assert sum(r.size for r in runs) == session.delivered

    check()


@with_chip()
async def test_a_lost_completion_still_fills_the_buffer(rig: Rig) -> None:
    Pin = rig.machine.Pin
    pcm = clip(4000)
    rig.chip.sound.say(pcm)
    mic = microphone(rig)
    calls: list[object] = []
    mic.irq(calls.append)
    first, second = bytearray(512), bytearray(512)
    mic.readinto(first)
    # Fill the scheduler just before the completion: nothing runs between these two timers.
    Pin(4, Pin.IN).irq(lambda pin: None, Pin.IRQ_RISING)
    loop = asyncio.get_running_loop()

    def flood() -> None:
        rig.chip.bus.ring = None  # the program is busy: nothing is delivered
        for _ in range(8):
            rig.chip.pins.drive(4, 1)
            rig.chip.pins.drive(4, 0)

    loop.call_later(255 / RATE, flood)
    await asyncio.sleep(300 / RATE)
    rig.chip.deliver()
    rig.chip.bus.ring = rig.chip._ring
    assert calls == [] and rig.chip.i2s.sessions[-1].lost_completions == 1
    mic.readinto(second)
    assert bytes(first) == pcm[:256].tobytes()
    await asyncio.sleep(0.1)
    assert len(calls) == 1
    assert bytes(second) == pcm[256:512].tobytes()


@with_chip()
async def test_buffers_longer_than_an_answer_and_arrays(rig: Rig) -> None:
    pcm = clip(8000)
    rig.chip.sound.say(pcm)
    mic = microphone(rig, ibuf=20480)
    long, words = bytearray(10000), array.array("h", [0] * 1000)
    mic.irq(lambda i2s: None)
    assert mic.readinto(long) == 10000
    assert mic.readinto(words) == 2000
    await asyncio.sleep(0.6)
    assert bytes(long) == pcm[:5000].tobytes()
    assert words.tobytes() == pcm[5000:6000].tobytes()


@with_chip()
async def test_what_the_driver_refuses(rig: Rig) -> None:
    I2S = rig.machine.I2S
    for change in ({"id": 2}, {"id": -1}, {"mode": 7}, {"bits": 24}, {"format": 2}, {"sd": 22}):
        with pytest.raises(ValueError):
            microphone(rig, **change)
    with pytest.raises(ValueError, match="invalid id"):
        microphone(rig, id=2)
    mic = microphone(rig)
    with pytest.raises(OSError) as caught:
        mic.readinto(bytearray(641))
    assert caught.value.errno == errno.EINVAL
    with pytest.raises(OSError) as caught:
        mic.write(bytearray(640))
    assert caught.value.errno == errno.EPERM
    speaker = microphone(rig, id=1, mode=I2S.TX)
    with pytest.raises(OSError) as caught:
        speaker.readinto(bytearray(640))
    assert caught.value.errno == errno.EPERM
    with pytest.raises(ValueError, match="invalid callback"):
        mic.irq(3)
    with pytest.raises(NotImplementedError):
        mic.ioctl(3, 1)
    with pytest.raises(NotImplementedError):
        mic.readinto(bytearray(640))  # blocking
    with pytest.raises(NotImplementedError):
        speaker.write(bytearray(640))
    assert mic.readinto(bytearray(0)) == 0
    speaker.deinit()
    mic.deinit()
    mic.deinit()
    with pytest.raises(OSError):
        mic.readinto(bytearray(640))


@with_chip()
async def test_dma_memory_is_limited(rig: Rig) -> None:
    for ibuf, code in ((1_000_000, errno.ENOMEM), (4095, -258)):
        with pytest.raises(OSError) as caught:
            microphone(rig, ibuf=ibuf)
        assert caught.value.errno == code
    microphone(rig, ibuf=60_000)
    with pytest.raises(OSError):
        microphone(rig, id=1, ibuf=60_000)


@with_chip("esp32c3")
async def test_the_small_chips_have_one_port(rig: Rig) -> None:
    microphone(rig)
    with pytest.raises(ValueError, match="invalid id"):
        microphone(rig, id=1)


@with_chip()
async def test_a_second_object_on_a_port_starts_it_again(rig: Rig) -> None:
    mic = microphone(rig)
    calls: list[object] = []
    mic.irq(calls.append)
    mic.readinto(bytearray(512))
    again = microphone(rig, bits=32)
    assert again is mic
    await asyncio.sleep(0.1)
    assert calls == []
    first, second = rig.chip.i2s.sessions
    assert first.ended == second.started and first.bits == 16 and second.bits == 32


@with_chip()
async def test_irq_again_drops_what_was_queued(rig: Rig) -> None:
    pcm = clip(8000)
    rig.chip.sound.say(pcm)
    mic = microphone(rig, ibuf=40960)
    calls: list[object] = []
    mic.irq(calls.append)
    mic.readinto(bytearray(4 * 512))
    await asyncio.sleep(2.5 * 256 / RATE)
    mic.irq(calls.append)
    await asyncio.sleep(0.1)
    assert calls == []
    buffer = bytearray(512)
    mic.readinto(buffer)
    await asyncio.sleep(0.1)
    assert calls == [mic]
    # Two descriptors had gone into the dropped read, no more.
    assert bytes(buffer) == pcm[512:768].tobytes()


@with_chip()
async def test_the_world_is_where_the_session_says(rig: Rig) -> None:
    await asyncio.sleep(0.12345)
    sound = rig.chip.sound
    spoken = sound.say(clip(300), at=0.2) and 0.2
    mic = microphone(rig)
    buffer = bytearray(2 * 2560)
    mic.irq(lambda i2s: None)
    mic.readinto(buffer)
    await asyncio.sleep(0.3)
    session = rig.chip.i2s.sessions[-1]
    onset = int(np.flatnonzero(np.frombuffer(buffer, np.int16))[0])
    assert abs(session.frame_time(onset) - spoken) <= 1 / RATE
    assert sound.time(session.first_sample + onset) == pytest.approx(spoken)


@with_chip()
async def test_another_sample_rate_hears_the_same_tone(rig: Rig) -> None:
    tone = (10000 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.int16)
    rig.chip.sound.say(tone)
    mic = microphone(rig, rate=48000, ibuf=40960)
    buffer = bytearray(2 * 24064)
    mic.irq(lambda i2s: None)
    mic.readinto(buffer)
    await asyncio.sleep(0.6)
    heard = np.frombuffer(buffer, np.int16)
    expected = 10000 * np.sin(2 * np.pi * 440 * np.arange(len(heard)) / 48000)
    assert np.abs(heard - expected).max() < 60


@with_chip()
async def test_dropped_attempts_cost_nothing(rig: Rig) -> None:
    mic = microphone(rig)
    calls: list[object] = []
    mic.irq(calls.append)
    for _ in range(12):
        assert mic.readinto(bytearray(512)) == 512
    assert rig.chip.i2s.sessions[-1].refused == 10
    for _ in range(12):
        mic.irq(calls.append)
        mic.readinto(bytearray(512))
    await asyncio.sleep(0.1)
    assert calls == [mic]


# --- transmit -----------------------------------------------------------------------------------------


def speaker(rig: Rig, **changes: Any) -> Any:
    return microphone(rig, mode=rig.machine.I2S.TX, **changes)


@with_chip()
async def test_playing_without_a_gap(rig: Rig) -> None:
    out = speaker(rig, ibuf=2048)  # 16-bit mono: four descriptors of 512 bytes, 64 ms
    pcm = clip(8000)
    blocks = [bytes(b) for b in np.split(pcm, 25)]
    loop = asyncio.get_running_loop()
    times: list[float] = []

    def more(i2s: Any) -> None:
        times.append(loop.time())
        if blocks:
            i2s.write(blocks.pop(0))

    out.irq(more)
    start = loop.time()
    out.write(blocks.pop(0))
    out.write(blocks.pop(0))
    await asyncio.sleep(0.7)
    session = rig.chip.i2s.sessions[-1]
    assert (session.played_pcm() == pcm).all()
    assert session.underruns == 0 and len(times) == 25
    # The last write is done when it fits the DMA memory, 64 ms before its end is heard.
    assert times[-1] - start == pytest.approx((8000 - 1024) / RATE, abs=0.001)


@with_chip()
async def test_silence_where_there_is_nothing_to_play(rig: Rig) -> None:
    out = speaker(rig, ibuf=4096, format=rig.machine.I2S.STEREO)
    out.irq(lambda i2s: None)
    out.write(clip(200).tobytes())  # 100 frames
    await asyncio.sleep(0.1)
    out.write(clip(200, 2).tobytes())
    await asyncio.sleep(0.1)
    session = rig.chip.i2s.sessions[-1]
    played = session.played_pcm()
    assert played.shape == (1700, 2) and session.underruns == 1
    assert (played[:100] == clip(200).reshape(-1, 2)).all()
    assert not played[100:1600].any()
    assert (played[1600:] == clip(200, 2).reshape(-1, 2)).all()


@with_chip()
async def test_shift_is_a_volume_control(rig: Rig) -> None:
    words = array.array("h", [100, -100, 30000])
    rig.machine.I2S.shift(buf=words, bits=16, shift=-1)
    assert words.tolist() == [50, -50, 15000]
    wide = array.array("i", [-5, 5])
    rig.machine.I2S.shift(buf=wide, bits=32, shift=2)
    assert wide.tolist() == [-20, 20]
    with pytest.raises(ValueError):
        rig.machine.I2S.shift(buf=words, bits=24, shift=1)
