"""Which L2CAP channels there are on the chip, and what its signalling channel answers (ble_l2cap_sig.c).

MicroPython's images have no channels but the fixed ones, and a peripheral carries out no command of a peer.
"""

from __future__ import annotations

import logging
import struct

from bumble import att, core, l2cap, smp
from bumble.device import Connection, Device

log = logging.getLogger(__name__)

_REJECT, _UPDATE_RESPONSE = 0x01, 0x13
_NOT_UNDERSTOOD = 0


def fixed_channels_only(device: Device) -> None:
    """Have the device drop what arrives on other channels, and refuse commands as NimBLE does. Bumble would
    open channels, tell of its features and raise for what is malformed."""
    manager = device.l2cap_channel_manager
    inner = manager.on_pdu

    def on_pdu(connection: Connection, channel: int, pdu: bytes) -> None:
        if channel in (att.ATT_CID, smp.SMP_CID):
            inner(connection, channel, pdu)
        elif channel == l2cap.L2CAP_LE_SIGNALING_CID:
            signal(connection, pdu)

    def signal(connection: Connection, pdu: bytes) -> None:
        if len(pdu) < 4:
            return
        code, identifier, length = struct.unpack_from("<BBH", pdu)
        if length != len(pdu) - 4 or code == _REJECT:
            return
        if code == _UPDATE_RESPONSE:
            try:
                inner(connection, l2cap.L2CAP_LE_SIGNALING_CID, pdu)
            except (core.BaseBumbleError, ValueError, struct.error) as error:
                log.debug("radio: L2CAP %s: %s", pdu.hex(), error)
            return
        answer = struct.pack("<BBHH", _REJECT, identifier, 2, _NOT_UNDERSTOOD)
        device.send_l2cap_pdu(connection.handle, l2cap.L2CAP_LE_SIGNALING_CID, answer)

    manager.on_pdu = on_pdu  # type: ignore[method-assign, assignment]
