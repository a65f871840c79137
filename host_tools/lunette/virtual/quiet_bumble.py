"""Bumble without the cost of its log: it turns every packet into coloured text, also when nobody logs."""

from __future__ import annotations

import logging
import sys
from typing import Any

from bumble import att, colors, hci, l2cap, smp

_log = logging.getLogger("bumble")
# Without a handler of its own, Bumble's routine warnings would appear on a user's terminal.
_log.addHandler(logging.NullHandler())
_in_colour = colors.color


def _color(text: str, *args: Any, **kwargs: Any) -> str:
    return _in_colour(text, *args, **kwargs) if _log.isEnabledFor(logging.DEBUG) else text


def _format(packet: Any, spec: str) -> str:
    return format(str(packet), spec) if _log.isEnabledFor(logging.DEBUG) else type(packet).__name__


def make_quiet() -> None:
    """From now on the text is made when the level of the logger "bumble" lets it through."""
    for name, module in list(sys.modules.items()):
        if name.startswith("bumble.") and getattr(module, "color", None) is _in_colour:
            module.color = _color  # type: ignore[attr-defined]
    # What stands in braces in an f-string.
    for kind in (hci.HCI_Packet, att.ATT_PDU, l2cap.L2CAP_PDU, l2cap.L2CAP_Control_Frame, smp.SMP_Command):
        kind.__format__ = _format  # type: ignore[method-assign]
