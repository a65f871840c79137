"""Hearing a wake word through a day: what it takes of the chip's time, in place of doing it.

In virtual time an hour of features and networks would take five minutes. Here these kernels compute nothing,
and the program is held up for as long as they would take on the chip: by what is counted in the code that
runs there (docs/wakeword.md), at the clock that the chip has. Everything else is the firmware's own: frames,
steps, the ring of coded sound, the locks and the clock. No word is ever heard.

Nobody looks at voice activity either while there is no word, so it is not computed. What it takes is not
counted, nor cleaning, coding and byte code, as in the rest of a day.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

from lunette.virtual.cpython import Environment
from lunette.virtual.in_process import InProcessGlasses
from lunette.wakeword import format, loaded

CYCLES = 1.3
"""Of the CPU, for an instruction: the estimate of docs/wakeword.md."""

VECTOR_INSTRUCTIONS = 200_000
"""Executed for the features of 10 ms, about, on xtensawin (docs/wakeword.md)."""

STEP_INSTRUCTIONS, PRODUCT_INSTRUCTIONS = 35_000, 6.4
"""Executed in a network's step (30 ms): so many, and for each of `products`. A line by what
docs/wakeword.md has of four models (xtensawin, in the middle of a word): none is further than 6 % from it."""

_VECTOR = "wakeword.features.quantise"  # is called once for each,
_STEP = "wakeword.layers.take"  # and this once for each step of each network
_NOT_COMPUTED = ("wakeword.", "dsp.highpass.", "dsp.activity.")


def names(setting: str) -> list[str]:
    """The models of the setting `wakeword`."""
    return list(dict.fromkeys(name for part in setting.split(",") if (name := part.strip())))


@functools.lru_cache
def model(name: str) -> bytes:
    """The glasses' file. LunetteError if there is no such model, or no package that it comes with."""
    return loaded.load(name).content


def products(content: bytes) -> int:
    """Of a weight and a byte in a step of that model, by its file; what only fills up counts, too."""
    *_, rings, operations, _, phrase = format.HEAD.unpack_from(content)
    at = format.HEAD.size + (phrase + 3 & -4)
    channels = [format.RING.unpack_from(content, at + i * format.RING.size)[2] for i in range(rings)]
    at += rings * format.RING.size
    found = 0
    for _ in range(operations):
        kind, _, a, b, c, *_ = format.OPERATION.unpack_from(content, at)
        at += format.OPERATION.size
        size = 0
        if kind in (format.DENSE, format.SPARSE, format.DEPTHWISE):
            size = b * (channels[a] if kind == format.DEPTHWISE else c)
            found += size
        elif kind in (format.SCALE, format.REMEMBER):
            size = format.FACTOR.size * (channels[c] if kind == format.REMEMBER else b)
        at += size  # multiples of 4, all of them
    return found


class Hearing:
    """``fast_kernels(hearing.instead)``, then `attach` the glasses. `vectors` and `steps` are what they have
    heard since then; `models` are the files of the models that they have."""

    def __init__(self, models: Sequence[bytes]):
        each = [STEP_INSTRUCTIONS + PRODUCT_INSTRUCTIONS * products(content) for content in models]
        self._step = sum(each) / len(each)  # all of them are asked in every step
        self.vectors = 0
        self.steps = 0
        self._env: Environment | None = None
        self._glasses: InProcessGlasses | None = None
        self._owed_us = 0.0
        self._told_us = 0

    def attach(self, env: Environment, glasses: InProcessGlasses) -> None:
        self._env, self._glasses = env, glasses

    def instead(self, name: str) -> Callable[..., Any] | None:
        """For `fast_kernels`."""
        if not name.startswith(_NOT_COMPUTED):
            return None

        def passes(*_: Any) -> int:
            if name == _VECTOR:
                self.vectors += 1
                self._work(VECTOR_INSTRUCTIONS)
            elif name == _STEP:
                self.steps += 1
                self._work(self._step)
            return 0

        return passes

    def _work(self, instructions: float) -> None:
        """The program is held up for so long. The firmware's own account is told: CPython has not the place
        where that looks for itself."""
        assert self._env is not None and self._glasses is not None
        self._owed_us += instructions * CYCLES * 1e6 / self._glasses.chip.power.freq_hz
        us = int(self._owed_us)
        self._owed_us -= us
        self._glasses.blocked_s += us / 1e6
        self._env.clock.sleep_us(us)
        self._told_us += us
        ms, self._told_us = divmod(self._told_us, 1000)
        sys.modules["glasses"]._instance.idle.busy_ms += ms
