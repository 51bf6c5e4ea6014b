"""What holds for all layouts: each is recognised as itself, and fills the encoder that it tells, all of it."""

from pathlib import Path

import pytest

from tests.checkpoints.samples import write
from tests.checkpoints.tools import loaded
from vssl.checkpoints.files import open_weights
from vssl.checkpoints.known import LAYOUTS, find, safe_globals
from vssl.checkpoints.layout import matching


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_file_is_recognised_and_matched_in_full(name: str, tmp_path: Path) -> None:
    path, words = write(name, tmp_path)
    # A pickle of this layout passes with the classes that this layout allows, and no other's.
    layout = find(open_weights(path, safe_globals(name)))
    assert layout is LAYOUTS[name]
    given = {"heads": 2} if "backbone.heads=2" in words else {}
    if name == "moco_v3":
        given["frames"] = 4
    encoder, report = loaded(path, **given)
    wanted = [key for key in encoder.state_dict() if key not in ("mean", "std")]
    assert sorted([*report.matched, *report.missing]) == sorted(wanted)
    assert all(matching(key, layout.may_lack) for key in report.missing)
    assert all(matching(key, layout.left_out) for key in report.left_out)
    assert report.told().startswith(f"{path}: layout {name}, {len(report.matched)} of {len(wanted)} tensors matched")
