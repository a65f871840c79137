"""Sound at two microphones in the free field or a room, for the tests of what two of them are good for.

Places are (x, y, z) in mm: to the wearer's right, forward, up from the bridge of the nose. Sound spreads as
1/r from where it comes from, delays are of any fraction of a sample (by turning the spectrum); the wearer's
head is not there. Nothing here knows of the filters that are tested.
"""

import numpy as np

SPEED = 343000  # mm/s
RATE = 16000
_PAD = 4096


def at(sound, source, place):
    """`sound` (floats, as loud as 1 m from its source) from a point, where `place` is."""
    distance = float(np.linalg.norm(np.subtract(source, place)))
    return late(sound, distance / SPEED * RATE) * 1000 / distance


def late(sound, samples):
    """`sound` delayed by so many samples, which need not be whole."""
    spectrum = np.fft.rfft(np.concatenate([sound, np.zeros(_PAD)]))
    turns = np.exp(-2j * np.pi * np.fft.rfftfreq(len(sound) + _PAD) * samples)
    return np.fft.irfft(spectrum * turns, len(sound) + _PAD)[: len(sound)]


def towards(azimuth, height=0.0, distance=1000):
    """The place that far away: 0 degrees is ahead, 90 to the right."""
    a, h = np.radians(azimuth), np.radians(height)
    return distance * np.array([np.sin(a) * np.cos(h), np.cos(a) * np.cos(h), np.sin(h)])


def wave(sound, direction, place):
    """A plane wave that comes from a direction (a vector of any length)."""
    unit = np.asarray(direction) / np.linalg.norm(direction)
    return late(sound, -float(unit @ np.asarray(place)) / SPEED * RATE)


def around(make, places, rng, waves=60, height=30):
    """Noise from all around within `height` degrees of the horizon: for each place the sum of as many plane
    waves, each of a sound of its own, `make()`."""
    total = [0.0 for _ in places]
    for k in range(waves):
        h = np.degrees(np.arcsin(rng.uniform(-1, 1) * np.sin(np.radians(height))))
        direction, sound = towards(360 * k / waves, h), make()
        total = [sum_ + wave(sound, direction, place) for sum_, place in zip(total, places, strict=True)]
    return total


def echoes(sound, places, rng, t60=0.4, ratio_db=0.0, paths=40):
    """What a room adds to a sound from a metre away that is as loud as `sound` there: plane waves from
    anywhere, later and later and softer and softer, together `ratio_db` louder than that."""
    delays = np.sort(rng.uniform(0.003, t60 / 2, paths)) * RATE
    levels = 10 ** (-3 * delays / RATE / t60) * rng.choice([-1, 1], paths)
    levels *= 10 ** (ratio_db / 20) / np.sqrt(np.sum(levels**2))
    total = [np.zeros(len(sound)) for _ in places]
    for delay, level in zip(delays, levels, strict=True):
        direction = rng.normal(size=3)
        for sum_, place in zip(total, places, strict=True):
            sum_ += level * late(wave(sound, direction, place), delay)
    return total
