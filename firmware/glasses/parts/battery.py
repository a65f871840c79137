"""The cell's voltage through a divider on an ADC pin."""

from machine import ADC, Pin

_READINGS = 5  # a sample: the middle three count, so one that is hit by a burst of the radio does not


class Battery:
    """`pin` number, `ratio` volts of the cell per volt at the pin, `offset_mv` that the readings are too
    low by, at the cell (negative: too high).

    To calibrate: measure the cell with a meter when it is full and when it is nearly empty; `ratio` makes
    the difference of the two right, `offset_mv` the rest. Uncalibrated, an ESP32-S3 may be 50 mV off at the
    pin (ESP32-S3 datasheet, ADC calibration results, ATTEN3), twice that at the cell with a ratio of 2.
    """

    def __init__(self, pin, ratio=2.0, offset_mv=0):
        self._adc = ADC(Pin(pin), atten=ADC.ATTN_11DB)
        self._ratio = ratio
        self._offset = offset_mv / 1000

    def volts(self):
        """Volts at the cell's terminals now. Raises OSError if the converter does not answer."""
        readings = sorted([self._adc.read_uv() for _ in range(_READINGS)])
        return (readings[1] + readings[2] + readings[3]) / 3e6 * self._ratio + self._offset
