"""Runs in MicroPython: calls kernels for the tests, one JSON request a line on standard input.

Request ``[kernel, [argument, ...]]``, where an argument is an int or the hex digits of a buffer; reply
``[result, [hex digits of each buffer afterwards, ...]]`` or ``{"error": text}``. The heap is locked during
the call: a kernel that allocates is an error.
"""

import binascii
import json
import sys

import micropython

sys.path.insert(0, sys.argv[1])


def allocate(size):
    return bytearray(size)


def find(name):
    if name == "allocate":
        return allocate
    module, function = (name if name.count(".") > 1 else "dsp." + name).rsplit(".", 1)
    return getattr(__import__(module, None, None, ("",)), function)


def call(kernel, args):
    """``kernel(*args)`` with the heap locked (spelled out, because ``*args`` itself allocates)."""
    a, b, c, d, e, f, g, h, i, j, k = (args + [None] * 11)[:11]
    n = len(args)
    micropython.heap_lock()
    try:
        if n == 1:
            return kernel(a)
        if n == 2:
            return kernel(a, b)
        if n == 3:
            return kernel(a, b, c)
        if n == 4:
            return kernel(a, b, c, d)
        if n == 5:
            return kernel(a, b, c, d, e)
        if n == 6:
            return kernel(a, b, c, d, e, f)
        if n == 7:
            return kernel(a, b, c, d, e, f, g)
        if n == 8:
            return kernel(a, b, c, d, e, f, g, h)
        if n == 9:
            return kernel(a, b, c, d, e, f, g, h, i)
        if n == 10:
            return kernel(a, b, c, d, e, f, g, h, i, j)
        return kernel(a, b, c, d, e, f, g, h, i, j, k)
    finally:
        micropython.heap_unlock()


def main():
    while True:
        line = sys.stdin.readline()
        if not line:
            return
        name, texts = json.loads(line)
        args = [bytearray(binascii.unhexlify(x)) if isinstance(x, str) else x for x in texts]
        try:
            result = call(find(name), args)
            after = [binascii.hexlify(x).decode() for x in args if isinstance(x, bytearray)]
            print(json.dumps([result, after]))
        except Exception as error:
            print(json.dumps({"error": repr(error)}))


main()
