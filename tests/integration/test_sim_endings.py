"""`lunette sim` however it ends: nothing is left behind; its flash image; its keys."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import (
    LUNETTE,
    Sim,
    alive,
    children,
    environment,
    lunette,
    mpremote,
)


@pytest.fixture
def start() -> Iterator[Callable[..., Sim]]:
    """Starts simulators; none outlives the test."""
    sims: list[Sim] = []

    def start(runtime: Path, *arguments: str) -> Sim:
        sims.append(Sim(runtime, *arguments))
        return sims[-1]

    yield start
    for sim in sims:
        if sim.process.poll() is None:
            sim.process.kill()
            sim.process.communicate()


@pytest.mark.parametrize("how", ["quit", "SIGINT", "SIGKILL"])
def test_however_it_ends_nothing_is_left(start, tmp_path, how):
    sim = start(tmp_path)
    family = children(sim.process.pid)
    assert family, "the interpreter should be running"
    held = Path(f"/proc/{family[-1]}/environ").read_bytes().split(b"\0")
    flash = next(Path(e.partition(b"=")[2].decode()) for e in held if e.startswith(b"LUNETTE_FLASH="))
    assert flash.exists()
    if how == "quit":
        sim("quit")
    else:
        sim.process.send_signal(getattr(signal, how))
    code, _, err = sim.end()
    if how == "SIGKILL":
        assert code == -signal.SIGKILL
        for pid in family:
            while alive(pid):  # the kernel has told it; the test's timeout is the limit
                os.sched_yield()
        # What is left of it is in nobody's way.
        assert lunette(tmp_path, "sim", "status").stderr.startswith("lunette: no virtual glasses are running")
        return
    assert (code, err) == ({"quit": 0, "SIGINT": 130}[how], "")
    assert not any(alive(pid) for pid in family)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sim.lock"]
    assert not flash.parent.exists()


def test_a_flash_image_is_kept(start, tmp_path):
    image = tmp_path / "my.img"
    for expected in ("create", "keep"):
        sim = start(tmp_path / "run", "--flash", str(image))
        port = sim.order("status")["repl_port"]
        look = "import os; print('kept' in os.listdir())"
        code = "open('kept', 'w').close()" if expected == "create" else look
        done = mpremote(port, "exec", code)
        assert done.returncode == 0, done.stdout + done.stderr
        sim.order("quit")
        assert sim.end()[0] == 0
    assert done.stdout.strip() == "True"


def test_keys_on_a_terminal(tmp_path):
    child, master = pty.fork()
    if child == 0:
        os.execve(sys.executable, [*LUNETTE, "sim"], environment(tmp_path))
    try:
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        seen = ""

        def until(text: str) -> None:
            nonlocal seen
            while text not in seen:
                seen += os.read(master, 4096).decode(errors="replace")
            seen = seen.partition(text)[2]

        until("LUNETTE_AIR=")
        until("Lunette on virtual")  # the firmware's own greeting
        os.write(master, b" ")
        until("● button")
        until("● light")
        os.write(master, b" ")
        until("○ light")
        os.write(master, b"?")
        until("cut the power")
        os.write(master, b"q")
        while True:
            try:
                if not os.read(master, 4096):
                    break
            except OSError:  # the terminal has no other end any more
                break
        _, code = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(code) == 0
    finally:
        os.close(master)
