"""Gestures against an oracle that looks at whole presses, and one that steps millisecond by millisecond."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"
_spec = importlib.util.spec_from_file_location("gestures_under_test", FIRMWARE / "glasses" / "gestures.py")
gestures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(gestures)
Gestures = gestures.Gestures

PERIOD = 1 << 30
DEBOUNCE, HOLD, GAP = 8, 300, 250
LADDER = ((3000, "pair"), (8000, "forget"), (12000, "off"))


def diff(end, start):
    return (end - start + PERIOD // 2) % PERIOD - PERIOD // 2


class Run:
    """One button, fed with times counted from ``base``; the events have times counted from it, too."""

    def __init__(self, base=0, **settings):
        self.base = base
        self.events = []
        self.unit = Gestures(self._emit, **settings)

    def _emit(self, name, t, value):
        assert 0 <= t < PERIOD
        self.events.append((name, diff(t, self.base), value))

    def edge(self, t, pressed):
        self.unit.edge((self.base + t) % PERIOD, pressed)

    def tick(self, t):
        self.unit.tick((self.base + t) % PERIOD)

    def start(self, t, pressed):
        self.unit.start((self.base + t) % PERIOD, pressed)

    @property
    def deadline(self):
        deadline = self.unit.deadline
        return None if deadline is None else diff(deadline, self.base)

    def tick_until(self, t):
        """Punctual ticks, up to and including ``t``."""
        while self.deadline is not None and self.deadline <= t:
            self.tick(self.deadline)

    def names(self):
        return [name for name, _, _ in self.events]


def settle(edges, base=0):
    """Feed edges with punctual ticks and let everything run out."""
    run = Run(base)
    for t, pressed in edges:
        run.tick_until(t)
        run.edge(t, pressed)
    run.tick_until(1 << 28)
    return run


# --- The oracles --------------------------------------------------------------------------------


def expected(presses):
    """Events of clean presses ``[(down, up), ...]``, sequence by sequence, straight from the definition."""
    events, at = [], 0
    while at < len(presses):
        taps = 0
        while True:
            down, up = presses[at]
            at += 1
            held = up - down
            events.append(("press", down, None))
            if held >= HOLD:
                if taps == 1:
                    rungs = [(ms, name) for ms, name in LADDER if ms <= held]
                    events.append(("ladder", down, None))
                    events.extend(("rung", down + ms, name) for ms, name in rungs)
                    events.append(("release", up, held))
                    events.append(("long", up, rungs[-1][1]) if rungs else ("cancel", up, None))
                else:
                    if taps == 2:
                        events.append(("double", down, None))
                    events.append(("hold", down, None))
                    events.append(("release", up, held))
                    events.append(("hold_end", up, held))
                break
            events.append(("release", up, held))
            taps += 1
            if taps == 3:
                events.append(("triple", up, None))
                break
            if at == len(presses) or presses[at][0] - up >= GAP:
                events.append((("tap", "double")[taps - 1], up + GAP, None))
                break
    return events


def debounced(edges, end):
    """Accepted edges, by looking at the button's level in every single millisecond."""
    levels = dict(edges)
    raw = accepted = False
    ignore_until = -1
    out = []
    for t in range(end):
        if t == ignore_until and raw != accepted:  # what the level was when the window closed
            accepted = raw
            ignore_until = t + DEBOUNCE
            out.append((t, accepted))
        if t in levels:
            raw = levels[t]
            if t >= ignore_until and raw != accepted:
                accepted = raw
                ignore_until = t + DEBOUNCE
                out.append((t, accepted))
    return out


def to_presses(accepted):
    assert len(accepted) % 2 == 0
    return [(accepted[i][0], accepted[i + 1][0]) for i in range(0, len(accepted), 2)]


# --- Strategies ---------------------------------------------------------------------------------

BASES = st.one_of(st.integers(0, PERIOD - 1), st.integers(PERIOD - 20000, PERIOD - 1))
HELD = st.one_of(
    st.integers(DEBOUNCE, 400),
    st.sampled_from([HOLD - 1, HOLD, HOLD + 1, 2999, 3000, 8000, 11999, 12000, 20000]),
)
PAUSE = st.one_of(st.integers(DEBOUNCE, 400), st.sampled_from([GAP - 1, GAP, GAP + 1, 5000]))


@st.composite
def clean_presses(draw):
    t, presses = 0, []
    for _ in range(draw(st.integers(0, 8))):
        t += draw(PAUSE)
        up = t + draw(HELD)
        presses.append((t, up))
        t = up
    return presses


def edges_of(presses):
    return [edge for down, up in presses for edge in ((down, True), (up, False))]


# Short times, so that everything falls into everything else's window.
@st.composite
def noisy_edges(draw):
    t, edges = 0, []
    for step in draw(st.lists(st.one_of(st.integers(1, 12), st.integers(1, 400)), max_size=30)):
        t += step
        edges.append((t, draw(st.booleans())))
    edges.append((t + 1, False))
    return edges


# --- Laws ---------------------------------------------------------------------------------------


@given(clean_presses(), BASES)
def test_clean_presses_mean_what_the_definition_says(presses, base):
    run = settle(edges_of(presses), base)
    assert run.events == expected(presses)
    assert run.deadline is None
    assert not run.unit.busy


@given(noisy_edges(), BASES)
def test_any_edges_are_debounced_then_mean_what_the_definition_says(edges, base):
    end = edges[-1][0] + 5 * DEBOUNCE
    assert settle(edges, base).events == expected(to_presses(debounced(edges, end)))


@given(clean_presses(), st.data())
def test_bounce_changes_nothing(presses, data):
    bouncing = []
    for t, pressed in edges_of(presses):
        times = sorted(data.draw(st.sets(st.integers(1, DEBOUNCE - 1), max_size=6)))
        bouncing.append((t, pressed))
        bouncing.extend((t + dt, data.draw(st.booleans())) for dt in times[:-1])
        if times:
            bouncing.append((t + times[-1], pressed))
    assert settle(bouncing).events == settle(edges_of(presses)).events


@given(noisy_edges(), st.data(), BASES)
def test_late_ticks_and_batches_give_the_same(edges, data, base):
    """Edges come in batches, ticks whenever (but not past edges that are still queued)."""
    run = Run(base)
    for i, (t, pressed) in enumerate(edges):
        run.edge(t, pressed)
        following = edges[i + 1][0] if i + 1 < len(edges) else t + 1000
        for at in sorted(data.draw(st.lists(st.integers(t, following), max_size=2))):
            run.tick(at)
    run.tick(edges[-1][0] + 100000)
    assert run.events == settle(edges, base).events


@given(noisy_edges(), BASES)
def test_order_and_alternation(edges, base):
    run = settle(edges, base)
    times = [t for _, t, _ in run.events]
    assert times == sorted(times)
    fingers = [name for name in run.names() if name in ("press", "release")]
    assert fingers == ["press", "release"] * (len(fingers) // 2)
    # Each press belongs to one gesture.
    weight = {"tap": 1, "double": 2, "triple": 3, "hold": 1, "long": 2, "cancel": 2}
    assert sum(weight.get(name, 0) for name in run.names()) == run.names().count("press")


@given(noisy_edges(), BASES)
def test_a_deadline_is_never_missing(edges, base):
    """Between two edges nothing is emitted that `deadline` did not announce, and it always moves on."""
    run = Run(base)
    for t, pressed in edges:
        while run.deadline is not None and run.deadline <= t:
            due, before = run.deadline, len(run.events)
            if due > 0:
                run.tick(due - 1)
            assert len(run.events) == before
            run.tick(due)
            assert run.deadline is None or run.deadline > due
        before = len(run.events)
        run.edge(t, pressed)
        assert all(at == t for _, at, _ in run.events[before:])
        assert run.unit.busy or run.deadline is None


@given(st.lists(st.tuples(st.integers(-50, 300), st.booleans()), max_size=40), BASES)
def test_disordered_edges_neither_crash_nor_disorder_the_events(steps, base):
    run, t = Run(base), 1000
    for step, pressed in steps:
        t += step
        run.edge(t, pressed)
    run.edge(t + 100, False)
    run.tick_until(1 << 28)
    times = [at for _, at, _ in run.events]
    assert times == sorted(times)
    assert run.names().count("press") == run.names().count("release")


@given(BASES, st.integers(-(2**29), 2**29 - 1), st.integers(0, 2**29))
def test_ticks_arithmetic(start, delta, forward):
    assert gestures.ticks_diff((start + delta) % PERIOD, start) == delta
    assert gestures.ticks_add(start, forward) == (start + forward) % PERIOD


# --- Cases --------------------------------------------------------------------------------------


def test_a_tap_of_fifteen_ms_counts():
    assert settle([(100, True), (115, False)]).events == [
        ("press", 100, None),
        ("release", 115, 15),
        ("tap", 365, None),
    ]


def test_a_tap_shorter_than_the_debounce_ends_when_its_window_does():
    assert settle([(100, True), (103, False)]).events[1] == ("release", 108, 8)


def test_hold_is_emitted_at_its_time_with_the_time_of_the_press():
    run = Run()
    run.edge(50, True)
    run.tick(50 + HOLD - 1)
    assert run.names() == ["press"]
    run.tick(50 + HOLD)
    assert run.events[-1] == ("hold", 50, None)
    assert run.unit.busy
    assert run.deadline is None
    run.edge(5000, False)
    assert run.events[-2:] == [("release", 5000, 4950), ("hold_end", 5000, 4950)]


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (299, ["double"]),
        (300, ["cancel"]),
        (2999, ["cancel"]),
        (3000, ["pair", "long:pair"]),
        (9000, ["pair", "forget", "long:forget"]),
        (60000, ["pair", "forget", "off", "long:off"]),
    ],
)
def test_ladder(held, said):
    run = settle([(0, True), (100, False), (200, True), (200 + held, False)])
    seen = [
        value if name == "rung" else f"{name}:{value}" if name == "long" else name
        for name, _, value in run.events
        if name not in ("press", "release", "ladder")
    ]
    assert seen == said


def test_started_with_a_finger_down():
    for edge_of_the_same_press in (False, True):
        run = Run()
        run.start(0, True)
        assert run.events == [("press", 0, None)]
        if edge_of_the_same_press:
            run.edge(3, True)
        run.tick(1000)
        run.edge(1200, False)
        assert run.names() == ["press", "hold", "release", "hold_end"]


def test_start_forgets():
    run = Run()
    run.edge(0, True)
    run.edge(100, False)
    run.start(200, False)
    assert (run.deadline, run.unit.busy) == (None, False)
    run.tick(5000)
    assert run.names() == ["press", "release"]


def test_no_press_is_lost_after_days_of_silence():
    for days in (1, 6, 7, 10, 12, 13):
        run = settle([(0, True), (100, False)])
        assert run.deadline is None
        later = days * 86_400_000
        run.base, run.events = later, []
        run.edge(0, True)
        run.edge(100, False)
        run.tick(5000)
        assert run.events == [("press", 0, None), ("release", 100, 100), ("tap", 350, None)]


def test_settings():
    run = Run(debounce_ms=0, hold_ms=100, gap_ms=50, ladder=())
    for t, pressed in ((0, True), (1, False), (2, True), (102, False)):
        run.edge(t, pressed)
    assert run.names() == ["press", "release", "press", "ladder", "release", "cancel"]
    # Where the debounce window and a gesture end together, the gesture was complete first.
    run = Run(debounce_ms=8, hold_ms=8, gap_ms=8, ladder=())
    for t, pressed in ((0, True), (3, False), (100, False)):
        run.edge(t, pressed)
    assert run.names() == ["press", "hold", "release", "hold_end"]


def test_settings_that_make_no_sense():
    for wrong in (
        {"debounce_ms": -1},
        {"hold_ms": 0},
        {"gap_ms": 0},
        {"ladder": ((300, "a"),)},
        {"ladder": ((400, "a"), (400, "b"))},
        {"ladder": ((1 << 29, "a"),)},
    ):
        with pytest.raises(ValueError, match="must"):
            Gestures(print, **wrong)


SAME_IN_MICROPYTHON = """
import json
out = []
g = Gestures(lambda *event: out.append(event))
for t, pressed in json.loads(%r):
    g.edge(t, pressed)
g.tick(%d)
print(json.dumps([out, g.deadline, g.busy]))
"""


def test_the_same_in_micropython():
    """The module runs unmodified in MicroPython, with the same result across the wrap."""
    folders = [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    micropython = shutil.which("micropython", path=os.pathsep.join(folders))
    if micropython is None:
        pytest.skip("no micropython")
    presses = [(0, 100), (200, 290), (400, 470), (2000, 5000), (6000, 6015), (6100, 9500), (10000, 10100)]
    base = PERIOD - 3000
    edges = [((base + t) % PERIOD, pressed) for t, pressed in edges_of(presses)]
    # As text: the package's __init__ needs hardware modules.
    source = (FIRMWARE / "glasses" / "gestures.py").read_text()
    program = source + SAME_IN_MICROPYTHON % (json.dumps(edges), (base + 20000) % PERIOD)
    done = subprocess.run([micropython, "-c", program], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, done.stdout + done.stderr
    events, deadline, busy = json.loads(done.stdout)
    assert [(name, diff(t, base), value) for name, t, value in events] == expected(presses)
    assert (deadline, busy) == (None, False)
