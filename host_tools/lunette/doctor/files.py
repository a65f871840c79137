"""The check `files`: room, the files of the firmware and their contents, and whether writing works."""

from __future__ import annotations

import errno
from typing import Any

from lunette.console import Failed
from lunette.deploy.build import MANIFEST
from lunette.doctor.model import Finding, Findings
from lunette.doctor.patient import Patient

_LOOK = """
import json, os
s = os.statvfs("/")
there = os.listdir("/")
own = os.listdir(base) if base else there
def has(name):
    return any(name + end in own for end in (".py", ".mpy"))
print(json.dumps({
    "base": base, "block": s[0], "blocks": s[2], "free": s[3],
    "boot": "boot.py" in there, "main": "main.py" in there, "board": has("board"),
    "glasses": "glasses" in own or "lib" in there and "glasses" in os.listdir("/lib"),
    "manifest": "manifest.json" in own if base else False,
}))
"""
_DIGESTS = """
import binascii, hashlib, gc
buf = bytearray(512)
view = memoryview(buf)
for path in %r:
    h = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while True:
                n = file.readinto(buf)
                if not n:
                    break
                h.update(view[:n])
        print(binascii.hexlify(h.digest()).decode()[:32])
    except OSError:
        print("-")
gc.collect()
"""
_CAPTURING = """
import sys
_g = getattr(sys.modules.get("glasses"), "_instance", None)
_m = getattr(getattr(_g, "parts", None), "microphone", None)
print(bool(_m and _m.capturing))
"""
_WRITE = """
import os
step, text = "write", bytes(range(256)) * 4
try:
    with open("/doctor.new", "wb") as file:
        file.write(text)
    step = "rename"
    os.rename("/doctor.new", "/doctor.tmp")
    step = "read"
    with open("/doctor.tmp", "rb") as file:
        same = file.read() == text
    step = "remove"
    os.remove("/doctor.tmp")
    print("same" if same else "differs")
except OSError as error:
    print(step, error.args[0])
    for name in ("/doctor.new", "/doctor.tmp"):
        try:
            os.remove(name)
        except OSError:
            pass
"""
_AT_ONCE = 8
_DEPLOY = "`lunette deploy` puts the firmware on"
_NEW_SYSTEM = "`lunette flash` makes a new file system; what is on it is lost"
_ROOM = (
    "fetch waiting recordings (`lunette pull`), remove files you do not need (`mpremote ls`, `mpremote rm`)"
)
_SPARE = 64 * 1024  # what the journal leaves to others


def files(patient: Patient) -> Finding:
    """What lies on the flash, and whether it takes more."""
    findings = Findings()
    patient.find_firmware()
    try:
        said = patient.ask(_LOOK)
    except Failed as error:
        findings.fail(f"the file system cannot be read ({error.exception}: {error.detail})", _NEW_SYSTEM)
        return findings.finding()
    if said["free"] > said["blocks"]:
        said["free"] = 0  # littlefs counts some blocks twice, and statvfs takes them from all there are
    free, total = said["block"] * said["free"], said["block"] * said["blocks"]
    findings.data = said
    findings.good(f"{free // 1024} of {total // 1024} KB free")
    _flash(patient, total, findings)
    if free < max(_SPARE, total // 10):
        findings.warn(f"only {free // 1024} of {total // 1024} KB of flash are free", _ROOM)
    _firmware(patient, said, findings)
    if patient.running and patient.run(_CAPTURING).strip() == "True":
        findings.good("writing was not tried: they record")
    else:
        _write(patient, findings)
    return findings.finding()


def _flash(patient: Patient, total: int, findings: Findings) -> None:
    board = patient.known_board
    if board is not None and total < board.flash_kb * 1024 * 3 // 4:
        findings.warn(
            f"the file system has {total // 1024} KB, and board {board.name} should have {board.flash_kb}",
            "the image is for less flash, or it is another board: `lunette flash` puts the board's image on",
        )


def _firmware(patient: Patient, said: dict[str, Any], findings: Findings) -> None:
    missing = [f"{name}.py" for name in ("boot", "main", "board") if not said[name]]
    if not said["glasses"]:
        findings.fail("there is no firmware on the glasses", _DEPLOY)
        return
    if missing:
        findings.fail(
            f"{', '.join(missing)} is missing" if len(missing) == 1 else f"{', '.join(missing)} are missing",
            _DEPLOY,
        )
    if not said["base"]:
        findings.good("the firmware lies in the root")
        return
    if not said["manifest"]:
        findings.fail(f"{said['base']} has no {MANIFEST}: it is not whole", _DEPLOY)
        return
    _verify(patient, said["base"], findings)


def _verify(patient: Patient, base: str, findings: Findings) -> None:
    """Every file of the version against the manifest."""
    try:
        listed = patient.ask(f"print(open({f'{base}/{MANIFEST}'!r}).read())")
        want: dict[str, str] = listed["files"]
        version = str(listed["id"])
    except (ValueError, KeyError, TypeError):
        findings.fail(f"{base}/{MANIFEST} is damaged", _DEPLOY)
        return
    names = sorted(want)
    wrong = []
    for at in range(0, len(names), _AT_ONCE):
        some = names[at : at + _AT_ONCE]
        digests = patient.run(_DIGESTS % ([f"{base}/{name}" for name in some],), 60).split()
        wrong += [name for name, digest in zip(some, digests, strict=True) if want[name] != digest]
    findings.data |= {"version": version, "files": len(names), "wrong": wrong}
    if wrong:
        findings.fail(
            f"{len(wrong)} of {len(names)} files are not as they were deployed ({', '.join(wrong[:5])}"
            f"{', ...' if len(wrong) > 5 else ''})",
            "`lunette deploy` puts them right; if you changed them on the glasses, they go",
        )
    else:
        findings.good(f"version {version} in {base}, all {len(names)} files as deployed")


def _write(patient: Patient, findings: Findings) -> None:
    said = patient.run(_WRITE, 20).split()
    findings.data["write"] = " ".join(said)
    if said == ["same"]:
        findings.good("writing works")
    elif said == ["differs"]:
        findings.fail(
            "what is written is not what is read again", f"the flash is worn or damaged: {_NEW_SYSTEM}"
        )
    else:
        step, number = said[0], int(said[1])
        if number == errno.ENOSPC:
            findings.fail("the flash is full", _ROOM)
        elif number in (errno.EROFS, errno.EPERM, errno.EACCES):
            findings.fail("the file system is read-only", f"remount it writable, or {_NEW_SYSTEM}")
        else:
            name = errno.errorcode.get(number, str(number))
            findings.fail(
                f"{step} fails on the flash ({name})", f"{_NEW_SYSTEM}; if it stays, the flash is worn"
            )
