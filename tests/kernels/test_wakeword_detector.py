"""The wake word's detector over speech, noise and silence, against pymicro-wakeword: TensorFlow's C runtime
as Home Assistant's satellites run it."""

import importlib

import numpy as np
import pytest
import sounds
from stages import _own_kernels

from lunette.virtual.spoken import wave
from lunette.wakeword import listening, packaged
from lunette.wakeword.convert import convert

RATE, FRAME = 16000, 320
MODELS = ("okay_nabu", "alexa", "hey_mycroft", "hey_jarvis")
LEAD_S, TAIL_S = 2.6, 1.0


@pytest.fixture(scope="module")
def models():
    """{name: (what pymicro-wakeword has, the glasses' file)}."""
    found = {name: packaged.find(name) for name in MODELS}
    return {
        name: (source, convert(source.path.read_bytes(), source.phrase, source.cutoff, source.window))
        for name, source in found.items()
    }


def spoken(text, voice="en-us", words_a_minute=150, peak=9000):
    """(int16, when it ends in samples): the text with faint noise before and after it."""
    said = wave(text, voice, words_a_minute)
    said = said / np.abs(said).max()
    loud = np.flatnonzero(np.abs(said) > 0.03)
    said = peak * said[loud[0] : loud[-1] + 1]
    pcm = np.concatenate([np.zeros(int(LEAD_S * RATE)), said, np.zeros(int(TAIL_S * RATE))])
    pcm += np.random.default_rng(1).normal(0, 12, len(pcm))
    return np.clip(np.round(pcm), -32768, 32767).astype("<i2"), int(LEAD_S * RATE) + len(said)


def expected(pcm, source, settle=74, rest=25):
    """(probabilities, the steps in which a word is said) by the reference, and the rule in its own words."""
    probabilities = listening.reference(pcm, source.path)
    found, low = [], rest
    for i in range(source.window - 1, len(probabilities)):
        mean = float(np.mean(probabilities[i + 1 - source.window : i + 1])) / 256
        if mean <= source.cutoff:
            low += 1
        elif i >= settle and low >= rest:
            found.append(i)
            low = 0
    return probabilities, found


def step_of(word):
    """Which step a word was said in, from 0."""
    return (round(word.at_s * RATE) - listening.FIRST) // listening.HOP


def compare(pcm, models, names=MODELS):
    """Hear it with all models, in MicroPython; returns the words."""
    heard = listening.hear(pcm, [models[name][1] for name in names])
    assert heard.skipped == 0
    for i, name in enumerate(names):
        probabilities, steps = expected(pcm, models[name][0])
        assert len(heard.probabilities) == len(probabilities)
        assert np.abs(heard.probabilities[:, i] - probabilities).max(initial=0) <= 3
        mine = [step_of(word) for word in heard.words if word.model == i]
        assert len(mine) == len(steps)
        assert all(abs(one - other) <= 1 for one, other in zip(mine, steps, strict=True))
    return heard.words


SAID = [
    ("okay nabu", "en-us", 130, 0),
    ("okay nabu", "en-us", 180, 0),
    ("okay nabu", "en-gb-x-rp", 150, 0),
    ("okay nabu", "en-gb-scotland", 150, 0),
    ("okay nabu", "en-us+m3", 150, 0),
    ("okay nabu", "de", 160, 0),
    ("okay nabu", "fr", 140, 0),
    ("alexa", "en-us", 150, 1),
    ("alexa", "en-gb-x-rp", 170, 1),
    ("hey my croft", "en-gb-x-rp", 150, 2),
]


@pytest.mark.parametrize(("text", "voice", "speed", "model"), SAID)
def test_a_word_is_heard_once_as_by_the_reference(models, text, voice, speed, model):
    pcm, end = spoken(text, voice, speed)
    (word,) = compare(pcm, models)
    assert word.model == model
    assert models[MODELS[model]][0].cutoff < word.score <= 1
    # It is known at most 0.4 s after its end, or before it, where what is missing decides nothing.
    assert end / RATE - 0.3 < word.at_s < end / RATE + 0.4
    assert abs(word.ended_s - end / RATE) < 0.35


@pytest.mark.parametrize(
    "text",
    ["good morning", "okay, what is the weather today", "a letter for Alex", "hey, my car is off", "no boo"],
)
def test_other_words_are_none(models, text):
    assert compare(spoken(text)[0], models) == ()


@pytest.mark.parametrize("dbfs", [-38, -6])
def test_soft_and_loud(models, dbfs):
    pcm, _ = spoken("okay nabu", "en-us", 150, 32767 * 10 ** (dbfs / 20))
    assert [word.model for word in compare(pcm, models)] == [0]


NOISES = {
    "silence": np.zeros(4 * RATE),
    "white": sounds.noise("white", 4 * RATE, -30),
    "street": sounds.noise("street", 4 * RATE, -25),
    "full scale": np.random.default_rng(1).choice([-32768, 32767], 4 * RATE),
    "DC": np.full(4 * RATE, 12000),
    "speech": sounds.speech(sounds.CLIP_DBFS),
}


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_no_word(models, name):
    pcm = np.clip(np.round(NOISES[name]), -32768, 32767).astype("<i2")
    assert compare(pcm, models) == ()


def test_two_words_in_a_row_and_none_while_settling(models):
    pcm, _ = spoken("okay nabu")
    early = pcm[int((LEAD_S - 0.5) * RATE) :]
    words = compare(np.concatenate([early, pcm, pcm]), models, MODELS[:1])
    assert len(words) == 2
    assert words[1].at_s - words[0].at_s == pytest.approx(len(pcm) / RATE, abs=0.05)


# --- Behind, gated, and in CPython ------------------------------------------------------------------------


def test_late_frames_do_not_lose_the_word_that_follows(models):
    pcm, end = spoken("okay nabu")
    late = list(range(60, 100))
    heard = listening.hear(pcm, [models["okay_nabu"][1]], late=late)
    assert len(heard.probabilities) + heard.skipped == (len(pcm) // FRAME * FRAME - 800) // 480 + 1
    assert 20 <= heard.skipped <= 30
    (word,) = heard.words
    assert abs(word.ended_s - end / RATE) < 0.25


def test_the_gate_in_micropython(models):
    pcm, end = spoken("okay nabu")
    file = [models["okay_nabu"][1]]
    assert listening.hear(pcm, file, gate=25).words == ()
    frame = end // FRAME
    assert len(listening.hear(pcm, file, gate=25, voice=[frame - 10, frame]).words) == 1


def test_cpython_decides_the_same(models):
    pcm, _ = spoken("okay nabu")
    pcm = pcm[: len(pcm) // FRAME * FRAME]
    files = [models[name][1] for name in ("okay_nabu", "alexa")]
    rows, fired = [], []
    with _own_kernels(fast=True):
        network = importlib.import_module("wakeword.network").Network
        detector = importlib.import_module("wakeword.detector").Detector(map(network, files))
        for i in range(len(pcm) // FRAME):
            if detector.run(bytearray(pcm[FRAME * i : FRAME * (i + 1)].tobytes())) >= 0:
                fired.append((detector.fired, detector.score / 1000))
            if detector.stepped:
                rows.append([word.probability for word in detector.words])
    heard = listening.hear(pcm, files)
    assert np.array_equal(rows, heard.probabilities)
    assert fired == [(word.model, word.score) for word in heard.words]
