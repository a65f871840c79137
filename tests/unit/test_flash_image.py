"""Images are checked before anything is erased for them; esptool's image_info finds these right."""

from __future__ import annotations

import contextlib
import io
import struct
from pathlib import Path

import esp_images
import pytest
from esptool import cmds
from hypothesis import given
from hypothesis import strategies as st

from lunette.errors import LunetteError
from lunette.flash import image

CHIPS = sorted(esp_images.IDS)
S3 = esp_images.image("esp32s3", 0x11000)


@pytest.mark.parametrize("chip", CHIPS)
def test_one_for_each_chip(chip: str, tmp_path: Path) -> None:
    data = esp_images.image(chip, flash_mb=8)
    path = tmp_path / "image.bin"
    path.write_bytes(data)
    ready = image.read(path)
    assert (ready.chip, ready.offset, ready.flash_size) == (chip, esp_images.OFFSETS[chip], 8 << 20)
    assert ready.data == data and ready.end == esp_images.OFFSETS[chip] + len(data)


@pytest.mark.parametrize("chip", CHIPS)
def test_esptool_finds_these_images_right(chip: str) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        cmds.image_info(esp_images.part(chip, b"hello"))
    assert said.getvalue().count("(valid)") == 2, said.getvalue()


@given(st.integers(0, len(S3) - 1))
def test_a_part_of_one_is_refused(length: int) -> None:
    with pytest.raises(LunetteError, match=r"--image|download it again|take the .bin file"):
        image.check(S3[:length], "image.bin")


@given(st.integers(0x10000 + 32, len(S3) - 1), st.integers(1, 255))
def test_a_wrong_byte_is_found(at: int, change: int) -> None:
    data = bytearray(S3)
    data[at] ^= change
    with pytest.raises(LunetteError, match=r"damaged or not complete \(its application\).*again"):
        image.check(bytes(data), "image.bin")


@pytest.mark.parametrize("at", [8, 16, 600])
def test_a_damaged_boot_loader_is_found(at: int) -> None:
    data = bytearray(S3)
    data[at] ^= 1
    with pytest.raises(LunetteError, match=r"damaged or not complete \(its boot loader\)"):
        image.check(bytes(data), "image.bin")


def test_without_a_digest_the_checksum_is_what_counts() -> None:
    data = bytearray(S3)
    loader = esp_images.part("esp32s3", b"loader" * 10, digest=False)
    data[: len(loader)] = loader
    image.check(bytes(data), "image.bin")
    data[50] ^= 1
    with pytest.raises(LunetteError, match=r"its boot loader"):
        image.check(bytes(data), "image.bin")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no image for an ESP32 chip.*--image"),
        (b"\xe9", "no image for an ESP32 chip"),
        (b"\n<!DOCTYPE html><html><body>Not here</body></html>", "is a web page.*--image"),
        (b"UF2\nWQ]\x9e" + bytes(504), "no image for an ESP32 chip"),
        (esp_images.part("esp32c3", b"app" * 1000), r"no partition table.*not the \.app-bin"),
        (S3[:12] + struct.pack("<H", 0x1234) + S3[14:], "not known here.*take the .bin file"),
    ],
)
def test_what_is_none(data: bytes, words: str) -> None:
    with pytest.raises(LunetteError, match=words):
        image.check(data, "image.bin")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(LunetteError, match=r"cannot read .*nothing\.bin \(No such file.*check --image"):
        image.read(tmp_path / "nothing.bin")
