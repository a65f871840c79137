"""Runs in MicroPython: stages of the sound path over files of samples.

    run_stages.py FOLDER_OF_DSP

A line of standard input is a chain ("suppressor" or "all"), a file of int16 samples and one to write, with
tabs in between; the answer is a line with nothing on it. Stages are new for each file.
"""

import sys

sys.path.insert(0, sys.argv[1])

from dsp.activity import Activity
from dsp.gain import Agc
from dsp.highpass import HighPass
from dsp.suppress import Suppressor

FRAME = 640  # bytes


def run(chain, sound):
    suppressor = Suppressor()
    if chain == "suppressor":
        for at in range(0, len(sound), FRAME):
            suppressor.run(sound[at : at + FRAME])
        return
    high_pass, activity, gain = HighPass(), Activity(), Agc()
    for at in range(0, len(sound), FRAME):
        frame = sound[at : at + FRAME]
        high_pass.run(frame)
        activity.run(frame)
        suppressor.run(frame)
        gain.run(frame, activity.voice)


while True:
    line = sys.stdin.readline()
    if not line:
        break
    chain, source, target = line.rstrip("\n").split("\t")
    with open(source, "rb") as file:
        sound = bytearray(file.read())
    run(chain, memoryview(sound))
    with open(target, "wb") as file:
        file.write(sound)
    print()
