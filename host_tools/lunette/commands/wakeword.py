"""`lunette wakeword`: models of microWakeWord, converted, tried, and brought onto glasses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lunette.commands import common, options
from lunette.errors import LunetteError

if TYPE_CHECKING:
    from lunette.codecs import Pcm
    from lunette.wakeword.loaded import Loaded
    from lunette.wakeword.packaged import Source

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


@app.command()
def ls(
    context: typer.Context,
    folder: Annotated[Path | None, typer.Argument(help="With .tflite files.", show_default=False)] = None,
    glasses: Glasses = False,
    port: options.Port = None,
    as_json: options.Json = False,
    virtual: options.Virtual = False,
) -> None:
    """List models: those that the package pymicro-wakeword carries, those in a folder, or on the glasses."""
    if glasses:
        if folder is not None:
            raise LunetteError("a folder or --glasses, not both")
        _list_glasses(options.port(context, port, virtual), as_json)
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


def _list_glasses(port: str, as_json: bool) -> None:
    from lunette.console import Prompt
    from lunette.wakeword import packaged
    from lunette.wakeword.store import Models

    with Prompt.open(port) as prompt:
        found = Models(prompt).listed()
    width = max((len(one.name) for one in found), default=0)
    for one in found:
        try:
            made = packaged.Glasses.of(one.head)
            phrase, cutoff = made.phrase, round(made.cutoff / 255, 3)
            problem = None if made.size == one.size else "it is not whole: add it again"
        except LunetteError as error:
            phrase, cutoff, problem = "", 0.0, str(error)
        if as_json:
            about = {"name": one.name, "phrase": phrase, "cutoff": cutoff, "bytes": one.size}
            print(json.dumps(about | {"problem": problem}))
        else:
            told = problem or f'"{phrase}"  cutoff {cutoff:.2f}'
            print(f"{one.name:<{width}}  {told}  {one.size} bytes")
    if not found and not as_json:
        print("no models on the glasses")


@app.command()
def add(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(help="A .tflite file, the name of a packaged model, or a .mww file.")
    ],
    name: Annotated[
        str | None, typer.Option(help="Its name on the glasses, instead of the file's.", show_default=False)
    ] = None,
    cutoff: Cutoff = None,
    port: options.Port = None,
    virtual: options.Virtual = False,
) -> None:
    """Bring a model onto the glasses, into their folder /wakeword. They go on with what they do.

    While they record it waits; a button that is pressed just when a piece is written is not heard.
    """
    from lunette.commands import progress
    from lunette.console import Prompt
    from lunette.wakeword import loaded
    from lunette.wakeword.store import FOLDER, SUFFIX, Models

    made = loaded.load(model, cutoff)
    if made.source is not None:
        _check(made.source, made.content)
    named = made.name if name is None else name
    Models.path(named)
    with Prompt.open(options.port(context, port, virtual)) as prompt, progress.Bar() as shown:
        left = len(made.content)

        def begin() -> None:
            shown.say("sending")
            shown.plan(left)

        def wait() -> None:
            shown.still("the glasses record: waiting for the end of that")
            begin()

        def sent(count: int) -> None:
            nonlocal left
            left -= count
            shown.step(count)

        models = Models(prompt, wait)
        begin()
        models.add(named, made.content, sent)
    print(f'"{made.phrase}" is on the glasses: {FOLDER}/{named}{SUFFIX}, {len(made.content)} bytes')


@app.command()
def rm(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="As `lunette wakeword ls --glasses` has it.")],
    port: options.Port = None,
    virtual: options.Virtual = False,
) -> None:
    """Remove a model from the glasses."""
    from lunette.console import Prompt
    from lunette.wakeword.store import Models

    with Prompt.open(options.port(context, port, virtual)) as prompt:
        Models(prompt).discard(name)
    print(f"{name} is removed")
