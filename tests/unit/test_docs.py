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
    for name in ("HELLO", "OPEN", "DATA", "MORE", "CLOSE", "REPLY", "GONE", "BYE"):
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


def test_the_table_of_power_states_is_the_firmwares() -> None:
    from tests import power_table

    page = power_table.PAGE.read_text()
    assert power_table.renewed(page) == page, "python -m tests.power_table writes it"
    assert page.count("| `standby` | 80 MHz |") == 1


def test_power_documents_every_lock_setting_and_cause(micropython: object) -> None:
    from glasses import settings, wake

    page = (ROOT / "docs" / "power.md").read_text()
    source = "".join(p.read_text() for p in (ROOT / "firmware" / "glasses").glob("*.py"))
    owners = set(re.findall(r'(?:keep|hold)\("(?:standby|connected|active)", "(\w+)"', source)) - {"app"}
    assert owners >= {"voice", "link", "use", "grace", "usb"}
    for owner in owners:
        assert f"| `{owner}` |" in page, owner
    for name in ("sleep", "reach_s", "awake_s", "linger_s", "grace_s"):
        default = settings.DECLARED[name][0]
        shown = f'"{default}"' if isinstance(default, str) else default
        assert f"| `{name}` | {shown} |" in page, name
    for cause in (wake.POWER_ON, wake.RESET, wake.WATCHDOG, wake.SOFT, wake.BUTTON, wake.TIMER, wake.TOUCH):
        assert f'"{cause}"' in page, cause
