"""Where versions lie on the glasses, and how one of them is chosen.

    /boot.py           written by this: puts the folder of the chosen version first in sys.path, runs its boot
    /main.py           written by this: runs that version's main.py in `__main__`
    /firmware_a/       one version; complete if it has a manifest.json
    /firmware_b/       the one before, or the next one while it is being copied

Replacing /boot.py is the switch: one rename, which littlefs does wholly or not at all. Until then nothing
that runs has been touched. A boot.py or main.py that somebody else wrote is kept as boot.py.before and so on.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

FOLDERS = ("/firmware_a", "/firmware_b")
BOOT, MAIN = "/boot.py", "/main.py"

_MARK = "# Written by `lunette deploy`"
_BOOT = f"""{_MARK}: the folder named here is the version that runs.
import sys

sys.path.insert(0, "%s")
import boot
"""
_MAIN = f"""{_MARK}: your app is main.py in the folder that boot.py names.
import sys

_app = sys.path[0] + "/main.py"
%sexecfile(_app)
"""
_BEFORE = """if %s:
    _app = "%s"  # boot.py names what ran before, which had this app
"""


def boot(folder: str) -> bytes:
    """/boot.py that chooses `folder`."""
    return (_BOOT % folder).encode()


def main(active: str | None = None, app: str | None = None) -> bytes:
    """/main.py. With `app`: as long as `active` is chosen (None: no version of ours), it runs that file."""
    if app is None:
        return (_MAIN % "").encode()
    test = f'sys.path[0] == "{active}"' if active else 'not sys.path[0].startswith("/firmware_")'
    return (_MAIN % (_BEFORE % (test, app))).encode()


def ours(text: bytes) -> bool:
    """Whether that /boot.py or /main.py was written by this."""
    return text.startswith(_MARK.encode())


def chosen(boot_text: bytes | None) -> str | None:
    """The folder that a /boot.py chooses; None if it is none of ours."""
    if boot_text is None or not ours(boot_text):
        return None
    found = re.search(r'insert\(0, "(/firmware_[ab])"\)', boot_text.decode(errors="replace"))
    return found[1] if found else None


def other(folder: str | None) -> str:
    """The folder for the next version."""
    return FOLDERS[1] if folder == FOLDERS[0] else FOLDERS[0]


def kept_names(path: str) -> Iterator[str]:
    """Names under which somebody else's /boot.py or /main.py may be kept."""
    yield path + ".before"
    for number in range(2, 100):
        yield f"{path}.before{number}"
