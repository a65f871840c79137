"""The examples in the documents are run, so they cannot contradict the code."""

import doctest
import re
from pathlib import Path

import pytest

from lunette.protocol import wire

ROOT = Path(__file__).parents[2]


def test_protocol_examples() -> None:
    text = (ROOT / "docs" / "protocol.md").read_text()
    text = re.sub(r"^```.*$", "", text, flags=re.M)  # a fence would count as expected output
    test = doctest.DocTestParser().get_doctest(text, {"wire": wire}, "protocol.md", None, None)
    result = doctest.DocTestRunner().run(test)
    assert result.attempted > 12
    assert result.failed == 0


def test_protocol_names_every_message_and_request() -> None:
    text = (ROOT / "docs" / "protocol.md").read_text()
    for name in ("HELLO", "OPEN", "DATA", "MORE", "CLOSE", "REPLY", "GONE"):
        assert re.search(rf"^\| {getattr(wire, name)} \| {name} \|", text, re.M), name
    for name in ("ACK", "RESUME", "READY"):
        assert f"| 0x{getattr(wire, name):02x} | {name} |" in text
    for uuid in (wire.SERVICE, wire.STREAM, wire.CONTROL):
        assert uuid in text


def test_readme_shows_the_real_main() -> None:
    shown = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert shown is not None
    code = "".join(
        line
        for line in (ROOT / "firmware" / "main.py").read_text().splitlines(True)
        if not line.startswith("#")
    )
    assert shown.group(1).strip() == code.strip()


@pytest.mark.parametrize(
    "page", [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"], ids=lambda p: p.name
)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_protocol_documents_every_request(micropython: object) -> None:
    from types import SimpleNamespace

    from glasses.commands import Commands

    text = (ROOT / "docs" / "protocol.md").read_text()
    for op, (_, required, optional) in Commands(SimpleNamespace())._table.items():
        row = re.search(rf"^\| `{op}` \|([^|]*)\|", text, re.M)
        assert row is not None, op
        assert set(re.findall(r"`(\w+)`(?!\?)", row.group(1))) == set(required), op
        assert set(re.findall(r"`(\w+)`\?", row.group(1))) == set(optional), op


def test_scenes_document_every_action_and_the_example_plays() -> None:
    from lunette.virtual import scene

    text = (ROOT / "docs" / "virtual_glasses.md").read_text()
    table = text[text.index("| `do` |") : text.index("An unknown key")]
    for do, takes in scene.ACTIONS.items():
        assert f"`{do}`" in table, do
        for key in takes:
            assert f"`{key}`" in table, (do, key)
    example = re.search(r"```toml\n(.*?)```", text, re.S)
    assert example is not None
    import tomli

    parsed = scene.parse(tomli.loads(example.group(1)))
    assert [action.do for action in parsed.actions] == ["press", "say", "drop", "release"]
