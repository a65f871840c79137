"""Put this folder on PYTHONPATH and LUNETTE_AIR in the environment: Bleak programs meet virtual glasses.

    PYTHONPATH=.../lunette/virtual/bleak_env LUNETTE_AIR=127.0.0.1:4242 python somebodys_program.py

Python imports a module of this name at start-up. Nothing heavy happens then: only when the program
imports Bleak are the two functions replaced that choose its backend. `bleak` copies them into its
own namespace as it is imported, after the modules they come from, so this is early enough for both.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

_HERE = os.path.dirname(os.path.abspath(__file__))
_HOST_TOOLS = os.path.dirname(os.path.dirname(os.path.dirname(_HERE)))

_SELECTORS = {
    "bleak.backends.client": ("get_platform_client_backend_type", "VirtualClient"),
    "bleak.backends.scanner": ("get_platform_scanner_backend_type", "VirtualScanner"),
}


def _backend(name: str) -> Any:
    module = "lunette.virtual.bleak_backend"
    try:
        backend = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "lunette":
            raise
        # Another interpreter than the one Lunette is installed in; it still needs Bumble.
        sys.path.append(_HOST_TOOLS)
        backend = importlib.import_module(module)
    return getattr(backend, name)


def _selector(name: str) -> Callable[[], Any]:
    def select() -> Any:
        errors = importlib.import_module("bleak.exc")
        if not hasattr(errors, "BleakGATTProtocolError"):
            # Before, characteristics and services were other classes, looked up by each backend itself.
            raise errors.BleakError("virtual glasses need Bleak 3.0 or later")
        return (_backend(name), name)

    return select


class _PatchingLoader(importlib.abc.Loader):
    def __init__(self, loader: importlib.abc.Loader, name: str) -> None:
        self._loader = loader
        self._name = name

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        self._loader.exec_module(module)
        function, backend = _SELECTORS[self._name]
        setattr(module, function, _selector(backend))


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in _SELECTORS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _PatchingLoader(spec.loader, name)
        return spec


def _run_the_other_sitecustomize() -> None:
    """Only the first one on the path is imported by Python; the one this hides must still run."""
    others = [entry for entry in sys.path if os.path.abspath(entry or os.curdir) != _HERE]
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if os.environ.get("LUNETTE_AIR"):
    sys.meta_path.insert(0, _Finder())
_run_the_other_sitecustomize()
