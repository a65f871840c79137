"""The folder of models for wake words: what is there, receiving one in pieces, removing one.

A model is written under another name, read again and then renamed, so whatever has its name is whole. Pieces
go to flash as they come: one of them is all that is in memory. Loaded when a host first asks for it.

Nothing here looks whether the microphone runs but `listed`: whoever calls the rest has made sure that it
does not, as all of it writes flash.
"""

import asyncio
import binascii
import os
import time

from micropython import const

from glasses import protocol
from glasses.commands import Refusal
from glasses.savefile import SECTOR
from glasses.wakeword import stored
from glasses.wakeword.stored import FOLDER, HEAD_BYTES, SUFFIX

NEW = ".new"  # of a file that is not whole
MOST = const(200000)  # bytes of a model: what the network loads

_LEFT = 4 * SECTOR  # that stay free, for settings and bonds
_ANSWER = const(1700)  # bytes: an answer has 2048
_IDLE_MS = const(10000)  # a host that has sent nothing for so long has given up
_WAIT_MS = const(1000)
_ENOSPC = 28
_EEXIST = 17


def check_name(name):
    """`name` if it is one for a model. Raises Refusal."""
    if not stored.is_name(name):
        raise Refusal("bad-value", "a model's name is up to 32 of a to z, 0 to 9 and _")
    return name


def _crc(path):
    """The CRC-32 of a file, -1 if there is none."""
    crc = 0
    buffer = bytearray(1024)
    view = memoryview(buffer)
    try:
        with open(path, "rb") as file:
            while True:
                n = file.readinto(buffer)
                if not n:
                    return crc & 0xFFFFFFFF
                crc = binascii.crc32(view[:n], crc)
    except OSError:
        return -1


class Models:
    """`glasses` is the runtime. Every method raises Refusal, and OSError for what flash does not take:
    `abandon` then."""

    def __init__(self, glasses):
        self._glasses = glasses
        self._wanted = None  # type: tuple | None  # (name, size, crc32) of what is being received,
        self._file = None  # where it goes,
        self._new = ""  # the name of that,
        self._at = 0  # how much of it is there,
        self._asked_ms = 0  # and when its host last asked
        glasses.bus.now("disconnected", self._on_disconnected)

    @property
    def receiving(self):
        """The file that is being received, or ""."""
        return self._new

    def handle(self, request):
        """What the ops of models are answered with (docs/protocol.md)."""
        op = request["op"]
        try:
            if op == "models":
                return self.listed(request.get("after", ""))
            if op == "model":
                return self.begin(request["name"], request["size"], request["crc32"])
            if op == "model_part":
                return self.take(request["at"], request["data"])
            return self.remove(request["name"])
        except OSError as error:
            self.abandon()
            if error.args[0] == _ENOSPC:
                raise Refusal("no-room", "the flash is full") from None
            raise Refusal("failed", "flash: %s" % error) from None

    # --- what is there ------------------------------------------------------------------------

    def listed(self, after=""):
        """Those whose names come after that one, as many as an answer has room for; whether there are
        `more`; and how large a file the flash has room for."""
        if self._left_over() and not self._glasses.recording():
            self.tidy()
        found = []
        more = False
        room = _ANSWER
        for name in self._names():
            if name <= after:
                continue
            entry = self._entry(name)
            room -= len(protocol.dumps(entry)) + 1
            if room < 0:
                more = True
                break
            found.append(entry)
        return {"models": found, "more": more, "free": self._free()}

    def _names(self):
        return sorted([name[: -len(SUFFIX)] for name in self._files() if name.endswith(SUFFIX)])

    def _files(self):
        try:
            return os.listdir(FOLDER)
        except OSError:
            return []

    @staticmethod
    def _entry(name):
        """`whole` is whether the file is as long as it says; its CRC is looked at when it is loaded."""
        entry = {"name": name, "bytes": stored.size(name), "whole": False, "phrase": "", "cutoff": 0}
        try:
            head = stored.Head(name)
        except ValueError:
            return entry
        entry["phrase"] = head.phrase
        entry["cutoff"] = head.cutoff
        entry["whole"] = True
        return entry

    def _free(self):
        """Bytes of the largest model that there is room for; takes a while."""
        found = os.statvfs(".")
        # As in spool.py: littlefs may count more blocks than there are.
        free = found[1] * (found[3] if found[3] <= found[2] else 0)
        # The reverse of `Spool.space`: whole sectors, what links them, and an entry in the folder.
        return max(0, (free - _LEFT - 2 * SECTOR) * 128 // 129)

    # --- receiving ----------------------------------------------------------------------------

    def begin(self, name, size, crc):
        """A file of that size and CRC-32 is to come. Returns its first byte that is wanted: 0, or where
        this host left off, or `size` if it is there already."""
        path = stored.path(check_name(name))
        if not HEAD_BYTES <= size <= MOST:
            raise Refusal("bad-value", "a model has %d to %d bytes, not %d" % (HEAD_BYTES, MOST, size))
        if not 0 <= crc <= 0xFFFFFFFF:
            raise Refusal("bad-value", "crc32 is a number from 0 to 4294967295")
        now = time.ticks_ms()
        if self._wanted == (name, size, crc):
            self._asked_ms = now
            return self._at
        if self._wanted is not None and time.ticks_diff(now, self._asked_ms) < _IDLE_MS:
            raise Refusal("busy", "%s is being received" % self._wanted[0])
        self.abandon()
        self.tidy()
        if stored.size(name) == size and _crc(path) == crc:
            return size
        free = self._free()
        if size > free:
            why = "%s has %d KB, and there is room for %d: remove models, or have recordings fetched"
            raise Refusal("no-room", why % (name, (size + 1023) // 1024, free // 1024))
        self._make_folder()
        self._new = FOLDER + "/" + name + NEW
        self._file = open(self._new, "wb")  # noqa: SIM115 - open over many pieces
        self._wanted = (name, size, crc)
        self._at = 0
        self._asked_ms = now
        return 0

    @staticmethod
    def _make_folder():
        try:
            os.mkdir(FOLDER)
        except OSError as error:
            if error.args[0] != _EEXIST:
                raise

    def take(self, at, data):
        """The bytes from `at` on, in base64. Returns the next one that is wanted. With the last one the file
        is read again, and gets its name."""
        if self._wanted is None:
            raise Refusal("idle", "no model is being received: begin one with the op model")
        name, size, crc = self._wanted
        self._asked_ms = time.ticks_ms()
        if at != self._at:
            raise Refusal("order", "byte %d comes next, not %d" % (self._at, at))
        try:
            piece = binascii.a2b_base64(data)
        except ValueError:
            raise Refusal("bad-value", "data is no base64") from None
        if not piece or at + len(piece) > size:
            raise Refusal("bad-value", "a piece of %d bytes, where %d are left" % (len(piece), size - at))
        if at == 0:
            self._look_at(piece, size)
        if self._file.write(piece) != len(piece):
            raise OSError(_ENOSPC)
        self._at += len(piece)
        if self._at == size:
            self._finish(name, crc)
        return at + len(piece)

    def _look_at(self, piece, size):
        """Refuse at its first piece what could not be loaded anyway."""
        if len(piece) < HEAD_BYTES:
            raise Refusal("bad-value", "the first piece has at least %d bytes" % HEAD_BYTES)
        wrong = stored.wrong(piece, size)
        if wrong:
            self.abandon()
            raise Refusal("bad-value", wrong)

    def _finish(self, name, crc):
        file = self._file
        self._file = None
        file.close()
        if _crc(self._new) != crc:
            self.abandon()
            raise Refusal("damaged", "%s is not what was sent: send it again" % name)
        os.rename(self._new, stored.path(name))
        self._wanted = None
        self._new = ""
        self._tell(name)

    def _tell(self, name):
        self._glasses.log.info("models", "%s has changed" % name)
        self._glasses.bus.emit("models", time.ticks_ms(), name)

    # --- giving up ----------------------------------------------------------------------------

    def abandon(self):
        """Leave nothing of what is being received. Harmless without."""
        file, self._file = self._file, None
        new, self._new = self._new, ""
        self._wanted = None
        if file is not None:
            try:
                file.close()
            except OSError:  # what could not be written, at a full flash
                pass
        if new:
            try:
                os.remove(new)
            except OSError:  # `tidy` finds it
                pass

    def _left_over(self):
        paths = [FOLDER + "/" + name for name in self._files() if name.endswith(NEW)]
        return [path for path in paths if path != self._new]

    def tidy(self):
        """Remove what a power cut, or a cable that was pulled, has left."""
        for path in self._left_over():
            try:
                os.remove(path)
            except OSError as error:
                self._glasses.log.warning("models", "%s is not removed: %s" % (path, error))

    def _on_disconnected(self, name, t, value):
        if self._wanted is not None:
            self._wanted = None  # whoever comes next begins anew
            asyncio.create_task(self._abandon_soon())

    async def _abandon_soon(self):
        while self._glasses.recording():  # also has the wake word's listener pause
            await asyncio.sleep_ms(_WAIT_MS)
        if self._wanted is None:
            self.abandon()

    # --- removing -----------------------------------------------------------------------------

    def remove(self, name):
        """Remove a model, also from the setting `wakeword`. Returns whether that had it."""
        path = stored.path(check_name(name))
        if stored.size(name) < 0:
            known = ", ".join(self._names())
            raise Refusal("not-found", "there is no model %s; there are: %s" % (name, known or "none"))
        heard = self._unset(name)
        os.remove(path)
        self._tell(name)
        return heard

    def _unset(self, name):
        settings = self._glasses.settings
        names = [word.strip() for word in settings.wakeword.split(",")]
        if name not in names:
            return False
        settings.set("wakeword", ",".join([word for word in names if word and word != name]))
        self._glasses.apply_settings()
        return True
