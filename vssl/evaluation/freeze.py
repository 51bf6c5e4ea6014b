"""A frozen encoder: nothing in it moves while it is read, and this is checked, not hoped."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class Moved(RuntimeError):
    """The weights or buffers of an encoder changed where they must not."""


def weights_hash(module: nn.Module) -> str:
    """SHA-256 over names, types, shapes and bytes of all parameters and buffers; independent of the device."""
    digest = hashlib.sha256()
    # Not the state dictionary: buffers that are not saved count too.
    for name, tensor in sorted([*module.named_parameters(), *module.named_buffers()]):
        content = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {content.dtype} {tuple(content.shape)};".encode())
        digest.update(content.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


@contextmanager
def unmoved(module: nn.Module, doing: str) -> Iterator[None]:
    """Looks afterwards whether every weight and buffer is the same, bit for bit.

    Args:
        doing: what went on meanwhile, for the message.
    Raises:
        Moved: one is not (running statistics that move in training mode, for one).
    """
    before = weights_hash(module)
    yield
    if weights_hash(module) != before:
        raise Moved(f"{type(module).__name__}: its weights or buffers changed while {doing}")


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards every part is back in its own mode.

    Raises:
        Moved: weights or buffers have changed (running statistics that move in evaluation mode, for one).
    """
    modes = [(part, part.training) for part in module.modules()]
    with unmoved(module, "its features were read"):
        module.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            for part, training in modes:
                part.training = training
