"""Schedules against the values of the released recipes."""

import pytest

from vssl.training.schedules import Schedule

# MCG-NJU/VideoMAE utils.py cosine_scheduler: lr 1, min .1, 4 epochs x 5 steps, warm-up 1 epoch.
VIDEOMAE = [
    0, 0.25, 0.5, 0.75, 1, 1, 0.990166, 0.961095, 0.914058, 0.851109, 0.775, 0.689058, 0.597038, 0.502962, 0.410942,
    0.325, 0.248891, 0.185942, 0.138904, 0.109834,
]  # fmt: skip


def test_inclusive_warmup_is_videomaes() -> None:
    schedule = Schedule(warmup_steps=5, floor=0.1, inclusive=True)
    assert [schedule.factor(step, 20) for step in range(20)] == pytest.approx(VIDEOMAE, abs=1e-6)


def test_videomae_at_paper_scale() -> None:  # lr 1.2e-3, floor 8e-5, 800 epochs of 117 steps, warm-up 40 epochs
    schedule, total = Schedule(warmup_steps=4680, floor=8e-5 / 1.2e-3, inclusive=True), 93600
    assert schedule.factor(0, total) == 0
    assert 1.2e-3 * schedule.factor(1, total) == pytest.approx(2.564651e-7, rel=1e-6)
    assert schedule.factor(4679, total) == schedule.factor(4680, total) == 1
    assert 1.2e-3 * schedule.factor(46800, total) == pytest.approx(6.862444e-4, rel=1e-6)
    assert 1.2e-3 * schedule.factor(total - 1, total) == pytest.approx(8.0000000350e-5, rel=1e-9)


def test_moco_v3_by_epoch() -> (
    None
):  # facebookresearch/moco-v3 ViT: peak .0024, warm-up 40 of 300 epochs, one step each
    schedule = Schedule(warmup_steps=40)
    expected = {0: 0, 10: 0.0006, 20: 0.0012, 40: 0.0024, 105: 0.00204853, 170: 0.0012, 235: 0.00035147, 299: 8.76e-8}
    for epoch, rate in expected.items():
        assert 0.0024 * schedule.factor(epoch, 300) == pytest.approx(rate, rel=1e-3, abs=1e-12)


def test_simsiam_has_no_warmup() -> None:  # facebookresearch/simsiam: init_lr .1 at batch 512, 100 epochs
    schedule = Schedule(warmup_fraction=0)
    expected = {0: 0.1, 25: 0.0853553, 50: 0.05, 75: 0.0146447, 99: 2.4672e-5}
    for epoch, rate in expected.items():
        assert 0.1 * schedule.factor(epoch, 100) == pytest.approx(rate, rel=1e-4)


def test_constant_after_warmup() -> None:
    schedule = Schedule(after="constant", warmup_steps=100)
    assert [schedule.factor(step, 1000) for step in (0, 50, 100, 999)] == [0, 0.5, 1, 1]


def test_cooldown_is_flat_and_then_one_minus_a_square_root() -> None:  # arXiv:2405.18392, section 4
    schedule = Schedule(after="cooldown", warmup_steps=10, cooldown_fraction=0.2, floor=0.1)
    factors = [schedule.factor(step, 100) for step in range(101)]
    assert factors[5] == 0.5 and set(factors[10:81]) == {1.0}
    assert factors[85] == pytest.approx(1 - 0.9 * 0.5) and factors[100] == pytest.approx(0.1)
    assert schedule.stable_until(100) == 80 and schedule.stable_until(11) == 10  # never before the warm-up's end


@pytest.mark.parametrize("inclusive", [False, True])
def test_warmup_may_be_as_long_as_the_run(inclusive: bool) -> None:
    schedule = Schedule(warmup_fraction=1.0, inclusive=inclusive)
    factors = [schedule.factor(step, 4) for step in range(4)]
    assert factors[0] == 0 and factors == sorted(factors) and factors[-1] <= 1


def test_refuses_a_warmup_beyond_the_run() -> None:
    with pytest.raises(ValueError, match=r"warmup_fraction=1.5"):
        Schedule(warmup_fraction=1.5)
