"""What the host hears, against what it asked."""

from __future__ import annotations

import json
from collections import Counter, deque
from typing import Any

from lunette.protocol import wire

from .watch import Watch


class Answers:
    """What the host hears on STREAM, put together, and matched with what it asked. Order counts."""

    def __init__(self, watch: Watch):
        self._watch = watch
        self._unpacker = wire.Unpacker()
        self.expected: deque[tuple[bool, Any]] = deque()  # (malformed, id) of what is to be answered
        self.skipped = 0  # that were never answered
        self.recordings: dict[int, int] = {}  # frames that were heard of each
        self.messages: Counter[int] = Counter()

    def asked(self, data: bytes) -> None:
        """The host has written this to CONTROL."""
        if data[:1] != b"{" or len(data) > 512:  # the stack refuses what is longer
            return
        try:
            request = json.loads(data)
        except (ValueError, RecursionError):
            request = None
        if isinstance(request, dict):
            number = request.get("id")
            short = isinstance(number, int) or (isinstance(number, str) and len(number) <= 64)
            self.expected.append((False, number if short else None))
        else:
            self.expected.append((True, None))

    def packet(self, packet: bytes) -> None:
        for kind, body in self._unpacker.feed(packet):
            self.messages[kind] += 1
            try:
                message = wire.parse_message(kind, body)
            except wire.ProtocolError as error:
                self._watch.problems.append(f"the glasses sent {kind} {body!r}: {error}")
                continue
            if kind == wire.REPLY:
                self._reply(message[1], body)
            elif kind == wire.OPEN:
                self.recordings[message[1]] = 0
            elif kind == wire.GONE:
                self.recordings.pop(message[1], None)
            while len(self.recordings) > 64:
                self.recordings.pop(next(iter(self.recordings)))
        if self._unpacker.errors or self._unpacker.gaps:
            self._watch.problems.append(f"stream: {self._unpacker.errors} errors, {self._unpacker.gaps} gaps")

    def _reply(self, reply: dict[str, Any], body: bytes) -> None:
        problems = self._watch.problems
        ok = reply.get("ok")
        shape = {"id", "ok", "result"} if ok is True else {"id", "ok", "code", "error"}
        if set(reply) != shape or not isinstance(ok, bool):
            problems.append(f"a reply of this shape: {body!r}")
            return
        code = "ok" if ok else reply["code"]
        self._watch.outcomes[f"control {code}"] += 1
        if code == "failed" and reply["error"].startswith("failed: "):
            problems.append(f"a request raised: {body!r}")
        while self.expected:
            malformed, number = self.expected.popleft()
            if (malformed, number) == (code == "malformed", reply["id"]) and type(number) is type(
                reply["id"]
            ):
                return
            self.skipped += 1
        problems.append(f"a reply that nobody asked for: {body!r}")

    def settle(self) -> int:
        """Everything is done: how many requests were never answered."""
        unanswered = self.skipped + len(self.expected)
        self.expected.clear()
        self.skipped = 0
        return unanswered
