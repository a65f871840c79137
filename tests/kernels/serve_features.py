"""Runs in MicroPython: a wake word's features of a file of samples, with the heap locked.

    serve_features.py FOLDER_OF_THE_PACKAGE PCM CHUNK...

PCM are int16, heard in chunks of so many samples, over and over. Prints a line for each vector: its hex
digits, those of `inputs`, and `rows`.
"""

import binascii
import sys

import micropython

sys.path.insert(0, sys.argv[1])
from wakeword.features import Features

with open(sys.argv[2], "rb") as file:
    pcm = bytearray(file.read())
chunks = [int(chunk) for chunk in sys.argv[3:]]
features = Features()
at = turn = 0
samples = len(pcm) // 2
while at < samples:
    end = min(samples, at + chunks[turn])
    turn = (turn + 1) % len(chunks)
    while at < end:
        micropython.heap_lock()
        try:
            at += features.feed(pcm, at, end - at)
        finally:
            micropython.heap_unlock()
        if features.fresh:
            print(
                binascii.hexlify(features.vector).decode(),
                binascii.hexlify(features.inputs).decode(),
                features.rows,
            )
