"""What is different once a tool has replaced the ROM's loader by esptool's stub flasher."""

from __future__ import annotations

import base64
import functools
import json
from collections.abc import Iterator, Mapping
from importlib import resources


def is_stub(chip: str, ram: Mapping[int, bytes], entry: int) -> bool:
    """Is what lies in RAM the stub that the installed esptool has for this chip? It is not run: the model
    answers in its place."""
    return any(
        entry == known_entry and all(ram.get(address) == data for address, data in parts)
        for known_entry, parts in _known(chip)
    )


@functools.lru_cache(maxsize=8)
def _known(chip: str) -> tuple[tuple[int, tuple[tuple[int, bytes], ...]], ...]:
    return tuple(_read(chip))


def _read(chip: str) -> Iterator[tuple[int, tuple[tuple[int, bytes], ...]]]:
    for folder in (resources.files("esptool") / "targets" / "stub_flasher").iterdir():
        file = folder / f"{chip}.json"
        if not file.is_file():
            continue
        stub = json.loads(file.read_text())
        parts = [(stub["text_start"], base64.b64decode(stub["text"]))]
        if "data" in stub:
            parts.append((stub["data_start"], base64.b64decode(stub["data"])))
        yield stub["entry"], tuple(parts)
