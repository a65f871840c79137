"""Battery voltage through a divider on an ADC pin."""

from machine import ADC, Pin


class Battery:
    """`pin` number, `ratio` battery volts per volt at the pin, `empty_v` and `full_v` of the cell."""

    def __init__(self, pin, ratio=2.0, empty_v=3.3, full_v=4.2):
        self._adc = ADC(Pin(pin), atten=ADC.ATTN_11DB)
        self._ratio = ratio
        self._empty = empty_v
        self._full = full_v

    def volts(self):
        """Volts at the cell: the mean of four calibrated readings."""
        total = 0
        for _ in range(4):
            total += self._adc.read_uv()
        return total / 4e6 * self._ratio

    def percent(self):
        """0..100, linear between empty and full."""
        return max(0, min(100, round(100 * (self.volts() - self._empty) / (self._full - self._empty))))
