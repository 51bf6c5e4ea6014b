"""The lists of videos that `data overlap` and `data stats` are about: folders, manifests, a configured data set."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vssl.cli.arguments import Arguments
from vssl.cli.configure import bound_configuration
from vssl.config.errors import UserError

if TYPE_CHECKING:
    from vssl.video.upkeep.video_set import VideoSet

ROOT = "data.root"


def lists_of(arguments: Arguments, overrides: tuple[str, ...], command: str) -> "list[VideoSet]":
    """The parts of one list (its splits or folds), or several lists, each as a whole; of a data set its splits.

    Args:
        overrides: without the command's own keys.
    Raises:
        UserError: neither is given, or one of them cannot be read.
    """
    from vssl.video.upkeep.video_set import one_set, read_set

    configured = any(word.lstrip("+").startswith("data=") for word in overrides)
    words = [arguments.first, *arguments.more] if arguments.first is not None else []
    if not words and not configured:
        example = f"vssl {command} clips, or vssl {command} data=ucf101 data.root=UCF-101"
        raise UserError(f"{command} needs a FOLDER, a MANIFEST or data=", f"for example: {example}")
    if not configured and (overrides or set(arguments.paths) - {ROOT}):
        other = [*overrides, *(f"{key}={path}" for key, path in arguments.paths.items() if key != ROOT)]
        raise UserError(f"{command} does not take {other[0]} without data=")
    root = arguments.paths.get(ROOT) if not configured else None
    given = [(word, read_set(Path(word), None if root is None else Path(root), command)) for word in words]
    sets = given[0][1] if len(given) == 1 and not configured else [one_set(parts, word) for word, parts in given]
    return [*sets, *(_splits(arguments, overrides) if configured else [])]


def _splits(arguments: Arguments, overrides: tuple[str, ...]) -> "list[VideoSet]":
    composed, bound = bound_configuration(replace(arguments, overrides=overrides), needed=("data",))
    from vssl.config.bind import construct
    from vssl.datamodule import SPLITS, VideoDataModule
    from vssl.video.upkeep.video_set import set_of_samples

    data = construct(bound["data"], VideoDataModule, "data")
    label = next(iter(data.labels()), None)
    classes = data.classes.get(label, ()) if label is not None else ()
    parts = [(split, data.samples(split)) for split in SPLITS]
    name = composed.choices.get("data", "data")
    return [set_of_samples(f"{name} {split}", samples, label, classes) for split, samples in parts if len(samples)]
