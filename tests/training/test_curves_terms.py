"""What a row of `metrics.csv` says of a term: the mean over the micro-batches and ranks that have a value."""

import math

from vssl.training.callbacks import _mean


def test_a_term_without_a_value_somewhere_is_the_mean_of_the_others() -> None:
    assert _mean("accuracy.b", [math.nan, 0.5, 1.0]) == 0.75
    assert math.isnan(_mean("accuracy.b", [math.nan, math.nan]))


def test_a_loss_that_is_no_number_stays_none_and_stops_the_run() -> None:
    assert math.isnan(_mean("loss", [0.5, math.nan]))
