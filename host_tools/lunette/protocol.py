"""The wire format: the firmware's own file, loaded for the host. There is one source of truth."""

from __future__ import annotations

from lunette import firmware

wire = firmware.load("protocol")
