"""The host's side of Lunette glasses, for programs (docs/client.md).

async with connect(folder=Path("recordings")) as glasses:
    async for recording in glasses.recordings():
        print(recording.path)
"""

from __future__ import annotations

from lunette.connection import GlassesClient
from lunette.errors import Disconnected, LunetteError, NotPaired, Refused
from lunette.finding import Backends, Found, explain, find, scan
from lunette.recording import Recording

__all__ = [
    "Backends",
    "Disconnected",
    "Found",
    "GlassesClient",
    "LunetteError",
    "NotPaired",
    "Recording",
    "Refused",
    "explain",
    "find",
    "scan",
]
