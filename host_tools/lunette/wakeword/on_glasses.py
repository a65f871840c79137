# Runs in MicroPython: a wake word over a file of samples or of the network's inputs.
#
#     on_glasses.py FIRMWARE MODEL INPUTS KIND
#
# MODEL is the glasses' file. INPUTS are int16 samples (KIND "pcm"), or rows of signed bytes, one for each step
# ("rows"). Prints the hex digits of all probabilities; then the bytes of the network's buffers, and microseconds
# of a step's network in the mean. The heap is locked in each step.
# ruff: noqa
import binascii
import os
import sys
import time

import micropython

sys.path.insert(0, sys.argv[1])
from glasses.wakeword.features import Features
from glasses.wakeword.network import Network

_SAMPLES = 1600


def step(network, inputs, out, spent):
    began = time.ticks_us()
    micropython.heap_lock()
    try:
        out[spent[1]] = network.step(inputs)
    finally:
        micropython.heap_unlock()
    spent[0] += time.ticks_diff(time.ticks_us(), began)
    spent[1] += 1


def rows(network, file, out, spent):
    row = bytearray(network.rows * network.bands)
    while file.readinto(row) == len(row):
        step(network, row, out, spent)


def pcm(network, file, out, spent):
    features = Features()
    buffer = bytearray(2 * _SAMPLES)
    while True:
        n = file.readinto(buffer) // 2
        if not n:
            return
        at = 0
        while at < n:
            micropython.heap_lock()
            try:
                at += features.feed(buffer, at, n - at)
            finally:
                micropython.heap_unlock()
            if features.fresh and features.rows == network.rows:
                step(network, features.inputs, out, spent)


def main():
    with open(sys.argv[2], "rb") as file:
        network = Network(file)
    out = bytearray(os.stat(sys.argv[3])[6] // 40 + 1)
    spent = [0, 0]
    with open(sys.argv[3], "rb") as file:
        (pcm if sys.argv[4] == "pcm" else rows)(network, file, out, spent)
    print(binascii.hexlify(memoryview(out)[: spent[1]]).decode())
    print(network.size, spent[0] / max(spent[1], 1))


main()
