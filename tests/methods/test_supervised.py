import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

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


def _several(dtype: torch.dtype = torch.float64) -> Supervised:
    torch.manual_seed(0)
    encoder = VisionTransformer(2, 8, 16, 1, 2, patch_size=4)
    return Supervised(encoder, num_classes=[4, 3, 2], label=["a.motion", "b.label", "c.label"]).to(dtype)


def _mixed(*own: tuple[int, int], dtype: torch.dtype = torch.float64) -> tuple[dict[str, Tensor], Any]:
    """A clip of each (set, class)."""
    clip = torch.rand(len(own), 3, 2, 8, 8, generator=torch.Generator().manual_seed(1), dtype=dtype)
    labels = torch.full((3, len(own)), -1)
    for place, (one, level) in enumerate(own):
        labels[one, place] = level
    label = dict(zip(("a.motion", "b.label", "c.label"), labels, strict=True))
    return {"clip": clip}, {"label": label, "id": torch.arange(len(own))}


OWN = [(0, 3), (1, 2), (0, 0), (1, 0), (1, 1)]  # none of the third set


def test_loss_and_gradients_of_several_heads_are_their_equations() -> None:
    """Each clip under the head of its own label, the mean over clips; gradients by hand: (p - y) f / B."""
    method = _several()
    views, batch = _mixed(*OWN)
    terms = method.losses(views, batch)
    terms["loss"].backward()
    with torch.no_grad():
        features = method.encoder(views["clip"]).tolist()
    weight, bias, first = method.head.weight.tolist(), method.head.bias.tolist(), (0, 4, 7, 9)
    by_hand = [[0.0] * len(features[0]) for _ in weight]
    total, right, chance = 0.0, [], 0.0
    for feature, (one, level) in zip(features, OWN, strict=True):
        rows = range(first[one], first[one + 1])
        logits = [sum(w * f for w, f in zip(weight[k], feature, strict=True)) + bias[k] for k in rows]
        whole = sum(map(math.exp, logits))
        total += (math.log(whole) - logits[level]) / len(OWN)
        chance += math.log(len(rows)) / len(OWN)
        right.append(logits.index(max(logits)) == level)
        for place, k in enumerate(rows):
            error = math.exp(logits[place]) / whole - (place == level)
            by_hand[k] = [g + error * f / len(OWN) for g, f in zip(by_hand[k], feature, strict=True)]
    assert terms["loss"].item() == pytest.approx(total, rel=1e-12)
    assert method.head.weight.grad is not None
    expected = torch.tensor(by_hand, dtype=torch.float64)
    torch.testing.assert_close(method.head.weight.grad, expected, rtol=1e-10, atol=1e-14)
    assert terms["accuracy"].item() == pytest.approx(sum(right) / 5)
    assert terms["accuracy.b.label"].item() == pytest.approx(sum(right[i] for i in (1, 3, 4)) / 3)
    assert torch.isnan(terms["accuracy.c.label"])
    assert terms["chance"].item() == pytest.approx(chance, rel=1e-12)


def test_a_head_without_clips_has_a_gradient_of_exactly_zero() -> None:
    method = _several()
    method.losses(*_mixed(*OWN))["loss"].backward()
    assert method.head.weight.grad is not None and method.head.bias.grad is not None
    assert method.head.weight.grad[:7].abs().amin(dim=1).min() > 0
    assert not method.head.weight.grad[7:].any() and not method.head.bias.grad[7:].any()


def test_parts_of_a_batch_average_to_the_whole() -> None:
    """Micro-batches and ranks of any mixture: a mean over the clips of each set would not."""
    method = _several()
    views, batch = _mixed(*OWN, (2, 1))
    whole = method.losses(views, batch)["loss"].item()
    parts = []
    for rows in (slice(0, 2), slice(2, 4), slice(4, 6)):
        label = {name: values[rows] for name, values in batch["label"].items()}
        part: Any = {"label": label, "id": batch["id"][rows]}
        parts.append(method.losses({"clip": views["clip"][rows]}, part)["loss"].item())
    assert sum(parts) / 3 == pytest.approx(whole, rel=1e-12)


def test_chance_of_several_heads_is_that_of_the_last_clips() -> None:
    method = _several()
    assert method.chance(5) is None
    terms = method.losses(*_mixed((1, 0), (2, 0), (2, 1)))
    method.last_terms = terms
    assert method.chance(5) == pytest.approx((math.log(3) + 2 * math.log(2)) / 3)
    assert terms["loss"].item() == pytest.approx(method.chance(5), abs=0.2)


def test_one_label_in_a_list_is_the_mean_of_torch_to_the_bit() -> None:
    method, other = _method(), Supervised(_method().encoder, num_classes=[4], label=["motion"])
    other.load_state_dict(method.state_dict())
    views, batch = _batch(3, 0, 2, 1, 1, 0, 3)
    expected = F.cross_entropy(method.head(method.encoder(views["clip"])), batch["label"]["motion"])
    expected.backward()
    wanted = [parameter.grad.clone() for parameter in method.parameters()]  # type: ignore[union-attr]
    for one in (method, other):
        one.zero_grad()
        terms = one.losses(views, batch)
        terms["loss"].backward()
        assert torch.equal(terms["loss"], expected) and set(terms) == {"loss", "accuracy", "features"}
        assert all(torch.equal(p.grad, g) for p, g in zip(one.parameters(), wanted, strict=True))  # type: ignore[arg-type]


def test_a_clip_of_no_label_and_a_label_of_one_class_are_refused() -> None:
    views, batch = _mixed(*OWN)
    batch["label"]["b.label"][3] = -1
    with pytest.raises(ValueError, match=r"samples \[3\] have no label 'a\.motion or b\.label or c\.label'"):
        _several().losses(views, batch)
    with pytest.raises(ValueError, match=r"label 'b\.label' has 1 class"):
        Supervised(_method().encoder, num_classes=[4, 1], label=["a.motion", "b.label"])
