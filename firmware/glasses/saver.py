"""The saver: moves recordings that wait for a host into flash, and removes files that are done with.

The one place that writes the spool. It does so only while nothing is captured, in pieces of one flash
sector: a write stalls the chip's audio interrupt. A file that a capture cuts into stays open until
that is over, because closing it would write as well.
"""

import asyncio

from glasses.savefile import Writer

_TICK_MS = 1000
_PAUSE_MS = 5  # between two pieces
_BUSY_MS = 100
# Seconds that a recording waits before it is saved: a host that is there acknowledges it sooner, and then
# flash is spared. One that has just gone may come back.
_WITH_HOST_S = 10
_ALONE_S = 2
_ENOSPC = 28


class Saver:
    """`capturing()` and `streaming()` tell whether microphone or camera are on, and a host listens."""

    def __init__(self, journal, spool, log, capturing, streaming):
        self._journal = journal
        self._spool = spool
        self._log = log
        self._capturing = capturing
        self._streaming = streaming
        self._flag = asyncio.ThreadSafeFlag()
        self._lock = asyncio.Lock()
        self._writer = None  # of a file that is not finished
        journal.spool = spool
        journal.on_work = self._flag.set
        self.saved = 0
        self.dropped = 0  # begun, but the recording was gone before the end
        self.failed = 0

    # --- what there is to do ------------------------------------------------------------------

    def _waits(self, recording):
        return recording.closed and not recording.draft and recording.file is None

    def _waiting(self):
        return len([recording for recording in self._journal.recordings if self._waits(recording)])

    def _worth_trying(self, recording):
        # What found no room is not tried again before a file was removed.
        return self._waits(recording) and recording.failed != self._spool.removed

    def _pending(self):
        if self._spool.doomed or self._writer is not None:
            return True
        return any(self._worth_trying(recording) for recording in self._journal.recordings)

    def _due(self):
        """The recording to be saved next, or None."""
        journal = self._journal
        wait = _WITH_HOST_S if self._streaming() else _ALONE_S
        short = journal.free * 4 < journal.slots  # rather save now than evict
        for recording in journal.recordings:
            if self._worth_trying(recording) and (recording.waited >= wait or (short and recording.held)):
                return recording
        return None

    def _at_hand(self):
        return bool(self._spool.doomed) or self._writer is not None or self._due() is not None

    def _age(self):
        for recording in self._journal.recordings:
            if self._waits(recording) and recording.waited < _WITH_HOST_S:
                recording.waited += 1

    def left_over(self):
        """How many complete recordings `save_all` could not save without giving up others."""
        room = -1
        left = 0
        try:
            room = self._spool.room()
        except OSError:
            pass
        for recording in self._journal.recordings:
            if self._waits(recording):
                room -= self._spool.need(recording)
                if room < 0:
                    left += 1
        return left

    # --- doing it -------------------------------------------------------------------------------

    async def _quiet(self):
        """Return when nothing is captured. Flash may be written then, until the next await."""
        while self._capturing():
            await asyncio.sleep_ms(_BUSY_MS)

    async def _sweep(self):
        while self._spool.doomed:
            await self._quiet()
            if self._spool.doomed:
                self._spool.sweep()
            await asyncio.sleep_ms(_PAUSE_MS)

    async def _make_room(self, recording):
        """Give up saved recordings, the oldest first, until there is room. False if all would not do."""
        spool = self._spool
        need = spool.need(recording)
        while True:
            await self._sweep()
            await self._quiet()
            room = spool.room()
            if need <= room:
                return True
            for other in self._journal.recordings:
                if other.file is not None:
                    room += spool.space(other.file.size)
            if need > room or not self._journal.evict_saved():
                return False

    async def _finish_writer(self):
        """Throw away what was begun by a task that died."""
        if self._writer is not None:
            await self._quiet()
            self._writer.abort()
            self._writer = None

    async def _save(self, recording):
        """Save one recording. False if flash does not take it; True too if it was gone before the end."""
        await self._finish_writer()
        while True:
            try:
                if not await self._make_room(recording):
                    return self._fail(recording, "there is no room")
                if recording not in self._journal.recordings:
                    return True
                return await self._write(recording)
            except OSError as error:
                if self._writer is not None:
                    # No await since the write that failed: nothing is captured.
                    self._writer.abort()
                    self._writer = None
                if error.args[0] != _ENOSPC or not self._journal.evict_saved():
                    return self._fail(recording, error)
            finally:
                recording.saving = False

    async def _write(self, recording):
        writer = self._writer = Writer(self._spool, self._journal, recording)
        recording.saving = True
        while True:
            await self._quiet()
            if not recording.saving:  # it is gone, or a part of it
                writer.abort()
                self._writer = None
                self.dropped += 1
                return True
            writer.step()
            if writer.done:
                self._writer = None
                self._journal.move(recording, writer.file)
                self.saved += 1
                self._log.debug("saver", "recording %d is in flash" % recording.number)
                return True
            await asyncio.sleep_ms(_PAUSE_MS)

    def _fail(self, recording, why):
        self.failed += 1
        recording.failed = self._spool.removed
        self._log.error("saver", "recording %d is not saved: %s" % (recording.number, why))
        return False

    async def save_all(self):
        """Save everything that is complete, now, and remove what is to be removed: before sleep, a restart
        or the end of the battery. Waits for a capture to end, and saves what that has made. Returns how many
        could not be saved; nothing is captured then, until the next await."""
        async with self._lock:
            while True:
                left = 0
                for recording in list(self._journal.recordings):
                    if (
                        self._waits(recording)
                        and recording in self._journal.recordings
                        and not await self._save(recording)
                    ):
                        left += 1
                await self._finish_writer()
                await self._sweep()
                if self._waiting() == left and not self._capturing():
                    return left
                await self._quiet()

    async def run(self):
        """The task that saves what has waited, and sleeps while nothing does."""
        while True:
            if not self._pending():
                await self._flag.wait()
                continue
            # Last of all: who asks has the microphone off, if it only listens for a wake word.
            if not self._at_hand() or self._capturing():
                await asyncio.sleep_ms(_TICK_MS)
                self._age()
            if not self._at_hand() or self._capturing():
                continue
            async with self._lock:
                await self._finish_writer()
                await self._sweep()
                recording = self._due()
                while recording is not None:
                    await self._save(recording)
                    recording = self._due()

    def counters(self):
        counts = {"saver.saved": self.saved, "saver.dropped": self.dropped, "saver.failed": self.failed}
        counts.update(self._spool.counters())
        return counts
