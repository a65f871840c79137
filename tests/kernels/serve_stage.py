"""Runs in MicroPython: one stage of the sound path over a file of frames, with its heap locked.

    serve_stage.py FOLDER_OF_DSP MODULE CLASS PCM VOICE ATTRIBUTE...

PCM is a file of int16 frames of 320 samples, VOICE one of a byte a frame (given to `run` as its second
argument) or "". Prints a line for each frame: the samples' hex digits, then the attributes.
"""

import binascii
import sys

import micropython

sys.path.insert(0, sys.argv[1])
stage = getattr(getattr(__import__("dsp." + sys.argv[2]), sys.argv[2]), sys.argv[3])()
with open(sys.argv[4], "rb") as file:
    sound = file.read()
voices = None
if sys.argv[5]:
    with open(sys.argv[5], "rb") as file:
        voices = file.read()
frame = bytearray(640)
for i in range(len(sound) // 640):
    frame[:] = sound[640 * i : 640 * i + 640]
    micropython.heap_lock()
    try:
        if voices is None:
            stage.run(frame)
        else:
            stage.run(frame, voices[i] > 0)
    finally:
        micropython.heap_unlock()
    print(binascii.hexlify(frame).decode(), *[int(getattr(stage, name)) for name in sys.argv[6:]])
