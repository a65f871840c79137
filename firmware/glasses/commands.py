"""What a host may ask for with JSON: {"id": ..., "op": NAME, ...}. docs/protocol.md has them all."""

import asyncio

from glasses import clock

_LISTED = 40  # recordings that one answer has room for
_LINES = 10
_IDENTIFY_MS = 120
_ANSWER_MS = 500  # for the answer to leave


class Refusal(ValueError):
    """A request that is not carried out. `code` is for programs, the message for people."""

    def __init__(self, code, message):
        super().__init__(message)  # (MicroPython has no ValueError.__init__ to call by name)
        self.code = code


class Commands:
    """Carries out requests on a `Glasses` object."""

    def __init__(self, glasses):
        self._glasses = glasses
        self._blinking = False
        self._forgetting = None  # type: set | None  # the hosts that are about to be forgotten
        self._restarting = False
        self._falling = False  # asleep soon,
        self._off = False  # or off
        self.models = None  # what receives them, once a host has asked
        # name: (function, fields that must be there, fields that may be there), with their types
        self._table = {
            "ping": (self._ping, {}, {}),
            "status": (self._status, {}, {}),
            "power": (self._power, {}, {}),
            "sleep": (self._sleep, {}, {"off": bool}),
            "settings": (self._settings, {}, {"name": str}),
            "set": (self._set, {"name": str, "value": None}, {}),
            "recordings": (self._recordings, {}, {}),
            "delete": (self._delete, {"recording": int}, {}),
            "record": (self._record, {"on": bool}, {"until_silence": bool}),
            "mute": (self._mute, {"on": bool}, {}),
            "time": (self._time, {}, {"epoch": int}),
            "identify": (self._identify, {}, {}),
            "hosts": (self._hosts, {}, {}),
            "forget": (self._forget, {}, {"host": str, "all": bool}),
            "log": (self._log, {}, {"before": int}),
            "models": (self._models, {}, {"after": str}),
            "model": (self._models, {"name": str, "size": int, "crc32": int}, {}),
            "model_part": (self._models, {"at": int, "data": str}, {}),
            "model_remove": (self._models, {"name": str}, {}),
            "reboot": (self._reboot, {}, {"force": bool}),
        }  # type: dict[str, tuple]

    def handle(self, request):
        """The result of a request (JSON-able). Raises Refusal."""
        op = request.get("op")
        entry = self._table.get(op) if isinstance(op, str) else None
        if entry is None:
            raise Refusal("unknown-op", "unknown op %s; there are: %s" % (op, ", ".join(sorted(self._table))))
        work, required, optional = entry
        for name in request:
            if name not in ("id", "op") and name not in required and name not in optional:
                raise Refusal("unknown-field", "%s does not take %s" % (op, name))
        for name in required:
            if name not in request:
                raise Refusal("missing-field", "%s needs %s" % (op, name))
            self._check(op, name, request[name], required[name])
        for name in optional:
            if name in request:
                self._check(op, name, request[name], optional[name])
        return work(request)

    def _check(self, op, name, value, kind):
        fits = kind is None or isinstance(value, kind)
        if not fits or (kind is int and isinstance(value, bool)):
            raise Refusal("bad-value", "%s: %s must be of type %s" % (op, name, kind.__name__))

    def _ping(self, request):
        return "pong"

    def _status(self, request):
        return self._glasses.status()

    def _power(self, request):
        return self._glasses.report_power()

    def _sleep(self, request):
        """Sleep as soon as nobody needs them, or switch off, when the answer has left."""
        self._off = self._off or request.get("off", False)
        if not self._falling:
            self._falling = True
            asyncio.create_task(self._sleep_soon())
        return None

    async def _sleep_soon(self):
        await asyncio.sleep_ms(_ANSWER_MS)
        self._falling = False
        if self._off:
            self._glasses.standby.switch_off("a host")
        else:
            self._glasses.standby.let_go("sleep")
            self._glasses.standby.rest()

    # --- settings -------------------------------------------------------------------------------

    def _not_while_recording(self):
        if self._glasses.recording():
            raise Refusal("busy", "recording: flash is not written while the microphone runs")

    def _settings(self, request):
        every = self._glasses.settings.all()
        if "name" not in request:
            return every
        if request["name"] not in every:
            raise Refusal("bad-value", "no setting %s" % request["name"])
        return {request["name"]: every[request["name"]]}

    def _set(self, request):
        self._not_while_recording()
        self._check_together(request["name"], request["value"])
        try:
            self._glasses.settings.set(request["name"], request["value"])
        except ValueError as error:
            raise Refusal("bad-value", str(error)) from None
        except OSError as error:
            raise Refusal("failed", "could not be saved: %s" % error) from None
        self._glasses.apply_settings()
        return self._glasses.settings.all()

    def _check_together(self, name, value):
        settings = self._glasses.settings
        if name == "wakeword":
            self._check_models(value)
        if name == "omi" and value is True and settings.security != "open":
            raise Refusal("bad-value", "omi knows no pairing: set security to open first")
        if name == "security" and value == "paired" and settings.omi:
            raise Refusal("bad-value", "omi knows no pairing: set omi to false first")

    def _check_models(self, value):
        if not isinstance(value, str) or not value.strip():
            return
        from glasses import listener

        try:
            missing = listener.missing(value)
        except ValueError as error:
            raise Refusal("bad-value", str(error)) from None
        if missing:
            why = "there is no model %s on the glasses: `lunette wakeword add` puts one there"
            raise Refusal("not-found", why % ", ".join(missing))

    # --- recordings -----------------------------------------------------------------------------

    def _recordings(self, request):
        listed = []  # type: list[list]
        waiting = 0
        for recording in self._glasses.journal.recordings:
            if recording.draft:
                continue
            waiting += 1
            if len(listed) < _LISTED:
                listed.append([recording.number, recording.kind, recording.count, recording.closed])
        return {"waiting": waiting, "saved": self._glasses.journal.saved, "recordings": listed}

    def _delete(self, request):
        recording = self._glasses.journal.find(request["recording"])
        if recording is None:
            raise Refusal("not-found", "no recording %d" % request["recording"])
        if not recording.closed:
            raise Refusal("busy", "it is being recorded")
        self._glasses.journal.delete(recording)
        return None

    def _record(self, request):
        voice = self._glasses.voice
        if not request["on"]:
            if not voice.capturing:
                raise Refusal("idle", "nothing is being recorded")
            voice.stop()
            return None
        if self._glasses.parts.microphone is None:
            raise Refusal("no-part", "these glasses have no working microphone")
        if voice.muted:
            raise Refusal("muted", "the microphone is muted")
        if voice.capturing:
            raise Refusal("busy", "a recording is being made")
        recording = voice.record("host", request.get("until_silence", False))
        if recording is None:
            raise Refusal("failed", "the microphone does not start")
        return recording.number

    def _mute(self, request):
        voice = self._glasses.voice
        if request["on"] and voice.capturing:
            voice.stop()
        voice.muted = request["on"]
        return voice.muted

    # --- models -----------------------------------------------------------------------------------

    def _models(self, request):
        if request["op"] != "models":
            self._not_while_recording()
        if self.models is None:
            from glasses.models import Models

            self.models = Models(self._glasses)
        return self.models.handle(request)

    # --- hosts ----------------------------------------------------------------------------------

    def _hosts(self, request):
        return self._glasses.security.hosts()

    def _forget(self, request):
        """Forget one host, or all; if it is the one that asks, after the answer."""
        security = self._glasses.security
        if ("host" in request) == bool(request.get("all")):
            raise Refusal("missing-field", "forget needs either host or all")
        address = request.get("host")
        doomed = [host for host in security.hosts() if address in (None, host["id"])]
        if not doomed and address is not None:
            raise Refusal("not-found", "no host %s is paired" % address)
        # One task, however often it is asked: whoever asks faster than that must not fill the memory.
        if self._forgetting is None:
            self._forgetting = set()
            asyncio.create_task(self._forget_soon())
        self._forgetting.update([host["id"] for host in doomed])
        return len(doomed)

    async def _forget_soon(self):
        await asyncio.sleep_ms(_ANSWER_MS)
        addresses = self._forgetting
        self._forgetting = None
        for address in addresses:
            self._glasses.security.forget(address)

    # --- the rest -------------------------------------------------------------------------------

    def _time(self, request):
        if "epoch" in request:
            try:
                clock.set_epoch(request["epoch"])
            except ValueError as error:
                raise Refusal("bad-value", str(error)) from None
        return clock.epoch()

    def _identify(self, request):
        if self._glasses.parts.light is None:
            raise Refusal("no-part", "this board has no light")
        if not self._blinking:
            self._blinking = True
            asyncio.create_task(self._blink())
        return None

    async def _blink(self):
        await self._glasses.parts.light.blink(6, _IDENTIFY_MS)
        self._blinking = False

    def _log(self, request):
        """The last lines, or those before line number `before`, each with its number."""
        log = self._glasses.log
        first = log.total - len(log.lines)  # number of the oldest line that is kept
        end = max(first, min(request.get("before", log.total), log.total))
        start = max(first, end - _LINES)
        return [[number] + list(log.lines[number - first]) for number in range(start, end)]

    def _reboot(self, request):
        self._not_while_recording()
        if not request.get("force"):
            lost = self._glasses.saver.left_over()
            for recording in self._glasses.journal.recordings:
                if not recording.closed:
                    lost += 1
            if lost:
                raise Refusal("busy", "%d recordings cannot be saved and would be lost; force it" % lost)
        if not self._restarting:
            self._restarting = True
            asyncio.create_task(self._restart(request.get("force", False)))
        return None

    async def _restart(self, force):
        import machine

        await asyncio.sleep_ms(_ANSWER_MS)
        left = await self._glasses.saver.save_all()
        if left and not force:
            self._glasses.log.error("runtime", "no restart: %d recordings are not saved" % left)
            self._restarting = False
            return
        self._glasses.crashes.ended("reboot")
        machine.reset()
