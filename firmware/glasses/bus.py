"""Events between the parts, the services and the maker's app: ordered, bounded, fault-tolerant.

Services subscribe with `now()` and are called on the spot, so that no hook of the app can delay
the microphone. The app subscribes with `on()`; its hooks run in order in the bus's own task, and
one that fails or is slow stops nobody else.
"""

import asyncio
import sys
from collections import deque

_DEPTH = 32


class Event:
    """What hooks are called with: `name`, `t` (ticks_ms when it happened), `value` or None."""

    def __init__(self, name, t, value):
        self.name = name
        self.t = t
        self.value = value

    def __repr__(self):
        return "<%s at %d ms%s>" % (self.name, self.t, "" if self.value is None else ": %s" % (self.value,))


class Bus:
    def __init__(self):
        self._now = {}
        self._hooks = {}
        self._queue = deque((), _DEPTH)  # type: deque[Event]
        self._flag = asyncio.ThreadSafeFlag()
        self.emitted = 0
        self.dropped = 0  # events that found the app's queue full
        self.failed = 0  # hooks that raised

    def now(self, name, handler):
        """Have ``handler(name, t, value)`` called during emit. For services: must not block."""
        self._now.setdefault(name, []).append(handler)

    def on(self, name, hook):
        """Have ``hook(event)`` called soon; it may be a function or an async function.
        The name "*" means every event."""
        self._hooks.setdefault(name, []).append(hook)

    def emit(self, name, t, value=None):
        self.emitted += 1
        for handler in self._now.get(name, ()):
            self._guard(handler, name, t, value)
        for handler in self._now.get("*", ()):
            self._guard(handler, name, t, value)
        if name in self._hooks or "*" in self._hooks:
            if len(self._queue) >= _DEPTH:
                self.dropped += 1
                return
            self._queue.append(Event(name, t, value))
            self._flag.set()

    def _guard(self, handler, *args):
        try:
            return handler(*args)
        except Exception as error:
            self.failed += 1
            sys.print_exception(error)

    async def _await(self, work):
        try:
            await work
        except Exception as error:
            self.failed += 1
            sys.print_exception(error)

    async def run(self):
        """The task that runs the app's hooks, one event at a time."""
        while True:
            await self._flag.wait()
            while self._queue:
                event = self._queue.popleft()
                for hook in list(self._hooks.get(event.name, ())) + list(self._hooks.get("*", ())):
                    work = self._guard(hook, event)
                    if hasattr(work, "send"):  # an async hook runs on its own
                        asyncio.create_task(self._await(work))
                await asyncio.sleep_ms(0)

    def counters(self):
        return {"bus.emitted": self.emitted, "bus.dropped": self.dropped, "bus.failed_hooks": self.failed}
