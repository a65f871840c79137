"""When a word counts as said: laws of the deciding, with made-up probabilities and models."""

import functools
import importlib
import math
import statistics
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stages import _own_kernels
from thorough import TIMES

relaxed = settings(deadline=None, max_examples=100 * TIMES)

WINDOW, FRAME, STEP = 5, 320, 480


@pytest.fixture(scope="module")
def detector():
    """The module, in CPython, with kernels as their equivalents."""
    with _own_kernels(fast=True):
        return importlib.import_module("wakeword.detector")


# --- One model's probabilities ----------------------------------------------------------------------------

# Runs of one level each: what a network gives is low or high for some time.
RUNS = st.lists(
    st.tuples(st.sampled_from([0, 3, 100, 216, 217, 218, 219, 250, 255]), st.integers(1, 40)),
    min_size=1,
    max_size=14,
).map(lambda runs: [p for p, count in runs for _ in range(count)])
NOISE = st.lists(st.integers(0, 255), max_size=200)
PROBABILITIES = st.one_of(
    RUNS, NOISE, st.tuples(RUNS, NOISE, RUNS).map(lambda parts: [*parts[0], *parts[1], *parts[2]])
)
CUTOFFS = st.sampled_from([0, 1, 128, 217, 230, 254, 255])


def said(decider, probabilities, allowed=None):
    """The steps, from 0, in which the word was said."""
    return [
        i
        for i, p in enumerate(probabilities)
        if decider.hear(p, i + 1, True if allowed is None else allowed[i])
    ]


def above(probabilities, cutoff, window=WINDOW):
    """For each step whether the mean is above the cutoff's hundredths, by numpy."""
    if len(probabilities) < window:
        return np.zeros(len(probabilities), bool)
    sums = np.convolve(np.array(probabilities, int), np.ones(window, int), "valid")
    return np.concatenate([np.zeros(window - 1, bool), 100 * sums > hundredths(cutoff) * 256 * window])


def hundredths(cutoff):
    """Those of which so many of 255 are left: what it was before it was rounded down."""
    return math.ceil(cutoff / 2.55 - 1e-9)


@relaxed
@given(PROBABILITIES, CUTOFFS, st.integers(0, 90), st.integers(0, 40), st.integers(1, 8))
def test_a_word_is_a_high_mean_after_enough_low_ones(detector, probabilities, cutoff, settle, rest, window):
    high = above(probabilities, cutoff, window)
    fired = said(detector.Decider(cutoff, window, settle, rest), probabilities)
    last = None
    for i in range(len(probabilities)):
        settled = i >= settle
        rested = last is None or np.count_nonzero(~high[last + 1 : i]) >= rest
        assert (i in fired) == (bool(high[i]) and settled and rested)
        if i in fired:
            last = i


@example([255] * 200, 217)
@example([255] * 80 + [0] * 30 + [255] * 80, 217)
@relaxed
@given(PROBABILITIES, CUTOFFS)
def test_never_twice_without_falling_and_never_while_settling(detector, probabilities, cutoff):
    fired = said(detector.Decider(cutoff, WINDOW), probabilities)
    assert all(i >= detector.SETTLE for i in fired)
    high = above(probabilities, cutoff)
    for one, other in pairwise(fired):
        assert np.count_nonzero(~high[one:other]) >= detector.REST > WINDOW
        assert 100 * min(probabilities[one:other]) <= 256 * hundredths(cutoff)


@pytest.mark.parametrize("window", [1, 5, 10])
def test_a_cutoff_of_hundredths_is_that_to_the_last_bit(detector, window):
    """As the converter rounds it, against the float that pymicro-wakeword compares with."""
    for percent in range(1, 100):
        decider = detector.Decider(int(percent / 100 * 255), window)
        for total in range(decider._limit - 2, decider._limit + 3):
            assert (total > decider._limit) == (statistics.mean([total / 256 / window]) > percent / 100)


@relaxed
@given(st.lists(st.integers(0, 255), min_size=1, max_size=60), st.integers(1, 8))
def test_the_mean_is_that_of_the_last(detector, probabilities, window):
    decider = detector.Decider(217, window)
    for i, p in enumerate(probabilities):
        decider.hear(p, i + 1)
        assert decider.probability == p
        exact = sum(probabilities[max(0, i + 1 - window) : i + 1]) * 1000 // (256 * window)
        assert decider.mean == (exact if i + 1 >= window else 0)


@relaxed
@given(PROBABILITIES, st.integers(1, 300))
def test_a_reset_is_a_new_start_of_deciding(detector, probabilities, before):
    used = detector.Decider(217, WINDOW)
    said(used, ([255, 0, 230] * 100)[:before])
    used.reset()
    new = detector.Decider(217, WINDOW)
    assert said(used, probabilities) == said(new, probabilities)
    assert (used.mean, used.risen(999)) == (new.mean, new.risen(999))


def test_a_word_that_is_not_allowed_is_said_as_soon_as_it_is(detector):
    probabilities = [0] * 80 + [255] * 10
    allowed = [False] * 87 + [True] * 3
    assert said(detector.Decider(217, WINDOW), probabilities) == [84]
    assert said(detector.Decider(217, WINDOW), probabilities, allowed) == [87]


@pytest.mark.parametrize(("shape", "steps"), [([255] * 5, 4), ([220, 200, 255, 255, 255], 4), ([0] * 5, 5)])
def test_when_it_has_risen(detector, shape, steps):
    decider = detector.Decider(217, WINDOW)
    said(decider, [0] * 20 + shape)
    assert decider.risen(25) == steps


def test_numbers_of_steps_turn_over(detector):
    decider = detector.Decider(217, WINDOW, settle=0)
    said(decider, [255, 0, 0, 0, 0, 0, 0])
    for now in (2**29 - 2, 2**29 - 1, 0, 1):
        assert not decider.hear(255, now)
    assert decider.hear(255, 2)
    assert decider.risen(2) == 4


# --- Several models, and frames ---------------------------------------------------------------------------


class Played:
    """A network that says what it is told to. `heard` are the inputs of each step; with a `detector`, `times`
    are the steps' numbers, and those that are skipped count."""

    detector = None
    rows = 3

    def __init__(self, probabilities, cutoff=217, window=WINDOW):
        self.probabilities, self.cutoff, self.window = probabilities, cutoff, window
        self.heard, self.times = [], []

    def reset(self):
        self.heard.clear()

    def step(self, inputs):
        self.heard.append(bytes(inputs))
        if self.detector is not None:
            self.times.append(self.detector.steps + self.detector.skipped - 1)
        return self.probabilities[(len(self.heard) - 1) % len(self.probabilities)]


NOISY = np.random.default_rng(7).normal(0, 2000, 160 * FRAME).astype("<i2")


def run(made, pcm=NOISY, late=(), voice=()):
    """(frame, which, score, ago) of each word; `late` and `voice` are sets of frames."""
    found = []
    for i in range(len(pcm) // FRAME):
        frame = bytearray(pcm[FRAME * i : FRAME * (i + 1)].tobytes())
        fired = made.run(frame, i in voice, i in late)
        assert fired == made.fired
        if fired >= 0:
            assert made.stepped
            found.append((i, fired, made.score, made.ago))
    return found


def end_of_step(k):
    """Samples until the end of the last window of step k."""
    return 480 + 320 + STEP * k


def test_which_word_it_was_and_when_it_ended(detector):
    probabilities = [0] * 80 + [255] * 8 + [0] * 30
    made = detector.Detector([Played([0]), Played(probabilities)])
    ((frame, which, score, ago),) = run(made)
    assert (frame, which) == ((end_of_step(84) - 1) // FRAME, 1)
    assert score == 996  # 255 of 256
    assert (frame + 1) * FRAME - ago == end_of_step(80)
    assert made.steps == (len(NOISY) - 800) // STEP + 1
    assert made.skipped == 0


def test_of_two_words_at_once_the_surer_counts(detector):
    high, higher = [0] * 80 + [230] * 30, [0] * 80 + [240] * 30
    for networks, expected in (((high, higher), 1), ((higher, high), 0), ((high, high), 0)):
        (found,) = run(detector.Detector([Played(p) for p in networks]))
        assert found[1] == expected


def test_two_words_after_each_other(detector):
    one, other = [0] * 80 + [255] * 8 + [0] * 100, [0] * 88 + [255] * 8 + [0] * 100
    assert [which for _, which, _, _ in run(detector.Detector([Played(one), Played(other)]))] == [0, 1]


def test_no_word_without_a_voice(detector):
    probabilities = [0] * 80 + [255] * 8 + [0] * 30
    frame = (end_of_step(84) - 1) // FRAME

    def found(*voice):
        return [word[0] for word in run(detector.Detector([Played(probabilities)], gate=10), voice=voice)]

    assert found() == []
    assert found(frame) == [frame]
    assert found(frame - 9) == [frame]
    assert found(frame - 10) == []
    # The mean stays up for a while: a voice that is found late still counts.
    assert found(frame + 3) == [frame + 3]
    assert len(run(detector.Detector([Played(probabilities)]))) == 1
    assert run(detector.Detector([Played(probabilities)], gate=1000)) == []


@functools.lru_cache
def undisturbed(detector, frames):
    """What a network hears of noise when nothing is late."""
    network = Played([0])
    run(detector.Detector([network]), NOISY[: frames * FRAME])
    return network


@settings(deadline=None, max_examples=40 * TIMES)
@given(st.sets(st.integers(0, 79)))
def test_late_frames_leave_out_whole_steps(detector, late):
    """The windows that are heard are those of the same samples, nothing is shifted, and time goes on."""
    pcm = NOISY[: 80 * FRAME]
    whole, some = undisturbed(detector, 80), Played([0])
    some.detector = made = detector.Detector([some])
    attended = windows(made)
    for i in range(80):
        was = made.skipped
        run_one(made, pcm, i, i in late)
        assert made.skipped - was <= (i in late)
    steps = len(whole.heard)
    assert made.steps == len(some.heard)
    assert [w for w in attended if w // 3 in some.times] == [3 * k + i for k in some.times for i in range(3)]
    assert len(attended) - 3 * made.steps in (0, 1, 2)  # those of a step that has begun
    assert steps <= made.steps + made.skipped <= steps + 1  # the last may have begun only
    assert some.times == sorted(set(some.times))
    if not made.skipped:
        assert some.heard == whole.heard


def windows(made):
    """The numbers of the windows that a detector attends to, as it does."""
    feed = made.features.feed
    number, attended = 0, []

    def noted(pcm, off, n, attend=True):
        nonlocal number
        heard = feed(pcm, off, n, attend)
        if made.features.fresh:
            if attend:
                attended.append(number)
            number += 1
        return heard

    made.features.feed = noted
    return attended


def run_one(made, pcm, i, late=False):
    return made.run(bytearray(pcm[FRAME * i : FRAME * (i + 1)].tobytes()), False, late)


def test_what_is_heard_after_a_gap_is_of_the_right_samples(detector):
    """Tones that change with every step's last window: each that is heard says which step it is of."""
    at = np.arange(90 * STEP)
    pitch = 300 + 700 * (((at - 320) // STEP) % 7)
    pcm = (8000 * np.sin(2 * np.pi * np.cumsum(pitch) / 16000)).astype("<i2")
    pcm = pcm[: len(pcm) // FRAME * FRAME]
    whole, some = Played([0]), Played([0])
    run(detector.Detector([whole]), pcm)
    some.detector = made = detector.Detector([some])
    for i in range(len(pcm) // FRAME):
        run_one(made, pcm, i, i in (60, 61, 70, 71, 90, 91))
    assert made.skipped >= 3
    loudest = [band(heard) for heard in whole.heard]
    assert len(set(loudest)) >= 7
    assert [band(heard) for heard in some.heard] == [loudest[k] for k in some.times]


def band(inputs):
    """The loudest of a step's last vector."""
    return int(np.argmax(np.frombuffer(inputs, "i1").reshape(3, 40)[2]))


def test_a_model_of_other_steps_is_refused(detector):
    network = Played([0])
    network.rows = 2
    with pytest.raises(ValueError, match="2 vectors a step"):
        detector.Detector([network])


def test_a_new_start_forgets(detector):
    network = Played([0] * 80 + [255] * 8 + [0] * 30)
    made = detector.Detector([network])
    first = run(made)
    made.run(bytearray(640), False, True)
    made.reset()
    assert (made.fired, made.stepped, network.heard) == (-1, False, [])
    skipped = made.skipped
    assert run(made) == first
    assert made.skipped == skipped
