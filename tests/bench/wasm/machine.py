"""Stands in for `machine` in the WebAssembly build, to weigh the firmware there. Runs in MicroPython.

Modelled: a button that nobody touches until `press`, a microphone that delivers silence on time, a clock.
What is in ROM or outside the heap on the chip (pins, DMA, the RTC's memory) is made beforehand, what the
driver puts on the heap (an I2S port) when it is asked for.
Not modelled: everything else; nothing is checked.
"""

import asyncio
import time

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5
TIMER_WAKE = 4
TOUCHPAD_WAKE = 5

_PINS = 49
_FRAME_MS = 20
_CELL_UV = 1950000

_pins = []


class Pin:
    IN = 1
    OUT = 3
    PULL_DOWN = 1
    PULL_UP = 2
    IRQ_RISING = 1
    IRQ_FALLING = 2

    def __new__(cls, number, *_args, **_options):
        if number < len(_pins):
            return _pins[number]
        pin = super().__new__(cls)
        pin.level = 1
        pin.handler = None
        return pin

    def __init__(self, number, mode=None, pull=None, value=None):
        if value is not None:
            self.level = value

    def value(self, level=None):
        if level is None:
            return self.level
        self.level = level
        return None

    def irq(self, handler=None, trigger=0):
        self.handler = handler


for _number in range(_PINS):
    _pins.append(Pin(_number))


def press(number, down):
    """A finger comes to an active-low button, or leaves it."""
    pin = _pins[number]
    pin.level = 0 if down else 1
    pin.handler(pin)


class ADC:
    ATTN_11DB = 3

    def __init__(self, pin, atten=0):
        pass

    def read_uv(self):
        return _CELL_UV


class I2S:
    RX = 1
    TX = 2
    MONO = 0
    STEREO = 1
    running = None

    def __init__(self, port, sck, ws, sd, mode, bits, format, rate, ibuf):
        self.handler = None
        self.queued = 0
        if mode == I2S.RX:
            I2S.running = self

    def irq(self, handler):
        self.handler = handler

    def readinto(self, buffer):
        self.queued += 1

    def write(self, buffer):
        return len(buffer)

    def deinit(self):
        if I2S.running is self:
            I2S.running = None


async def sound():
    """The task that fills buffers."""
    while True:
        await asyncio.sleep_ms(_FRAME_MS)
        port = I2S.running
        if port is not None and port.queued:
            port.queued -= 1
            port.handler(port)


class PWM:
    pass


class Timer:
    ONE_SHOT = 0

    def __init__(self, number):
        pass

    def init(self, mode, period, callback):
        pass

    def deinit(self):
        pass


class WDT:
    def __init__(self, id=0, timeout=5000):
        pass

    def feed(self):
        pass


_memory = bytearray(2048)
_filled = [0]


class RTC:
    def datetime(self):
        t = time.gmtime()
        return t[0], t[1], t[2], t[6], t[3], t[4], t[5], 0

    def memory(self, data=None):
        if data is None:
            return bytes(memoryview(_memory)[: _filled[0]])
        _filled[0] = len(data)
        _memory[: len(data)] = data
        return None


def freq(hz=None):
    return 160000000


def reset_cause():
    return PWRON_RESET


def wake_reason():
    return 0
