"""What a wake word's network hears, against pymicro-features: TensorFlow's micro frontend in C, as Home
Assistant's satellites run it."""

import importlib
import math
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import sounds
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pymicro_features import MicroFrontend
from stages import DSP_PARENT, _own_kernels
from thorough import TIMES

from lunette.virtual import interpreter
from lunette.virtual.equivalents import equivalents
from lunette.virtual.equivalents import features as features_model
from lunette.virtual.equivalents import spectrum as spectrum_model
from lunette.virtual.viper_lint import check_kernel

relaxed = settings(deadline=None, max_examples=20 * TIMES)

_SERVER = Path(__file__).with_name("serve_features.py")
_STEP = 0.0390625  # of the reference's floats: they are whole numbers times that


# --- Who hears --------------------------------------------------------------------------------------------


def reference(pcm):
    """A row of 40 numbers for each window of the samples."""
    frontend = MicroFrontend()
    raw = int16(pcm).tobytes()
    rows = []
    at = 0
    while at + 320 <= len(raw):
        heard = frontend.process_samples(raw[at : at + 320])
        at += 2 * heard.samples_read
        if heard.features:
            rows.append([value / _STEP for value in heard.features])
    return np.array(rows).reshape(-1, 40)


def int16(pcm):
    return np.clip(np.round(pcm), -32768, 32767).astype("<i2")


def hear(features, pcm, chunks=(320,)):
    """(the vectors, `inputs` after each, `rows` after each) of a `Features`."""
    raw = bytearray(int16(pcm).tobytes())
    out, inputs, rows = [], [], []
    at = turn = 0
    while at < len(pcm):
        end = min(len(pcm), at + chunks[turn % len(chunks)])
        turn += 1
        while at < end:
            at += features.feed(raw, at, end - at)
            if features.fresh:
                out.append(list(features.vector))
                inputs.append(list(np.frombuffer(features.inputs, "i1")))
                rows.append(features.rows)
    return np.array(out).reshape(-1, 40), inputs, rows


@pytest.fixture(scope="module")
def fast():
    """Makes `Features` in CPython whose kernels are their equivalents."""
    with _own_kernels(fast=True):
        return importlib.import_module("wakeword.features").Features


@pytest.fixture
def micropython(tmp_path):
    """`hear` in MicroPython, with the heap locked."""

    def there(pcm, chunks=(320,)):
        (tmp_path / "pcm").write_bytes(int16(pcm).tobytes())
        command = interpreter.command(str(_SERVER), str(DSP_PARENT), str(tmp_path / "pcm"), *map(str, chunks))
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=50)
        assert done.returncode == 0, done.stderr
        lines = [line.split() for line in done.stdout.splitlines()]
        out = [np.frombuffer(bytes.fromhex(line[0]), "<u2") for line in lines]
        inputs = [list(np.frombuffer(bytes.fromhex(line[1]), "i1")) for line in lines]
        return np.array(out).reshape(-1, 40), inputs, [int(line[2]) for line in lines]

    return there


# --- What is heard ----------------------------------------------------------------------------------------

_T = np.arange(16000)


def fading_as_fast(seed, height=1020):
    """Windows of 30 ms that are level after they are weighted, with signs that turn evenly: the sums of their
    transforms do not fit 16 bits."""
    rng = np.random.default_rng(seed)
    turning = np.exp(1j * (2 * np.pi * rng.uniform() * np.arange(240) + rng.uniform(0, 6)))
    signs = np.column_stack([np.sign(turning.real), np.sign(turning.imag)]).ravel()
    return int16(signs * height / np.maximum(spectrum_model.HANN / 4096, 1e-3))


def hidden():
    """-32768 at the top of the window, where it weighs 4096 of 4096, and faint noise."""
    pcm = np.random.default_rng(3).integers(-40, 41, 3200)
    pcm[239:3200:160] = -32768
    return pcm


SOUNDS = {
    "noise": np.random.default_rng(1).normal(0, 3000, 16000),
    "numbers": np.random.default_rng(2).integers(-32768, 32768, 16000),
    "faint": np.random.default_rng(3).integers(-2, 3, 8000),
    "silence": np.zeros(3200),
    "chirp": 32767 * np.sin(2 * np.pi * (50 * _T / 16000 + 3950 * (_T / 16000) ** 2)),
    "tone": 32767 * np.sign(np.sin(2 * np.pi * 2000 * _T[:4800] / 16000 + 0.1)),
    "fastest": 32767.5 * (-1.0) ** _T[:4800] - 0.5,
    "DC": np.full(4800, 20000),
    "lowest": np.full(4800, -32768),
    "highest": np.full(4800, 32767),
    "steps": np.repeat(np.random.default_rng(4).integers(-32768, 32768, 40), 200),
    "clicks": 32767 * (_T[:8000] % 997 == 0),
    "loud and soft": np.random.default_rng(5).normal(0, 1, 16000) * 4.0 ** (_T // 1600),
    "hidden": hidden(),
}


def speech():
    return sounds.speech(sounds.CLIP_DBFS)


@pytest.mark.parametrize("name", SOUNDS)
def test_equals_the_reference_in_micropython(micropython, name):
    expected = reference(SOUNDS[name])
    assert len(expected) == (len(SOUNDS[name]) - 480) // 160 + 1
    assert np.array_equal(micropython(SOUNDS[name])[0], expected)


@pytest.mark.parametrize("dbfs", [-1, -22.9, -60])
def test_speech_equals_the_reference_in_micropython(micropython, dbfs):
    pcm = int16(sounds.speech(dbfs))
    assert np.array_equal(micropython(pcm)[0], reference(pcm))


@pytest.mark.parametrize("name", ["numbers", "faint", "chirp", "lowest", "steps", "hidden"])
def test_32_bits_are_enough(checked, name):
    from wakeword.features import Features

    pcm = SOUNDS[name][: 480 + 160 * 4 * TIMES]
    assert np.array_equal(hear(Features(), pcm)[0], reference(pcm))


def test_32_bits_are_enough_for_speech(checked):
    from wakeword.features import Features

    pcm = speech()[24000 : 24000 + 1600 * TIMES]
    assert np.array_equal(hear(Features(), pcm)[0], reference(pcm))


@pytest.mark.parametrize("seed", range(3 * TIMES))
def test_sums_that_turn_over_do_so_as_in_the_reference(checked, micropython, fast, seed):
    from wakeword.features import Features

    pcm = fading_as_fast(seed)
    expected = reference(pcm)
    assert np.array_equal(hear(Features(), pcm)[0], expected)
    assert np.array_equal(micropython(pcm)[0], expected)
    assert np.array_equal(hear(fast(), pcm)[0], expected)


@pytest.mark.parametrize(("pcm", "turns"), [(fading_as_fast(0), True), (SOUNDS["numbers"], False)])
def test_there_are_sums_that_turn_over(monkeypatch, pcm, turns):
    """In those sounds, and not in the loudest noise."""
    store, most = spectrum_model._store, []

    def noted(numbers, *where):
        most.append(np.abs(numbers).max())
        store(numbers, *where)

    monkeypatch.setattr(spectrum_model, "_store", noted)
    even, odd = (bytearray((int16(pcm)[half:480:2].view("<u2") ^ 32768).tobytes()) for half in (0, 1))
    re, im, more_re, more_im = (bytearray(512) for _ in range(4))
    up = spectrum_model.window(even, 0, odd, re, im, 0)
    spectrum_model.first(re, 0, im, more_re, more_im, up)
    spectrum_model.later(0, 0, more_re, more_im, re, im)
    assert (max(most) > 32768) == turns


@pytest.mark.parametrize("name", ["noise", "chirp", "loud and soft", "hidden", "faint"])
def test_the_equivalents_equal_the_reference(fast, name):
    assert np.array_equal(hear(fast(), SOUNDS[name])[0], reference(SOUNDS[name]))


def test_the_equivalents_equal_the_reference_in_speech(fast):
    assert np.array_equal(hear(fast(), speech())[0], reference(speech()))


PIECES = st.lists(
    st.tuples(
        st.integers(1, 700),
        st.sampled_from([0, 1, 2, 40, 1000, 32767]),
        st.sampled_from([-32768, -500, 0, 0, 0, 7, 32767]),
        st.floats(0, 3.1),
    ),
    min_size=1,
    max_size=8,
)


@relaxed
@given(PIECES, st.integers(0, 99))
def test_any_sound_equals_the_reference(fast, pieces, seed):
    """Noise, tones and DC of any levels, one after the other."""
    rng = np.random.default_rng(seed)
    parts = []
    for count, height, dc, turn in pieces:
        wave = rng.uniform(-1, 1, count) if turn < 0.1 else np.sin(turn * np.arange(count))
        parts.append(height * wave + dc)
    pcm = int16(np.concatenate([*parts, np.zeros(480)]))
    assert np.array_equal(hear(fast(), pcm)[0], reference(pcm))


# --- In any pieces ----------------------------------------------------------------------------------------


@relaxed
@given(st.lists(st.integers(1, 700), min_size=1, max_size=9))
def test_pieces_of_any_size_give_the_same(fast, chunks):
    pcm = SOUNDS["loud and soft"][:8000]
    whole, pieces = hear(fast(), pcm, [8000]), hear(fast(), pcm, chunks)
    assert np.array_equal(whole[0], pieces[0])
    assert whole[1:] == pieces[1:]


@pytest.mark.parametrize("chunks", [(1, 158, 3, 79, 481, 161), (7,), (160,), (16000,)])
def test_pieces_in_micropython(micropython, chunks):
    pcm = SOUNDS["noise"][:6400]
    out, _, rows = micropython(pcm, chunks)
    assert np.array_equal(out, reference(pcm))
    assert rows == [i % 3 + 1 for i in range(len(out))]


def test_feeding_nothing_or_to_the_last_sample(checked):
    from wakeword.features import Features

    features = Features()
    pcm = bytearray(2000)
    assert features.feed(pcm, 0, 0) == 0
    assert (features.feed(pcm, 3, 479), features.fresh, features.rows) == (479, False, 0)
    assert (features.feed(pcm, 0, 500), features.fresh, features.rows) == (1, True, 1)
    assert (features.feed(pcm, 0, 159), features.fresh, features.rows) == (159, False, 1)
    assert (features.feed(pcm, 999, 1), features.fresh, features.rows) == (1, True, 2)


def test_a_reset_is_a_new_start(fast):
    features = fast()
    hear(features, SOUNDS["noise"][:4321])
    features.reset()
    assert (features.rows, features.fresh) == (0, False)
    assert np.array_equal(hear(features, SOUNDS["chirp"])[0], reference(SOUNDS["chirp"]))


# --- What the network is given ----------------------------------------------------------------------------


def quantised(vectors):
    """As pymicro-wakeword does it for models with an input scale of 0.10196079 and a zero point of -128, but
    limited: beyond 666 it turns over there."""
    return np.minimum(np.round(np.asarray(vectors) * _STEP / float(np.float32(0.10196079)) + -128), 127)


def test_three_vectors_are_the_networks_inputs(micropython):
    out, inputs, rows = micropython(SOUNDS["loud and soft"])
    for i in range(2, len(out), 3):
        assert rows[i] == 3
        assert np.array_equal(np.reshape(inputs[i], (3, 40)), quantised(out[i - 2 : i + 1]))


def test_all_numbers_as_inputs(interpreter):
    numbers = np.arange(65536 if TIMES > 1 else 1400)
    for begin in range(0, len(numbers), 40):
        vector = np.resize(numbers[begin : begin + 40], 40)
        name = "wakeword.features.quantise"
        _, (_, made) = interpreter.call(name, 0, 0, vector.astype("<u2").tobytes(), bytes(43), 2)
        assert np.array_equal(np.frombuffer(made, "i1"), [0, 0, *quantised(vector), 0])


# --- The kernels ------------------------------------------------------------------------------------------


def numbers(count, lowest, highest, item="<u2"):
    """Random ones of all sizes, as bytes."""
    edges = st.sampled_from([lowest, highest, (lowest + highest) // 2, lowest + (highest - lowest) // 4096])
    few = st.lists(st.one_of(st.integers(lowest, highest), edges), min_size=1, max_size=12)

    def filled(values, seed):
        rng = np.random.default_rng(seed)
        return np.array(values)[rng.integers(0, len(values), count)].astype(item).tobytes()

    def spread(seed, bits):
        rng = np.random.default_rng(seed)
        made = rng.integers(lowest, highest + 1, count) >> rng.integers(0, bits, count)
        return np.maximum(made, lowest).astype(item).tobytes()

    bits = (highest - lowest).bit_length()
    return st.one_of(
        st.builds(filled, few, st.integers(0, 999)), st.builds(spread, st.integers(0, 999), st.just(bits))
    )


WORDS = numbers(256, 0, 65535)
HALVES = numbers(240, 0, 65535)
ENERGIES = numbers(256, 0, 32767)
LEVELS = numbers(40, 0, 2**24 - 1, "<u4")
NOISES = numbers(40, 0, 2**32 - 1, "<u4")


def same(kernels, name, *args):
    own = [bytearray(arg) if isinstance(arg, bytes) else arg for arg in args]
    result = equivalents()[f"wakeword.{name}"](*own)
    after = [bytes(arg) for arg in own if isinstance(arg, bytearray)]
    assert kernels.call(f"wakeword.{name}", *args) == (result, after)
    return result


@relaxed
@example(struct.pack("<240H", *[32768 - 64] * 240), struct.pack("<240H", *[32768] * 240), 236)
@given(HALVES, HALVES, st.sampled_from([0, 80, 160, 236]))
def test_window(kernels, even, odd, oldest):
    up = same(kernels, "spectrum.window", even, 0, odd, bytes(512), b"\xa5" * 512, oldest)
    assert 0 <= up <= 15


@pytest.mark.parametrize("at", range(100, 108))
@pytest.mark.parametrize(("number", "up"), [(-1, 14), (1, 15)])
def test_one_number_decides_about_the_shift(kernels, at, number, up):
    """Its weight is less than 1, and what it becomes rounded down: -1 stays, 1 is nothing."""
    samples = np.full(480, 32768)
    samples[at] += number
    halves = (samples[half::2].astype("<u2").tobytes() for half in (0, 1))
    assert same(kernels, "spectrum.window", next(halves), 0, next(halves), bytes(512), bytes(512), 0) == up


@relaxed
@given(WORDS, WORDS, st.integers(0, 15))
def test_first(kernels, re, im, up):
    # As `window` leaves them: so small that they can be shifted.
    re, im = (
        ((((np.frombuffer(part, "<u2").astype(int) - 32768) >> up) + 32768).astype("<u2")).tobytes()
        for part in (re, im)
    )
    same(kernels, "spectrum.first", re, 0, im, bytes(512), b"\xa5" * 512, up)


@relaxed
@given(WORDS, WORDS)
def test_later(kernels, re, im):
    same(kernels, "spectrum.later", 0, 0, re, im, bytes(512), b"\xa5" * 512)


@relaxed
@given(st.integers(0, 999), st.integers(1, 1000))
def test_the_passes_are_a_transform(kernels, seed, height):
    """By numpy, of numbers in the order of their digits to base 4 backwards, all divided by 256."""
    rng = np.random.default_rng(seed)
    given = rng.integers(-height, height + 1, 256) + 1j * rng.integers(-height, height + 1, 256)
    places = [int(np.base_repr(n + 256, 4)[:0:-1], 4) for n in range(256)]
    re, im = ((part[places] + 32768).astype("<u2").tobytes() for part in (32 * given.real, 32 * given.imag))
    _, (_, _, re, im) = kernels.call("wakeword.spectrum.first", re, 0, im, bytes(512), bytes(512), 0)
    _, (_, _, re, im) = kernels.call("wakeword.spectrum.later", 0, 0, re, im, bytes(512), bytes(512))
    made = np.array([np.frombuffer(part, "<u2").astype(int) - 32768 for part in (re, im)])
    expected = np.fft.fft(32 * given) / 256
    assert np.abs(made - [expected.real, expected.imag]).max() < 4 + 0.002 * np.abs(expected).max()


@relaxed
@given(WORDS, WORDS)
def test_energies(kernels, re, im):
    same(kernels, "spectrum.energies", 0, 0, re, im)


@relaxed
@given(WORDS, ENERGIES)
def test_bands(kernels, low, high):
    same(kernels, "features.bands", 0, 0, low, high, b"\xa5" * 160)


@relaxed
@given(numbers(40, 0, 65535), numbers(40, 0, 2**31 - 1, "<u4"), st.integers(0, 15))
def test_roots(kernels, low, levels, up):
    same(kernels, "features.roots", 0, 0, low, levels, up)


@example([65535, 65534, 65536, 65535] * 10, 1)
@relaxed
@given(st.lists(st.integers(0, 2**23), min_size=40, max_size=40), st.integers(-2, 2))
def test_roots_near_squares(kernels, numbers, beside):
    """Squares, and halfway between two of them; that of 65535 is rounded down if 32 bits hold it."""
    sums = [min(max(n * n + i % 2 * n + beside, 0), 2**47 - 1) for i, n in enumerate(numbers)]
    low = np.array(sums) & 65535
    high = np.array(sums) >> 16
    _, (_, levels) = kernels.call(
        "wakeword.features.roots", 0, 0, low.astype("<u2").tobytes(), high.astype("<u4").tobytes(), 0
    )
    expected = [(math.isqrt(4 * n) + 1) // 2 for n in sums]
    expected = [
        65535 if n < 2**32 and root == 65536 else root for n, root in zip(sums, expected, strict=True)
    ]
    assert np.frombuffer(levels, "<u4").tolist() == expected


@relaxed
@given(LEVELS, NOISES)
def test_loudness(kernels, levels, noise):
    same(kernels, "features.loudness", 0, 0, levels, noise, bytes(80))


@relaxed
@given(st.integers(0, 20), st.integers(0, 160), st.integers(0, 319))
def test_take(kernels, r, n, at):
    pcm = np.arange(1000, 1180).astype("<i2").tobytes()
    same(kernels, "features.take", r, 0, pcm, n, b"\xa5" * 480, b"\x5a" * 480, at)


def test_tables_are_their_formulas(checked):
    from wakeword import features, spectrum

    hann, halves = spectrum_model.HANN, list(spectrum._HANN)
    halves[231] = 53  # `window` changes it
    assert halves == hann[::2].tolist()
    halves[231] = 54
    assert halves[::-1] == hann[1::2].tolist()
    angles = 2 * np.pi * np.arange(257) / 512
    assert list(spectrum._COSINES) == np.floor(32768.5 + 32767 * np.cos(angles)).astype(int).tolist()
    assert list(features._WEIGHTS) == [0] * 5 + features_model.WEIGHTS.tolist()
    assert list(features._WIDTHS) == np.bincount(features_model.BAND).tolist()
    assert list(features._LOGS) == features_model.LOGS.tolist()
    assert list(features._UP) == [0, *(8 - i.bit_length() for i in range(1, 256))]
    assert list(features._ROOTS) == [math.isqrt((i << 23) - 1) + 3 for i in range(64, 257)]
    for bits in range(33):
        y0, y1, y2 = features_model.gain_points(bits)
        assert list(features._GAINS[3 * bits : 3 * bits + 3]) == [
            y0,
            3 * y0 + y2 - 4 * y1,
            2 * y0 + 2 * y2 - 4 * y1 + 2,
        ]


def test_roots_by_the_table_are_at_most_one_too_much(checked):
    """As `roots` takes them, of all numbers that it does."""
    from wakeword import features

    table = np.array(features._ROOTS, np.int64)
    numbers = np.arange(1 << 21, 1 << 23)
    at = (numbers >> 15) - 64
    found = (((table[at + 1] - table[at]) * (numbers & 32767) >> 15) + table[at]) >> 4
    assert set(np.unique(found - np.floor(np.sqrt(numbers)))) == {0, 1}


@pytest.mark.parametrize("name", ["spectrum", "features"])
def test_kernels_avoid_what_compilers_get_wrong(name):
    assert check_kernel((DSP_PARENT / "wakeword" / f"{name}.py").read_text()) == []
