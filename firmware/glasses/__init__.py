"""Lunette on the glasses.

    import glasses

    @glasses.on("double")
    def bookmark(event):
        glasses.note("bookmark")

    glasses.run()

The board is what /board.py describes. At the prompt `glasses.status()`, `parts()`, `power()`, `journal()`,
`listen()` and `log()` (prompt.py) print what goes on.
"""

_hooks = []  # type: list[tuple]  # (name, hook) until there is a runtime
_instance = None


def instance():
    """The one Glasses object of this program, made from /board.py when first asked for."""
    global _instance
    if _instance is None:
        from glasses import wake

        start = wake.start()
        if start.board is None:
            raise RuntimeError("no board.py on the glasses: deploy one of boards/*/board.py")
        start.look_back()
        from glasses.runtime import Glasses

        try:
            _instance = Glasses(start.board, start)
        finally:
            _name_helpers()
        if not start.crashes.safe:
            for name, hook in _hooks:
                _instance.bus.on(name, hook)
    return _instance


def on(name):
    """Decorator for a hook: ``@glasses.on("double")``. Names: docs/architecture.md. In safe mode hooks are
    not called."""

    def subscribe(hook):
        if _instance is None:
            _hooks.append((name, hook))
        else:
            _instance.bus.on(name, hook)
        return hook

    return subscribe


def note(text):
    """Send the host an event, such as a bookmark."""
    instance().note(text)


def record(until_silence=True):
    """Record for the host, hands-free: from the first voice to a silence (`silence_ms`), or until `stop`."""
    instance().voice.record("app", until_silence)


def stop():
    """End the recording that is being made."""
    instance().voice.stop()


def pair():
    """Let one more host pair, for a minute: what tap and then hold for 3 seconds does."""
    instance().security.pair()


def hold(state, owner="app"):
    """Keep the glasses at least in that power state ("standby", "connected", "active"), until `release`."""
    instance().power.hold(state, owner)


def release(owner="app"):
    """Undo one `hold`."""
    instance().power.release(owner)


def rest():
    """Sleep as soon as nobody needs the glasses, as if they were last used long ago."""
    instance().standby.rest()


def off():
    """Save what waits and switch the glasses off; a button wakes them."""
    instance().standby.switch_off("the app")


def status():
    """What the glasses are doing: a dict that prints as a table. At the prompt it makes no runtime."""
    if _instance is None:
        return _borrow("prompt").status()
    table = Table(_instance.status())
    table.about = "status"
    return table


def _prelude():
    """After a wake-up by the timer: the beacon, as a generator of ms to wait. It comes back when there is a
    reason to be awake."""
    from glasses import wake

    start = wake.start()
    if start.cause != wake.TIMER or start.board is None:
        return
    from glasses.beacon import Beacon

    beacon = Beacon(start)
    reason = yield from beacon.steps()
    if not reason:
        beacon.go_back()
    elif start.board.PARTS.get(reason, {}).get("driver") == "button":
        start.cause = wake.BUTTON
        start.press(beacon.ago_ms)
    elif reason == wake.WORN:
        start.cause = wake.WORN


def run():
    """Run the glasses; Ctrl-C gives the prompt and they go on in the background."""
    import time

    from glasses import wake

    wake.start().app_has_come()
    try:
        for ms in _prelude():
            time.sleep_ms(ms)
    except KeyboardInterrupt:
        wake.stay()
        _name_helpers()
        print("Awake. glasses.run() runs the glasses, Ctrl-D restarts.")
        return
    instance().run()


def run_behind_prompt():
    """Run the glasses while the prompt is free. Only when nothing else runs asyncio."""
    instance().run_behind_prompt()


async def main():
    """The same as a coroutine, for a program with an asyncio loop of its own."""
    import asyncio

    from glasses import wake

    wake.start().app_has_come()
    for ms in _prelude():
        await asyncio.sleep_ms(ms)
    await instance().main()


# --- at the prompt ----------------------------------------------------------------------------


def _helper(name):
    return lambda *values, **options: getattr(_borrow("prompt"), name)(*values, **options)


def _name_helpers():
    # Again and again: some submodules have these names too, and take them when they are loaded.
    for name in ("parts", "power", "journal", "listen", "log"):
        globals()[name] = _helper(name)


class Table(dict):
    """A dict that prints as a table, and is a dict to programs: its `repr` and its JSON are those of one."""

    about = ""  # the helper that made it

    def __str__(self):
        return _borrow("tables").text(self)


def _borrow(name):
    """A module that is needed at the prompt only. Nothing keeps it, so its memory is free again soon."""
    import sys

    module = __import__("glasses." + name, None, None, (name,))
    sys.modules.pop("glasses." + name, None)
    globals().pop(name, None)
    return module


def _show(value):
    import builtins

    if isinstance(value, Table):
        print(value)
    else:
        builtins.__repl_print__(value)  # type: ignore[attr-defined]


def _teach_prompt():
    # The prompt compiles an expression to a call of this name, which is a builtin's otherwise: py/compile.c.
    import __main__  # type: ignore[import-not-found]

    __main__.__repl_print__ = _show


_name_helpers()
_teach_prompt()
