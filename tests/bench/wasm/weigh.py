"""The scale, and what the firmware finds on the chip and not in the WebAssembly build."""

import array  # noqa: F401 - some are C on the chip and Python here: there before anything is weighed
import binascii  # noqa: F401
import builtins
import collections  # noqa: F401
import gc
import io  # noqa: F401
import json  # noqa: F401
import os
import random
import struct  # noqa: F401
import sys
import time  # noqa: F401

import micropython

os.urandom = lambda n: bytes(random.getrandbits(8) for _ in range(n))


def _same(buffer):
    return buffer


# Viper's types, of kernels that are plain byte code here: they work on bytes instead of samples.
for _name in ("ptr8", "ptr16", "ptr32", "uint"):
    setattr(builtins, _name, _same)


def used(label):
    """Say how much heap is used. Garbage was collected when the step before this ended."""
    heap = gc.mem_alloc()
    micropython.qstr_info()
    print("USED", label, heap)


def collect():
    gc.collect()


def journal(name, size, free):
    """Say which size of journal the firmware settles for on a heap with so much free."""
    module = sys.modules["glasses.journal"]
    reserve = sys.modules["glasses.runtime"]._HEAP_RESERVE

    class Pool:
        def __init__(self, size, boot):
            if size > free:
                raise MemoryError
            self.size = made[0] = size

    class Heap:
        @staticmethod
        def collect():
            pass

        @staticmethod
        def mem_free():
            return free - made[0]

    made = [0]
    journal, collector = module.Journal, module.gc
    module.Journal, module.gc = Pool, Heap
    try:
        print("JOURNAL", name, module.largest(size, 0, reserve).size)
    finally:
        module.Journal, module.gc = journal, collector
