"""Stands in for `esp32` in the WebAssembly build. Runs in MicroPython."""

HEAP_DATA = 4


def idf_heap_info(capabilities):
    return [(200000, 100000, 100000, 90000)]
