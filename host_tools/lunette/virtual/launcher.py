"""Start MicroPython in this process: ``python -I -S launcher.py TARGET PARENT_PID ARGUMENTS...``.

TARGET is the extension module of the `micropython` wheel, or another interpreter's executable. Before
it runs, the process is made a part of the simulator: it dies with it, and takes two signals.

SIGUSR1  ends a blocked system call, so that scheduled callbacks also run at an idle prompt.
SIGUSR2  is the interrupt character. The interpreter's own SIGINT handler ends the process when a
         second one arrives before the first was seen; this enters one level below it, where a
         repetition is harmless.

Another interpreter's executable gets neither.
"""

import ctypes
import importlib.machinery
import importlib.util
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def _die_with_parent(parent: int) -> None:
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)


def _take_signals(library: str) -> None:
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.siginterrupt(signal.SIGUSR1, True)
    interrupt = getattr(ctypes.CDLL(library), "mp_sched_keyboard_interrupt", None)
    if interrupt is not None:
        libc = ctypes.CDLL(None)
        libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]
        libc.signal.restype = ctypes.c_void_p
        libc.signal(signal.SIGUSR2, ctypes.cast(interrupt, ctypes.c_void_p))
        libc.siginterrupt(signal.SIGUSR2, 1)


def main() -> None:
    target, parent, arguments = sys.argv[1], int(sys.argv[2]), ["micropython", *sys.argv[3:]]
    _die_with_parent(parent)
    # Until MicroPython installs its handler SIGINT is not caught; that is how one sees it is not ready.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not target.endswith(".so"):
        os.execv(target, arguments)
    loader = importlib.machinery.ExtensionFileLoader("micropython_run", target)
    spec = importlib.util.spec_from_loader("micropython_run", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    _take_signals(target)
    code = module.run_main(arguments)
    if ctypes.CDLL(None).getenv(b"MICROPYINSPECT"):
        # It was at its prompt: Ctrl-D, or SystemExit with any number, which the chip ignores. A crash
        # does not return here.
        code = 0
    # Not sys.exit: MicroPython's threads may still run, and CPython would wait and clean up around them.
    os._exit(code & 0xFF)


if __name__ == "__main__":
    main()
