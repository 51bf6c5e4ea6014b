"""LARS as each paper uses it, by the configuration that names it: what it decays and adapts, and its numbers."""

import pytest

from vssl.config.compose import compose
from vssl.nn.parameters import NORMS
from vssl.training.build import assemble


@pytest.mark.parametrize("backbone", ["r3d_nano", "vit_nano"])
@pytest.mark.parametrize(
    ("method", "optim", "weight_decay", "rate_in_momentum"),
    [
        ("moco_v3", "lars", 1e-6, False),
        ("byol", "lars_byol", 1e-6, False),
        ("simclr", "lars_simclr", 1e-4, True),
    ],
)
def test_biases_norms_and_tokens_are_neither_decayed_nor_adapted(
    method: str, optim: str, weight_decay: float, rate_in_momentum: bool, backbone: str
) -> None:
    """MoCo v3 goes by dimensions, BYOL and SimCLR by what a tensor is: the same on their networks."""
    words = ["backbone.patch_size=8", "backbone.pool=cls"] if backbone == "vit_nano" else []
    study = assemble(compose([f"method={method}", f"optim={optim}", f"backbone={backbone}", "scale=smoke", *words]))
    groups = study.optimiser.build(study.method, 256, 10)["optimizer"].param_groups
    names = {id(p): name for name, p in study.method.named_parameters() if p.requires_grad}
    norms = {id(p) for part in study.method.modules() if isinstance(part, NORMS) for p in part.parameters()}
    expected = {
        name for place, name in names.items() if place not in norms and not name.endswith(("bias", "cls_token"))
    }
    adapted = {names[id(p)] for group in groups if group["adapt"] for p in group["params"]}
    decayed = {names[id(p)] for group in groups if group["weight_decay"] for p in group["params"]}
    assert adapted == decayed == expected and len(expected) < len(names)
    assert sum(len(group["params"]) for group in groups) == len(names)
    for group in groups:
        assert (group["eta"], group["momentum"], group["rate_in_momentum"]) == (1e-3, 0.9, rate_in_momentum)
        assert group["weight_decay"] in (0, weight_decay)
