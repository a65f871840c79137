# Runs in MicroPython: a wake word's features of a file of samples, and the time that they take.
#
#     hear_features.py FIRMWARE PCM OUT
#
# PCM are int16, of which whole frames of 320 are heard, with the heap locked. OUT becomes the vectors: 40
# numbers of 16 bits each. Prints microseconds of a vector in the mean.
# ruff: noqa
import sys
import time

import micropython

sys.path.insert(0, sys.argv[1])
from glasses.wakeword.features import Features

FRAME = 320


def main():
    features = Features()
    pcm = bytearray(2 * FRAME)
    spent = count = 0
    with open(sys.argv[2], "rb") as file, open(sys.argv[3], "wb") as out:
        while file.readinto(pcm) == len(pcm):
            at = 0
            while at < FRAME:
                micropython.heap_lock()
                try:
                    began = time.ticks_us()
                    at += features.feed(pcm, at, FRAME - at)
                    spent += time.ticks_diff(time.ticks_us(), began)
                finally:
                    micropython.heap_unlock()
                if features.fresh:
                    out.write(features.vector)
                    count += 1
    print(spent / max(count, 1))


main()
