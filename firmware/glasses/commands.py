"""What a host may ask for with JSON: {"id": ..., "op": NAME, ...}. Refusals are ValueErrors."""

import asyncio


class Commands:
    def __init__(self, glasses):
        self._glasses = glasses
        self._table = {
            "ping": self._ping,
            "status": self._status,
            "settings": self._settings,
            "set": self._set,
            "identify": self._identify,
            "log": self._log,
        }

    def handle(self, request):
        """The result of a request (JSON-able). Raises ValueError with the reason for a refusal."""
        op = request.get("op")
        work = self._table.get(op) if isinstance(op, str) else None
        if work is None:
            raise ValueError("unknown op %s; there are: %s" % (op, ", ".join(sorted(self._table))))
        return work(request)

    def _ping(self, request):
        return "pong"

    def _status(self, request):
        return self._glasses.status()

    def _settings(self, request):
        return self._glasses.settings.all()

    def _set(self, request):
        if self._glasses.voice.capturing:
            raise ValueError("recording: settings are not saved while the microphone runs")
        self._glasses.settings.set(request.get("name"), request.get("value"))
        return self._glasses.settings.all()

    def _identify(self, request):
        if self._glasses.parts.light is None:
            raise ValueError("this board has no light")
        asyncio.create_task(self._glasses.blink(6))
        return None

    def _log(self, request):
        return self._glasses.log.lines[-10:]
