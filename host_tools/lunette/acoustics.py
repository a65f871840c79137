"""Where microphones and mouth are, and how sound comes from one to the other.

Points are (x, y, z) in mm: x to the wearer's right, y forward, z up, from the bridge of the nose. A board
says where its microphones are in ``PARTS["mic"]["positions"]``, one a channel, left first, and may say
where the mouth is in ``PARTS["mic"]["mouth"]``. Delays and gains are relative to the way from the mouth to
the first microphone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Point = tuple[float, float, float]

SPEED_OF_SOUND = 343.0
"""m/s, in air of 20 degrees Celsius."""
MOUTH: Point = (0.0, 20.0, -75.0)
"""Of a board that does not say: the lips, below the bridge of the nose and in front of it."""
POSITIONS: tuple[Point, ...] = ((-70.0, 0.0, 0.0), (70.0, 0.0, 0.0))
"""Of a board that does not say: beside the hinges."""
NEAREST_MM = 10.0
"""Nothing sounds closer than this: the amplitude grows with 1 / distance."""


def point(value: Sequence[float]) -> Point:
    """Three numbers as a point. Raises ValueError."""
    if len(value) != 3 or not all(isinstance(v, (int, float)) and math.isfinite(v) for v in value):
        raise ValueError(f"{value!r} is not a place: three numbers, in mm")
    x, y, z = value
    return float(x), float(y), float(z)


def toward(azimuth: float, distance: float) -> Point:
    """The point in that direction, `azimuth` degrees to the right of straight ahead, `distance` m away, at
    the height of the eyes."""
    turn = math.radians(azimuth)
    return 1000 * distance * math.sin(turn), 1000 * distance * math.cos(turn), 0.0


@dataclass(frozen=True)
class Geometry:
    """`positions` of the microphones, left first, and of the `mouth`. Microphones are counted from 0."""

    positions: tuple[Point, ...] = POSITIONS[:1]
    mouth: Point = MOUTH

    @classmethod
    def of(cls, mic: Mapping[str, Any]) -> Geometry:
        """As the data of a board's part "mic" say, or the defaults. Raises ValueError."""
        channels = int(mic.get("channels", 1))
        places = mic.get("positions", POSITIONS[:channels])
        if len(places) < channels:
            raise ValueError(f"positions of {len(places)} microphones, and there are {channels}")
        return cls(tuple(map(point, places)), point(mic.get("mouth", MOUTH)))

    def distance_mm(self, microphone: int, source: Point | None = None) -> float:
        """From `source` (the mouth) to a microphone, NEAREST_MM at least."""
        return max(
            NEAREST_MM, math.dist(self.mouth if source is None else source, self.positions[microphone])
        )

    def delay_s(self, microphone: int, source: Point | None = None) -> float:
        """How much later sound from `source` (the mouth) arrives than from the mouth at microphone 0."""
        return (self.distance_mm(microphone, source) - self.distance_mm(0)) / 1000 / SPEED_OF_SOUND

    def gain(self, microphone: int, source: Point | None = None) -> float:
        """Its amplitude, relative to the same from the mouth at microphone 0."""
        return self.distance_mm(0) / self.distance_mm(microphone, source)

    def spacing_mm(self, one: int, other: int) -> float:
        """Between two microphones."""
        return math.dist(self.positions[one], self.positions[other])
