"""`lunette flash`, and esptool by itself, against a simulated chip in its boot loader: the real esptool, over
a terminal device and over a socket. Neither has DTR and RTS, so the test presses the reset button."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import esp_images
import esptool
import pytest
from bench_glasses import Bench
from esp_pylib.logger import EspLog

from lunette import cli, flash
from lunette.deploy import Progress
from lunette.errors import LunetteError
from lunette.flash import work
from lunette.flash.chip import Chip, State, connect
from lunette.virtual.air import Air
from lunette.virtual.flash import create, install
from lunette.virtual.rom import Faults, NorFlash, Port
from lunette.virtual.simulator import VirtualGlasses

CHIPS = {"esp32": "esp32_devkit", "esp32s3": "xiao_esp32s3_sense", "esp32c3": "xiao_esp32c3"}
SIZES = {"esp32": 4 << 20, "esp32s3": 8 << 20, "esp32c3": 4 << 20}
OLD = b"what was there before"
LIMIT_S = 20.0


def nor(chip: str, **options: Any) -> NorFlash:
    """Full of something, so that what is written without an erase is wrong."""
    size = SIZES[chip]
    return NorFlash(size, (OLD * (size // len(OLD) + 1))[:size], **options)


def holds(flash: NorFlash, chip: str, image: bytes) -> bool:
    """The image, and nothing else."""
    offset = esp_images.OFFSETS[chip]
    end = offset + len(image)
    return (
        flash.data[offset:end] == image
        and not flash.data[:offset].strip(b"\xff")
        and not flash.data[end:].strip(b"\xff")
    )


class Told(Progress):
    """What a person would see; somebody who does as they are told presses the button."""

    def __init__(self, port: Port | None = None):
        self.port = port
        self.steps: list[str] = []
        self.bytes = 0

    def say(self, what: str) -> None:
        self.steps.append(what)
        if self.port is not None and "press" in what:
            self.port.reset()

    def step(self, count: int) -> None:
        self.bytes += count


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Path]:
    found = {}
    for chip in CHIPS:
        found[chip] = tmp_path / f"{chip}.bin"
        found[chip].write_bytes(esp_images.image(chip))
    return found


def put(port: Port, chip: str, images: dict[str, Path], told: Told | None = None, **options: Any) -> Chip:
    """All of it up to the restart; returns the chip as it was found."""
    told = told or Told()
    seen: list[Chip] = []
    plan = flash.prepare(CHIPS[chip], images[chip], False, told)
    options.setdefault("attempts", 3)
    with connect(port.url, told, **({"baud": 460800} | options)) as found:
        seen.append(found)
        work.match(plan, found)
        assert work.put(plan, found, told) is False  # no lines here
        assert found.state is State.WRITTEN
    return seen[0]


# --- esptool by itself --------------------------------------------------------------------------------


@pytest.fixture
def tool() -> Iterator[Any]:
    """esptool as its command line runs it; returns what it prints."""
    before = EspLog.instance

    def run(port: Port, *arguments: str) -> str:
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            options = ["--port", port.url, "--after", "no-reset", "--connect-attempts", "3"]
            esptool.main([*options, *arguments])
        return said.getvalue()

    yield run
    EspLog.instance = before


@pytest.mark.parametrize("tcp", [False, True], ids=["pty", "socket"])
@pytest.mark.parametrize("chip", CHIPS)
def test_esptool_without_stub(chip: str, tcp: bool, images: dict[str, Path], tool: Any) -> None:
    data = images[chip].read_bytes()
    offset = hex(esp_images.OFFSETS[chip])
    with Port(chip, nor(chip), tcp=tcp) as port:
        said = tool(port, "--no-stub", "flash-id")
        title = {"esp32": "ESP32-D0WD-V3", "esp32s3": "ESP32-S3 (QFN56)", "esp32c3": "ESP32-C3 (QFN32)"}
        assert title[chip] in said and f"flash size: {SIZES[chip] >> 20}MB" in said
        assert "7c:df:a1:e0:5a:17" in said and "Crystal frequency:  40MHz" in said
        assert "Warning" not in re.sub("Warning: Chip was NOT reset|WARNING: Chip was NOT reset", "", said)
        extra = ["--compress"] if tcp else []
        said = tool(port, "--no-stub", "write-flash", *extra, offset, str(images[chip]))
        assert "Hash of data verified" in said
        assert port.flash.read(esp_images.OFFSETS[chip], len(data)) == data
        assert port.flash.read(0x100000, 7) == OLD[0x100000 % len(OLD) :][:7]  # the rest is as it was
        assert "digest matched" in tool(port, "--no-stub", "verify-flash", offset, str(images[chip]))


@pytest.mark.parametrize("chip", CHIPS)
def test_esptool_with_its_stub(chip: str, images: dict[str, Path], tmp_path: Path, tool: Any) -> None:
    back = tmp_path / "back.bin"
    offset = hex(esp_images.OFFSETS[chip])
    with Port(chip, nor(chip)) as port:
        said = tool(port, "-b", "921600", "write-flash", "--erase-all", offset, str(images[chip]))
        assert "Stub flasher running" in said and "Hash of data verified" in said
        assert holds(port.flash, chip, images[chip].read_bytes())
        port.reset(boot_held=True)
        tool(port, "read-flash", offset, "0x3000", str(back))
        assert back.read_bytes() == images[chip].read_bytes()[:0x3000]


def test_esptool_as_a_process(images: dict[str, Path]) -> None:
    with Port("esp32s3", nor("esp32s3")) as port:
        command = [sys.executable, "-m", "esptool", "--port", port.url, "--after", "no-reset", "verify-flash"]
        run = functools.partial(subprocess.run, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        done = run([*command, "0", str(images["esp32s3"])])
        assert done.returncode and "digest mismatch" in done.stdout


# --- lunette's way ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tcp", "stub"), [(False, True), (True, False)], ids=["pty-stub", "socket-rom"])
@pytest.mark.parametrize("chip", CHIPS)
def test_the_chip_holds_the_image_and_nothing_else(
    chip: str, tcp: bool, stub: bool, images: dict[str, Path]
) -> None:
    before = EspLog.instance
    told = Told()
    with Port(chip, nor(chip), Faults(erase_s=0.01), tcp=tcp) as port:
        found = put(port, chip, images, told, stub=stub)
        assert holds(port.flash, chip, images[chip].read_bytes())
        log = port.loader.log
        assert ("change_baud" in log) is not tcp
        # Nothing is erased before all has been looked at, and it is verified at the end.
        erase = log.index("erase_flash" if stub else "flash_begin")
        assert not {"flash_data", "defl_data"} & set(log[:erase]) and log[-1] == "md5"
    assert found.name == chip and found.flash_size == SIZES[chip] and found.mac == "7c:df:a1:e0:5a:17"
    steps = [step.split()[0] for step in told.steps]
    assert [step for step in steps if step != "verifying"] == ["erasing", "writing"]
    assert steps[-1] == "verifying" and told.bytes > 4096
    assert EspLog.instance is before


def test_up_to_the_prompt_and_the_firmware(tmp_path: Path, images: dict[str, Path]) -> None:
    """One command, with a person who presses the button when told to: real MicroPython answers then."""

    async def scenario() -> None:
        async with Bench(tmp_path) as bench:
            with Port("esp32s3", nor("esp32s3"), on_run=lambda: ("127.0.0.1", bench.port)) as port:

                def work() -> str:
                    told = Told(port)
                    plan = flash.prepare("xiao_esp32s3_sense", images["esp32s3"], True, told)
                    asked: list[Chip] = []
                    with flash.flash(plan, port.url, told, asked.append) as prompt:
                        assert asked and asked[0].can_reset is False
                        assert "press RESET now" in told.steps[-1] and port.url in told.steps[-1]
                        return prompt.run("import sys\nprint(sys.implementation.name)")

                assert await asyncio.to_thread(work) == "micropython\n"

    asyncio.run(scenario())


def test_from_a_bare_board_to_glasses_by_one_command(tmp_path: Path, images: dict[str, Path]) -> None:
    """The processor and what is behind it are those of virtual glasses: the firmware starts on them."""

    async def scenario() -> None:
        air = Air()
        glasses = VirtualGlasses(air, "xiao_esp32s3_sense", flash_image=tmp_path / "flash.img")
        create(glasses.flash_image, 1024)
        install(glasses.flash_image, {"boot.py": b""})
        try:
            await glasses.power_on()
            assert glasses.supervisor is not None
            where = "127.0.0.1", await glasses.supervisor.serve_repl()
            with Port("esp32s3", nor("esp32s3"), on_run=lambda: where) as port:
                command = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "lunette", "flash", "--board", "xiao_esp32s3_sense", "--yes"),
                    *("--image", str(images["esp32s3"]), "--port", port.url),
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                )
                assert command.stderr is not None
                said = b""
                while line := await asyncio.wait_for(command.stderr.readline(), LIMIT_S):
                    said += line
                    if b"press RESET now" in line:
                        port.reset()
                out = (await command.communicate())[0].decode()
                assert command.returncode == 0, said.decode()
                assert f"MicroPython is on {port.url}, verified" in out
                assert "files sent" in out and re.search(r"the glasses run \([\d.]+ s\)\n$", out)
                assert b"found ESP32-S3 (QFN56) (revision v0.2), 8 MB, 7c:df:a1:e0:5a:17" in said
                assert holds(port.flash, "esp32s3", images["esp32s3"].read_bytes())
        finally:
            await glasses.close()
            await air.close()

    asyncio.run(scenario())


# --- what goes wrong ----------------------------------------------------------------------------------


def fails(
    chip: str, images: dict[str, Path], faults: Faults, board: str | None = None, **options: Any
) -> tuple[str, Port]:
    """What is said when it fails; within the limit, and with the flash as it was if that is what is said."""
    tcp = options.pop("tcp", False)
    memory = options.pop("memory", None) or nor(chip)
    was = bytes(memory.data)
    began = time.monotonic()
    with Port(chip, memory, faults, tcp=tcp) as port, pytest.raises(LunetteError) as caught:
        plan = flash.prepare(board or CHIPS[chip], images[plan_chip(board, chip)], False, Told())
        options.setdefault("attempts", 1 if faults.dead else 3)
        flash.flash(plan, port.url, Told(), lambda found: None, **options)
    said = str(caught.value)
    assert time.monotonic() - began < LIMIT_S
    assert ("othing on the chip has been changed" in said) == (memory.data == was), said
    if "chip has been changed" not in said:
        assert "boot loader is in ROM" in said or "verified" in said
    return said, port


def plan_chip(board: str | None, chip: str) -> str:
    return next(name for name, its in CHIPS.items() if its == board) if board else chip


AGAIN = r"run the same command again\W*"


@pytest.mark.parametrize("tcp", [False, True], ids=["pty", "socket"])
def test_another_chip_than_the_board_has(tcp: bool, images: dict[str, Path]) -> None:
    said, port = fails("esp32c3", images, Faults(), "xiao_esp32s3_sense", tcp=tcp)
    assert re.search("is an esp32c3, and board xiao_esp32s3_sense has an esp32s3; .*--board .*--port$", said)
    assert port.flash.erases == port.flash.programmed == 0


def test_an_image_for_another_chip_and_none_at_all(images: dict[str, Path], tmp_path: Path) -> None:
    """Known before there is a port."""
    with pytest.raises(LunetteError, match=r"is for an esp32c3, and board esp32_devkit has an esp32: take "):
        flash.prepare("esp32_devkit", images["esp32c3"], False, Progress())
    with pytest.raises(LunetteError, match=r"cannot read .*check --image"):
        flash.prepare("esp32_devkit", tmp_path / "none.bin", False, Progress())
    with pytest.raises(LunetteError, match=r"virtual glasses .*lunette sim"):
        flash.prepare("virtual", None, False, Progress())


def test_too_little_flash(images: dict[str, Path]) -> None:
    images["esp32s3"].write_bytes(esp_images.image("esp32s3", flash_mb=16))
    said, port = fails("esp32s3", images, Faults())
    assert re.search("needs 16 MB of flash, and the chip has 8 MB; .*--image$", said)
    images["esp32s3"].write_bytes(esp_images.image("esp32s3"))
    said, port = fails("esp32s3", images, Faults(), memory=NorFlash(4 << 20))
    assert re.search("has 4 MB of flash, and board xiao_esp32s3_sense has 8 MB; .*--board", said)
    said, port = fails("esp32", images, Faults(), memory=NorFlash(1 << 20))
    assert "needs 4 MB of flash, and the chip has 1 MB; " in said
    images["esp32"].write_bytes(esp_images.image("esp32", 0x110000, flash_mb=1))
    said, port = fails("esp32", images, Faults(), memory=NorFlash(1 << 20))
    assert "needs 1.1 MB of flash" in said
    assert port.flash.erases == 0


@pytest.mark.parametrize("tcp", [False, True], ids=["pty", "socket"])
def test_nothing_answers(tcp: bool, images: dict[str, Path]) -> None:
    said, _ = fails("esp32s3", images, Faults(dead=True), tcp=tcp)
    assert "no boot loader answers" in said and "hold the board's BOOT button" in said
    assert "cable with data lines" in said and re.search(AGAIN + "$", said)


def test_a_chip_that_runs_something_else(images: dict[str, Path]) -> None:
    memory = NorFlash(4 << 20)
    with Port("esp32c3", memory) as port:
        port.reset()
        with pytest.raises(LunetteError, match=r"no boot loader answers .*BOOT button.*same command again$"):
            connect(port.url, Told(), attempts=1)
    assert memory.erases == 0


def test_no_such_port_and_one_in_use(images: dict[str, Path]) -> None:
    with pytest.raises(LunetteError, match="there is no port /dev/nothing"):
        connect("/dev/nothing", Told())
    with (
        Port("esp32c3", nor("esp32c3")) as port,
        connect(port.url, Told(), attempts=1),
        pytest.raises(LunetteError, match=r"another program has .*try again"),
    ):
        connect(port.url, Told())


@pytest.mark.parametrize("noise", [b"\x00\xff\xc0\x80garbage", b"\xc0\xc0\xdb\x00\xc0" * 3, bytes(200)])
def test_garbage_before_the_first_answer_does_not_matter(noise: bytes, images: dict[str, Path]) -> None:
    with Port("esp32s3", nor("esp32s3"), Faults(noise=noise)) as port:
        put(port, "esp32s3", images)
        assert holds(port.flash, "esp32s3", images["esp32s3"].read_bytes())


def test_a_wrong_or_missing_byte_anywhere(images: dict[str, Path]) -> None:
    """Of what the chip says, or gets: it is written right in spite of it, or it says what to do."""
    with Port("esp32c3", nor("esp32c3")) as port:
        put(port, "esp32c3", images, stub=False, baud=115200)
        heard, said = port._in.count, port._out.count
    outcomes = {"right": 0, "said": 0}
    for share in (0.05, 0.5, 0.93):
        for faults in (
            Faults(drop_in={int(heard * share)}),
            Faults(drop_out={int(said * share)}),
            Faults(flip_out={int(said * share)}),
        ):
            memory = nor("esp32c3")
            began = time.monotonic()
            with Port("esp32c3", memory, faults) as port:
                try:
                    put(port, "esp32c3", images, stub=False, baud=115200)
                    assert holds(memory, "esp32c3", images["esp32c3"].read_bytes())
                    outcomes["right"] += 1
                except LunetteError as error:
                    assert re.search(AGAIN, str(error)), error
                    outcomes["said"] += 1
            assert time.monotonic() - began < LIMIT_S
    assert all(outcomes.values()), outcomes


@pytest.mark.parametrize("tcp", [False, True], ids=["pty", "socket"])
@pytest.mark.parametrize("at", [100, 3000, 20000])
def test_unplugged(at: int, tcp: bool, images: dict[str, Path]) -> None:
    """While it is looked at, while the flasher comes, while it is written."""
    faults = Faults(unplug_in=at)
    began = time.monotonic()
    said, port = fails("esp32c3", images, faults, tcp=tcp, stub=at != 20000, baud=115200)
    assert "went away while" in said and "plug the board in again" in said and re.search(AGAIN + "$", said)
    assert bool(port.flash.erases) is (at == 20000)
    assert time.monotonic() - began < LIMIT_S / 4  # nobody waits for it to come back


def test_flash_that_does_not_take_it(images: dict[str, Path]) -> None:
    for stub in (True, False):
        memory = nor("esp32s3", bad={0x10000 // 4096 + 1})
        said, _ = fails("esp32s3", images, Faults(), memory=memory, stub=stub)
        assert "does not hold what was written" in said and "worn out or broken" in said


def test_an_erase_that_takes_too_long(images: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(esptool.loader, "CHIP_ERASE_TIMEOUT", 0.05)
    said, _ = fails("esp32s3", images, Faults(erase_s=0.5))
    assert "failed while erasing" in said and re.search(AGAIN + "$", said)


def test_flash_that_is_not_there(images: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NorFlash, "jedec_id", 0xFFFFFF)
    said, port = fails("esp32c3", images, Faults())
    assert "the flash of the chip on" in said and "does not answer" in said and "take another one" in said
    assert port.flash.erases == 0


def test_no_is_an_answer(images: dict[str, Path]) -> None:
    class No(Exception):
        pass

    def no(chip: Chip) -> None:
        raise No

    plan = flash.prepare("xiao_esp32c3", images["esp32c3"], False, Progress())
    with Port("esp32c3", nor("esp32c3")) as port:
        with pytest.raises(No):
            flash.flash(plan, port.url, Told(), no)
        assert port.flash.erases == 0


def test_nothing_answers_after_it(images: dict[str, Path]) -> None:
    told = Told()
    plan = flash.prepare("xiao_esp32c3", images["esp32c3"], False, told)
    with Port("esp32c3", nor("esp32c3"), tcp=True) as port:
        port.unplug()
        with pytest.raises(
            LunetteError, match=r"is on the chip, and verified.*`lunette deploy --board xiao_"
        ):
            work.answer(plan, port.url, [], False, told, 0.1)


def command(*arguments: str) -> tuple[int, str]:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        return cli.run(["flash", *arguments]), said.getvalue()


def test_the_command_needs_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    code, said = command()
    assert code == 1 and "--board" in said and "xiao_esp32c3" in said
    code, said = command("--board", "xiao_esp32c3")
    assert code == 1 and said.endswith("add --yes\n")
    code, said = command("--board", "nonsense", "--yes")
    assert code == 1 and "no board 'nonsense'" in said


def test_ctrl_c_says_what_is_on_the_chip(images: dict[str, Path]) -> None:
    memory = nor("esp32c3")
    with Port("esp32c3", memory, Faults(erase_s=1.0)) as port:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "lunette", "flash", "--board", "xiao_esp32c3", "--yes"),
                *("--no-deploy", "--image", str(images["esp32c3"]), "--port", port.url),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if line.startswith("erasing"):
                deadline = time.monotonic() + LIMIT_S
                while "erase_flash" not in port.loader.log:
                    assert time.monotonic() < deadline
                    time.sleep(0.002)
                process.send_signal(signal.SIGINT)
        process.communicate(timeout=LIMIT_S)
        assert process.returncode == 130, said
    assert re.search("stopped; what was on the chip is erased.*in ROM: the same command does it again", said)
