"""Models of wake words on the glasses: a name stands for a whole file, whatever comes in whatever order, and
whenever the power goes."""

from __future__ import annotations

import asyncio
import base64
import random
import zlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from flash_shim import Disk, PowerCut
from hypothesis import given
from hypothesis import strategies as st

from lunette.protocol import wire
from lunette.virtual.cpython import run
from lunette.wakeword import format

pytestmark = pytest.mark.usefixtures("micropython")


def model(size: int = 1000, phrase: str = "okay", version: int = 1, says: int = 0, seed: int = 0) -> bytes:
    """A file that begins as a model does."""
    text = phrase.encode()
    head = format.HEAD.pack(format.MAGIC, version, 3, 40, 217, says or size, 0, 64, 8, 1, 1, 5, len(text))
    return (head + text + random.Random(seed).randbytes(size))[:size]


class Folder(Disk):
    """With the calls that only the models use; a file that was never closed is empty after a cut."""

    def stat(self, name: str) -> tuple[int, ...]:
        if name not in self.files:
            raise OSError(2)
        return (0,) * 6 + (len(self.files[name]),)

    def listdir(self, name: str) -> list[str]:
        found = super().listdir(name)
        random.Random(0).shuffle(found)  # littlefs has an order of its own
        return found

    def plug(self, *modules: Any) -> None:
        super().plug(*modules)
        for module in modules:
            module.os.stat = self.stat


class Glasses:
    """What the models see of the runtime, on a disk, from one start to the next."""

    def __init__(self, disk: Folder):
        from glasses import models
        from glasses.wakeword import stored

        self.disk = disk
        self.busy = False
        disk.plug(models, stored)
        disk.allowed = lambda: not self.busy
        self.asked = 0  # whether somebody may write
        self.told: list[str] = []
        self.changed: list[str] = []
        self.handlers: list[Any] = []
        self.applied = 0
        self.wakeword = ""
        self.ms = 0
        models.time = SimpleNamespace(ticks_ms=lambda: self.ms, ticks_diff=lambda a, b: a - b)
        self.log = SimpleNamespace(
            info=lambda area, text: None, warning=lambda area, text: self.told.append(text)
        )
        self.bus = SimpleNamespace(
            now=lambda name, handler: self.handlers.append(handler),
            emit=lambda name, t, value: self.changed.append(value) if name == "models" else None,
        )
        self.settings = SimpleNamespace(wakeword="", set=self.set)
        self.models = models.Models(self)

    def set(self, name: str, value: Any) -> None:
        assert name == "wakeword"
        self.disk.operation("settings")
        self.settings.wakeword = value

    def apply_settings(self) -> None:
        self.applied += 1

    def recording(self) -> bool:
        self.asked += 1
        return self.busy

    def ask(self, op: str, **fields: Any) -> Any:
        return self.models.handle({"op": op, **fields})

    def begin(self, name: str, content: bytes) -> Any:
        return self.ask("model", name=name, size=len(content), crc32=zlib.crc32(content))

    def part(self, at: int, piece: bytes) -> Any:
        return self.ask("model_part", at=at, data=base64.b64encode(piece).decode())

    def send(self, name: str, content: bytes, piece: int = 336) -> None:
        at = self.begin(name, content)
        while at < len(content):
            at = self.part(at, content[at : at + piece])

    def leave(self) -> None:
        async def leaving() -> None:
            for handler in self.handlers:
                handler("disconnected", 0, None)
            await asyncio.sleep(0)

        run(leaving())

    def names(self) -> list[str]:
        return [entry["name"] for entry in self.ask("models")["models"]]


@pytest.fixture
def glasses() -> Iterator[Glasses]:
    yield Glasses(Folder())


def refused(work: Any, *arguments: Any, **fields: Any) -> tuple[str, str]:
    with pytest.raises(ValueError) as caught:
        work(*arguments, **fields)
    return caught.value.code, str(caught.value)  # type: ignore[attr-defined]


# --- in order -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [24, 336, 1000])
def test_a_model_is_received_listed_and_removed(glasses: Glasses, piece: int) -> None:
    content = model(phrase="Okay Nabu")
    assert glasses.names() == []
    glasses.send("okay_nabu", content, piece)
    assert glasses.disk.files == {"wakeword/okay_nabu.mww": content}
    (entry,) = glasses.ask("models")["models"]
    assert entry == {"name": "okay_nabu", "bytes": 1000, "whole": True, "phrase": "Okay Nabu", "cutoff": 217}
    assert glasses.ask("model_remove", name="okay_nabu") is False
    assert glasses.disk.files == {} and glasses.changed == ["okay_nabu"] * 2
    assert refused(glasses.ask, "model_remove", name="okay_nabu") == (
        "not-found",
        "there is no model okay_nabu; there are: none",
    )


def test_what_is_there_is_not_received_again(glasses: Glasses) -> None:
    content = model()
    glasses.send("ask", content)
    operations = glasses.disk.operations
    assert glasses.begin("ask", content) == len(content)
    assert glasses.disk.operations == operations
    assert glasses.begin("ask", model(seed=1)) == 0, "of the same size, but another one"


def test_the_old_one_stays_until_the_new_one_is_whole(glasses: Glasses) -> None:
    old, new = model(seed=1), model(size=1200, seed=2)
    glasses.send("ask", old)
    glasses.begin("ask", new)
    glasses.part(0, new[:1199])
    assert glasses.disk.files["wakeword/ask.mww"] == old
    assert glasses.part(1199, new[1199:]) == 1200
    assert glasses.disk.files == {"wakeword/ask.mww": new}


def test_who_asks_again_goes_on_where_it_was(glasses: Glasses) -> None:
    """An answer that was lost costs no more than that question."""
    content = model()
    glasses.begin("ask", content)
    glasses.part(0, content[:100])
    assert refused(glasses.part, 0, content[:100]) == ("order", "byte 100 comes next, not 0")
    assert glasses.begin("ask", content) == 100
    assert glasses.part(100, content[100:]) == 1000
    assert glasses.disk.files == {"wakeword/ask.mww": content}


# --- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", "../main", "a/b", "Alexa", "a b", "_a", "a" * 33, "a" * 200, "\u00e9", "a.mww", "\0", "a\n"]
)
def test_names_that_are_none(glasses: Glasses, name: str) -> None:
    for work in (
        lambda: glasses.begin(name, model()),
        lambda: glasses.ask("model_remove", name=name),
    ):
        code, text = refused(work)
        assert code == "bad-value" and "a to z, 0 to 9 and _" in text
    assert glasses.disk.operations == 0


@pytest.mark.parametrize("size", [-1, 0, 23, 200001, 1 << 40])
def test_sizes_that_are_none(glasses: Glasses, size: int) -> None:
    code, text = refused(glasses.ask, "model", name="ask", size=size, crc32=0)
    assert code == "bad-value" and str(size) in text
    assert glasses.disk.operations == 0


@pytest.mark.parametrize("crc", [-1, 1 << 32])
def test_crcs_that_are_none(glasses: Glasses, crc: int) -> None:
    assert refused(glasses.ask, "model", name="ask", size=100, crc32=crc)[0] == "bad-value"


def test_pieces_that_do_not_fit(glasses: Glasses) -> None:
    content = model()
    assert refused(glasses.part, 0, content) == (
        "idle",
        "no model is being received: begin one with the op model",
    )
    glasses.begin("ask", content)
    assert refused(glasses.part, 0, content[:23])[0] == "bad-value", "too little to judge it by"
    assert refused(glasses.part, 0, b"")[0] == "bad-value"
    assert refused(glasses.part, 0, content + b"x") == (
        "bad-value",
        "a piece of 1001 bytes, where 1000 are left",
    )
    assert refused(glasses.ask, "model_part", at=0, data="AAA")[0] == "bad-value"
    assert refused(glasses.part, 1, content)[0] == "order"
    assert refused(glasses.part, -1, content)[0] == "order"
    assert glasses.part(0, content) == 1000, "none of these ended it"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"RIFF" + bytes(996), "no model"),
        (model(version=2), "version 2"),
        (model(says=999), "has 999 bytes, not 1000"),
    ],
)
def test_what_could_not_be_loaded_is_refused_at_once(glasses: Glasses, content: bytes, why: str) -> None:
    glasses.begin("ask", content)
    code, text = refused(glasses.part, 0, content[:100])
    assert code == "bad-value" and why in text
    assert refused(glasses.part, 0, content[:100])[0] == "idle"
    assert glasses.disk.files == {}


def test_what_came_damaged_leaves_nothing(glasses: Glasses) -> None:
    old, content = model(seed=1), model()
    glasses.send("ask", old)
    glasses.begin("ask", content)
    code, text = refused(glasses.part, 0, content[:-1] + bytes([content[-1] ^ 1]))
    assert code == "damaged" and "send it again" in text
    assert glasses.disk.files == {"wakeword/ask.mww": old}
    assert glasses.begin("ask", content) == 0


def test_there_is_no_room(glasses: Glasses) -> None:
    """Said with figures, and before anything is written."""
    glasses.disk.size = 120_000
    free = glasses.ask("models")["free"]
    code, text = refused(glasses.begin, "ask", model(free + 1))
    assert code == "no-room" and "remove models" in text and f"there is room for {free // 1024}:" in text
    assert glasses.disk.operations == 0
    content = model(free)
    glasses.send("ask", content)
    assert 120_000 - glasses.disk.used() >= 4 * 4096, "what settings and bonds need stays free"
    assert glasses.ask("models")["free"] < 4096


def test_a_full_flash_in_the_middle(glasses: Glasses) -> None:
    content = model(5000)
    glasses.begin("ask", content)
    glasses.part(0, content[:1000])
    glasses.disk.size = 2000
    assert refused(glasses.part, 1000, content[1000:]) == ("no-room", "the flash is full")
    assert glasses.disk.files == {} and refused(glasses.part, 1000, content)[0] == "idle"


@pytest.mark.parametrize("what", ["open", "write", "close", "rename"])
def test_a_flash_that_fails(glasses: Glasses, what: str) -> None:
    glasses.disk.fail[what] = 5
    code, text = refused(glasses.send, "ask", model())
    assert code == "failed" and "flash" in text
    assert refused(glasses.part, 336, b"x")[0] == "idle"
    glasses.send("ask", model())
    assert glasses.disk.files == {"wakeword/ask.mww": model()}


def test_two_at_once(glasses: Glasses) -> None:
    glasses.begin("one", model())
    glasses.part(0, model()[:500])
    assert refused(glasses.begin, "two", model()) == ("busy", "one is being received")
    assert refused(glasses.begin, "one", model(seed=1))[0] == "busy", "it is another file"
    glasses.ms += 10_000
    glasses.send("two", model(seed=2))
    assert glasses.disk.files == {"wakeword/two.mww": model(seed=2)}, "the first has been given up"
    assert refused(glasses.part, 500, model()[500:])[0] == "idle"


# --- whose host or power goes ---------------------------------------------------------------------------


def test_parts_after_the_host_has_gone(glasses: Glasses) -> None:
    glasses.begin("ask", model())
    glasses.part(0, model()[:500])
    glasses.leave()
    assert glasses.disk.files == {}
    assert refused(glasses.part, 500, model()[500:])[0] == "idle"


def test_nothing_is_written_for_a_host_that_has_gone_while_they_record(glasses: Glasses) -> None:
    async def main() -> None:
        glasses.begin("ask", model())
        glasses.busy = True  # the shim fails for what is written then
        for handler in glasses.handlers:
            handler("disconnected", 0, None)
        await asyncio.sleep(3)
        assert glasses.asked >= 3
        glasses.busy = False
        await asyncio.sleep(2)
        assert glasses.disk.files == {}

    run(main())


def test_who_comes_next_is_not_cut_off(glasses: Glasses) -> None:
    async def main() -> None:
        glasses.begin("ask", model())
        for handler in glasses.handlers:
            handler("disconnected", 0, None)
        assert glasses.begin("ask", model()) == 0
        await asyncio.sleep(3)
        assert glasses.part(0, model()) == 1000

    run(main())
    assert glasses.disk.files == {"wakeword/ask.mww": model()}


@pytest.mark.parametrize("first", ["models", "model"])
def test_what_a_power_cut_or_a_cable_left_is_removed(glasses: Glasses, first: str) -> None:
    glasses.begin("ask", model())
    glasses.part(0, model()[:500])
    glasses.disk.files["wakeword/alexa.mww.new"] = model()[:7]
    after = Glasses(glasses.disk)
    after.busy = True
    assert after.names() == [] and len(after.disk.files) == 2, "not while they record"
    after.busy = False
    if first == "models":
        assert after.names() == [] and after.disk.files == {}
    else:
        after.send("other", model())
        assert set(after.disk.files) == {"wakeword/other.mww"}
    asked = after.asked
    assert len(after.names()) <= 1 and after.asked == asked, "who listens is not disturbed for nothing"


@pytest.mark.parametrize("cut", range(9))
def test_whenever_the_power_goes(cut: int) -> None:
    """Each name has its old file or its new one; the next start lists it, and takes it."""
    old, new = model(900, seed=1), model(1000, seed=2)
    disk = Folder()
    Glasses(disk).send("ask", old)
    Glasses(disk).send("rest", old)
    glasses = Glasses(disk)
    glasses.settings.wakeword = "rest"
    disk.cut_at = disk.operations + cut
    try:
        glasses.send("ask", new)
        glasses.ask("model_remove", name="rest")
        assert cut == 8, "fewer operations than were thought"
    except PowerCut:
        assert cut < 8
    disk.cut_at = -1
    again = Glasses(disk)
    assert again.names() in (["ask"], ["ask", "rest"])
    assert not [name for name in disk.files if name.endswith(".new")]
    assert disk.files["wakeword/ask.mww"] in (old, new)
    assert disk.files.get("wakeword/rest.mww", old) == old
    again.send("ask", new)
    assert disk.files["wakeword/ask.mww"] == new


# --- in any order ---------------------------------------------------------------------------------------

VERSIONS = [model(60 + 7 * i, seed=i) for i in range(3)]
STEPS = st.one_of(
    st.tuples(st.just("begin"), st.sampled_from(["one", "two"]), st.integers(0, 2)),
    st.tuples(st.just("part"), st.integers(-1, 80), st.integers(0, 80)),  # from, to
    st.tuples(st.just("next"), st.integers(1, 80)),
    st.tuples(st.just("damaged"), st.integers(1, 80)),
    st.tuples(st.just("remove"), st.sampled_from(["one", "two"])),
    st.tuples(st.just("leave")),
    st.tuples(st.just("restart")),
    st.tuples(st.just("list")),
    st.tuples(st.just("wait"), st.sampled_from([1, 10_000])),
)


@given(st.lists(STEPS, max_size=40))
def test_pieces_in_any_order(steps: list[tuple[Any, ...]]) -> None:
    """A name has a whole model or none, and those that are there are what was sent last, whole."""
    disk = Folder()
    glasses = Glasses(disk)
    there: dict[str, bytes] = {}
    now: tuple[str, bytes, bytes] | None = None  # name, what it is to be, what has come
    for step in steps:
        try:
            if step[0] == "begin":
                name, content = step[1], VERSIONS[step[2]]
                at = glasses.begin(name, content)
                if now is not None and now[:2] == (name, content):
                    assert at == len(now[2])
                elif there.get(name) == content:
                    assert at == len(content)
                    now = None
                else:
                    assert at == 0
                    now = (name, content, b"")
            elif step[0] in ("part", "next", "damaged"):
                whole = now[1] if now is not None else VERSIONS[0]
                came = now[2] if now is not None else b""
                at, end = step[1:] if step[0] == "part" else (len(came), len(came) + step[1])
                piece = whole[max(at, 0) : end]
                if step[0] == "damaged" and piece:
                    piece = piece[:-1] + bytes([piece[-1] ^ 0x55])
                said = glasses.part(at, piece)
                assert now is not None and at == len(came) and said == at + len(piece) and piece
                now = (*now[:2], came + piece)
                if len(now[2]) == len(now[1]):
                    assert now[2] == now[1]
                    there[now[0]] = now[1]
                    now = None
            elif step[0] == "remove":
                glasses.ask("model_remove", name=step[1])
                del there[step[1]]
            elif step[0] == "leave":
                glasses.leave()
                now = None
            elif step[0] == "restart":
                glasses = Glasses(disk)
                now = None
            elif step[0] == "list":
                assert glasses.names() == sorted(there)
            else:
                glasses.ms += step[1]
        except ValueError as error:
            code = error.code  # type: ignore[attr-defined]
            if code == "damaged" or (code == "bad-value" and "model" in str(error)):
                now = None
            elif code == "idle":
                assert now is None
            elif code == "busy":
                assert step[0] == "begin" and now is not None
            elif code == "not-found":
                assert step[1] not in there
            else:
                assert code in ("order", "bad-value") and now is not None
        named = {f"wakeword/{name}.mww": content for name, content in there.items()}
        assert {name: data for name, data in disk.files.items() if name.endswith(".mww")} == named
    assert glasses.names() == sorted(there)
    assert len(disk.files) == len(there) + (now is not None)


# --- lists and the setting ------------------------------------------------------------------------------


def test_files_that_are_no_models_are_said_to_be_none(glasses: Glasses) -> None:
    glasses.send("good", model())
    files = {"short": b"LuWW", "cut": model()[:-1], "other": bytes(100), "words": model(phrase="\u00e9" * 9)}
    files["words"] = files["words"].replace("\u00e9".encode(), b"\xff\xfe")
    for name, content in files.items():
        glasses.disk.files[f"wakeword/{name}.mww"] = content
    glasses.disk.files["wakeword/readme.txt"] = b"hello"
    whole = {entry["name"]: entry["whole"] for entry in glasses.ask("models")["models"]}
    assert whole == {"cut": False, "good": True, "other": False, "short": False, "words": False}


def test_a_long_list_comes_in_pieces_that_fit(glasses: Glasses) -> None:
    """Whatever the words are: MicroPython's JSON needs six bytes for some."""
    names = [f"{i:02}_" + "m" * 29 for i in range(40)]
    for name in names:
        glasses.send(name, model(phrase="\u007f" * 40))
    found: list[str] = []
    while True:
        page = glasses.ask("models", after=found[-1] if found else "")
        assert len(wire.dumps({"id": "x" * 64, "ok": True, "result": page})) <= wire.MAX_MESSAGE
        found += [entry["name"] for entry in page["models"]]
        if not page["more"]:
            break
    assert found == names


@pytest.mark.parametrize(
    ("before", "after"),
    [("one", ""), ("one,two", "two"), ("two, one", "two"), ("two", "two"), ("", ""), ("oneone", "oneone")],
)
def test_what_is_removed_is_not_listened_for(glasses: Glasses, before: str, after: str) -> None:
    glasses.send("one", model())
    glasses.settings.wakeword = before
    assert glasses.ask("model_remove", name="one") is (before != after)
    assert glasses.settings.wakeword == after and glasses.applied == (before != after)
