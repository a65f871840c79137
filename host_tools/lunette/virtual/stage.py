"""Plays a scene: virtual glasses, a listening host, the script between them, and the report."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lunette import boards
from lunette.client import find
from lunette.errors import LunetteError
from lunette.listen import Listener
from lunette.store import Recording
from lunette.virtual import bleak_backend
from lunette.virtual.air import Air
from lunette.virtual.bleak_radio import host_identity
from lunette.virtual.history import History
from lunette.virtual.introduce import BONDS, introduce
from lunette.virtual.performer import Performer
from lunette.virtual.report import Console, Latency, recording_entry
from lunette.virtual.scene import Scene
from lunette.virtual.scene_energy import SceneEnergy
from lunette.virtual.scene_host import SceneHost, backends
from lunette.virtual.simulator import ADDRESS, VirtualGlasses

_UP_S = 10.0
_DRAIN_S = 10.0
# After these the firmware may be out of reach, or start to count anew: it is asked shortly before.
_ENDS_A_CHAPTER = ("power_cut", "host_leave", "host_crash", "mpremote")
_ASK_BEFORE_S = 0.15
_PROMPT_S = 2.0


class Stage:
    """``report = await Stage(scene, folder).play()``.

    Recordings go to `folder`. `observe(what, detail)` is told everything that the listener, the
    glasses and the script do, as it happens: for a live display.
    """

    def __init__(
        self,
        scene: Scene,
        folder: Path,
        *,
        observe: Callable[[str, Any], None] | None = None,
        drain_s: float = _DRAIN_S,
    ):
        self.scene = scene
        self.folder = folder
        self._observer = observe
        self._drain_s = drain_s
        self._console = Console()
        self._latency = Latency()
        self._history = History()
        self._events: list[dict[str, Any]] = []
        self._start = 0.0
        self._frames: list[tuple[Recording, int, float]] = []  # its length with this frame, when
        self._lit: list[tuple[float, bool]] = []  # when the light changed, and to what
        self._starts: list[float] = []  # when the firmware was (re)started
        # The firmware's count of its starts, with the times of those in which a host came: more than one
        # where they have slept in between, since a wake-up goes on with the count.
        self._boots: dict[int, list[float]] = {}
        self._seen: dict[int, float] = {}  # recording: when the host first heard of it
        self._connected = asyncio.Event()
        self._host: SceneHost | None = None
        self._energy: SceneEnergy | None = None
        self.glasses: VirtualGlasses | None = None

    @property
    def now(self) -> float:
        """Seconds of scene time."""
        return asyncio.get_running_loop().time() - self._start

    @property
    def listener(self) -> Listener | None:
        """Of the host, as it is now."""
        return self._host.listener if self._host is not None else None

    # --- what happens ---------------------------------------------------------------------------

    def _note(self, what: str, detail: Any = None) -> None:
        entry: dict[str, Any] = {"t_s": round(self.now, 4), "what": what}
        if detail is not None:
            entry["detail"] = detail
        self._events.append(entry)

    def _tell(self, what: str, detail: Any) -> None:
        if self._observer is not None:
            self._observer(what, detail)

    def _on_glasses(self, what: str, detail: Any) -> None:
        if what == "console":
            for line in self._console.feed(detail):
                self._tell("line", line)
            return
        if what == "light":
            self._lit.append((asyncio.get_running_loop().time(), detail))
        if what in ("reset", "wake") or (what == "power" and detail):
            self._starts.append(asyncio.get_running_loop().time())
        if self._energy is not None:
            self._energy.observe(what, detail)
        self._note(what, detail)
        self._tell(what, detail)

    def _on_listener(self, what: str, detail: Any) -> None:
        if what == "frame":
            recording, _ = detail
            # With its gaps it is that long now: where the frame ends.
            self._frames.append((recording, recording.samples, asyncio.get_running_loop().time()))
        elif what in ("recording", "recorded"):
            self._seen.setdefault(detail.number, asyncio.get_running_loop().time())
            note: dict[str, Any] = {"id": detail.number, "kind": detail.kind}
            if what == "recorded" and detail.kind == "event":
                note["text"] = detail.payload().decode(errors="replace")
            self._note(what, note)
        elif what == "connected":
            self._connected.set()
            starts = self._boots.setdefault(int(detail.get("boot", 0)), [])
            if self._starts[-1] not in starts:
                starts.append(self._starts[-1])
            self._note(what, detail)
        elif what == "problem":
            self._note(what, detail)
        elif what == "disconnected":
            self._note("host_disconnected")
        self._tell(what, detail)

    # --- the play ---------------------------------------------------------------------------------

    async def play(self) -> dict[str, Any]:
        """Run to the end and return the report. Raises LunetteError if the script cannot be done."""
        loop = asyncio.get_running_loop()
        scene = self.scene
        air = Air(scene.link)
        settings = {"probe_heap": True, **scene.settings}
        files = {BONDS: await introduce(host_identity(), ADDRESS)} if scene.paired else {}
        if scene.journal_kb is not None:
            board = boards.load(scene.board).path.read_bytes()
            files["board.py"] = board + b"\nJOURNAL_KB = %d\n" % scene.journal_kb
        files |= self._models()
        glasses = self.glasses = VirtualGlasses(
            air, scene.board, settings=settings, files=files, observe=self._on_glasses
        )
        bleak_backend.use_air(air)
        performer = Performer(glasses, folder=scene.folder)
        host: SceneHost | None = None
        prompt: asyncio.TimerHandle | None = None
        self._start = loop.time()
        try:
            for action in scene.actions:  # a missing clip is told, and noise made, before anything starts
                if action.do == "say":
                    performer.clip(action.values)
                elif action.do in ("press", "release"):
                    glasses.button(action.values["button"])
                elif action.do == "noise":
                    performer.make_noise(action.values)
                elif action.do == "mic":
                    glasses.microphone(action.values["channel"])
            await glasses.prepare()
            assert glasses.supervisor is not None
            if any(action.do == "mpremote" for action in scene.actions):
                performer.repl_port = await glasses.supervisor.serve_repl()
            await glasses.power_on()
            host = performer.host = self._host = SceneHost(self.folder, air, self._on_listener)
            await self._up(host.task)
            self._start = loop.time()
            if glasses.board.currents is not None:
                self._energy = SceneEnergy(glasses)
            self._events.clear()
            self._note("start")
            for action in scene.actions:
                if action.do in _ENDS_A_CHAPTER:
                    await self._until(action.t - _ASK_BEFORE_S)
                    await self._ask_status(host)
                await self._until(action.t)
                self._note(action.do, action.values or None)
                self._tell("action", action)
                if action.do == "mpremote":  # what the prompt prints is for who works there
                    self._console.quiet = True
                    if prompt is not None:
                        prompt.cancel()
                await performer.perform(action.do, action.values)
                if action.do == "mpremote":
                    prompt = loop.call_later(_PROMPT_S, self._console_again)
            await self._until(scene.duration_s)
            await self._drain(host)
            return await self._report(glasses, host, performer)
        finally:
            if self._energy is not None:
                self._energy.close()
            await performer.close()
            if host is not None:
                await host.close()
            await glasses.close()
            bleak_backend.use_air(None)
            await air.close()

    def _models(self) -> dict[str, bytes]:
        """The scene's wake words, as files of the glasses. Raises LunetteError."""
        if not self.scene.models:
            return {}
        from lunette.wakeword.loaded import load
        from lunette.wakeword.store import Models

        files = {}
        for model in self.scene.models:
            beside = self.scene.folder / model
            made = load(str(beside) if beside.is_file() else model)
            files[Models.path(made.name)] = made.content
        return files

    async def _up(self, listening: asyncio.Task[None]) -> None:
        """The scene's clock starts when the glasses are up and the host has found them; a stranger has as
        soon as it hears them."""
        if not self.scene.paired and await find(None, _UP_S, backends()) is not None:
            return
        waiting = asyncio.ensure_future(self._connected.wait())
        done, _ = await asyncio.wait({waiting, listening}, timeout=_UP_S, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if listening in done:
            await listening
        if waiting not in done:
            tail = "\n".join(self._console.lines[-12:])
            raise LunetteError(f"the glasses did not come up in {_UP_S:g} s; they printed:\n{tail}")

    async def _until(self, t: float) -> None:
        delay = t - self.now
        if delay > 0:
            await asyncio.sleep(delay)

    async def _drain(self, host: SceneHost) -> None:
        """Let the host finish what is on its way, if it is there to do so."""
        end = self.now + self._drain_s
        glasses = self.glasses
        assert glasses is not None
        await asyncio.sleep(0.1)
        while self.now < end and glasses.powered and not host.away:
            if glasses.asleep and host.listener.resting:
                return  # they have said good-bye, and have nothing to say
            client = host.listener.client
            if client is not None and host.connected:
                try:
                    status = await client.request("status")
                except LunetteError:
                    continue
                if not status["recordings"] and all(r.complete for r in host.recordings):
                    return
            await asyncio.sleep(0.1)

    async def _ask_status(self, host: SceneHost) -> None:
        """Keep what the glasses say of themselves, if the host can hear them."""
        client = host.listener.client
        if client is not None and host.connected:
            with contextlib.suppress(LunetteError):
                self._history.keep(await client.request("status"), len(self._starts))

    def _console_again(self) -> None:
        self._console.quiet = False

    # --- the report -------------------------------------------------------------------------------

    def _started(self, recording: Recording) -> float | None:
        session = self._session(recording)
        if session is None:
            return None
        return session.started - self._start + self._skipped(recording, session) / session.rate

    @staticmethod
    def _skipped(recording: Recording, session: Any) -> int:
        """Samples of the session before those of the recording. With a wake word the microphone ran before;
        then it is told by the end, which they have in common. One more frame may be there that the firmware
        did not take."""
        if recording.cause == "wake":
            first, count = session.segments[-1] if session.segments else (0, 0)
            return max(0, first + count - recording.samples)
        return int(recording.end.get("trimmed_ms", 0)) * session.rate // 1000

    def _session(self, recording: Recording) -> Any:
        """The chip's microphone session behind a recording: the firmware counts its takes, the chip its
        sessions, both from the same start of the glasses. Of several with the same count it is taken to be
        the last one before the host heard of the recording; not so for one that they kept over a sleep."""
        boot = recording.number >> 16
        take = recording.meta.get("take")
        assert self.glasses is not None
        if boot not in self._boots or not isinstance(take, int):
            return None
        starts = self._boots[boot]
        seen = self._seen.get(recording.number, starts[0])
        since = max((t for t in starts if t <= seen), default=starts[0])
        until = min((t for t in self._starts if t > since), default=float("inf"))
        found = [s for s in self.glasses.chip.i2s.takes if since <= s.started < until]
        return found[take - 1] if 0 < take <= len(found) else None

    def heard(self, recording: Recording) -> Any:
        """What sounded at the microphone during a recording, int16 mono; None if that is not known."""
        session = self._session(recording)
        if session is None or self.glasses is None:
            return None
        first = session.first_sample + self._skipped(recording, session)
        return self.glasses.sound.render(first, recording.samples)

    def _microphone(self) -> list[list[float]]:
        """[begin, end] in scene time of each time that the microphone ran."""
        assert self.glasses is not None
        now = asyncio.get_running_loop().time()
        spans = [(session.started, session.ended or now) for session in self.glasses.chip.i2s.takes]
        return [[round(t - self._start, 4) for t in span] for span in spans]

    def _light(self) -> list[list[float]]:
        """The same of the light."""
        changes = [*self._lit, (asyncio.get_running_loop().time(), False)]
        spans: list[list[float]] = []
        since: float | None = None
        for t, on in changes:
            if on and since is None:
                since = t
            elif not on and since is not None:
                spans.append([round(since - self._start, 4), round(t - self._start, 4)])
                since = None
        return spans

    async def _report(self, glasses: VirtualGlasses, host: SceneHost, performer: Performer) -> dict[str, Any]:
        await self._ask_status(host)
        counters = self._history.counters()
        rate = 16000
        for recording, end, arrived in self._frames:
            session = self._session(recording)
            if session is not None:
                first = self._skipped(recording, session)
                self._latency.add(arrived, session.started + (first + end) / rate)
        notified, received = host.traffic()
        span = self._frames[-1][2] - self._frames[0][2] if len(self._frames) > 1 else 0.0
        frames_bytes = sum(len(r.payload()) for r in host.recordings)
        states = self._history.states()
        states["off"] = round(states.get("off", 0.0) + glasses.dark_s, 3)
        return {
            "scene": {"duration_s": self.scene.duration_s, "board": self.scene.board},
            "recordings": [
                recording_entry(r, self._started(r)) for r in host.recordings if r.kind != "event"
            ],
            "microphone": self._microphone(),
            "light": self._light(),
            "events": self._events,
            "link": {
                "notifications": notified,
                "bytes": received,
                "enomem": counters.get("pump.enomem", 0),
                "reconnects": host.reconnects,
                "goodput_kbps": round(frames_bytes * 8 / span / 1000, 2) if span else None,
                "air": glasses.air.stats(),
            },
            "latency_ms": self._latency.summary(),
            "counters": counters,
            "heap": self._history.heap(),
            "states": states,
            "energy": {} if self._energy is None else self._energy.table(),
            "strangers": [stranger.report() for stranger in performer.strangers],
            "mpremote": performer.mpremote_runs,
            "errors": self._console.errors,
        }
