# mypy: ignore-errors
"""Runs in MicroPython: the glasses' detector over a file of samples, its heap locked while it hears.

    hear.py FOLDER OPTIONS PCM MODEL...

FOLDER is that of the package `wakeword`, PCM a file of int16, of which whole frames of 320 are heard,
each MODEL a file for the glasses. OPTIONS are JSON: `settle`, `rest` and `gate` as `Detector` takes them;
`late` and `voice`: lists of frames, counted from 0. Prints a line for each frame in which the networks were
asked: its number, how many steps were skipped so far, `fired`, `score`, `ago`, each network's probability.
"""

import json
import sys

import micropython

sys.path.insert(0, sys.argv[1])
from wakeword.detector import FRAME, Detector
from wakeword.network import Network

options = json.loads(sys.argv[2])
late = set(options.pop("late", ()))
voice = set(options.pop("voice", ()))
networks = []
for name in sys.argv[4:]:
    with open(name, "rb") as file:
        networks.append(Network(file))
detector = Detector(networks, **options)
pcm = bytearray(2 * FRAME)
number = 0
with open(sys.argv[3], "rb") as file:
    while file.readinto(pcm) == len(pcm):
        spoken, behind = number in voice, number in late
        micropython.heap_lock()
        try:
            detector.run(pcm, spoken, behind)
        finally:
            micropython.heap_unlock()
        if detector.stepped:
            decided = number, detector.skipped, detector.fired, detector.score, detector.ago
            print(*decided, *[word.probability for word in detector.words])
        number += 1
