"""package.json, by which `mpremote mip install` finds the firmware's files.

python -m tests.packages     writes it anew, after a file of the firmware has come or gone
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from lunette import paths

PACKAGE = paths.ROOT / "package.json"
COMMAND = "python -m tests.packages"
_VERSION = re.compile(r'^VERSION = "(.+)"$', re.M)


def version() -> str:
    """The firmware's, as it tells its hosts."""
    found = _VERSION.search((paths.FIRMWARE / "glasses" / "presence.py").read_text())
    assert found is not None
    return found[1]


def text(root: Path = paths.ROOT) -> str:
    """What package.json has to be for the firmware below `root`: a line a file, sources relative to it."""
    firmware = root / "firmware"
    lines = []
    for source in sorted(firmware.rglob("*.py")):
        name = source.relative_to(firmware).as_posix()
        lines.append(f"    {json.dumps([name, f'firmware/{name}'])}")
    urls = ",\n".join(lines)
    return f'{{\n  "urls": [\n{urls}\n  ],\n  "deps": [],\n  "version": "{version()}"\n}}\n'


if __name__ == "__main__":
    PACKAGE.write_text(text())
