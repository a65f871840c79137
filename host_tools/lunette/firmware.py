"""Files of the firmware that the host uses as well: formats have one writer, which is the glasses' own."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

from lunette import paths


def load(name: str) -> ModuleType:
    """``glasses/NAME.py`` as the module ``lunette._NAME``. ImportError if there is no firmware."""
    path = paths.FIRMWARE / "glasses" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"lunette._{name}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is missing")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
