"""The prompt for programs, against the far ends that a cable may have."""

from __future__ import annotations

import socket
import sys
import time
import types
from collections.abc import Iterator
from typing import Any

import pytest
from scripted_chip import FRIENDLY, Answer, ScriptedChip

from lunette.console import Failed, Gone, Prompt, Restarted, Silent, ports, prompt, transport
from lunette.deploy.remote import _PROGRAM as on_glasses
from lunette.errors import LunetteError

CRASH = (
    b"\r\nGuru Meditation Error: Core  1 panic'ed (LoadProhibited). Exception was unhandled.\r\n"
    b"Backtrace: 0x4200 0x4201\r\n\r\nRebooting...\r\n"
    b"ESP-ROM:esp32s3-20210327\r\nrst:0xc (RTC_SW_CPU_RST),boot:0x8"
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt, "_ENTER_S", 0.8)
    monkeypatch.setattr(prompt, "_FAR_S", 0.8)
    monkeypatch.setattr(transport, "_SAYING_S", 0.2)


def hushed(answers: Any) -> Any:
    """Answers what `open` asks by itself, then as `answers` do."""

    def answer(code: str) -> Answer:
        return b"False\r\n" if "_g.log" in code else answers(code)

    return answer


def test_what_it_prints_and_what_it_raises() -> None:
    trace = b"Traceback (most recent call last):\r\n  line 1\r\nOSError: [Errno 28] ENOSPC\r\n"

    def answers(code: str) -> Answer:
        return (b"so far\r\n", trace) if "fails" in code else b"one\r\ntwo\r\n"

    with ScriptedChip(hushed(answers)) as chip, Prompt.open(chip.port) as glasses:
        assert glasses.run("print()") == "one\ntwo\n"
        with pytest.raises(Failed) as caught:
            glasses.run("fails()")
        assert (caught.value.exception, caught.value.detail) == ("OSError", "[Errno 28] ENOSPC")
        assert caught.value.printed == "so far\n" and str(caught.value).endswith("looks what is wrong")
        assert glasses.run("print()") == "one\ntwo\n"


def test_values_of_expressions() -> None:
    with (
        ScriptedChip(hushed(lambda code: b'noise\r\n{"a": [1, null]}\r\n')) as chip,
        Prompt.open(chip.port) as glasses,
    ):
        assert glasses.ask("x") == {"a": [1, None]}
        assert "json.dumps(x)" in chip.programs[-1]


def test_a_program_that_does_not_end_in_time() -> None:
    asked = []

    def answers(code: str) -> Answer:
        asked.append(code)
        return None if code == "hang()" else b"fine\r\n"

    with ScriptedChip(hushed(answers)) as chip, Prompt.open(chip.port) as glasses:
        began = time.monotonic()
        with pytest.raises(Silent, match="do not answer: press their reset button and try again"):
            glasses.run("hang()", 0.2)
        assert time.monotonic() - began < 2
        assert glasses.recover(0.5) and glasses.run("x") == "fine\n"


@pytest.mark.parametrize("said", [b"!half a line" + CRASH, b"!" + FRIENDLY, b"!MPY: soft reboot" + FRIENDLY])
def test_a_chip_that_restarts_in_the_middle(said: bytes) -> None:
    answers = iter([said, b"here again\r\n"])
    with ScriptedChip(hushed(lambda code: next(answers))) as chip, Prompt.open(chip.port) as glasses:
        with pytest.raises(Restarted) as caught:
            glasses.run("crash()", 5)
        assert ("LoadProhibited" in caught.value.printed) == (CRASH in said)
        assert glasses.recover(0.5) and glasses.run("x") == "here again\n"


@pytest.mark.parametrize("stay", [False, True])
def test_a_chip_that_restarts_is_kept_from_its_app_where_that_is_wanted(
    stay: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "_KEY_S", 0.01)
    with (
        ScriptedChip(hushed(lambda code: b"!" + CRASH)) as chip,
        Prompt.open(chip.port, stay=stay) as glasses,
    ):
        with pytest.raises(Restarted):
            glasses.run("crash()", 0.2)
        glasses._transport.serial.write(b"end")
        while not chip.keys.endswith(b"end"):
            time.sleep(0.001)
        assert (b"\x03" in chip.keys.rpartition(b"crash()\x04")[2]) == stay


def test_a_chip_that_boots_late_takes_the_keys_of_all_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """They lead into the raw REPL, out of it and in again: what it says of that is no restart."""
    restarts: list[str] = []

    def restarted(self: transport.Transport) -> str:
        restarts.append("one")
        return ""

    monkeypatch.setattr(transport.Transport, "_what_it_says", restarted)
    token = b"%d\r\n" % (7 * prompt._TOKEN)
    with (
        ScriptedChip(hushed(lambda code: token if "print(7 *" in code else b"here\r\n"), late=14) as chip,
        Prompt.open(chip.port) as glasses,
    ):
        assert glasses.run("x") == "here\n"
    assert not restarts


def test_a_chip_behind_a_socket_may_boot_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt, "_FAR_S", 4.0)
    token = b"%d\r\n" % (7 * prompt._TOKEN)
    with (
        ScriptedChip(hushed(lambda code: token if "print(7 *" in code else b"here\r\n"), late=40) as chip,
        Prompt.open(chip.port) as glasses,
    ):
        assert glasses.run("x") == "here\n"


def test_a_restart_while_the_prompt_is_opened_is_waited_for() -> None:
    """Some boards are reset by the opening of the port."""
    answers: Iterator[Answer] = iter([b"!" + FRIENDLY, b"False\r\n", b"here\r\n"])
    with ScriptedChip(lambda code: next(answers)) as chip, Prompt.open(chip.port) as glasses:
        assert glasses.run("x") == "here\n"


def test_what_never_ends_does_not_hold_the_prompt_up() -> None:
    reads = iter(range(1_000_000))
    with ScriptedChip() as chip:
        line = transport.Transport(chip.port)
        line.serial.read = lambda n: b"x" if next(reads) >= 0 else b""
        line.limit(0.05)
        assert line.drain()
        line.serial.close()


def test_a_start_that_was_interrupted_waits_for_its_app_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it would reset the chip half a minute later: wake.py."""
    come: list[bool] = []
    start = types.SimpleNamespace(app_has_come=lambda: come.append(True))
    monkeypatch.setitem(sys.modules, "glasses.wake", types.SimpleNamespace(_start=start))
    monkeypatch.delitem(sys.modules, "glasses", raising=False)
    exec(prompt._HUSH, {})
    assert come == [True]


def test_what_a_failed_deploy_has_set_is_put_off() -> None:
    again: list[bool] = []
    names: dict[str, Any] = {}
    exec(on_glasses.read_text(), names)
    names["alive"] = lambda: again.append(True)
    exec(prompt._HUSH, names)
    assert not again, "nothing was set, or it is done"
    names["_timer"] = object()
    exec(prompt._HUSH, names)
    assert again == [True]


def test_words_of_a_restart_are_no_restart_when_programs_print_them() -> None:
    """Only the last one would; programs print versions and the like."""
    said = b"3.4.0; MicroPython v1.29.0 on 2026-08-01\r\nrst: none, help()\r\n"
    with ScriptedChip(hushed(lambda code: said)) as chip, Prompt.open(chip.port) as glasses:
        assert "help()" in glasses.run("print()")


def test_running_glasses_are_hushed_and_told_when_it_is_over() -> None:
    with (
        ScriptedChip(lambda code: b"True\r\n" if "_g.log" in code else b"") as chip,
        Prompt.open(chip.port) as glasses,
    ):
        assert glasses.interrupted
    # The chip has read all of it now.
    assert "apply_settings" in chip.programs[-1]
    assert chip.keys.endswith(b"\r\x02")


@pytest.mark.parametrize(
    ("hello", "words"),
    [
        (b"", "nothing answers on .*: press the board's reset button and try again.*`lunette flash`"),
        (b"AT ERROR\r\n", "no MicroPython prompt on .*AT ERROR.*`lunette flash` puts it on"),
        (b"rst:0x1 (POWERON),boot:0x0 (DOWNLOAD(USB/UART0))\r\n", "waits in its boot loader: press"),
        (b"invalid header: 0xffffffff\r\n" * 3, "has no program: `lunette flash` puts MicroPython on it"),
    ],
)  # fmt: skip
def test_what_is_no_prompt(hello: bytes, words: str) -> None:
    with ScriptedChip(hello=hello, deaf=True) as chip, pytest.raises(LunetteError, match=words):
        Prompt.open(chip.port)


def test_the_far_end_goes_away() -> None:
    def answers(code: str) -> Answer:
        raise OSError("unplugged")

    words = "plug the glasses in again and repeat the command"
    with (
        ScriptedChip(hushed(answers)) as chip,
        Prompt.open(chip.port) as glasses,
        pytest.raises(Gone, match=words),
    ):
        glasses.run("x")


def test_ports_that_cannot_be_opened(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports.list_ports, "comports", list)
    with pytest.raises(
        LunetteError, match=r"there is no port .*missing; no board is plugged in\ncheck the cable"
    ):
        Prompt.open(str(tmp_path / "missing"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = f"socket://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(LunetteError, match=r"nothing answers at socket://.*: start what listens there"):
        Prompt.open(free)
    for number, words in ((13, r"usermod -a -G dialout"), (16, "another program has .*: close it")):

        def refuse(*args: Any, number: int = number, **options: Any) -> Any:
            raise OSError(number, "refused")

        monkeypatch.setattr(transport.serial, "serial_for_url", refuse)
        with pytest.raises(LunetteError, match=words):
            Prompt.open("/dev/ttyACM0")


class _Usb:
    def __init__(self, device: str, vid: int | None, product: str = ""):
        self.device, self.vid, self.product, self.description = device, vid, product, "n/a"


def test_choosing_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    there: list[_Usb] = [_Usb("/dev/ttyS0", None)]
    monkeypatch.setattr(ports.list_ports, "comports", lambda: there)
    assert ports.choose("socket://x:1") == "socket://x:1"
    with pytest.raises(LunetteError, match=r"no board is plugged in: .*or name the port with --port"):
        ports.choose(None)
    there += [_Usb("/dev/ttyUSB0", 0x10C4, "CP2102N")]
    assert ports.choose(None) == "/dev/ttyUSB0"
    there += [_Usb("/dev/ttyACM1", 0x1234, "Something"), _Usb("/dev/ttyACM0", 0x303A, "USB JTAG")]
    with pytest.raises(LunetteError) as caught:
        ports.choose(None)
    lines = str(caught.value).splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == ["/dev/ttyACM0", "/dev/ttyUSB0", "/dev/ttyACM1"]
    assert lines[-1] == "name one with --port"
    monkeypatch.setattr(ports.sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(ports.sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda *_: "2")
    assert ports.choose(None) == "/dev/ttyUSB0"


def test_what_is_behind_the_prompt_after_a_recovery() -> None:
    behind = iter([b"True\r\n", b"False\r\n"])
    with (
        ScriptedChip(lambda code: next(behind) if "_g.log" in code else None) as chip,
        Prompt.open(chip.port) as glasses,
    ):
        assert glasses.interrupted  # glasses went on behind it
        with pytest.raises(Silent):
            glasses.run("hang()", 0.1)
        assert glasses.recover(0.5)
        assert not glasses.interrupted  # and do so no more
