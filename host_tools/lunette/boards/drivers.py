"""What the data of each part must say: the drivers that ``firmware/glasses/board.py`` knows, and the values
that each of them takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lunette.boards.subject import TEXT, Kind, Subject, key_of, number, one_of, whole
from lunette.chips import ChipData

_LEVEL = one_of(0, 1)
_PULL = one_of("up", "down", None)
_GPIO = whole(0, 99)  # which of them the chip has is for `lunette.boards.pins`
_CELL_V = number(2.5, 4.5)
_GAIN = one_of(*range(0, 31, 6))
_PLACE = Kind(lambda value: _is_place(value), "(x, y, z) in mm, each from -300 to 300")
_PLACES = Kind(
    lambda value: isinstance(value, tuple) and all(_is_place(place) for place in value),
    "a tuple of (x, y, z) in mm, each from -300 to 300",
)
_APART_MM = (10, 200)
DESCRIPTOR_BYTES = 2048  # of the I2S driver's ring: three at least, of which one is being filled


@dataclass(frozen=True)
class Driver:
    """`part` is the only name that such a part may have, None for any. `pins` are the keys that hold a pin,
    `needed` and `allowed` the others; `spare` are pins that need not be there, `loose` those of `pins` that
    are connected to nothing."""

    part: str | None
    pins: tuple[str, ...]
    needed: dict[str, Kind] = field(default_factory=dict)
    allowed: dict[str, Kind] = field(default_factory=dict)
    spare: tuple[str, ...] = ()
    loose: tuple[str, ...] = ()

    def pins_in(self, data: Mapping[str, Any]) -> tuple[str, ...]:
        """The keys of that part's `data` that hold a pin."""
        return self.pins + tuple(key for key in self.spare if key in data)


def _is_place(value: Any) -> bool:
    reach = number(-300, 300)  # no part of any glasses is farther than that from the nose
    return isinstance(value, tuple) and len(value) == 3 and all(reach.fits(number) for number in value)


def _ibuf(chip: ChipData) -> Kind:
    return whole(3 * DESCRIPTOR_BYTES, chip.dma_bytes)


def drivers(chip: ChipData) -> dict[str, Driver]:
    """All drivers, by name, as they are for that chip."""
    port = whole(0, chip.i2s_ports - 1)
    return {
        "button": Driver(None, ("pin",), {}, {"active": _LEVEL, "pull": _PULL}),
        "led": Driver("light", ("pin",), {}, {"active": _LEVEL}),
        "cue_led": Driver("cue", ("pin",), {}, {"active": _LEVEL}),
        "i2s_microphone": Driver(
            "mic",
            ("sck", "ws", "sd"),
            {"port": port},
            # Two channels: a second microphone on the same wires, its L/R high.
            {
                "ibuf": _ibuf(chip),
                "channels": one_of(1, 2),
                "gain_db": _GAIN,
                "positions": _PLACES,
                "mouth": _PLACE,
            },
        ),
        "pdm_microphone": Driver(
            "mic",
            ("clock", "data", "ws"),
            {"port": port},
            {"ibuf": _ibuf(chip), "gain_db": _GAIN},
            loose=("ws",),  # the I2S port has no sound without a word clock
        ),
        "battery": Driver(
            "battery",
            ("pin",),
            {"ratio": number(1, 20)},
            {
                "offset_mv": number(-500, 500),
                "empty_v": _CELL_V,
                "full_v": _CELL_V,
                "capture_v": _CELL_V,
                "cutoff_v": _CELL_V,
                "ohm": number(0, 5),
                "charge_ma": number(0, 2000),
            },
        ),
        "usb_sense": Driver("usb", ("pin",), {}, {"active": _LEVEL}),
        "worn_sense": Driver("worn", ("pin",), {}, {"active": _LEVEL, "pull": _PULL}),
        "charger": Driver("charger", ("pin",), {}, {"active": _LEVEL}),
        "touch": Driver(None, ()),
        "i2s_speaker": Driver(
            "speaker", ("sck", "ws", "sd"), {"port": port}, {"level_db": number(-40, 0)}, ("enable",)
        ),
        "buzzer": Driver("buzzer", ("pin",), {}, {"level": whole(1, 100)}),
    }


def check_parts(subject: Subject, chip: ChipData, parts: Any) -> None:
    """Raises LunetteError for a part of an unknown driver, or with data that its driver does not take. Which
    pins are fit is for `lunette.boards.pins`."""
    known = drivers(chip)
    for name, data in parts.items():
        where = key_of("PARTS", name)
        subject.need(f"the name {name!r} in PARTS", name, TEXT)
        if not isinstance(data, dict):
            raise subject.error(f"{where} is {data!r}, not a dict", 'write {"driver": ...}')
        if "driver" not in data:
            raise subject.error(f'{where} lacks "driver"', f"it is one of {', '.join(known)}")
        driver = known.get(data["driver"]) if isinstance(data["driver"], str) else None
        if driver is None:
            raise subject.error(
                f'{where}["driver"] is {data["driver"]!r}, which the firmware does not know',
                f"it is one of {', '.join(known)}",
            )
        if driver.part not in (None, name):
            raise subject.error(
                f'{where}: the firmware looks for a {data["driver"]} under the name "{driver.part}" only',
                f"call it that, and have one of them{' (buttons have any name)' if name != 'talk' else ''}",
            )
        if data["driver"] == "touch" and not chip.touch:
            raise subject.error(f"{where}: the {chip.name} has no touch pads", "take a button")
        subject.keys(where, data, ("driver", *driver.pins, *driver.needed), (*driver.allowed, *driver.spare))
        for key in driver.pins_in(data):
            subject.need(f'{where}["{key}"]', data[key], _GPIO)
        for key, kind in (driver.needed | driver.allowed).items():
            if key in data:
                subject.need(f'{where}["{key}"]', data[key], kind)
        _check_sense(subject, where, data)
        _check_places(subject, where, data)
        if data["driver"] == "i2s_speaker":
            _check_port(subject, chip, where, data, parts)
        if data["driver"] == "battery":
            _check_divider(subject, chip, where, data)


def _check_port(
    subject: Subject, chip: ChipData, where: str, data: dict[str, Any], parts: dict[str, Any]
) -> None:
    """A port does one thing at a time, and the microphone may have to run at any."""
    microphone = parts.get("mic")
    if not isinstance(microphone, dict) or microphone.get("port") != data["port"]:
        return
    free = [port for port in range(chip.i2s_ports) if port != data["port"]]
    raise subject.error(
        f'{where}["port"] is {data["port"]}, which is PARTS["mic"]["port"] already',
        f"write {free[0]}" if free else f"the {chip.name} has no other: take a buzzer",
    )


def _check_places(subject: Subject, where: str, data: dict[str, Any]) -> None:
    """Where the microphones are: there if there are two, as many as those, and apart."""
    channels, places = data.get("channels", 1), data.get("positions")
    if places is None:
        if channels == 2:
            raise subject.error(
                f'{where} has two channels and lacks "positions"',
                "say where they are, the left one first: ((x, y, z), (x, y, z)) in mm from the bridge of the "
                "nose",
            )
        return
    if len(places) != channels:
        raise subject.error(
            f'{where}["positions"] has {len(places)}, and "channels" is {channels}', "give one for each"
        )
    if channels == 2 and not _APART_MM[0] <= math.dist(*places) <= _APART_MM[1]:
        raise subject.error(
            f'{where}["positions"] are {math.dist(*places):.0f} mm apart',
            f"two that work as one are {_APART_MM[0]} to {_APART_MM[1]} mm apart",
        )


def _check_sense(subject: Subject, where: str, data: dict[str, Any]) -> None:
    if data["driver"] != "button":
        return
    active, pull = data.get("active", 0), data.get("pull", "up")
    if pull == ("down", "up")[active]:
        raise subject.error(
            f'{where}["pull"] is {pull!r} and "active" {active}: it would always be pressed',
            f'write "pull": "{("up", "down")[active]}", or None with a resistor of your own',
        )


def _check_divider(subject: Subject, chip: ChipData, where: str, data: dict[str, Any]) -> None:
    """The cell's range makes sense, and a full one stays within what the converter reads."""
    empty, full = data.get("empty_v", 3.3), data.get("full_v", 4.2)
    if empty >= full:
        raise subject.error(f'{where}["empty_v"] is {empty}, not below "full_v" ({full})', "exchange them")
    top = chip.adc_top_mv[3] / 1000
    if full / data["ratio"] > top:
        raise subject.error(
            f'{where}["ratio"] is {data["ratio"]}: a full cell puts {full / data["ratio"]:.2f} V on the pin, '
            f"and the {chip.name} reads {top:g} V at most",
            f"divide by {full / top:.2f} or more",
        )
