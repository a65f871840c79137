"""From the microphone to the host: live speech in MicroPython, over the air, in real time.

Four waits make the latency of the oldest sample of a frame: the frame has to be full (20 ms), the
DMA hands samples over a descriptor of 256 at a time (16 ms; against frames of 20 ms that is 0, 4, 8 or
12 ms more), the radio has to have its turn (up to one connection interval), and the programs on both
sides have to run (10 ms are granted to them: they poll and share this computer).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from . import speech
from .rows import Row

_FRAME_MS, _DESCRIPTOR_MS, _PROGRAMS_MS = 20, 12, 10


def measure() -> Iterator[Row]:
    for interval in (15, 30):
        take = speech.take(interval)
        live = np.array(take.latencies_ms(live=True))
        every = np.array(take.latencies_ms(live=False))
        name = f"latency at {interval} ms, "
        counted = f"{len(live)} frames"
        limit = _FRAME_MS + interval + _PROGRAMS_MS + _DESCRIPTOR_MS
        p50, p95 = np.percentile(live, (50, 95))
        yield Row(name + "oldest sample, p50", p50 + _FRAME_MS, "ms", note=counted)
        yield Row(
            name + "oldest sample, p95",
            p95 + _FRAME_MS,
            "ms",
            goal=f"<= {limit}",
            note=f"frame {_FRAME_MS} + DMA {_DESCRIPTOR_MS} + interval {interval} + programs {_PROGRAMS_MS}",
        )
        ideal = np.array(speech.virtual_take(interval).latencies_ms(live=True))
        yield Row(
            name + "oldest, p95, virtual",
            np.percentile(ideal, 95) + _FRAME_MS,
            "ms",
            goal=f"<= {limit}",
            note="virtual time, where programs take none: what polling and the air cost",
        )
        yield Row(name + "newest sample, p50", p50, "ms", note=counted)
        yield Row(name + "newest sample, p95", p95, "ms", note=counted)
        kept = f"with the {len(every) - len(live)} frames that wait until the press is a hold"
        for share in (50, 95):
            yield Row(name + f"newest of all, p{share}", np.percentile(every, share), "ms", note=kept)
    yield _beside_backlog(30)


def _beside_backlog(interval: int) -> Row:
    bound = _FRAME_MS + interval + _PROGRAMS_MS
    found = np.array(speech.busy_take(interval).beside_backlog_ms(bound))
    if len(found) < 50:
        raise RuntimeError(f"only {len(found)} frames were live while the backlog drained")
    p95 = np.percentile(found, 95)
    return Row(
        f"latency at {interval} ms, beside a backlog",
        p95,
        "ms",
        goal=f"<= {bound}",
        note=f"newest sample, p95 of {len(found)} frames; oldest {p95 + _FRAME_MS:.0f}; real time",
    )
