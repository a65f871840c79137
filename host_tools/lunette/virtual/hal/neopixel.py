"""Stands in for MicroPython's `neopixel`: a chain of addressable LEDs.

Modelled: order of the colours, what `write` sends, nothing lighting before it or without an output pin.
Not modelled: the 30 us a pixel that the real one blocks for.
"""

import _gpio
import _ops
import _port


class NeoPixel:
    """`np[i] = (red, green, blue)` then `np.write()`; with `bpp=4` a white follows."""

    ORDER = (1, 0, 2, 3)

    def __init__(self, pin, n, bpp=3, timing=1):
        self.pin = pin
        self.n = n
        self.bpp = bpp
        self.buf = bytearray(n * bpp)
        _gpio.Pin(pin).init(_gpio.Pin.OUT)

    def __len__(self):
        return self.n

    def __setitem__(self, i, colour):
        at = i * self.bpp
        for c in range(self.bpp):
            self.buf[at + self.ORDER[c]] = colour[c]

    def __getitem__(self, i):
        at = i * self.bpp
        return tuple(self.buf[at + self.ORDER[c]] for c in range(self.bpp))

    def fill(self, colour):
        for i in range(self.n):
            self[i] = colour

    def write(self):
        _port.call(_ops.NEOPIXEL, _gpio.pin_number(self.pin), self.bpp, 0, 0, self.buf)
