"""A push button. The interrupt notes time and level; nothing is polled, so a 15 ms tap counts."""

import time
from array import array

from machine import Pin

_EDGES = 32


class Button:
    """`pin` number, `active` level when pressed, `pull` "up", "down" or None.

    `wake` is a flag with ``set()`` that tells the program that edges wait.
    """

    def __init__(self, pin, active=0, pull="up", wake=None):
        pulls = {"up": Pin.PULL_UP, "down": Pin.PULL_DOWN, None: None}
        self._active = active
        self._pin = Pin(pin, Pin.IN, pulls[pull])
        self._wake = wake
        self._times = array("i", bytes(4 * _EDGES))
        self._levels = bytearray(_EDGES)
        self._head = 0
        self._tail = 0
        self._missed = False
        self.overflows = 0
        self._pin.irq(self._on_edge, Pin.IRQ_RISING | Pin.IRQ_FALLING)

    @property
    def pressed(self):
        return self._pin.value() == self._active

    def _on_edge(self, pin):
        head = self._head
        following = (head + 1) % _EDGES
        if following == self._tail:
            self.overflows += 1
            self._missed = True  # the level is read again when the queue is emptied
        else:
            self._times[head] = time.ticks_ms()
            self._levels[head] = pin.value()
            self._head = following
        self._wake.set()

    def drain(self, edge):
        """Hand all noted edges to ``edge(t_ms, pressed)``, oldest first."""
        while self._tail != self._head:
            tail = self._tail
            edge(self._times[tail], self._levels[tail] == self._active)
            self._tail = (tail + 1) % _EDGES
        if self._missed:
            self._missed = False
            edge(time.ticks_ms(), self.pressed)
