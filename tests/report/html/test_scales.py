"""Axes: every value lies between the ends, ticks lie on the axis and are told once."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vssl.report.html.scales import Axis, categories, linear, logarithmic, settings

FINITE = st.floats(-1e9, 1e9, allow_nan=False).map(lambda value: round(value, 3))
POSITIVE = st.floats(1e-6, 1e18, allow_nan=False)


def check(axis: Axis, values: list[float]) -> None:
    places = [axis.at(value) for value in sorted(values)]
    assert all(0 <= place <= 1 for place in places)
    assert places == sorted(places)
    ticks = [tick for tick, _ in axis.ticks]
    assert ticks
    assert all(axis.low <= tick <= axis.high for tick in ticks)
    assert ticks == sorted(set(ticks))
    assert len(ticks) <= 9


@given(st.lists(FINITE, min_size=1), st.booleans())
@example([0.0], False)
@example([12.5, 12.5], True)
@example([0.031, -100000001.0], False)
def test_linear(values: list[float], zero: bool) -> None:
    axis = linear("%", values, zero)
    check(axis, values)
    assert all(axis.low <= value <= axis.high for value in values)
    assert not zero or axis.low <= 0 <= axis.high


@given(st.lists(POSITIVE, min_size=1))
@example([4.2e12])
def test_logarithmic(values: list[float]) -> None:
    axis = logarithmic("FLOPs", values)
    check(axis, values)
    assert len(axis.ticks) >= 2
    assert all(0 < axis.at(value) < 1 for value in values)


def test_a_factor_is_the_same_distance_everywhere() -> None:
    axis = logarithmic("FLOPs", [1e9, 1e15])
    assert axis.at(1e11) - axis.at(1e10) == pytest.approx(axis.at(1e14) - axis.at(1e13))


def test_settings_far_apart_are_logarithmic() -> None:
    assert settings("lr", [1e-4, 1e-3, 1e-2]).log
    assert not settings("ratio", [0.5, 0.75, 0.9]).log
    assert not settings("x", [0, 100]).log
    assert [told for _, told in settings("ratio", [0.9, 0.5, 0.75]).ticks] == ["0.5", "0.75", "0.9"]


def test_categories_have_half_a_place_at_both_ends() -> None:
    axis = categories("mask", ["tube", "frame"])
    assert [axis.at(tick) for tick, _ in axis.ticks] == [0.25, 0.75]
