"""What the host that is served asks for: acknowledgements, resuming, requests. No Bluetooth in here."""

import sys

from glasses import protocol

_LONGEST_ID = 64  # characters


class Session:
    """`serve` takes what a host wrote to CONTROL. ``handle(request) -> result`` answers JSON requests and
    raises ValueError to refuse one; ``hello()`` is what READY is answered with."""

    def __init__(self, journal, pump, log, hello, handle):
        self._journal = journal
        self._pump = pump
        self._log = log
        self._hello = hello
        self._handle = handle
        self.refused = 0  # what broke the protocol

    def begin(self, host):
        """`host` (its identity, bytes) is there: what it has not acknowledged is to be sent."""
        self._pump.connect(host)

    def serve(self, data, mtu):
        """Carry out one write, on a link of that ATT MTU."""
        try:
            request = protocol.parse_request(data)
        except protocol.ProtocolError as error:
            self.refuse(error)
            if data and data[0] == protocol.JSON_REQUEST:
                self._reply({"id": None, "ok": False, "code": "malformed", "error": str(error)})
            return
        kind = request[0]
        if kind == protocol.ACK:
            if not self._journal.ack(request[1], request[2]):
                self.refused += 1
        elif kind == protocol.RESUME:
            recording = self._journal.find(request[1])
            if recording is None:
                self._pump.control(protocol.GONE, protocol.gone_body(request[1]))
            else:
                self._pump.resume(recording, request[2])
        elif kind == protocol.READY:
            if request[1] != protocol.VERSION:
                self.refused += 1
            self._pump.start(mtu)
            self._pump.control(protocol.HELLO, protocol.dumps(self._hello()))
        else:
            self._answer(request[1])

    def refuse(self, error):
        """Count something that a host may not do."""
        self.refused += 1
        self._log.debug("link", "refused: %s" % error)

    def _answer(self, request):
        answer = {"id": self._id(request.get("id")), "ok": True}
        try:
            answer["result"] = self._handle(request)
        except ValueError as error:
            answer["ok"] = False
            answer["code"] = getattr(error, "code", "refused")
            answer["error"] = str(error)
        except Exception as error:
            sys.print_exception(error)
            answer["ok"] = False
            answer["code"] = "failed"
            answer["error"] = "failed: %s" % type(error).__name__
        self._reply(answer)

    def _id(self, number):
        """What can be sent back of a request's id: a number or a text that is not too long, else None."""
        # Other values might be nested too deep; and one character may take six bytes, as \\u007f.
        if isinstance(number, str) and len(number) > _LONGEST_ID:
            return None
        return number if isinstance(number, (int, str)) else None

    def _reply(self, answer):
        body = protocol.dumps(answer)
        if len(body) > protocol.MAX_MESSAGE:
            short = {"id": answer["id"], "ok": False, "code": "too-long", "error": "the answer is too long"}
            body = protocol.dumps(short)
        self._pump.control(protocol.REPLY, body)
