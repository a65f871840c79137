"""The chip's advertising, and the addresses it does it with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from bumble import hci
from bumble.device import AdvertisingType, Device

from lunette.virtual.chip.bus import Bus
from lunette.virtual.chip.security import Security
from lunette.virtual.hal import _ops as ops

ENOMEM, EINVAL = 12, 22

RPA_TIMEOUT_S = 900  # CONFIG_BT_NIMBLE_RPA_TIMEOUT's default: how long a private address is used
_IDENTITY, _RANDOM, _PRIVATE, _NON_RESOLVABLE = range(4)  # addr_mode


class Advertising:
    """Answers BLE_ADVERTISE. `private`: with an address that only bonded hosts can tell.

    `need_active` gives the device or raises OSError, `has_room` says whether one more host may connect,
    `later` does work in order, in a task.
    """

    def __init__(
        self,
        bus: Bus,
        security: Security,
        need_active: Callable[[], Device],
        has_room: Callable[[], bool],
        later: Callable[[Callable[[], Awaitable[Any]]], None],
    ):
        self._security = security
        self._need_active = need_active
        self._has_room = has_room
        self._later = later
        self._adv_data = b""
        self._resp_data = b""
        self.private = False
        self._rpa: hci.Address | None = None
        self._rpa_timer: asyncio.TimerHandle | None = None
        self._start: Callable[[], Awaitable[None]] | None = None
        bus.register({ops.BLE_ADVERTISE: self._on_advertise})

    def set_address_mode(self, mode: int) -> None:
        """From the next advertising on."""
        self._need_active()
        if mode == _NON_RESOLVABLE:
            raise NotImplementedError("the chip model has no non-resolvable addresses")
        if mode not in (_IDENTITY, _RANDOM, _PRIVATE):
            raise OSError(EINVAL)
        self.private = mode == _PRIVATE
        self._forget_rpa()

    def forget(self) -> None:
        """The radio is off."""
        self.private = False
        self._forget_rpa()

    def _forget_rpa(self) -> None:
        self._rpa = None
        if self._rpa_timer is not None:
            self._rpa_timer.cancel()
            self._rpa_timer = None

    async def _use_address(self, device: Device) -> None:
        """Have the controller use the identity address, or a private one that is not yet too old."""
        address = device.static_address
        if self.private:
            if self._rpa is None:
                self._rpa = hci.Address.generate_private_address(self._security.irk)
                loop = asyncio.get_running_loop()
                self._rpa_timer = loop.call_later(RPA_TIMEOUT_S, self._rotate)
            address = self._rpa
        if device.random_address != address:
            device.random_address = address
            await device.send_sync_command(hci.HCI_LE_Set_Random_Address_Command(random_address=address))

    def _rotate(self) -> None:
        self._forget_rpa()
        if self._start is not None and self._need_active().is_advertising:
            self._later(self._start)

    def _on_advertise(self, a: int, b: int, c: int, d: int, data: bytes | None) -> None:
        device = self._need_active()
        if a < 0:
            self._later(lambda: stop_advertising(device))
            return
        request = json.loads(data or b"{}")
        # Data that is not given stays as it was, as on the chip.
        self._adv_data = bytes(request["adv"]) if "adv" in request else self._adv_data
        self._resp_data = bytes(request["resp"]) if "resp" in request else self._resp_data
        interval_ms = max(20.0, a / 1000)
        connectable = bool(b)
        if connectable and not self._has_room():
            raise OSError(ENOMEM)

        async def start() -> None:
            device = self._need_active()
            await stop_advertising(device)
            await self._use_address(device)
            device.advertising_data = self._adv_data
            device.scan_response_data = self._resp_data
            await device.start_advertising(
                advertising_type=AdvertisingType.UNDIRECTED_CONNECTABLE_SCANNABLE
                if connectable
                else AdvertisingType.UNDIRECTED_SCANNABLE,
                own_address_type=hci.OwnAddressType.RANDOM,
                advertising_interval_min=interval_ms,
                advertising_interval_max=interval_ms,
                auto_restart=False,
            )

        self._start = start
        self._later(start)


async def stop_advertising(device: Device) -> None:
    if device.is_advertising:
        await device.stop_advertising()
