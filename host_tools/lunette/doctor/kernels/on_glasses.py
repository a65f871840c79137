# Makes the arguments of kernels, calls them, and says what came out. Sent to the glasses as it is, and run in
# CPython to make kernels.json: what a spec means must be the same there. Plain MicroPython 1.23.
# ruff: noqa
import binascii
import gc
import time

_GUARD = 16
_FILL = 0xA5
_CALLS = 8


def noise(n, seed):
    # x' = 75 x + 74 modulo 65537 (the ZX81's): every step is a small integer on the chip.
    x = seed
    for _ in range(n):
        x = (x * 75 + 74) % 65537
        yield x & 65535


def walk(n, seed):
    # Louder and quieter, as speech is: each sample is near the one before.
    at = 0
    for x in noise(n, seed):
        at += (x - 32768) >> (2 + (seed & 3))
        if at > 32767 or at < -32768:
            at = 0
        yield at & 65535


def size(spec):
    # In bytes. A spec is (kind, ...): ("hex", digits), ("fill", bytes, value), ("bytes", n, seed), and of 16-bit
    # samples ("wave", n, (values that repeat)), ("noise", n, seed), ("walk", n, seed).
    if spec[0] == "hex":
        return len(spec[1]) // 2
    return spec[1] if spec[0] in ("fill", "bytes") else 2 * spec[1]


def fill(view, spec):
    kind = spec[0]
    if kind == "hex":
        view[:] = binascii.unhexlify(spec[1])
        return
    n = spec[1]
    i = 0
    if kind == "fill":
        for i in range(n):
            view[i] = spec[2]
    elif kind == "bytes":
        for value in noise(n, spec[2]):
            view[i] = value & 255
            i += 1
    else:
        if kind == "wave":
            values = (spec[2][k % len(spec[2])] & 65535 for k in range(n))
        elif kind == "noise":
            values = noise(n, spec[2])
        else:
            values = walk(n, spec[2])
        for value in values:
            view[i] = value & 255
            view[i + 1] = value >> 8
            i += 2


def guarded(spec):
    # (all of it, the buffer between its guards); ("odd", spec) is at an odd address.
    begin = _GUARD
    if spec[0] == "odd":
        begin += 1
        spec = spec[1]
    n = size(spec)
    whole = bytearray(begin + n + _GUARD)
    for i in range(begin):
        whole[i] = _FILL
    for i in range(begin + n, len(whole)):
        whole[i] = _FILL
    view = memoryview(whole)[begin : begin + n]
    fill(view, spec)
    return whole, view


def arguments(specs):
    # Integers are themselves, ("same", i) is the buffer of argument i.
    args = []
    wholes = []
    for spec in specs:
        if isinstance(spec, int):
            args.append(spec)
        elif spec[0] == "same":
            args.append(args[spec[1]])
        else:
            whole, view = guarded(spec)
            wholes.append((whole, view))
            args.append(view)
    return args, wholes


def outcome(kernel, specs):
    # [what it returned, [CRC-32 of each buffer], whether a guard was written over]
    args, wholes = arguments(specs)
    result = kernel(*args)
    sums = [binascii.crc32(view) for whole, view in wholes]
    stray = False
    for whole, view in wholes:
        end = len(whole) - _GUARD
        for i in range(len(whole)):
            if i == end - len(view):
                break
            if whole[i] != _FILL or whole[len(whole) - 1 - min(i, _GUARD - 1)] != _FILL:
                stray = True
    return [result, sums, stray]


def microseconds(kernel, specs):
    # Of the fastest of several calls: the others were interrupted.
    args, wholes = arguments(specs)
    gc.collect()
    best = None
    for _ in range(_CALLS):
        begun = time.ticks_us()
        kernel(*args)
        took = time.ticks_diff(time.ticks_us(), begun)
        if best is None or took < best:
            best = took
    return best
