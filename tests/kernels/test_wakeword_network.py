"""A wake word's network against TensorFlow Lite's C runtime: published models, and small ones of any kind."""

import importlib
import struct

import numpy as np
import pytest
import sounds
from hypothesis import given, settings
from hypothesis import strategies as st
from quality.wakeword_inputs import inputs_of
from stages import DSP_PARENT, _own_kernels
from thorough import TIMES
from wakeword_models import BANDS, Shape, build

from lunette.virtual.equivalents import equivalents
from lunette.virtual.spoken import wave
from lunette.virtual.viper_lint import check_kernel
from lunette.wakeword import engine, format
from lunette.wakeword.convert import convert
from lunette.wakeword.packaged import find
from lunette.wakeword.reference import Reference

relaxed = settings(deadline=None, max_examples=30 * TIMES)
TINY = Shape(filters=16, blocks=((((16, 5),), 8),))


def random_rows(count, size, seed=1):
    """Inputs of all kinds: any numbers, many zeros, only the least, only the most."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(-128, 128, (count, size)).astype(np.int8)
    kinds = rng.integers(0, 6, count // 8 + 1).repeat(8)[:count]
    rows[(rng.random(rows.shape) < 0.7) & (kinds == 1)[:, None]] = -128
    rows[kinds == 2] = -128
    rows[kinds == 3] = 127
    return rows


def expected(content, rows):
    with Reference(content) as reference:
        return reference.steps(rows)


def spoken(text, voice="en-us"):
    said = wave(text, voice, 140)
    said = np.concatenate([np.zeros(24000), 9000 * said / np.abs(said).max(), np.zeros(8000)])
    return said + np.random.default_rng(1).normal(0, 12, len(said))


@pytest.fixture(scope="module")
def heard():
    """Rows of speech, words, noise, silence, a full-scale chirp and random numbers, one after the other."""
    t = np.arange(32000)
    pcm = [spoken(text) for text in ("okay nabu", "alexa", "hey my croft", "hey jarvis", "okay now boost")]
    pcm += [sounds.speech(sounds.CLIP_DBFS), sounds.noise("pink", 32000, -30), np.zeros(16000)]
    pcm += [32767 * np.sin(2 * np.pi * (50 * t / 16000 + 1950 * (t / 16000) ** 2))]
    return np.concatenate([*map(inputs_of, pcm), random_rows(300, 3 * BANDS)])


@pytest.mark.parametrize("name", ["okay_nabu", "hey_jarvis", "hey_mycroft", "alexa"])
def test_published_models_equal_tensorflow(name, heard):
    content = find(name).path.read_bytes()
    made = engine.of_inputs(convert(content), heard)
    theirs = expected(content, heard)
    assert np.array_equal(made.probabilities, theirs)
    if name != "hey_jarvis":  # which eSpeak does not say well
        assert theirs.max() > 230


SHAPES = {
    "small": Shape(),
    "ranges": Shape(filters=48, blocks=((((16, 4), (16, 12), (16, 25)), 64),), last_rows=4, seed=4),
    "odd": Shape(rows=2, first_rows=2, filters=33, blocks=((((33, 18),), 17), (((17, 5),), 40)), seed=3),
    "left over": Shape(rows=1, first_rows=3, filters=24, blocks=((((20, 3), (4, 7)), 30),), last_rows=3),
    "wide": Shape(filters=96, blocks=((((96, 9),), 72),), last_rows=2, seed=6),
    "taps": Shape(filters=16, blocks=((((8, 32), (8, 2)), 16), (((16, 29),), 16)), seed=7),
}


@pytest.mark.parametrize("name", SHAPES)
def test_any_shape_equals_tensorflow(name):
    shape = SHAPES[name]
    content = build(shape)
    rows = random_rows(400, shape.rows * BANDS, 5)
    theirs = expected(content, rows)
    assert len(np.unique(theirs)) > 8
    assert np.array_equal(engine.of_inputs(convert(content), rows).probabilities, theirs)


@pytest.mark.parametrize("seed", range(6 * TIMES))
def test_random_weights_equal_tensorflow(fast, seed):
    """What is rounded otherwise once in 1000 steps shows here."""
    shape = Shape(filters=20, blocks=((((12, 3), (8, 7)), 12),), last_rows=1 + seed % 2, seed=20 + seed)
    content = build(shape)
    rows = random_rows(250, shape.rows * BANDS, seed)
    assert np.array_equal(run(fast(convert(content)), rows), expected(content, rows))


# --- In CPython -------------------------------------------------------------------------------------------


def run(network, rows):
    return np.array([network.step(bytearray(row.tobytes())) for row in rows], np.uint8)


@pytest.fixture(scope="module")
def fast():
    """`Network` in CPython, its kernels as their equivalents."""
    with _own_kernels(fast=True):
        return importlib.import_module("wakeword.network").Network


def test_equivalents_equal_tensorflow(fast, heard):
    content = find("okay_nabu").path.read_bytes()
    assert np.array_equal(run(fast(convert(content)), heard[:600]), expected(content, heard[:600]))


def test_32_bits_are_enough(checked):
    from wakeword.network import Network

    content = build(SHAPES["left over"])
    rows = random_rows(24, BANDS)
    assert np.array_equal(run(Network(convert(content)), rows), expected(content, rows))


def test_32_bits_are_enough_for_a_published_model(checked, heard):
    from wakeword.network import Network

    content = find("hey_jarvis").path.read_bytes()
    rows = np.vstack([heard[60:62], np.full((1, 3 * BANDS), 127, np.int8)])
    assert np.array_equal(run(Network(convert(content)), rows), expected(content, rows))


def test_a_reset_is_a_new_start(fast):
    content = build(TINY)
    network = fast(convert(content))
    rows = random_rows(60, 3 * BANDS)
    run(network, rows[:37])
    network.reset()
    assert np.array_equal(run(network, rows), expected(content, rows))


def test_what_a_network_says_of_itself(fast, tmp_path):
    made = convert(build(TINY), "okay möwe", 0.9, 7)
    network = fast(made)
    assert (network.phrase, network.cutoff, network.window) == ("okay möwe", 229, 7)
    assert (network.rows, network.bands) == (3, BANDS)
    assert len(made) - 1000 < network.size < len(made) + 1000
    (tmp_path / "model").write_bytes(made)
    with (tmp_path / "model").open("rb") as file:
        assert fast(file).phrase == "okay möwe"
    with pytest.raises(ValueError, match="too few inputs"):
        network.step(bytearray(119))


# --- Files that are not right -------------------------------------------------------------------------------


def made_tiny():
    return convert(build(TINY), "tiny")


@pytest.mark.parametrize("cut", [0, 3, 11, 16, 23, 30, 100, 1000, -4, -1])
def test_a_file_that_ends_early_is_refused(fast, cut):
    with pytest.raises(ValueError, match="wake word"):
        fast(made_tiny()[:cut])


def test_a_file_that_goes_on_is_refused(fast):
    with pytest.raises(ValueError, match="longer"):
        fast(made_tiny() + b"\0")


@relaxed
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_changed_byte_is_noticed(fast, at, change):
    made = bytearray(made_tiny())
    made[at % len(made)] ^= change
    with pytest.raises(ValueError, match="wake word"):
        fast(bytes(made))


def heads(made):
    """Where the head, the rings and each operation are, in a file."""
    counts = format.HEAD.unpack_from(made)[9:]
    rings, operations, _, phrase = counts
    at = format.HEAD.size + -(-phrase // 4) * 4
    places = [*range(4, 8), *range(16, 24), *range(at, at + rings * format.RING.size)]
    at += rings * format.RING.size
    for one in _operations(made, at, operations):
        places += range(one, one + format.OPERATION.size)
    return places


def _operations(made, at, count):
    channels = format.RING.unpack_from(made, at - format.RING.size)[2]
    for _ in range(count):
        yield at
        kind, _, _, b, c, *_ = format.OPERATION.unpack_from(made, at)
        sizes = {
            format.DENSE: b * c,
            format.SPARSE: b * c,
            format.DEPTHWISE: b * channels,
            format.SCALE: 12 * b,
            format.REMEMBER: 12 * channels,
            format.TABLE: 256,
        }
        at += format.OPERATION.size + sizes.get(kind, 0)
    assert at == len(made)


@relaxed
@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.one_of(st.integers(0, 255), st.just(255))), min_size=1, max_size=3
    )
)
def test_a_hostile_file_is_refused_or_runs_in_its_buffers(checked, changes):
    """With its CRC right: checked kernels raise IndexError for what is beside a buffer."""
    from wakeword.network import Network

    made = bytearray(made_tiny())
    places = heads(made)
    for at, value in changes:
        made[places[at % len(places)]] = value
    try:
        network = Network(format.sealed(bytes(made)))
    except ValueError as error:
        assert "wake word" in str(error)
        return
    row = bytearray(np.full(network.rows * network.bands, 100, np.int8).tobytes())
    for _ in range(2):
        try:
            assert 0 <= network.step(row) <= 255
        except OverflowError:
            return  # sums that are none turn over on a chip


def test_hostile_files_in_micropython():
    """The same for real, where nothing but the loader is between a file and memory."""
    tiny = made_tiny()
    places = heads(tiny)
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(8 * TIMES):
        made = bytearray(tiny)
        made[places[rng.integers(len(places))]] = rng.integers(256)
        try:
            engine.of_inputs(format.sealed(bytes(made)), random_rows(4, 3 * BANDS))
        except Exception as error:
            assert "wake word" in str(error)
            refused += 1
    assert refused


def test_versions_to_come_are_refused(fast):
    made = bytearray(made_tiny())
    made[4] = 2
    with pytest.raises(ValueError, match="version 2"):
        fast(format.sealed(bytes(made)))


def test_operations_to_come_are_refused(fast):
    model = format.Model(
        3, BANDS, 200, 4, (), (format.Operation(12, ()), format.Operation(format.TABLE, (4,), bytes(256)))
    )
    with pytest.raises(ValueError, match="kind 12"):
        fast(format.write(model))


# --- The kernels --------------------------------------------------------------------------------------------


def same(kernels, name, *args):
    own = [bytearray(arg) if isinstance(arg, bytes) else arg for arg in args]
    result = equivalents()[f"wakeword.layers.{name}"](*own)
    after = [bytes(arg) for arg in own if isinstance(arg, bytearray)]
    assert kernels.call(f"wakeword.layers.{name}", *args) == (result, after)
    return result


def octets(seed, count):
    """Bytes with many of 0 and of 255."""
    rng = np.random.default_rng(seed)
    made = rng.integers(0, 256, count)
    made[rng.random(count) < 0.3] = 0
    made[rng.random(count) < 0.2] = 255
    return made.astype(np.uint8).tobytes()


SEEDS = st.integers(0, 9999)


def plan(*numbers):
    return struct.pack(f"<{len(numbers)}H", *numbers)


@relaxed
@given(SEEDS, st.sampled_from([0, 8, 24, 64, 72, 128, 200]), st.integers(0, 3), st.integers(0, 3))
def test_dot(kernels, seed, inputs, at, to):
    arena = octets(seed + 1, at + inputs)
    same(kernels, "dot", 0, octets(seed, inputs), plan(at, inputs, 1 + to), arena, b"\x55" * 20)


@relaxed
@given(SEEDS, st.sampled_from([0, 8, 24, 64, 72, 128, 200]), st.integers(2, 70))
def test_turn(kernels, seed, inputs, n):
    filled = -(-n // 16) * 16
    same(kernels, "turn", 0, b"\xa5" * (inputs * filled), octets(seed, inputs * n), inputs, n)


def kept(before, n):
    """What `dense` leaves of a layer without weights: sums, state, room for changes."""
    state = struct.pack("<I", sum(before)) + bytes(4 * n) + before
    return bytes(4 + 4 * n) + state + b"\xa5" * (4 * len(before) + 4)


@relaxed
@given(SEEDS, st.sampled_from([8, 24, 64]), st.sampled_from([16, 32, 48, 64]), st.integers(0, 3))
def test_dense(kernels, seed, inputs, n, at):
    numbers = plan(at, inputs, n, 1, 1 + n, 2 + 2 * n + inputs // 4)
    # Sums of one sign, as they always are: with weights they are at least those before.
    arena = octets(seed + 1, at + inputs)
    rng = np.random.default_rng(seed)
    before = [number if rng.random() < 0.5 else int(rng.integers(0, number + 1)) for number in arena[at:]]
    same(kernels, "dense", 0, octets(seed, inputs * n), numbers, arena, kept(bytes(before), n))


@relaxed
@given(
    SEEDS, st.sampled_from([8, 40]), st.integers(2, 40), st.lists(st.integers(0, 9), min_size=1, max_size=4)
)
def test_dense_gives_sums_of_all_inputs_whatever_has_changed(kernels, seed, inputs, outputs, parts):
    """By numpy, of weights as the format has them; step after step, with some, no and all inputs new."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(-127, 128, (outputs, inputs))
    n = -(-outputs // 16) * 16
    _, (turned, _) = kernels.call(
        "wakeword.layers.turn", 0, bytes(inputs * n), format.dense_weights(weights.tolist()), inputs, outputs
    )
    sums = kept(bytes(inputs), n)
    given = np.zeros(inputs, np.uint8)
    numbers = plan(0, inputs, n, 1, 1 + n, 2 + 2 * n + inputs // 4)
    for part in parts:
        new = rng.integers(0, 256, inputs)
        given = np.where(rng.random(inputs) < part / 9, new, given).astype(np.uint8)
        _, (_, _, _, sums) = kernels.call("wakeword.layers.dense", 0, turned, numbers, given.tobytes(), sums)
        words = np.frombuffer(sums, "<u4").astype(int)
        assert words[0] == given.sum()
        expected = weights @ given.astype(int)
        assert np.array_equal(words[1 : 1 + outputs] - 128 * words[0], expected)


@relaxed
@given(SEEDS, st.sampled_from([4, 8, 60]), st.sampled_from([16, 32]), st.integers(0, 3))
def test_sparse(kernels, seed, inputs, n, first):
    sums = b"\x55" * 4 * (n + 4)
    numbers = plan(2, inputs, 1 + first, n)
    same(kernels, "sparse", 0, octets(seed, inputs * n), numbers, octets(seed + 1, inputs + 4), sums)


@relaxed
@given(SEEDS, st.sampled_from(range(4, 33, 4)), st.integers(1, 6), st.integers(0, 3))
def test_depthwise(kernels, seed, taps, n, first):
    arena = octets(seed, 8 + 2 * taps * n) + bytes([seed % 4])
    numbers = plan(5, len(arena) - 1, 2 * taps, taps, 1 + first, n)
    sums = b"\x55" * 4 + bytes(4 * (n + 3))
    same(kernels, "depthwise", 0, octets(seed + 1, taps * n), numbers, arena, sums)


def scaling(seed, bits, n, inputs):
    """(records, sums) whose numbers reach as far as the converter lets them."""
    rng = np.random.default_rng(seed)
    most = 2 ** (30 - bits)
    sums = rng.integers(0, most, n)
    records = b""
    for total in sums:
        wanted = int(rng.integers(-most + 1, most))
        parts = [int(part) for part in rng.integers(0, 2**bits, 3)]
        add = 2**29 + wanted - int(total) + 128 * inputs
        records += struct.pack("<I4H", add, *parts, rng.integers(bits, bits + 12))
    return records, struct.pack(f"<{n}I", *map(int, sums))


@pytest.mark.parametrize("name", ["scale", "scale_away", "remember"])
@relaxed
@given(SEEDS, st.integers(9, 14), st.sampled_from([2, 4, 16]), st.integers(0, 511), st.integers(0, 4))
def test_scale(kernels, name, seed, bits, n, zero, slot):
    inputs = seed % 1000
    records, sums = scaling(seed, bits, n + 1, inputs)
    arena = bytes([slot]) + bytes(200)
    numbers = plan(2, n, bits, zero, 3, 0, 5) if name == "remember" else plan(2, n, bits, zero, 3)
    same(kernels, name, 0, records[12:], numbers, arena, struct.pack("<I", inputs) + sums)


@relaxed
@given(SEEDS, st.integers(1, 20), st.integers(0, 3))
def test_gather(kernels, seed, n, first):
    sums = np.random.default_rng(seed).integers(0, 2**24, 24).astype("<u4").tobytes()
    same(kernels, "gather", 0, bytes(4), plan(first, n), bytes(4), sums)


@relaxed
@given(st.integers(0, 9), st.integers(0, 30), st.integers(1, 30))
def test_slide(kernels, at, n, by):
    same(kernels, "slide", 0, bytes(4), plan(at, n, by), bytes(range(80)), bytes(4))


def test_take(kernels):
    same(kernels, "take", bytes(264), bytes(range(256)), 5, 256)


def test_kernels_avoid_what_compilers_get_wrong():
    assert check_kernel((DSP_PARENT / "wakeword" / "layers.py").read_text()) == []
