"""What scenes do to the sound and to the microphones."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from lunette import paths
from lunette.acoustics import Geometry
from lunette.errors import LunetteError
from lunette.virtual import scene, spoken
from lunette.virtual.air import Air
from lunette.virtual.performer import Performer
from lunette.virtual.simulator import VirtualGlasses

SPEECH = str(paths.DATA / "speech.wav")


def perform(board: str, *actions: dict[str, Any]) -> VirtualGlasses:
    """Glasses that are switched off, and what happened to them."""

    async def main() -> VirtualGlasses:
        glasses = VirtualGlasses(Air(), board)
        if board == "esp32s3_devkit":  # two microphones: here on both sides of the head
            assert glasses.sound.geometry.positions == Geometry.of(glasses.board.parts["mic"]).positions
            glasses.sound.geometry = Geometry(((-70.0, 0.0, 0.0), (70.0, 0.0, 0.0)))
        performer = Performer(glasses)
        for action in actions:
            checked = scene.check({"t": 0, **action}, "scene")
            await performer.perform(checked.do, checked.values)
        glasses.sound.t0 = asyncio.get_running_loop().time()
        await glasses.close()
        return glasses

    return asyncio.run(main())


def level(glasses: VirtualGlasses, ear: int = 0) -> float:
    heard = glasses.sound.render24(0, 4 * 16000, ear).astype(float)
    return float(20 * np.log10(np.sqrt(np.mean(heard**2)) / 2**23))


def test_a_voice_from_elsewhere_is_softer_and_on_its_side_louder() -> None:
    mouth = level(perform("esp32s3_devkit", {"do": "say", "wav": SPEECH}))
    glasses = perform("esp32s3_devkit", {"do": "say", "wav": SPEECH, "azimuth": 90, "distance": 0.5})
    assert level(glasses) < mouth - 10
    assert 1 < level(glasses, 1) - level(glasses) < 4, "it comes from the right"
    glasses = perform("virtual", {"do": "say", "wav": SPEECH, "distance": 2})
    assert level(glasses) < mouth - 20, "one microphone: the distance counts, too"


def test_a_text_is_heard_as_it_is_spoken() -> None:
    clip = spoken.clip("okay nabu", "en-us+m3", 140)  # made before: it takes its time
    glasses = perform("virtual", {"do": "say", "text": "okay nabu", "voice": "en-us+m3", "rate": 140})
    heard = glasses.sound.render(0, 20 * 16000)
    begin = int(np.flatnonzero(heard)[0] - np.flatnonzero(clip)[0])
    assert np.array_equal(heard[begin:][: len(clip)], clip)
    assert not heard[:begin].any() and not heard[begin + len(clip) :].any()
    spoken.clip("okay nabu")
    softer, louder = (perform("virtual", {"do": "say", "text": "okay nabu", "gain_db": db}) for db in (0, 6))
    assert level(louder) - level(softer) == pytest.approx(6, abs=0.1)


def test_they_are_worn_or_not() -> None:
    def pin(*actions: dict[str, Any]) -> int:
        return perform("virtual", *actions).chip.pins.level(13)

    assert pin({"do": "worn", "on": True}) == 1
    assert pin({"do": "worn", "on": True}, {"do": "worn", "on": False}) == 0
    perform("xiao_esp32c3", {"do": "worn", "on": False})  # which cannot tell


def test_noise_has_its_level_wherever_it_comes_from() -> None:
    for more in ({}, {"azimuth": -90, "distance": 3}):
        for kind in ("street", "babble", "fan"):
            noise = {"do": "noise", "kind": kind, "level_dbfs": -40, **more}
            glasses = perform("esp32s3_devkit", noise)
            assert level(glasses) == pytest.approx(-40, abs=4), kind
            assert level(glasses, 1) == pytest.approx(-40, abs=4), kind


def test_microphones_are_broken_and_mended() -> None:
    broken = {"do": "mic", "channel": "right", "fault": "stuck", "bit": 3}
    glasses = perform("esp32s3_devkit", broken, {"do": "mic", "fault": "dead", "noise_dbfs": -80})
    left, right = (glasses.chip.i2s.microphone(side) for side in ("left", "right"))
    assert right.fault is not None and (right.fault.kind, right.fault.bit) == ("stuck", 3)
    assert left.fault is not None and left.fault.kind == "dead"
    assert (left.noise_dbfs, right.noise_dbfs) == (-80, None)
    mended = {"do": "mic", "channel": "right", "fault": "none"}
    glasses = perform("esp32s3_devkit", broken, mended)
    assert glasses.chip.i2s.microphone("right").fault is None


def test_a_board_with_one_microphone_has_no_right_one() -> None:
    with pytest.raises(LunetteError, match="board virtual: no microphone is on the right side"):
        perform("virtual", {"do": "mic", "channel": "right", "fault": "dead"})


def test_glasses_that_are_off_cannot_be_held_up() -> None:
    with pytest.raises(LunetteError, match="the glasses are off: there is no program to hold up"):
        perform("virtual", {"do": "stall", "seconds": 1})


@pytest.mark.parametrize(
    ("action", "complaint"),
    [
        (
            {"do": "noise", "kind": "brown"},
            "kind = 'brown' is none of: white, pink, hum, fan, street, babble",
        ),
        ({"do": "say", "wav": "x", "distance": 0}, "distance must be above 0"),
        ({"do": "say"}, "(say): one of: wav, text"),
        ({"do": "say", "wav": "x", "text": "y"}, "(say): one of: wav, text"),
        ({"do": "say", "wav": "x", "voice": "en-us"}, "voice and rate are for text"),
        ({"do": "say", "wav": "x", "rate": 150}, "voice and rate are for text"),
        ({"do": "say", "text": " "}, "text has no words"),
        ({"do": "say", "text": "x", "rate": 79}, "rate = 79 is not from 80 to 450 words a minute"),
        ({"do": "say", "text": "x", "rate": 99.5}, "rate = 99.5 is of the wrong type"),
        ({"do": "say", "text": "x", "voice": "klingon"}, "(say): eSpeak NG has no voice 'klingon'"),
        ({"do": "say", "text": ["x"]}, "text = ['x'] is of the wrong type"),
        ({"do": "worn"}, "on is missing"),
        ({"do": "worn", "on": 1}, "on = 1 is of the wrong type"),
        ({"do": "noise", "azimuth": "left"}, "azimuth = 'left' is of the wrong type"),
        ({"do": "mic"}, "one at least of: fault, noise_dbfs"),
        ({"do": "mic", "fault": "deaf"}, "fault = 'deaf' is none of: none, dead, stuck"),
        ({"do": "mic", "fault": "dead", "channel": "both"}, "channel = 'both' is none of: left, right"),
        ({"do": "mic", "fault": "dead", "bit": 3}, 'value and bit are for fault = "stuck"'),
        ({"do": "mic", "fault": "stuck", "bit": 24}, "a sample has bits 0 to 23"),
        ({"do": "mic", "fault": "stuck", "value": 1 << 23}, "a sample has bits 0 to 23"),
        ({"do": "mic", "noise_dbfs": 3}, "noise_dbfs cannot be above 0"),
        ({"do": "stall", "seconds": 0}, "seconds must be above 0"),
        ({"do": "stall"}, "seconds is missing"),
    ],
)
def test_what_a_scene_cannot_do_is_said(action: dict[str, Any], complaint: str) -> None:
    with pytest.raises(LunetteError) as caught:
        scene.check({"t": 1, **action}, "scene")
    assert complaint in str(caught.value)
