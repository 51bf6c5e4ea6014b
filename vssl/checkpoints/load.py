"""Weights of a known layout into an encoder: all of it, or a refusal that names every difference."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vssl.backbones.base import Backbone
from vssl.checkpoints.files import Opened, open_weights
from vssl.checkpoints.known import facts_of, recognised, safe_globals
from vssl.checkpoints.layout import MUST_BE_GIVEN, Facts, Layout, matching
from vssl.checkpoints.report import Report
from vssl.config.errors import UserError
from vssl.records.hashes import file_hash

# Settings that change what weights compute, and that no shape shows.
SILENT = ("heads", "mean", "std", "positions")
BUFFERS = ("mean", "std")  # of the encoder itself; the configuration says them
NAMED = 4


def open_known(path: Path, layout: str | None = None) -> tuple[Opened, Layout]:
    """A file and its layout, recognised by its names unless `layout` says it.

    Raises:
        UserError: the file cannot be read, or no layout fits.
    """
    opened = open_weights(path, safe_globals(layout))
    return opened, recognised(opened, layout)


def fill_from(encoder: Backbone, node: dict[str, Any], path: Path, layout: str | None = None) -> Report:
    """Fills `encoder`, which was built from `node`, with the weights at `path`.

    Raises:
        UserError: they do not fit; the encoder is as it was.
    """
    opened, known = open_known(path, layout)
    return fill_with(encoder, node, opened, known, str(path))


def fill_with(encoder: Backbone, node: dict[str, Any], opened: Opened, layout: Layout, source: str) -> Report:
    """The same for a file that is open already."""
    tensors = layout.tensors(opened)
    report = Report(layout.name, source, file_hash(opened.path))
    facts = facts_of(opened, layout)
    _compare_settings(facts, node, report)
    filled = _matched(encoder, layout, tensors, opened, report)
    if report.wrong:
        more = f"; {len(report.wrong) - NAMED} more differ" if len(report.wrong) > NAMED else ""
        raise UserError(
            f"{source} ({layout.name}) does not fit this backbone: {'; '.join(report.wrong[:NAMED])}{more}",
            "`vssl checkpoint inspect FILE` shows the backbone that the file is of"
            if facts is not None
            else "the file alone does not tell its backbone: choose backbone=, or give its run's folder",
        )
    encoder.load_state_dict(filled)
    return report


def _matched(encoder: Backbone, layout: Layout, tensors: dict[str, Tensor], opened: Opened, report: Report) -> Any:
    expected = encoder.state_dict()
    filled = dict(expected)
    wanted = [name for name in expected if name not in BUFFERS]
    report.tensors = len(wanted)
    taken: set[str] = set()
    for move in layout.moves(tensors, encoder, opened):
        if move.ours not in expected:
            continue  # what has no place is told below, by its name in the file
        here, there = expected[move.ours], [tensors[name] for name in move.sources]
        taken.update(move.sources)
        if move.tensor.shape != here.shape:
            report.wrong.append(f"{move.ours} is {_shape(move.tensor)} there, {_shape(here)} here")
            continue
        if move.tensor.is_floating_point() != here.is_floating_point():
            report.wrong.append(f"{move.ours} is of {move.tensor.dtype} there, of {here.dtype} here")
            continue
        if move.ours in BUFFERS:
            if not torch.equal(move.tensor, here) and not any(text.startswith(move.ours) for text in report.wrong):
                report.wrong.append(f"{move.ours} is {move.tensor.tolist()} there, {here.tolist()} here")
            continue
        if len(there) == 1 and there[0].shape != here.shape:
            report.reshaped[move.ours] = f"{_shape(there[0])} -> {_shape(here)}"
        filled[move.ours] = move.tensor.to(here.dtype).contiguous()
        report.matched.append(move.ours)
    named = {*report.matched, *(text.partition(" ")[0] for text in report.wrong)}
    for name in (name for name in wanted if name not in named):
        if (instead := matching(name, layout.may_lack)) is None:
            report.wrong.append(f"{name} is absent there, {_shape(expected[name])} here")
        else:
            report.missing[name] = instead
    for name in (name for name in tensors if name not in taken):
        if (reason := matching(name, layout.left_out)) is None:
            report.wrong.append(f"{name} is {_shape(tensors[name])} there and has no place here")
        else:
            report.left_out[name] = reason
    if not report.matched and not report.wrong:
        report.wrong.append("no tensor of it is known here")
    finite = {name: bool(torch.isfinite(filled[name]).all()) for name in report.matched}
    report.wrong += [f"{name} is not finite there" for name in report.matched if not finite[name]]
    return filled


def _compare_settings(facts: Facts | None, node: dict[str, Any], report: Report) -> None:
    if facts is None:
        return
    for key in SILENT:
        there, here = facts.backbone.get(key, MUST_BE_GIVEN), node.get(key, MUST_BE_GIVEN)
        if str(there).startswith("learned"):
            continue  # such positions are tensors, and speak for themselves
        if MUST_BE_GIVEN in (there, here) or _plain(there) == _plain(here):
            continue
        report.wrong.append(f"{key} is {_plain(there)} there, {_plain(here)} here (backbone.{key}={_word(there)})")
    for key in ("frames", "size"):
        there, here = facts.backbone.get(key), node.get(key)
        if there is not None and here is not None and there != here:
            report.notes.append(f"made for {key} {there}, built here for {here}")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


def _word(value: Any) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, list | tuple) else str(value)


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))
