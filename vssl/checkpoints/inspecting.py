"""What `vssl checkpoint inspect` tells of a file."""

from collections.abc import Iterator
from typing import Any

from vssl.backbones.base import Backbone
from vssl.checkpoints.files import Opened, containers
from vssl.checkpoints.known import LAYOUTS, facts_of, find, refused
from vssl.checkpoints.layout import MUST_BE_GIVEN, Layout
from vssl.checkpoints.load import fill_with
from vssl.config.bind import construct
from vssl.config.errors import UserError
from vssl.config.problems import listed

SHOWN = 12


class Inspect:
    """Args: layout: whose names the file has; recognised by them where it is not said."""

    def __init__(self, layout: str | None = None) -> None:
        self.layout = layout

    def __call__(self, opened: Opened, layout: Layout | None, source: str) -> Iterator[str]:
        """Lines for the screen."""
        for name, tensors in containers(opened.content):
            numbers = sum(tensor.numel() for tensor in tensors.values())
            yield f"{name or opened.path.name}: {len(tensors)} tensors, {numbers / 1e6:.2f} M numbers"
            for key, tensor in list(tensors.items())[:SHOWN]:
                yield f"  {key}  {tuple(tensor.shape)}  {str(tensor.dtype).removeprefix('torch.')}"
            if len(tensors) > SHOWN:
                yield f"  and {len(tensors) - SHOWN} more"
        others = [f"{key}={value}" for key, value in opened.content.items() if isinstance(value, str | int | float)]
        if others:
            yield f"beside them: {', '.join(others[:SHOWN])[:200]}"
        layout = layout or find(opened)
        if layout is None:
            why = refused(opened)
            yield f"layout: none, it is {why}" if why else f"layout: none that is known; known are {', '.join(LAYOUTS)}"
            return
        yield f"layout: {layout.name}, {layout.told}"
        if (facts := facts_of(opened, layout)) is None:
            yield "backbone: the file alone does not tell it; beside its run's config.yaml it does"
            return
        yield "backbone: " + " ".join(f"{key}={_word(value)}" for key, value in facts.backbone.items())
        yield "clip: " + " ".join(f"{key}={value}" for key, value in facts.clip.items())
        if missing := [key for key, value in facts.backbone.items() if value == MUST_BE_GIVEN]:
            yield f"to be given, the file does not tell: {listed([f'backbone.{key}=' for key in missing])}"
            return
        try:
            encoder = construct(facts.backbone, Backbone, "backbone")
            yield fill_with(encoder, facts.backbone, opened, layout, source).told()
        except UserError as error:
            yield f"it cannot be loaded: {error}"


def _word(value: Any) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, list | tuple) else str(value)
