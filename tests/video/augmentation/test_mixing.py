from typing import Any

import numpy as np
import pytest
import timm.data.mixup as timm
import torch
from scipy import stats
from torch import Tensor

from vssl.video.augmentation.mixing import Mix, Mixing, mix_clips, soft_targets

H, W, CLASSES = 20, 30, 7


def batch(n: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    return torch.rand(n, 3, 4, H, W, generator=generator), torch.randint(0, CLASSES, (n,), generator=generator)


class Given(timm.Mixup):
    """timm's, with our choice instead of its draws."""

    def __init__(self, mix: Mix, smoothing: float) -> None:
        super().__init__(mixup_alpha=1.0, cutmix_alpha=1.0, label_smoothing=smoothing, num_classes=CLASSES)
        self.mix = mix

    def _params_per_batch(self) -> tuple[float, bool]:
        return self.mix.share, self.mix.box is not None


@pytest.mark.parametrize(
    "mix", [Mix(0.3), Mix(0.9), Mix(), Mix(1 - 8 * 11 / (H * W), (2, 5, 10, 16)), Mix(1 - 3 / H, (17, 0, 20, 30))]
)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_clips_and_targets_equal_timms(mix: Mix, smoothing: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clip, label = batch()
    before = clip.clone()
    if mix.box is not None:
        top, left, bottom, right = mix.box
        monkeypatch.setattr(timm, "cutmix_bbox_and_lam", lambda *_, **__: ((top, bottom, left, right), mix.share))
    flat, targets = Given(mix, smoothing)(
        clip.flatten(1, 2).clone(), label
    )  # timm's cut is on images: time as channels
    torch.testing.assert_close(mix_clips(clip, mix), flat.view_as(clip), atol=1e-6, rtol=0)
    torch.testing.assert_close(soft_targets(label, CLASSES, mix.share, smoothing), targets, atol=1e-6, rtol=0)
    assert torch.equal(clip, before)


def test_targets_are_the_equation() -> None:
    label, share, smoothing = torch.tensor([0, 3, 3, 6]), 0.7, 0.1
    found = soft_targets(label, CLASSES, share, smoothing)
    for row, (own, other) in enumerate([(0, 6), (3, 3), (3, 3), (6, 0)]):
        expected = [smoothing / CLASSES] * CLASSES
        expected[own] += share * (1 - smoothing)
        expected[other] += (1 - share) * (1 - smoothing)
        assert found[row].tolist() == pytest.approx(expected, abs=1e-6)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(4))


def draws(mixing: Mixing, n: int = 4000, height: int = H, width: int = W) -> list[Mix]:
    return [mixing.draw(0, step, 0, height, width) for step in range(n)]


def test_the_law_of_the_shares() -> None:
    found = draws(Mixing(mixup_alpha=0.8, cutmix_alpha=1.0, probability=0.8, switch_probability=0.3))
    mixed = [mix for mix in found if mix != Mix()]
    assert stats.binomtest(len(mixed), len(found), 0.8).pvalue > 1e-4
    cut = [mix for mix in mixed if mix.box is not None]
    assert stats.binomtest(len(cut), len(mixed), 0.3).pvalue > 1e-4
    shares = [mix.share for mix in mixed if mix.box is None]
    assert stats.kstest(shares, stats.beta(0.8, 0.8).cdf).pvalue > 1e-4


def test_the_law_of_the_rectangles_is_timms() -> None:
    """But for sides of odd length, of which timm's later versions keep the pixel that the source leaves out."""
    found = draws(Mixing(mixup_alpha=0.0, cutmix_alpha=1.0), 2000, 64, 96)
    np.random.seed(0)  # noqa: NPY002 (timm draws from it)
    expected = [timm.cutmix_bbox_and_lam((3, 64, 96), share) for share in np.random.default_rng(0).beta(1, 1, 2000)]
    ours = np.array([mix.box for mix in found if mix.box is not None])
    theirs = np.array([(top, left, bottom, right) for (top, bottom, left, right), _ in expected])
    assert len(ours) == 2000
    assert (ours[:, :2] >= 0).all() and (ours[:, :2] <= ours[:, 2:]).all() and (ours[:, 2:] <= [64, 96]).all()
    for of in (lambda box: box[:, 2] - box[:, 0], lambda box: box[:, 3] - box[:, 1], lambda box: box[:, 0] + box[:, 2]):
        assert stats.ks_2samp(of(ours), of(theirs)).pvalue > 1e-4
    areas = (ours[:, 2] - ours[:, 0]) * (ours[:, 3] - ours[:, 1])
    assert [mix.share for mix in found] == pytest.approx((1 - areas / (64 * 96)).tolist())


@pytest.mark.parametrize(("alphas", "is_cut"), [((0.8, 0.0), False), ((0.0, 1.0), True)])
def test_one_of_the_two_alone(alphas: tuple[float, float], is_cut: bool) -> None:
    mixing = Mixing(*alphas, switch_probability=0.5)
    assert {mix.box is not None for mix in draws(mixing, 50)} == {is_cut}


def test_draws_are_a_function_of_seed_step_and_part() -> None:
    mixing = Mixing()
    places = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    found = [mixing.draw(*place, H, W) for place in places]
    assert len(set(found)) == 4
    assert found == [mixing.draw(*place, H, W) for place in places]
    # Whatever else is set, the same numbers decide.
    kept = [mix for mix in draws(Mixing(probability=0.5), 200) if mix != Mix()]
    assert set(kept) < set(draws(Mixing(), 200))


def test_a_mixed_batch_has_targets_of_the_same_share() -> None:
    clip, label = batch(8)
    mixing = Mixing(label_smoothing=0.0)
    for step in range(20):
        mixed, targets = mixing.mixed(clip, label, CLASSES, seed=3, step=step)
        mix = mixing.draw(3, step, 0, H, W)
        # What is left of a constant clip among zeros is its share.
        lone = torch.zeros_like(clip)
        lone[0] = 1
        assert mixing.mixed(lone, label, CLASSES, 3, step)[0][0].mean().item() == pytest.approx(mix.share, abs=1e-5)
        assert torch.equal(mixed, mix_clips(clip, mix))
        assert torch.equal(targets, soft_targets(label, CLASSES, mix.share))


def test_the_middle_of_an_odd_batch_stands_opposite_itself() -> None:
    clip, label = batch(5)
    mixed, targets = Mixing(label_smoothing=0.0).mixed(clip, label, CLASSES, seed=0, step=0)
    torch.testing.assert_close(mixed[2], clip[2])
    assert targets[2].argmax() == label[2] and targets[2].max() == pytest.approx(1)


def test_all_frames_are_cut_alike() -> None:
    clip = batch()[0][:, :, :1].expand(-1, -1, 4, -1, -1)
    mixed = mix_clips(clip, Mix(0.5, (3, 4, 13, 20)))
    assert torch.equal(mixed[:, :, 0], mixed[:, :, 3])
    assert not torch.equal(mixed[:, :, 0], clip[:, :, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mixup_alpha": -1.0}, "mixup_alpha is -1.0"),
        ({"mixup_alpha": 0.0, "cutmix_alpha": 0.0}, "mixup_alpha and cutmix_alpha are 0"),
        ({"label_smoothing": 1.5}, "label_smoothing is 1.5, allowed is 0 to 1"),
    ],
)
def test_it_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Mixing(**arguments)
