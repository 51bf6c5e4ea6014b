"""Which trials a sweep consists of: the product of its axes, less what is excluded, and encoders without training."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from vssl.config.compose import compose
from vssl.config.errors import ConfigError, nearest
from vssl.config.overrides import split_axes
from vssl.records.hashes import hash_of
from vssl.sweeps.axes import Axis, Setting, axes_of, key_of, word_of
from vssl.sweeps.settings import Sweep, settings_of
from vssl.sweeps.trunks import with_trunks
from vssl.sweeps.variants import Composer, Variant, refuse_empty, variants

# What an encoder without training depends on, of a bound configuration.
_OF_ENCODER = ("clip", "data", "backbone", "eval", "seed")


@dataclass(frozen=True)
class Trial:
    """One pretraining and its evaluations, or the evaluations of an encoder without training; nothing of it has run.

    Args:
        name: in words: method, backbone, what else the sweep varies, seed.
        values: {axis: value} of the axes that have more than one, as they are told.
        words: `key=value` that make it on the command line, without paths.
        encoder: one without training; None: the trial's own method trains one.
        trunk: the longer trial whose checkpoint this one may begin with.
        settings: {axis: value} of all axes, as they are told.
    """

    name: str
    values: dict[str, str]
    words: tuple[str, ...]
    bound: dict[str, Any]
    choices: dict[str, str]
    hashes: dict[str, str]
    encoder: str | None = None
    trunk: str | None = None
    settings: dict[str, str] = field(default_factory=dict)

    @cached_property
    def id(self) -> str:
        """Hash of the bound configuration; equal trials of two sweeps are one trial."""
        kept = self.hashes if self.encoder is None else {node: self.hashes.get(node) for node in _OF_ENCODER}
        return hash_of({"encoder": self.encoder, **kept})[:16]

    @cached_property
    def pretraining(self) -> str | None:
        """The id without the evaluation: trials that share it train once."""
        if self.encoder is not None:
            return None
        return hash_of({node: digest for node, digest in self.hashes.items() if node != "eval"})[:16]

    @property
    def seed(self) -> int:
        return int(self.bound["seed"])

    @property
    def backbone(self) -> str:
        return self.choices["backbone"]


@dataclass(frozen=True)
class Plan:
    """A sweep: its trials in order, each once.

    Args:
        group, name: of its file; name None: axes of the command line alone.
        folder: that everything lies in.
        varied: the axes with more than one value.
        excluded: how many combinations `exclude` took out.
        launcher: the composed node, None for the default.
        space: what a search chooses from. `trials` then show each value and end of its axes once, to be checked.
    """

    group: str
    name: str | None
    folder: Path
    settings: Sweep
    trials: tuple[Trial, ...]
    varied: tuple[str, ...] = ()
    excluded: int = 0
    launcher: Mapping[str, Any] | None = None
    title: str = field(default="sweep")
    space: "Space | None" = None


@dataclass(frozen=True)
class Space:
    """The points that a search may try. Args: varied: the axes with more than one value."""

    composer: Composer
    axes: tuple[Axis, ...]
    varied: tuple[str, ...]
    exclude: Sequence[Mapping[str, Any]]

    def trial(self, settings: Sequence[Setting]) -> Trial | None:
        """Of one setting of every axis; None where it is excluded. Raises ConfigError."""
        point = [Axis(axis.key, (setting,)) for axis, setting in zip(self.axes, settings, strict=True)]
        (trial,) = _trials(self.composer, point, self.varied)
        return None if _excluded(trial, self.exclude) else trial

    def ends(self) -> Iterator[Trial]:
        """Every setting of every axis, and both ends of a range, beside the first of all others."""
        for moved in range(len(self.axes)):
            held = [Axis(axis.key, axis.settings[:1]) for axis in self.axes]
            yield from _trials(self.composer, [*held[:moved], self.axes[moved], *held[moved + 1 :]], self.varied)


def plan(
    group: str,
    name: str | None,
    overrides: Sequence[str],
    paths: Mapping[str, str],
    config_dirs: Sequence[Path] = (),
) -> Plan:
    """Compose and bind every trial of the file `name` of `group`, or of axes alone.

    The user's values win over those of a point. `scale=` takes the words of that name in the file, where it has any.

    Raises:
        ConfigError: of any trial, before one of them has begun; a product that is empty.
    """
    words = list(overrides)
    head: list[str] = [f"{group}={name}"] if name else []
    own = [word for word in words if key_of(word).split(".")[0] in ("sweep", "launcher")]
    words = [word for word in words if word not in own]
    tree = _own_nodes(head, [*own, *words], paths, config_dirs)
    settings = settings_of(tree.get("sweep"))
    scaled, words = _scale(settings, words)
    head += [*scaled, *(word for word in own if key_of(word).startswith("sweep.vars."))]
    fixed, axes = axes_of(settings, words)
    if not axes:
        what = f"{group}={name}: the file names" if name else "nothing varies: there is no NAME, and the words name"
        axis = "optim.base_lr=tag(log,interval(1e-4,1e-2))" if settings.search else "method=videomae,simsiam seed=0,1,2"
        raise ConfigError(f"{what} no axis and no points", f"for example {axis}")
    refuse_empty(axes)
    composer = Composer(tuple(head), tuple(fixed), dict(paths), tuple(config_dirs))
    varied = tuple(axis.key for axis in axes if axis.key is not None and len(axis.settings) > 1)
    space = Space(composer, tuple(axes), varied, settings.exclude) if settings.search else None
    made = {trial.id: trial for trial in (space.ends() if space else _trials(composer, axes, varied))}
    kept = _subset([trial for trial in made.values() if not _excluded(trial, settings.exclude)], settings)
    if not space:
        kept = with_trunks(kept)
    if not kept:
        what = "everything is excluded" if made else "an axis has no values"
        raise ConfigError(f"no trial is left: {what}", "see sweep.exclude and the values of the axes")
    called = name or "-".join(axis.key.replace("/", "-") for axis in axes if axis.key)
    called = settings.name or "-".join(filter(None, (called, settings.search)))
    folder = Path(kept[0].bound["run"]["out"]) / group / called
    beside = [] if space else encoders(settings, kept)
    return Plan(
        group, name, folder, settings, (*kept, *beside), varied, len(made) - len(kept), tree.get("launcher"), called,
        space,
    )  # fmt: skip


def _own_nodes(
    head: Sequence[str], words: Sequence[str], paths: Mapping[str, str], config_dirs: Sequence[Path]
) -> dict[str, Any]:
    """The composed nodes `sweep` and `launcher`."""
    own = [word for word in words if key_of(word).split(".")[0] in ("sweep", "launcher")]
    return compose([*head, *own], paths=paths, config_dirs=config_dirs).tree


def _scale(settings: Sweep, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words of the chosen scale, where the file has it, and the user's, without `scale=`.

    What a scale says of the file's axes, and axes of its own (`backbone=vit_nano,swin_nano`), come with the user's
    words. Where the user chooses anew (`data=video_list`), what a scale says below that key (`data.label`) is left out.
    """
    given = [word.partition("=")[2] for word in words if key_of(word) == "scale"]
    chosen = given[-1] if given else settings.scale
    if chosen is None or chosen not in settings.scales:
        return [], list(words)
    users = [word for word in words if key_of(word) != "scale"]
    said = {key_of(word) for word in users}
    scaled = [str(word) for word in settings.scales[chosen] if not said & {*_prefixes(key_of(str(word)))}]
    _, axes = split_axes(scaled)
    varied = [word for word in scaled if key_of(word) in {*axes, *settings.axes}]
    return [word for word in scaled if word not in varied], [*varied, *users]


def _prefixes(key: str) -> list[str]:
    """`data`, `data.sets` and `data.sets.own` of `data.sets.own`."""
    parts = key.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _trials(composer: Composer, axes: Sequence[Axis], varied: Sequence[str]) -> Iterator[Trial]:
    for variant in variants(composer, axes):
        pairs = zip(axes, variant.settings, strict=True)
        settings = {axis.key: setting.told for axis, setting in pairs if axis.key is not None}
        values = {key: told for key, told in settings.items() if key in varied}
        name = _name(variant, values)
        yield Trial(
            name, values, variant.words, variant.bound, variant.choices, variant.hashes, settings=settings
        )  # fmt: skip


def _name(variant: Variant, values: Mapping[str, str]) -> str:
    others = [f"{key}={told}" for key, told in values.items() if key not in ("method", "backbone", "seed")]
    said = (variant.choices.get("method", ""), variant.choices.get("backbone", ""))
    return ", ".join([*filter(None, said), *others, f"seed {variant.bound['seed']}"])


def _excluded(trial: Trial, exclude: Sequence[Mapping[str, Any]]) -> bool:
    return any(all(_has(trial, key, wanted) for key, wanted in condition.items()) for condition in exclude)


def _has(trial: Trial, key: str, wanted: Any) -> bool:
    options = wanted if isinstance(wanted, list | tuple) else [wanted]
    found = _looked_up(trial, key)
    return any(found == option or str(found) == word_of("", option)[1:] for option in options)


def _looked_up(trial: Trial, key: str) -> Any:
    """An axis as told, a group's choice, or a dotted key of the bound configuration."""
    if key in trial.settings:
        return trial.settings[key]
    if key in trial.choices:
        return trial.choices[key]
    node: Any = trial.bound
    for place, part in enumerate(key.split(".")):
        if not isinstance(node, Mapping) or part not in node:
            if place == 0:
                known = [*trial.settings, *trial.choices, *trial.bound]
                raise ConfigError(f"sweep.exclude: there is no {key}{nearest(key, known)}")
            return None
        node = node[part]
    return node


def _subset(trials: list[Trial], settings: Sweep) -> list[Trial]:
    """At most `settings.subset` of them, in their order; drawn so that a larger one holds the smaller one."""
    if settings.subset is None or settings.subset >= len(trials):
        return trials
    order = list(range(len(trials)))
    random.Random(settings.subset_seed).shuffle(order)
    return [trials[place] for place in sorted(order[: settings.subset])]


def encoders(settings: Sweep, trials: Sequence[Trial]) -> list[Trial]:
    """Encoders without training, on the trials' data: `random` once a backbone, clip and seed, any other once."""
    found: dict[str, Trial] = {}
    for encoder in settings.encoders:
        for trial in trials:
            name = f"{encoder}, {trial.backbone}, seed {trial.seed}"
            one = Trial(name, {}, (), trial.bound, trial.choices, trial.hashes, encoder)
            found.setdefault(one.id, one)
            if encoder != "random":
                break
    return list(found.values())
