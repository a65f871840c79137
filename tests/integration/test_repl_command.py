"""`lunette repl` on a terminal, and `lunette log` by cable: mpremote's console, and the simulator's."""

from __future__ import annotations

import json
import os
import pty
import re
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import LUNETTE, Sim, environment

from lunette import cli
from lunette.commands.repl import HINT
from lunette.console import Prompt


@pytest.fixture(scope="module")
def sim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sim]:
    sim = Sim(tmp_path_factory.mktemp("run"))
    yield sim
    sim.order("quit")
    assert sim.end()[0] == 0


@pytest.fixture
def here(
    sim: Sim, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """The command, run in this process."""
    monkeypatch.setenv("LUNETTE_RUNTIME", str(sim.runtime))

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.run(arguments)
        return code, *capsys.readouterr()

    return run


class Terminal:
    """`lunette ARGUMENTS` on a terminal of its own."""

    def __init__(self, runtime: Path, *arguments: str):
        self.child, self.master = pty.fork()
        if self.child == 0:
            os.execve(sys.executable, [*LUNETTE, *arguments], environment(runtime))
        self.seen = ""

    def until(self, text: str) -> str:
        """What is shown up to `text`; the end of the program fails (and so does the test's own limit)."""
        while text not in self.seen:
            self.seen += os.read(self.master, 4096).decode(errors="replace")
        head, _, self.seen = self.seen.partition(text)
        return head

    def until_raw(self) -> None:
        """Until keys go to the program as they are; before that Ctrl-C would end it."""
        while termios.tcgetattr(self.master)[3] & termios.ISIG:
            time.sleep(0.001)

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def end(self) -> tuple[int, str]:
        """(exit code, what else is shown)"""
        rest = self.seen
        try:
            while data := os.read(self.master, 4096):
                rest += data.decode(errors="replace")
        except OSError:  # the terminal has no other end any more
            pass
        os.close(self.master)
        return os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1]), rest


@pytest.mark.parametrize("leave", ["\x1d", "\x18"])
def test_the_prompt_of_running_glasses(sim: Sim, leave: str) -> None:
    info = sim.order("status")
    # By the socket and by the terminal device: mpremote by itself takes only the second.
    how = ("--virtual",) if leave == "\x1d" else ("--port", info["pty"])
    terminal = Terminal(sim.runtime, "repl", *how)
    for line in HINT:
        assert len(line) < 80
        terminal.until(line)
    terminal.until("Ctrl-] or Ctrl-x")
    terminal.until_raw()
    terminal.type("\x03\r")
    terminal.until(">>> ")
    terminal.type("import glasses; glasses.status()['running'], glasses.instance().running\r")
    terminal.until("(True, True)")
    terminal.type("glasses.parts()\r")
    assert "i2s_microphone" in terminal.until("talk     button ")
    assert terminal.until("\r\n").split() == ["1", "up"]
    terminal.type(leave)
    code, rest = terminal.end()
    assert code == 0 and "Traceback" not in rest
    # Nothing was reset: the same start, and they go on.
    assert sim.order("status")["powered"] is True
    assert "reset" not in "\n".join(sim.lines)


def test_without_a_terminal_it_says_what_else_there_is(here: Any) -> None:
    code, _, problem = here("repl", "--virtual")
    assert code == 1 and "mpremote connect" in problem


def test_the_log_by_cable_is_the_log_by_link(sim: Sim, here: Any) -> None:
    port = f"socket://127.0.0.1:{sim.order('status')['repl_port']}"
    code, told, problem = here("log", "--port", port)
    assert (code, problem) == (0, "")
    lines = told.splitlines()
    # What the second saw, the first one could not have: its own connection.
    assert lines and here("log", "--virtual")[1].splitlines()[: len(lines)] == lines
    assert re.fullmatch(r"    0 \[ +\d+\.\d{3}\] info    start    power-on", lines[0])
    found = [
        json.loads(line) for line in here("log", "--port", port, "--level", "info", "--json")[1].splitlines()
    ]
    assert found[0]["text"] == "power-on" and {line["level"] for line in found} <= {1, 2, 3}
    everything = here("log", "--port", port, "--json")[1].splitlines()
    assert 0 in {json.loads(line)["level"] for line in everything}


def test_where_nothing_runs_there_is_no_log(sim: Sim, here: Any) -> None:
    port = f"socket://127.0.0.1:{sim.order('status')['repl_port']}"
    with Prompt.open(port) as prompt:
        prompt.soft_reset()
    code, _, problem = here("log", "--port", port)
    assert code == 1 and "nothing runs" in problem and "lunette repl" in problem


def test_a_port_that_goes_away_is_said(tmp_path: Path) -> None:
    sim = Sim(tmp_path)
    terminal = Terminal(tmp_path, "repl", "--virtual")
    terminal.until("Ctrl-] or Ctrl-x to exit")
    sim.order("quit")
    assert sim.end()[0] == 0
    code, rest = terminal.end()
    assert code == 1 and "is gone" in rest and "Traceback" not in rest
