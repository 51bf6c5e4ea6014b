import math
from typing import Any

import pytest
import torch
from torch import Tensor

from methods.supervised import Supervised
from vssl.backbones.vit import VisionTransformer


def _method() -> Supervised:
    torch.manual_seed(0)
    return Supervised(VisionTransformer(2, 8, 16, 1, 2, patch_size=4), num_classes=4, label="motion")


def _batch(*motion: int) -> tuple[dict[str, Tensor], Any]:
    clip = torch.rand(len(motion), 3, 2, 8, 8, generator=torch.Generator().manual_seed(1))
    label = {"motion": torch.tensor(motion), "shape": torch.zeros(len(motion), dtype=torch.int64)}
    return {"clip": clip}, {"label": label, "id": torch.arange(100, 100 + len(motion))}


def test_loss_is_the_cross_entropy_of_a_linear_head_with_the_chosen_label() -> None:
    method = _method()
    views, batch = _batch(3, 0, 2)
    terms = method.losses(views, batch)
    logits = (method.encoder(views["clip"]) @ method.head.weight.T + method.head.bias).tolist()
    expected = sum(math.log(sum(map(math.exp, row))) - row[k] for row, k in zip(logits, (3, 0, 2), strict=True)) / 3
    assert terms["loss"].item() == pytest.approx(expected, rel=1e-5)
    right = [row.index(max(row)) == k for row, k in zip(logits, (3, 0, 2), strict=True)]
    assert terms["accuracy"].item() == pytest.approx(sum(right) / 3)
    assert torch.equal(terms["features"], method.encoder(views["clip"]))


def test_the_encoder_is_trained_too() -> None:
    method = _method()
    method.losses(*_batch(1, 2))["loss"].backward()
    assert all(p.grad is not None and p.grad.any() for p in method.parameters())


def test_training_starts_at_chance() -> None:
    method = _method()
    assert method.chance(2) == pytest.approx(math.log(4))
    assert method.losses(*_batch(1, 2))["loss"].item() == pytest.approx(math.log(4), abs=0.2)


def test_a_clip_without_label_is_refused_by_its_id() -> None:
    with pytest.raises(ValueError, match=r"samples \[101, 103\] have no label 'motion'"):
        _method().losses(*_batch(1, -1, 2, -1))


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="label 'motion' has 1 class"):
        Supervised(_method().encoder, num_classes=1, label="motion")


def test_half_precision_keeps_the_loss_in_float32() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        assert _method().losses(*_batch(1, 2))["loss"].dtype == torch.float32
