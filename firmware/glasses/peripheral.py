"""The radio as a peripheral: which services it offers, and what it advertises. It knows no hosts."""

import bluetooth

from glasses import advert
from glasses.services import NOTIFY, READ, WRITE

_WRITE_NO_RESPONSE = 0x0004
_READ_ENCRYPTED = 0x0200
_WRITE_ENCRYPTED = 0x1000
_NO_INPUT_OUTPUT = 3
_PRIVATE_ADDRESS = 2

_CONTROL_BYTES = 512
_WRITTEN_BYTES = 64  # of what is written to other services
_MAX_SERVICES = 8  # of the stack, ours included
_SLOWEST_MS = 5000  # between two advertisements; the stack's limit is 10.24 s


class Peripheral:
    """`guard` says whether only paired hosts may have what is offered, and whether they may pair now."""

    def __init__(self, settings, log, guard):
        self._settings = settings
        self._log = log
        self._guard = guard
        self.ble = None
        self.running = False
        self.stream = 0  # value handles
        self.control = 0
        self.services = []  # beside our own: see `offer`
        self.owners = {}  # value handle of what a host may write: its service, None is our own
        self.public = []  # value handles that everybody may read
        self._on_air = None  # type: tuple | None  # what is advertised, as far as we know: see `_wanted`
        self.slower = 1  # so many times the setting's interval lies between two advertisements;
        self.beacon_ms = 0  # in a beacon it is this interval instead
        self.resting = False  # there is nothing for a host
        self.failed = 0  # times that the stack would not advertise

    def offer(self, service):
        """Offer another service (`glasses.services.Service`) as well. Only before `start`."""
        if len(self.services) >= _MAX_SERVICES - 1:
            raise ValueError("no more than %d services" % _MAX_SERVICES)
        self.services.append(service)

    def start(self, irq):
        """Switch the radio on, register everything and advertise."""
        self.running = True
        ble = self.ble = bluetooth.BLE()
        ble.irq(irq)  # first: active() asks it for secrets
        ble.active(True)
        ble.config(mtu=self._settings.mtu, gap_name=self._settings.name)
        if self._guard.paired:
            ble.config(bond=True, mitm=False, le_secure=True, io=_NO_INPUT_OUTPUT)
        if self._settings.private_address:
            ble.config(addr_mode=_PRIVATE_ADDRESS)
        self._register()
        self.advertise()

    def stop(self):
        if self.ble is not None:
            self.ble.active(False)
        self.running = False
        self._on_air = None

    # --- services ---------------------------------------------------------------------------

    def _protect(self, flags, public):
        """A characteristic's flags, with encryption where only the host may have it."""
        if public or not self._guard.paired:
            return flags
        if flags & (WRITE | _WRITE_NO_RESPONSE):
            flags |= _WRITE_ENCRYPTED
        if flags & READ:
            flags |= _READ_ENCRYPTED
        return flags

    def _own(self):
        return (
            bluetooth.UUID(advert.SERVICE),
            (
                (bluetooth.UUID(advert.STREAM), NOTIFY),
                (bluetooth.UUID(advert.CONTROL), self._protect(WRITE | _WRITE_NO_RESPONSE, False)),
            ),
        )

    def _register(self):
        ble = self.ble
        definitions = []
        for service in self.services:
            uuid, characteristics = service.definition()
            described = [(c[0], self._protect(c[1], service.PUBLIC)) for c in characteristics]
            definitions.append((uuid, tuple(described)))
        # All in one call: each call replaces what was registered before.
        handles = ble.gatts_register_services(tuple(definitions) + (self._own(),))
        self.stream, self.control = handles[-1]
        self.owners = {self.control: None}
        self.public = []
        # An attribute holds 20 bytes unless told otherwise, and cuts longer writes silently.
        ble.gatts_set_buffer(self.control, _CONTROL_BYTES)
        for i in range(len(self.services)):
            service = self.services[i]
            if service.PUBLIC:
                self.public += list(handles[i])
            characteristics = definitions[i][1]
            for j in range(len(characteristics)):
                if characteristics[j][1] & (WRITE | _WRITE_NO_RESPONSE):
                    ble.gatts_set_buffer(handles[i][j], _WRITTEN_BYTES)
                    self.owners[handles[i][j]] = service
            service.bind(ble, handles[i], self._guard)

    # --- advertising ------------------------------------------------------------------------

    @property
    def interval_ms(self):
        """Between two advertisements, as they should be; 0 when there are none."""
        on_air = self._on_air
        return 0 if on_air is None else on_air[0]

    def _wanted(self):
        """What is to be advertised: (ms between two, whether hosts may pair, whether none need come)."""
        interval_ms = self.beacon_ms or min(self._settings.adv_ms * self.slower, _SLOWEST_MS)
        return interval_ms, self._guard.window_open, self.resting

    def advertise(self):
        """Advertise as things are."""
        interval_ms, pairing, resting = wanted = self._wanted()
        other = ""
        for service in self.services:
            other = service.ADVERTISED or other
        adv, response = advert.compose(self._settings.name, advert.SERVICE, other, pairing, resting)
        self._on_air = wanted  # first: a connection that comes right away ends it
        try:
            self.ble.gap_advertise(interval_ms * 1000, adv_data=adv, resp_data=response)
        except OSError as error:  # as many connections as the stack has
            self.failed += 1
            self._on_air = None
            self._log.debug("link", "not advertising: %s" % error)

    def interrupted(self):
        """A connection has ended advertising, or one that failed. For the Bluetooth interrupt."""
        self._on_air = None

    def renew(self, serving):
        """Hosts look for us when nobody is served; while the window is open another one may pair."""
        if not serving or self._guard.window_open:
            if self._on_air != self._wanted():
                self.advertise()
        elif self._on_air is not None:
            self.ble.gap_advertise(None)
            self._on_air = None
