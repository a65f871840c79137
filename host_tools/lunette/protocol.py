"""The wire format: the firmware's own file, loaded for the host. There is one source of truth."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from lunette import paths


def _load() -> ModuleType:
    path = paths.FIRMWARE / "glasses" / "protocol.py"
    spec = importlib.util.spec_from_file_location("lunette._protocol", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is missing")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


wire = _load()
