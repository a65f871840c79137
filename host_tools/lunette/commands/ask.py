"""Sub-commands that ask the glasses for one thing, from `ls` to `reboot`."""

from __future__ import annotations

import json
import time
from enum import Enum
from typing import Annotated, Any

import typer

from lunette.commands import common, options
from lunette.errors import LunetteError

Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds to search.")]


async def find(name: str | None, timeout: float, backends: Any) -> Any:
    """A client for the glasses that are heard (of that name or address); not connected yet."""
    from lunette.connection import GlassesClient
    from lunette.finding import require

    return GlassesClient(await require(name, timeout, backends), backends=backends)


async def ask(
    name: str | None, timeout: float, backends: Any, op: str, fields: dict[str, Any]
) -> tuple[Any, str]:
    """Connect, make one request, disconnect; returns its result and the glasses' address."""
    async with await find(name, timeout, backends) as glasses:
        return await glasses.request(op, **fields), glasses.address


def _asked(
    context: typer.Context,
    name: str | None,
    timeout: float,
    virtual: bool,
    as_json: bool,
    op: str,
    fields: dict[str, Any] | None = None,
) -> Any:
    """The result; printed already if it is for a program."""
    backends = common.backends(options.virtual(context, virtual))
    result, _ = common.run(ask(name, timeout, backends, op, fields or {}))
    if as_json:
        print(json.dumps(result))
    return result


def ls(
    context: typer.Context,
    name: options.Name = None,
    timeout: Timeout = 10.0,
    virtual: options.Virtual = False,
    as_json: options.Json = False,
) -> None:
    """List the recordings that wait on the glasses."""
    result = _asked(context, name, timeout, virtual, as_json, "recordings")
    if as_json:
        return
    for number, kind, frames, complete in result["recordings"]:
        length = f"{frames * 0.02:.1f} s" if kind == "speech" else f"{frames} frames"
        print(f"{number:>10}  {kind:<7}{length:>10}{'' if complete else '  (being made)'}")
    more = result["waiting"] - len(result["recordings"])
    if more > 0:
        print(f"and {more} more")
    elif not result["waiting"]:
        print("nothing waits")


def settings(
    context: typer.Context,
    setting: Annotated[str | None, typer.Argument(help="One setting.", show_default=False)] = None,
    value: Annotated[str | None, typer.Argument(help="Its new value.", show_default=False)] = None,
    name: options.Name = None,
    timeout: Timeout = 10.0,
    virtual: options.Virtual = False,
    as_json: options.Json = False,
) -> None:
    """Show the settings, or change one."""
    op = "settings"
    fields: dict[str, Any] = {}
    if value is not None:
        op, fields = "set", {"name": setting, "value": _typed(value)}
    elif setting is not None:
        fields = {"name": setting}
    result = _asked(context, name, timeout, virtual, as_json, op, fields)
    if not as_json:
        for key in sorted(result):
            if setting in (None, key):
                print(f"{key} = {json.dumps(result[key])}")


def _typed(text: str) -> Any:
    """A value as people type it: a number, true or false, else text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, (dict, list)) or value is None else value


def record(
    context: typer.Context,
    what: Annotated[options.Switch, typer.Argument(help="Start or end a recording.")],
    until_silence: Annotated[
        bool, typer.Option("--until-silence", help="Hands-free: from the first voice to a silence.")
    ] = False,
    name: options.Name = None,
    timeout: Timeout = 10.0,
    virtual: options.Virtual = False,
    as_json: options.Json = False,
) -> None:
    """Start or end a recording. It ends when the host that started it leaves, so this is for tests."""
    fields = {"on": what is options.Switch.on}
    if until_silence:
        fields["until_silence"] = True
    result = _asked(context, name, timeout, virtual, as_json, "record", fields)
    if not as_json:
        print(f"recording {result}" if what is options.Switch.on else "ended")


def mute(
    context: typer.Context,
    what: Annotated[options.Switch, typer.Argument(help="Mute the microphone, or not.")],
    name: options.Name = None,
    timeout: Timeout = 10.0,
    virtual: options.Virtual = False,
    as_json: options.Json = False,
) -> None:
    """Mute the microphone until it is told otherwise or the glasses restart."""
    result = _asked(context, name, timeout, virtual, as_json, "mute", {"on": what is options.Switch.on})
    if not as_json:
        print("muted" if result else "not muted")


def clock(
    context: typer.Context,
    name: options.Name = None,
    timeout: Timeout = 10.0,
    virtual: options.Virtual = False,
    as_json: options.Json = False,
) -> None:
    """Set the glasses' clock to this computer's."""
    result = _asked(context, name, timeout, virtual, as_json, "time", {"epoch": int(time.time())})
    if not as_json:
        print(time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(result)))


def identify(
    context: typer.Context,
    name: options.Name = None,
    timeout: Timeout = 10.0,
    virtual: options.Virtual = False,
) -> None:
    """Have the glasses blink."""
    _asked(context, name, timeout, virtual, False, "identify")
    print("they blink now")


def reboot(
    context: typer.Context,
    force: Annotated[bool, typer.Option("--force", help="Even if recordings are lost by it.")] = False,
    name: options.Name = None,
    timeout: Timeout = 10.0,
    virtual: options.Virtual = False,
) -> None:
    """Restart the glasses."""
    _asked(context, name, timeout, virtual, False, "reboot", {"force": force})
    print("they restart now")


class Level(str, Enum):
    """How much a line of the log matters."""

    debug = "debug"
    info = "info"
    warning = "warning"
    error = "error"


def log(
    context: typer.Context,
    level: Annotated[Level, typer.Option(help="The lowest level to be shown.")] = Level.debug,
    name: options.Name = None,
    timeout: Timeout = 10.0,
    port: Annotated[
        str | None,
        typer.Option(
            help="Ask by cable: device, or socket://HOST:PORT. It stops at the prompt.", show_default=False
        ),
    ] = None,
    virtual: options.Virtual = False,
    as_json: options.Json = False,
) -> None:
    """Print the glasses' log, as far back as they keep it."""
    if port is not None:
        lines = _log_by_cable(port)
    else:
        lines = common.run(_log(name, timeout, common.backends(options.virtual(context, virtual))))
    for number, ms, weight, area, text in lines:
        if weight < list(Level).index(level):
            continue
        if as_json:
            print(json.dumps({"line": number, "ms": ms, "level": weight, "area": area, "text": text}))
        else:
            print(f"{number:>5} [{ms / 1000:9.3f}] {list(Level)[weight].value:<7} {area:<8} {text}")


async def _log(name: str | None, timeout: float, backends: Any) -> list[list[Any]]:
    async with await find(name, timeout, backends) as glasses:
        lines: list[list[Any]] = await glasses.log()
        return lines


def _log_by_cable(port: str) -> list[list[Any]]:
    """The same through the prompt, in pieces as by link: the glasses need not hold all of it as text."""
    from lunette.console import Prompt

    with Prompt.open(port) as prompt:
        prompt.run("import sys\n_g = getattr(sys.modules.get('glasses'), '_instance', None)")
        if not prompt.ask("_g is not None"):
            raise LunetteError(
                f"nothing runs on the glasses at {port}, so there is no log: start them, by their reset "
                "button or Ctrl-D in `lunette repl`"
            )

        def page(before: int | None) -> list[list[Any]]:
            request = {"op": "log"} if before is None else {"op": "log", "before": before}
            answer: list[list[Any]] = prompt.ask(f"_g.commands.handle({request!r})")
            return answer

        lines: list[list[Any]] = []
        more = page(None)
        while more and (not lines or more[-1][0] < lines[0][0]):
            lines = more + lines
            more = page(lines[0][0])
        return lines
