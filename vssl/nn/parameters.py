"""Parameters by what they are."""

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def biases_and_norms(module: nn.Module) -> set[str]:
    """Names of all biases, and of all weights of normalisation layers, told by their class and not by a name."""
    named = (
        (prefix, part, name)
        for prefix, part in module.named_modules()
        for name, _ in part.named_parameters(recurse=False)
    )
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, part, name in named
        if isinstance(part, NORMS) or name.endswith("bias")
    }
