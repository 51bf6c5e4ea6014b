"""Learning curves: the online probe of all rows, and the loss, which says something within one method only."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from vssl.report.curves import NOTE, Curve, curves_of, mean_of
from vssl.report.html.markup import joined
from vssl.report.html.plot import Plot, panels
from vssl.report.html.scales import linear
from vssl.report.html.section import Section
from vssl.report.html.series import Series, legend
from vssl.report.rows import Row

if TYPE_CHECKING:
    from vssl.report.table import Table

_POINTS = 120  # of a loss, each the mean of the steps around it
_SAMPLES = "samples, repeats counted"


def learning(table: "Table", series: Sequence[Series]) -> Section:
    probes, losses = curves_of(table.rows), losses_of(table.rows)
    plots = [_plot("online probe: kNN top-1 on training videos", "%", probes, series, 100.0)] if probes else []
    for method in dict.fromkeys(table.rows[curve.row].first.called for curve in losses):
        own = [curve for curve in losses if table.rows[curve.row].first.called == method]
        plots.append(_plot(f"loss of {method}", "", own, series))
    shown = [one for place, one in enumerate(series) if any(curve.row == place for curve in [*probes, *losses])]
    lines = [NOTE] if probes else ["No run was probed while it was trained."]
    if losses:
        lines.append(
            f"Loss: means over {_POINTS} stretches at most. Losses of two methods measure two things; nothing "
            "follows from the lower one."
        )
    body = joined(legend(shown), panels(plots)) if plots else joined()
    return Section("learning", "Learning curves", body, "no run here has a metrics.csv with curves", lines)


def losses_of(rows: Sequence[Row]) -> list[Curve]:
    """One for each run with a loss in its `metrics.csv`, thinned out."""
    found = [
        Curve(place, row.title, encoder.seed, _loss(encoder.folder / "metrics.csv"))
        for place, row in enumerate(rows)
        for encoder in row.encoders
        if row.kind == "run"
    ]
    return [curve for curve in found if curve.points]


def _loss(path: Path) -> tuple[tuple[int, float], ...]:
    try:
        rows = pd.read_csv(path, usecols=["samples", "loss"])
        values = rows.astype(float).to_numpy()
    except (OSError, ValueError):  # not to be read, no such column, no number
        return ()
    values = values[np.isfinite(values).all(axis=1)]
    parts = np.array_split(values, math.ceil(len(values) / math.ceil(len(values) / _POINTS))) if len(values) else []
    return tuple((int(part[-1, 0]), float(part[:, 1].mean())) for part in parts)


def _plot(title: str, unit: str, curves: Sequence[Curve], series: Sequence[Series], times: float = 1.0) -> Plot:
    samples = [float(x) for curve in curves for x, _ in curve.points]
    values = [times * y for curve in curves for _, y in curve.points]
    x = linear(_SAMPLES, samples, zero=True, told=lambda value: f"{value:,.0f}")
    plot = Plot(title, x, linear(unit, values, zero=times != 1.0), (400.0, 210.0))
    for place in dict.fromkeys(curve.row for curve in curves):
        own = [curve for curve in curves if curve.row == place]
        for curve in own if len(own) > 1 else []:
            plot.line([(x, times * y) for x, y in curve.points], series[place], faint=True)
        mean = [(float(x), times * y) for x, y in mean_of(own)]
        if not mean:
            continue
        plot.line(mean, series[place])
        for point in mean if len(mean) <= 30 else mean[-1:]:
            plot.marker(point, series[place], f"{own[0].title}: {point[1]:.4g} at {point[0]:,.0f} samples")
    return plot
