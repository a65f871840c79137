"""`lunette demo`: the whole of Lunette in ten seconds."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lunette import paths
from lunette.commands import common
from lunette.errors import LunetteError

if TYPE_CHECKING:
    from lunette.virtual.stage import Stage
    from lunette.waveform import Comparison


def demo(
    out: Annotated[Path, typer.Option(help="Folder for recording.wav, waveform.png and report.json.")] = Path(
        "out/demo"
    ),
) -> None:
    """Speak into virtual glasses and receive the recording.

    A finger holds the button, a sentence is said, and the recording comes over Bluetooth LE.

    The firmware runs in MicroPython on simulated hardware; the radio is simulated too. Ends with 0
    only if everything that was said arrived.
    """
    folder = common.folder(out)
    for name in ("recording.wav", "waveform.png", "report.json"):
        (folder / name).unlink(missing_ok=True)  # of an earlier demo: not to be taken for this one's
    complete, lines = common.run(_demo(folder))
    print()
    for line in lines:
        print(line)
    if not complete:
        raise LunetteError("the demo lost something on the way; report.json says what")


async def _demo(folder: Path) -> tuple[bool, list[str]]:
    from lunette import waveform
    from lunette.commands import play
    from lunette.virtual import scene

    with tempfile.TemporaryDirectory(prefix="lunette-demo-") as scratch:
        script = scene.load(paths.DATA / "demo.toml")
        report, stage = await play.play(script, Path(scratch), sys.stdout)
        comparison = None
        if report["recordings"] and report["recordings"][0]["wav"]:
            first = report["recordings"][0]
            wav = folder / "recording.wav"
            shutil.move(first["wav"], wav)
            first["wav"] = str(wav)
            comparison = _draw(waveform, stage, first, folder / "waveform.png")
        play.save(report, folder / "report.json")
    return arrived(report), summary(report, comparison, folder)


def _draw(waveform: Any, stage: Stage, entry: dict[str, Any], path: Path) -> Comparison | None:
    assert stage.listener is not None
    recording = next(r for r in stage.listener.recordings if r.number == entry["id"])
    sent = stage.heard(recording)
    if sent is None:
        return None
    rate = int(recording.meta.get("rate", 16000))
    title = "Lunette: speech through MicroPython and Bluetooth LE"
    cleaning = recording.meta.get("cleaning")
    result: Comparison = waveform.draw(path, sent, recording.pcm(), rate, title, cleaning)
    return result


def arrived(report: dict[str, Any]) -> bool:
    """Is there a recording, and is every one of them whole?"""
    recordings = report["recordings"]
    return bool(recordings) and all(
        r["complete"] and r["crc_ok"] and r["lost"] == 0 and r["frames"] > 0 for r in recordings
    )


def summary(report: dict[str, Any], comparison: Comparison | None, folder: Path) -> list[str]:
    """Lines for a person on how it went."""
    lines = []
    for entry in report["recordings"]:
        crc = "CRC ok" if entry["crc_ok"] else "CRC WRONG"
        lines.append(
            f"heard      {entry['duration_s']:.2f} s, {entry['frames']} frames, {entry['lost']} lost, {crc}"
        )
    if not lines:
        lines.append("heard      nothing: no recording arrived")
    latency, link = report["latency_ms"], report["link"]
    if latency["p50"] is not None:
        lines.append(
            f"latency    {latency['p50']:.0f} ms (median), {latency['p95']:.0f} ms (95 %), "
            f"{latency['max']:.0f} ms (most): microphone to host"
        )
    if link["goodput_kbps"] is not None:
        lines.append(
            f"link       {link['notifications']} notifications, {link['goodput_kbps']:.0f} kbit/s of speech, "
            f"{link['reconnects']} reconnects"
        )
    if comparison is not None and comparison.gain_db is not None and comparison.delay_s is not None:
        lines.append(
            f"voice      {comparison.gain_db:+.1f} dB by automatic gain, cleaned on the glasses, "
            f"{comparison.delay_s * 1000:.0f} ms late for it"
        )
    elif comparison is not None and not comparison.cleaned:
        lines.append(
            f"fidelity   {comparison.snr_db:.1f} dB signal to noise after coding to a quarter of the size"
        )
    if report["errors"]:
        lines.append(
            f"errors     the firmware printed {len(report['errors'])} unexpected lines, see report.json"
        )
    shown = Path(os.path.relpath(folder)) if folder.is_relative_to(Path.cwd()) else folder
    lines.append(
        "files      "
        + ", ".join(
            str(shown / n) for n in ("recording.wav", "waveform.png", "report.json") if (folder / n).exists()
        )
    )
    return lines
