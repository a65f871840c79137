"""The flash image: what is written is there, full is an error, and a power cut leaves old or new."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from bench_glasses import Bench, make_image

from lunette.errors import LunetteError
from lunette.virtual import flash


def test_install_then_read(tmp_path: Path) -> None:
    rng = random.Random(1)
    files: dict[str, Path | bytes] = {
        f"folder{size % 3}/deep/{size}.bin": rng.randbytes(size) for size in (0, 1, 4095, 4096, 4097, 30000)
    }
    on_disk = tmp_path / "source.py"
    on_disk.write_bytes(b"x = 1\n")
    files["lib/source.py"] = on_disk
    image = make_image(tmp_path / "flash.img", files)

    assert flash.listdir(image) == ["folder0", "folder1", "folder2", "lib"]
    assert flash.listdir(image, "/folder1/deep") == ["1.bin", "4096.bin"]
    for name in ("folder0/deep/0.bin", "folder0/deep/30000.bin", "/folder0/deep/4095.bin"):
        assert flash.read(image, name) == files[name.strip("/")]
    assert flash.read(image, "lib/source.py") == b"x = 1\n"
    flash.install(image, {"lib/source.py": b""})
    assert flash.read(image, "lib/source.py") == b""


def test_what_is_refused(tmp_path: Path) -> None:
    image = make_image(tmp_path / "flash.img", {})
    with pytest.raises(LunetteError, match="no-such-file"):
        flash.read(image, "no-such-file")
    with pytest.raises(LunetteError, match="too-big does not fit"):
        flash.install(image, {"too-big": bytes(300_000)})
    with pytest.raises(LunetteError, match="there is no file"):
        flash.install(image, {"a": tmp_path / "missing"})
    with pytest.raises(LunetteError, match="No such file"):
        flash.listdir(tmp_path / "missing.img")
    blank = tmp_path / "blank.img"
    blank.write_bytes(b"\xff" * 65536)
    with pytest.raises(LunetteError, match="holds no file system"):
        flash.listdir(blank)
    blank.write_bytes(b"\xff" * 65537)
    with pytest.raises(LunetteError, match="no flash image"):
        flash.listdir(blank)
    for size in (0, 12, 17):
        with pytest.raises(ValueError, match="size_kb"):
            flash.create(image, size)


def test_full_flash_is_enospc_and_loses_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with Bench(tmp_path, {"kept": b"kept"}, size_kb=64) as bench:
            with pytest.raises(LunetteError, match="in use"):
                flash.read(bench.image, "kept")
            assert await bench.ask("import os; os.statvfs('/')[2]") == "16\r\n"
            out = await bench.ask("open('big', 'wb').write(bytes(70000))")
            assert out.endswith("OSError: 28\r\n")
            assert await bench.ask("open('kept').read()") == "'kept'\r\n"
        assert flash.read(bench.image, "kept") == b"kept"

    asyncio.run(scenario())


_WRITER = b"""
import os
n = 0
try:
    n = int(open('state').read().split()[0])
except OSError:
    pass
while True:
    n += 1
    with open('new', 'w') as f:
        for i in range(700):
            f.write('%07d\\n' % n)
    os.rename('new', 'state')
    print('saved', n)
"""


def test_power_cut_while_writing_leaves_old_or_new(tmp_path: Path) -> None:
    async def scenario() -> None:
        rng = random.Random(2)
        async with Bench(tmp_path, {"main.py": _WRITER}) as bench:
            for _ in range(8):
                await bench.printed("saved")
                await asyncio.sleep(rng.uniform(0, 0.02))  # to cut at any point of a round
                await bench.glasses.power_cut()
                printed = [line.split() for line in bytes(bench.output).split(b"\r\n")[1:-1]]
                last = max((int(words[1]) for words in printed if words), default=0)
                state = flash.read(bench.image, "state").split()
                assert len(state) == 700 and len(set(state)) == 1
                assert int(state[0]) in (last, last + 1) or last == 0
                bench.output.clear()
                await bench.glasses.start()

    asyncio.run(scenario())


def test_ctrl_c_while_writing_leaves_a_working_file_system(tmp_path: Path) -> None:
    """And never interrupts the block device, whose caller is littlefs in C."""

    async def scenario() -> None:
        async with Bench(tmp_path, {"main.py": _WRITER}) as bench:
            pid = bench.glasses.pid
            await bench.printed("saved")
            rng = random.Random(3)
            for _ in range(20):
                await asyncio.sleep(rng.uniform(0, 0.01))  # to interrupt any point of a round
                bench.output.clear()
                await bench.type("\x03")
                assert "blockdev" not in await bench.printed("KeyboardInterrupt")
                assert await bench.ask("len(set(open('state').read().split()))") == "1\r\n"
                await bench.ask("open('other', 'w').write('x')")
                await bench.type("execfile('main.py')\r")
                await bench.printed("saved")
            assert bench.glasses.pid == pid

    asyncio.run(scenario())
