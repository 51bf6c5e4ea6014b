"""For every row its exact command: how it was trained, from its configuration, and how it was evaluated."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vssl.config.errors import UserError
from vssl.records.hashes import hash_of
from vssl.records.record import owner
from vssl.report.gather import Encoder, Evaluated
from vssl.report.html.comparison import command_anchor
from vssl.report.html.markup import Markup, joined, tag
from vssl.report.html.recipe import composed_of, paths_of, recipe, same, settings
from vssl.report.html.section import Section, folded, raised
from vssl.report.html.trials import Trial, trials_of
from vssl.report.rows import Row

if TYPE_CHECKING:
    from vssl.report.table import Table

_READING = (
    "A trial of a sweep: its own words. Any other run: written from the bound configuration beside its record, with "
    "everything that its choices do not say. Where it runs and writes (run.out, run.threads, ...) is left out.",
)
_OF_ENCODER = ("backbone", "data", "clip")


@dataclass
class Known:
    """What the words of an encoder can be told from.

    Args:
        trials: {folder of a run or of an encoder without training: the trial that made it}.
        trained: all encoders with a configuration.
    """

    trials: dict[Path, Trial] = field(default_factory=dict)
    trained: list[Encoder] = field(default_factory=list)

    @classmethod
    def of(cls, encoders: Sequence[Encoder], runs: Path) -> "Known":
        made = {
            folder: trial
            for trial in trials_of(runs)
            for path in trial.made
            for folder in ((path, owner(path)) if path.parent.name == "eval" else (path,))
        }
        return cls(made, [encoder for encoder in encoders if encoder.kind == "run" and encoder.config])


def commands(table: "Table", runs: Path) -> Section:
    known = Known.of([encoder for row in table.rows for encoder in row.encoders], runs)
    rows = [_of_row(row, place, known) for place, row in enumerate(table.rows)]
    return Section("commands", "Commands", joined(*rows), "no row is shown", _READING)


def commands_of(encoder: Encoder, known: Known) -> tuple[list[list[str]], list[str]]:
    """The words of each command that made one encoder and its numbers; and what they do not say."""
    made, notes = list[list[str]](), list[str]()
    who, words = str(encoder.folder), list[str]()
    if encoder.kind == "run":
        try:
            made.append(["vssl", "pretrain", *_training(encoder, known)])
        except UserError as error:
            notes.append(f"No command for its training: {str(error).splitlines()[0]}.")
    elif encoder.kind == "file":
        who = encoder.called
        notes.append("A file of weights: its own path is in no record.")
    else:
        who, words = encoder.kind, _untrained(encoder, known)
        if not words:
            notes.append("Settings of its backbone and data are in no record, and no run here shares them.")
    if evaluated := list({one.folder: one for one in encoder.evaluations}.values()):
        asked, untold = _evaluation(encoder, evaluated)
        made.append(["vssl", "evaluate", who, *words, *asked])
        notes += untold
    return made, notes


def _training(encoder: Encoder, known: Known) -> list[str]:
    """Raises UserError where nothing tells them."""
    if not encoder.config:
        raise UserError(f"{encoder.folder.name} holds no config.yaml that can be read")
    trial = known.trials.get(encoder.folder)
    if trial and same(trial.bound, encoder.config):  # the folder may have been made again by other words
        return [*trial.words, *paths_of(encoder.config)]
    return recipe(encoder.config, encoder.record["identity"])


def _untrained(encoder: Encoder, known: Known) -> list[str]:
    """Those of the runs beside it whose data, and backbone, are its own by their hashes; none where there is none."""
    parts = ("data", "backbone") if encoder.kind == "random" else ("data",)
    for run in known.trained:
        if all(run.hashes.get(part) == encoder.hashes.get(part) for part in parts):
            try:
                words = recipe(run.config, run.record["identity"])
            except UserError:
                continue
            nodes = _OF_ENCODER if encoder.kind == "random" else ("data", "clip")
            own = [word for word in words if word.partition("=")[0].partition(".")[0] in nodes]
            return [*own, f"seed={encoder.seed}"]
    return []


def _evaluation(encoder: Encoder, evaluated: Sequence[Evaluated]) -> tuple[list[str], list[str]]:
    """Words that choose protocols and labels, and the settings that the encoder's configuration has for them."""
    names = list(dict.fromkeys(one.protocol for one in evaluated))
    labels = list(dict.fromkeys(one.label for one in evaluated))
    words, untold = [f"eval={','.join(names)}"], list[str]()
    words.append(f"eval.label={labels[0] if len(labels) == 1 else '[' + ','.join(labels) + ']'}")
    own = encoder.config.get("eval") or {}
    for name in names:
        asked = [one for one in evaluated if one.protocol == name]
        if name in own and all(_hash(own, name, one) == one.record["identity"]["hashes"].get("eval") for one in asked):
            words += settings(f"eval.{name}", own[name], _composed(name))
        else:
            untold.append(f"{name}: settings other than by default, if any, stand in its stamp (see Protocol).")
    return words, untold


def _composed(name: str) -> object:
    try:
        return composed_of((f"eval={name}",))["eval"].get(name)
    except UserError:
        return None


def _hash(own: dict[str, Any], name: str, one: Evaluated) -> str:
    """As an evaluation names its settings."""
    version, precision = (one.stamp.get(key) for key in ("version", "precision"))
    return hash_of({"protocol": own[name], "version": version, "precision": precision, "label": one.label})


def _of_row(row: Row, place: int, known: Known) -> Markup:
    parts, seen = list[Markup](), list[str]()
    for encoder in row.encoders:
        made, notes = commands_of(encoder, known)
        if row.n > 1:
            parts.append(tag("h3", f"seed {encoder.seed}"))
        parts += [_copied(shlex.join(words)) for words in made]
        seen += [note for note in notes if note not in seen]
    parts += [tag("p", note, class_="note") for note in seen]
    title = joined(row.name, raised(row.letters))
    return tag("div", folded(title, *parts), id=command_anchor(place), class_="row-command")


def _copied(command: str) -> Markup:
    return tag("div", tag("pre", command), tag("button", "copy", type="button"), class_="command")
