"""The node `sweep`: what a file of `configs/sweep/` or `configs/bench/` may say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from vssl.config.errors import ConfigError, nearest
from vssl.config.overrides import parse
from vssl.sweeps.published import figures_of


@dataclass(frozen=True)
class Sweep:
    """Which trials there are, and how failed ones are treated. Words are `key=value`, as on the command line.

    Args:
        axes: {key: values}, or {name: {label: words}} for values that change together; the product of all is made.
            Values are a list, or the words of the command line as a text: "1,2,3", "range(1,9)", "interval(0,1)".
        points: lists of words that belong together: one more axis, without a name.
        exclude: trials that are left out: those for which every key of one of these mappings has the value given,
            or one of a list of values. Keys are axes, groups, or dotted keys of the configuration.
        subset: so many trials, drawn at random from the product; None: all.
        subset_seed: of that draw. A larger subset of the same seed holds the smaller one.
        search: tries points of the axes instead of all of them, and chooses by the online probe, never by the test
            list: "tpe" learns from the points that have ended (Bergstra et al. 2011), "asha" draws them at random and
            stops the worse ones early (Li et al. 2018, arXiv:1810.05934). Needs Optuna; see docs/sweeps.md.
        trials: how many points a search tries.
        search_seed: of its draws.
        finalists: how many points with the highest probe are evaluated when all have been tried; the others are not.
        at_once: points of "tpe" that are tried at the same time, at most: none of them knows of the others' end.
        reduction_factor: of "asha": one in so many goes on at each rung, after 1, r, r^2, ... measurements.
        scales: {name: words} for `scale=name`, which replace that choice: what the sweep is at another size.
        scale: which of `scales` is taken where none is chosen.
        encoders: encoders without training, evaluated beside: "random" once a backbone and seed, others once.
        retries: how often a trial that failed is tried again before it is given up.
        failed: what a later start of the sweep does with trials that failed in an earlier one.
        name: of the sweep's folder; None: that of its file, or its axes.
        note: a line under the table.
        published: {setting: figure} of a paper, shown below the table: a setting is a value or label of the axis, of
            several axes all of them with ", " between, or an encoder; a figure is a number, {name: number}, or null
            where it is not verified.
        published_note: source of these figures, and under what protocol they were got.
        vars: values of the file's own, for `${sweep.vars.name}`.
    """

    axes: Mapping[str, Any] = field(default_factory=dict)
    points: Sequence[Sequence[str]] = ()
    exclude: Sequence[Mapping[str, Any]] = ()
    subset: int | None = None
    subset_seed: int = 0
    search: Literal["tpe", "asha"] | None = None
    trials: int | None = None
    search_seed: int = 0
    finalists: int = 1
    at_once: int = 4
    reduction_factor: int = 4
    scales: Mapping[str, Sequence[str]] = field(default_factory=dict)
    scale: str | None = None
    encoders: Sequence[str] = ()
    retries: int = 0
    failed: Literal["again", "leave"] = "again"
    name: str | None = None
    note: str = ""
    published: Mapping[str, Any] = field(default_factory=dict)
    published_note: str = ""
    vars: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.subset is not None and self.subset < 1:
            raise ValueError(f"subset={self.subset} must be 1 or more")
        self._check_search()
        figures_of(self.published)
        if self.retries < 0:
            raise ValueError(f"retries={self.retries} must be 0 or more")
        if self.scale is not None and self.scale not in self.scales:
            raise ValueError(f"scale={self.scale} is none of scales{nearest(self.scale, self.scales)}")
        if self.name is not None and (not self.name or "/" in self.name or self.name in (".", "..")):
            raise ValueError(f"name={self.name!r} must be the name of one folder; its place is run.out")
        for key, values in self.axes.items():
            if not isinstance(values, Mapping | list | tuple) and not _is_axis(key, values):
                raise ConfigError(f"sweep.axes.{key}: {values!r} is no list of values", f"{key}: [{values}]")
            if not values:
                raise ConfigError(f"sweep.axes.{key} has no values, so that the product is empty")

    def _check_search(self) -> None:
        for name, least in (("trials", 1), ("finalists", 1), ("at_once", 1), ("reduction_factor", 2)):
            if (value := getattr(self, name)) is not None and value < least:
                raise ValueError(f"{name}={value} must be {least} or more")
        if self.search is None and self.trials is not None:
            raise ConfigError(f"sweep.trials={self.trials} is of a search", "sweep.search=tpe or asha; a grid: subset")
        if self.search is not None and self.trials is None:
            raise ConfigError(f"sweep.search={self.search} needs to know how many points to try", "sweep.trials=20")
        if self.search is not None and self.subset is not None:
            raise ConfigError("sweep.subset draws from a grid, and sweep.search tries points", "sweep.trials=20")


def _is_axis(key: str, text: Any) -> bool:
    """Whether a text is one of an axis in the words of the command line: `interval(0,1)`, `1,2,3`."""
    return isinstance(text, str) and parse(f"{key}={text}").is_sweep_override()


def settings_of(node: Mapping[str, Any] | None) -> Sweep:
    """The settings in a composed node `sweep`. Raises ConfigError: unknown keys, wrong types and values."""
    from vssl.config.bind import construct

    return construct({"_target_": "vssl.sweeps.settings.Sweep", **(node or {})}, Sweep, "sweep")
