"""Models on flash: where they are, and what their heads say. `network.py` reads the rest of them.

The head of a file is in `host_tools/lunette/wakeword/format.py`.
"""

import os
import struct

from micropython import const

FOLDER = "wakeword"  # in the working directory, as all files of the glasses are
SUFFIX = ".mww"
HEAD_BYTES = const(24)

_HEAD = "<4s4BIIHH4B"
_VERSION = const(1)
_LONGEST = const(32)  # letters of a name
_PHRASE = const(40)


def is_name(name):
    """`name` is one for a model: up to 32 of a to z, 0 to 9 and _, which is not the first."""
    right = 0 < len(name) <= _LONGEST and name[0] != "_"
    for letter in name if right else "":
        right = right and ("a" <= letter <= "z" or "0" <= letter <= "9" or letter == "_")
    return right


def path(name):
    return FOLDER + "/" + name + SUFFIX


def size(name):
    """Bytes of the file, -1 if there is none."""
    try:
        return os.stat(path(name))[6]
    except OSError:
        return -1


def wrong(head, length):
    """What is wrong with a model of so many bytes that begins like this, in words, or ""."""
    if len(head) < HEAD_BYTES:
        return "this is no model for the glasses"
    magic, version, _, _, _, says = struct.unpack("<4s4BI", head[:12])
    if magic != b"LuWW":
        return "this is no model for the glasses"
    if version != _VERSION:
        return "a model of version %d, which this firmware does not know" % version
    if says != length:
        return "the model says that it has %d bytes, not %d" % (says, length)
    return ""


class Head:
    """Of a stored model: `phrase`, `cutoff` (of 255), and `memory`, the heap bytes of its network. Raises
    OSError, and ValueError that says what is wrong."""

    def __init__(self, name):
        length = os.stat(path(name))[6]
        with open(path(name), "rb") as file:
            head = file.read(HEAD_BYTES + _PHRASE)
        problem = wrong(head, length)
        if problem:
            raise ValueError("%s: %s" % (name, problem))
        fields = struct.unpack(_HEAD, head[:HEAD_BYTES])
        self.cutoff = fields[4]
        self.memory = length + fields[7] + 4 * fields[8]
        phrase = head[HEAD_BYTES : HEAD_BYTES + min(fields[-1], _PHRASE)]
        self.phrase = str(phrase, "utf-8").rstrip("\0")
