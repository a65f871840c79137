"""Lunette on the glasses.

    import glasses

    @glasses.on("double")
    def bookmark(event):
        glasses.note("bookmark")

    glasses.run()

The board is what /board.py describes. At the prompt, `glasses.status()` says what goes on.
"""

_instance = None


def instance():
    """The one Glasses object of this program, made from /board.py when first asked for."""
    global _instance
    if _instance is None:
        from glasses.runtime import Glasses

        try:
            import board
        except ImportError:
            raise RuntimeError("no board.py on the glasses: deploy one of boards/*/board.py") from None
        _instance = Glasses(board)
    return _instance


def on(name):
    """Decorator for a hook: ``@glasses.on("double")``. Names: docs/architecture.md."""
    return instance().on(name)


def note(text):
    """Send the host an event, such as a bookmark."""
    instance().note(text)


def pair():
    """Let one more host pair, for a minute: what tap and then hold for 3 seconds does."""
    instance().security.pair()


def run():
    """Run the glasses; Ctrl-C gives the prompt and they go on in the background."""
    instance().run()


def status():
    """What the glasses are doing, as a dict."""
    return instance().status()
