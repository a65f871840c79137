"""The port that a simulated chip is on: a pseudo terminal, or a TCP port for ``socket://``."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import termios
import threading
import tty
from collections.abc import Callable
from types import TracebackType

from lunette.virtual.rom.chips import CHIPS
from lunette.virtual.rom.faults import Faults, Wire
from lunette.virtual.rom.loader import Loader
from lunette.virtual.rom.nor import NorFlash

_IMAGE_MAGIC = 0xE9
_TICK_S = 0.1
_HELD = 64 * 1024  # bytes for a computer that does not read
_DOWNLOAD = b"rst:0x1 (POWERON),boot:0x3 (DOWNLOAD(USB/UART0))\r\nwaiting for download\r\n"
_RUN = b"rst:0x1 (POWERON),boot:0x8 (SPI_FAST_FLASH_BOOT)\r\n"


class Port:
    """`with Port("esp32s3", NorFlash(8 << 20)) as port`: the chip waits in its boot loader at `port.url`.

    tcp: a TCP port instead of a pseudo terminal. faults: what goes wrong. on_run() is called when the chip
    leaves the loader for what is in flash; it may return where a console listens (host, TCP port), which is
    at the port then. Without a boot loader in flash the chip says so, again and again.

    A thread of its own serves it. `url`, `flash` and `loader` (of the chip since its last reset) are for
    everybody; the last two change while a command is carried out.
    """

    def __init__(
        self,
        chip: str,
        flash: NorFlash,
        faults: Faults = Faults(),  # noqa: B008  (frozen)
        *,
        tcp: bool = False,
        on_run: Callable[[], tuple[str, int] | None] | None = None,
    ):
        self.flash = flash
        self.faults = faults
        self.plugged = True
        self.running = False
        self._chip = CHIPS[chip]
        self._on_run = on_run
        self._in = Wire(drop=faults.drop_in)
        self._out = Wire(faults.flip_out, faults.drop_out)
        self._to_host = bytearray()
        self._console: socket.socket | None = None
        self._orders: list[tuple[str, threading.Event | None]] = []
        self._woken, self._wake = os.pipe()
        self._master = self._slave = -1
        self._server: socket.socket | None = None
        self._client: socket.socket | None = None
        if tcp:
            self._server = socket.create_server(("127.0.0.1", 0))
            self.url = f"socket://127.0.0.1:{self._server.getsockname()[1]}"
        else:
            self._master, self._slave = os.openpty()  # the slave stays open: it is plugged in, used or not
            tty.setraw(self._slave, termios.TCSANOW)
            os.set_blocking(self._master, False)
            self.url = os.ttyname(self._slave)
        self._start_loader()
        self._thread = threading.Thread(target=self._serve, name=f"{chip} at {self.url}", daemon=True)

    def __enter__(self) -> Port:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._order("end")
        self._thread.join(10)
        assert not self._thread.is_alive()
        os.close(self._woken)
        os.close(self._wake)

    def reset(self, boot_held: bool = False) -> None:
        """Press the reset button, with the boot button held or not. It has been when this returns."""
        self._order("download" if boot_held else "run", threading.Event())

    def unplug(self) -> None:
        """Pull the cable; it stays out."""
        self._order("unplug", threading.Event())

    def _order(self, what: str, done: threading.Event | None = None) -> None:
        self._orders.append((what, done))
        os.write(self._wake, b"!")
        if done is not None and not done.wait(10):
            raise TimeoutError(f"the simulated chip has not carried out {what}")

    # --- the thread -------------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            while self._turn():
                pass
        finally:
            self._unplug()

    def _turn(self) -> bool:
        host = self._host()
        listening = self._server if self._client is None else None
        inward = [end for end in (self._woken, host, self._console, listening) if end is not None]
        outward = [host] if self._to_host and host is not None else []
        ready, writable, _ = select.select(inward, outward, [], _TICK_S)
        if self._woken in ready:
            os.read(self._woken, 1)
            order, done = self._orders.pop(0)
            going_on = self._carry_out(order)
            if done is not None:
                done.set()
            return going_on
        if listening is not None and listening in ready:
            self._client, _ = listening.accept()
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        elif host is not None and host == self._host() and host in ready:
            self._hear()
        if self._console is not None and self._console in ready:
            self._say(self._received(self._console))
        if self.running and not ready and not self._bootable:
            self._say(self._invalid)
        if writable and self._host() is not None:
            self._write()
        return True

    def _carry_out(self, order: str) -> bool:
        if order == "end":
            return False
        if order == "unplug":
            self._unplug()
        elif order == "download":
            self._hang_up()
            self._start_loader()
            self._say(_DOWNLOAD)
        else:
            self._run()
        return True

    def _start_loader(self) -> None:
        self.running = False
        self.loader = Loader(self._chip, self.flash, self.faults.erase_s)
        self.loader.left = lambda: self._order("run")

    def _run(self) -> None:
        self._hang_up()
        self.running = True
        self._say(_RUN)
        if not self._bootable:
            self._say(self._invalid)
            return
        where = self._on_run() if self._on_run is not None else None
        if where is not None:
            self._console = socket.create_connection(where, 5)
            self._console.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def _bootable(self) -> bool:
        return self.flash.data[self._chip.bootloader] == _IMAGE_MAGIC

    @property
    def _invalid(self) -> bytes:
        (word,) = struct.unpack_from("<I", self.flash.data, self._chip.bootloader)
        return b"invalid header: 0x%08x\r\n" % word

    # --- to and from the computer -------------------------------------------------------------------

    def _host(self) -> socket.socket | int | None:
        return self._client if self._client is not None else self._master if self._master >= 0 else None

    def _received(self, where: socket.socket | int | None) -> bytes:
        """What has come; nothing if the other side is gone (and then it is)."""
        data = b""
        with contextlib.suppress(OSError):
            data = os.read(where, 4096) if isinstance(where, int) else where.recv(4096) if where else b""
        if not data and isinstance(where, socket.socket):
            where.close()
            if where is self._client:
                self._client = None
                self._to_host.clear()
            else:
                self._console = None
        return data

    def _hear(self) -> None:
        data = self._received(self._host())
        limit = self.faults.unplug_in
        if limit is not None and self._in.count + len(data) > limit:
            self._unplug()
            return
        data = self._in.carry(data)
        if self._console is not None:
            with contextlib.suppress(OSError):
                self._console.sendall(data)
        elif not self.running and not self.faults.dead and self._same_speed():
            self._say(self.loader.feed(data))

    def _same_speed(self) -> bool:
        """Does the computer talk at the rate that the loader was told? It understands nothing otherwise."""
        if self.loader.baud is None or self._slave < 0:
            return True
        return bool(termios.tcgetattr(self._slave)[5] == getattr(termios, f"B{self.loader.baud}", None))

    def _say(self, data: bytes) -> None:
        if not data or self.faults.dead or len(self._to_host) > _HELD:
            return
        if not self._out.count:
            self._to_host += self.faults.noise
        self._to_host += self._out.carry(data)
        if self._host() is None:
            self._to_host.clear()

    def _write(self) -> None:
        host = self._host()
        try:
            if isinstance(host, int):
                sent = os.write(host, self._to_host[:4096])
            else:
                assert host is not None
                sent = host.send(self._to_host)
        except BlockingIOError:
            return
        except OSError:
            sent = len(self._to_host)
        del self._to_host[:sent]

    def _hang_up(self) -> None:
        if self._console is not None:
            self._console.close()
            self._console = None

    def _unplug(self) -> None:
        self.plugged = False
        self._hang_up()
        for sock in (self._client, self._server):
            if sock is not None:
                sock.close()
        self._client = self._server = None
        for file in (self._master, self._slave):
            if file >= 0:
                os.close(file)
        self._master = self._slave = -1
