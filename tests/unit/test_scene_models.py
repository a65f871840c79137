"""The wake words that a scene has on its glasses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lunette.errors import LunetteError
from lunette.virtual import scene
from lunette.virtual.stage import Stage
from lunette.wakeword.loaded import load
from lunette.wakeword.packaged import find


def files(folder: Path, *models: str) -> dict[str, bytes]:
    return Stage(scene.parse({"duration_s": 1, "models": list(models)}, folder=folder), folder)._models()


def test_models_are_the_packages_or_files_beside_the_scene(tmp_path: Path) -> None:
    content = load("alexa").content
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "mine.mww").write_bytes(content)
    for suffix in (".tflite", ".json"):
        shutil.copy(find("alexa").path.with_suffix(suffix), (tmp_path / "other").with_suffix(suffix))
    found = files(tmp_path, "okay_nabu", "sub/mine.mww", "other.tflite")
    assert found == {
        "/wakeword/okay_nabu.mww": load("okay_nabu").content,
        "/wakeword/mine.mww": content,
        "/wakeword/other.mww": content,
    }
    assert files(tmp_path) == {}


def test_what_is_no_model_for_glasses_is_said(tmp_path: Path) -> None:
    (tmp_path / "Bad Name.mww").write_bytes(load("alexa").content)
    with pytest.raises(LunetteError, match="'Bad Name' is no name for a model"):
        files(tmp_path, "Bad Name.mww")
    (tmp_path / "empty.mww").write_bytes(b"")
    with pytest.raises(LunetteError, match="no model for the glasses"):
        files(tmp_path, "empty.mww")
