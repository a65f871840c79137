"""A host program's side of the air: one Bumble central for each event loop, shared by its Bleak objects.

It is attached while somebody uses it (a scan, a connection) and detached with the last one, so that a program
that ends in order leaves nothing behind and needs no clean-up call.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from bleak.exc import BleakError
from bumble import core, hci
from bumble.device import Advertisement, Connection, Device
from bumble.hci import Address
from bumble.host import Host
from bumble.keys import KeyStore, MemoryKeyStore
from bumble.transport.common import Transport
from bumble.transport.tcp_client import open_tcp_client_transport

from lunette.virtual.air import Air
from lunette.virtual.link_model import LinkModel
from lunette.virtual.static_device import json_keystore, new_device, static_address

logger = logging.getLogger(__name__)

T = TypeVar("T")
Listener = Callable[[Advertisement], None]

_ATTACH_TIMEOUT_S = 5.0
_KEYS_IDENTITY = "identity"

_chosen: Air | str | None = None
_chosen_keys: str | None = None


def use_air(air: Air | str | None, keys: str | None = None) -> None:
    """Choose the air that Bleak objects of this process use from now on.

    An `Air` of this event loop, or "HOST:PORT" of one that is served. None: what LUNETTE_AIR says.
    `keys`: file for the host's address and bonds, unless LUNETTE_KEYS names one.
    """
    global _chosen, _chosen_keys
    _chosen, _chosen_keys = air, keys


async def until(awaitable: Awaitable[T], gone: asyncio.Future[Any], what: str) -> T:
    """The awaitable's result, or BleakError(`what`) as soon as `gone` is done.

    Bumble cancels what waits for a lost link, which would look to the caller as if it had been
    cancelled itself. If the caller is, the awaitable goes on by itself: a request that is on its way
    cannot be taken back, and its answer must not be taken for that of the next one.
    """
    task = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        task.add_done_callback(_swallow)
        raise
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
    if task.cancelled() or (gone.done() and task.exception() is not None):
        raise BleakError(what)
    return task.result()


def _swallow(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()


class Identity:
    """Address and bonds of the host: kept in a file (LUNETTE_KEYS), else as long as the process."""

    def __init__(self, path: str | None) -> None:
        self.keystore: KeyStore
        if path is None:
            self.address = Address.generate_static_address()
            self.keystore = MemoryKeyStore()
            return
        try:
            self.address = self._load(Path(path))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BleakError(
                f"cannot use {path} for bonds: {error}; remove it or name another file"
            ) from error
        self.keystore = json_keystore(path, self.address)

    @staticmethod
    def _load(path: Path) -> Address:
        # The glasses know a bonded host by its address, so it stays with the bonds.
        db: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        if _KEYS_IDENTITY in db:
            return static_address(db[_KEYS_IDENTITY]["address"])
        address = Address.generate_static_address()
        db[_KEYS_IDENTITY] = {"address": str(address)}
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(db, indent=4, sort_keys=True), "utf-8")
        temporary.replace(path)
        return address


_identities: dict[str | None, Identity] = {}


def host_identity() -> Identity:
    """The host that Bleak objects of this process are."""
    path = os.environ.get("LUNETTE_KEYS") or _chosen_keys
    if path not in _identities:
        _identities[path] = Identity(path)
    return _identities[path]


def _offered_mtu(target: Air | str) -> int:
    if isinstance(target, Air):
        return target.model.mtu
    text = os.environ.get("LUNETTE_MTU") or str(LinkModel.mtu)
    try:
        return LinkModel(mtu=int(text)).mtu
    except ValueError:
        raise BleakError(f"LUNETTE_MTU: {text!r} is not a number in 23..527") from None


class Radio:
    """The shared central. Get one from `acquire`; every `acquire` is paired with one `release`."""

    _all: ClassVar[dict[tuple[asyncio.AbstractEventLoop, Air | str], Radio]] = {}
    # Released before it was attached: it may still be on the air, under the address of the next one.
    _leaving: ClassVar[set[Radio]] = set()

    def __init__(self, target: Air | str, key: tuple[asyncio.AbstractEventLoop, Air | str]) -> None:
        self._target = target
        self._key = key
        self._users = 0
        self._transport: Transport | None = None
        self._listeners: dict[Listener, bool] = {}
        self._scanning: bool | None = None  # None: not; else whether actively
        self._scan_lock = asyncio.Lock()
        self._connect_lock = asyncio.Lock()
        self.identity = host_identity()
        self.mtu = _offered_mtu(target)
        self.device: Device
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the air is no longer reachable."""
        self._attached = asyncio.ensure_future(self._attach())
        self._attached.add_done_callback(_swallow)

    @classmethod
    async def acquire(cls) -> Radio:
        """This loop's radio on the chosen air. BleakError if there is none."""
        target = _chosen or os.environ.get("LUNETTE_AIR") or ""
        if not target:
            raise BleakError("no virtual glasses are chosen: set LUNETTE_AIR to HOST:PORT")
        for key in [key for key in cls._all if key[0].is_closed()]:
            del cls._all[key]
        key = (asyncio.get_running_loop(), target)
        radio = cls._all.get(key)
        if radio is None or radio.gone.done():
            radio = cls._all[key] = cls(target, key)
        radio._users += 1
        try:
            await asyncio.shield(radio._attached)
        except BaseException:
            radio.release()
            raise
        return radio

    def release(self) -> None:
        """One user less. With the last one the radio is detached."""
        self._users -= 1
        if self._users == 0:
            if self._all.get(self._key) is self:
                del self._all[self._key]
            self._attached.cancel()
            if not self._attached.done():
                self._leaving.add(self)
                self._attached.add_done_callback(lambda _: self._leaving.discard(self))
            # Not from within one of Bumble's own event handlers.
            asyncio.get_running_loop().call_soon(self._detach)

    @classmethod
    def of(cls, air: Air) -> Radio | None:
        """This loop's radio on an air of this process, while somebody uses it."""
        return cls._all.get((asyncio.get_running_loop(), air))

    def cut(self) -> None:
        """The adapter loses its power: peers notice by the supervision timeout only."""
        if isinstance(self._target, Air) and hasattr(self, "device"):
            self._target.remove(self.device)

    # Attaching

    async def _attach(self) -> None:
        before = [radio._attached for radio in self._leaving if radio._key == self._key]
        if before:
            await asyncio.wait(before)
        try:
            if isinstance(self._target, Air):
                self.device = await self._target.device("host", str(self.identity.address))
                self.device.keystore = self.identity.keystore
                await self.device.refresh_resolving_list()
            else:
                await asyncio.wait_for(self._attach_tcp(self._target), _ATTACH_TIMEOUT_S)
        except (OSError, asyncio.TimeoutError, core.BaseBumbleError) as error:
            self._detach()
            raise BleakError(self._nobody) from error
        except BaseException:
            self._detach()
            raise
        if self.gone.done():  # released meanwhile: before Python 3.12 `wait_for` can lose a cancellation
            self._detach()
            return
        self.device.on(Device.EVENT_FLUSH, self._on_gone)
        self.device.on(Device.EVENT_ADVERTISEMENT, self._on_advertisement)

    async def _attach_tcp(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise BleakError(f"LUNETTE_AIR: {target!r} is not HOST:PORT")
        self._transport = await open_tcp_client_transport(target)
        stack = Host(self._transport.source, self._transport.sink)
        self.device = new_device("host", self.identity.address, stack, self.identity.keystore)
        lost = asyncio.ensure_future(self._transport.source.terminated)
        await until(self.device.power_on(), lost, self._nobody)

    @property
    def _nobody(self) -> str:
        return f"no virtual glasses on {self._target}: start them with `lunette sim`"

    def _detach(self) -> None:
        self._on_gone()
        if self._transport is not None:
            with contextlib.suppress(Exception):
                self._transport.sink.close()  # type: ignore[attr-defined]
            self._transport = None
        elif isinstance(self._target, Air) and hasattr(self, "device"):
            self._target.remove(self.device)

    def _on_gone(self) -> None:
        if not self.gone.done():
            self.gone.set_result(None)

    # Scanning

    async def listen(self, listener: Listener, active: bool = True) -> None:
        """Scan, and give every advert (with its scan response if active) to `listener`."""
        self._listeners[listener] = active
        try:
            await self._update_scan()
        except BaseException:
            self._listeners.pop(listener, None)
            raise

    async def unlisten(self, listener: Listener) -> None:
        """The end of `listen`; scanning stops with the last listener."""
        self._listeners.pop(listener, None)
        if not self.gone.done():
            with contextlib.suppress(BleakError):
                await self._update_scan()

    async def _update_scan(self) -> None:
        async with self._scan_lock:
            wanted = any(self._listeners.values()) if self._listeners else None
            if wanted == self._scanning:
                return
            try:
                if self._scanning is not None:
                    await until(self.device.stop_scanning(), self.gone, "the virtual glasses' air is gone")
                    self._scanning = None
                if wanted is not None:
                    start = self.device.start_scanning(active=wanted, filter_duplicates=False)
                    await until(start, self.gone, "the virtual glasses' air is gone")
                    self._scanning = wanted
            except core.BaseBumbleError as error:
                raise BleakError(f"scanning failed: {error}") from error

    def _on_advertisement(self, advertisement: Advertisement) -> None:
        for listener in list(self._listeners):
            listener(advertisement)

    async def find(self, address: Address, timeout: float) -> Advertisement | None:
        """The next advert from `address`, or None after `timeout` seconds."""
        found: asyncio.Future[Advertisement] = asyncio.get_running_loop().create_future()

        def listener(advertisement: Advertisement) -> None:
            if advertisement.address == address and not found.done():
                found.set_result(advertisement)

        await self.listen(listener)
        try:
            wait = asyncio.wait_for(found, timeout)
            return await until(wait, self.gone, "the virtual glasses' air is gone")
        except asyncio.TimeoutError:
            return None
        finally:
            await self.unlisten(listener)

    # Connecting

    async def connect(self, address: Address, timeout: float) -> Connection:
        """A connection to `address`; asyncio.TimeoutError if it is not made within `timeout` seconds."""
        async with self._connect_lock:
            attempt = asyncio.ensure_future(self.device.connect_le(address, timeout=timeout))
            try:
                return await until(asyncio.shield(attempt), self.gone, "the virtual glasses' air is gone")
            except core.TimeoutError:
                raise asyncio.TimeoutError(f"{address} did not answer within {timeout:g} s") from None
            except core.BaseBumbleError as error:
                raise BleakError(f"connecting to {address} failed: {error}") from error
            finally:
                if not attempt.done():
                    # Left alone, the controller would go on and connect when nobody expects it.
                    await asyncio.shield(asyncio.ensure_future(self._abandon(attempt)))

    async def _abandon(self, attempt: asyncio.Future[Connection]) -> None:
        if self.gone.done():
            attempt.cancel()
            attempt.add_done_callback(_swallow)
            return
        with contextlib.suppress(core.BaseBumbleError, BleakError):
            cancel = self.device.send_sync_command(hci.HCI_LE_Create_Connection_Cancel_Command())
            await until(cancel, self.gone, "")
        with contextlib.suppress(core.BaseBumbleError, BleakError):
            connection = await until(attempt, self.gone, "")
            await until(connection.disconnect(), self.gone, "")
