"""Texts that are spoken: the same samples each time, and words for what cannot be said."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from lunette.errors import LunetteError
from lunette.virtual import spoken


def test_a_text_is_the_same_whatever_was_said_before() -> None:
    first = spoken.clip("okay nabu")
    other = spoken.clip("what is the weather tomorrow", "en-us+f3", 120)
    spoken.wave.cache_clear()
    assert np.array_equal(spoken.clip("what is the weather tomorrow", "en-us+f3", 120), other)
    assert np.array_equal(spoken.clip("okay nabu"), first)
    assert first.dtype == np.int16 and len(first) != len(other)


def test_a_clip_is_as_loud_as_it_is_to_be_and_as_long_as_its_rate_says() -> None:
    slow, fast = (spoken.clip("two nine three four zero", words_a_minute=rate) for rate in (100, 200))
    assert 1.6 < len(slow) / len(fast) < 2.3
    for clip in (slow, fast):
        peak_db = 20 * np.log10(np.abs(clip.astype(int)).max() / 32768)
        assert peak_db == pytest.approx(spoken.PEAK_DBFS, abs=0.01)
    # Speech of 16 kHz: there is something above 4 kHz, and most is below.
    spectrum = np.abs(np.fft.rfft(slow.astype(float))) ** 2
    high = spectrum[len(spectrum) // 2 :].sum() / spectrum.sum()
    assert 1e-4 < high < 0.3


def test_what_is_said_cannot_be_changed_for_others() -> None:
    with pytest.raises(ValueError, match="read-only"):
        spoken.wave("okay nabu")[0] = 1


@pytest.mark.parametrize(
    ("text", "voice", "complaint"),
    [
        ("one", "klingon", "no voice 'klingon': they are called by their language"),
        ("one", "../en", "no voice '../en'"),
        ("one", "en-us+nobody", "no voice 'en-us\\+nobody': speakers are"),
        ("...", "en-us", "nothing to say in '...'"),
    ],
)
def test_what_cannot_be_said(text: str, voice: str, complaint: str) -> None:
    with pytest.raises(LunetteError, match=complaint):
        spoken.wave(text, voice)


def test_without_the_package_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    spoken._voices.cache_clear()
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    assert not spoken.installed()
    with pytest.raises(LunetteError, match="pip install espeakng-loader"):
        spoken.clip("a text that nobody has said")
