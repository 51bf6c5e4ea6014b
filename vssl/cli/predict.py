"""`vssl predict`: labels with scores for every video below a folder, by a classifier that was trained before."""

import csv
import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from vssl.cli.arguments import Arguments
from vssl.cli.command import Command, Key
from vssl.cli.own_keys import own_arguments
from vssl.config.errors import ConfigError, UserError

if TYPE_CHECKING:
    from vssl.evaluation.finetuning.labeller import Labeller
    from vssl.evaluation.finetuning.predict import Predicting, Prediction
    from vssl.video.upkeep.journal import Journal

ENCODER, OUT, ROOT = "encoder", "out", "data.root"
SETTINGS = "vssl.evaluation.finetuning.predict.Predicting"
SHOWN = 10  # unreadable videos on screen

logger = logging.getLogger(__name__)


def run(arguments: Arguments) -> int:
    encoder = arguments.own_paths.get(ENCODER)
    if not arguments.first or not encoder:
        what = "a FOLDER of videos" if not arguments.first else "encoder="
        raise UserError(f"predict needs {what}", "for example: vssl predict clips encoder=runs/NAME")
    settings = _settings(arguments.overrides)
    from vssl.evaluation.finetuning.labeller import find_labeller
    from vssl.evaluation.finetuning.predict import what_counts
    from vssl.records.atomic import writable
    from vssl.video.upkeep.check_list import files_to_check
    from vssl.video.upkeep.check_report import printable
    from vssl.video.upkeep.journal import Journal

    root = arguments.own_paths.get(ROOT)
    files = files_to_check(Path(arguments.first), None if root is None else Path(root), COMMAND.name)
    out = Path(arguments.own_paths.get(OUT, "predictions.csv"))
    _refuse_to_overwrite(out, [arguments.first, *files.values()])
    writable(out.parent, keep=False)
    labeller = find_labeller(Path(encoder))
    writable(out.parent)
    with Journal(out.with_name(f"{out.name}.partial"), what_counts(labeller, settings), settings.fresh) as journal:
        found = _predictions(list(files.values()), labeller, settings, journal)
        _write({name: found[path] for name, path in files.items()}, min(settings.top, len(labeller.classes)), out)
        journal.remove()
    bad = {name: found[path].reason for name, path in files.items() if found[path].reason}
    if bad:
        shown = "; ".join(f"{printable(name)} ({printable(reason)})" for name, reason in list(bad.items())[:SHOWN])
        more = f"; and {len(bad) - SHOWN} more, in {out}" if len(bad) > SHOWN else ""
        logger.warning("%d of %d videos could not be read: %s%s", len(bad), len(files), shown, more)
    print(printable(str(out)))
    return 1 if bad else 0


def _predictions(
    paths: list[str], labeller: "Labeller", settings: "Predicting", journal: "Journal"
) -> dict[str, "Prediction"]:
    """What was found before the command was ended, if it was, and what is found now."""
    from vssl.evaluation.finetuning.predict import known_predictions, predict_missing
    from vssl.evaluation.progress import track

    known = known_predictions(paths, journal)
    if known:
        logger.info("%d of %d videos are known from a prediction that was ended", len(known), len(paths))
    missing = [path for path in paths if path not in known]
    with closing(predict_missing(missing, labeller, settings, journal)) as found:
        return known | dict(track(found, len(missing), f"labels of {len(missing)} videos"))


def _write(predictions: Mapping[str, "Prediction"], top: int, out: Path) -> None:
    """UTF-8, but for names that are not: these keep their bytes. Raises WorkError."""
    from vssl.records.atomic import atomic

    more = [f"{column}_{place}" for place in range(2, top + 1) for column in ("label", "score")]
    with atomic(out) as temporary, temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["path", "label", "score", *more, "reason"])
        for name, one in predictions.items():
            pairs = [
                cell for label, score in zip(one.labels, one.scores, strict=True) for cell in (label, f"{score:.4f}")
            ]
            rows.writerow([name, *(pairs or [""] * 2 * top), one.reason])


def _settings(words: Iterable[str]) -> "Predicting":
    from vssl.evaluation.finetuning.predict import Predicting

    given = own_arguments(words, {"": [Predicting]})
    try:
        return Predicting(**given[Predicting])
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _refuse_to_overwrite(out: Path, inputs: Iterable[str]) -> None:
    if out.is_dir():
        raise UserError(f"out: {out} is a folder", f"give the file to write: out={out / 'predictions.csv'}")
    if out.exists() and any(os.path.exists(path) and os.path.samefile(path, out) for path in inputs):
        raise UserError(f"out: {out} is one of the files to be read; give another name")


COMMAND = Command(
    name="predict",
    summary="labels with scores for a folder of videos, by a fine-tuned classifier or a linear probe",
    description=(
        "Reads every video below FOLDER (to any depth, by suffix), or those that a MANIFEST names (paths start from "
        "data.root=, else from its own folder), in the views that the classifier was tested in, and writes out= "
        "(predictions.csv) with path, label and score of the likeliest class, then of the next ones, and why a video "
        "could not be read, a row a video. encoder= is the folder of an evaluation (eval=finetune, eval=linear), a "
        "classifier.safetensors, or a run with one such evaluation. A prediction that was ended, however, goes on "
        "where it was when the command is given again: what it found waits in OUT.partial. Exit code 0 if all videos "
        "were read, 1 if some could not be, 2 if the request is wrong (then nothing is written)."
    ),
    examples=(
        "vssl predict clips encoder=runs/NAME",
        "vssl predict clips encoder=runs/NAME/eval/finetune-label-0a1b2c3d out=labels.csv top=1",
        "vssl predict lists/new.csv data.root=clips encoder=classifier.safetensors workers=4",
    ),
    run=run,
    first="FOLDER|MANIFEST",
    paths=(ENCODER, OUT, ROOT),
    keys=(
        Key("top", "classes told of each video", SETTINGS),
        Key("batch_size", "clips in one forward pass", SETTINGS),
        Key("workers", "loader processes; one a spare core unless you say otherwise", SETTINGS),
        Key("device", "auto, cpu or cuda; auto takes a GPU where there is one", SETTINGS),
        Key("fresh", "true: begin anew, whatever a prediction that was ended has found", SETTINGS),
    ),
    configured=False,
)
