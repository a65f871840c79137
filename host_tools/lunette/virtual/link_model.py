"""How good a Bluetooth LE link is: the numbers a scene may choose, and the air time they cost.

Pure data and arithmetic; nothing here knows Bumble or asyncio.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

INTERVAL_UNIT_MS = 1.25
TIMEOUT_UNIT_MS = 10
MAX_TIMEOUT_MS = 32_000.0

# Core specification 5.4, Vol 6, Part B: inter frame space (4.1.1) and packet format (2.1).
INTER_FRAME_SPACE_S = 150e-6
_PREAMBLE = {"1M": 1, "2M": 2}
_BITS_PER_S = {"1M": 1e6, "2M": 2e6}
_ACCESS_ADDRESS, _HEADER, _CRC, _MIC = 4, 2, 3, 4


def pdu_airtime_s(octets: int, phy: str, encrypted: bool = False) -> float:
    """Seconds one data channel PDU of `octets` (0..251) payload octets is on air; `phy` is 1M or 2M.

    An empty PDU carries no MIC, also on an encrypted link.
    """
    size = _PREAMBLE[phy] + _ACCESS_ADDRESS + _HEADER + octets + _CRC
    if encrypted and octets:
        size += _MIC
    return size * 8 / _BITS_PER_S[phy]


def exchange_airtime_s(
    to_peripheral: int, to_central: int, phys: tuple[str, str], encrypted: bool = False
) -> float:
    """Seconds of one exchange inside a connection event: a PDU each way and the two spaces after them.

    Octets of payload each way (0: an empty PDU that only acknowledges), and the PHY each way.
    """
    return (
        pdu_airtime_s(to_peripheral, phys[0], encrypted)
        + pdu_airtime_s(to_central, phys[1], encrypted)
        + 2 * INTER_FRAME_SPACE_S
    )


def _number(name: str, value: object, low: float, high: float, unit: str = "") -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{name}: a number is needed, not {value!r}")
    if not low <= value <= high:
        raise ValueError(f"{name}: {value:g} is outside {low:g}..{high:g}{unit and ' ' + unit}")
    return value


def _integer(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name}: a whole number is needed, not {value!r}")
    _number(name, value, low, high)


def _multiple(name: str, value: object, low: float, high: float, unit: float) -> None:
    number = _number(name, value, low, high, "ms")
    if abs(number / unit - round(number / unit)) > 1e-9:
        raise ValueError(f"{name}: {number:g} ms is not a multiple of {unit:g} ms")


def _check(name: str, value: Any) -> None:
    match name:
        case "interval_ms":
            _multiple(name, value, 7.5, 4000, INTERVAL_UNIT_MS)
        case "phy":
            if value not in ("1M", "2M"):
                raise ValueError(f"phy: 1M or 2M is needed, not {value!r}")
        case "loss":
            if _number(name, value, 0, 1) == 1:
                raise ValueError("loss: 1 would never let anything through; it must be below 1")
        case "jitter_ms":
            _number(name, value, 0, 4000, "ms")
        case "mtu":
            _integer(name, value, 23, 527)
        case "supervision_timeout_ms":
            _multiple(name, value, 100, MAX_TIMEOUT_MS, TIMEOUT_UNIT_MS)
        case "latency":
            _integer(name, value, 0, 499)
        case "pdus_per_event":
            if value is not None:
                _integer(name, value, 1, 1000)
        case "rssi":
            _integer(name, value, -127, 20)
        case "seed":
            _integer(name, value, -(2**63), 2**63 - 1)


@dataclass
class LinkModel:
    """What the central (a phone) chooses and what the air does. May be changed while links are up.

    Every assignment is checked: a value outside its range raises ValueError naming the field.
    Interval, latency, timeout and PHY reach existing links as an ordinary connection or PHY update.
    """

    interval_ms: float = 15.0
    """Connection interval, 7.5..4000, a multiple of 1.25."""
    phy: str = "2M"
    """"1M" or "2M", both directions. A link starts on 1M and is moved by the central, as on a phone."""
    loss: float = 0.0
    """Chance, 0 <= loss < 1, that a data PDU has to be sent again. Costs air time, never data."""
    jitter_ms: float = 0.0
    """A connection event starts up to this much late (uniform): the radio was busy elsewhere."""
    mtu: int = 247
    """ATT MTU that host programs offer, 23..527."""
    supervision_timeout_ms: float = 2000.0
    """Silence after which a link is lost, 100..32000, a multiple of 10."""
    latency: int = 0
    """Connection events a peripheral with nothing to send may sleep through, 0..499."""
    pdus_per_event: int | None = 6
    """Exchanges a central grants in one connection event, 1.. . Phones stop at about six however long
    the interval; None lets an event last until the next one."""
    rssi: int = -55
    """dBm, -127..20, of adverts and links."""
    seed: int = 0
    """Of everything random on the air: with the same seed and the same program, the same air."""
    _watchers: list[Callable[[], None]] = field(default_factory=list, init=False, repr=False, compare=False)

    def __setattr__(self, name: str, value: Any) -> None:
        _check(name, value)
        before = getattr(self, name, None)
        object.__setattr__(self, name, value)
        if not hasattr(self, "_watchers"):
            return  # still in __init__
        try:
            self._check_timing()
        except ValueError:
            object.__setattr__(self, name, before)
            raise
        if value != before:
            for watcher in tuple(self._watchers):
                watcher()

    def __post_init__(self) -> None:
        self._check_timing()

    def _check_timing(self) -> None:
        # Vol 6, Part B, 4.5.2: the timeout is more than twice the longest silence that is allowed.
        if 2 * (1 + self.latency) * self.interval_ms >= MAX_TIMEOUT_MS:
            raise ValueError(
                f"latency: {self.latency} with interval_ms {self.interval_ms:g} needs a supervision "
                f"timeout above {MAX_TIMEOUT_MS:g} ms"
            )

    @property
    def interval_units(self) -> int:
        """Connection interval in units of 1.25 ms."""
        return round(self.interval_ms / INTERVAL_UNIT_MS)

    @property
    def timeout_units(self) -> int:
        """Supervision timeout in units of 10 ms, raised to what interval and latency require."""
        shortest = 2 * (1 + self.latency) * self.interval_ms
        return max(round(self.supervision_timeout_ms / TIMEOUT_UNIT_MS), int(shortest / TIMEOUT_UNIT_MS) + 1)

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call `watcher` after every change. Returns what stops that."""
        self._watchers.append(watcher)

        def unwatch() -> None:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

        return unwatch
