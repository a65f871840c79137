from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from hal_rig import Rig, with_chip
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from lunette.virtual.chip import microphones
from lunette.virtual.chip.microphones import Modulator, upsample

RATE = 16000
PDM_RATE = 64 * RATE
ONE = {"mic": {"driver": "i2s_microphone", "port": 0, "sck": 4, "ws": 5, "sd": 6}}
PLACES = ((-70, 0, 0), (70, 0, 0))
TWO = {"mic": {**ONE["mic"], "channels": 2, "positions": PLACES}}
PDM = {"mic": {"driver": "pdm_microphone", "port": 0, "clock": 42, "data": 41, "ws": 5}}


def clip(n: int, seed: int = 1, most: int = 32767) -> np.ndarray:
    return np.random.default_rng(seed).integers(-most - 1, most + 1, n).astype(np.int16)


def sine(hz: float, dbfs: float, n: int = RATE) -> np.ndarray:
    wave = 10 ** (dbfs / 20) * 32768 * np.sin(2 * np.pi * hz * np.arange(n) / RATE)
    return np.rint(wave).clip(-32768, 32767).astype(np.int16)


async def captured(rig: Rig, frames: int, **changes: Any) -> np.ndarray:
    """The next `frames` frames as the program gets them, in pieces of 320: int32 of 32-bit stereo unless told
    otherwise, with a column a channel."""
    I2S = rig.machine.I2S
    options = dict(sck=4, ws=5, sd=6, mode=I2S.RX, bits=32, format=I2S.STEREO, rate=RATE, ibuf=32768)
    options |= changes
    mic = I2S(0, **options)
    size = options["bits"] // 8 * (2 if options["format"] == I2S.STEREO else 1)
    got: list[bytes] = []
    done = asyncio.Event()
    mic.irq(lambda i2s: done.set())
    left = frames
    while left:
        n = min(320, left)
        buffer = bytearray(n * size)
        mic.readinto(buffer)
        await done.wait()
        done.clear()
        got.append(bytes(buffer))
        left -= n
    mic.deinit()
    kind = "<i4" if options["bits"] == 32 else "<i2"
    return np.frombuffer(b"".join(got), kind).reshape(frames, -1)


# --- 24 bits in 32 ------------------------------------------------------------------------------------------


@with_chip(parts=ONE)
async def test_a_sample_has_24_bits_in_the_upper_ones_of_its_half(rig: Rig) -> None:
    pcm = clip(1000, most=20000)
    rig.chip.sound.say(pcm, gain_db=-30)
    heard = await captured(rig, 1000)
    assert not heard[:, 1].any(), "nobody drives the right half"
    assert not (heard[:, 0] & 0xFF).any()
    expected = pcm * 10 ** (-30 / 20) * 256
    assert np.abs((heard[:, 0] >> 8) - expected).max() <= 0.5
    # More than 16 bits of it: what is below is not all the same.
    assert len(set((heard[:, 0] >> 8 & 0xFF).tolist())) > 200


@with_chip(parts=ONE)
async def test_sixteen_bits_of_one_voice_are_what_was_said(rig: Rig) -> None:
    pcm = clip(1000)
    rig.chip.sound.say(pcm)
    heard = await captured(rig, 1000, bits=16, format=0)
    assert (heard[:, 0] == pcm).all()
    assert (rig.chip.sound.render(rig.chip.i2s.sessions[-1].first_sample, 1000) == pcm).all()


@pytest.mark.parametrize("wrong", [{"sck": 7}, {"ws": 7}, {"sd": 7}])
@with_chip(parts=ONE)
async def test_a_port_on_other_pins_than_the_board_s_hears_nothing(rig: Rig, wrong: dict[str, int]) -> None:
    rig.chip.sound.say(clip(4000))
    assert not (await captured(rig, 600, **wrong)).any()
    assert (await captured(rig, 600)).any()


@pytest.mark.parametrize(("rate", "hears"), [(6000, False), (8000, True), (48000, True), (96000, False)])
@with_chip(parts=ONE)
async def test_it_sleeps_outside_of_its_range_of_clocks(rig: Rig, rate: int, hears: bool) -> None:
    rig.chip.sound.say(clip(40000))
    assert (await captured(rig, 600, rate=rate)).any() == hears


@with_chip(parts=ONE)
async def test_noise_of_its_own_has_its_level_and_is_added(rig: Rig) -> None:
    mic = rig.chip.i2s.microphone("left")
    mic.noise_dbfs = microphones.INMP441_NOISE_DBFS
    heard = await captured(rig, RATE)
    level = 20 * np.log10(np.sqrt(np.mean((heard[:, 0] / 2.0**31) ** 2)))
    assert level == pytest.approx(-87, abs=0.3)
    pcm = sine(440, -20)
    rig.chip.sound.say(pcm)
    both = await captured(rig, 8000, bits=16, format=0)
    difference = both[:, 0].astype(int) - pcm[:8000]
    assert 0 < np.abs(difference).max() < 12
    mic.noise_dbfs = None
    assert not (await captured(rig, 100)).any() or True


@with_chip(parts=TWO)
async def test_two_microphones_have_noise_of_their_own(rig: Rig) -> None:
    for side in ("left", "right"):
        rig.chip.i2s.microphone(side).noise_dbfs = -60.0
    heard = (await captured(rig, 8000)).astype(float)
    assert abs(np.corrcoef(heard[:, 0], heard[:, 1])[0, 1]) < 0.05


# --- faults -------------------------------------------------------------------------------------------------


@with_chip(parts=TWO)
async def test_each_microphone_breaks_by_itself_and_in_mid_capture(rig: Rig) -> None:
    pcm = clip(8000)
    rig.chip.sound.say(pcm)
    loop = asyncio.get_running_loop()
    start = loop.time()
    left, right = rig.chip.i2s.microphone("left"), rig.chip.i2s.microphone("right")
    loop.call_at(start + 0.1, left.break_, "dead")
    loop.call_at(start + 0.2, right.break_, "stuck", -5)
    loop.call_at(start + 0.3, left.break_, "none")
    heard = await captured(rig, 8000)

    def still(side: int, piece: slice) -> bool:
        return bool((heard[piece, side] == heard[piece.start, side]).all())

    assert not still(0, slice(0, 1000)) and not still(1, slice(0, 2500))
    assert still(0, slice(2000, 4400)) and heard[2000, 0] == 0
    assert not still(1, slice(2000, 2800))
    assert still(1, slice(3700, 8000)) and heard[4000, 1] == -5 << 8
    assert (heard[5500:, 0] >> 16 == pcm[5500:]).all()


@pytest.mark.parametrize("bit", [0, 7, 22, 23])
@with_chip(parts=ONE)
async def test_a_stuck_bit_is_always_one(rig: Rig, bit: int) -> None:
    pcm = clip(500)
    rig.chip.sound.say(pcm)
    rig.chip.i2s.microphone().break_("stuck", bit=bit)
    heard = await captured(rig, 500)
    assert (
        heard[:, 0] == (pcm.astype(np.int32) << 16 | np.int32(np.uint32(1 << bit + 8).view(np.int32)))
    ).all()


@with_chip(parts=ONE)
async def test_what_cannot_be_broken(rig: Rig) -> None:
    with pytest.raises(ValueError, match="no microphone is on the right side"):
        rig.chip.i2s.microphone("right")
    for arguments in (("loud",), ("stuck", 1 << 23), ("stuck", None, 24)):
        with pytest.raises(ValueError):
            rig.chip.i2s.microphone().break_(*arguments)


@with_chip(parts={})
async def test_a_board_without_a_microphone_is_silent(rig: Rig) -> None:
    rig.chip.sound.say(clip(4000))
    assert not (await captured(rig, 600)).any()
    with pytest.raises(ValueError, match="the board has no microphone"):
        rig.chip.i2s.microphone()


# --- PDM ----------------------------------------------------------------------------------------------------


def in_time(words: np.ndarray) -> np.ndarray:
    """The bits (0, 1) of 32-bit words in memory, in the order in which they came: bytes by p ^ 3, the highest
    bit first."""
    memory = words.astype("<i4").tobytes()
    return np.unpackbits(np.frombuffer(bytes(memory[p ^ 3] for p in range(len(memory))), np.uint8))


def decimated(bits: np.ndarray, cutoff: float = 7700) -> np.ndarray:
    """As nothing in the firmware could: by a filter of 20001 taps, 100 dB down."""
    taps = signal.firwin(20001, cutoff, fs=PDM_RATE, window=("kaiser", 10))
    return signal.fftconvolve(2.0 * bits - 1, taps, "valid")[::64]


def snr(found: np.ndarray, hz: float) -> tuple[float, float]:
    """(dB of signal to all else, amplitude) of a sine in samples at RATE."""
    t = 2 * np.pi * hz * np.arange(len(found)) / RATE
    basis = np.stack([np.sin(t), np.cos(t), np.ones_like(t)], axis=1)
    parts, *_ = np.linalg.lstsq(basis, found, rcond=None)
    rest = found - basis @ parts
    amplitude = float(np.hypot(*parts[:2]))
    return 10 * np.log10(amplitude**2 / 2 / np.mean(rest**2)), amplitude


@with_chip(parts=PDM)
async def pdm(rig: Rig, pcm: np.ndarray, found: list[np.ndarray], at: float = 0.0) -> None:
    rig.chip.sound.say(pcm, at=asyncio.get_running_loop().time() + at)
    found.append(await captured(rig, len(pcm), sck=42, sd=41))


def pdm_words(pcm: np.ndarray) -> np.ndarray:
    found: list[np.ndarray] = []
    pdm(pcm=pcm, found=found)  # type: ignore[call-arg]
    return found[0].reshape(-1)


@pytest.mark.parametrize(
    ("hz", "dbfs", "least"), [(1000, -6, 75), (300, -3, 75), (5000, -6, 75), (1000, -40, 45)]
)
def test_a_sine_comes_back_from_its_bits(hz: float, dbfs: float, least: float) -> None:
    found = decimated(in_time(pdm_words(sine(hz, dbfs))))
    ratio, amplitude = snr(found, hz)
    assert ratio >= least
    assert 20 * np.log10(amplitude) == pytest.approx(dbfs, abs=0.05)


def test_bits_are_in_step_with_the_sound() -> None:
    pcm = signal.lfilter(*signal.butter(4, 3000, fs=RATE), clip(RATE, most=20000)).round().astype(np.int16)
    taps = signal.firwin(20001, 7000, fs=PDM_RATE, window=("kaiser", 10))
    same = signal.fftconvolve(2.0 * in_time(pdm_words(pcm)) - 1, taps, "same")[::64]
    said = pcm[1000:-1000] / 32768
    # Already one bit more or less, a 64th of a sample, would be worse than that.
    assert 10 * np.log10(np.mean(said**2) / np.mean((same[1000:-1000] - said) ** 2)) > 42


@pytest.mark.parametrize("hz", [500.0, 3000.0, 6500.0])
def test_nothing_is_beyond_the_band(hz: float) -> None:
    """Images of the 16 kHz sound would be at 16 kHz - f and so on."""
    tone = upsample(sine(hz, -6, 4000).astype(np.int32) << 8)
    power = np.abs(np.fft.rfft(tone * np.kaiser(len(tone), 14))) ** 2
    at = np.fft.rfftfreq(len(tone), 1 / PDM_RATE)
    assert 10 * np.log10(power[at > 9500].max() / power.max()) < -78


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=6), st.integers(0, 5))
def test_bits_read_in_pieces_or_twice_are_the_same_bits(pieces: list[int], seed: int) -> None:
    @with_chip(parts=PDM)
    async def check(rig: Rig) -> None:
        rig.chip.sound.say(clip(3000, seed))
        await captured(rig, 1, sck=42, sd=41)
        session = rig.chip.i2s.sessions[-1]
        line = rig.chip.i2s.lines[0]
        at, parts = 1, []
        for n in pieces:
            parts.append(line.slots(session, at, n))
            at += n
        again = line.slots(session, 1, at - 1)
        assert (np.concatenate(parts) == again).all()

        other = microphones.PdmLine(rig.chip.sound)
        assert (other.slots(session, 0, at)[1:] == again).all()

    check()


@with_chip(parts=PDM)
async def test_the_modulator_goes_on_through_an_overrun(rig: Rig) -> None:
    rig.chip.sound.say(sine(1000, -6))
    await captured(rig, 1, sck=42, sd=41)
    session = rig.chip.i2s.sessions[-1]
    one, other = microphones.PdmLine(rig.chip.sound), microphones.PdmLine(rig.chip.sound)
    one.slots(session, 0, 256)
    assert (one.slots(session, 2048, 256) == other.slots(session, 0, 2304)[2048:]).all()


@with_chip(parts=PDM)
async def test_other_formats_have_holes_and_other_clocks_are_slept_through(rig: Rig) -> None:
    pcm = sine(1000, -6)

    async def words(**changes: Any) -> np.ndarray:
        rig.chip.sound.quiet()
        rig.chip.sound.say(pcm)
        return await captured(rig, 1024, sck=42, sd=41, **changes)

    whole = await words()
    assert (await words(format=0) == whole[:, :1]).all()
    assert (await words(bits=16) == whole >> 16).all()
    assert not (await words(rate=15000)).any() and not (await words(rate=51000)).any()
    assert (await words(rate=48000)).any()
    assert (await words(ws=17) == whole).all(), "WS goes nowhere"
    assert not (await captured(rig, 1024, sck=41, sd=42)).any()


@with_chip(parts=PDM)
async def test_a_faster_clock_hears_the_same_tone(rig: Rig) -> None:
    rig.chip.sound.say(sine(1000, -6))
    bits = in_time((await captured(rig, 24000, sck=42, sd=41, rate=48000)).reshape(-1))
    taps = signal.firwin(20001, 7700, fs=48000 * 64, window=("kaiser", 10))
    found = signal.fftconvolve(2.0 * bits - 1, taps, "valid")[::192]
    assert snr(found, 1000)[0] > 40  # the sound is interpolated linearly there


@with_chip(parts=PDM)
async def test_a_broken_one_sends_one_bit(rig: Rig) -> None:
    rig.chip.sound.say(clip(8000))
    mic = rig.chip.i2s.microphone()
    mic.break_("dead")
    assert (await captured(rig, 256, sck=42, sd=41) == 0).all()
    mic.break_("stuck")
    assert (await captured(rig, 256, sck=42, sd=41) == -1).all()
    mic.break_("none")
    assert len(np.unique(await captured(rig, 256, sck=42, sd=41))) > 100


@pytest.mark.parametrize("seed", range(3))
def test_too_loud_is_clipped_and_then_all_is_well(seed: int) -> None:
    """Full scale of every kind, then a tone."""
    t = np.arange(20 * PDM_RATE // 100) / PDM_RATE
    rng = np.random.default_rng(seed)
    loud = [
        np.ones_like(t),
        -np.ones_like(t),
        np.sign(np.sin(2 * np.pi * rng.uniform(20, 8000) * t)),
        3 * np.sin(2 * np.pi * rng.uniform(20, 8000) * t),
        np.repeat(rng.choice([-1.0, 1.0], len(t) // 64), 64),
    ]
    modulator = Modulator()
    for piece in loud:
        modulator.run(piece)
    dc = np.frombuffer(modulator.run(np.full(PDM_RATE // 4, 1.0)), np.uint8)[2000:]
    assert 2 * dc.mean() - 1 == pytest.approx(microphones.CLIP, abs=0.001)
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(PDM_RATE // 2) / PDM_RATE)
    bits = np.frombuffer(modulator.run(tone), np.uint8)
    assert snr(decimated(bits[20000:]), 1000)[0] > 75


def test_silence_is_as_many_ones_as_zeros_without_a_tone() -> None:
    found = decimated(in_time(pdm_words(np.zeros(RATE, np.int16))))
    assert np.abs(found).max() < 10 ** (-85 / 20)
