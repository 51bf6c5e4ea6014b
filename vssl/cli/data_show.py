"""`vssl data show`: a picture of the clips that a method is given."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vssl.cli.arguments import CONFIG_DIR, Arguments
from vssl.cli.command import Command, Key
from vssl.cli.configure import DRY_RUN, bound_configuration, dry_run
from vssl.cli.own_keys import own_arguments, take_own
from vssl.config.errors import ConfigError, UserError

if TYPE_CHECKING:
    from vssl.drawing.contact_sheet import Block, Strip
    from vssl.training.shown import ShownSample, ShownView

OUT, PREFIX, SHOW = "out", "data.show.", "vssl.training.shown.Show"
DEFAULT = "sheet.png"


def run(arguments: Arguments) -> int:
    own, rest = take_own(arguments, COMMAND.name, [key.name for key in COMMAND.keys], PREFIX)
    out = Path(arguments.own_paths.get(OUT, DEFAULT))
    _refuse(out)
    from vssl.records.atomic import writable

    writable(out.parent, keep=False)
    composed, bound = bound_configuration(replace(arguments, overrides=rest), needed=("method", "backbone", "data"))
    from vssl.training.shown import Show, first_step, shown

    try:
        show = Show(**own_arguments(own, {PREFIX: [Show]})[Show])
    except ValueError as error:
        raise ConfigError(f"data.show: {error}") from error
    if DRY_RUN in arguments.flags:
        return dry_run(COMMAND.name, composed)
    from vssl.drawing.contact_sheet import draw_sheet
    from vssl.training.build import assemble
    from vssl.video.upkeep.check_report import printable

    study = assemble(composed, bound)
    study.check()
    images = (path for path in study.datamodule.pretraining(study.label).path if path.endswith(out.suffix))
    _refuse_inputs(out, [*arguments.paths.values(), *images])
    step = first_step(study, show)
    title = ", ".join(f"{group} {study.choices[group]}" for group in ("method", "views", "data"))
    title += f", seed {study.seed}, from epoch {study.datamodule.sampler().epoch_of(step)}, step {step}"
    blocks = [_block(sample) for sample in shown(study, show)]
    writable(out.parent)
    draw_sheet(title, blocks, _note(blocks), out, show.colours)
    print(printable(str(out)))
    return 0


def _refuse(out: Path) -> None:
    if out.is_dir():
        raise UserError(f"out: {out} is a folder", f"give the file to write: out={out / DEFAULT}")
    if out.suffix.lower() != ".png":
        raise UserError(f"out: {out} does not end in .png", f"a PNG is written: out={out.with_suffix('.png')}")


def _refuse_inputs(out: Path, inputs: Iterable[str]) -> None:
    if out.exists() and any(os.path.exists(path) and os.path.samefile(path, out) for path in inputs):
        raise UserError(f"out: {out} is one of the files that are read; give another name")


def _note(blocks: "Sequence[Block]") -> str:
    strips = [strip for block in blocks for strip in block.strips]
    told = ["In the left column: the crop within the frame, and the frames within the video."]
    told += ["Grey: hidden."] if any(strip.hidden is not None for strip in strips) else []
    told += ["Orange: the same frame once more."] if any(any(strip.repeated) for strip in strips) else []
    return " ".join(told)


def _block(sample: "ShownSample") -> "Block":
    from vssl.drawing.contact_sheet import Block
    from vssl.video.upkeep.check_report import printable

    length = len(sample.times)
    facts = [f"{length:,} frames, {sample.times[0]:.2f} to {sample.times[-1]:.2f} s"]
    facts += [f"{name}: {printable(level)}" for name, level in sample.labels.items()]
    if sample.replaces:
        facts.insert(0, f"takes the place of {printable(sample.replaces)}, which cannot be read")
    strips = [strip for view in sample.views for strip in _strips(view, length, sample.aspect)]
    return Block(printable(sample.id), " · ".join(facts), strips)


def _strips(view: "ShownView", length: int, aspect: float) -> "Iterator[Strip]":
    """The view, then what of it the method hides."""
    import numpy as np

    from vssl.drawing.contact_sheet import Place, Strip, chosen_frames

    count = view.clip.shape[1]
    chosen = chosen_frames(count)
    frames = (view.clip[:, chosen].permute(1, 2, 3, 0) * 255).round().byte().cpu().numpy()
    notes = [", ".join(view.changes) or "cropped only"]
    notes += [f"{len(chosen)} of {count} frames shown"] if len(chosen) < count else []
    notes += ["padded"] if view.padded else []
    notes += ["smaller stride: short video"] if view.clamped else []
    index = view.index[chosen]
    yield Strip(
        name=view.name,
        notes="; ".join(notes),
        frames=frames,
        captions=[f"{place} · {time:.2f} s" for place, time in zip(index, view.time[chosen], strict=True)],
        repeated=[bool((view.index[:place] == view.index[place]).any()) for place in chosen],
        place=Place(view.index / max(length - 1, 1), view.box.reshape(-1, 4), aspect),
    )
    for part, mask in view.hidden.items():
        hidden = mask.cpu().numpy()
        slots = chosen * len(hidden) // count
        yield Strip(
            part, f"{100 * (1 - hidden.mean()):.3g} % of the clip", frames, hidden=np.ascontiguousarray(hidden[slots])
        )


COMMAND = Command(
    name="data show",
    summary="a picture of the clips of a training: every view as it is used, with frames, times and masks",
    description=(
        "Reads, crops and augments videos exactly as the training of the same key=value does, and draws what the "
        "method would be given: a row a view, a frame a column, with the frame's number and time, the crop within the "
        "frame, what the augmentation did, and which tokens a masked method hides. Nothing is trained. Without keys: "
        "the first clips of the first optimiser step. Writes out= (sheet.png), over an older one. Exit code 0; 1 if "
        "videos cannot be read; 2 if the request is wrong. Only with 0 something is written."
    ),
    examples=(
        "vssl data show method=svt scale=smoke data.size=64 clip.size=64",
        "vssl data show method=cvrl views=cvrl data=video_list data.root=clips data.show.videos=8 out=cvrl.png",
        "vssl data show method=videomae seed=1 data.show.epoch=3 data.show.step=7",
    ),
    run=run,
    paths=(OUT,),
    keys=(
        Key("data.show.videos", "how many, in the order in which training takes them", SHOW),
        Key("data.show.epoch", "from which data epoch; each has draws of its own", SHOW),
        Key("data.show.step", "optimiser steps of that epoch that are passed over", SHOW),
        Key("data.show.colours", "of the picture: 256 makes a smaller file; otherwise every pixel is exact", SHOW),
    ),
    flags=(DRY_RUN, CONFIG_DIR),
)
