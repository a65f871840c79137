"""The doctor's findings, on a chip that answers as it is scripted."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bleak.exc import BleakBluetoothNotAvailableError, BleakBluetoothNotAvailableReason, BleakError
from scripted_chip import ScriptedChip
from scripted_glasses import Glasses, crashing
from serial.urlhandler import protocol_socket

from lunette import cli, mpy
from lunette.console import ports, prompt, transport
from lunette.doctor import CHECKS, Patient, catalog, chosen, examine, host
from lunette.doctor.kernels import check as kernels_check
from lunette.doctor.kernels import vectors
from lunette.doctor.kernels.registry import kernels
from lunette.doctor.model import Check, Finding, State, Where

# Each takes its time here: those of a few files stand for all.
FEW = [
    kernel
    for kernel in kernels()
    if kernel.module.rpartition(".")[2] in ("adpcm", "crc32", "halfband", "pcm")
]
KERNELS = len(FEW)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt, "_ENTER_S", 0.8)
    monkeypatch.setattr(prompt, "_FAR_S", 0.8)
    monkeypatch.setattr(transport, "_SAYING_S", 0.1)
    monkeypatch.setattr(kernels_check, "KERNEL_S", 0.3)
    monkeypatch.setattr(kernels_check, "kernels", lambda: FEW)
    # pyserial waits 0.3 s after it has closed a socket.
    monkeypatch.setattr(protocol_socket, "time", SimpleNamespace(sleep=lambda seconds: None))


def look(only: str, glasses: Glasses | None = None, **options: Any) -> dict[str, Finding]:
    """What is found in those checks, by name."""
    with ScriptedChip(glasses or Glasses()) as chip:
        results = examine(chosen(only), Patient(port=chip.port, **options))
    return {result.check: result.finding for result in results}


def one(only: str, glasses: Glasses | None = None, **options: Any) -> Finding:
    return look(only, glasses, **options)[only]


def wrong(found: Finding, text: str, todo: str, state: State = State.failed) -> None:
    assert found.state is state, found
    assert text in found.text and todo in found.todo, found


# --- healthy --------------------------------------------------------------------------------------------


def test_healthy_glasses() -> None:
    found = look("chip,image,memory,files,kernels")
    assert {name: finding.state for name, finding in found.items()} == dict.fromkeys(
        ("prompt", "chip", "image", "memory", "files", "kernels"), State.ok
    ), found
    assert "160 MHz" in found["chip"].text and "board xiao_esp32c3" in found["chip"].text
    assert found["memory"].data["piece_kb"] == 32
    assert "version abcd1234 in /firmware_a, all 2 files as deployed; writing works" in found["files"].text
    assert len(found["kernels"].more) == KERNELS and "50 us a frame" in found["kernels"].more[1]


# --- chip and image -------------------------------------------------------------------------------------


def test_the_wrong_chip() -> None:
    found = one("chip", Glasses(machine="Generic ESP32 module with ESP32"))
    wrong(found, "the chip is an esp32, and board xiao_esp32c3 has an esp32c3", "--board esp32_devkit")
    found = one("chip", Glasses(machine="Generic ESP32 module with ESP32"), named="esp32_devkit")
    wrong(found, "the glasses have the data of xiao_esp32c3", "leave --board out", State.warning)
    found = one("chip", Glasses(board=None))
    assert found.state is State.ok and "--board" in found.text


def test_a_watchdogs_bite_and_no_machine() -> None:
    bitten = one("chip", Glasses(chip={"reset_cause": 3}))
    wrong(bitten, "the watchdog restarted", "lunette log", State.warning)
    wrong(one("chip", Glasses(chip={"missing": "no freq"})), "no usable machine module", "lunette flash")


@pytest.mark.parametrize(
    ("glasses", "text", "todo", "state"),
    [
        (Glasses(version=(1, 22, 2)), "1.22.2 is older than 1.23", "lunette flash", State.failed),
        (
            Glasses(mpy=2 << 8 | 6 | 11 << 10),
            "it loads .mpy 6.2, and mpy-cross makes 6.3",
            "flash",
            State.failed,
        ),
        (Glasses(mpy=3 << 8 | 6), "loads no native code", "lunette flash", State.failed),
        (
            Glasses(missing=("bluetooth", "machine.I2S")),
            "lacks bluetooth, machine.I2S",
            "flash",
            State.failed,
        ),
        (Glasses(kernels="py"), "indexed loads and stores change the index", "only kernels", State.warning),
    ],
)
def test_images(glasses: Glasses, text: str, todo: str, state: State) -> None:
    assert mpy.version() == (6, 3)
    wrong(one("image", glasses), text, todo, state)


def test_new_images_have_no_known_faults() -> None:
    found = one("image", Glasses(version=(1, 29, 0), kernels="py"))
    assert found.state is State.ok and "known" not in found.data


# --- memory ---------------------------------------------------------------------------------------------


def test_memory() -> None:
    wrong(one("memory", Glasses(heap=(40_000, 120_000))), "39 KB free, and the firmware needs 64", "reset")
    little = one("memory", Glasses(heap_bytes=177_000))
    wrong(little, "172 KB of heap, of which the running firmware takes", "PSRAM", State.warning)
    wrong(one("memory", Glasses(piece=8)), "16 KB in one piece cannot be had", "reset")
    sense = ["xiao_esp32s3_sense", "esp32s3", {}, 1024]
    found = one("memory", Glasses(board=sense))
    wrong(found, "8 MB of PSRAM, and the image does not use it", "ESP32_GENERIC_S3-SPIRAM_OCT")
    for with_psram in (
        Glasses(board=sense, heap=(8_000_000, 9)),
        Glasses(board=sense, idf=((8 << 20, 1, 1, 1),)),
    ):
        assert "PSRAM is there" in one("memory", with_psram).text


@pytest.mark.parametrize(("free", "state"), [(3000, State.failed), (9000, State.warning), (30_000, State.ok)])
def test_memory_of_running_glasses(free: int, state: State) -> None:
    running = Glasses(heap=(free, 100_000), instead={"_g.log": b"True\r\n"})
    with ScriptedChip(running) as chip:
        found = examine(chosen("memory"), Patient(port=chip.port))[-1].finding
        assert found.state is state
        assert not any("piece = kb" in program for program in chip.programs)  # it would take what they need
        assert not any(b"\x04\x04" in program.encode() for program in chip.programs)


# --- files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("glasses", "text", "todo", "state"),
    [
        (Glasses(flash={"glasses": False}), "there is no firmware", "lunette deploy", State.failed),
        (Glasses(flash={"main": False}), "main.py is missing", "lunette deploy", State.failed),
        (
            Glasses(flash={"board": False, "boot": False}),
            "boot.py, board.py are missing",
            "deploy",
            State.failed,
        ),
        (Glasses(flash={"manifest": False}), "no manifest.json: it is not whole", "deploy", State.failed),
        (Glasses(digests={"board.mpy": "f" * 32}), "1 of 2 files are not as", "lunette deploy", State.failed),
        (Glasses(digests={"board.mpy": "-"}), "were deployed (board.mpy)", "lunette deploy", State.failed),
        (Glasses(flash={"free": 20}), "only 80 of 2048 KB of flash are free", "lunette pull", State.warning),
        (Glasses(flash={"free": 2**32 - 1}), "only 0 of 2048 KB of flash are free", "pull", State.warning),
        (
            Glasses(flash={"blocks": 100, "free": 80}),
            "board xiao_esp32c3 should have 2048",
            "flash",
            State.warning,
        ),
        (Glasses(wrote=f"write {errno.ENOSPC}"), "the flash is full", "lunette pull", State.failed),
        (Glasses(wrote=f"write {errno.EROFS}"), "is read-only", "remount it writable", State.failed),
        (Glasses(wrote=f"rename {errno.EIO}"), "rename fails on the flash (EIO)", "worn", State.failed),
        (Glasses(wrote="differs"), "not what is read again", "worn or damaged", State.failed),
        (Glasses(files={}, instead={"manifest.json').read": b"{\r\n"}), "is damaged", "deploy", State.failed),
    ],
)
def test_files(glasses: Glasses, text: str, todo: str, state: State) -> None:
    wrong(one("files", glasses), text, todo, state)


def test_nothing_is_written_while_they_record() -> None:
    recording = Glasses(instead={"microphone": b"True\r\n", "_g.log": b"True\r\n"})
    with ScriptedChip(recording) as chip:
        found = examine(chosen("files"), Patient(port=chip.port))[-1].finding
        assert found.state is State.ok and "not tried: they record" in found.text
        assert not any("doctor.new" in program for program in chip.programs)


# --- kernels --------------------------------------------------------------------------------------------


def test_a_kernel_that_gives_something_else() -> None:
    told = b"form /firmware_a/glasses/dsp/pcm.py\r\ncase zero\r\n[1, [], false]\r\ntime\r\n5\r\n"
    found = one("kernels", Glasses(wrong=("pcm.copy",), instead={"'_root'": told}))
    wrong(found, "pcm._root, compiled on the chip, gives wrong results (zero)", "lunette deploy")
    assert "pcm.copy writes beside its buffers (frame" in found.text
    assert len(found.more) == KERNELS and sum("WRONG" in line for line in found.more) == 2
    assert found.data["kernels"]["pcm._root"]["wrong"] == ["zero"]


def test_a_kernel_that_crashes_the_chip() -> None:
    right = json.dumps([*vectors.stored()["crc32.update"]["frame"], False])
    begun = f"form /firmware_a/glasses/dsp/crc32.mpy\ncase frame\n{right}\ncase nothing\n"
    with ScriptedChip(Glasses(instead={"'glasses.dsp.crc32'": crashing(begun)})) as chip:
        results = examine(chosen("kernels"), Patient(port=chip.port))
        prepared = sum("def microseconds" in program for program in chip.programs)
    wrong(results[-1].finding, 'crc32.update: the chip restarts (case "nothing")', "lunette flash")
    assert len(results[-1].finding.more) == KERNELS - 1  # the others were run
    assert prepared == 2  # what was on the chip is gone after a restart


def test_a_kernel_that_hangs_and_is_interrupted() -> None:
    found = one("kernels", Glasses(instead={"'mean_square'": None}))
    wrong(found, "pcm.mean_square: it does not return", "lunette deploy")
    assert len(found.more) == KERNELS - 1


def test_kernels_that_are_not_there_or_do_not_fit() -> None:
    no_module = (b"", b"Traceback:\r\nImportError: no module named 'glasses'\r\n")
    found = one("kernels", Glasses(instead={"microseconds(_k": no_module}))
    wrong(found, "no kernels on the glasses (ImportError: no module named 'glasses')", "lunette deploy")
    no_room = (b"form x.mpy\r\ncase frame\r\n", b"Traceback:\r\nMemoryError: 32800\r\n")
    found = one("kernels", Glasses(instead={"'glasses.dsp.crc32'": no_room}))
    wrong(found, 'too little memory for the case "frame"', "reset button", State.warning)
    told = b"form x.mpy\r\ncase speech\r\nmemory\r\ntime\r\n7\r\n"
    found = one("kernels", Glasses(instead={"'mean_square'": told}))
    wrong(found, 'pcm.mean_square: too little memory for the case "speech"', "reset", State.warning)
    assert len(found.more) == KERNELS
    lacking = (b"form x.mpy\r\n", b"Traceback:\r\nAttributeError: no attribute 'peak'\r\n")
    wrong(one("kernels", Glasses(instead={"'peak'": lacking})), "pcm.peak is not there", "lunette deploy")


# --- chips that stop ------------------------------------------------------------------------------------


def test_a_chip_that_hangs_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedChip(Glasses(instead={"idf_heap_info": None})) as chip:
        monkeypatch.setattr(prompt.Prompt, "recover", lambda self, timeout_s=5.0: False)
        checks = [Check("slow", "", Where.prompt, 0.3, lambda p: Finding(State.ok, p.run("idf_heap_info")))]
        results = examine([*checks, *chosen("versions,chip,files")], Patient(port=chip.port))
    found = {result.check: result.finding for result in results}
    wrong(found["slow"], "stopped answering in this check and does not come back", "reset button")
    for name in ("chip", "files"):
        wrong(found[name], "not run: the chip stopped answering in the check slow", "reset", State.not_run)
    assert found["versions"].state is State.ok  # this computer is still there
    assert all(result.bad for result in results if result.check in ("slow", "chip", "files"))


def test_a_hang_in_the_kernels_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt.Prompt, "recover", lambda self, timeout_s=5.0: False)
    found = look("kernels,time", Glasses(instead={"'decode_frame'": None}))
    wrong(found["kernels"], "the chip stopped answering in adpcm.decode_frame, so", "reset button")
    wrong(found["time"], "not run: the chip stopped answering in the check kernels", "reset", State.not_run)
    assert "lost" not in found["kernels"].data


def test_a_chip_that_is_brought_back() -> None:
    began = time.monotonic()
    with ScriptedChip(Glasses(instead={"idf_heap_info": None, "reset_cause": crashing()})) as chip:
        check = Check("slow", "", Where.prompt, 0.3, lambda p: Finding(State.ok, p.run("idf_heap_info")))
        results = examine([check, *chosen("chip,files")], Patient(port=chip.port))
    found = {result.check: result.finding for result in results}
    wrong(found["slow"], "stopped answering in this check; it was brought back", "--only slow")
    wrong(found["chip"], "the chip restarted (Guru Meditation Error: Core  0 panic'ed", "--only chip")
    assert found["files"].state is State.ok
    assert time.monotonic() - began < 10


def test_a_program_that_fails() -> None:
    memory = (b"", b"Traceback:\r\nMemoryError: memory allocation failed\r\n")
    wrong(one("memory", Glasses(instead={"idf_heap_info": memory})), "too little memory", "reset button")
    other = (b"", b"Traceback:\r\nOSError: [Errno 5] EIO\r\n")
    found = one("memory", Glasses(instead={"idf_heap_info": other}))
    wrong(found, "it fails on the glasses: OSError: [Errno 5] EIO", "report it")
    assert "Traceback" in found.data["traceback"]
    broken = one("files", Glasses(instead={"statvfs": other}))
    wrong(broken, "the file system cannot be read (OSError: [Errno 5] EIO)", "lunette flash")


def test_an_answer_that_is_none() -> None:
    found = one("memory", Glasses(instead={"idf_heap_info": b'{"free": 1, info  voice\r\n'}))
    wrong(found, "the glasses' answer makes no sense (JSONDecodeError", "--only memory")


def test_no_prompt() -> None:
    with ScriptedChip(deaf=True) as chip:
        results = examine(chosen("chip,memory"), Patient(port=chip.port))
    found = {result.check: result.finding for result in results}
    assert found["prompt"].state is State.failed and "try again" in found["prompt"].todo
    wrong(found["chip"], "not run: there is no prompt", "", State.not_run)


# --- parts ----------------------------------------------------------------------------------------------


def test_parts_of_no_board_and_of_boards_without() -> None:
    found = look("light,button,mic,battery,usb", Glasses(board=None))
    for name in ("light", "mic", "battery", "usb", "button"):
        wrong(found[name], "no board's data", "--board", State.skipped)
    found = look("light,button,mic,battery,usb", Glasses(board=["bare", "esp32c3", {}, 4]))
    assert {finding.text for name, finding in found.items() if name != "prompt"} == {
        "board bare has none",
    }


def test_a_light_that_is_held() -> None:
    for stays, words in ((0, "stays low"), (1, "stays high")):
        said = json.dumps([stays] * 4).encode() + b"\r\n"
        rail = ("GND", "3V3")[stays]
        found = one("light", Glasses(instead={"Pin.OUT": said}))
        wrong(found, f"GPIO10 (D10) {words}", f"light: GPIO10 (D10) is connected to {rail}")


@pytest.mark.parametrize(
    ("volts", "text", "todo", "state"),
    [
        ([0.05], "0.05 V: no cell, or GPIO4 (D2) does not see it", "the cell's plus", State.failed),
        ([1.5], "less than any usable cell has", "measure the cell", State.failed),
        ([3.2], "3.20 V: the cell is empty", "charge it", State.warning),
        ([3.9], "3.90 V on GPIO4 (D2)", "", State.ok),
        (
            [5.5],
            "more than a full cell has (4.2 V)",
            "check the resistor from GPIO4 (D2) to GND",
            State.failed,
        ),
        ([1.0, 3.0], "GPIO4 (D2) reads from 1.0 to 3.0 V", "the middle of the divider", State.failed),
    ],
)
def test_battery(volts: list[float], text: str, todo: str, state: State) -> None:
    readings = [round(volts[i % len(volts)] / 2 * 1e6) for i in range(25)]
    found = one("battery", Glasses(instead={"read_uv": json.dumps(readings).encode() + b"\r\n"}))
    wrong(found, text, todo, state)


def test_usb_by_cable(monkeypatch: pytest.MonkeyPatch) -> None:
    def levels(values: list[int]) -> Finding:
        glasses = Glasses(instead={"Pin.IN)": json.dumps(values).encode() + b"\r\n"})
        return one("usb", glasses)

    assert levels([0] * 25).state is State.ok  # a socket is no cable
    wrong(levels([0, 1] * 12 + [0]), "GPIO3 (D1) flickers", "resistor from GPIO3 (D1) to GND")
    glasses = Glasses(instead={"Pin.IN)": json.dumps([0] * 25).encode() + b"\r\n"})
    with ScriptedChip(glasses) as chip:
        patient = Patient(port=chip.port)
        patient.open()
        patient.port = "/dev/ttyACM0"
        patient.limit(5)
        found = next(check for check in CHECKS if check.name == "usb").run(patient)
        patient.close()
    wrong(found, "the cable is in, and GPIO3 (D1) does not see it", "divider from 5V to GPIO3 (D1)")


# --- this computer --------------------------------------------------------------------------------------


def test_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    assert host.versions(Patient()).state is State.ok
    monkeypatch.setattr(host, "_TOOLS", ("mpremote", "no-such-tool"))
    wrong(host.versions(Patient()), "no-such-tool is not installed", "make setup")
    monkeypatch.setattr(host, "_OLDEST", (9, 9))
    wrong(host.versions(Patient()), "is too old", "Python 3.10")


def test_ports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    device = tmp_path / "ttyACM0"
    device.touch()
    monkeypatch.setattr(ports, "candidates", lambda: [ports.Port(str(device), "XIAO, Espressif", True)])
    found = host.ports(Patient())
    assert found.state is State.ok and "XIAO" in found.text
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    wrong(host.ports(Patient()), f"you may not use {device}", "dialout")
    monkeypatch.setattr(ports, "candidates", list)
    assert host.ports(Patient()).text == "no board is plugged in"


@pytest.mark.parametrize(
    ("error", "text", "todo"),
    [
        (FileNotFoundError(2, "No such file or directory"), "BlueZ", "systemctl start bluetooth"),
        (BleakError("[org.freedesktop.DBus.Error.ServiceUnknown] org.bluez"), "BlueZ", "apt install bluez"),
        (
            BleakBluetoothNotAvailableError("No", BleakBluetoothNotAvailableReason.NO_BLUETOOTH),
            "no Bluetooth LE adapter",
            "dongle",
        ),
        (
            BleakBluetoothNotAvailableError("off", BleakBluetoothNotAvailableReason.POWERED_OFF),
            "switched off",
            "bluetoothctl power on",
        ),
        (
            BleakBluetoothNotAvailableError("no", BleakBluetoothNotAvailableReason.DENIED_BY_SYSTEM),
            "may not use Bluetooth",
            "usermod",
        ),
        (BleakError("adapter 'hci0' not found"), "no Bluetooth LE adapter", "dongle"),
        (BleakError("something"), "Bluetooth fails (something)", "off and on"),
    ],
)
def test_bluetooth(monkeypatch: pytest.MonkeyPatch, error: Exception, text: str, todo: str) -> None:
    async def discover(**_: object) -> None:
        raise error

    monkeypatch.setattr(host, "BleakScanner", SimpleNamespace(discover=discover))
    wrong(host.bluetooth(Patient()), text, todo)
    assert host.bluetooth(Patient(virtual=True)).state is State.skipped


def test_bluetooth_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    async def discover(**_: object) -> list[int]:
        return [1, 2]

    monkeypatch.setattr(host, "BleakScanner", SimpleNamespace(discover=discover))
    assert host.bluetooth(Patient()).text == "works, 2 devices heard"


def test_virtual_glasses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LUNETTE_RUNTIME", str(tmp_path))
    assert host.virtual(Patient()).state is State.ok
    wrong(host.virtual(Patient(virtual=True)), "no virtual glasses are running", "lunette sim")
    monkeypatch.setenv("LUNETTE_MICROPYTHON", "/nowhere")
    assert host.virtual(Patient()).state is State.warning


# --- the command ----------------------------------------------------------------------------------------


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    with ScriptedChip(Glasses()) as chip:
        assert cli.run(["doctor", "--port", chip.port, "--only", "memory,chip", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [result["check"] for result in results] == ["prompt", "chip", "memory"]
    assert set(results[0]) == {"check", "result", "finding", "todo", "seconds", "data"}
    with ScriptedChip(Glasses(piece=4)) as chip:
        assert cli.run(["doctor", "--port", chip.port, "--only", "memory"]) == 1
    out = capsys.readouterr().out
    assert "memory    failed" in out and "-> press the reset button" in out and "1 ok, 1 failed" in out


def test_names_of_checks(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["doctor", "--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [c.name for c in CHECKS]
    assert cli.run(["doctor", "--list", "--json"]) == 0
    assert [entry["check"] for entry in json.loads(capsys.readouterr().out)] == [c.name for c in CHECKS]
    for only in ("lungs", "", ","):
        assert cli.run(["doctor", "--only", only]) == 2
        said = capsys.readouterr().err
        assert all(check.name in said for check in CHECKS)
    assert [check.name for check in catalog.chosen(" kernels, chip,chip")] == ["chip", "kernels"]


def test_the_docs_have_every_check() -> None:
    text = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text()
    for check in CHECKS:
        assert f"### `{check.name}`" in text, check.name
