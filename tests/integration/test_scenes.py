"""Whole scenes in the real MicroPython, in real time, side by side (`tests/scenes`): what was said arrives
once, in order and as it was said, or is counted; and only where it may."""

from __future__ import annotations

import ast
import json
import re
import warnings
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scenes

import lunette
from lunette.virtual import scene as scene_file
from lunette.virtual import spoken

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop  # the reference codec: CPython's own, or the audioop-lts package

pytestmark = pytest.mark.timeout(240)  # whichever test comes first waits for all scenes

CLIP = Path(lunette.__file__).parent / "data" / "speech.wav"
FRAME = 320
Reports = dict[str, dict[str, Any]]

# Scenes, and how many recordings of speech arrive whole in each. What is not in here: one.
WHOLE = {
    "backlog": 2,
    "crash_at_release": 2,
    "dark": 0,
    "drop": 2,
    "off": 2,
    "okay_nabu": 2,
    "overflow": 2,  # of three
    "pair": 2,
    "private": 2,
    "strangers": 2,
    "twice_cut": 2,
    "unbonded": 0,
}
# In these a recording is cut off for ever: power goes while the microphone is on.
CUT_OFF = {"power": 1}
# How often the host has to come back. On a machine so slow that it was not there yet when it had to go
# again, it is less; never more.
RETURNS = {
    "away_notes": 1,
    "backlog": 1,
    "crash": 1,
    "crash_at_release": 2,
    "doze": 1,
    "drop": 1,
    "drop_at_release": 1,
    "link_changes": 0,
    "long_range": 0,
    "lossy": 0,
    "mtu_changes": 2,
    "muted_word": 0,
    "off": 1,
    "okay_nabu": 0,
    "overflow": 1,
    "private": 1,
    "reach": 1,
    "stalled": 0,
    "taken_off": 2,
    "wake": 1,
    "widest": 0,
}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Reports:
    played = dict(scenes.play_all(tmp_path_factory.mktemp("scenes")))
    failed = {name: report["failed"] for name, report in played.items() if "failed" in report}
    assert not failed, "\n".join(f"{name}: {why}" for name, why in failed.items())
    return played


def pcm_of(entry: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.int16]]:
    with wave.open(entry["wav"]) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def through_reference_codec(pcm: np.ndarray[Any, np.dtype[np.int16]]) -> np.ndarray[Any, np.dtype[np.int16]]:
    coded, _ = audioop.lin2adpcm(pcm.tobytes(), 2, None)
    decoded, _ = audioop.adpcm2lin(coded, 2, None)
    return np.frombuffer(decoded, np.int16)


def speech_in(entry: dict[str, Any], said_s: float) -> np.ndarray[Any, np.dtype[np.int16]]:
    """What the microphone must have heard: the clip that was said at `said_s`, placed where the recording
    has it."""
    got = pcm_of(entry)
    with wave.open(str(CLIP)) as file:
        clip = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    # Silence codes to silence, so the recording's place is found by correlation, then proved below.
    size = 1 << (len(got) + len(clip)).bit_length()
    spectrum = np.fft.rfft(got, size) * np.conj(np.fft.rfft(clip, size))
    likeness = np.fft.irfft(spectrum, size)
    if entry["started_s"] is not None:  # a part of the clip may be like another part
        expected = round((said_s - entry["started_s"]) * 16000)
        near = np.arange(expected - 1600, expected + 1600)
        shift = int(near[np.argmax(likeness[near % size])])
    else:
        shift = int(np.argmax(likeness))
        if shift >= len(got):
            shift -= size  # the clip had begun before
    heard = np.zeros(len(got), np.int16)
    part = clip[max(0, -shift) :][: len(got) - max(0, shift)]
    heard[max(0, shift) :][: len(part)] = part
    return heard


def speeches(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [r for r in report["recordings"] if r["kind"] == "speech"]


def whole(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The speech that is not a part for ever."""
    return [entry for entry in speeches(report) if not entry["truncated"]]


def events(report: dict[str, Any], what: str) -> list[dict[str, Any]]:
    return [event for event in report["events"] if event["what"] == what]


def half_deaf(report: dict[str, Any]) -> bool:
    """This computer was too slow to listen for a word all the time, which is counted."""
    counters = report["counters"]
    return bool(counters.get("wakeword.gaps") or counters.get("wakeword.skipped"))


def gaps(entry: dict[str, Any]) -> list[list[float]]:
    """[start, seconds] of what the microphone missed: each is a frame of its own."""
    about = json.loads(Path(entry["wav"]).with_suffix(".json").read_text())
    found: list[list[float]] = about["gaps"]
    return found


def notes(report: dict[str, Any]) -> list[str]:
    """The texts of the events that arrived."""
    recorded = [event["detail"] for event in report["events"] if event["what"] == "recorded"]
    return [detail["text"] for detail in recorded if detail["kind"] == "event"]


# --- what is so in every scene ----------------------------------------------------------------------


def test_there_are_as_many_scenes_as_the_readme_says() -> None:
    readme = (Path(scenes.__file__).parents[2] / "README.md").read_text()
    (said,) = re.findall(r"make scenes +# (\d+) scenes", readme)
    assert int(said) == len(scenes.NAMES) >= 20
    assert set(WHOLE) | set(CUT_OFF) | set(RETURNS) <= set(scenes.NAMES)


def test_nothing_is_lost(reports: Reports) -> None:
    for name, report in reports.items():
        most = WHOLE.get(name, 1)
        assert len(whole(report)) == most or (half_deaf(report) and len(whole(report)) < most), name
        assert len(speeches(report)) == len(whole(report)) + CUT_OFF.get(name, 0), name
        for entry in whole(report):
            assert (entry["complete"], entry["lost"], entry["crc_ok"]) == (True, 0, True), name


def test_every_recording_is_on_disk_once(reports: Reports) -> None:
    for name, report in reports.items():
        paths = [Path(entry["wav"]) for entry in whole(report)]
        assert len(set(paths)) == len(paths), name
        if paths:
            found = sorted(path for path in paths[0].parent.glob("*.wav"))
            assert found == sorted(paths) or name in CUT_OFF, name
        for entry in whole(report):
            assert len(pcm_of(entry)) == round(entry["duration_s"] * 16000), name
            if not entry["overruns"]:
                assert entry["frames"] * FRAME == len(pcm_of(entry)), name


def test_every_wav_is_what_the_reference_codec_makes_of_the_speech(reports: Reports) -> None:
    compared = 0
    for name, report in reports.items():
        said = [event["t_s"] for event in report["events"] if event["what"] == "say"]
        for entry in whole(report):
            got = pcm_of(entry)
            if entry["overruns"] or not got.any() or name == "street" or entry["cause"] == "wake":
                # This computer was too slow for the microphone, which is counted; or it is cleaned; or the
                # coder had begun before.
                continue
            heard = speech_in(entry, said[0])
            compared += int(np.abs(heard).max() > 3000)  # the clip is in there
            assert np.array_equal(got, through_reference_codec(heard)), name
    assert compared >= 10


def test_what_the_microphone_gave_has_arrived_or_is_counted(reports: Reports) -> None:
    checked = 0
    for name, report in reports.items():
        actions = scene_file.load(scenes.FOLDER / f"{name}.toml").actions
        presses = sum(action.do == "press" for action in actions)
        # Taps are drafts that nobody wanted, and a new start counts anew.
        if (
            presses != WHOLE.get(name, 1) + (name == "overflow")
            or any(action.do in ("power_cut", "mpremote") for action in actions)
            or events(report, "wake")
        ):
            continue
        counters = report["counters"]
        arrived = sum(entry["frames"] - len(gaps(entry)) for entry in whole(report))
        gone = counters["journal.evicted_frames"] + counters["journal.lost_frames"]
        assert counters["voice.frames"] == arrived + gone, name
        assert bool(gone) == (name == "overflow"), name
        checked += 1
    assert checked >= 12


def test_no_connection_ends_without_a_reason(reports: Reports) -> None:
    for name, times in RETURNS.items():
        link = reports[name]["link"]
        assert min(times, 1) <= link["reconnects"] <= times, name


def test_nothing_unexpected_is_printed(reports: Reports) -> None:
    for name, report in reports.items():
        assert report["errors"] == [], name
        if report["counters"]:  # else the glasses could not be asked
            assert report["counters"]["link.irq_errors"] == 0, name
            assert report["counters"]["bus.failed_hooks"] == 0, name
            assert report["counters"]["pump.failed"] == 0, name


# --- the microphone ---------------------------------------------------------------------------------


def test_a_program_that_is_held_up_has_a_gap_and_goes_on_at_the_right_time(reports: Reports) -> None:
    """0.8 s, of which the ring has kept 240 ms and two transfers that were under way a little more."""
    report = reports["held_up"]
    (entry,) = whole(report)
    (stall,) = events(report, "stall")
    (said,) = events(report, "say")
    found = gaps(entry)
    assert entry["overruns"] == sum(round(seconds / 0.016) for _, seconds in found)
    start, seconds = max(found, key=lambda gap: gap[1])
    assert -0.06 < start - (stall["t_s"] - entry["started_s"]) < 0.1
    got, heard = pcm_of(entry).astype(float), speech_in(entry, said["t_s"]).astype(float)
    first, after = round(start * 16000), round((start + seconds) * 16000)
    assert not got[first:after].any()
    if len(found) == 1:  # else this computer was late, too
        assert 0.4 < seconds < 0.6
        for piece in (slice(0, first - 200), slice(after + 200, None)):  # a codec's noise away, and no more
            assert np.mean((got[piece] - heard[piece]) ** 2) < 0.01 * np.mean(heard[piece] ** 2)


def test_on_a_street_what_arrives_is_clear(reports: Reports) -> None:
    """Two talkers through a PDM microphone: both as loud as each other, and the street softer than it was."""
    (entry,) = whole(reports["street"])
    if entry["overruns"]:
        pytest.skip("this computer was too slow for the microphone, which is counted")
    pcm = pcm_of(entry).astype(float)

    def level_db(begin_s: float, end_s: float) -> float:
        begin, end = (round((t - entry["started_s"]) * 16000) for t in (begin_s, end_s))
        return float(10 * np.log10(np.mean(pcm[begin:end] ** 2) / 32768**2))

    # The end of the clip both times: the gain takes its time to turn to another talker.
    wearer, other, street = level_db(4.4, 6.4), level_db(10.5, 12.5), level_db(6.9, 7.5)
    assert -28 < wearer < -18 and abs(other - wearer) < 4.5  # in the air it is 6 dB less
    assert min(wearer, other) - street > 22  # in the air it is 14
    runs = json.loads(Path(entry["wav"]).with_suffix(".json").read_text())["end"]["voice"]
    voiced = [(begin / 1000 + entry["started_s"], end / 1000 + entry["started_s"]) for begin, end in runs]
    assert any(begin < 2.2 < end for begin, end in voiced) and any(begin < 9.5 < end for begin, end in voiced)
    assert not any(begin < 7.4 < end for begin, end in voiced)


# --- wake words -------------------------------------------------------------------------------------


def saying(name: str) -> list[tuple[str, float, np.ndarray[Any, np.dtype[np.int16]]]]:
    """(text, when, its samples) of everything that is said in a scene, bit for bit as it sounds there."""
    said = [
        action for action in scene_file.load(scenes.FOLDER / f"{name}.toml").actions if action.do == "say"
    ]
    return [
        (a.values["text"], a.t, spoken.clip(a.values["text"], a.values["voice"], a.values["rate"]))
        for a in said
    ]


def kept(entry: dict[str, Any], said_s: float, clip: np.ndarray[Any, Any]) -> tuple[float, float, float]:
    """(from when, until when of the clip a recording has it, in seconds; the least correlation of the pieces
    of 0.1 s in which there is a voice)."""
    got = pcm_of(entry).astype(float)
    size = 1 << (len(got) + len(clip)).bit_length()
    likeness = np.fft.irfft(np.fft.rfft(got, size) * np.conj(np.fft.rfft(clip, size)), size)
    expected = round((said_s - entry["started_s"]) * 16000)
    near = np.arange(expected - 1600, expected + 1600)
    shift = int(near[np.argmax(likeness[near % size])])
    begin, end = max(0, -shift), min(len(clip), len(got) - shift)
    pieces = [slice(at, at + 1600) for at in range(begin, end - 1599, 1600)]
    alike = [
        np.corrcoef(clip[piece], got[piece.start + shift : piece.stop + shift])[0, 1]
        for piece in pieces
        if np.std(clip[piece]) > 600
    ]
    assert len(alike) > 8
    return begin / 16000, end / 16000, float(min(alike))


def wakes(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Recordings after a word."""
    found = [entry for entry in report["recordings"] if entry["cause"] == "wake"]
    if not report["counters"] or half_deaf(report) or any(gaps(entry) for entry in found):
        pytest.skip("this computer was too slow for the microphone, which is counted")
    return found


def word_ends(entry: dict[str, Any]) -> float:
    """When the glasses say that the word ended, in scene time."""
    assert entry["wake"]["model"] == "okay_nabu" and 850 <= entry["wake"]["score"] <= 1000
    return float(entry["started_s"] + entry["wake"]["ms"] / 1000)


def test_after_the_word_the_whole_question_is_recorded_and_nothing_else(reports: Reports) -> None:
    report = reports["okay_nabu"]
    (word, word_s, word_clip), (_, question_s, question), other, (_, both_s, both) = saying("okay_nabu")
    first, second = wakes(report)
    assert report["counters"]["wakeword.wakes"] == 2 and word == "okay nabu"
    assert report["recordings"] == [first, second]
    word_ends_s = len(word_clip) / 16000
    for entry, said_s in ((first, word_s), (second, both_s)):
        assert abs(word_ends(entry) - said_s - word_ends_s) < 0.2
        assert 0.2 < entry["wake"]["ms"] / 1000 < 0.6, "lead_ms"
    begin, end, alike = kept(first, question_s, question)
    assert (begin, end) == (0, len(question) / 16000) and alike > 0.9
    begin, end, alike = kept(second, both_s, both)
    assert begin < word_ends_s and end == len(both) / 16000 and alike > 0.9
    # What was said in between was heard, long after the microphone's start.
    (heard,) = (span for span in report["microphone"] if span[0] < other[1] < span[1])
    assert heard[0] + 2.3 < other[1]


def test_muted_glasses_do_not_listen(reports: Reports) -> None:
    report = reports["muted_word"]
    muted, free = (event["t_s"] for event in events(report, "write"))
    (_, unheard_s, _), (_, said_s, clip) = saying("muted_word")
    assert muted < unheard_s < free
    assert report["microphone"][0][0] < 0, "they had listened"
    assert not any(begin < free and end > muted + 0.5 for begin, end in report["microphone"])
    (entry,) = wakes(report)
    assert report["recordings"] == [entry] and report["counters"]["wakeword.wakes"] == 1
    assert kept(entry, said_s, clip)[1] == len(clip) / 16000


def test_glasses_that_listen_while_they_are_worn_wake_for_it(reports: Reports) -> None:
    report = reports["taken_off"]
    off, on = (event["t_s"] for event in events(report, "worn"))
    (slept,), (woken,) = events(report, "sleep"), events(report, "wake")
    assert off < slept["t_s"] < on <= woken["t_s"]
    assert not any(begin < on and end > off + 0.5 for begin, end in report["microphone"])
    _, (_, said_s, clip) = saying("taken_off")
    (entry,) = wakes(report)
    assert kept(entry, said_s, clip)[1] == len(clip) / 16000


def test_the_light_is_lit_whenever_the_microphone_runs(reports: Reports) -> None:
    for name, report in reports.items():
        for begin, end in report["microphone"]:
            # Rounded to 0.1 ms; power that goes takes both, one after the other.
            assert any(on <= begin + 0.0002 and end - 0.002 <= off for on, off in report["light"]), name
    assert sum(len(report["microphone"]) for report in reports.values()) > len(reports)


# --- links that die, and hosts that leave -----------------------------------------------------------


def test_a_link_that_dies_again_and_again(reports: Reports) -> None:
    link = reports["drops"]["link"]
    assert 1 <= link["reconnects"] <= link["air"]["lost_links"] == 2


def test_a_poor_link_sends_again_and_loses_nothing(reports: Reports) -> None:
    for name in ("lossy", "link_changes"):
        assert reports[name]["link"]["air"]["retransmissions"] > 0, name


def test_a_host_that_takes_nothing_holds_the_glasses_back(reports: Reports) -> None:
    assert reports["stalled"]["counters"]["pump.enomem"] > 0


def test_after_a_crash_the_host_goes_on_from_its_disk(reports: Reports) -> None:
    report = reports["crash"]
    (entry,) = whole(report)
    assert report["counters"]["pump.resumes"] == 1
    # A second of speech had been acknowledged when it crashed; that was not sent again.
    assert 0 < report["counters"]["pump.resent"] < entry["frames"]


def test_live_speech_goes_before_the_backlog(reports: Reports) -> None:
    begun = [e["detail"]["id"] for e in reports["backlog"]["events"] if e["what"] == "recording"]
    waited, live = (entry["id"] for entry in whole(reports["backlog"]))
    assert begun == [live, waited]


def test_each_note_arrives_once_and_before_the_speech(reports: Reports) -> None:
    assert notes(reports["widest"]) == ['"bookmark"'] * 3
    recorded = [e["detail"] for e in reports["away_notes"]["events"] if e["what"] == "recorded"]
    assert [detail["kind"] for detail in recorded] == ["event"] * 3 + ["speech"]
    assert [d["id"] for d in recorded[:3]] == sorted({d["id"] for d in recorded[:3]})


# --- memory and flash -------------------------------------------------------------------------------


def test_what_memory_could_not_hold_is_counted(reports: Reports) -> None:
    counters = reports["overflow"]["counters"]
    assert counters["journal.evicted_recordings"] == 1
    assert counters["journal.evicted_frames"] > 40
    for name, report in reports.items():
        if name != "overflow" and report["counters"]:
            assert report["counters"]["journal.evicted_frames"] == 0, name


def test_what_is_in_flash_is_delivered_once(reports: Reports) -> None:
    # Left flash: what was delivered; and of "cut_saving" what was not finished.
    for name, removed in (("saved", 1), ("cut_saving", 2)):
        assert reports[name]["counters"]["spool.removed"] == removed, name
        assert reports[name]["counters"]["journal.damaged"] == 0, name


def test_power_that_goes_during_a_save_takes_that_recording_only(reports: Reports) -> None:
    report = reports["cut_saving"]
    cut = [event["t_s"] for event in report["events"] if event["what"] == "power"]
    (entry,) = whole(report)
    assert entry["duration_s"] < 2, "the first, not the second of 3 s"
    assert cut[0] > 4.5


# --- who may listen ---------------------------------------------------------------------------------


def test_a_host_without_a_bond_hears_nothing(reports: Reports) -> None:
    report = reports["unbonded"]
    assert (report["link"]["notifications"], report["link"]["bytes"]) == (0, 0)
    assert report["recordings"] == []
    problems = [event["detail"] for event in report["events"] if event["what"] == "problem"]
    assert any("pair" in problem for problem in problems)
    (run,) = report["mpremote"]
    refused, sent, frames, evicted = ast.literal_eval(run["output"])
    assert refused > 0 and frames >= 60 and (sent, evicted) == (0, 0)


def test_strangers_hear_nothing_while_somebody_speaks(reports: Reports) -> None:
    report = reports["strangers"]
    patient, pairing, late = report["strangers"]
    assert patient["connected"] and {"read", "ready"} <= set(patient["refused"])
    assert pairing["connected"] and "pair" in pairing["refused"] and pairing["sent_away"]
    assert not late["connected"], "while a host is served the glasses do not advertise"
    assert [(s["notified"], s["bytes"]) for s in (patient, pairing, late)] == [(0, 0)] * 3
    assert report["counters"]["link.refused_pairings"] == 1


def test_the_gesture_lets_a_host_in(reports: Reports) -> None:
    report = reports["pair"]
    (paired,) = (event["t_s"] for event in report["events"] if event["what"] == "connected")
    begun = [event["t_s"] for event in report["events"] if event["what"] == "press"]
    assert begun[0] < paired, "what was said before, too"
    assert report["counters"]["link.refused_pairings"] > 0, "it had tried before"


def test_a_bond_is_kept_when_power_goes_soon_after(reports: Reports) -> None:
    report = reports["pair_power"]
    connected = [event["t_s"] for event in report["events"] if event["what"] == "connected"]
    cut = next(event["t_s"] for event in report["events"] if event["what"] == "power_cut")
    assert cut < connected[-1]


def test_who_was_forgotten_hears_nothing_more(reports: Reports) -> None:
    report = reports["forget"]
    (run,) = report["mpremote"]
    assert ast.literal_eval(run["output"]) == [0, 1], "no host, and a recording that waits for one"
    problems = [event["detail"] for event in report["events"] if event["what"] == "problem"]
    assert any("no longer knows this host" in problem for problem in problems)


# --- power, prompt, and the rest --------------------------------------------------------------------


def test_a_note_arrives_between_two_recordings(reports: Reports) -> None:
    assert notes(reports["drop"]) == ['"bookmark"']  # main.py's hook for the double tap


def test_smallest_mtu_and_malformed_requests(reports: Reports) -> None:
    report = reports["rough"]
    (entry,) = speeches(report)  # the tap gives none
    assert report["counters"]["link.refused"] == 2
    assert report["link"]["notifications"] > entry["frames"] * 164 / 18
    assert report["counters"]["pump.failed"] == 0


def test_the_prompt_does_not_disturb_a_recording(reports: Reports) -> None:
    report = reports["prompt"]
    (entry,) = speeches(report)
    first, second = report["mpremote"]
    assert first["code"] == 0 and first["output"].split()[:2] == ["True", "True"], first
    # The microphone went on while mpremote came, looked and left.
    assert entry["duration_s"] > 2.5
    assert second["code"] == 0 and int(second["output"]) > 100, second


def test_power_cut_and_return(reports: Reports) -> None:
    report = reports["power"]
    # Not by number: the count of starts wraps.
    cut, _ = sorted(speeches(report), key=lambda entry: entry["started_s"])
    assert cut["crc_ok"] is not True  # what arrived before the cut is kept, and known to be a part
    assert cut["frames"] > 10
    assert report["states"]["off"] > 0.25
    lights = [e["detail"] for e in report["events"] if e["what"] == "light"]
    assert lights[:2] == [True, False]  # without power the light is out


def test_a_press_out_of_deep_sleep_is_heard_and_brings_the_host(reports: Reports) -> None:
    report = reports["wake"]
    (slept,), (woken,), (pressed,) = (events(report, what) for what in ("sleep", "wake", "press"))
    assert slept["t_s"] < pressed["t_s"] <= woken["t_s"] and "detail" not in slept, "no timer"
    (entry,) = whole(report)
    # The chip's own start takes no time here. It is the interpreter's, and this computer may be slow.
    assert 0 < entry["started_s"] - pressed["t_s"] < 1
    assert entry["frames"] > 70 and entry["overruns"] is not None
    (_, again) = (event["t_s"] for event in [{"t_s": 0.0}, *events(report, "connected")])
    assert again > woken["t_s"], "it had been let go, and left them alone"


def test_a_host_finds_sleeping_glasses_by_a_beacon(reports: Reports) -> None:
    report = reports["reach"]
    (connected,) = (event["t_s"] for event in events(report, "connected"))
    wakes = events(report, "wake")
    assert {event["detail"] for event in wakes} == {4}, "only the timer wakes them"
    assert events(report, "sleep")[0]["t_s"] < wakes[0]["t_s"] < connected
    assert 13 < connected < 13 + 3.5
    (entry,) = whole(report)
    assert entry["frames"] >= 70


def test_light_sleep_hears_a_press_at_once(reports: Reports) -> None:
    report = reports["doze"]
    assert not events(report, "sleep"), "no deep sleep"
    assert report["states"]["sleep"] > 1 and report["counters"]["power.beacons"] >= 1
    (entry,) = whole(report)
    (pressed,) = (event["t_s"] for event in events(report, "press"))
    assert 0 < entry["started_s"] - pressed < 0.3


def test_the_gesture_switches_them_off_and_only_the_button_on(reports: Reports) -> None:
    report = reports["off"]
    (slept,), (woken,) = events(report, "sleep"), events(report, "wake")
    last = events(report, "press")[-1]
    assert "detail" not in slept and slept["t_s"] < 16 < last["t_s"] <= woken["t_s"]
    assert report["states"]["off"] > 1.5


def test_darkness_counts_to_the_end_of_the_scene(reports: Reports) -> None:
    assert reports["dark"]["states"]["off"] > 0.65


def test_reset_by_mpremote_starts_the_glasses_again(reports: Reports) -> None:
    report = reports["reset"]
    assert [run["code"] for run in report["mpremote"]] == [0, 0]
    assert report["mpremote"][0]["output"].strip() == "2"
    (entry,) = speeches(report)
    assert entry["lost"] == 0 and entry["crc_ok"] is True


def test_frames_need_no_heap(reports: Reports) -> None:
    # Only where the stack never ran out of buffers: the exception that says so is on the heap. So is an
    # acknowledgement, and may come in the middle of a frame; hence in one scene at least.
    measured = [
        report["heap"]["bytes_per_frame"]
        for report in reports.values()
        if report["link"]["enomem"] == 0 and report["heap"].get("bytes_per_frame") is not None
    ]
    assert len(measured) >= 5 and 0 in measured


def test_energy_is_told_by_state_and_consumer(reports: Reports) -> None:
    for name, report in reports.items():
        energy = report["energy"]
        assert set(energy) <= {"active", "listening", "connected", "standby", "sleep", "off"}, name
        total = sum(mah for spent in energy.values() for mah in spent.values())
        assert 0 < total * 3600 / report["scene"]["duration_s"] < 150, name  # mA
    spoken = reports["power"]["energy"]["active"]
    assert {"cpu", "radio", "mic", "light", "board"} <= set(spoken)
    assert spoken["radio"] > spoken["cpu"] > spoken["mic"] > 0
    assert reports["doze"]["energy"]["sleep"]["light_sleep"] > 0
    assert reports["off"]["energy"]["off"]["deep_sleep"] > 0
    assert reports["off"]["energy"]["standby"]["boot"] > 0


def test_every_report_has_the_promised_keys(reports: Reports) -> None:
    for report in reports.values():
        assert {"recordings", "events", "link", "latency_ms", "counters", "heap", "states", "errors"} <= set(
            report
        )
        assert {"notifications", "bytes", "enomem", "reconnects", "goodput_kbps"} <= set(report["link"])
        assert {"p50", "p95", "max"} == set(report["latency_ms"])
        assert {"start", "end", "peak", "bytes_per_frame"} <= set(report["heap"])
        for entry in report["recordings"]:
            keys = {"id", "kind", "cause", "started_s", "duration_s", "frames", "lost", "crc_ok", "wav"}
            assert keys <= set(entry)
