"""The check `memory`: the heap, what it can still give in one piece, and PSRAM."""

from __future__ import annotations

from typing import Any

from lunette.deploy import identity
from lunette.doctor.model import Finding, Findings
from lunette.doctor.patient import Patient

_ASK = """
import gc, json
gc.collect()
said = {"free": gc.mem_free(), "used": gc.mem_alloc()}
try:
    import esp32
    said["idf"] = [list(region[:4]) for region in esp32.idf_heap_info(esp32.HEAP_DATA)]
except (ImportError, AttributeError):
    pass
print(json.dumps(said))
"""
# Growing the heap takes memory for good (until a soft reset), so it is asked for what is needed and no more.
_TAKE = """
import gc
piece = 0
for kb in %r:
    try:
        bytearray(kb * 1024)
        piece = kb
        break
    except MemoryError:
        pass
gc.collect()
print(piece)
"""
_NEED_KB = 64  # of heap, for the running firmware without a journal
_PIECES_KB = (32, 24, 16, 8, 4)
_PIECE_KB = 16
_RUNNING_LOW, _RUNNING_FEW = 4096, 16384  # those of the firmware's own watchdog
_REGION = 256 * 1024  # no chip has that much internal memory in one piece and no PSRAM
_RESET = "press the reset button and try again; if it stays, the program uses too much: `glasses.status()`"


def memory(patient: Patient) -> Finding:
    """Heap and PSRAM, with the glasses running or not."""
    findings = Findings()
    board = patient.known_board
    said = patient.ask(_ASK)
    free, total = said["free"], said["free"] + said["used"]
    findings.data = {"running": patient.running} | said
    findings.good(f"heap {free // 1024} of {total // 1024} KB free")
    idf = said.get("idf", [])
    if idf:
        findings.data["idf_free"] = sum(region[1] for region in idf)
        findings.good(f"{findings.data['idf_free'] // 1024} KB beside it")
    if patient.running:
        _running(free, findings)
    else:
        assert patient.prompt is not None
        warning = identity.ask(patient.prompt).warning
        if warning is not None:
            text, _, todo = warning.rpartition(": ")
            findings.warn(text, todo)
        piece = int(patient.run(_TAKE % (_PIECES_KB,)).strip())
        findings.data["piece_kb"] = piece
        if free < _NEED_KB * 1024:
            findings.fail(f"the heap has {free // 1024} KB free, and the firmware needs {_NEED_KB}", _RESET)
        elif piece < _PIECE_KB:
            findings.fail(f"{_PIECE_KB} KB in one piece cannot be had", _RESET)
    if board is not None and board.psram_mb and board.name != "virtual":
        _psram(board.psram_mb, board.image.name if board.image else "", total, idf, findings)
    return findings.finding()


def _running(free: int, findings: Findings) -> None:
    if free < _RUNNING_LOW:
        findings.fail(f"the running glasses have {free} bytes of heap left", _RESET)
    elif free < _RUNNING_FEW:
        findings.warn(f"the running glasses have only {free // 1024} KB of heap left", _RESET)
    else:
        findings.good("the glasses run")


def _psram(mb: int, image: str, total: int, idf: list[list[Any]], findings: Findings) -> None:
    largest = max([total, *(region[0] for region in idf)])
    findings.data["psram"] = largest > _REGION * 2
    if findings.data["psram"]:
        findings.good(f"PSRAM is there ({mb} MB by the board's data)")
    else:
        findings.fail(
            f"the board has {mb} MB of PSRAM, and the image does not use it",
            f"`lunette flash` puts the right image on{f' ({image})' if image else ''}",
        )
