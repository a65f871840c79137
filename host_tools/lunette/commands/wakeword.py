"""`lunette wakeword`: models of microWakeWord, converted, tried, and brought onto glasses."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from lunette.commands import common, options
from lunette.commands.ask import Timeout, find
from lunette.errors import LunetteError, Refused

if TYPE_CHECKING:
    from lunette.asking import Asking
    from lunette.codecs import Pcm
    from lunette.commands.progress import Bar
    from lunette.finding import Backends
    from lunette.wakeword.loaded import Loaded
    from lunette.wakeword.packaged import Source
    from lunette.wakeword.store import Models

T = TypeVar("T")

app = typer.Typer(
    rich_markup_mode=None, help="Wake words: models of microWakeWord, converted, tried, brought on."
)

Model = Annotated[
    str, typer.Argument(help="A .tflite file, or the name of a packaged model: `lunette wakeword ls`.")
]
Cutoff = Annotated[
    float | None,
    typer.Option(
        help="Probability above which the word counts, instead of the manifest's.", show_default=False
    ),
]

_WORST = 8  # of 256: beyond that a network is not the same
_LEAD_S, _TAIL_S = (
    2.5,
    0.7,
)  # of faint noise around a recording: longer than a start takes, and than a word's mean
_FAINT = 12  # its RMS, of 32768

_SETTLE_S = 3.0  # that glasses may take until they listen
_LOOK_S = 0.3


# --- convert --------------------------------------------------------------------------------------------


@app.command()
def convert(
    model: Model,
    cutoff: Cutoff = None,
    out: Annotated[
        Path | None, typer.Option(help="The file; NAME.mww in this folder without.", show_default=False)
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Make the file that the glasses run from a .tflite one.

    The JSON manifest beside the model has its phrase and cutoff. What the glasses would hear of some speech
    is then compared with what TensorFlow's C runtime does.
    """
    from lunette.wakeword import loaded, packaged

    source = packaged.find(model)
    content = loaded.converted(source, cutoff)
    target = out or Path(f"{source.name}.mww")
    checked = _check(source, content)
    common.write_file(target, content)
    made = packaged.Glasses.of(content)
    before = source.path.stat().st_size
    if as_json:
        about = {"file": str(target), "phrase": made.phrase, "cutoff": cutoff or source.cutoff}
        sizes = {"tflite_bytes": before, "bytes": len(content), "memory": made.memory}
        print(json.dumps(about | {"window": made.window} | sizes | {"check": checked}))
        return
    manifest = "" if source.described else "; it has no manifest"
    print(f'"{made.phrase}", cutoff {cutoff or source.cutoff:g}, mean of {made.window}{manifest}')
    print(
        f"{source.path.name} of {before} bytes is {target} of {len(content)}; "
        f"some {made.memory // 1024} KB of memory"
    )
    if checked is None:
        print(f"not compared with TensorFlow: {packaged.INSTALL}")
    else:
        print(_agreement(**checked))


def _check(source: Source, content: bytes) -> dict[str, int] | None:
    """Steps, how many are above 0, how many differ from TensorFlow's, and by how much at most; None if there
    is no TensorFlow. LunetteError if they are not the same network."""
    import numpy as np

    from lunette import paths
    from lunette.audio_files import read_audio
    from lunette.wakeword import listening, packaged

    try:
        packaged.package()
    except LunetteError:
        return None
    speech = read_audio(paths.DATA / "speech.wav")
    slower = np.interp(np.arange(0, len(speech) - 1, 0.7), np.arange(len(speech)), speech)
    # All of it in a row, so that what was said is in the networks' memories when the next is.
    pcm = np.concatenate([speech, np.round(slower).astype(np.int16), speech[::-1]])
    theirs = listening.reference(pcm, source.path)
    ours = listening.hear(pcm, [content]).probabilities[:, 0]
    found = _differences(ours, theirs)
    found["above"] = int(np.count_nonzero(theirs))
    if found["most"] > _WORST:
        raise LunetteError(
            f"{source.path.name} is another network on the glasses: {_agreement(**found)}; nothing is written"
        )
    return found


def _differences(ours: Any, theirs: Any) -> dict[str, int]:
    import numpy as np

    apart = np.abs(ours - theirs)
    return {"steps": len(apart), "differ": int(np.count_nonzero(apart)), "most": int(apart.max(initial=0))}


def _agreement(steps: int, differ: int, most: int, above: int | None = None) -> str:
    said = "" if above is None else f" of speech ({above} above 0)"
    if not differ:
        return f"as TensorFlow in all {steps} steps{said}"
    return f"{differ} of {steps} steps{said} differ from TensorFlow's, by {most} of 256 at most"


# --- test -----------------------------------------------------------------------------------------------


@dataclass
class _Result:
    """Of one model in one file. Seconds are those of the file."""

    model: str
    phrase: str
    cutoff: float
    highest: float
    words: list[dict[str, float]]
    reference_words: list[float] | None = None
    differences: dict[str, int] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """The words are those of TensorFlow, to a step."""
        theirs = self.reference_words
        if theirs is None:
            return True
        mine = [word["at_s"] for word in self.words]
        return len(mine) == len(theirs) and all(
            abs(one - other) <= 0.051 for one, other in zip(mine, theirs, strict=True)
        )


@app.command()
def test(
    files: Annotated[list[Path], typer.Argument(help="Sound: WAV, FLAC, or what else libsndfile reads.")],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A model as in `convert`, or a .mww file; may be repeated. All packaged ones without."
        ),
    ] = None,
    cutoff: Cutoff = None,
    out: Annotated[
        Path | None, typer.Option(help="Draw the probabilities over time into this PNG.", show_default=False)
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Say which words models hear in recordings: the glasses' own code in MicroPython, beside TensorFlow.

    Before and after a recording faint noise is heard, as if the glasses had been listening for a while.
    """
    from lunette.audio_files import read_audio
    from lunette.wakeword import loaded, packaged, plot

    if out is not None and out.suffix.lower() != ".png":
        raise LunetteError(f"--out {out} is no PNG: give it a name that ends with .png")
    models = [loaded.load(name, cutoff) for name in model or [source.name for source in packaged.carried()]]
    if out is not None and len(files) * len(models) > plot.MOST_PANELS:
        raise LunetteError(
            f"{len(models)} models in {len(files)} recordings are too many for one picture: "
            f"{plot.MOST_PANELS} at most"
        )
    panels = []
    wrong = []
    for path in files:
        results, panel = _try(path.name, read_audio(path), models)
        panels.append(panel)
        _show(path, len(panel.pcm), results, as_json)
        wrong += [f"{one.model} in {path.name}" for one in results if not one.agrees]
    if out is not None:
        try:
            plot.draw(out, panels)
        except OSError as error:
            raise LunetteError(f"cannot write {out}: {error.strerror or error}") from None
        if not as_json:
            print(out)
    if wrong:
        raise LunetteError(f"the words are not those of TensorFlow: {', '.join(wrong)}")


def _try(title: str, pcm: Pcm, models: Sequence[Loaded]) -> tuple[list[_Result], Any]:
    """What each model makes of a recording, and that as a part of a picture."""
    import numpy as np

    from lunette.codecs import SPEECH_RATE
    from lunette.wakeword import listening, packaged, plot

    rng = np.random.default_rng(1)
    around = [
        np.round(rng.normal(0, _FAINT, int(s * SPEECH_RATE))).astype(np.int16) for s in (_LEAD_S, _TAIL_S)
    ]
    whole = np.concatenate([around[0], pcm, around[1]])
    heard = listening.hear(whole, [one.content for one in models])
    shown = heard.times > _LEAD_S
    times = heard.times[shown] - _LEAD_S
    try:
        packaged.package()
        compared = True
    except LunetteError:
        compared = False
    results, curves = [], []
    for i, one in enumerate(models):
        ours = heard.probabilities[:, i]
        means = listening.means(ours, one.window)
        words = [word for word in heard.words if word.model == i]
        result = _Result(
            one.name,
            one.phrase,
            one.cutoff,
            round(float(means.max(initial=0)), 3),
            [
                {
                    "at_s": round(word.at_s - _LEAD_S, 3),
                    "ended_s": round(word.ended_s - _LEAD_S, 3),
                    "score": word.score,
                }
                for word in words
            ],
        )
        theirs = None
        if compared and one.source is not None:
            theirs = listening.reference(whole, one.source.path)
            steps = listening.decided(theirs, one.cutoff, one.window)
            result.reference_words = [round(float(heard.times[k]) - _LEAD_S, 3) for k in steps]
            result.differences = _differences(ours, theirs)
        results.append(result)
        curves.append(
            plot.Curve(
                f'{one.name}: "{one.phrase}"',
                _agreement(**result.differences) if theirs is not None else "",
                one.cutoff,
                times,
                ours[shown] / 256,
                means[shown],
                None if theirs is None else listening.means(theirs, one.window)[shown],
                [word["at_s"] for word in result.words],
                result.reference_words or [],
            )
        )
    return results, plot.Panel(title, whole[len(around[0]) :], curves)


def _show(path: Path, samples: int, results: Sequence[_Result], as_json: bool) -> None:
    if as_json:
        for one in results:
            print(json.dumps({"file": str(path), **vars(one), "agrees": one.agrees}))
        return
    print(path)
    width = max(len(one.model) for one in results)
    for one in results:
        if one.words:
            said = ", ".join(f"{word['ended_s']:.2f} s ({word['score']:.2f})" for word in one.words)
            said = f'"{one.phrase}" ends at {said}'
        else:
            said = f"nothing (at most {one.highest:.2f}, cutoff {one.cutoff:.2f})"
        how = _agreement(**one.differences) if one.differences else "not compared"
        print(f"  {one.model:<{width}}  {said}; {how}")


# --- models here and there --------------------------------------------------------------------------------

Glasses = Annotated[bool, typer.Option("--glasses", help="Those on the glasses.")]
Cable = Annotated[
    bool, typer.Option("--cable", help="By the USB cable that is plugged in, instead of Bluetooth.")
]
Port = Annotated[
    str | None,
    typer.Option(
        help="By this cable: device, or socket://HOST:PORT. It stops at the prompt.", show_default=False
    ),
]


@app.command()
def ls(
    context: typer.Context,
    folder: Annotated[Path | None, typer.Argument(help="With .tflite files.", show_default=False)] = None,
    glasses: Glasses = False,
    name: options.Name = None,
    timeout: Timeout = 10.0,
    cable: Cable = False,
    port: Port = None,
    as_json: options.Json = False,
    virtual: options.Virtual = False,
) -> None:
    """List models: those that the package pymicro-wakeword carries, those in a folder, or on the glasses."""
    if glasses:
        if folder is not None:
            raise LunetteError("a folder or --glasses, not both")
        _list_glasses(_Reach.of(context, name, timeout, cable, port, virtual), as_json)
        return
    from lunette.wakeword import packaged

    known = packaged.inside(folder) if folder is not None else packaged.carried()
    width = max((len(source.name) for source in known), default=0)
    for source in known:
        size = source.path.stat().st_size
        if as_json:
            about = vars(source) | {"path": str(source.path)}
            print(json.dumps({"name": source.name, **about, "bytes": size}))
        else:
            languages = ", ".join(source.languages) if source.described else "no manifest"
            told = f'"{source.phrase}"  cutoff {source.cutoff:g}  {size} bytes  {languages}'
            print(f"{source.name:<{width}}  {told}")
    if not known and not as_json:
        print("no models here")


def _list_glasses(reach: _Reach, as_json: bool) -> None:
    from lunette.wakeword.store import Stored

    if reach.port is not None:
        with reach.models() as models:
            found = models.listed()
    else:

        async def ask(glasses: Asking) -> list[Stored]:
            return [Stored.told(entry) for entry in (await glasses.models())["models"]]

        found = reach.run(ask)
    width = max((len(one.name) for one in found), default=0)
    for one in found:
        if as_json:
            about = {"name": one.name, "phrase": one.phrase, "cutoff": one.cutoff, "bytes": one.size}
            print(json.dumps(about | {"problem": one.problem}))
        else:
            told = one.problem or f'"{one.phrase}"  cutoff {one.cutoff:.2f}'
            print(f"{one.name:<{width}}  {told}  {one.size} bytes")
    if not found and not as_json:
        print("no models on the glasses")


@app.command()
def add(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(help="A .tflite file, the name of a packaged model, or a .mww file.")
    ],
    named: Annotated[
        str | None,
        typer.Option("--as", help="Its name on the glasses, instead of the file's.", show_default=False),
    ] = None,
    cutoff: Cutoff = None,
    listen: Annotated[
        bool, typer.Option("--listen", help="Have them listen for it: adds it to the setting wakeword.")
    ] = False,
    name: options.Name = None,
    timeout: Timeout = 10.0,
    cable: Cable = False,
    port: Port = None,
    virtual: options.Virtual = False,
) -> None:
    """Bring a model onto the glasses, into their folder /wakeword. They go on with what they do.

    While they record it waits; by cable, a button that is pressed just when a piece is written is not heard.
    """
    from lunette.commands import progress
    from lunette.wakeword.loaded import SUFFIX, load
    from lunette.wakeword.store import FOLDER, Models, with_word

    loaded = load(model, cutoff)
    if loaded.source is not None:
        _check(loaded.source, loaded.content)
    named = loaded.name if named is None else named
    Models.path(named)
    reach = _Reach.of(context, name, timeout, cable, port, virtual)
    adding = _Adding(named, loaded.content, listen, progress.Bar())
    if reach.port is not None:
        with reach.models(adding.wait) as models:
            adding.by_cable(models)
    else:
        reach.run(adding.by_link)
    there = "is on the glasses" if adding.new else "was on the glasses already"
    print(f'"{loaded.phrase}" {there}: {FOLDER}/{named}{SUFFIX}, {len(loaded.content)} bytes')
    if adding.outcome:
        print(adding.outcome)
    elif adding.words is not None and with_word(adding.words, named) != adding.words:
        print(f"to have them listen: lunette settings wakeword {with_word(adding.words, named)}{reach.again}")


class _Adding:
    """What `add` does, either way: the model first, then the setting. `new`: it was not there before; `words`
    is the setting (None: this firmware has none), `outcome` what the glasses say of listening."""

    def __init__(self, name: str, content: bytes, listen: bool, bar: Bar):
        self._name, self._content, self._listen, self._bar = name, content, listen, bar
        self._there = 0
        self.new = False
        self.words: str | None = None
        self.outcome = ""

    def wait(self, why: str = "the glasses record") -> None:
        self._bar.still(f"{why}: waiting for the end of that")
        self._begin()

    def _begin(self) -> None:
        self._bar.say("sending")
        self._bar.plan(len(self._content))
        self._bar.step(self._there)

    def _sent(self, count: int) -> None:
        self._there += count
        self._bar.step(count)

    def by_cable(self, models: Models) -> None:
        with self._bar:
            self._begin()
            self.new = models.add(self._name, self._content, self._sent)
        self.words = models.words()
        if self._listen:
            models.listen(self._wanted())

            async def status() -> dict[str, Any] | None:
                return models.status()

            self.outcome = common.run(_listening(status))

    async def by_link(self, glasses: Asking) -> None:
        with self._bar:
            self._begin()
            self.new = await glasses.add_model(
                self._name,
                self._content,
                reached=lambda at: self._sent(at - self._there),
                waiting=self.wait,
            )
        self.words = (await glasses.settings()).get("wakeword")
        if self._listen:
            await glasses.set("wakeword", self._wanted())

            async def status() -> dict[str, Any] | None:
                found: dict[str, Any] | None = (await glasses.status()).get("wakeword")
                return found

            self.outcome = await _listening(status)

    def _wanted(self) -> str:
        from lunette.wakeword.store import with_word

        if self.words is None:
            raise LunetteError(
                "the model is there, but the firmware does not listen for wake words yet: `lunette deploy` "
                "brings a newer one"
            )
        return with_word(self.words, self._name)


async def _listening(status: Callable[[], Awaitable[dict[str, Any] | None]]) -> str:
    """What they make of it; they have to load the model first."""
    clock = asyncio.get_running_loop().time
    until = clock() + _SETTLE_S
    while True:
        said = await status()
        if said is None:
            return "they listen for it as soon as they run"
        if said["on"]:
            return f"they listen now: {said['words']}"
        if clock() >= until:
            return f"they do not listen yet: {said['why_not']}"
        await asyncio.sleep(_LOOK_S)


@app.command()
def rm(
    context: typer.Context,
    model: Annotated[str, typer.Argument(help="As `lunette wakeword ls --glasses` has it.")],
    name: options.Name = None,
    timeout: Timeout = 10.0,
    cable: Cable = False,
    port: Port = None,
    virtual: options.Virtual = False,
) -> None:
    """Remove a model from the glasses, and from what they listen for."""
    reach = _Reach.of(context, name, timeout, cable, port, virtual)
    if reach.port is not None:
        with reach.models() as models:
            heard = models.discard(model)
    else:
        heard = reach.run(lambda glasses: glasses.remove_model(model))
    print(f"{model} is removed{', and no longer listened for' if heard else ''}")


@dataclass
class _Reach:
    """How to get at the glasses: by the cable at `port`, or by the link to those of that `name`."""

    port: str | None
    name: str | None
    timeout: float
    backends: Backends | None
    again: str
    """Options for a command to the same glasses."""

    @classmethod
    def of(
        cls,
        context: typer.Context,
        name: str | None,
        timeout: float,
        cable: bool,
        port: str | None,
        virtual: bool,
    ) -> _Reach:
        virtual = options.virtual(context, virtual)
        again = " --virtual" if virtual else f" --name {shlex.quote(name)}" if name else ""
        if cable or port is not None:
            if name is not None:
                raise LunetteError("--name is for Bluetooth: glasses at a cable are those at its end")
            return cls(options.port(context, port, virtual), None, timeout, None, again)
        return cls(None, name, timeout, common.backends(virtual), again)

    @contextlib.contextmanager
    def models(self, waiting: Callable[[], None] = lambda: None) -> Iterator[Models]:
        from lunette.console import Prompt
        from lunette.wakeword.store import Models

        assert self.port is not None
        with Prompt.open(self.port) as prompt:
            yield Models(prompt, waiting)

    def run(self, work: Callable[[Asking], Awaitable[T]]) -> T:
        """The result of `work(glasses)`, connected."""

        async def connected() -> T:
            async with await find(self.name, self.timeout, self.backends) as glasses:
                return await work(glasses)

        try:
            return common.run(connected())
        except Refused as error:
            if error.code != "unknown-op":
                raise
            raise LunetteError(
                "the firmware on the glasses takes no models by Bluetooth yet: `lunette deploy` brings a "
                "newer one, or use --cable"
            ) from None
