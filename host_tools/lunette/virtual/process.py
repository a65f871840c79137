"""Looking at and signalling the MicroPython process (Linux: what /proc tells is never out of date)."""

from __future__ import annotations

import contextlib
import ctypes
import enum
import os
import platform
import signal
from pathlib import Path

_READ_SYSCALL = {"x86_64": "0", "aarch64": "63", "riscv64": "63", "armv7l": "3", "i686": "3"}.get(
    platform.machine(), "none"
)
_SIGINT_BIT = 1 << (signal.SIGINT - 1)
_SIGUSR1_BIT = 1 << (signal.SIGUSR1 - 1)
_SIGUSR2_BIT = 1 << (signal.SIGUSR2 - 1)
_libc = ctypes.CDLL(None, use_errno=True)


class State(enum.Enum):
    READING = "the prompt waits for a key"
    RUNNING = "runs code that Ctrl-C interrupts"
    BUSY = "starts, compiles or has switched Ctrl-C off"
    GONE = "there is no such process"


def _caught(pid: int) -> int:
    """Bit mask of the signals that the process has a handler for."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return int(line.split()[1], 16)
    return 0


def _interruptible(pid: int, caught: int) -> bool:
    # MicroPython handles SIGINT exactly while Ctrl-C may interrupt; at its prompt it does not. It also
    # does in the first milliseconds of boot.py, which goes to / when it has switched that off.
    return bool(caught & _SIGINT_BIT) and os.readlink(f"/proc/{pid}/cwd") == "/"


def _blocked_in_read(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/syscall").read_text().split()[:2] == [_READ_SYSCALL, "0x0"]
    except OSError:  # some containers hide it; asleep without having Ctrl-C on is the prompt
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "S"


def state(pid: int) -> State:
    """What the MicroPython process `pid` is doing now."""
    try:
        if _interruptible(pid, _caught(pid)):
            return State.RUNNING
        return State.READING if _blocked_in_read(pid) else State.BUSY
    except OSError:
        return State.GONE


def interrupt(pid: int, *, again: bool = False) -> bool:
    """Deliver Ctrl-C to the child `pid` if it runs interruptible code; False if it does not.

    The process is stopped around the decision. Without that it can come to its prompt between being
    looked at and being signalled, and a KeyboardInterrupt at the prompt ends the interpreter.

    `again` repeats one that seems to have had no effect. An interpreter that has only SIGINT would end
    itself on a repetition, so there it does nothing.
    """
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        return False
    try:
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        caught = _caught(pid)
        if not _interruptible(pid, caught):
            return False
        safe = bool(caught & _SIGUSR2_BIT)
        if safe or not again:
            _signal_main_thread(pid, signal.SIGUSR2 if safe else signal.SIGINT)
        return True
    except OSError:
        return False
    finally:
        os.kill(pid, signal.SIGCONT)


def stop(pid: int) -> None:
    """Have the process do nothing at all, until `go_on`."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)


def go_on(pid: int) -> None:
    """The end of `stop`."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def wake(pid: int) -> None:
    """Make a blocked system call of the process return, so that its scheduled callbacks run."""
    try:
        if _caught(pid) & _SIGUSR1_BIT:  # its default action would end the process
            _signal_main_thread(pid, signal.SIGUSR1)
    except OSError:
        pass


def _signal_main_thread(pid: int, number: int) -> None:
    # os.kill lets the kernel choose a thread; when all are stopped that may be one that only waits
    # for the doorbell, and the system call of the main thread would not end.
    if hasattr(_libc, "tgkill"):
        _libc.tgkill(pid, pid, number)
    else:
        os.kill(pid, number)


def check_platform() -> str | None:
    """None if this computer can run the interpreter under supervision, else the reason."""
    if not Path("/proc/self/status").exists():
        return "virtual glasses need Linux (/proc and SOCK_SEQPACKET); use a container elsewhere"
    return None
