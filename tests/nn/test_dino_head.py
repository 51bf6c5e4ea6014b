import pytest
import torch
from lightly.models.modules.heads import DINOProjectionHead

from vssl.nn.dino_head import DINOHead


def _pair(unit_prototypes: bool) -> tuple[DINOHead, DINOProjectionHead]:
    torch.manual_seed(0)
    ours = DINOHead(6, 11, hidden_dim=8, bottleneck_dim=5, unit_prototypes=unit_prototypes).double()
    theirs = DINOProjectionHead(6, 8, 5, 11, norm_last_layer=unit_prototypes).double()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter)
    if unit_prototypes:
        torch.nn.init.ones_(theirs.last_layer.weight_g)
    linear = [layer for layer in theirs.layers if isinstance(layer, torch.nn.Linear)]
    for mine, layer in zip((ours.mlp[0], ours.mlp[2], ours.mlp[4]), linear, strict=True):
        mine.load_state_dict(layer.state_dict())
    ours.prototypes.data.copy_(theirs.last_layer.weight_v)
    ours.lengths.data.copy_(theirs.last_layer.weight_g)
    return ours, theirs


@pytest.mark.parametrize("unit_prototypes", [True, False])
def test_output_and_every_gradient_equal_lightly(unit_prototypes: bool) -> None:
    ours, theirs = _pair(unit_prototypes)
    x = torch.randn(4, 6, dtype=torch.float64)
    weights = torch.randn(4, 11, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-10, atol=1e-12)
    (ours(x) * weights).sum().backward()
    (theirs(x) * weights).sum().backward()
    last = theirs.last_layer
    pairs = [(ours.prototypes, last.weight_v), (ours.lengths, last.weight_g)]
    linear = [layer for layer in theirs.layers if isinstance(layer, torch.nn.Linear)]
    for mine, layer in zip((ours.mlp[0], ours.mlp[2], ours.mlp[4]), linear, strict=True):
        pairs += [(mine.weight, layer.weight), (mine.bias, layer.bias)]
    for mine, other in pairs:
        assert (mine.grad is None) == (other.grad is None)
        if mine.grad is not None:
            torch.testing.assert_close(mine.grad, other.grad, rtol=1e-9, atol=1e-12)
    assert (ours.lengths.grad is None) == unit_prototypes


def test_outputs_are_cosines_with_prototypes_of_length_one() -> None:
    head = DINOHead(6, 50, hidden_dim=8, bottleneck_dim=5)
    for layer in (head.mlp[0], head.mlp[2]):
        torch.nn.init.normal_(layer.weight)
    out = head(100 * torch.randn(64, 6))
    assert 0.5 < out.abs().max() <= 1 + 1e-6


def test_initialisation_is_the_released_one() -> None:
    head = DINOHead(384, 512)
    assert [layer.out_features for layer in (head.mlp[0], head.mlp[2], head.mlp[4])] == [2048, 2048, 256]
    assert head.mlp[2].weight.std().item() == pytest.approx(0.02, rel=0.02) and not head.mlp[2].bias.any()
    assert head.prototypes.abs().max().item() == pytest.approx(1 / 16, rel=1e-2)  # uniform, 1 / sqrt(256)
    assert not head.lengths.requires_grad and torch.equal(head.lengths, torch.ones(512, 1))


def test_the_product_is_made_in_float32() -> None:
    head, x = DINOHead(6, 11, hidden_dim=8, bottleneck_dim=5), torch.randn(4, 6)
    with torch.autocast("cpu", torch.bfloat16):
        assert head.mlp(x).dtype == torch.bfloat16 and head(x).dtype == torch.float32
