"""The helpers at the prompt, in real MicroPython: what they show and refuse, and what they leave behind."""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from tests import at_prompt
from tests.at_prompt import AtPrompt

HELPERS = ("status", "parts", "power", "journal", "log")
RATE = 16000


def play(test: Callable[[AtPrompt], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        async with AtPrompt(**options) as glasses:
            await test(glasses)

    asyncio.run(main())


def test_the_page_shows_what_they_print() -> None:
    page = at_prompt.PAGE.read_text()
    now = asyncio.run(at_prompt.renewed(page))
    assert at_prompt.shape(page) == at_prompt.shape(now), "python -m tests.at_prompt writes it"
    for helper in (*HELPERS, "listen"):
        assert any(line.startswith(f">>> glasses.{helper}(") for line in page.splitlines()), helper


def test_a_table_for_people_is_a_dict_for_programs() -> None:
    async def test(glasses: AtPrompt) -> None:
        await glasses.quiet()
        for helper in HELPERS:
            table = await glasses.ask(f"glasses.{helper}()")
            assert "\n" in table.strip() and "{" not in table, helper
            assert max(map(len, table.splitlines())) <= 79, helper
            assert (await glasses.ask(f"print(glasses.{helper}())")).splitlines()[0] == table.splitlines()[0]
            assert isinstance(ast.literal_eval(await glasses.ask(f"print(repr(glasses.{helper}()))")), dict)
            found = json.loads(await glasses.ask(f"import json; print(json.dumps(glasses.{helper}()))"))
            assert isinstance(found, dict) and found, helper
        # The prompt shows everything else as ever.
        assert await glasses.ask("[1, 'a']") == "[1, 'a']\n"
        assert await glasses.ask("None") == ""
        assert await glasses.ask("{'a': 1}") == "{'a': 1}\n"

        # Nothing of them stays: after the first time, whose names MicroPython keeps, the heap is as it was.
        used = "gc.collect() and gc.mem_alloc()"
        everything = "; ".join(f"str(glasses.{helper}())" for helper in HELPERS)
        await glasses.ask(f"a = [{everything.replace(';', ',')}]; del a")
        await glasses.ask("import gc")
        before = int(await glasses.ask(used))
        await glasses.ask(f"a = [{everything.replace(';', ',')}]; del a")
        assert int(await glasses.ask(used)) - before < 2000
        loaded = "[m for m in ('prompt', 'tables') if 'glasses.' + m in sys.modules or hasattr(glasses, m)]"
        await glasses.ask("import sys")
        assert await glasses.ask(loaded) == "[]\n"

    play(test)


def test_where_nothing_runs_they_say_what_to_do() -> None:
    """As mpremote leaves the glasses after its soft reset; then without a board.py."""

    async def test(glasses: AtPrompt) -> None:
        await glasses.interrupt()
        await glasses.keys("\x01")
        await glasses.printed("raw REPL; CTRL-B to exit\r\n>")
        await glasses.keys("\x04")
        await glasses.printed("raw REPL; CTRL-B to exit\r\n>")
        await glasses.keys("\x02")
        await glasses.printed(at_prompt.PROMPT)
        await glasses.ask("import glasses, os, sys")
        for helper in (*HELPERS, "listen"):
            told = await glasses.ask(f"glasses.{helper}()")
            assert "glasses.run()" in told or helper == "parts", helper
            assert "Traceback" not in told and max(map(len, told.splitlines())) <= 79
        assert "sck 4, sd 6, ws 5 not started" in " ".join((await glasses.ask("glasses.parts()")).split())
        assert "crashes     none" in await glasses.ask("glasses.power()")
        assert await glasses.ask("'glasses.runtime' in sys.modules") == "False\n", "nothing was switched on"

        await glasses.ask("os.remove('board.py')")
        await glasses.keys("\x04")
        assert "no board.py" in await glasses.printed(at_prompt.PROMPT)
        await glasses.ask("import glasses")
        for helper in (*HELPERS, "listen"):
            assert "lunette deploy" in await glasses.ask(f"glasses.{helper}()"), helper

    play(test)


BROKEN = b"""
from virtual import *
NAME = "virtual"
PARTS = dict(PARTS)
PARTS["battery"] = {"driver": "battery", "pin": 40, "ratio": 2.0, "empty_v": 3.3, "full_v": 4.2}
PARTS["light"] = {"driver": "led", "pin": 999}
"""


def test_parts_that_are_not_there_are_named() -> None:
    async def test(glasses: AtPrompt) -> None:
        await glasses.quiet()
        parts = (await glasses.ask("glasses.parts()")).splitlines()
        rows = {line.split()[0]: " ".join(line.split()) for line in parts if line[0] != " "}
        assert rows["battery"].endswith(" 40 missing: invalid pin")
        assert rows["light"].endswith(" 999 missing: invalid pin")
        assert "missing: off, because the capture light does not work" in " ".join(" ".join(parts).split())
        assert rows["talk"].endswith("up")
        assert await glasses.ask("glasses.parts()['mic']['there']") == "False\n"
        status = await glasses.ask("glasses.status()")
        assert "missing     battery, light, mic" in status
        assert "battery     none" in status and "microphone  none" in status
        told = await glasses.ask("glasses.listen()")
        assert "no microphone: off, because the capture light does not work" in told

    board = (at_prompt.paths.BOARDS / "virtual" / "board.py").read_bytes()
    play(test, files={"virtual.py": board, "board.py": BROKEN})


def sine(dbfs: float, seconds: float) -> np.ndarray:
    """A tone of that RMS level."""
    amplitude = 32768 * 2**0.5 * 10 ** (dbfs / 20)
    n = np.arange(round(seconds * RATE))
    return np.round(amplitude * np.sin(2 * np.pi * 440 * n / RATE)).astype(np.int16)


def test_listening_shows_the_level_with_the_light_on_and_keeps_nothing() -> None:
    async def test(glasses: AtPrompt) -> None:
        await glasses.quiet()
        sound = glasses.virtual.sound
        sound.say(sine(-20, 3))
        lines = (await glasses.ask("glasses.listen(0.6)")).splitlines()
        assert [line.split()[0] for line in lines] == ["0.2", "0.4", "0.6", "level", "heard", "kept"]
        for line in lines[1:3]:
            assert float(line.split()[3]) == pytest.approx(-20, abs=0.2)
            assert float(line.split()[6]) == pytest.approx(-17, abs=0.2)
            assert line.split()[2] == "#" * 16 + "-" * 8
        assert lines[-1] == "kept        nothing"
        assert glasses.light == [True, False]
        assert "waiting     0," in await glasses.ask("glasses.journal()")
        assert "listen" not in await glasses.ask("glasses.power()")

        # Whoever presses meanwhile is not heard, and not remembered wrongly either.
        await glasses.start("glasses.listen(0.6)")
        await glasses.printed("0.2 s")
        glasses.virtual.press()
        await glasses.printed("0.6 s")
        glasses.virtual.release()
        assert "kept        nothing" in await glasses.printed(at_prompt.PROMPT)
        assert await glasses.ask("glasses.instance().voice.capturing") == "False\n"
        counters = "glasses.status()['counters']"
        assert await glasses.ask(f"{counters}['mic.starts'], {counters}['voice.refused']") == "(2, 2)\n"

        # Ctrl-C ends it, and the light with it.
        await glasses.start("glasses.listen(30)")
        await glasses.printed("0.2 s")
        await glasses.keys("\x03")
        await glasses.printed("KeyboardInterrupt")
        await glasses.until(lambda: not glasses.light[-1], "the light goes out")
        await glasses.printed(at_prompt.PROMPT)
        assert await glasses.ask("glasses.parts()['mic']['now'][:3]") == "'off'\n"

        sound.say(sine(-30, 3))
        kept = await glasses.ask("glasses.listen(0.6, keep=True)")
        assert "recording" in kept.splitlines()[-1] and "for the host" in kept
        journal = await glasses.ask("glasses.journal()")
        assert "waiting     1," in journal
        assert kept.split("recording ")[1].split(",")[0] in journal

    play(test)


def test_listening_is_refused_with_a_reason() -> None:
    async def test(glasses: AtPrompt) -> None:
        await glasses.quiet()
        glasses.virtual.press()
        await glasses.until(lambda: glasses.light and glasses.light[-1], "the light goes on")
        assert "busy with a recording" in await glasses.ask("glasses.listen()")
        glasses.virtual.release()
        await glasses.until(lambda: not glasses.light[-1], "the light goes out")
        await glasses.ask("glasses.instance().voice.muted = True")
        assert "muted" in await glasses.ask("glasses.listen()")
        assert "muted" in await glasses.ask("glasses.listen(1, keep=True)")
        assert "muted" in await glasses.ask("glasses.parts()")
        await glasses.ask("glasses.instance().voice.muted = False")
        for wrong in ("0", "-1", "1e9"):
            assert "seconds" in await glasses.ask(f"glasses.listen({wrong})")
        assert glasses.light == [True, False], "it was on for nothing of this"

    play(test)


def test_the_log_is_filtered_and_bounded() -> None:
    async def test(glasses: AtPrompt) -> None:
        await glasses.quiet()
        await glasses.ask("l = glasses.instance().log")
        await glasses.ask("a = [l.debug('x', 'd%d' % i) or l.info('x', 'i%d' % i) for i in range(40)]")
        await glasses.ask("l.warning('x', 'long ' * 30)")
        shown = await glasses.ask("glasses.log('warning')")
        assert shown.splitlines()[1].endswith("warning x        " + ("long " * 9).strip())
        assert max(map(len, shown.splitlines())) <= 79 and shown.count("long") == 30 and "i1" not in shown
        every = json.loads(await glasses.ask("import json; print(json.dumps(glasses.log('debug')))"))
        assert every["kept"] == 64 == len(every["lines"])
        numbers = [line[0] for line in every["lines"]]
        assert numbers == list(range(every["total"] - 64, every["total"]))
        some = json.loads(await glasses.ask("print(json.dumps(glasses.log()))"))
        assert some["lines"] == [line for line in every["lines"] if line[2] >= 1]
        assert "older lines are gone" in await glasses.ask("glasses.log()")
        assert "there are debug, info" in await glasses.ask("glasses.log('loud')")

    play(test)
