"""`Pin`, `Signal`, `PWM` and `ADC` of `machine`.

Modelled: see `chip/pins.py` and `chip/analog.py`; here only objects, arguments and handlers. There is
one Pin object per pin, as on the chip, and reading or writing it allocates nothing.
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


class PWM:
    """Pulse-width modulation of a pin. Frequency 1 Hz..40 MHz, duty 0..65535."""

    def __init__(self, dest, freq=5000, *, duty=None, duty_u16=None, duty_ns=None, invert=0):
        self._pin = pin_number(dest)
        self._freq = freq
        self._duty = 32768
        self._invert = 0
        self.init(freq=freq, duty=duty, duty_u16=duty_u16, duty_ns=duty_ns, invert=invert)

    def __repr__(self):
        return f"PWM(Pin({self._pin}), freq={self._freq}, duty_u16={self._duty})"

    def init(self, *, freq=None, duty=None, duty_u16=None, duty_ns=None, invert=None):
        frequency = self._freq if freq is None else freq
        value = self._duty
        if duty_u16 is not None:
            value = duty_u16
        elif duty_ns is not None:
            value = duty_ns * frequency * 65535 // 1000000000
        elif duty is not None:
            if not 0 <= duty <= 1023:
                raise ValueError("duty must be from 0 to 1023")
            value = 65535 if duty == 1023 else duty << 6
        if invert is not None:
            self._invert = 1 if invert else 0
        sent = 65535 - value if self._invert and 0 <= value <= 65535 else value
        _port.call(_ops.PWM_INIT, self._pin, frequency, sent)
        self._freq = frequency
        self._duty = value

    def deinit(self):
        _port.call(_ops.PWM_DEINIT, self._pin)

    def freq(self, value=None):
        if value is None:
            return self._freq
        self.init(freq=value)
        return None

    def duty(self, value=None):
        if value is None:
            return self._duty >> 6
        self.init(duty=value)
        return None

    def duty_u16(self, value=None):
        if value is None:
            return self._duty
        self.init(duty_u16=value)
        return None

    def duty_ns(self, value=None):
        if value is None:
            return self._duty * 1000000000 // (65535 * self._freq)
        self.init(duty_ns=value)
        return None


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
