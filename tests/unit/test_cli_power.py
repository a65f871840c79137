"""`lunette power`: what it makes of the glasses' answer."""

from __future__ import annotations

from pathlib import Path

from world import World, run_world

from lunette.client import connect
from lunette.commands.power import describe


def test_it_says_what_keeps_them_awake_and_what_they_used(folder: Path) -> None:
    async def test(world: World) -> None:
        async with connect(backends=world.backends()) as glasses:
            world.glasses.crashes.note("a reason")
            lines = describe(await glasses.request("power"))
        shown = {line[:11].strip(): line[12:] for line in lines}
        assert shown["started by"] == "power-on"
        assert shown["state"] == "connected, 80 MHz"
        assert "link (connected)" in shown["awake for"] and "usb (standby)" in shown["awake for"]
        assert shown["used"].endswith("mAh since power-on, modelled")
        assert shown["crashes"] == "none"

    run_world(folder, test, listen=False)


def test_crashes_are_listed() -> None:
    lines = describe(
        {
            "cause": "watchdog", "state": "active", "mhz": 160, "locks": {}, "sleep": "light", "mah": 1.234,
            "states": {"active": 1.0, "off": 0.0}, "energy": {"active": {"cpu": 1.0, "mic": 0.234}},
            "crashes": {"safe": True, "total": 3, "row": 3, "log": [[7, 3, 12, "no progress: voice"]]},
        }
    )  # fmt: skip
    assert lines[0] == "started by  watchdog, in safe mode"
    assert "awake for   nobody" in lines and "by          cpu 1.00, mic 0.23" in lines
    assert lines[-1] == "  start 7, reset cause 3, up 12 s: no progress: voice"
