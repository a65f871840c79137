"""`Pin`, `Signal`, `PWM` and `ADC` of `machine`.

Modelled: see `chip/pins.py`, `chip/pwm.py` and `chip/analog.py`; here only objects, arguments and handlers.
There is one Pin object per pin, as on the chip, and reading or writing it allocates nothing.
Not modelled: board names of pins (`Pin.board`), drive strength, level-triggered handlers.
"""

import _ops
import _port

_UNSET = object()
_pins = {}


def _pin_interrupt(number, _trigger, _e3, _data):
    pin = _pins.get(number)
    if pin is not None and pin._handler is not None:
        pin._handler(pin)


def pin_number(pin):
    """The number of a Pin, or of what `Pin` would accept."""
    return pin._id if isinstance(pin, Pin) else Pin(pin)._id


class _Irq:
    """What `Pin.irq` returns."""

    def __init__(self, pin):
        self._pin = pin

    def __call__(self):
        if self._pin._handler is not None:
            self._pin._handler(self._pin)

    def trigger(self, trigger=_UNSET):
        """The trigger until now; sets another if one is given."""
        old = self._pin._trigger
        if trigger is not _UNSET:
            self._pin._arm(trigger)
        return old


class Pin:
    """A GPIO. Raises ValueError for one that the chip does not have or the image keeps to itself."""

    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_DOWN = 1
    PULL_UP = 2
    IRQ_RISING = 1
    IRQ_FALLING = 2
    WAKE_LOW = 4
    WAKE_HIGH = 5
    DRIVE_0 = 0
    DRIVE_1 = 1
    DRIVE_2 = 2
    DRIVE_3 = 3

    def __new__(cls, id, *_args, **_kwargs):
        if isinstance(id, Pin):
            return id
        if not isinstance(id, int):
            raise ValueError("invalid pin")
        pin = _pins.get(id)
        if pin is None:
            _port.call(_ops.PIN_INIT, id, -1, -1, -1)
            pin = super().__new__(cls)
            pin._id = id
            pin._handler = None
            pin._trigger = 0
            pin._irq = _Irq(pin)
            _pins[id] = pin
        return pin

    def __init__(self, id, mode=None, pull=-1, *, value=_UNSET, drive=None, hold=_UNSET):
        if mode is not None or pull != -1 or value is not _UNSET or hold is not _UNSET:
            self.init(mode, pull, value=value, drive=drive, hold=hold)

    def __repr__(self):
        return f"Pin({self._id})"

    def init(self, mode=None, pull=-1, *, value=_UNSET, drive=None, hold=_UNSET):
        """Configure; what is not given stays. `pull=None` removes pulls."""
        _port.call(
            _ops.PIN_INIT,
            self._id,
            -1 if mode is None else mode,
            0 if pull is None else pull,
            -1 if value is _UNSET else (1 if value else 0),
        )
        if hold is not _UNSET:
            _port.call(_ops.PIN_HOLD, self._id, 1 if hold else 0)

    def value(self, x=_UNSET):
        """Read the level, or set it."""
        if x is _UNSET:
            return _port.call(_ops.PIN_GET, self._id)
        _port.call(_ops.PIN_SET, self._id, 1 if x else 0)
        return None

    __call__ = value

    def on(self):
        _port.call(_ops.PIN_SET, self._id, 1)

    def off(self):
        _port.call(_ops.PIN_SET, self._id, 0)

    def toggle(self):
        _port.call(_ops.PIN_SET, self._id, 1 - _port.call(_ops.PIN_OUT, self._id))

    def irq(self, handler=_UNSET, trigger=_UNSET, *, wake=None):
        """Have ``handler(pin)`` run, soon after an edge; None stops it. Returns the irq object."""
        if handler is _UNSET and trigger is _UNSET:
            return self._irq
        if trigger is _UNSET:
            trigger = self.IRQ_RISING | self.IRQ_FALLING
        if trigger in (self.WAKE_LOW, self.WAKE_HIGH):
            if wake is None:
                raise NotImplementedError("level-triggered handlers: on the chip they run without pause")
            if not isinstance(wake, int) or wake < 2 or wake > 7:
                raise ValueError("bad wake value")
            _port.call(_ops.WAKE_EXT0, self._id, 1 if trigger == self.WAKE_HIGH else 0, wake)
            return self._irq
        if handler is _UNSET or handler is None:
            handler = None
            trigger = 0
        _port.on(_ops.SRC_PIN, _pin_interrupt)
        self._handler = handler
        self._arm(trigger)
        return self._irq

    def _arm(self, trigger):
        self._trigger = trigger
        _port.call(_ops.PIN_IRQ, self._id, trigger)


class Signal:
    """A pin that may be active low: `Signal(pin, invert=True)` or `Signal(id, mode, ..., invert=True)`."""

    def __init__(self, pin, *args, invert=False, **kwargs):
        self._pin = pin if isinstance(pin, Pin) and not args and not kwargs else Pin(pin, *args, **kwargs)
        self._invert = 1 if invert else 0

    def value(self, x=_UNSET):
        if x is _UNSET:
            return self._pin.value() ^ self._invert
        self._pin.value((1 if x else 0) ^ self._invert)
        return None

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)


_FULL = 65536
_TEN_BITS = 1024
_BY_U16, _BY_TEN, _BY_NS = 1, 2, 3


def _whole(value):
    if not isinstance(value, (int, bool)):
        raise TypeError(f"can't convert {type(value).__name__} to int")
    return int(value)


class PWM:
    """Pulse-width modulation of a pin: `PWM(pin, freq, *, duty, duty_u16, duty_ns, invert)`.

    Frequency 1 Hz to 40 MHz (5000, or what the pin has), one duty of 0..1023, 0..65535 or nanoseconds of a
    period (half). As on the chip the top of a range means always high, and what is read is what the
    hardware has. Raises ValueError for a number out of range; RuntimeError when no channel or timer is
    free, after `deinit`, and for `duty_ns` in the constructor, which does not know its period yet.
    """

    def __init__(self, dest, freq=-1, *, duty=-1, duty_u16=-1, duty_ns=-1, invert=False, lightsleep=False):
        self._pin = pin_number(dest)
        self._forget()
        self.init(freq, duty=duty, duty_u16=duty_u16, duty_ns=duty_ns, invert=invert, lightsleep=lightsleep)

    def _forget(self):
        self._freq = -1  # -1: inactive
        self._unit = 0
        self._duty = 0
        self._invert = False

    def __repr__(self):
        if self._freq < 0:
            return f"PWM(Pin({self._pin}))"
        text = f"PWM(Pin({self._pin}), freq={self.freq()}, "
        if self._unit == _BY_TEN:
            text += f"duty={self.duty()}"
        elif self._unit == _BY_NS:
            text += f"duty_ns={self.duty_ns()}"
        else:
            text += f"duty_u16={self.duty_u16()}"
        return text + (", invert=True)" if self._invert else ")")

    def init(self, freq=-1, *, duty=-1, duty_u16=-1, duty_ns=-1, invert=_UNSET, lightsleep=False):
        """Change what is given; the rest stays."""
        if lightsleep:
            raise NotImplementedError("PWM that runs in light sleep")
        freq, duty, duty_u16, duty_ns = _whole(freq), _whole(duty), _whole(duty_u16), _whole(duty_ns)
        if freq != -1:
            self._check_freq(freq)
        if duty_u16 >= 0:
            self._take_u16(duty_u16)
        elif duty_ns >= 0:
            self._take_ns(duty_ns)
        elif duty >= 0:
            self._take_ten(duty)
        elif not self._unit:
            self._take_u16(_FULL // 2)
        if invert is not _UNSET:
            self._invert = bool(invert)
        self._apply(freq)

    def deinit(self):
        """Low from now on."""
        if self._freq >= 0:
            _port.call(_ops.PWM_DEINIT, self._pin)
        self._forget()

    def freq(self, value=None):
        self._need()
        if value is None:
            return _port.call(_ops.PWM_READ, self._pin, 0)
        self._check_freq(_whole(value))
        if value != self._freq:
            self._apply(value)
        return None

    def duty(self, value=None):
        if value is None:
            return self._read() >> 6
        self._take_ten(_whole(value))
        self._set()
        return None

    def duty_u16(self, value=None):
        if value is None:
            return self._read()
        self._take_u16(_whole(value))
        self._set()
        return None

    def duty_ns(self, value=None):
        if value is None:
            return self._ns(self._read())
        self._take_ns(_whole(value))
        self._set()
        return None

    def _need(self):
        if self._freq < 0:
            raise RuntimeError("PWM is inactive")

    def _set(self):
        self._need()
        self._apply(self._freq)

    def _read(self):
        self._need()
        return min(_port.call(_ops.PWM_READ, self._pin, 1), _FULL - 1)

    def _apply(self, freq):
        duty = self._duty
        if self._unit == _BY_TEN:
            duty <<= 6
        elif self._unit == _BY_NS:
            hz = self._freq if freq < 0 else freq
            duty = min((duty * _FULL * hz + 500000000) // 1000000000, _FULL)
            if self._duty and not duty:
                duty = 1
        self._freq = _port.call(_ops.PWM_INIT, self._pin, freq, duty, 1 if self._invert else 0)

    def _ns(self, duty):
        self._need()
        return (duty * 1000000000 + self._freq * (_FULL // 2)) // (self._freq * _FULL)

    @staticmethod
    def _check_freq(freq):
        if not 0 < freq <= 40000000:
            raise ValueError("frequency must be from 1Hz to 40MHz")

    def _take_u16(self, duty):
        if not 0 <= duty < _FULL:
            raise ValueError(f"duty_u16 must be from 0 to {_FULL}")
        self._unit = _BY_U16
        self._duty = _FULL if duty == _FULL - 1 else duty

    def _take_ten(self, duty):
        if not 0 <= duty < _TEN_BITS:
            raise ValueError(f"duty must be from 0 to {_TEN_BITS - 1}")
        self._unit = _BY_TEN
        self._duty = _TEN_BITS if duty == _TEN_BITS - 1 else duty

    def _take_ns(self, duty):
        longest = self._ns(_FULL)
        if not 0 <= duty <= longest:
            raise ValueError(f"duty_ns must be from 0 to {longest} ns")
        self._unit = _BY_NS
        self._duty = duty


class ADC:
    """An analogue input. Raises ValueError for a pin without one."""

    ATTN_0DB = 0
    ATTN_2_5DB = 1
    ATTN_6DB = 2
    ATTN_11DB = 3
    WIDTH_9BIT = 9
    WIDTH_10BIT = 10
    WIDTH_11BIT = 11
    WIDTH_12BIT = 12

    def __init__(self, pin, *, atten=-1):
        self._pin = pin_number(pin)
        self.init(atten=atten)

    def __repr__(self):
        return f"ADC(Pin({self._pin}))"

    def init(self, *, atten=-1):
        _port.call(_ops.ADC_INIT, self._pin, atten)

    def atten(self, value):
        if not 0 <= value <= 3:
            raise ValueError("invalid atten")
        self.init(atten=value)

    def width(self, bits):
        """Only 12 bits exist on the newer chips."""
        if bits != self.WIDTH_12BIT:
            raise ValueError("invalid bits")

    def read(self):
        """0..4095."""
        return _port.call(_ops.ADC_READ, self._pin, 0)

    def read_u16(self):
        """0..65535."""
        return _port.call(_ops.ADC_READ, self._pin, 1)

    def read_uv(self):
        """Calibrated microvolts."""
        return _port.call(_ops.ADC_READ, self._pin, 2)
