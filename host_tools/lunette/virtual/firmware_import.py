"""Imports the firmware anew for each start of its program, from code that was compiled once.

On the chip every start loads every module it uses from flash, which takes time that is felt at a wake-up:
`on_load` is told of each file, before it runs.
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

_compiled: dict[str, tuple[int, int, CodeType]] = {}  # path: time of its change, size, code


def _code(name: str, path: str) -> tuple[int, CodeType]:
    """The source's size in bytes, and its code."""
    state = os.stat(path)
    known = _compiled.get(path)
    if known is None or known[:2] != (state.st_mtime_ns, state.st_size):
        code = SourceFileLoader(name, path).get_code(name)
        assert code is not None
        known = _compiled[path] = state.st_mtime_ns, state.st_size, code
    return known[1:]


class FirmwareFinder(MetaPathFinder, Loader):
    """Finds modules in `folders`, in that order, before anybody else, once `install`ed.

    The files are taken not to change. `loaded` are the modules of the program that runs now, `builtins` its
    own built-in names. `on_load(path, size)` is told the source and its bytes. It belongs to nobody but its
    program: two at once would share `sys.modules`.
    """

    def __init__(self, folders: Iterable[Path | str], on_load: Callable[[str, int], None] | None = None):
        self._folders = [str(Path(folder).resolve()) for folder in folders]
        self._on_load = on_load
        self._codes: dict[str, tuple[int, CodeType]] = {}
        self._found: dict[tuple[str, str], tuple[str, bool] | None] = {}
        self.loaded: dict[str, ModuleType] = {}
        self.builtins: dict[str, Any] = {}

    def install(self) -> None:
        sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Out of the way again. Its modules stay until `forget`."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def owns(self, path: str) -> bool:
        """Whether a source file is one of the program's."""
        return any(path.startswith(folder + os.sep) for folder in self._folders)

    def is_main(self, module: ModuleType) -> bool:
        """Whether it comes from the first folder."""
        return str(module.__file__).startswith(self._folders[0] + os.sep)

    def forget(self) -> None:
        """The next import of what is in the folders makes new modules, whoever has imported it before."""
        for name in self.loaded:
            sys.modules.pop(name, None)
        self.loaded.clear()
        self.builtins = {}

    def forget_others(self) -> None:
        """The same for what was imported without this finder, which takes a look at every module."""
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if file is not None and self.owns(file) and not name.startswith("lunette."):
                del sys.modules[name]

    # --- Python's protocol --------------------------------------------------------------------------

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        name = fullname.rpartition(".")[2]
        for folder in self._folders if path is None else path:
            if path is not None and not self.owns(folder + os.sep):
                return None
            found = self._look(folder, name)
            if found is not None:
                file, package = found
                # Without the location that makes Python think of a name for the compiled file, each time.
                spec = ModuleSpec(fullname, self, origin=file, is_package=package)
                if package:
                    spec.submodule_search_locations = [os.path.dirname(file)]
                return spec
        return None

    def _look(self, folder: str, name: str) -> tuple[str, bool] | None:
        key = (folder, name)
        found = self._found.get(key)
        if found is None:
            for file, package in ((f"{folder}/{name}/__init__.py", True), (f"{folder}/{name}.py", False)):
                if os.path.isfile(file):
                    found = self._found[key] = (file, package)
                    break
        return found

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        spec: Any = module.__spec__
        name, file = spec.name, spec.origin
        self.loaded[name] = module
        module.__file__ = file
        known = self._codes.get(file)
        if known is None:
            known = self._codes[file] = _code(name, file)
        size, code = known
        if self._on_load is not None:
            self._on_load(file, size)
        if not self.builtins:
            self.builtins = dict(vars(builtins))
        vars(module)["__builtins__"] = self.builtins
        exec(code, vars(module))
