# Runs in MicroPython: a wake word's features of a file of samples, and the time that they take.
#
#     hear_features.py FIRMWARE PCM OUT
#
# PCM are int16, of which whole frames of 320 are heard, with the heap locked. OUT becomes the vectors: 40
# numbers of 16 bits each. Prints microseconds of a vector in the mean, without files: these are read and
# written many frames at a time.
# ruff: noqa
import sys
import time

import micropython

sys.path.insert(0, sys.argv[1])
from glasses.wakeword.features import Features

FRAME = 320
FRAMES = 100


@micropython.viper
def keep(i: int, vector: ptr32, heard: ptr32, number: int):
    """A vector's 20 words as that of this number: a slice would be an object."""
    heard = ptr32(int(heard) + 80 * number)
    i = 0
    while i < 20:
        heard[i] = vector[i]
        i += 1


def hear(features, pcm, samples, heard):
    """(how many vectors, microseconds of all of it)"""
    count = at = 0
    micropython.heap_lock()
    began = time.ticks_us()
    try:
        while at < samples:
            end = at + FRAME
            while at < end:
                at += features.feed(pcm, at, end - at)
                if features.fresh:
                    keep(0, features.vector, heard, count)
                    count += 1
        took = time.ticks_diff(time.ticks_us(), began)
    finally:
        micropython.heap_unlock()
    return count, took


def main():
    features = Features()
    pcm = bytearray(2 * FRAME * FRAMES)
    heard = bytearray(2 * 80 * FRAMES)
    vectors = memoryview(heard)
    spent = count = 0
    with open(sys.argv[2], "rb") as file, open(sys.argv[3], "wb") as out:
        while True:
            samples = file.readinto(pcm) // (2 * FRAME) * FRAME
            if not samples:
                break
            new, took = hear(features, pcm, samples, heard)
            spent += took
            count += new
            out.write(vectors[: 80 * new])
    print(spent / max(count, 1))


main()
