"""Deploying to glasses that lose power, at each of its writes of flash: what runs then is the old version or
the new one, whole. Real littlefs in real MicroPython."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import thorough

from lunette.console.errors import Failed
from lunette.deploy import transfer
from lunette.deploy.build import Version
from lunette.deploy.remote import Full, Remote
from lunette.errors import LunetteError
from lunette.virtual import interpreter

DEVICE = Path(__file__).with_name("deploy_device.py")


class Device:
    """Glasses without a console: as a prompt, and as what can be cut."""

    def __init__(self, size_kb: int = 256):
        command = interpreter.command("-X", "heapsize=32m", str(DEVICE), str(size_kb))
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *order: Any) -> Any:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def run(self, code: str | bytes, timeout_s: float = 10.0) -> str:
        printed, trace = self.ask("run", code if isinstance(code, str) else code.decode())
        if trace:
            raise Failed(trace, printed)
        return str(printed)

    def write(self, path: str, text: str) -> None:
        self.run(f"with open({path!r}, 'w') as f: f.write({text!r})")

    def boot(self) -> str:
        """What it prints when it is switched on as it is."""
        self.ask("base")
        said = self.ask("cut", 0, False)
        self.ask("restore")
        return str(said)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def device() -> Iterator[Device]:
    made = Device()
    yield made
    made.close()


def version(mark: str, *extra: str, big: int = 5000) -> Version:
    """A firmware that prints `mark` once for each of its files, whichever way they are loaded."""
    says = f'print("{mark}", end=" ")\n'
    names = ["glasses/one.py", "glasses/dsp/two.py", *extra]
    imports = "".join(f"import {name[:-3].replace('/', '.')}\n" for name in names)
    files = {name: says for name in names}
    files["glasses/__init__.py"] = says + "# " + mark * big  # more than a piece, and more than a block
    files["glasses/dsp/__init__.py"] = ""
    files["glasses/same.py"] = "# in every version\n"
    files["board.py"] = says + 'NAME = "virtual"\n'
    files["boot.py"] = says + "import board\n"
    files["main.py"] = says + imports + "import glasses.same\n"
    return Version("virtual", "source", {name: text.encode() for name, text in files.items()})


def every_cut(device: Device, old: str, new: str) -> None:
    """Cut at, and within, each write since `base`: it says `old` up to some write and `new` from it on."""
    writes = device.ask("writes")
    assert writes >= 4
    for torn in (False, True):
        # littlefs itself is trusted with a write of which half is there: a third of them, or all.
        step = 3 if torn and thorough.TIMES == 1 else 1
        cuts = [*range(0, writes, step), writes]
        said = [device.ask("cut", n, torn) for n in cuts]
        device.ask("restore")
        for n, text in zip(cuts, said, strict=True):
            assert text in (old, new), f"after {n} of {writes} writes (torn: {torn}): {text!r}"
        changes = sum(said[n] != said[n - 1] for n in range(1, len(said)))
        assert changes == (old != new), "switched over more than once"
        assert said[-1] == new


def deployed(device: Device, what: Version) -> transfer.Result:
    return transfer.install(Remote(device), what)


OLD, NEW = version("old", "glasses/gone.py"), version("new", "glasses/more/added.py")
OLD_SAYS, NEW_SAYS, AGAIN_SAYS = "old " * 7, "new " * 7, "again " * 6


_FILES = """
import os
def below(top, sub=""):
    for name in os.listdir(top + sub):
        if os.stat(top + sub + "/" + name)[0] & 0x4000:
            yield from below(top, sub + "/" + name)
        else:
            yield (sub + "/" + name)[1:]
with open("/boot.py") as f:
    folder = "/firmware_a" if "/firmware_a" in f.read() else "/firmware_b"
print(*sorted(below(folder)))
"""


def test_onto_a_bare_board(device: Device) -> None:
    """As it comes out of the flash tool: a boot.py of comments, no app."""
    device.write("/boot.py", "# This file is executed on every boot\n")
    device.ask("base")
    result = deployed(device, NEW)
    assert (result.before, result.sent, result.kept, result.copied) == (None, len(NEW.files), 0, 0)
    every_cut(device, "", NEW_SAYS)


def test_over_a_program_of_somebody_else(device: Device) -> None:
    device.write("/boot.py", 'print("mine")\n')
    device.write("/main.py", 'print("too")\n')
    device.ask("base")
    deployed(device, NEW)
    every_cut(device, "mine\ntoo\n", NEW_SAYS)
    assert device.run('print(open("/boot.py.before").read(), open("/main.py.before").read())').split() == [
        'print("mine")',
        'print("too")',
    ]


def test_over_a_version(device: Device) -> None:
    deployed(device, OLD)
    assert device.boot() == OLD_SAYS
    result = deployed(device, NEW)
    assert result.before == OLD.id and result.copied == 2  # same.py and the empty one
    every_cut(device, OLD_SAYS, NEW_SAYS)
    # The third one goes where the first one was, and what that had is gone.
    again = version("again")
    device.ask("base")
    result = deployed(device, again)
    assert result.before == NEW.id and result.kept == 2 and result.removed == 1
    every_cut(device, NEW_SAYS, AGAIN_SAYS)
    listed = device.run("import os\nprint(os.listdir('/firmware_a/glasses'))")
    assert "gone.py" not in listed and ".new" not in listed


def test_over_an_app_that_was_copied_by_hand(device: Device) -> None:
    """`mpremote cp main.py :` replaces what runs the version's own."""
    deployed(device, OLD)
    device.write("/main.py", 'print("by hand", end=" ")\n')
    by_hand = device.boot()
    assert by_hand == "old old by hand "
    device.ask("base")
    deployed(device, NEW)
    every_cut(device, by_hand, NEW_SAYS)
    # ... and going back is going back to that.
    device.ask("base")
    assert transfer.back(Remote(device)).id == OLD.id
    every_cut(device, NEW_SAYS, by_hand)
    # ... from where the next version leads on as well.
    device.ask("base")
    deployed(device, version("again"))
    every_cut(device, by_hand, AGAIN_SAYS)


def test_the_same_again_writes_nothing(device: Device) -> None:
    deployed(device, OLD)
    device.ask("base")
    result = deployed(device, OLD)
    assert not result.switched and result.bytes == 0 and result.kept == len(OLD.files)
    assert device.ask("writes") == 0


def test_what_is_damaged_is_sent_again(device: Device) -> None:
    deployed(device, OLD)
    device.write("/firmware_a/glasses/one.py", 'print("broken")\n')
    result = deployed(device, OLD)
    assert result.switched and result.sent == 1 and result.before == OLD.id
    assert device.boot() == OLD_SAYS


def test_going_back_and_forth(device: Device) -> None:
    deployed(device, OLD)
    with pytest.raises(LunetteError, match="no whole version before it"):
        transfer.back(Remote(device))
    deployed(device, NEW)
    device.ask("base")
    assert transfer.back(Remote(device)).id == OLD.id
    every_cut(device, NEW_SAYS, OLD_SAYS)
    assert transfer.back(Remote(device)).id == NEW.id
    assert device.boot() == NEW_SAYS
    device.write("/firmware_a/glasses/one.py", "")
    with pytest.raises(LunetteError, match=r"one\.py of the version before is damaged"):
        transfer.back(Remote(device))
    assert device.boot() == NEW_SAYS


def test_deploying_again_after_a_cut(device: Device) -> None:
    """Whatever a cut left behind is no obstacle, and does not stay for ever."""
    deployed(device, OLD)
    device.ask("base")
    deployed(device, NEW)
    writes = device.ask("writes")
    for n in range(0, writes, 5):
        device.ask("try", n, n % 2 == 0)
        deployed(device, NEW)
        assert device.run(_FILES).split() == sorted([*NEW.files, "manifest.json"]), n
        assert device.ask("now") == NEW_SAYS
        device.ask("restore")


def test_a_full_flash_is_noticed_before_anything_is_sent(device: Device) -> None:
    deployed(device, OLD)
    device.run(
        "import os\n"
        "with open('/waste', 'wb') as f:\n"
        "    for n in range(os.statvfs('/')[3] - 4): f.write(bytes(4096))\n"
    )
    device.ask("base")
    with pytest.raises(Full, match=r"flash is full: \d+ KB are needed, \d+ KB are free.*then try again"):
        deployed(device, version("new", big=9000))
    assert device.boot() == OLD_SAYS
    device.run("os.remove('/waste')")
    deployed(device, version("new", big=9000))
    assert device.boot() == "new " * 6


def test_a_read_only_file_system(device: Device) -> None:
    deployed(device, OLD)
    device.ask("base")
    device.ask("read-only")
    with pytest.raises(LunetteError, match=r"read-only, so nothing was changed: .*then try again"):
        deployed(device, NEW)
    device.ask("restore")
    assert device.boot() == OLD_SAYS
