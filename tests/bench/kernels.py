"""Runs in MicroPython: times the kernels for `codec.py` and counts instructions for `instructions.py`.

    kernels.py FOLDER_OF_DSP SPEECH             serves requests, one a line: "encode 200" or "crc 200"
    kernels.py FOLDER_OF_DSP SPEECH KERNEL N    calls a kernel N times and ends

SPEECH is a file of int16 samples. A request is answered with the microseconds that so many calls took;
a call is one frame of 320 samples (encode) or the 164 bytes that it is coded to (crc).
"""

import sys
import time

sys.path.insert(0, sys.argv[1])

from dsp import adpcm, crc32

with open(sys.argv[2], "rb") as file:
    speech = file.read()
SAMPLES = 320
frames = len(speech) // (2 * SAMPLES)
out = bytearray(164)
state = bytearray(4)
crc = bytearray(4)
for i in range(164):
    out[i] = i
at = 0


def encode(n):
    # On through the clip, not the same frames again: a branch predictor learns 100 frames of speech by
    # heart, and then it takes a fifth of the time.
    global at
    kernel = adpcm.encode
    for _ in range(n):
        kernel(speech, at * SAMPLES, out, 0, SAMPLES, state)
        at = (at + 1) % frames


def check(n):
    kernel = crc32.update
    for _ in range(n):
        kernel(crc, out, 0, 164)


KERNELS = {"encode": encode, "crc": check}

if len(sys.argv) > 3:
    KERNELS[sys.argv[3]](int(sys.argv[4]))
else:
    while True:
        line = sys.stdin.readline()
        if not line:
            break
        name, n = line.split()
        begin = time.ticks_us()
        KERNELS[name](int(n))
        print(time.ticks_diff(time.ticks_us(), begin))
