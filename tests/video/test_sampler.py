"""The batch sampler: the same clips whatever the accumulation, the ranks, and the place of a resume."""

import pytest

from vssl.video.sampler import BatchSampler, Slot


def batches(**settings: int) -> list[list[Slot]]:
    sampler = BatchSampler(**{"size": 37, "batch_size": 8, "accumulate": 1, "steps": 11, "seed": 3, **settings})
    return list(sampler)


def test_accumulation_sees_the_same_clips_in_the_same_order() -> None:
    whole = batches()[:11]
    parts = batches(accumulate=2)[:22]
    assert [parts[2 * step] + parts[2 * step + 1] for step in range(11)] == whole


def test_two_ranks_together_see_the_same_clips() -> None:
    whole = batches()[:11]
    ranks = [batches(world_size=2, rank=rank)[:11] for rank in (0, 1)]
    assert [ranks[0][step] + ranks[1][step] for step in range(11)] == whole


def test_ranks_and_accumulation_together() -> None:
    whole = batches()[:11]
    ranks = [batches(world_size=2, rank=rank, accumulate=2)[:22] for rank in (0, 1)]
    for step in range(11):
        micro = [ranks[rank][2 * step + part] for part in (0, 1) for rank in (0, 1)]
        assert sum(micro, []) == whole[step]


@pytest.mark.parametrize("start", [0, 1, 4, 5, 7, 10])
def test_a_start_in_the_middle_continues_the_same_list(start: int) -> None:
    assert batches(start=start) == batches()[start:]


def test_each_epoch_is_a_new_permutation_without_repeats() -> None:
    epochs = [sum(batches()[4 * epoch : 4 * epoch + 4], []) for epoch in (0, 1)]
    for epoch in epochs:
        assert len({slot.sample for slot in epoch}) == 32
    assert [slot.sample for slot in epochs[0]] != [slot.sample for slot in epochs[1]]
    assert not {slot.key for slot in epochs[0]} & {slot.key for slot in epochs[1]}  # no clip is drawn twice alike


def test_a_key_belongs_to_its_sample_and_epoch_not_to_its_batch() -> None:
    by_eight = {slot.sample: slot.key for batch in batches()[:4] for slot in batch}
    by_four = {slot.sample: slot.key for batch in batches(batch_size=4)[:8] for slot in batch}
    assert by_eight == by_four


def test_the_length_is_that_of_the_whole_training_also_after_a_resume() -> None:
    settings = {"size": 37, "batch_size": 8, "accumulate": 2, "steps": 11, "seed": 3}
    assert len(BatchSampler(**settings)) == len(BatchSampler(**settings, start=9)) == 23


def test_repeats_stand_side_by_side_and_the_first_is_the_clip_without_repeats() -> None:
    bare = batches(batch_size=4)
    twice = batches(batch_size=8, repeats=2)
    assert [[slot for slot in batch if slot.repeat == 0] for batch in twice] == bare
    for batch in twice:
        assert [slot.sample for slot in batch[0::2]] == [slot.sample for slot in batch[1::2]]
        assert len({slot.key for slot in batch}) == 8
    parts = [batches(batch_size=8, repeats=2, world_size=8, rank=rank) for rank in range(8)]
    assert [sum((part[step] for part in parts), []) for step in range(11)] == twice[:11]
    successor = next(iter(BatchSampler(37, 8, 1, 11, 3, repeats=2).successors(twice[0][1])))
    assert successor == twice[0][3]


def test_refuses_what_cannot_be_divided() -> None:
    with pytest.raises(ValueError, match="batch_size=8 is not divisible by accumulation x ranks = 3"):
        batches(accumulate=3)
    with pytest.raises(ValueError, match="larger than the 5 training videos"):
        batches(size=5)
    with pytest.raises(ValueError, match=r"batch_size=8 is not divisible by views\.repeats=3"):
        batches(repeats=3)
    with pytest.raises(ValueError, match=r"batch_size=8 is larger than the 3 training videos times views\.repeats=2"):
        batches(size=3, repeats=2)


def test_the_place_of_an_unreadable_sample_is_taken_by_the_next_of_the_epoch() -> None:
    sampler = BatchSampler(size=9, batch_size=3, accumulate=1, steps=6, seed=3)
    first, second = sum(list(sampler)[:3], []), sum(list(sampler)[3:6], [])
    for epoch in (first, second):
        for place in (0, 4, 8):
            assert list(sampler.successors(epoch[place])) == epoch[place + 1 :] + epoch[:place]
