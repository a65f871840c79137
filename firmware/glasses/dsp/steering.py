"""The filters of `beam`, from where two microphones and a mouth are: in floats, once, when a beam is made."""

from math import exp, sin, sqrt

_TAPS = 8
_PER_MM = 16000 / 343000  # samples that sound takes for a millimetre
_MOST = 4  # a microphone that hears the mouth 12 dB softer than the other is of no use,
_LATEST = 11  # nor one that hears it so many samples later: more than `combine` can wait for
_BAND = 7000 / 8000 * 3.14159265
_BAND_FLOOR = 0.001  # for what a short filter cannot do, so that its taps stay small
# What is to be suppressed: noise that falls off above 900 Hz as that of streets and talkers does, from all
# around, within 30 degrees of the horizon; and a fiftieth that the two microphones do not have in common.
_FALL = 0.35
_OWN = 0.02
_SIDES = 0.458  # mean square of the direction's part along a horizontal axis,
_HEIGHT = 0.083  # and along the vertical one


def solve(positions, mouth):
    """(is the right one nearer to the mouth, delay of the nearer one in samples, ``h``, ``w``) for
    `beam.combine`; ``h`` and ``w`` are lists of 8 numbers in 1/4096. ``w`` is zeros if the farther one is of
    no use while the nearer one works."""
    left = _distance(positions[0], mouth)
    right = _distance(positions[1], mouth)
    near = max(min(left, right), 1)  # mm
    far = max(left, right)
    late = (far - near) * _PER_MM
    delay = 4
    ratio = far / near
    h = [0, 0, 0, 4096, 0, 0, 0, 0]
    w = [0] * _TAPS
    if ratio <= _MOST and late <= _LATEST:
        delay += int(late)
        h = [round(4096 * ratio * tap) for tap in _fraction(delay - late)]
        w = [round(4096 * tap) for tap in _weights(positions, late, ratio)]
    return right < left, delay, h, w


def _distance(a, b):
    return sqrt((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2)


def _fraction(delay):
    """Taps that delay by 3..4 samples: least squares, up to 7 kHz."""
    r = [_BAND + _BAND_FLOOR] + [sin(_BAND * i) / i for i in range(1, _TAPS)]
    p = []
    for i in range(_TAPS):
        off = i - delay
        p.append(sin(_BAND * off) / off if abs(off) > 0.001 else _BAND)
    return _toeplitz(r, p)


def _weights(positions, late, ratio):
    """The filter from what has no voice in it to the same noise in the nearer microphone: Wiener's."""
    apart = _distance(positions[0], positions[1])
    upright = ((positions[0][2] - positions[1][2]) / apart) ** 2
    # Arrivals at the two differ by up to this, in samples, all differences alike often.
    spread = apart * _PER_MM * sqrt(3 * (_SIDES + (_HEIGHT - _SIDES) * upright))
    r = []
    p = []
    for lag in range(_TAPS):
        r.append(
            (1 + ratio * ratio) * exp(-_FALL * lag)
            - ratio * (_across(lag + late, spread) + _across(lag - late, spread))
        )
        p.append(exp(-_FALL * lag) - ratio * _across(lag - late, spread))
    r[0] += _OWN * (1 + ratio * ratio)
    return _toeplitz(r, p)


def _across(lag, spread):
    """Correlation of the two microphones: that of one, over all differences of arrival."""
    return (_rise(lag + spread) - _rise(lag - spread)) / (2 * spread)


def _rise(lag):
    """The integral of exp(-_FALL * abs(t)) from 0 to ``lag``."""
    area = (1 - exp(-_FALL * abs(lag))) / _FALL
    return area if lag > 0 else -area


def _toeplitz(r, p):
    """Solves R x = p, R[i][j] = r[abs(i - j)], by Levinson's recursion."""
    forward = [1 / r[0]]
    x = [p[0] / r[0]]
    for n in range(1, len(r)):
        error = sum([r[n - i] * forward[i] for i in range(n)])
        rest = p[n] - sum([r[n - i] * x[i] for i in range(n)])
        backward = [0.0] + forward[::-1]
        forward.append(0.0)
        scale = 1 / (1 - error * error)
        forward = [scale * (f - error * b) for f, b in zip(forward, backward)]
        x.append(0.0)
        x = [a + rest * b for a, b in zip(x, forward[::-1])]
    return x
