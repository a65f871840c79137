"""Noise suppression: its kernels on both machines against the model, and what it does to speech and noise."""

import numpy as np
import pytest
import sounds
from hypothesis import given, settings
from hypothesis import strategies as st
from stages import Stage, in_micropython

from lunette.virtual.equivalents import suppress as model

relaxed = settings(deadline=None)  # the first call of a kernel in MicroPython may be slow

BANDS, DELAY = 24, 32
SAMPLE = st.one_of(st.integers(-32768, 32767), st.sampled_from([-32768, 32767, 0, -1, 1]))
EDGE = st.sampled_from([0, 1, 32767, 32768, 65535])


def numbers(n, least=0, most=65535, edges=EDGE):
    return st.one_of(
        st.lists(st.integers(least, most), min_size=n, max_size=n),
        st.lists(edges.map(lambda x: min(most, max(least, x))), min_size=n, max_size=n),
        st.tuples(st.integers(0, 2**32 - 1), st.integers(least, most)).map(
            lambda x: np.random.default_rng(x[0]).integers(least, max(x[1], least) + 1, n)
        ),
    ).map(lambda values: np.array(values, "<u2").tobytes())


def sound(n):
    return st.one_of(
        st.lists(SAMPLE, min_size=n, max_size=n),
        SAMPLE.map(lambda x: [x] * n),
        st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32767)).map(
            lambda x: np.random.default_rng(x[0]).integers(-x[1] - 1, x[1] + 1, n)
        ),
    ).map(lambda values: np.array(values, "<i2").tobytes())


OFFSETS = st.sampled_from([0, 160])
UPS = st.integers(-1, 10)
BLANK = b"\xa5" * 192


def by_model(function, *args):
    own = [bytearray(arg) if isinstance(arg, bytes) else arg for arg in args]
    result = function(*own)
    return result, [bytes(arg) for arg in own if isinstance(arg, bytearray)]


def same(kernels, name, *args):
    result, after = kernels.call(f"suppress.{name}", *args)
    assert (result, after) == by_model(getattr(model, name.strip("_")), *args)
    return result


def with_sum(before):
    """As `_measure` leaves it: the squares of these 32 added up are behind them."""
    total = sum(int(x) ** 2 >> 8 for x in np.frombuffer(before, "<i2"))
    return before + total.to_bytes(4, "little")


@relaxed
@given(sound(320), OFFSETS, sound(32))
def test_measure(kernels, pcm, off, before):
    up = same(kernels, "_measure", 0, 0, pcm, off, with_sum(before))
    heard = np.concatenate([np.frombuffer(before, "<i2"), np.frombuffer(pcm, "<i2")[off : off + 160]])
    energy = (heard.astype(float) ** 2).sum()
    # What the transform needs, and no bit less than it must be.
    assert -1 <= up <= 10
    assert energy * 4.0 ** (up - 4) < 2**29
    assert up == 10 or (energy + 256 * 192) * 4.0 ** (up + 1 - 4) >= 2**29
    last = pcm[2 * off + 256 : 2 * off + 320]
    _, (_, after) = kernels.call("suppress._measure", 0, 0, pcm, off, with_sum(before))
    assert after == before + with_sum(last)[64:]


@relaxed
@given(sound(320), OFFSETS, sound(32))
def test_window(kernels, pcm, off, before):
    up, _ = by_model(model.measure, 0, 0, pcm, off, with_sum(before))
    same(kernels, "_window", 0, 0, pcm, off, with_sum(before), BLANK, BLANK, up)


@relaxed
@given(numbers(96), numbers(96), numbers(32), OFFSETS, UPS)
def test_overlap(kernels, re, im, tail, off, up):
    same(kernels, "_overlap", 0, 0, b"\x5a" * 640, off, re, im, tail, up)


@relaxed
@given(numbers(196, 30500, 35000), UPS)
def test_levels(kernels, bins, up):
    same(kernels, "_levels", 0, 0, bins, b"\xa5" * 50, up)


STATES = st.tuples(*(numbers(BANDS, 256, 11008) for _ in range(4)), numbers(BANDS, 400, 1800)).map(
    lambda columns: np.array([np.frombuffer(c, "<u2") for c in columns]).T.tobytes()
)


@relaxed
@given(numbers(BANDS, 16, 688), STATES, st.integers(0, 1), st.integers(1, 5))
def test_gains(kernels, levels, state, anew, rate):
    same(kernels, "_gains", 0, 0, levels, state, b"\xa5" * 54, anew, rate)


@given(numbers(BANDS, 16, 688), numbers(5 * BANDS))
def test_start(kernels, levels, state):
    same(kernels, "_start", levels, state)


@relaxed
@given(numbers(BANDS + 2, 23, 256))
def test_smooth(kernels, gains):
    same(kernels, "_smooth", 0, 0, gains, b"\xa5" * 50)


def test_tables_are_their_formulas(checked):
    from dsp import suppress

    assert list(suppress._LOGS) == model._LOGS.tolist()
    assert list(suppress._LOSSES) == model._LOSSES.tolist()
    assert list(suppress._RISE) == model._RISE.tolist()
    assert model._EDGES[suppress._UPPER] == 48
    assert list(suppress._BELOW) == (13 // model._WIDTHS).tolist()
    for table, formula in ((suppress._SUMS, model._SUMS), (suppress._FADES, model._FADES)):
        assert list(table) == formula[: len(table)].tolist()
        assert not formula[len(table) :].any()
    rise = np.array(suppress._RISE) / 16384
    assert np.abs(rise**2 + rise[::-1] ** 2 - 1).max() < 1e-4


# --- what it is for -----------------------------------------------------------------------------------


def suppressed(pcm, fast=True):
    return Stage("suppress", "Suppressor", fast).run(np.round(pcm))[0].astype(float)


def later(pcm):
    return np.concatenate([np.zeros(DELAY), pcm])[: len(pcm)]


def clip():
    """Half a second of nothing, then speech."""
    pcm = np.concatenate([np.zeros(8000), sounds.speech(-20)])
    return pcm[: len(pcm) // 320 * 320].astype(float)


def active(pcm):
    """Which 25 ms are within 40 dB of the loudest."""
    blocks = pcm[: len(pcm) // 400 * 400].reshape(-1, 400)
    power = (blocks**2).mean(1)
    return power > power.max() * 1e-4


def segmental_snr(wanted, got):
    """Mean over the active 25 ms, each within -10..35 dB."""
    n = len(wanted) // 400 * 400
    speech = (wanted[:n].reshape(-1, 400) ** 2).sum(1)
    error = ((got - wanted)[:n].reshape(-1, 400) ** 2).sum(1)
    return np.clip(10 * np.log10((speech + 1) / (error + 1)), -10, 35)[active(wanted)].mean()


@pytest.mark.parametrize(
    ("name", "better", "quieter"), [("white", 6, 14), ("pink", 3.5, 12), ("fan", 3, 12), ("hum", 5, 12)]
)
def test_noise_goes(name, better, quieter):
    speech = clip()
    mixed = speech + sounds.noise(name, len(speech), -25)
    out = suppressed(mixed)
    assert segmental_snr(later(speech), out) >= segmental_snr(speech, mixed) + better
    pause = slice(4800, 8000)
    assert np.std(later(mixed)[pause]) >= np.std(out[pause]) * 10 ** (quieter / 20)


def test_clean_speech_stays():
    speech = clip()
    assert segmental_snr(later(speech), suppressed(speech)) >= 30


@pytest.mark.parametrize("name", ["white", "pink"])
def test_what_is_left_of_noise_does_not_chirp(name):
    """The highest peak in time and frequency over the mean there is not 6 dB more than the noise's own."""
    before = sounds.noise(name, 48000, -30)
    after = suppressed(before)

    def peak(pcm):
        power = np.abs(np.fft.rfft(pcm[16000:].reshape(-1, 256) * np.hanning(256), axis=1)[:, 2:100]) ** 2
        return 10 * np.log10((power / power.mean(0)).max())

    assert peak(after) <= peak(before) + 6


def test_silence_stays():
    assert not suppressed(np.zeros(3200)).any()


def test_the_loudest_is_not_turned_over():
    square = np.repeat(np.tile([32767, -32768], 40), 40)
    out = suppressed(square)
    inside = np.arange(len(square)) % 40
    steady = (inside > 10) & (inside < 30) & (np.arange(len(square)) > 960)
    assert (np.sign(out[steady]) == np.sign(later(square)[steady])).all()


def test_a_reset_is_a_new_start():
    stage = Stage("suppress", "Suppressor")
    stage.run(sounds.noise("white", 16000, -20))
    stage.reset()
    pcm = clip()[:16000] + sounds.noise("pink", 16000, -40)
    again, _ = stage.run(np.round(pcm))
    assert np.array_equal(again, suppressed(pcm))


def test_frames_with_the_heap_locked(tmp_path):
    mixed = np.round(clip() + sounds.noise("fan", len(clip()), -25))
    there, _ = in_micropython(tmp_path, "suppress", "Suppressor", mixed)
    assert np.array_equal(there, suppressed(mixed))


@pytest.mark.parametrize("sound", ["quiet", "loudest"])
def test_checked(sound):
    """32 bits are enough in every step, also for what is as loud as can be."""
    rng = np.random.default_rng(6)
    pcm = 3 * rng.normal(size=960) if sound == "quiet" else 32767 * np.sign(rng.normal(size=960))
    assert np.array_equal(suppressed(pcm, fast=False), suppressed(pcm))
