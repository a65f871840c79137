"""`lunette sim press`, `say`, `drop` ...: orders for the virtual glasses that are running."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from lunette import paths
from lunette.commands import options

Button = Annotated[str, typer.Option(help="Which button.")]

Azimuth = Annotated[
    float | None, typer.Option(help="From there: degrees to the right of straight ahead.", show_default=False)
]
Distance = Annotated[float | None, typer.Option(help="So many metres away; 1.", show_default=False)]


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _ask(do: str, **values: Any) -> Any:
    from lunette.virtual import control

    return control.ask(do, values)


def press(button: Button = "talk") -> None:
    """Put a finger on the button and leave it there."""
    _ask("press", button=button)


def release(button: Button = "talk") -> None:
    """Let the button go."""
    _ask("release", button=button)


def tap(button: Button = "talk") -> None:
    """Tap the button."""
    _ask("tap", button=button)


def double(button: Button = "talk") -> None:
    """Tap the button twice."""
    _ask("double", button=button)


def triple(button: Button = "talk") -> None:
    """Tap the button three times."""
    _ask("triple", button=button)


def hold(seconds: float, button: Button = "talk") -> None:
    """Hold the button for SECONDS; ends when it is let go."""
    _ask("hold", button=button, seconds=seconds)


def pair(button: Button = "talk") -> None:
    """Tap the button, then hold it for three seconds: a new host may pair for a minute."""
    _ask("pair", button=button)


def say(
    file: Annotated[Path | None, typer.Argument(help="WAV file; a sample sentence without.")] = None,
    text: Annotated[
        str | None, typer.Option(help="This instead, by eSpeak NG's voices.", show_default=False)
    ] = None,
    voice: Annotated[
        str | None, typer.Option(help="Of a text: en-us, de, en-us+f3, ...; en-us.", show_default=False)
    ] = None,
    rate: Annotated[
        int | None, typer.Option(help="Of a text: words a minute; 150.", show_default=False)
    ] = None,
    gain_db: Annotated[float, typer.Option(help="Louder (or softer, below 0) by so much.")] = 0.0,
    azimuth: Azimuth = None,
    distance: Distance = None,
    wait: Annotated[bool, typer.Option(help="End when it has been said.")] = True,
) -> None:
    """Have a sound file or a text heard at the microphone: from the wearer's mouth, or from elsewhere."""
    path = None
    if file is not None or text is None:
        path = str((file or paths.DATA / "speech.wav").expanduser().absolute())
    what = _given(wav=path, text=text, voice=voice, rate=rate, azimuth=azimuth, distance=distance)
    _ask("say", gain_db=gain_db, wait=wait, **what)


def noise(
    kind: Annotated[str, typer.Argument(help="white, pink, hum, fan, street or babble.")],
    level: Annotated[float, typer.Argument(help="RMS in dBFS, below 0.")],
    seconds: Annotated[float, typer.Option(help="How long; 0 for ever.")] = 0.0,
    azimuth: Azimuth = None,
    distance: Distance = None,
) -> None:
    """Have noise around the glasses, or on one side of them."""
    _ask(
        "noise",
        kind=kind,
        level_dbfs=level,
        seconds=seconds,
        **_given(azimuth=azimuth, distance=distance),
    )


def mic(
    fault: Annotated[str, typer.Argument(help="dead, stuck or none.")],
    channel: Annotated[str, typer.Option(help="left or right.")] = "left",
    bit: Annotated[
        int | None, typer.Option(help="Of stuck: only this bit is, 0 to 23.", show_default=False)
    ] = None,
) -> None:
    """Break a microphone, or mend it."""
    _ask("mic", fault=fault, channel=channel, **_given(bit=bit))


def stall(seconds: float) -> None:
    """Hold the program on the glasses up for SECONDS; its hardware goes on."""
    _ask("stall", seconds=seconds)


def drop() -> None:
    """Drop every Bluetooth link."""
    _ask("drop")


def power_cut() -> None:
    """Take the power away, at whatever instant this is."""
    _ask("power_cut")


def power_on() -> None:
    """Give the power back."""
    _ask("power_on")


def battery(volts: float) -> None:
    """Set the battery's voltage."""
    _ask("battery", volts=volts)


def usb(state: Annotated[options.Switch, typer.Argument(help="on or off.")]) -> None:
    """Plug the USB cable in, which keeps the glasses awake, or out."""
    _ask("usb", plugged=state is options.Switch.on)


def worn(state: Annotated[options.Switch, typer.Argument(help="on or off.")]) -> None:
    """Put the glasses on, or take them off; not every board can tell."""
    _ask("worn", on=state is options.Switch.on)


def status(as_json: options.Json = False) -> None:
    """Show how the running virtual glasses look from outside."""
    answer = _ask("status")
    if as_json:
        print(json.dumps(answer))
        return
    width = max(len(key) for key in answer)
    for key, value in answer.items():
        print(f"{key:<{width}}  {_word(value)}")


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_word(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(_word(inner) for inner in value) or "nothing"
    return str(value)


def quit_() -> None:
    """Have the running virtual glasses end."""
    from lunette.virtual import control

    control.quit_running()


def register(app: typer.Typer) -> None:
    """Make them sub-commands of `app`."""
    for command in (press, release, tap, double, triple, pair, say, mic, drop, usb, worn, status):
        app.command()(command)
    # A negative number must not be taken for an option.
    negative = {"ignore_unknown_options": True}
    app.command(context_settings=negative)(hold)
    app.command(context_settings=negative)(noise)
    app.command(context_settings=negative)(stall)
    app.command("power-cut")(power_cut)
    app.command("power-on")(power_on)
    app.command(context_settings=negative)(battery)
    app.command("quit")(quit_)
