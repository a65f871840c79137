# Runs in MicroPython: a wake word over a file of samples or of the network's inputs.
#
#     on_glasses.py FIRMWARE MODEL INPUTS KIND
#
# MODEL is the glasses' file. INPUTS are int16 samples (KIND "pcm"), or rows of signed bytes, one for each step
# ("rows"). Prints the hex digits of all probabilities; then the bytes of the network's buffers, and microseconds
# of a step's network in the mean. The heap is locked meanwhile.
# ruff: noqa
import binascii
import sys
import time

import micropython

sys.path.insert(0, sys.argv[1])
from glasses.wakeword.features import Features
from glasses.wakeword.network import Network


def rows(network, inputs, out, row, spent):
    size = len(row)
    for n in range(len(inputs) // size):
        at = n * size
        for i in range(size):
            row[i] = inputs[at + i]
        began = time.ticks_us()
        out[n] = network.step(row)
        spent[0] += time.ticks_diff(time.ticks_us(), began)
        spent[1] += 1


def pcm(network, features, inputs, out, spent):
    at = 0
    samples = len(inputs) // 2
    while at < samples:
        at += features.feed(inputs, at, samples - at)
        if features.fresh and features.rows == network.rows:
            began = time.ticks_us()
            out[spent[1]] = network.step(features.inputs)
            spent[0] += time.ticks_diff(time.ticks_us(), began)
            spent[1] += 1


def main():
    with open(sys.argv[2], "rb") as file:
        network = Network(file)
    with open(sys.argv[3], "rb") as file:
        inputs = bytearray(file.read())
    out = bytearray(len(inputs) // 40 + 1)
    row = bytearray(network.rows * network.bands)
    spent = [0, 0]
    features = Features()
    micropython.heap_lock()
    try:
        if sys.argv[4] == "pcm":
            pcm(network, features, inputs, out, spent)
        else:
            rows(network, inputs, out, row, spent)
    finally:
        micropython.heap_unlock()
    print(binascii.hexlify(out[: spent[1]]).decode())
    print(network.size, spent[0] / max(spent[1], 1))


main()
