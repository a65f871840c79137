"""Further GATT services beside Lunette's own: what the link asks of one, and the standard ones.

Battery (180F), device information (180A) and current time (1805) are there for every Bluetooth
program. The stack answers reads by itself, from the value that was last written to it, so a
task keeps values fresh while a host is connected and does nothing otherwise.
"""

import struct

import bluetooth
from machine import RTC

from glasses import clock

READ = 0x0002
WRITE = 0x0008
NOTIFY = 0x0010

_ENOMEM = 12
_TICK_MS = 1000
_CHANGED_BY_HAND = 1  # reason of a time adjustment, of the Current Time Service
_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Service:
    """One GATT service. All but the constructor and `definition` are called by `Link`, in a task and
    never in the Bluetooth interrupt.

    `UUID` and `CHARACTERISTICS`, a tuple of (UUID, flags), are what is registered; `ADVERTISED`, the text of
    a 128-bit UUID, also goes into the advertisement; `EVERY_S` is how often `refresh` runs. `PUBLIC`: also
    who is not paired may read it. Otherwise `Peripheral` adds encryption to the flags, where it has any.
    """

    UUID = 0  # type: int | str
    CHARACTERISTICS = ()  # type: tuple
    ADVERTISED = ""
    EVERY_S = 0
    PUBLIC = False

    def __init__(self):
        self._ble = None
        self._guard = None
        self._conn = -1
        # Of the values, in the order of CHARACTERISTICS.
        self.handles = ()  # type: tuple

    def definition(self):
        """The service in the form of ``BLE.gatts_register_services``."""
        described = []
        for uuid, flags in self.CHARACTERISTICS:
            described.append((bluetooth.UUID(uuid), flags))
        return bluetooth.UUID(self.UUID), tuple(described)

    def bind(self, ble, handles, guard):
        """The service is registered: values may be written from now on."""
        self._ble = ble
        self._guard = guard
        self.handles = handles
        self.refresh()

    def connected(self, conn):
        self._conn = conn

    def disconnected(self):
        self._conn = -1

    def written(self, handle, value):
        """The host wrote `value`. Raises ValueError for what cannot be: it is counted as refused."""
        raise ValueError("nothing is to be written here")

    def refresh(self):
        """Put current values where reads find them."""

    def send(self):
        """Notify what waits; False when the stack had no room and it should be tried again."""
        return True

    def update(self, handle, value):
        """Put a value where reads find it, and tell subscribers. False: they were not told.

        The stack tells whoever has subscribed, encrypted or not, so nobody is while a stranger is
        connected.
        """
        told = self._guard.alone()
        self._ble.gatts_write(handle, value, told)
        return told

    def notify(self, handle, buffer):
        """One notification. False: the stack has no room. True: it is sent, or nobody is there."""
        try:
            self._ble.gatts_notify(self._conn, handle, buffer)
        except OSError as error:
            if error.args[0] == _ENOMEM:
                return False
            self._conn = -1
        return True


class Battery(Service):
    """Level in per cent, 0..100. Subscribers are told when it changes."""

    UUID = 0x180F
    CHARACTERISTICS = ((0x2A19, READ | NOTIFY),)
    EVERY_S = 30

    def __init__(self, battery):
        Service.__init__(self)
        self._battery = battery
        self._level = -1

    def refresh(self):
        try:
            level = self._battery.percent()
        except OSError:  # the last one stays; a reading that fails must not stop the glasses
            return
        if level != self._level and self.update(self.handles[0], bytes((level,))):
            self._level = level


class DeviceInformation(Service):
    """Texts: model, firmware revision, hardware revision, manufacturer."""

    PUBLIC = True
    UUID = 0x180A
    CHARACTERISTICS = ((0x2A24, READ), (0x2A26, READ), (0x2A27, READ), (0x2A29, READ))

    def __init__(self, model, firmware, hardware, manufacturer="Lunette"):
        Service.__init__(self)
        self._texts = (model, firmware, hardware, manufacturer)

    def refresh(self):
        for i in range(len(self._texts)):
            self._ble.gatts_write(self.handles[i], self._texts[i].encode())


def pack_time(reason=0):
    """The RTC as the 10 bytes of Current Time: year u16, month, day, hours, minutes, seconds, day of the
    week (1 is Monday), 1/256 s, reason. The date is 0, "unknown", until somebody has set the clock."""
    year, month, day, weekday, hours, minutes, seconds, us = RTC().datetime()
    if clock.epoch() is None:
        year = month = day = 0
        weekday = -1
    return struct.pack(
        "<HBBBBBBBB", year, month, day, hours, minutes, seconds, weekday + 1, us * 256 // 1000000, reason
    )


def set_time(data):
    """Set the RTC from the 10 bytes of Current Time. Raises ValueError."""
    if len(data) != 10:
        raise ValueError("a time has 10 bytes, not %d" % len(data))
    year, month, day, hours, minutes, seconds, _, fraction, _ = struct.unpack("<HBBBBBBBB", data)
    if not (2020 <= year < 2100 and 1 <= month <= 12 and 1 <= day <= _MONTHS[month - 1]):
        raise ValueError("no date between 2020 and 2100")
    if (month == 2 and day == 29 and year % 4) or hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError("no such date or time")
    # The chip finds the day of the week itself.
    RTC().datetime((year, month, day, 0, hours, minutes, seconds, fraction * 1000000 // 256))


class CurrentTime(Service):
    """The clock, in UTC. A host that writes it sets it."""

    UUID = 0x1805
    CHARACTERISTICS = ((0x2A2B, READ | WRITE | NOTIFY),)
    EVERY_S = 1

    def refresh(self):
        self._ble.gatts_write(self.handles[0], pack_time())

    def written(self, handle, value):
        try:
            set_time(value)
        finally:  # what was written replaced what is read
            self.update(handle, pack_time(_CHANGED_BY_HAND))


def standard(battery, board, version):
    """The standard services of glasses with that `battery` part (or None), board data and firmware."""
    offered = [DeviceInformation(board.NAME, version, board.CHIP), CurrentTime()]
    if battery is not None:
        offered.insert(0, Battery(battery))
    return offered


class Refresher:
    """The task that refreshes services while a host is connected."""

    def __init__(self, link, bus, services):
        self._link = link
        self._services = [service for service in services if service.EVERY_S]
        import asyncio  # late: a beacon has these services, too, and no asyncio

        self._flag = asyncio.ThreadSafeFlag()
        bus.now("connected", self._on_connected)

    def _on_connected(self, name, t, value):
        self._flag.set()

    async def run(self):
        import asyncio

        seconds = 0
        while True:
            if not self._link.connected:
                await self._flag.wait()
                seconds = 0  # everything is due: it may be days old
            for service in self._services:
                if self._link.connected and seconds % service.EVERY_S == 0:
                    service.refresh()
            await asyncio.sleep_ms(_TICK_MS)
            seconds += 1
