"""The firmware's heap in MicroPython while speech is live. Objects are twice as large as on the chip."""

from __future__ import annotations

from collections.abc import Iterator

from lunette import boards

from . import speech
from .rows import Row


def measure() -> Iterator[Row]:
    report = speech.take(15).report
    heap = report["heap"]
    size = boards.load(report["scene"]["board"]).heap_kb
    yield Row(
        "heap, audio path, a frame",
        heap["bytes_per_frame"],
        "B",
        goal="== 0",
        note="microphone to notification, link up, sampled every 8th frame",
    )
    busy = speech.busy_take(30).report["heap"]
    yield Row(
        "heap, a frame, beside a backlog",
        busy["bytes_per_frame"],
        "B",
        goal="<= 16",
        note="a host comes in the middle: refusals are objects, and so is a packet size when first met",
    )
    for moment in ("start", "peak"):
        yield Row(f"heap at the {moment}", heap[moment] / 1024, "KiB", size, "the board's heap")
