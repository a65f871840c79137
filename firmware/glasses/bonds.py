"""Bonds: the keys of the hosts that were paired, and where they are kept.

The Bluetooth stack stores nothing itself: it asks the program for secrets and offers it new ones, in
its interrupt. So everything is held in memory here, and `save` puts it on flash from a task. The
values are structures of the stack, opaque and of a size that another image may change: the stack then
takes them for absent, and the host has to be paired again.
"""

import binascii
import json
import os

PATH = "bonds.json"
# Phones and computers of one wearer. (NimBLE itself has room for as many in its own store.)
MAX_HOSTS = 3

# Types of secrets, of NimBLE and of MicroPython's binding.
OURS = 1
THEIRS = 2
IRK = 10


class Host:
    """`key`: the stack's name of a peer, 7 bytes: address type, then the address, lowest byte first."""

    def __init__(self, key, ours, theirs):
        self.key = key
        self.ours = ours
        self.theirs = theirs

    @property
    def address(self):
        return address_of(self.key)


def address_of(key):
    """``"C0:FF:EE:00:00:01"`` of a key."""
    return ":".join(["%02X" % key[i] for i in range(6, 0, -1)])


def _unhex(text, size=None):
    value = binascii.unhexlify(text)
    if size is not None and len(value) != size:
        raise ValueError("a key has %d bytes" % size)
    return value


class Bonds:
    """`hosts`, the least recently used first. `problems`: what was wrong with the file.

    The Bluetooth interrupt may change `hosts` wherever a task branches: tasks walk along a copy.
    """

    def __init__(self, path=PATH):
        self._path = path
        self.hosts = []  # type: list[Host]
        self.irk = None  # our identity resolving key
        self.dirty = False
        self.problems = []
        try:
            with open(path) as file:
                stored = json.load(file)
            if stored.get("irk"):
                self.irk = _unhex(stored["irk"], 16)
            for entry in stored["hosts"]:
                host = Host(_unhex(entry["peer"], 7), _unhex(entry["ours"]), _unhex(entry["theirs"]))
                self.hosts.append(host)
        except OSError:  # new flash
            pass
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
            self.problems.append("%s is not readable, hosts have to be paired again: %s" % (path, error))

    def find(self, key):
        """The host with that key, or None."""
        for host in list(self.hosts):
            if host.key == key:
                return host
        return None

    def used(self, host):
        """It is the most recently used one now. Not saved for its own sake: flash wears out."""
        self.hosts.remove(host)
        self.hosts.append(host)

    def keep(self, key, ours, theirs):
        """A new bond, or another one with a known host; returns the hosts that had to go for it."""
        old = self.find(key)
        if old is not None:
            self.hosts.remove(old)
        self.hosts.append(Host(key, ours, theirs))
        gone = self.hosts[:-MAX_HOSTS]
        self.hosts = self.hosts[-MAX_HOSTS:]
        self.dirty = True
        return gone

    def forget(self, host):
        try:
            self.hosts.remove(host)
        except ValueError:  # a pairing had it go just now
            return
        self.dirty = True

    def set_irk(self, value):
        self.irk = value
        self.dirty = True

    def save(self):
        """Write the file. Not while the microphone runs. Raises OSError: try again later."""
        self.dirty = False  # first: what is paired meanwhile is not in what is written here
        try:
            self._write(list(self.hosts), self.irk)
        except OSError:
            self.dirty = True
            raise

    def _write(self, hosts, irk):
        described = []
        for host in hosts:
            described.append({"peer": _hex(host.key), "ours": _hex(host.ours), "theirs": _hex(host.theirs)})
        with open(self._path + ".new", "w") as file:
            json.dump({"irk": _hex(irk) if irk else None, "hosts": described}, file)
        os.rename(self._path + ".new", self._path)


def _hex(value):
    return binascii.hexlify(value).decode()
