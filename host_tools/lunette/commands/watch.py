"""`lunette deploy --watch`: deploys again on every save, and shows meanwhile what the glasses print."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from lunette import boards, paths
from lunette.commands import deploy
from lunette.console import Prompt
from lunette.errors import LunetteError

_SLICE_S = 0.2


def watch(port: str, board: str | None, source: bool, firmware: Path | None) -> None:
    """Until Ctrl-C. What does not compile or start is told, and the next save tries again."""
    folder = (firmware or paths.FIRMWARE).resolve()
    watched = [folder]
    if board is not None:
        watched.append(boards.load(board).path.parent)
    saved = _Saved(watched)
    try:
        while True:
            saved.forget()
            try:
                with Prompt.open(port, wait_s=5) as prompt:
                    _round(prompt, board, source, firmware, saved)
            except LunetteError as error:
                print(f"lunette: {error}", flush=True)
            else:
                continue
            print("waiting for the next save (Ctrl-C ends)", flush=True)
            saved.wait()
    finally:
        saved.end()


def _round(prompt: Prompt, board: str | None, source: bool, firmware: Path | None, saved: _Saved) -> None:
    from lunette import deploy as deploying

    began = time.monotonic()
    result = deploy.once(prompt, board, source, firmware)
    print(deploy.summary(result, time.monotonic() - began).partition("\n")[0], flush=True)
    _, lines = deploying.start(prompt)
    for line in lines:
        print(line, flush=True)
    print(f"the glasses run; saving a file in {folder_words(saved)} deploys again (Ctrl-C ends)", flush=True)
    while not saved:
        for line in prompt.lines(_SLICE_S, lambda line: True):
            print(line, flush=True)


def folder_words(saved: _Saved) -> str:
    return " or ".join(map(str, saved.folders))


class _Saved:
    """True once something below the folders has been saved since `forget`."""

    def __init__(self, folders: list[Path]):
        from watchfiles import PythonFilter, watch

        self.folders = folders
        self._changed = threading.Event()
        self._stop = threading.Event()

        def run() -> None:
            for _ in watch(*folders, watch_filter=PythonFilter(), stop_event=self._stop, debounce=200):
                self._changed.set()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def __bool__(self) -> bool:
        return self._changed.is_set()

    def forget(self) -> None:
        self._changed.clear()

    def wait(self) -> None:
        while not self._changed.wait(_SLICE_S):
            pass

    def end(self) -> None:
        self._stop.set()
        self._thread.join(2)
