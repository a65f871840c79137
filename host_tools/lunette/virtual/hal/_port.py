"""The wire between the HAL modules and the chip model.

`call()` makes a request of the chip and returns its answer, `on()` names the function that an
interrupt source runs. Two transports carry them:

* `attach(chip)`: CPython, the chip is an object in this process and shares the virtual clock;
* `open(request_fd, doorbell_fd)`: MicroPython, the chip is in the simulator's process.

Modelled: an answer is taken before the next bytecode runs, like a call into a C driver; interrupts
run between bytecodes, never inside a request; `call()` and the delivery of an interrupt allocate
nothing, so firmware can lock the heap around its hot path.
Not modelled: the time that a driver call takes on the chip.

The socket is SOCK_SEQPACKET, so a message is read whole or not at all. Ctrl-C may raise
KeyboardInterrupt at any bytecode here; `_dirty` then makes the next request resynchronise.
"""

import sys

import _ops

IS_CPYTHON = sys.implementation.name == "cpython"

_handlers = [None] * _ops.SRC_COUNT
_chip = None

_request = None  # file on the request socket
_bell = None
_tx = None
_rx = None
_payload = None
_scratch = None
_dirty = False
_busy = False
_deferred = False
_in_dispatch = False
_handled = 0


def on(source, handler):
    """Have interrupts of `source` (a SRC_ number) call ``handler(e1, e2, e3, data)``.

    `data` is a memoryview that is only valid during the call, or None.
    """
    _handlers[source] = handler


def call(op, a=0, b=0, c=0, d=0, data=None):
    """Make a request; returns its integer. Raises what the chip refused with (OSError, ValueError...)."""
    return _exchange(op, a, b, c, d, data, None)


def call_into(op, a, b, buffer):
    """Make a request whose answer's bytes go into `buffer`; returns how many bytes that were."""
    return _exchange(op, a, b, 0, 0, None, buffer)


def call_bytes(op, a=0, b=0, c=0, data=None):
    """Make a request; returns the bytes of its answer. Allocates: not for the hot path."""
    if _chip is not None:
        return _chip.call(op, a, b, c, 0, data)[1]
    return _exchange_socket(op, a, b, c, 0, data, None, True)


# --- CPython: the chip is an object ---------------------------------------------------------


def attach(chip):
    """Use `chip` (an object with ``call(op, a, b, c, d, data) -> (int, bytes)``) in this process."""
    global _chip
    _chip = chip
    for i in range(_ops.SRC_COUNT):
        _handlers[i] = None


def interrupt(e0, e1, e2, e3, payload):
    """Called by an attached chip for each interrupt."""
    handler = _handlers[e0]
    if handler is None:
        return
    if not payload:
        handler(e1, e2, e3, None)
        return
    data = bytearray(payload)
    handler(e1, e2, e3, memoryview(data))
    data[:] = bytes(len(data))  # what the handler was shown does not outlive the call


# --- MicroPython: the chip is behind a socket --------------------------------------------------


def open(request_fd, doorbell_fd):
    """Connect to the chip over two inherited file descriptors and start listening for interrupts."""
    global _request, _bell, _tx, _rx, _payload, _scratch
    import _thread
    import array
    import builtins

    _request = builtins.open(request_fd, "r+b")  # noqa: SIM115 (open as long as the program runs)
    _bell = builtins.open(doorbell_fd, "r+b")  # noqa: SIM115
    _tx = array.array("i", [0] * _ops.WORDS)
    _rx = array.array("i", [0] * _ops.WORDS)
    _payload = bytearray(_ops.ANSWER_BYTES)
    _scratch = bytearray(1)
    import time

    import micropython

    _thread.start_new_thread(_listen, (micropython.schedule, time.sleep_ms))


def _listen(schedule, sleep_ms):
    # There is no GIL on this port: this thread only waits and schedules, the main thread works. It imports
    # nothing, which lost entries of sys.modules while the main thread was importing, too.
    while _bell.readinto(_scratch, 1) == 1:
        while True:
            try:
                schedule(dispatch, 0)
                break
            except RuntimeError:  # this interpreter's queue is full; the chip keeps the real limit
                sleep_ms(1)
        _bell.write(_scratch, 1)  # scheduled: the supervisor may wake an idle prompt now


def _resync():
    """Throw away what a request that Ctrl-C cut short has left in the socket."""
    global _dirty
    _tx[1] = (_tx[1] + 1) & 0xFFFF
    mark = _tx[1]
    _tx[0] = _ops.RESYNC
    for i in range(2, _ops.WORDS):
        _tx[i] = 0x4C554E45
    _request.write(_tx, 4 * _ops.WORDS)
    while True:
        _read(_rx, 4 * _ops.WORDS)
        if _rx[0] == _ops.RESYNC and _rx[1] == mark and _rx[2] == 0x4C554E45:
            break
    _dirty = False


def _read(buffer, n):
    if not _request.readinto(buffer, n):
        raise SystemExit  # the simulator is gone


def _exchange(op, a, b, c, d, data, into):
    if _chip is not None:
        value, payload = _chip.call(op, a, b, c, d, data)
        if into is not None:
            memoryview(into)[: len(payload)] = payload
            return len(payload)
        return value
    return _exchange_socket(op, a, b, c, d, data, into, False)


def _exchange_socket(op, a, b, c, d, data, into, as_bytes):
    global _busy, _dirty, _deferred
    if _request is None:
        raise RuntimeError("the HAL is not connected to a chip")
    if _busy:
        raise RuntimeError("request inside a request")
    _busy = True
    try:
        if _dirty:
            _resync()
        _dirty = True
        tx = _tx
        tx[0] = op
        tx[1] = (tx[1] + 1) & 0xFFFF
        tx[2] = a
        tx[3] = b
        tx[4] = c
        tx[5] = d
        tx[6] = 0 if data is None else len(data)
        _request.write(tx, 4 * _ops.WORDS)
        if tx[6]:
            _request.write(data, tx[6])
        rx = _rx
        _read(rx, 4 * _ops.WORDS)
        n = rx[3]
        if n:
            _read(_payload if into is None or rx[1] else into, n)
        _dirty = False
        # Before `_busy` falls: an interrupt may run right after and use the same buffers.
        if rx[1]:
            _raise()
        if as_bytes:
            return bytes(memoryview(_payload)[:n])
        return n if into is not None else rx[2]
    finally:
        _busy = False
        if _deferred:
            _deferred = False
            _reschedule()


def _reschedule():
    import micropython

    try:
        micropython.schedule(dispatch, 0)
    except RuntimeError:  # queue full: what fills it are our own wake-ups, one of them will do
        pass


def _raise():
    kind = _rx[1]
    if kind == _ops.E_OS:
        raise OSError(_rx[2])
    message = str(memoryview(_payload)[: _rx[3]], "utf-8")
    if kind == _ops.E_VALUE:
        raise ValueError(message)
    if kind == _ops.E_TYPE:
        raise TypeError(message)
    if kind == _ops.E_NOTIMPL:
        raise NotImplementedError(message)
    if kind == _ops.E_MEMORY:
        raise MemoryError(message)
    if kind == _ops.E_INDEX:
        raise IndexError(message)
    if kind == _ops.E_ATTRIBUTE:
        raise AttributeError(message)
    raise RuntimeError(message)


def dispatch(_):
    """Run the handlers of all pending interrupts. Scheduled by the doorbell thread."""
    global _deferred, _handled, _in_dispatch
    if _busy:
        _deferred = True
        return
    if _in_dispatch:
        return
    _in_dispatch = True
    try:
        while True:
            # An interrupt is acknowledged by asking for the one after it, so that a Ctrl-C
            # between the two cannot lose it.
            _exchange_socket(_ops.IRQ_NEXT, _handled, 0, 0, 0, None, None, False)
            if not _rx[2]:
                break
            _handled = _rx[2]
            handler = _handlers[_rx[4]]
            if handler is None:
                continue
            n = _rx[3]
            try:
                if n:
                    data = bytearray(n)
                    data[:] = memoryview(_payload)[:n]
                    handler(_rx[5], _rx[6], _rx[7], memoryview(data))
                    for i in range(n):  # what the handler was shown does not outlive the call
                        data[i] = 0
                else:
                    handler(_rx[5], _rx[6], _rx[7], None)
            except KeyboardInterrupt:
                raise
            except Exception as error:
                sys.print_exception(error)
    except KeyboardInterrupt:
        # A scheduled function cannot pass Ctrl-C on to the program; the supervisor sends it again.
        # What is still queued must not wait for a doorbell that has rung already.
        _reschedule()
    finally:
        _in_dispatch = False
