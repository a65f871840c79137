# Runs in MicroPython: a wake word's network over a file of its inputs.
#
#     on_glasses.py FIRMWARE MODEL INPUTS
#
# MODEL is the glasses' file, INPUTS are rows of signed bytes, one for each step. Prints the hex digits of all
# probabilities; then the bytes of the network's buffers, and microseconds of a step in the mean. The heap is
# locked in each step.
# ruff: noqa
import binascii
import os
import sys
import time

import micropython

sys.path.insert(0, sys.argv[1])
from glasses.wakeword.network import Network


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


def main():
    with open(sys.argv[2], "rb") as file:
        network = Network(file)
    out = bytearray(os.stat(sys.argv[3])[6] // 40 + 1)
    spent = [0, 0]
    with open(sys.argv[3], "rb") as file:
        rows(network, file, out, spent)
    print(binascii.hexlify(memoryview(out)[: spent[1]]).decode())
    print(network.size, spent[0] / max(spent[1], 1))


main()
