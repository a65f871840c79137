"""The one error that the `lunette` command prints as a line instead of a traceback."""


class LunetteError(Exception):
    """Something a user can act on. The message says what is wrong and what to do about it."""
