"""The wire format: the firmware's own files, loaded for the host. There is one source of truth."""

from __future__ import annotations

from lunette import firmware

wire = firmware.load("protocol")
_advert = firmware.load("advert")
# Two files, because a beacon loads no more than it needs; for a host it is one thing.
for _name in ("SERVICE", "STREAM", "CONTROL", "COMPANY", "RESTING"):
    setattr(wire, _name, getattr(_advert, _name))
