"""Sets that are read together: shares exact in every epoch, everything a function of (seed, epoch, position)."""

import pickle
from collections import Counter
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vssl.video.mixture import Mixture
from vssl.video.sampler import BatchSampler, Slot

LETTERS = "abcde"


@st.composite
def mixtures(draw: st.DrawFn) -> Mixture:
    """Up to five sets, some of them empty, their samples in any order."""
    sizes = draw(st.lists(st.integers(0, 12), min_size=1, max_size=5).filter(any))
    weights = draw(st.lists(st.floats(0.05, 4.0), min_size=len(sizes), max_size=len(sizes)))
    part = draw(st.permutations([place for place, size in enumerate(sizes) for _ in range(size)]))
    return Mixture(np.array(part), tuple(LETTERS[: len(sizes)]), tuple(weights))


def mixed(part: str, **weights: float) -> Mixture:
    """`mixed("aabbb", b=2)`: the set of each sample, and weights other than 1."""
    names = tuple(sorted(set(part)))
    return Mixture(np.array([names.index(name) for name in part]), names, tuple(weights.get(one, 1.0) for one in names))


def sampler(mixture: Mixture | None, size: int | None = None, **other: int) -> BatchSampler:
    length = len(mixture.part) if mixture is not None else size
    given = {"batch_size": 2, "accumulate": 1, "steps": 9, "seed": 3, "size": length, **other}
    return BatchSampler(**given, mixture=mixture)  # type: ignore[arg-type]


def flat(batches: list[list[Slot]]) -> list[Slot]:
    return [slot for batch in batches for slot in batch]


@given(mixtures(), st.integers(0, 2**40), st.integers(0, 30))
@settings(max_examples=150, deadline=None)
def test_an_epoch_has_exactly_its_shares_and_each_video_equally_often_up_to_one(
    mixture: Mixture, seed: int, epoch: int
) -> None:
    sample, occurrence = mixture.entries(seed, epoch)
    for place, (weight, size) in enumerate(zip(mixture.weights, mixture.sizes.tolist(), strict=True)):
        times = np.bincount(sample, minlength=len(mixture.part))[mixture.part == place]
        assert times.sum() == mixture.clips[place]
        assert abs(times.sum() - weight * size) <= 0.5 or times.sum() == 1
        assert size == 0 or np.ptp(times) <= 1
    assert len({*zip(sample.tolist(), occurrence.tolist(), strict=True)}) == len(sample)
    for index in np.unique(sample):  # first, second, ...: none is left out
        assert sorted(occurrence[sample == index]) == list(range((sample == index).sum()))


@given(mixtures(), st.integers(0, 2**40))
@settings(max_examples=60, deadline=None)
def test_over_epochs_no_video_falls_behind_by_more_than_one(mixture: Mixture, seed: int) -> None:
    of_epochs = [np.bincount(mixture.entries(seed, epoch).sample, minlength=len(mixture.part)) for epoch in range(8)]
    for total in accumulate(of_epochs):
        of_sets = [total[mixture.part == place] for place in np.flatnonzero(mixture.sizes)]
        assert all(np.ptp(times) <= 1 for times in of_sets)


@given(st.integers(1, 40), st.integers(1, 3), st.integers(1, 2), st.integers(0, 2**40))
@settings(max_examples=60, deadline=None)
def test_without_weights_the_order_is_that_of_one_set(size: int, sets: int, repeats: int, seed: int) -> None:
    mixture = mixed("".join(LETTERS[place % sets] for place in range(size)))
    given = {"batch_size": repeats, "accumulate": 1, "steps": 2 * size, "seed": seed, "repeats": repeats}
    assert list(sampler(mixture, **given)) == list(sampler(None, size, **given))


def test_all_places_of_a_batch_have_a_set_with_the_probability_of_its_share() -> None:
    mixture = mixed("a" * 12 + "b" * 4, b=3)  # half and half
    batches = list(sampler(mixture, batch_size=8, steps=1200))[:1200]
    share = np.array([[mixture.part[slot.sample] for slot in batch] for batch in batches]).mean(axis=0)
    assert abs(share - 0.5).max() < 4 * 0.5 / np.sqrt(len(batches))


def test_accumulation_ranks_and_a_start_in_the_middle_read_the_same_clips() -> None:
    mixture = mixed("aaaabbbbbb", a=2.5, b=0.5)
    whole = list(sampler(mixture, batch_size=4))[:9]
    ranks = [list(sampler(mixture, batch_size=4, accumulate=2, world_size=2, rank=rank))[:18] for rank in (0, 1)]
    for step in range(9):
        assert flat([ranks[rank][2 * step + part] for part in (0, 1) for rank in (0, 1)]) == whole[step]
    assert list(sampler(mixture, batch_size=4, start=5))[:4] == whole[5:]
    assert list(pickle.loads(pickle.dumps(sampler(mixture, batch_size=4))))[:9] == whole


def test_a_video_that_occurs_again_has_other_keys_and_its_first_clip_is_that_without_weights() -> None:
    mixture = mixed("aab", a=3)
    epoch = flat(list(sampler(mixture, batch_size=14, repeats=2, steps=1))[:1])
    assert Counter(slot.sample for slot in epoch) == {0: 6, 1: 6, 2: 2}
    assert len({slot.key for slot in epoch}) == 14
    alone = flat(list(sampler(None, 3, batch_size=6, repeats=2, steps=1))[:1])
    first = {(slot.sample, slot.repeat): slot.key for slot in epoch if slot.repeat < 2}
    assert first == {(slot.sample, slot.repeat): slot.key for slot in alone}


def test_half_a_set_is_the_other_half_in_the_next_epoch() -> None:
    entries = [set(mixed("a" * 10, a=0.5).entries(1, epoch).sample.tolist()) for epoch in (0, 1, 2)]
    assert entries[0] | entries[1] == set(range(10)) and entries[2] == entries[0]


def test_an_unreadable_video_is_replaced_by_others_of_its_set_each_of_them_once() -> None:
    mixture = mixed("aaabbbb", a=2, b=2)
    one = sampler(mixture, batch_size=14)
    epoch = flat(list(one)[:1])
    for place, slot in enumerate(epoch):
        following = [other for other in epoch[place + 1 :] + epoch[:place] if other.sample != slot.sample]
        own = [other for other in following if mixture.part[other.sample] == mixture.part[slot.sample]]
        expected = {other.sample: other for other in reversed(own)}
        found = list(one.successors(slot))
        assert {other.sample: other for other in found} == expected
        assert found == sorted(found, key=following.index)


def test_a_batch_larger_than_an_epoch_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size=8 is larger than the 5 clips of an epoch"):
        sampler(mixed("a" * 10, a=0.5), batch_size=8)


def test_shares_are_told() -> None:
    told = mixed("a" * 48 + "b" * 16, b=3).told()
    assert told == "an epoch takes 48 clips of a (50.0 %) and 48 of b (50.0 %)"
