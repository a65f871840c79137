"""Gives asyncio of the WebAssembly build, which JavaScript drives, the flag that it lacks."""

import asyncio


class ThreadSafeFlag:
    """As MicroPython's, for a program without threads and interrupts."""

    def __init__(self):
        self._event = asyncio.Event()

    def set(self):
        self._event.set()

    def clear(self):
        self._event.clear()

    async def wait(self):
        await self._event.wait()
        self._event.clear()


asyncio.ThreadSafeFlag = ThreadSafeFlag
