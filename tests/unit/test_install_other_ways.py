"""What other tools than ours install from: package.json for mip, manifest.py for those who build images."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import packages
import pytest

from lunette import paths

MANIFEST = paths.ROOT / "manifest.py"
PORT = "boards/manifest.py"  # of MicroPython's port


# --- mip ---------------------------------------------------------------------------------------------


def test_package_json_is_up_to_date() -> None:
    assert packages.PACKAGE.read_text() == packages.text(), f"run `{packages.COMMAND}`"


def test_every_file_of_the_firmware_is_listed_once_and_goes_to_its_place() -> None:
    listed = json.loads(packages.PACKAGE.read_text())["urls"]
    there = {path.relative_to(paths.FIRMWARE).as_posix() for path in paths.FIRMWARE.rglob("*.py")}
    assert {target for target, _ in listed} == there and len(listed) == len(there)
    assert {"boot.py", "main.py", "glasses/__init__.py", "glasses/parts/led.py"} <= there
    for target, source in listed:
        assert source == f"firmware/{target}" and (paths.ROOT / source).is_file()


def test_a_new_file_and_one_that_is_gone_change_it(tmp_path: Path) -> None:
    firmware = tmp_path / "firmware" / "glasses"
    firmware.mkdir(parents=True)
    (firmware / "one.py").touch()
    (firmware.parent / "boot.py").touch()
    assert [name for name, _ in json.loads(packages.text(tmp_path))["urls"]] == ["boot.py", "glasses/one.py"]
    (firmware / "one.py").rename(firmware / "two.py")
    assert "glasses/one.py" not in packages.text(tmp_path) and "glasses/two.py" in packages.text(tmp_path)


# --- frozen ------------------------------------------------------------------------------------------


class Manifest:
    """Runs a manifest as MicroPython's tools/manifestfile.py does when it freezes.

    Modelled: the functions that its documentation (v1.29, "MicroPython manifest files") lists, by their
    signatures; paths relative to the manifest; `package` taking every .py file of a folder; path variables;
    `metadata` once. What else a manifest says is an error. Not modelled: libraries, C modules, .mpy files.
    """

    def __init__(self, path: Path, port: Path):
        self.frozen: dict[str, Path] = {}  # name on import's path: the file
        self.included: list[Path] = []
        self.described: dict[str, str] = {}
        self._variables = {"PORT_DIR": str(port)}
        self._folder = path.parent
        self._run(path)

    def _run(self, path: Path) -> None:
        before, self._folder = self._folder, path.parent
        names: dict[str, Callable[..., None]] = {
            name: getattr(self, name)
            for name in ("include", "require", "metadata", "package", "module", "freeze")
        }
        try:
            exec(compile(path.read_text(), str(path), "exec"), {"__builtins__": {}, **names})
        finally:
            self._folder = before

    def _path(self, text: str) -> Path:
        for name, value in self._variables.items():
            text = text.replace(f"$({name})", value)
        assert "$(" not in text, f"no such variable: {text}"
        return Path(os.path.abspath(self._folder / text))

    def _add(self, source: Path, name: str) -> None:
        assert source.is_file(), f"Cannot stat {source}"
        assert source.suffix == ".py"
        assert self.frozen.setdefault(name, source) == source, f"{name} twice"

    def include(self, path: str, **_options: Any) -> None:
        found = self._path(path)
        found = found / "manifest.py" if found.is_dir() else found
        if found not in self.included:
            self.included.append(found)
            self._run(found)

    def require(self, name: str, library: str | None = None, **_options: Any) -> None:
        assert isinstance(name, str)

    def metadata(
        self, description: str, version: str, license: str | None = None, author: str | None = None
    ) -> None:
        assert not self.described, "Duplicate call to metadata()."
        self.described = {"description": description, "version": version}

    def package(
        self, package_path: str, files: Any = None, base_path: str = ".", opt: int | None = None
    ) -> None:
        base = self._path(base_path)
        if files is not None:
            found = [base / package_path / file for file in files]
        else:
            found = [path for path in (base / package_path).rglob("*") if path.suffix.lower() == ".py"]
            assert found, f"nothing in {base / package_path}"
        for source in found:
            self._add(source, source.relative_to(base).as_posix())

    def module(self, module_path: str, base_path: str = ".", opt: int | None = None) -> None:
        assert module_path.endswith(".py") and "/" not in module_path
        self._add(self._path(base_path) / module_path, module_path)

    def freeze(self, path: str, script: Any = None, opt: int = 0) -> None:
        raise AssertionError("freeze() is for old manifests: package() and module() took its place")


@pytest.fixture
def port(tmp_path: Path) -> Path:
    folder = tmp_path / "ports" / "esp32"
    (folder / PORT).parent.mkdir(parents=True)
    (folder / PORT).write_text('require("asyncio")\n')
    return folder


def test_the_manifest_freezes_the_firmware_and_nothing_else(port: Path) -> None:
    manifest = Manifest(MANIFEST, port)
    glasses = sorted((paths.FIRMWARE / "glasses").rglob("*.py"))
    assert manifest.frozen == {path.relative_to(paths.FIRMWARE).as_posix(): path for path in glasses}
    assert manifest.included == [port / PORT], "or the image lacks asyncio"
    assert manifest.described["version"] == packages.version()


@pytest.mark.parametrize(
    "line", ['copy("glasses")', 'package("glasses", folder="firmware")', 'package("glasses")', "import os"]
)
def test_the_stand_in_refuses_what_the_tool_refuses(tmp_path: Path, port: Path, line: str) -> None:
    (tmp_path / "manifest.py").write_text(line)
    with pytest.raises((NameError, TypeError, AssertionError, ImportError)):
        Manifest(tmp_path / "manifest.py", port)
