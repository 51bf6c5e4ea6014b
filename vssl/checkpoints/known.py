"""The layouts that there are, and which of them a file is of."""

from collections.abc import Mapping

from vssl.checkpoints.files import Opened, containers
from vssl.checkpoints.layout import Facts, Layout, as_exported
from vssl.checkpoints.moco_v3 import MoCoV3
from vssl.checkpoints.moco_v3_resnet import MoCoV3ResNet
from vssl.checkpoints.own import Own
from vssl.checkpoints.slow_r50 import SlowR50Hub
from vssl.checkpoints.svt import Svt
from vssl.checkpoints.timesformer import TimeSformerOfficial
from vssl.checkpoints.timesformer_hf import TimeSformerHf
from vssl.checkpoints.torchvision_r3d import TorchvisionR3d
from vssl.checkpoints.torchvision_swin3d import TorchvisionSwin3d
from vssl.checkpoints.video_swin import VideoSwinOfficial
from vssl.checkpoints.videomae import VideoMAEOfficial
from vssl.checkpoints.videomae_hf import VideoMAEHf
from vssl.checkpoints.videomae_v2 import VideoMAEV2
from vssl.config.errors import UserError, nearest

# Of two that fit a file the first is taken: the narrower ones come first.
LAYOUTS: Mapping[str, Layout] = {
    layout.name: layout
    for layout in (
        Own(), VideoMAEV2(), VideoMAEOfficial(), VideoMAEHf(), Svt(), TimeSformerOfficial(), TimeSformerHf(),
        TorchvisionSwin3d(), VideoSwinOfficial(), TorchvisionR3d(), SlowR50Hub(), MoCoV3(), MoCoV3ResNet(),
    )
}  # fmt: skip

LIGHTNING = "pytorch-lightning_version"


def chosen(name: str) -> Layout:
    """The layout of a name, or a refusal that lists them."""
    if name not in LAYOUTS:
        raise UserError(
            f"layout={name}: there is no such layout{nearest(name, LAYOUTS)}", f"layouts: {', '.join(LAYOUTS)}"
        )
    return LAYOUTS[name]


def safe_globals(name: str | None = None) -> list[type]:
    """Classes that pickles of that layout may name; of any layout where none is said."""
    layouts = LAYOUTS.values() if name is None else [chosen(name)]
    return list(dict.fromkeys(cls for layout in layouts for cls in layout.safe_globals))


def find(opened: Opened) -> Layout | None:
    """The layout that the names in a file are of."""
    return next((layout for layout in LAYOUTS.values() if layout.recognises(opened)), None)


def refused(opened: Opened) -> str | None:
    """What the file is, where it is of a known project and of a kind that is not read here."""
    if LIGHTNING in opened.content:
        return (
            "a checkpoint of a Lightning training: of one of ours, give the run's folder (unfinished: checkpoint=last)"
        )
    return next((why for layout in LAYOUTS.values() if (why := layout.refuses(opened))), None)


def recognised(opened: Opened, name: str | None = None) -> Layout:
    """The layout called `name`, or that of the names.

    Raises:
        UserError: no layout is called so, or none fits the names.
    """
    if name is not None:
        layout = chosen(name)
        if not layout.fits(opened):
            raise UserError(f"{opened.path}: it is not of layout={name} ({layout.told})", _held(opened))
        return layout
    if (found := find(opened)) is None:
        if why := refused(opened):
            raise UserError(f"{opened.path} is {why}", f"{_held(opened)}; layouts: {', '.join(LAYOUTS)}")
        raise UserError(
            f"{opened.path}: its names are those of no known layout", f"{_held(opened)}; layouts: {', '.join(LAYOUTS)}"
        )
    return found


def facts_of(opened: Opened, layout: Layout) -> Facts | None:
    """What the file tells of its encoder; None where it does not tell it.

    Raises:
        UserError: tensors are missing, or of impossible shapes.
    """
    try:
        facts = layout.facts(layout.tensors(opened), opened)
        return None if facts is None else as_exported(facts, opened)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise UserError(
            f"{opened.path} is no whole encoder of layout {layout.name}: {type(error).__name__}: {error}", _held(opened)
        ) from error


def _held(opened: Opened) -> str:
    parts = [
        f"{len(tensors)} tensor{'s' * (len(tensors) != 1)}{f' under {key!r}' if key else ''}, "
        f"such as {', '.join(list(tensors)[:3])}"
        for key, tensors in containers(opened.content)
    ]
    return f"it holds {' and '.join(parts)}" if parts else "it holds no tensors"
