"""Classes with every kind of constructor that binding meets; configurations in these tests name them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


class Encoder:
    """An encoder of the width given."""

    def __init__(self, width: int, depth: int = 2) -> None:
        if width < 1:
            raise ValueError(f"width={width} must be 1 or more")
        self.width, self.depth = width, depth


class Method:
    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder


class Masked(Method):
    """Hides a part.

    More text.
    """

    def __init__(
        self, encoder: Encoder, mask_ratio: float = 0.75, mask: Literal["tube", "random"] = "tube", dims: int = 8
    ) -> None:
        super().__init__(encoder)
        self.mask_ratio, self.mask, self.dims = mask_ratio, mask, dims


class Labelled(Method):
    def __init__(self, encoder: Encoder, num_classes: int, label: str) -> None:
        super().__init__(encoder)
        self.num_classes, self.label = num_classes, label


@dataclass(frozen=True)
class Augment:
    crop: tuple[float, float] = (0.2, 1.0)
    flip: float = 0.5


@dataclass(frozen=True)
class View:
    frames: int
    stride: int = 1
    augment: Augment | None = Augment(flip=0.25)


class Relation:
    pass


class Independent(Relation):
    pass


class Nested(Relation):
    def __init__(self, gap: int) -> None:
        self.gap = gap


class Views:
    def __init__(self, relation: Relation = Independent(), **views: View) -> None:  # noqa: B008  (as the real one)
        self.relation, self.views = relation, views


class Data:
    def __init__(
        self,
        root: str | None = None,
        label: str | list[str] | None = None,
        decoder: Literal["pyav", "prepared"] = "pyav",
    ) -> None:
        self.root, self.label, self.decoder = root, label, decoder


class Listed(Data):
    """A list of videos."""

    def __init__(self, manifest: Path, folds: Sequence[int] = (0,), root: str = "here", **shared) -> None:  # type: ignore[no-untyped-def]
        super().__init__(root=root, **shared)
        self.manifest, self.folds = manifest, folds


class Inherited(Listed):
    pass


class Counted(Data):
    def __init__(self, num_videos: int = 3, **shared) -> None:  # type: ignore[no-untyped-def]
        super().__init__(**shared)
        self.num_videos = num_videos


class Mix(Data):
    def __init__(self, sets: dict[str, Data], weights: dict[str, float] | None = None) -> None:
        super().__init__()
        self.sets, self.weights = sets, weights


BASE = Augment()


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    lr: float
    decays: list[float] = field(default_factory=lambda: [0.0, 0.1])
    shape: Augment = BASE


@dataclass(frozen=True, kw_only=True)
class Fast(Optimiser):
    lr: float = 0.1
    steps: int | Literal["auto"] | None = None


class Options:
    def __init__(self, **options: Any) -> None:
        self.options = options


class Protocol:
    pass


class Knn(Protocol):
    def __init__(self, k: int | tuple[int, ...] = (20,)) -> None:
        self.k = k


class Evaluation:
    def __init__(self, label: str | None = None, **protocols: Protocol) -> None:
        self.label, self.protocols = label, protocols


NOT_A_CLASS = 3
