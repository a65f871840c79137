"""`lunette sim`: virtual glasses that play a scene, or stay up to be worked with."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lunette import paths
from lunette.commands import common, fingers
from lunette.errors import LunetteError

if TYPE_CHECKING:
    from lunette.virtual.control import Running
    from lunette.virtual.link_model import LinkModel

app = typer.Typer(
    invoke_without_command=True, rich_markup_mode=None, help="Virtual glasses: play a scene, or stay up."
)
fingers.register(app)


@app.callback()
def sim(
    context: typer.Context,
    scene: Annotated[Path | None, typer.Option(help="Play this scene and end.", show_default=False)] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Where the scene's report goes; standard output without.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the scene's recordings.", show_default=False),
    ] = None,
    board: Annotated[str | None, typer.Option(help="Board, instead of the scene's or `virtual`.")] = None,
    flash: Annotated[
        Path | None,
        typer.Option(help="File that keeps the glasses' file system; made if missing.", show_default=False),
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Glasses as they come: not paired with this computer yet.")
    ] = False,
    repl_port: Annotated[int, typer.Option(min=0, max=65535, help="For mpremote; 0 chooses.")] = 0,
    air_port: Annotated[int, typer.Option(min=0, max=65535, help="For Bluetooth hosts; 0 chooses.")] = 0,
    interval_ms: Annotated[float, typer.Option(help="Connection interval.")] = 15.0,
    phy: Annotated[str, typer.Option(help="1M or 2M.")] = "2M",
    loss: Annotated[float, typer.Option(help="Chance that a packet is sent again, 0 to 1.")] = 0.0,
    jitter_ms: Annotated[float, typer.Option(help="Connection events come up to so much late.")] = 0.0,
    mtu: Annotated[int, typer.Option(help="ATT MTU that hosts offer.")] = 247,
) -> None:
    """Without a sub-command: play --scene and end, or stay up until `q`, Ctrl-C or `lunette sim quit`."""
    if context.invoked_subcommand is not None:
        return
    if scene is not None:
        common.run(_play(scene, report, out, board))
        return
    if report is not None or out is not None:
        raise LunetteError("--report and --out need a --scene")
    from lunette.virtual.link_model import LinkModel

    try:
        link = LinkModel(interval_ms=interval_ms, phy=phy, loss=loss, jitter_ms=jitter_ms, mtu=mtu)
    except ValueError as error:
        raise LunetteError(f"link: {error}") from None
    flash = Path(os.path.abspath(flash.expanduser())) if flash is not None else None
    common.run(_stay(board or "virtual", link, flash, not new, repl_port, air_port))


# --- a scene ----------------------------------------------------------------------------------


async def _play(path: Path, report_path: Path | None, out: Path | None, board: str | None) -> None:
    from lunette.commands import play
    from lunette.virtual import scene as scenes

    scene = scenes.load(path)
    if board is not None:
        scene.board = board
    if report_path is not None and report_path.is_dir():
        raise LunetteError(f"--report {report_path} is a folder, not a file")
    if out is not None:
        folder = common.folder(out)
    elif report_path is not None and (report_path.is_file() or not report_path.exists()):
        folder = common.folder(report_path.parent / f"{report_path.stem}_recordings")
    else:
        folder = Path(tempfile.mkdtemp(prefix="lunette-recordings-"))
    report, _ = await play.play(scene, folder, sys.stderr)
    if report_path is None:
        print(json.dumps(report, indent=1))
    else:
        play.save(report, report_path)


# --- staying up -------------------------------------------------------------------------------

KEYS = "space button  t tap  s say  x drop link  p power  b battery  ? help  q quit"
_HELP = (
    "space  press the button, and let it go",
    "t d    tap, double tap",
    "o      tap, then hold for 3 s: another host may pair",
    "s      say the sample sentence",
    "x      drop the link",
    "p      cut the power, and give it back",
    "b      battery low, and full enough",
    "q      quit",
)


def attach_lines(running: Running) -> list[str]:
    """How other programs reach the glasses."""
    environment = paths.BLEAK_ENV
    return [
        f"virtual glasses are up: board {running.board}, process {running.pid}",
        f"  mpremote connect socket://127.0.0.1:{running.repl_port}",
        f"  mpremote connect {running.pty}",
        "  lunette --virtual listen",
        f"  LUNETTE_AIR={running.air} LUNETTE_KEYS={shlex.quote(running.keys)} "
        f"PYTHONPATH={shlex.quote(str(environment))} python any_bleak_program.py",
    ]


async def _stay(
    board: str, link: LinkModel, flash: Path | None, paired: bool, repl_port: int, air_port: int
) -> None:
    from lunette import display
    from lunette.virtual.desk import Desk
    from lunette.virtual.keys import keys
    from lunette.virtual.report import Console

    view: display.View
    loop = asyncio.get_running_loop()
    origin = loop.time()
    console = Console()
    console.quiet = True  # they run for as long as one likes: nobody reads a list of errors

    def observe(what: str, detail: Any) -> None:
        if what == "console":
            for line in console.feed(detail):
                view.observe("line", line)
        else:
            view.observe(what, detail)

    def ready(running: Running) -> None:
        for line in attach_lines(running):
            view.say(line)

    desk = Desk(
        board,
        link=link,
        flash_image=flash,
        paired=paired,
        repl_port=repl_port,
        air_port=air_port,
        observe=observe,
    )
    typist = Typist(desk, lambda text: view.say(text))
    with keys(typist.on_key) as have_keys:
        monitor = display.Monitor(
            clock=lambda: loop.time() - origin,
            host_state=lambda: "connected" if desk.connections else "no host",
        )
        view = display.choose(monitor, sys.stdout, help_line=KEYS if have_keys else "")
        async with view:
            try:
                await desk.run(ready)
            finally:
                await typist.close()


class Typist:
    """Turns keys into orders for a `Desk`; `say` shows what went wrong, and help."""

    def __init__(self, desk: Any, say: Any):
        self._desk = desk
        self._say = say
        self._jobs: set[asyncio.Task[None]] = set()

    def on_key(self, key: str) -> None:
        """Start what the key stands for."""
        if key in "?h":
            for line in _HELP:
                self._say(line)
        elif key in "q\x04":
            self._desk.stop()
        else:
            job = asyncio.ensure_future(self._do(key))
            self._jobs.add(job)
            job.add_done_callback(self._jobs.discard)

    async def _do(self, key: str) -> None:
        try:
            order = self._order(key)
            if order is not None:
                await self._desk.order(*order)
        except LunetteError as error:
            self._say(f"! {error}")

    def _order(self, key: str) -> tuple[str, dict[str, Any]] | None:
        desk = self._desk
        if key == " ":
            return ("release" if "talk" in desk.held else "press"), {}
        if key == "p":
            return ("power_cut" if desk.glasses.powered else "power_on"), {}
        if key == "b":
            battery = desk.glasses.board.parts.get("battery", {})
            low = float(battery.get("empty_v", 3.3)) + 0.02
            return "battery", {"volts": 4.0 if desk.volts <= low else low}
        if key == "s":
            return "say", {"wav": str(paths.DATA / "speech.wav")}
        simple = {"t": "tap", "d": "double", "o": "pair", "x": "drop"}.get(key)
        return (simple, {}) if simple else None

    async def close(self) -> None:
        for job in list(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
