"""What a layout is: the names and shapes of one project's files against those of our backbones."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from vssl.backbones.base import IMAGENET_MEAN, IMAGENET_STD, RGB, Backbone
from vssl.checkpoints.files import Opened, tensors_in

MUST_BE_GIVEN = "???"

# In the `config.json` of an export: what neither shapes nor the other project's own settings keep.
EXPORTED = "vssl"
KEPT = ("mean", "std", "pool")
CLIP = ("frames", "stride", "size")

# Attention heads by width, where a project releases one model a width: no shape tells them.
HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1408: 16}

Tensors = dict[str, Tensor]
Patterns = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Move:
    """One tensor of ours and what it was made of: names in the file (none for one that the layout makes up)."""

    ours: str
    sources: tuple[str, ...]
    tensor: Tensor


@dataclass(frozen=True)
class Facts:
    """What a file tells of the encoder in it.

    Args:
        backbone: a node with `_target_`, for binding; `MUST_BE_GIVEN` where the user has to say it.
        clip: frames and size that it was made for, and the stride where a run of ours says it.
    """

    backbone: dict[str, Any]
    clip: dict[str, int]


class Layout(ABC):
    """One project's files.

    Attributes:
        name: as `layout=` gives it.
        told: what such files are, in a line.
        containers: paths of keys under which the weights lie, the first that is there being taken; () is the file.
        prefixes: what wrappers put before every name, taken off where it stands.
        signature: patterns, each of which some name must match.
        kernel: name of the patch embedding's (or the stem's) weight, and how many dimensions it has.
        left_out: patterns of names that have no place in an encoder (heads, decoders), with the reason.
        may_lack: patterns of our names that the file may lack, with what stands there instead.
        safe_globals: classes that its pickles name.
        mean, std: of the pixels that it was trained on.
    """

    name: ClassVar[str]
    told: ClassVar[str]
    containers: ClassVar[tuple[tuple[str, ...], ...]] = ((),)
    prefixes: ClassVar[tuple[str, ...]] = ("_orig_mod.", "module.")
    signature: ClassVar[tuple[str, ...]]
    kernel: ClassVar[tuple[str, int] | None] = None
    left_out: ClassVar[Patterns] = ()
    may_lack: ClassVar[Patterns] = ()
    safe_globals: ClassVar[tuple[type, ...]] = ()
    mean: ClassVar[RGB] = IMAGENET_MEAN
    std: ClassVar[RGB] = IMAGENET_STD

    def tensors(self, opened: Opened) -> Tensors:
        """The weights by their names without prefixes; none where the file has no such container."""
        for container in self.containers:
            if found := tensors_in(opened.content, container):
                return {self._bare(name): tensor for name, tensor in found.items()}
        return {}

    def fits(self, opened: Opened) -> bool:
        """Whether the names that only such files have are there."""
        found = self.tensors(opened)
        if self.kernel is not None and (self.kernel[0] not in found or found[self.kernel[0]].ndim != self.kernel[1]):
            return False
        return all(any(re.search(pattern, name) for name in found) for pattern in self.signature)

    def recognises(self, opened: Opened) -> bool:
        """Whether it is this layout rather than another one that it fits too."""
        return self.fits(opened)

    def refuses(self, opened: Opened) -> str | None:
        """Why no backbone here can hold this file, although the project wrote it; None: it can, or it is another's."""
        return None

    @abstractmethod
    def facts(self, tensors: Tensors, opened: Opened) -> Facts | None:
        """The encoder that the shapes and settings tell; None where they do not tell it."""

    @abstractmethod
    def rename(self, name: str) -> str | None:
        """Our name of one tensor; None: it has no place in an encoder."""

    def moves(self, tensors: Tensors, encoder: Backbone, opened: Opened) -> Iterator[Move]:
        """Every tensor of ours that the file fills.

        Raises:
            UserError: the file is of this layout, and something in it cannot be right.
        """
        for name, tensor in tensors.items():
            if (ours := self.rename(name)) is not None:
                yield Move(ours, (name,), tensor)

    def _bare(self, name: str) -> str:
        for prefix in self.prefixes:
            name = name.removeprefix(prefix)
        return name


def as_exported(facts: Facts, opened: Opened) -> Facts:
    """`facts`, and what an export of ours says beside them: an encoder comes back as it went out."""
    own = opened.settings.get(EXPORTED)
    if not isinstance(own, Mapping):
        return facts
    clip = {key: own[key] for key in CLIP if key in own}
    backbone = {key: own[key] for key in KEPT if key in own}
    backbone |= {key: value for key, value in clip.items() if key in facts.backbone}
    return Facts({**facts.backbone, **backbone}, {**facts.clip, **clip})


def matching(name: str, patterns: Patterns) -> str | None:
    """The reason that belongs to the first pattern which the whole name fits."""
    return next((reason for pattern, reason in patterns if re.fullmatch(pattern, name)), None)


def count(tensors: Sequence[str] | Tensors, pattern: str) -> int:
    """How many there are of what a pattern numbers: one more than the highest number, 0 for none."""
    numbers = [int(found[1]) for name in tensors if (found := re.match(pattern, name))]
    return max(numbers, default=-1) + 1
