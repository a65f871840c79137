"""`I2S` of `machine`.

Modelled: see `chip/i2s.py`. In non-blocking mode (`irq` set) `readinto` and `write` return at once and
keep nothing the program can see; the bytes are in the buffer before the handler runs, and also when
that handler's turn was lost. The buffer is referenced here until then. `readinto` and the delivery
allocate nothing once a buffer is known (the last four are).
Not modelled: asyncio streams (they hang on the real S3, micropython issue 16029): refused. Blocking
calls in CPython raise NotImplementedError. A write plays what the buffer held at the call.
"""

import io
import json

import _gpio
import _ops
import _port

_EPERM = 1
_EINVAL = 22
_SLOTS = 6  # two transfers out, those completed and not fetched, and attempts under way
_KNOWN = 4

# Being a stream is what makes MicroPython's poller call ioctl, which can then refuse.
_Base = object if _port.IS_CPYTHON else io.IOBase

_ports = {}


def _i2s_interrupt(number, token, _e3, _data):
    port = _ports.get(number)
    if port is not None:
        port._complete(token)


class I2S(_Base):
    """A port: `I2S(id, *, sck, ws, sd, mode, bits, format, rate, ibuf)`.

    Raises ValueError for an argument that the driver checks, OSError for one that only fails later:
    12 when the DMA memory is used up, -258 and -259 for ESP_ERR_INVALID_ARG and _STATE.
    """

    RX = 1
    TX = 2
    MONO = 0
    STEREO = 1

    def __new__(cls, id, **_kwargs):
        port = _ports.get(id)
        if port is None:
            port = super().__new__(cls)
            port._token = 0
            port._tokens = [0] * _SLOTS
            port._views = [None] * _SLOTS
            port._known = [None] * _KNOWN
            port._known_views = [None] * _KNOWN
            port._known_bytes = [0] * _KNOWN
            port._next_known = 0
        return port

    def __init__(self, id, *, sck, ws, sd, mode, bits, format, rate, ibuf):
        self._id = id
        self._start(sck, ws, sd, mode, bits, format, rate, ibuf)
        _ports[id] = self

    def init(self, *, sck, ws, sd, mode, bits, format, rate, ibuf):
        self._start(sck, ws, sd, mode, bits, format, rate, ibuf)

    def _start(self, sck, ws, sd, mode, bits, format, rate, ibuf):
        self._forget()
        self._handler = None
        pins = [_gpio.pin_number(p) for p in (sck, ws, sd)]
        names = ("id", "sck", "ws", "sd", "mode", "bits", "format", "rate", "ibuf")
        values = [self._id] + pins + [mode, bits, format, rate, ibuf]
        _port.call(_ops.I2S_INIT, 0, 0, 0, 0, json.dumps(dict(zip(names, values))).encode())  # noqa: B905
        self._mode = mode
        self._frame = bits // 8 * (2 if format == self.STEREO else 1)
        self._text = f"id={self._id}, sck={pins[0]}, ws={pins[1]}, sd={pins[2]}, mode={mode}, bits={bits}, "
        self._text += f"format={format}, rate={rate}, ibuf={ibuf}"

    def __repr__(self):
        return f"I2S({self._text})"

    def _forget(self):
        for i in range(_SLOTS):
            self._tokens[i] = 0
            self._views[i] = None

    def deinit(self):
        self._forget()
        _port.call(_ops.I2S_DEINIT, self._id)

    def irq(self, handler):
        """Non-blocking from now on, with ``handler(i2s)`` after each transfer; None: blocking."""
        if handler is not None and not callable(handler):
            raise ValueError("invalid callback")
        _port.on(_ops.SRC_I2S, _i2s_interrupt)
        self._forget()
        _port.call(_ops.I2S_IRQ, self._id, 0 if handler is None else 1)
        self._handler = handler

    def readinto(self, buf):
        """Fill `buf`; returns its length in bytes, in non-blocking mode at once.

        Raises OSError EINVAL unless whole samples fit the buffer, EPERM on a transmitting port.
        """
        if self._mode != self.RX:
            raise OSError(_EPERM, "EPERM")
        k = self._look_up(buf)
        n = self._known_bytes[k]
        if n % self._frame:
            raise OSError(_EINVAL, "EINVAL")
        if n == 0:
            return 0
        views = self._known_views[k]
        if self._handler is None:
            for view in views:
                _port.call_into(_ops.I2S_BLOCK, self._id, min(n, _ops.ANSWER_BYTES), view)
                n -= _ops.ANSWER_BYTES
            return self._known_bytes[k]
        slot = 0
        while slot < _SLOTS and self._tokens[slot]:
            slot += 1
        if slot == _SLOTS:
            return n
        # In this order, so that a completion that comes between any two lines finds the buffer.
        token = self._token + 1
        self._token = token
        self._views[slot] = views
        self._tokens[slot] = token
        answer = _port.call(_ops.I2S_READ, self._id, n, token)
        if not answer & 1:  # two are out: dropped, and nobody says so
            self._tokens[slot] = 0
        if answer >> 1:
            self._fetch(answer >> 1)
        return n

    def write(self, buf):
        """Play `buf`; returns its length in bytes, in non-blocking mode at once."""
        if self._mode != self.TX:
            raise OSError(_EPERM, "EPERM")
        k = self._look_up(buf)
        n = self._known_bytes[k]
        if n == 0:
            return 0
        views = self._known_views[k]
        last = len(views) - 1
        token = self._token + 1
        self._token = token
        for i in range(last + 1):
            if self._handler is None:
                _port.call(_ops.I2S_PLAY, self._id, 0, 0, 0, views[i])
            else:
                _port.call(_ops.I2S_WRITE, self._id, token, 0 if i == last else 1, 0, views[i])
        return n

    def ioctl(self, request, arg):
        raise NotImplementedError("I2S as an asyncio stream hangs on the chip: use irq() and two buffers")

    # --- buffers ------------------------------------------------------------------------------------

    def _look_up(self, buf):
        """Index of a known buffer; makes it known first, which allocates."""
        for k in range(_KNOWN):
            if self._known[k] is buf:
                return k
        return self._learn(buf)

    # Apart from the look-up: a comprehension's variables are on the heap from a function's entry.
    def _learn(self, buf):
        k = self._next_known
        self._next_known = (k + 1) % _KNOWN
        items = len(buf)
        size = len(bytes(buf))  # bytes, whatever the items of an array are
        chunk = _ops.ANSWER_BYTES
        if _port.IS_CPYTHON:
            whole = memoryview(buf).cast("B")
            items = size
        else:
            whole = memoryview(buf)
            if items:
                chunk = chunk * items // size
        self._known[k] = None
        self._known_views[k] = [whole[i : i + chunk] for i in range(0, items, chunk)]
        self._known_bytes[k] = size
        self._known[k] = buf
        return k

    def _fetch(self, upto):
        """Get the bytes of every transfer that completed, oldest first."""
        tokens = self._tokens
        while True:
            slot = -1
            for i in range(_SLOTS):
                if 0 < tokens[i] <= upto and (slot < 0 or tokens[i] < tokens[slot]):
                    slot = i
            if slot < 0:
                return
            views = self._views[slot]
            token = tokens[slot]
            for i in range(len(views)):
                _port.call_into(_ops.I2S_FETCH, self._id + 16 * i, token, views[i])
            tokens[slot] = 0

    def _complete(self, token):
        if self._mode == self.RX:
            self._fetch(token)
        if self._handler is not None:
            self._handler(self)

    @staticmethod
    def shift(*, buf, bits, shift):
        """Shift every sample: each bit is 6 dB."""
        if bits not in (16, 32):
            raise ValueError("invalid bits")
        size = bits // 8
        raw = memoryview(buf)
        if _port.IS_CPYTHON:
            raw = raw.cast("B")
        half = 1 << (bits - 1)
        for i in range(0, len(raw) - size + 1, size):
            value = int.from_bytes(raw[i : i + size], "little")
            if value >= half:
                value -= 2 * half
            value = value << shift if shift >= 0 else value >> -shift
            raw[i : i + size] = (value & (2 * half - 1)).to_bytes(size, "little")
