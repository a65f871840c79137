"""Stands in for `bluetooth` in the WebAssembly build, with one host. Runs in MicroPython.

Modelled: values of characteristics and the table of services, which are on the heap on the chip, too; the
events of a host that pairs, and what it writes; notifications that always find room.
Not modelled: everything else; nothing is checked.
"""

_CONNECT = 1
_WRITE = 3
_MTU = 21
_PARAMETERS = 27
_ENCRYPTION = 28
_SET_SECRET = 30
_SECRETS = (1, 2)  # ours, theirs
_SECRET_BYTES = 80  # of the esp32 port's NimBLE, about
_ADDRESS = b"\xc0\xff\xee\x00\x00\x01"
_KEY = b"\x01\x01\x00\x00\xee\xff\xc0"

packets = 0
octets = 0


class UUID:
    def __init__(self, value):
        self.value = value


class BLE:
    only = None

    def __init__(self):
        BLE.only = self
        self.handler = None
        self.values = {}
        self.services = ()
        self.advertising = False

    def irq(self, handler):
        self.handler = handler

    def active(self, state):
        pass

    def config(self, **values):
        pass

    def gatts_register_services(self, services):
        self.services = services
        found = []
        for _, characteristics in services:
            handles = []
            for _ in characteristics:
                handle = 16 + len(self.values)
                self.values[handle] = bytearray(20)
                handles.append(handle)
            found.append(tuple(handles))
        return tuple(found)

    def gatts_set_buffer(self, handle, size):
        self.values[handle] = bytearray(size)

    def gatts_write(self, handle, value, send_update=False):
        self.values[handle] = bytearray(value)

    def gatts_read(self, handle):
        return bytes(self.values[handle])

    def gatts_notify(self, conn, handle, value):
        global packets, octets
        packets += 1
        octets += len(value)

    def gap_advertise(self, interval_us, adv_data=None, resp_data=None):
        self.advertising = interval_us is not None


def pair(mtu):
    """A host connects, exchanges the MTU and pairs."""
    handler = BLE.only.handler
    handler(_CONNECT, (0, 1, _ADDRESS))
    handler(_MTU, (0, mtu))
    handler(_PARAMETERS, (0, 24, 0, 400, 0))
    for kind in _SECRETS:
        handler(_SET_SECRET, (kind, _KEY, bytes(_SECRET_BYTES)))
    handler(_ENCRYPTION, (0, True, False, True, 16))


def write(handle, request):
    """It writes to a characteristic."""
    ble = BLE.only
    room = ble.values[handle]
    ble.values[handle] = request
    ble.handler(_WRITE, (0, handle))
    ble.values[handle] = room
