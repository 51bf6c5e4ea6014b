"""What makes moving_shapes worth pretraining on: no frame and no mean of frames tells the motion, their order does.

Bounds are binomial: an accuracy passes as chance up to the 99.9 % quantile of what guessing scores on as many videos.
"""

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from datamodules.moving_shapes import FACTORS, MOTIONS, MovingShapes, Plan, make_plan, render
from vssl.video.decoding.decode import PyAVReader

FRAMES, STRIDE = 8, 2
PAIRS = [("right", "left"), ("down", "up"), ("clockwise", "anticlockwise"), ("grow", "shrink")]
PROBES = {
    "linear": lambda: make_pipeline(PCA(40, random_state=0), StandardScaler(), LogisticRegression(max_iter=2000)),
    "knn": lambda: KNeighborsClassifier(10, weights="distance"),
    "forest": lambda: RandomForestClassifier(60, random_state=0, max_features=0.1, max_samples=0.7),
}

Clips = NDArray[np.float32]  # [N, T, H, W, 3] in [0, 1]
Labels = NDArray[np.int64]


def guessing(classes: int, videos: int) -> float:
    """The accuracy that guessing stays below with 99.9 %."""
    return float(stats.binom.ppf(0.999, videos, 1 / classes)) / videos


def accuracy(probe: str, seen: NDArray, seen_labels: Labels, unseen: NDArray, unseen_labels: Labels) -> float:
    model = PROBES[probe]().fit(seen.reshape(len(seen), -1), seen_labels)
    return float((model.predict(unseen.reshape(len(unseen), -1)) == unseen_labels).mean())


def cut(videos: Sequence[NDArray[np.uint8]], seed: int) -> Clips:
    """Clips of 8 frames of stride 2, from anywhere in the videos."""
    last = len(videos[0]) - (FRAMES - 1) * STRIDE
    starts = np.random.default_rng(seed).integers(0, last, len(videos))
    clips = [video[start::STRIDE][:FRAMES] for video, start in zip(videos, starts, strict=True)]
    return np.stack(clips).astype(np.float32) / 255


def small(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """[..., 32, 32, 3] -> [..., 16, 16, 3]: a probe that sees 768 numbers overfits less than one that sees 3,072."""
    *lead, height, width, channels = frames.shape
    return frames.reshape(*lead, height // 2, 2, width // 2, 2, channels).mean(axis=(-4, -2))


def ordered_steps(clips: Clips) -> NDArray[np.float64]:
    """[N, 4]: how far x, y, turn and log size move from a frame to the next, by the median over the clip."""
    brightness = clips.max(axis=-1)
    shape, bright_half = brightness > 0.24, brightness > 0.5  # the lightest background is 0.2
    x, y = _centre(shape, 3), _centre(shape, 2)
    to_bright = np.exp(1j * (_centre(bright_half, 3) - x)), np.exp(1j * (_centre(bright_half, 2) - y))
    turn = np.arctan2(np.angle(to_bright[1]), np.angle(to_bright[0]))
    size = 0.5 * np.log(shape.sum(axis=(2, 3)))
    around = [np.angle(np.exp(1j * np.diff(angle, axis=1))) for angle in (x, y, turn)]
    return np.stack([np.median(steps, axis=1) for steps in (*around, np.diff(size, axis=1))], axis=1)


def _centre(mask: NDArray[np.bool_], axis: int) -> NDArray[np.float64]:
    """Angle [N, T] of the mask's centre along one axis of the frame, whose ends meet."""
    size = mask.shape[axis]
    waves = np.exp(2j * np.pi * (np.arange(size) + 0.5) / size)
    profile = mask.sum(axis=5 - axis)
    return np.angle(profile @ waves)


class Split:
    """Clips and labels of one split, cut from videos that were rendered or decoded."""

    def __init__(self, videos: Sequence[NDArray[np.uint8]], factors: dict[str, Labels], seed: int) -> None:
        self.clips, self.factors = cut(videos, seed), factors

    @property
    def motion(self) -> Labels:
        return self.factors["motion"]


def rendered(videos: int, seed: int) -> Split:
    plan = make_plan(videos, 24, (seed,))
    return Split([render(plan, index, 32) for index in range(videos)], plan.factors, seed)


def decoded(data: MovingShapes, split: Literal["train", "test"], seed: int) -> Split:
    samples, reader = data.samples(split), PyAVReader()
    videos = []
    for path in samples.path:
        with reader.open(str(path)) as video:
            videos.append(video.frames(np.arange(len(video.times))))
    return Split(videos, samples.labels, seed)


@pytest.fixture(scope="module")
def train() -> Split:
    return rendered(800, 0)


@pytest.fixture(scope="module")
def held_out() -> Split:
    return rendered(400, 1)


# --- the plan ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("videos", "split"), [(2000, 0), (400, 1), (50, 0)])
def test_factors_are_balanced(videos: int, split: int) -> None:
    plan = make_plan(videos, 24, (0, split))
    for name, levels in plan.factors.items():
        counts = np.bincount(levels, minlength=len(FACTORS[name]))
        assert counts.max() - counts.min() <= 1, (name, counts)


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(FACTORS, 2)))
def test_factors_are_independent(one: str, other: str, split: int) -> None:
    factors = make_plan(2000, 24, (0, split)).factors
    table = np.zeros((len(FACTORS[one]), len(FACTORS[other])))
    np.add.at(table, (factors[one], factors[other]), 1)
    p = stats.chi2_contingency(table).pvalue
    assert p > 0.001  # 20 tests of true independence: 2 % would have one below


def test_each_frame_shows_every_state_alike_whatever_the_motion() -> None:
    plan = make_plan(8000, 24, (0, 0))
    for motion, frame, circle in itertools.product(range(8), (0, 11, 23), range(4)):
        states = plan.states[plan.factors["motion"] == motion, frame, circle]
        p = stats.kstest(states, "uniform").pvalue
        assert p > 0.01 / 96, (motion, frame, circle)  # Bonferroni over 96 tests


@pytest.mark.parametrize("frame", [0, 11, 23])
def test_a_probe_that_knows_the_exact_state_of_a_frame_is_at_chance(frame: int) -> None:
    def known(plan: Plan) -> NDArray[np.float64]:
        angles = 2 * np.pi * plan.states[:, frame]
        return np.concatenate([np.cos(angles), np.sin(angles)], axis=1)

    train, held_out = make_plan(2000, 24, (0, 0)), make_plan(2000, 24, (0, 1))
    for probe in ("knn", "forest"):
        score = accuracy(probe, known(train), train.factors["motion"], known(held_out), held_out.factors["motion"])
        assert score < guessing(8, 2000), probe  # 14.8 %


@pytest.mark.parametrize("axis", ["x", "y"])
def test_the_edges_of_the_frame_meet(axis: str) -> None:
    """A shape further on by 13 pixels is the same picture rolled by 13 pixels, also across an edge."""
    plan = make_plan(16, 24, (0, 0))
    flat = {**plan.factors, "background": plan.factors["background"] % 3}  # the fourth changes from top to bottom
    further = plan.states + 13 / 32 * np.eye(4)["xy".index(axis)]
    for index in range(16):
        rolled = np.roll(render(Plan(flat, plan.states), index, 32), 13, axis={"x": 2, "y": 1}[axis])
        drawn = render(Plan(flat, further % 1), index, 32)
        np.testing.assert_allclose(drawn.astype(int), rolled, atol=1)


# --- what clips tell --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("frame", [0, FRAMES // 2, FRAMES - 1])
def test_a_single_frame_does_not_tell_the_motion(train: Split, held_out: Split, frame: int, probe: str) -> None:
    seen, unseen = small(train.clips[:, frame]), small(held_out.clips[:, frame])
    assert accuracy(probe, seen, train.motion, unseen, held_out.motion) < guessing(8, 400)  # 17.8 %


def test_the_same_probe_reads_the_colour_from_a_single_frame(train: Split, held_out: Split) -> None:
    seen, unseen = small(train.clips[:, 0]), small(held_out.clips[:, 0])
    assert accuracy("forest", seen, train.factors["colour"], unseen, held_out.factors["colour"]) > 0.9


def within_pairs(probe: str, train: Split, held_out: Split, features: Callable[[Clips], NDArray]) -> float:
    """Accuracy of telling a motion from its opposite, over the four pairs together."""
    right = 0.0
    for pair in PAIRS:
        levels = [list(MOTIONS).index(name) for name in pair]
        seen, unseen = np.isin(train.motion, levels), np.isin(held_out.motion, levels)
        score = accuracy(probe, features(train.clips[seen]), train.motion[seen], features(held_out.clips[unseen]),
                         held_out.motion[unseen])  # fmt: skip
        right += score * unseen.sum()
    return right / len(held_out.motion)


@pytest.mark.parametrize("probe", PROBES)
def test_the_mean_frame_does_not_tell_a_motion_from_its_opposite(train: Split, held_out: Split, probe: str) -> None:
    score = within_pairs(probe, train, held_out, lambda clips: small(clips.mean(axis=1)))
    assert 1 - guessing(2, 400) < score < guessing(2, 400)  # 50 +- 7.8 %


def test_the_same_probe_reads_the_axis_from_the_mean_frame(train: Split, held_out: Split) -> None:
    axis = np.array([circle for circle, _ in MOTIONS.values()])
    seen, unseen = small(train.clips.mean(axis=1)), small(held_out.clips.mean(axis=1))
    assert accuracy("forest", seen, axis[train.motion], unseen, axis[held_out.motion]) > guessing(4, 400) + 0.1


def test_steps_in_order_tell_the_motion(train: Split, held_out: Split) -> None:
    seen, unseen = ordered_steps(train.clips), ordered_steps(held_out.clips)
    assert accuracy("forest", seen, train.motion, unseen, held_out.motion) > 0.9


def test_the_same_steps_out_of_order_do_not_tell_a_motion_from_its_opposite(train: Split, held_out: Split) -> None:
    random = np.random.default_rng(0)

    def shuffled(clips: Clips) -> NDArray[np.float64]:
        order = random.permuted(np.tile(np.arange(FRAMES), (len(clips), 1)), axis=1)
        return ordered_steps(clips[np.arange(len(clips))[:, None], order])

    assert within_pairs("forest", train, held_out, shuffled) < guessing(2, 400)


@pytest.mark.parametrize("motion", MOTIONS)
def test_each_motion_does_what_its_name_says(held_out: Split, motion: str) -> None:
    """On the screen: x to the right, y down, turns positive clockwise, size in logarithms."""
    steps = ordered_steps(held_out.clips[held_out.motion == list(MOTIONS).index(motion)])
    circle, way = MOTIONS[motion]
    assert np.mean(np.sign(steps[:, circle]) == way) > 0.95


def test_the_files_tell_the_motion_in_order_too(cache: Path) -> None:
    data = MovingShapes(num_videos=24)
    split = decoded(data, "train", seed=0)
    circle, way = np.array(list(MOTIONS.values()))[split.motion].T
    assert np.mean(np.sign(ordered_steps(split.clips)[np.arange(24), circle]) == way) > 0.9


@pytest.mark.slow
def test_a_thousand_real_files_tell_the_motion_by_order_alone(tmp_path: Path) -> None:
    """The same claims on decoded H.264: compression must not leave traces of the motion in a frame."""
    data = MovingShapes(num_videos=1000, num_test=1000, root=str(tmp_path))
    train, held_out = decoded(data, "train", seed=0), decoded(data, "test", seed=1)
    for probe, frame in itertools.product(PROBES, (0, FRAMES // 2, FRAMES - 1)):
        seen, unseen = small(train.clips[:, frame]), small(held_out.clips[:, frame])
        assert accuracy(probe, seen, train.motion, unseen, held_out.motion) < guessing(8, 1000), (probe, frame)
    for probe in PROBES:
        score = within_pairs(probe, train, held_out, lambda clips: small(clips.mean(axis=1)))
        assert 1 - guessing(2, 1000) < score < guessing(2, 1000), probe
    steps = accuracy("forest", ordered_steps(train.clips), train.motion, ordered_steps(held_out.clips), held_out.motion)
    assert steps > 0.9
