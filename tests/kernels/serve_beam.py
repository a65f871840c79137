"""Runs in MicroPython: two microphones as one over two files of frames, with its heap locked.

    serve_beam.py FOLDER_OF_DSP PLACES LEFT RIGHT

PLACES is JSON: the positions of both microphones, then the mouth's. LEFT and RIGHT are files of int16 frames
of 320 samples. Prints the filters' numbers, then a line for each frame: the samples' hex digits, which
microphones are in use, and how often that has changed.
"""

import binascii
import json
import sys

import micropython

sys.path.insert(0, sys.argv[1])

from dsp.beam import Beam

left_place, right_place, mouth = json.loads(sys.argv[2])
beam = Beam((left_place, right_place), mouth)
print(*beam._taps)
with open(sys.argv[3], "rb") as file:
    left_sound = file.read()
with open(sys.argv[4], "rb") as file:
    right_sound = file.read()
left = bytearray(640)
right = bytearray(640)
for i in range(0, len(left_sound), 640):
    left[:] = left_sound[i : i + 640]
    right[:] = right_sound[i : i + 640]
    micropython.heap_lock()
    try:
        beam.run(left, right)
    finally:
        micropython.heap_unlock()
    print(binascii.hexlify(left).decode(), beam.using, beam.switches)
