"""The least program that notifies: no journal, no protocol, no acknowledgements, but encrypted like ours.

In CPython and virtual time.
"""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from bleak import BleakClient, BleakScanner

from lunette import paths
from lunette.virtual.air import Air
from lunette.virtual.bleak_backend import VirtualClient, VirtualScanner
from lunette.virtual.bleak_radio import host_identity, use_air
from lunette.virtual.chip.chip import Chip
from lunette.virtual.chip.radio import Radio
from lunette.virtual.cpython import micropython_modules, run
from lunette.virtual.link_model import LinkModel
from lunette.virtual.static_device import static_address

_ADDRESS = "C0:FF:EE:00:00:02"
_SERVICE = "4c55ba5e-6e65-7474-6521-676c61737365"
_STREAM = "4c55ba5f-6e65-7474-6521-676c61737365"
_NOTIFY = 0x0010
_CONNECT = 1
_ENOMEM = 12
_NO_IO = 3
_SETTLE_S = 1.0
_FULL_S = 0.001  # how soon the loop asks again after the stack had no room
_LIMIT_S = 120.0


def kbps(times: list[float], octets: int) -> float:
    """Rate of things of `octets` bytes that arrived at `times`, from the first to the last."""
    later = sum(t > times[0] for t in times)
    return later * octets * 8 / (times[-1] - times[0]) / 1000


class _Peripheral:
    """What runs on the chip."""

    def __init__(self, mtu: int):
        bluetooth: Any = importlib.import_module("bluetooth")
        self._connection = -1
        self._ble = bluetooth.BLE()
        self._ble.irq(self._on_event)
        self._ble.active(True)
        self._ble.config(mtu=mtu, le_secure=True, io=_NO_IO)
        service = (bluetooth.UUID(_SERVICE), ((bluetooth.UUID(_STREAM), _NOTIFY),))
        ((self._stream,),) = self._ble.gatts_register_services((service,))
        self._ble.gap_advertise(100_000, adv_data=b"\x02\x01\x06")

    def _on_event(self, event: int, data: Any) -> None:
        if event == _CONNECT:
            self._connection = data[0]

    async def send(self, payload: bytes, count: int) -> None:
        for _ in range(count):
            while True:
                try:
                    self._ble.gatts_notify(self._connection, self._stream, payload)
                    break
                except OSError as error:
                    if error.args[0] != _ENOMEM:
                        raise
                    await asyncio.sleep(_FULL_S)


async def _measure(model: LinkModel, count: int) -> float:
    air = Air(model)
    chip = Chip()
    radio = Radio(chip.bus)
    loop = asyncio.get_running_loop()
    arrivals: list[float] = []
    everything = asyncio.Event()

    def on_packet(_: Any, packet: bytearray) -> None:
        arrivals.append(loop.time())
        if len(arrivals) == count:
            everything.set()

    try:
        radio.plug(await air.device("bare", _ADDRESS))
        chip.attach_cpython(importlib.import_module("_port"))
        use_air(air)
        # The program keeps no bonds: each time is the first.
        await host_identity().keystore.delete(str(static_address(_ADDRESS)))
        peripheral = _Peripheral(model.mtu)
        device = await BleakScanner.find_device_by_address(_ADDRESS, timeout=5, backend=VirtualScanner)
        if device is None:
            raise RuntimeError("the bare program does not advertise")
        async with BleakClient(device, backend=VirtualClient) as client:
            await client.pair()
            await client.start_notify(_STREAM, on_packet)
            await asyncio.sleep(_SETTLE_S)
            payload = bytes(model.mtu - 3)
            await peripheral.send(payload, count)
            await asyncio.wait_for(everything.wait(), _LIMIT_S)
            return kbps(arrivals, len(payload))
    finally:
        await radio.close()
        await air.close()
        use_air(None)


def goodput_kbps(model: LinkModel, count: int) -> float:
    """kbit/s of `count` full notifications one after the other, measured where they arrive."""
    with micropython_modules(paths.HAL):
        return run(_measure(model, count))
