"""The checks `chip` and `image`: what answers, and what MicroPython it runs."""

from __future__ import annotations

from lunette import boards, mpy
from lunette.deploy import identity
from lunette.doctor.model import Finding, Findings
from lunette.doctor.patient import Patient
from lunette.errors import LunetteError

_CHIP = """
import json, sys
said = {"machine": getattr(sys.implementation, "_machine", "")}
try:
    import machine
    said["hz"] = machine.freq()
    said["reset_cause"] = machine.reset_cause()
    said["id"] = "".join("%02x" % byte for byte in machine.unique_id())
except (ImportError, AttributeError) as error:
    said["missing"] = str(error)
print(json.dumps(said))
"""
# The numbers of machine.reset_cause() in the ESP32 port (modmachine.c, machine_reset_cause_t).
_CAUSES = {1: "power on", 2: "hard reset or crash", 3: "watchdog", 4: "deep sleep", 5: "soft reset"}
_IMAGE = """
import json, os, sys
missing = []
for name in %r:
    try:
        __import__(name)
    except ImportError:
        missing.append(name)
for name in %r:
    try:
        import machine
        getattr(machine, name)
    except (ImportError, AttributeError):
        missing.append("machine." + name)
kernels = ""
for path in sys.path:
    for end in ("py", "mpy"):
        try:
            os.stat(path + "/glasses/dsp/adpcm." + end)
            kernels = kernels or end
        except OSError:
            pass
print(json.dumps({"missing": missing, "kernels": kernels, "release": sys.version}))
"""
_MODULES = ("array", "asyncio", "binascii", "bluetooth", "collections", "esp32", "hashlib", "json", "struct")
_CLASSES = ("ADC", "I2S", "Pin", "RTC", "Timer", "WDT")
_OLDEST = (1, 23)
_FLASH = "`lunette flash` puts the board's image on"


def chip(patient: Patient) -> Finding:
    """Chip, clock, reset cause, identity, and that it is the board's chip."""
    findings = Findings()
    assert patient.prompt is not None
    who = identity.ask(patient.prompt)
    said = patient.ask(_CHIP)
    findings.data = said | {"chip": who.chip}
    text = [who.machine or who.chip or "a chip without a name"]
    if "hz" in said:
        text.append(f"{said['hz'] // 1_000_000} MHz")
    if said.get("reset_cause") in _CAUSES:
        text.append(f"last start: {_CAUSES[said['reset_cause']]}")
    if "id" in said:
        text.append(f"id {said['id']}")
    findings.good(", ".join(text))
    if "missing" in said:
        findings.fail(f"the image has no usable machine module ({said['missing']})", _FLASH)
    if said.get("reset_cause") == 3:
        findings.warn(
            "the watchdog restarted the glasses: their program hung",
            "`lunette log --port PORT` and glasses.status() in `lunette repl` say in what",
        )
    _board(patient, who, findings)
    return findings.finding()


def _board(patient: Patient, who: identity.Identity, findings: Findings) -> None:
    own, board = patient.own_board, patient.board
    if board is None:
        findings.good("no board's data there, name it with --board to have its parts looked at")
        return
    findings.data["board"] = board.name
    if patient.named is not None and own is not None and own.name != patient.named.name:
        findings.warn(
            f"--board says {patient.named.name}, and the glasses have the data of {own.name}",
            f"`lunette deploy --board {patient.named.name}` puts the right data on, or leave --board out",
        )
    if who.chip is not None and board.chip != who.chip:
        fitting = [
            name for name in boards.names() if name != "virtual" and boards.load(name).chip == who.chip
        ]
        findings.fail(
            f"the chip is an {who.chip}, and board {board.name} has an {board.chip}",
            f"deploy the right board's data: `lunette deploy --board {'|'.join(fitting) or 'NAME'}`",
        )
    else:
        findings.good(f"board {board.name}")


def image(patient: Patient) -> Finding:
    """MicroPython's version, what it loads, what it lacks, and known faults of it."""
    findings = Findings()
    assert patient.prompt is not None
    who = identity.ask(patient.prompt)
    patient.find_firmware()
    modules = _MODULES + (("camera",) if _has_camera(patient) else ())
    said = patient.ask(_IMAGE % (modules, _CLASSES))
    version = ".".join(map(str, who.version))
    findings.data = {"version": version, "mpy": list(who.mpy), "arch": who.arch} | said
    findings.good(
        f"MicroPython {version}, loads .mpy {who.mpy[0]}.{who.mpy[1]} for {who.arch or 'no native code'}"
    )
    if who.version[:2] < _OLDEST:
        findings.fail(f"MicroPython {version} is older than 1.23", _FLASH)
    elif not who.arch:
        findings.fail(f"MicroPython {version} loads no native code", _FLASH)
    else:
        _loads(who, findings)
    missing = [name for name in said["missing"] if name != "camera"]
    if missing:
        findings.fail(f"the image lacks {', '.join(missing)}", _FLASH)
    if "camera" in said["missing"]:
        findings.fail(
            "the board has a camera, and the image has no camera module",
            "flash an image with the camera driver: docs/doctor.md says which",
        )
    _known(who, said["kernels"], findings)
    return findings.finding()


def _has_camera(patient: Patient) -> bool:
    board = patient.board
    return board is not None and any(data.get("driver") == "camera" for data in board.parts.values())


def _loads(who: identity.Identity, findings: Findings) -> None:
    try:
        made = mpy.version()
    except LunetteError as error:
        findings.warn("mpy-cross does not run here", str(error))
        return
    if made != who.mpy:
        findings.fail(
            f"it loads .mpy {who.mpy[0]}.{who.mpy[1]}, and mpy-cross makes {made[0]}.{made[1]}",
            f"{_FLASH}; or install the mpy-cross that fits it",
        )


def _known(who: identity.Identity, kernels: str, findings: Findings) -> None:
    """Faults of releases (docs/doctor.md has the list)."""
    if who.version[:2] >= (1, 28):
        return
    faults = "unary minus and ~ change their operand"
    if who.arch.startswith("rv32"):
        faults += "; indexed loads and stores change the index"
    findings.data["known"] = faults
    if kernels == "py":
        findings.warn(
            f"kernels are compiled on the chip, and before 1.28 that goes wrong ({faults})",
            "`lunette deploy` brings them compiled; `lunette doctor --only kernels` tries them",
        )
    else:
        findings.good("its own native compiler has known faults, which compiled files avoid")
