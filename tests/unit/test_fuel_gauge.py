"""The fuel gauge: the curve, what is shown while a cell falls and is charged, and its three thresholds."""

from __future__ import annotations

import importlib.util
import itertools
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"
_spec = importlib.util.spec_from_file_location("gauge_under_test", FIRMWARE / "glasses" / "fuel_gauge.py")
assert _spec is not None and _spec.loader is not None
unit: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(unit)

PERIOD = 1 << 30
DATA: dict[str, Any] = {"driver": "battery", "pin": 8, "ratio": 2.0, "empty_v": 3.3, "full_v": 4.2}
STEP = 5000


def diff(end: int, start: int) -> int:
    return (end - start + PERIOD // 2) % PERIOD - PERIOD // 2


class Cell:
    """A gauge that is fed every 5 s, and all that it ever showed."""

    def __init__(self, remembered: int | None = None, base: int = 0, **data: Any) -> None:
        self.gauge = unit.FuelGauge({**DATA, **data}, diff, remembered)
        self.t = base
        self.shown: list[int] = []
        self.lows = self.cutoffs = self.criticals = 0

    def see(self, *volts: float, **how: Any) -> Any:
        gauge = self.gauge
        for v in volts:
            before = gauge.low, gauge.cutoff, gauge.critical
            gauge.update(self.t % PERIOD, v, **how)
            self.t += STEP
            self.shown.append(gauge.percent)
            self.lows += gauge.low and not before[0]
            self.cutoffs += gauge.cutoff and not before[1]
            self.criticals += gauge.critical and not before[2]
        return gauge

    def steps(self) -> list[int]:
        """What happened to the percentage after the anchor."""
        shown = self.shown[unit.ANCHOR - 1 :]
        return [b - a for a, b in itertools.pairwise(shown)]


def line(start: float, end: float, samples: int) -> list[float]:
    return [start + (end - start) * i / max(samples - 1, 1) for i in range(samples)]


# --- the curve ------------------------------------------------------------------------------------


def test_the_curve_rises_from_nothing_to_full() -> None:
    volts, percents = zip(*unit.CURVE, strict=True)
    assert list(volts) == sorted(set(volts)) and list(percents) == sorted(set(percents))
    assert (percents[0], percents[-1]) == (0, 100)
    for mv, percent in unit.CURVE:
        assert unit.charge(mv / 1000) == pytest.approx(percent)
    assert unit.charge(3.83) == pytest.approx(47.5)
    assert (unit.charge(2.9), unit.charge(4.35)) == (0, 100)


@given(st.floats(2, 5), st.floats(2, 5))
def test_more_volts_are_not_less_charge(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0 <= unit.charge(low) <= unit.charge(high) <= 100


def test_the_board_says_where_nothing_and_all_is() -> None:
    gauge = unit.FuelGauge({"empty_v": 3.61, "full_v": 4.11}, diff)
    assert gauge.usable(3.61) == gauge.usable(3.3) == 0
    assert gauge.usable(4.11) == gauge.usable(4.2) == 100
    assert gauge.usable(3.83) == pytest.approx(50)  # 47.5 of 5..90
    assert unit.FuelGauge({}, diff).usable(3.84) == pytest.approx(50, abs=1)


# --- start ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("volts", "percent"), [(4.2, 100), (3.84, 50), (3.7, 12), (3.3, 0), (3.0, 0)])
def test_a_cold_start_shows_the_truth_at_once(volts: float, percent: int) -> None:
    assert Cell().see(volts).percent == percent


def test_an_outlier_at_the_start_is_corrected_before_the_anchor() -> None:
    for volts in ((3.3, 3.84, 3.84), (3.84, 3.3, 3.84), (4.2, 3.84, 3.84), (3.84, 3.84, 4.2)):
        gauge = Cell().see(*volts)
        assert gauge.percent == 50 and gauge.anchored, volts
    gauge = Cell().see(3.0, 3.72, 3.72)
    assert gauge.percent == 17 and not gauge.low
    assert Cell().see(3.0, 3.38, 3.38).capture_ok


@pytest.mark.parametrize(
    ("remembered", "shown"), [(47, 47), (53, 53), (44, 50), (80, 50), (None, 50), (0, 50)]
)
def test_after_a_sleep_what_was_shown_stays_unless_the_voltage_contradicts(
    remembered: int | None, shown: int
) -> None:
    assert Cell(remembered).see(*[3.84] * 3).percent == shown


@pytest.mark.parametrize("volts", [0.0, 1.99, 5.01, 6.2, float("nan")])
def test_a_voltage_that_no_cell_has_changes_nothing(volts: float) -> None:
    cell = Cell()
    assert cell.gauge.update(0, volts) is False
    assert cell.gauge.percent is None
    cell.see(3.84, 3.84, 3.84)
    before = dict(vars(cell.gauge))
    assert cell.gauge.update(cell.t, volts) is False
    assert vars(cell.gauge) == before | {"refused": 2}


# --- load -----------------------------------------------------------------------------------------


def test_a_known_load_is_calculated_back() -> None:
    cell = Cell(ohm=0.25)
    cell.see(*[3.84] * 5, load_ma=0)
    gauge = cell.see(*[3.84 - 0.25 * 0.12] * 200, load_ma=120)
    assert gauge.percent == 50
    assert gauge.volts == pytest.approx(3.84, abs=1e-3)
    assert gauge.terminal == pytest.approx(3.81), "the thresholds are of what the regulator gets"


def test_an_unknown_load_is_smoothed_slowly() -> None:
    loaded, idle = Cell(), Cell()
    for cell in (loaded, idle):
        cell.see(*[3.84] * 5)
    loaded.see(*[3.81] * 10, loading=True)
    idle.see(*[3.81] * 10, loading=False)
    assert 3.83 < loaded.gauge.volts < 3.838
    assert idle.gauge.volts < 3.82


def test_the_charger_current_is_calculated_back() -> None:
    assert Cell(ohm=0.2, charge_ma=100).see(*[3.86] * 3, usb=True, charger=True).percent == 50
    assert Cell(ohm=0.2, charge_ma=100).see(*[3.84] * 3, usb=True, charger=False).percent == 50
    assert Cell(ohm=0.2, charge_ma=100).see(*[4.2] * 3, usb=True).percent == 100, "its current has faded"
    # With USB there the glasses do not draw from the cell.
    assert Cell(ohm=0.2).see(*[3.84] * 3, usb=True, charger=False, load_ma=200).percent == 50


# --- falling --------------------------------------------------------------------------------------


def noisy(volts: list[float], peak: float, seed: int) -> list[float]:
    rng = random.Random(seed)
    return [v + rng.uniform(-peak, peak) for v in volts]


@given(
    st.floats(3.0, 4.25),
    st.floats(0, 0.9),
    st.integers(5, 150),
    st.floats(0, 0.02),
    st.integers(0, 1 << 16),
    st.booleans(),
    st.sampled_from([None, False]),
    st.sampled_from([0, PERIOD - 100000]),
)
def test_a_falling_cell_never_rises_and_never_jumps(
    start: float, fall: float, n: int, peak: float, seed: int, loading: bool, usb: bool | None, base: int
) -> None:
    cell = Cell(base=base)
    cell.see(*noisy(line(start, max(start - fall, 2.8), n), peak, seed), loading=loading, usb=usb)
    assert set(cell.steps()) <= {0, -1}
    assert all(0 <= percent <= 100 for percent in cell.shown)
    assert cell.lows <= 1 and cell.criticals <= 1
    assert not cell.gauge.charging


@given(
    st.lists(st.floats(0, 6.5), min_size=4, max_size=60),
    st.lists(st.sampled_from([None, False, True]), min_size=2, max_size=2),
    st.integers(0, 200),
)
def test_whatever_is_read_it_goes_step_by_step_within_bounds(
    volts: list[float], wires: list[bool | None], load_ma: int
) -> None:
    usb, charger = wires
    cell = Cell()
    cell.see(3.8, 3.8, 3.8)
    cell.see(*volts, usb=usb, charger=charger, load_ma=load_ma)
    allowed = {0, 1} if usb or charger else {0, -1}
    if usb is None and charger is None:
        allowed = {0, 1, -1}
    assert set(cell.steps()) <= allowed
    assert all(0 <= percent <= 100 for percent in cell.shown)


def test_it_follows_a_discharge_and_reaches_nothing() -> None:
    cell = Cell()
    worst = 0.0
    for v in noisy(line(4.2, 3.3, 2000), 0.008, 1):
        cell.see(v)
        worst = max(worst, abs(cell.gauge.percent - cell.gauge.usable(v)))
    assert worst < 10
    cell.see(*[3.28] * 100)
    assert cell.gauge.percent == 0
    assert (cell.lows, cell.criticals, cell.cutoffs) == (1, 1, 1)


def test_ticks_may_wrap() -> None:
    cells = [Cell(), Cell(base=PERIOD - 30000)]
    for cell in cells:
        cell.see(*[3.9] * 3, *[3.7] * 20)
    assert cells[0].shown == cells[1].shown and cells[0].gauge.volts == cells[1].gauge.volts


def test_a_drop_is_shown_step_by_step() -> None:
    cell = Cell()
    gauge = cell.see(*[4.0] * 3)
    assert not gauge.settling
    cell.see(*[3.7] * 8)
    assert gauge.settling and gauge.percent >= 77 - 8
    cell.see(*[3.7] * 100)
    assert not gauge.settling and gauge.percent == pytest.approx(12, abs=1)


def test_a_pause_of_hours_does_not_make_it_jump() -> None:
    cell = Cell()
    cell.see(*[4.0] * 5)
    cell.t += 3600_000 * 5
    before = cell.gauge.percent
    assert cell.see(3.75, 3.75).percent == before - 2
    assert cell.gauge.volts == pytest.approx(3.75, abs=0.01), "what is known is known at once"


# --- charging -------------------------------------------------------------------------------------


@given(
    st.floats(3.0, 4.2),
    st.floats(-0.05, 0.9),
    st.integers(5, 150),
    st.floats(0, 0.02),
    st.integers(0, 1 << 16),
    st.sampled_from([(True, None), (True, True), (None, True), (True, False)]),
)
def test_what_is_charged_never_falls(
    start: float, rise: float, n: int, peak: float, seed: int, wires: tuple[bool | None, bool | None]
) -> None:
    cell = Cell()
    usb, charger = wires
    cell.see(*noisy(line(start, min(start + rise, 4.25), n), peak, seed), usb=usb, charger=charger)
    assert set(cell.steps()) <= {0, 1}
    assert not cell.gauge.cutoff and not cell.gauge.below_cutoff() and cell.gauge.capture_ok


def test_full_is_what_the_charger_says() -> None:
    cell = Cell()
    gauge = cell.see(*[4.2] * 50, usb=True, charger=True)
    assert gauge.percent == 99 and gauge.charging
    cell.see(*[4.15] * 3, usb=True, charger=False)
    assert gauge.percent == 100 and not gauge.charging
    fault = Cell().see(*[3.84] * 5, usb=True, charger=False)
    assert fault.percent == 50 and not fault.charging, "a charger that ends half way has a fault"


def test_without_a_wire_from_the_charger_usb_means_charging_until_full() -> None:
    cell = Cell()
    assert cell.see(*[3.84] * 3, usb=True).charging
    assert not cell.see(*[4.2] * 200, usb=True).charging
    assert cell.gauge.percent == 100
    assert not Cell().see(*[3.84] * 3, usb=False).charging


def test_with_a_wire_it_never_rises_on_the_battery() -> None:
    for wires in ({"usb": False}, {"charger": False}):
        cell = Cell()
        cell.see(*[3.75] * 3, *[4.1] * 300, **wires)
        assert set(cell.steps()) == {0}
        assert not cell.gauge.settling, "it waits for the cell, which takes hours"


def test_without_any_wire_a_lasting_rise_means_charging() -> None:
    cell = Cell()
    cell.see(*[3.75] * 3)
    start = cell.gauge.percent
    cell.see(*[4.1] * 30)
    assert cell.gauge.percent == start and not cell.gauge.charging, "150 s prove nothing"
    cell.see(*[4.1] * 40)
    assert cell.gauge.percent > start and cell.gauge.charging
    cell.see(*[4.1] * 100)
    assert cell.gauge.percent == 88 and cell.gauge.charging
    assert set(cell.steps()) == {0, 1}
    cell.see(*[4.05] * 10)
    assert cell.steps()[-10:].count(-1) >= 3 and not cell.gauge.charging


# --- thresholds -----------------------------------------------------------------------------------


def test_low_has_hysteresis() -> None:
    cell = Cell()
    cell.see(*[3.72] * 3)
    assert not cell.gauge.low
    cell.see(*[3.70] * 100)
    assert cell.gauge.low and cell.lows == 1
    cell.see(*[3.715] * 100, usb=True)
    assert cell.gauge.percent > unit.LOW and cell.gauge.low, "charged by 2 %: still low"
    cell.see(*[3.70] * 100)
    assert cell.lows == 1, "the same descent"
    cell.see(*[3.75] * 100, usb=True)
    assert not cell.gauge.low
    cell.see(*[3.70] * 100)
    assert cell.lows == 2


def test_capture_is_refused_below_what_a_peak_needs() -> None:
    cell = Cell()
    assert cell.see(*[3.36] * 3).capture_ok
    cell.see(3.34)
    assert cell.gauge.capture_ok, "one reading"
    cell.see(3.34)
    assert not cell.gauge.capture_ok and cell.gauge.critical
    cell.see(*[3.38] * 5)
    assert not cell.gauge.capture_ok, "without load it recovers: that is no charge"
    cell.see(*[3.42] * 2)
    assert cell.gauge.capture_ok
    assert not Cell(capture_v=3.5).see(3.45).capture_ok
    assert Cell().see(3.2, usb=True).capture_ok
    early = Cell(capture_v=3.65).see(3.64)
    assert early.percent > unit.CRITICAL and early.critical, "no capture is critical at any per cent"


def test_the_cut_off_takes_three_samples_and_is_once_a_descent() -> None:
    cell = Cell()
    cell.see(*[3.4] * 3)
    cell.see(3.29, 3.29, 3.29)  # the median of three is one behind
    assert not cell.gauge.cutoff and cell.gauge.below_cutoff()
    cell.see(3.29)
    assert cell.gauge.cutoff
    cell.see(*[3.29, 3.29, 3.35, 3.35, 3.29, 3.29, 3.29, 3.29, 3.29])
    assert cell.cutoffs == 1, "it recovers without load, and sinks again: the same descent"
    cell.see(*[3.45] * 3, *[3.29] * 5)
    assert cell.cutoffs == 2
    cell.see(3.29, usb=True)
    assert not cell.gauge.cutoff and not cell.gauge.below_cutoff()


def test_the_board_may_set_the_cut_off() -> None:
    assert Cell(cutoff_v=3.5).see(*[3.45] * 3).cutoff
    assert not Cell(cutoff_v=3.1).see(*[3.2] * 30).cutoff
    assert Cell(empty_v=3.4).see(*[3.35] * 3).cutoff, "nothing left is where they go off"


def test_a_start_with_a_dead_cell_says_so() -> None:
    cell = Cell()
    assert cell.see(3.25).below_cutoff() and not cell.gauge.cutoff
    assert cell.see(3.25, 3.25).cutoff
    assert not Cell().see(3.25, usb=True).below_cutoff()
    assert not Cell().see(3.25, 3.8).below_cutoff(), "the first was an outlier"


@given(
    st.lists(st.floats(3.305, 4.2), min_size=1, max_size=40),
    st.data(),
    st.floats(0, 3.29),
)
def test_no_single_outlier_cuts_off(volts: list[float], data: st.DataObject, outlier: float) -> None:
    """One wrong reading anywhere, the first included, also every fourth."""
    at = data.draw(st.integers(0, 3))
    cell = Cell()
    for i, v in enumerate(volts):
        cell.see(outlier if i % 4 == at else v)
        assert not cell.gauge.cutoff
