"""Runs in MicroPython: calls kernels for `in_micropython.py`, one JSON request a line on standard input.

    timed.py FIRMWARE ON_GLASSES

ON_GLASSES makes the arguments (doctor/kernels/on_glasses.py). Kernels are "package.module.function".
Requests and their answers:

    ["outcome", kernel, specs]             what on_glasses.outcome() says
    ["prepare", kernel, specs, signature]  the arguments are kept; null
    ["time", calls]                        microseconds of so many calls, and of as many calls of a viper
                                           function of the same signature that does nothing

What raises is answered by {"error": text}.
"""

import gc
import json
import sys
import time

sys.path.insert(0, sys.argv[1])
bench = {}
with open(sys.argv[2]) as file:
    exec(file.read(), bench)

# Spelled out: `kernel(*args)` allocates.
LOOP = """
import micropython
@micropython.viper
def nothing{signature}:
    {body}
def loop(kernel, args, calls):
    {names}, = args
    for _ in range(calls):
        kernel({names})
"""


def find(name):
    module, function = name.rsplit(".", 1)
    return getattr(__import__(module, None, None, ("",)), function)


def prepare(name, specs, signature):
    names = ", ".join(f"a{i}" for i in range(len(specs)))
    body = "return 0" if "->" in signature else "pass"
    made = {}
    exec(LOOP.format(signature=signature, body=body, names=names), made)
    # The second keeps the buffers alive.
    return made["loop"], find(name), made["nothing"], bench["arguments"](specs)


def microseconds(loop, kernel, args, calls):
    gc.collect()
    begin = time.ticks_us()
    loop(kernel, args, calls)
    return time.ticks_diff(time.ticks_us(), begin)


def main():
    gc.disable()
    prepared = None
    while True:
        line = sys.stdin.readline()
        if not line:
            return
        request = json.loads(line)
        what = request[0]
        answer = None
        try:
            if what == "outcome":
                answer = bench["outcome"](find(request[1]), request[2])
            elif what == "prepare":
                prepared = prepare(request[1], request[2], request[3])
            else:
                loop, kernel, nothing, (args, _) = prepared
                answer = [microseconds(loop, one, args, request[1]) for one in (kernel, nothing)]
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer))


main()
