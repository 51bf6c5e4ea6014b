"""`vssl checkpoint inspect`: what is in a file of weights, and what it would be here."""

from pathlib import Path

from vssl.cli.arguments import Arguments
from vssl.cli.command import Command, Key
from vssl.config.errors import UserError


def run(arguments: Arguments) -> int:
    if not arguments.first:
        raise UserError("checkpoint inspect needs a FILE", "for example: vssl checkpoint inspect checkpoint.pth")
    name = next((word.partition("=")[2] for word in reversed(arguments.overrides)), None)
    from vssl.checkpoints.files import open_weights
    from vssl.checkpoints.inspecting import Inspect
    from vssl.checkpoints.known import recognised, safe_globals

    opened = open_weights(Path(arguments.first), safe_globals(name))
    layout = recognised(opened, name) if name is not None else None
    for line in Inspect(name)(opened, layout, arguments.first):
        print(line)
    return 0


COMMAND = Command(
    name="checkpoint inspect",
    summary="what a file of weights holds, which layout it is, and the backbone that it would be here",
    description=(
        "Shows the tensors of FILE (of torch.save or safetensors, a run folder, or a folder of transformers), its "
        "layout, the backbone and clip that its shapes and settings tell, and what loading it would match, leave out "
        "and miss. Nothing is written, and nothing in the file is run: a pickle that names code is refused."
    ),
    examples=(
        "vssl checkpoint inspect checkpoint.pth",
        "vssl checkpoint inspect runs/NAME/checkpoints/backbone.safetensors",
        "vssl checkpoint inspect checkpoint.pth layout=videomae",
    ),
    run=run,
    first="FILE",
    keys=(Key("layout", "whose names it has; recognised by them", "vssl.checkpoints.inspecting.Inspect"),),
    configured=False,
)
