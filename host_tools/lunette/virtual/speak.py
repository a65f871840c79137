"""A program: says the text at its input by eSpeak NG, to its output (`spoken.py`).

    speak.py LIBRARY DATA VOICE WORDS_A_MINUTE

Output: the sample rate, 4 bytes little-endian, then int16 samples.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

_SYNCHRONOUS_RETRIEVAL = 2
_SET_RATE = 1
_UTF8 = 1


def main() -> None:
    path, data, voice, words_a_minute = sys.argv[1:]
    text = sys.stdin.buffer.read() + b"\0"
    espeak = ctypes.CDLL(path)
    rate = espeak.espeak_Initialize(_SYNCHRONOUS_RETRIEVAL, 0, data.encode(), 0)
    if rate <= 0:
        sys.exit("it does not start")
    said = bytearray(rate.to_bytes(4, "little"))

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
    def take(samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            said.extend(ctypes.string_at(samples, 2 * count))
        return 0

    espeak.espeak_SetSynthCallback(take)
    if espeak.espeak_SetVoiceByName(voice.encode()):
        sys.exit(f"no voice {voice}")
    espeak.espeak_SetParameter(_SET_RATE, int(words_a_minute), 0)
    espeak.espeak_ng_SetRandSeed(1)  # of the breath of some voices: it has taken the time
    espeak.espeak_Synth(text, len(text), 0, 0, 0, _UTF8, None, None)
    espeak.espeak_Synchronize()
    sys.stdout.buffer.write(said)


if __name__ == "__main__":
    main()
