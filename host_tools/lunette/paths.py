"""Where the firmware, the boards and the running simulators are found."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_BUNDLE = _HERE / "_bundle"
# In a checkout the package lives in host_tools/lunette; a wheel carries a copy in _bundle.
ROOT = _BUNDLE if _BUNDLE.is_dir() else _HERE.parent.parent

FIRMWARE = ROOT / "firmware"
BOARDS = ROOT / "boards"
HAL = _HERE / "virtual" / "hal"
BLEAK_ENV = _HERE / "virtual" / "bleak_env"
DATA = _HERE / "data"


def runtime_dir() -> Path:
    """Folder (mode 0700) in which running simulators leave their addresses.

    ``LUNETTE_RUNTIME`` overrides it, which is also how two simulators are kept apart.
    """
    named = os.environ.get("LUNETTE_RUNTIME")
    if named:
        path = Path(named)
    else:
        base = os.environ.get("XDG_RUNTIME_DIR")
        path = Path(base) / "lunette" if base else Path(tempfile.gettempdir()) / f"lunette-{os.getuid()}"
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    return path
