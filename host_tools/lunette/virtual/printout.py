"""What the interpreter prints, as the chip would have printed it, and which REPL that shows."""

from __future__ import annotations

from collections.abc import Callable

_RAW_BANNER = b"raw REPL; CTRL-B to exit\r\n"
_FRIENDLY_BANNER = b'Type "help()" for more information.\r\n>>> '
# mpremote's mounted folder and its like talk binary from here on.
_REMOTE_FS = b"\x18"
# boot.py prints it last when asked to; no program prints it by chance.
BOOTED = b"\x1e\x1dlunette booted\x1d\x1e"


class Printout:
    """Passes output on to `show`, with the chip's line ends where programs do not talk binary.

    An interpreter always starts with the friendly REPL. When the chip would start with the raw one, after
    a soft reset out of it, `on_booted` is called when boot.py has ended and has to press Ctrl-A; the
    friendly banner is left out, and `on_raw` follows.
    """

    def __init__(
        self, show: Callable[[bytes], None], on_booted: Callable[[], None], on_raw: Callable[[], None]
    ):
        self._show_to = show
        self._on_booted = on_booted
        self._on_raw = on_raw
        self.raw = False  # the REPL is raw, or was when the interpreter ended
        self._entering_raw = False
        self._hidden: bytes | None = None  # what came since boot.py's end
        self._held = b""  # may be the beginning of BOOTED
        self._tail = b""  # last bytes shown
        self._binary = False

    def restart(self, raw: bool) -> None:
        """A new interpreter starts; with `raw` its REPL is to be raw."""
        self.finish()
        self.raw = self._entering_raw = raw
        self._hidden = None
        self._tail = b""
        self._binary = False

    def finish(self) -> None:
        """The interpreter has ended: show what was held back."""
        held, self._held = self._held, b""
        self._show(held)

    def take(self, data: bytes) -> None:
        """Take the next bytes of output."""
        if not self._entering_raw:
            self._show(data)
            return
        if self._hidden is None:
            data = self._held + data
            before, found, after = data.partition(BOOTED)
            if not found:
                keep = next((n for n in range(len(BOOTED) - 1, 0, -1) if data.endswith(BOOTED[:n])), 0)
                self._held = data[len(data) - keep :]
                self._show(data[: len(data) - keep])
                return
            self._held = b""
            self._show(before)
            self._hidden = after
            self._on_booted()
        else:
            self._hidden += data
        _, found, after = self._hidden.partition(_RAW_BANNER)
        if found:
            self._entering_raw = False
            self._hidden = None
            self._show(_RAW_BANNER + after)
            self._on_raw()

    def _show(self, data: bytes) -> None:
        if not data:
            return
        before, self._tail = self._tail, (self._tail + data)[-len(_FRIENDLY_BANNER) :]
        if not self._entering_raw:
            seen = before + data
            raw, friendly = seen.rfind(_RAW_BANNER), seen.rfind(_FRIENDLY_BANNER)
            if raw >= 0 or friendly >= 0:
                self.raw = raw > friendly
        if _REMOTE_FS in data:
            self._binary = True
        # In the raw REPL programs may talk binary; boot.py on the way to it does not.
        if (self._entering_raw or not self.raw) and not self._binary:
            data = chip_line_ends(data, before)
        self._show_to(data)


def chip_line_ends(data: bytes, before: bytes) -> bytes:
    """`data`, printed after `before`, with every lone line feed as carriage return and line feed."""
    head = b"\r" if before.endswith(b"\r") else b""
    joined = head + data
    return joined.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")[len(head) :]
