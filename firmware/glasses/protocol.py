"""The wire format between glasses and host. Both sides import this file: it is the only source.

Layers, from the air upwards (docs/protocol.md has every byte with examples):

* Characteristics: the host subscribes to STREAM and writes to CONTROL, whose UUIDs are in advert.py.
* Packet: one STREAM notification: ``seq u8, first u8, bytes``. `seq` counts packets of a
  connection modulo 256; `first` is the offset, within the bytes, at which the first message of
  this packet begins, or NO_START. A host that misses a `seq` finds the next message through it.
* Message: ``type u8, length u16`` and a body of that many bytes. Messages are cut wherever a
  packet is full, so the same code serves any MTU from 23 up.

All integers are little-endian.
"""

import json
import struct

VERSION = 1

PACKET_HEADER = 2
NO_START = 255
MESSAGE_HEADER = 3
MAX_MESSAGE = 2048  # longest body that a host must accept

# Messages of the glasses.
HELLO = 0x01  # JSON: {"version", "name", "board", "boot", "recordings"}
OPEN = 0x02  # id u32, kind u8, JSON metadata
DATA = 0x03  # id u32, index u32, frame
MORE = 0x04  # frame: the one after the last DATA or MORE, of the same recording
CLOSE = 0x05  # id u32, count u32, crc32 u32, JSON metadata
REPLY = 0x06  # JSON: {"id", "ok", "result" | "error"}
GONE = 0x07  # id u32: there is no such recording (any more)
BYE = 0x08  # JSON: {"why"}; the glasses end the connection, and want no host until they advertise so

# Requests of the host; a request that starts with "{" is JSON: {"id", "op", ...}.
ACK = 0x81  # id u32, next u32: every frame below `next` is on the host's disk
RESUME = 0x82  # id u32, next u32: send this recording again from frame `next`
READY = 0x83  # version u8: subscribed, start sending
JSON_REQUEST = 0x7B

KINDS = ("speech", "photo", "log", "event")


class ProtocolError(ValueError):
    """Bytes that are not what this protocol allows; the message says which and why."""


def kind_code(kind):
    """Number of a recording kind on the wire. Raises ProtocolError for an unknown kind."""
    for i in range(len(KINDS)):
        if KINDS[i] == kind:
            return i
    raise ProtocolError("unknown kind: " + str(kind))


def message(kind, body):
    """A whole message: header and body."""
    return struct.pack("<BH", kind, len(body)) + body


def dumps(value):
    """JSON without spaces, as bytes."""
    return json.dumps(value, separators=(",", ":")).encode()


def open_body(recording, kind, meta):
    return struct.pack("<IB", recording, kind_code(kind)) + dumps(meta)


def data_body(recording, index, frame):
    return struct.pack("<II", recording, index) + frame


def close_body(recording, count, crc, meta):
    return struct.pack("<III", recording, count, crc) + dumps(meta)


def gone_body(recording):
    return struct.pack("<I", recording)


def ack(recording, next_index):
    return struct.pack("<BII", ACK, recording, next_index)


def resume(recording, next_index):
    return struct.pack("<BII", RESUME, recording, next_index)


def ready(version=VERSION):
    return struct.pack("<BB", READY, version)


def parse_request(data):
    """A CONTROL write as a tuple: (ACK, id, next), (RESUME, id, next), (READY, version) or
    (JSON_REQUEST, dict). Raises ProtocolError for anything else."""
    if not data:
        raise ProtocolError("empty request")
    kind = data[0]
    if kind == ACK or kind == RESUME:
        if len(data) != 9:
            raise ProtocolError("request %d has %d bytes, not 9" % (kind, len(data)))
        recording, next_index = struct.unpack_from("<II", data, 1)
        return kind, recording, next_index
    if kind == READY:
        if len(data) != 2:
            raise ProtocolError("READY has %d bytes, not 2" % len(data))
        return kind, data[1]
    if kind == JSON_REQUEST:
        try:
            value = json.loads(bytes(data))
        except ValueError:
            raise ProtocolError("not JSON") from None
        except RuntimeError:  # MicroPython has no RecursionError
            raise ProtocolError("JSON nested too deep") from None
        if not isinstance(value, dict):
            raise ProtocolError("not a JSON object")
        return kind, value
    raise ProtocolError("unknown request %d" % kind)


def _json(body, start):
    try:
        value = json.loads(bytes(body[start:]))
    except (ValueError, UnicodeError):
        raise ProtocolError("metadata is not JSON") from None
    except RuntimeError:
        raise ProtocolError("metadata nested too deep") from None
    if not isinstance(value, dict):
        raise ProtocolError("metadata is not an object")
    return value


def parse_message(kind, body):
    """The body of a message of the glasses as a tuple that starts with its type:
    (HELLO, dict), (OPEN, id, kind name, dict), (DATA, id, index, frame), (MORE, frame),
    (CLOSE, id, count, crc, dict), (REPLY, dict), (GONE, id), (BYE, dict). Raises ProtocolError."""
    n = len(body)
    if kind == MORE:
        return kind, bytes(body)
    if kind == DATA:
        if n < 8:
            raise ProtocolError("DATA of %d bytes" % n)
        recording, index = struct.unpack_from("<II", body, 0)
        return kind, recording, index, bytes(body[8:])
    if kind == OPEN:
        if n < 5:
            raise ProtocolError("OPEN of %d bytes" % n)
        recording, code = struct.unpack_from("<IB", body, 0)
        if code >= len(KINDS):
            raise ProtocolError("unknown kind %d" % code)
        return kind, recording, KINDS[code], _json(body, 5)
    if kind == CLOSE:
        if n < 12:
            raise ProtocolError("CLOSE of %d bytes" % n)
        recording, count, crc = struct.unpack_from("<III", body, 0)
        return kind, recording, count, crc, _json(body, 12)
    if kind == GONE:
        if n != 4:
            raise ProtocolError("GONE of %d bytes" % n)
        return kind, struct.unpack_from("<I", body, 0)[0]
    if kind == HELLO or kind == REPLY or kind == BYE:
        return kind, _json(body, 0)
    raise ProtocolError("unknown message %d" % kind)


class Unpacker:
    """Puts messages back together from packets. Host side; tells when packets went missing.

    `gaps` counts missing packets (the caller must RESUME what it was receiving), `errors` counts
    packets that broke the format.
    """

    def __init__(self):
        self.gaps = 0
        self.errors = 0
        self._seq = 0xFF  # the first packet of a connection is number 0
        self._buffer = bytearray()
        self._lost = False  # skip to the next message start

    def feed(self, packet):
        """Take one notification; returns a list of (type, body) that it completed."""
        if len(packet) < PACKET_HEADER:
            self._break()
            return []
        seq = packet[0]
        first = packet[1]
        body = packet[PACKET_HEADER:]
        if first != NO_START and first > len(body):
            self._break()
            self._seq = seq
            return []
        if seq != (self._seq + 1) & 0xFF:
            self.gaps += 1
            self._buffer = bytearray()
            self._lost = True
        self._seq = seq
        if self._lost:
            if first == NO_START:
                return []
            body = body[first:]
            first = 0
            self._lost = False
        held = len(self._buffer)
        self._buffer += body
        return self._messages(held, first)

    def _break(self):
        self.errors += 1
        self._buffer = bytearray()
        self._lost = True

    def _messages(self, held, first):
        """Cut the buffer, of which the first `held` bytes are from earlier packets. `first` is checked:
        it gives away what the packet numbers cannot, a loss of 256 packets."""
        found = []  # type: list[tuple[int, bytes]]
        buffer = self._buffer
        start = 0
        due = -1  # where in this packet the first message starts
        while True:
            if due < 0 and held <= start < len(buffer):
                due = start - held
                if first != (due if due < NO_START else NO_START):
                    self._break()
                    return []
            if len(buffer) - start < MESSAGE_HEADER:
                break
            kind, length = struct.unpack_from("<BH", buffer, start)
            if length > MAX_MESSAGE:
                self._break()
                return found
            end = start + MESSAGE_HEADER + length
            if end > len(buffer):
                break
            found.append((kind, bytes(buffer[start + MESSAGE_HEADER : end])))
            start = end
        if due < 0 and first != NO_START:
            self._break()
            return []
        if start:
            self._buffer = buffer[start:]
        return found
