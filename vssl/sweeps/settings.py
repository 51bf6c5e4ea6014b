"""The node `sweep`: what a file of `configs/sweep/` or `configs/bench/` may say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from vssl.config.errors import ConfigError, nearest


@dataclass(frozen=True)
class Sweep:
    """Which trials there are, and how failed ones are treated. Words are `key=value`, as on the command line.

    Args:
        axes: {key: values}, or {name: {label: words}} for values that change together; the product of all is made.
        points: lists of words that belong together: one more axis, without a name.
        exclude: trials that are left out: those for which every key of one of these mappings has the value given,
            or one of a list of values. Keys are axes, groups, or dotted keys of the configuration.
        subset: so many trials, drawn at random from the product; None: all.
        subset_seed: of that draw. A larger subset of the same seed holds the smaller one.
        scales: {name: words} for `scale=name`, which replace that choice: what the sweep is at another size.
        scale: which of `scales` is taken where none is chosen.
        encoders: encoders without training, evaluated beside: "random" once a backbone and seed, others once.
        retries: how often a trial that failed is tried again before it is given up.
        failed: what a later start of the sweep does with trials that failed in an earlier one.
        name: of the sweep's folder; None: that of its file, or its axes.
        note: a line under the table.
        published: {label or value of the first axis: published figure} and what these are; see `published_note`.
        published_note: source of these figures, and what differs from the trials here.
        vars: values of the file's own, for `${sweep.vars.name}`.
    """

    axes: Mapping[str, Any] = field(default_factory=dict)
    points: Sequence[Sequence[str]] = ()
    exclude: Sequence[Mapping[str, Any]] = ()
    subset: int | None = None
    subset_seed: int = 0
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
        if self.retries < 0:
            raise ValueError(f"retries={self.retries} must be 0 or more")
        if self.scale is not None and self.scale not in self.scales:
            raise ValueError(f"scale={self.scale} is none of scales{nearest(self.scale, self.scales)}")
        if self.name is not None and (not self.name or "/" in self.name or self.name in (".", "..")):
            raise ValueError(f"name={self.name!r} must be the name of one folder; its place is run.out")
        for key, values in self.axes.items():
            if not isinstance(values, Mapping | list | tuple):
                raise ConfigError(f"sweep.axes.{key}: {values!r} is no list of values", f"{key}: [{values}]")
            if not values:
                raise ConfigError(f"sweep.axes.{key} has no values, so that the product is empty")


def settings_of(node: Mapping[str, Any] | None) -> Sweep:
    """The settings in a composed node `sweep`. Raises ConfigError: unknown keys, wrong types and values."""
    from vssl.config.bind import construct

    return construct({"_target_": "vssl.sweeps.settings.Sweep", **(node or {})}, Sweep, "sweep")
