"""The errors that callers of this package meet. All of them are a `LunetteError`, which the `lunette`
command prints as a line instead of a traceback."""

HOW_TO_PAIR = (
    "on the glasses: tap, then hold the button for 3 seconds until the light blinks; "
    "then `lunette pair` within a minute"
)


class LunetteError(Exception):
    """Something a user can act on. The message says what is wrong and what to do about it."""


class Disconnected(LunetteError):
    """The glasses went away, before or during an operation, or do not answer."""


class HungUp(Disconnected):
    """The glasses went away before they had answered at all: by chance, or because they do not know this
    host and it tried to pair."""

    def __init__(self, reason: str):
        again = "if they do so again, this host has to be paired with them: `lunette pair` says how"
        super().__init__(f"{reason} before they had answered; {again}")


class NotPaired(LunetteError):
    """The glasses let nobody in who is not paired with them; the message says how to pair."""

    def __init__(self, reason: str = "the glasses do not know this host"):
        super().__init__(f"not paired ({reason}): {HOW_TO_PAIR}")
        self.reason = reason


class Refused(LunetteError):
    """The glasses refused a request; the message is their reason, `code` the word for programs
    (docs/protocol.md)."""

    def __init__(self, message: str, code: str = "refused"):
        super().__init__(message)
        self.code = code


class UnknownCodec(LunetteError):
    """Speech is coded in a way that this version does not know."""

    def __init__(self, codec: str):
        super().__init__(f"this version of lunette cannot decode {codec!r}: install a newer one")
        self.codec = codec


class InUse(LunetteError):
    """Another program receives from the same glasses into the same folder."""
