"""Playing a scene for a command: the stage, the view, the report on disk."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, TextIO

from lunette import display
from lunette.commands import common
from lunette.virtual.scene import Scene
from lunette.virtual.stage import Stage


async def play(scene: Scene, folder: Path, out: TextIO) -> tuple[dict[str, Any], Stage]:
    """Play `scene` with its recordings in `folder`, shown on `out`; returns report and stage.

    Raises LunetteError if the scene cannot be played to its end.
    """
    # These glasses are new, so their recordings are not those of an earlier, interrupted run.
    shutil.rmtree(folder / ".partial", ignore_errors=True)

    def client() -> Any:
        return stage.listener.client if stage.listener is not None else None

    monitor = display.Monitor(clock=lambda: stage.now, client=client, show_paths=False)
    view = display.choose(monitor, out, times=True)
    stage = Stage(scene, folder, observe=view.observe)
    async with view:
        report = await stage.play()
    listener = stage.listener
    if listener is not None and all(recording.complete for recording in listener.recordings):
        shutil.rmtree(folder / ".partial", ignore_errors=True)
    return report, stage


def save(report: dict[str, Any], path: Path) -> None:
    """Write the report. Raises LunetteError."""
    common.write_file(path, json.dumps(report, indent=1) + "\n")
