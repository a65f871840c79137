"""Voice activity: its kernels on both machines against their model, and what it hears in which noise."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import RATE, STEADY, noise, speech
from stages import FRAME, Stage, in_micropython

from lunette.virtual.equivalents import activity as model

relaxed = settings(deadline=None)  # the first call of a kernel in MicroPython may be slow

HANGOVER = 16
SAMPLE = st.one_of(st.integers(-32768, 32767), st.sampled_from([-32768, 32767, 0, -1, 1]))
EIGHTS = st.one_of(
    st.integers(0, 8).flatmap(lambda n: st.lists(SAMPLE, min_size=8 * n, max_size=8 * n)),
    st.tuples(SAMPLE, SAMPLE, st.sampled_from([1, 2, 4, 8])).map(
        lambda x: ([x[0]] * x[2] + [x[1]] * x[2]) * 8
    ),
).map(lambda values: np.array(values, "<i2"))


@relaxed
@given(EIGHTS, st.integers(0, 3))
def test_measure(kernels, pcm, rest):
    raw = pcm.tobytes() + b"\xa5" * 2 * rest
    args = (raw, 0, len(pcm))
    _, (after, sums) = kernels.call("activity.measure", *args, bytes(20))
    assert after == raw
    assert sums[16:] == bytes(4)
    x = pcm.astype(int).reshape(-1, 8)
    bands = (
        x[:, 1] - x[:, 0],
        x[:, 2:4].sum(1) - x[:, :2].sum(1),
        x[:, 4:].sum(1) - x[:, :4].sum(1),
        x.sum(1),
    )
    assert np.frombuffer(sums, "<u4")[:4].tolist() == [int((np.abs(b) - (b < 0)).sum()) for b in bands]
    own = bytearray(20)
    model.measure(*args, own)
    assert own == sums


SUM = st.one_of(
    st.integers(0, 40 * 8 * 32768), st.integers(0, 2000), st.sampled_from([0, 255, 256, 7935, 7936])
)


@relaxed
@given(st.lists(st.lists(SUM, min_size=4, max_size=4), min_size=1, max_size=30))
def test_decide(kernels, frames):
    state = own = bytes(4 * 52)
    for frame in frames:
        sums = struct.pack("<4I", *frame)
        voice, (_, state) = kernels.call("activity.decide", sums, state)
        changed = bytearray(own)
        assert model.decide(sums, changed) == voice
        assert state == changed
        own = bytes(changed)


@pytest.fixture(scope="module")
def front():
    """Frames of sound, through the high-pass: who speaks when."""

    def hear(pcm):
        clean, _ = Stage("highpass", "HighPass").run(np.clip(np.round(pcm), -32768, 32767))
        _, rows = Stage("activity", "Activity").run(clean, ("voice",))
        return np.array(rows)[:, 0] > 0

    return hear


def scene(name, snr, dbfs):
    """The clip three times with pauses, in a noise; which frames are speech (down to 25 dB below its active
    level), and which are far from any."""
    pause = np.zeros(2 * RATE)
    clean = np.concatenate((pause, speech(dbfs), pause, speech(dbfs - 3), pause, speech(dbfs), pause))
    clean = clean[: len(clean) // FRAME * FRAME]
    spoken = np.sqrt(np.mean(clean.reshape(-1, FRAME) ** 2, axis=1)) > 32768 * 10 ** ((dbfs - 25) / 20)
    near = np.convolve(spoken, np.ones(HANGOVER + 3))[1 : len(spoken) + 1] > 0
    return clean + noise(name, len(clean), dbfs - snr), spoken, ~near


@pytest.mark.parametrize("name", STEADY)
@pytest.mark.parametrize(
    ("snr", "dbfs", "hits", "alarms"), [(10, -26, 0.95, 0.01), (5, -26, 0.92, 0.01), (20, -46, 0.98, 0.01)]
)
def test_speech_in_noise(front, name, snr, dbfs, hits, alarms):
    pcm, spoken, far = scene(name, snr, dbfs)
    voice = front(pcm)
    assert voice[spoken].mean() >= hits
    assert voice[far].mean() <= alarms


@pytest.mark.parametrize("name", STEADY)
def test_no_voice_in_a_minute_of_noise(front, name):
    """From nothing, and a part of it from silence before it: not after its first two seconds."""
    sound = noise(name, 60 * RATE, -36, seed=3)
    assert not front(sound)[100:].any()
    assert not front(np.concatenate((noise("white", 3 * RATE, -80), sound[: 20 * RATE])))[250:].any()


@pytest.mark.parametrize("name", STEADY)
def test_noise_that_becomes_softer_is_no_voice(front, name):
    loud = noise(name, 4 * RATE, -30, seed=5)
    assert not front(np.concatenate((loud, loud / 30, loud / 10)))[100:400].any()


def test_speech_right_after_the_noise_stopped(front):
    pcm = np.concatenate((noise("pink", 4 * RATE, -26), np.zeros(RATE // 2), speech(-46)))
    voice = front(pcm + noise("white", len(pcm), -80))
    assert voice[225:].mean() > 0.8


@pytest.mark.parametrize("name", STEADY)
def test_onset(front, name):
    """A vowel at 15 dB SNR is heard in its first two frames, wherever in a frame it begins."""
    t = np.arange(RATE) / RATE
    vowel = sum(np.sin(2 * np.pi * 130 * k * t) / (1 + abs(130 * k - 650) / 300) for k in range(1, 24))
    vowel *= 32768 * 10 ** (-26 / 20) / vowel.std()
    for late in range(0, FRAME, 80):
        pcm = noise(name, 4 * RATE, -41, seed=late)
        begin = 2 * RATE + late
        pcm[begin : begin + RATE] += vowel
        voice = front(pcm)
        first = begin // FRAME
        assert not voice[first - 20 : first].any()
        assert voice[first : first + 2].any()
        assert voice[first + 2 : first + 40].all()


def test_the_end(front):
    """Voice ends with the hangover."""
    pcm = noise("white", 5 * RATE, -60)
    pcm[2 * RATE : 3 * RATE] += noise("street", RATE, -30)
    voice = front(pcm)
    assert voice[100:150].all()
    assert voice[150 : 150 + HANGOVER].all()
    assert not voice[150 + HANGOVER + 1 :].any()


def test_speech_from_the_first_frame(front):
    """There was no silence to learn the noise from: the first pause between two words has to do."""
    pcm = speech(-30)[4000:]
    voice = front(pcm + noise("white", len(pcm), -70))
    assert voice[25:150].mean() > 0.85


def test_silence(front):
    assert not front(np.zeros(RATE)).any()
    assert not front(np.random.default_rng(1).integers(-2, 3, RATE)).any()


def test_levels():
    stage = Stage("activity", "Activity")
    pcm = noise("pink", 3 * RATE, -50)
    _, rows = stage.run(np.round(pcm), ("level", "noise"))
    for level, below in rows[50:]:
        assert 44 <= level <= 60
        assert 46 <= below <= 56
    stage.run(np.round(noise("pink", RATE // 4, -20)))
    assert 16 <= stage.level <= 26
    assert stage.noise >= 44
    stage.reset()
    stage.run(np.zeros(RATE))
    assert stage.noise == stage.level >= 72
    stage.reset()
    stage.run(np.full(RATE, 32767))
    assert 0 <= stage.level <= 3


def test_a_reset_forgets_the_noise():
    stage = Stage("activity", "Activity")
    stage.run(noise("pink", 2 * RATE, -60))
    loud = np.round(noise("pink", RATE, -30))
    _, rows = stage.run(loud, ("voice",))
    assert all(voice for (voice,) in rows)
    stage.reset()
    assert not stage.voice
    _, rows = stage.run(loud, ("voice",))
    assert not any(voice for (voice,) in rows)


def test_frames_with_the_heap_locked(tmp_path):
    pcm = np.round(
        np.concatenate((np.zeros(RATE // 4), speech(-26))) + noise("fan", len(speech(0)) + RATE // 4, -40)
    )
    names = ("voice", "level", "noise")
    _, here = Stage("activity", "Activity").run(pcm, names)
    _, there = in_micropython(tmp_path, "activity", "Activity", pcm, names)
    assert here == there
    assert 0.2 < np.mean([row[0] for row in here]) < 0.98
    _, exact = Stage("activity", "Activity", fast=False).run(pcm[: 20 * FRAME], names)
    assert exact == here[:20]
