"""How sure an order is when other videos and seeds are drawn, and how well several orders agree."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vssl.statistics.intervals import AT_ONCE


def rank_probabilities(right: ArrayLike, n: int = 2000, seed: int = 0) -> NDArray[np.float64]:
    """How often each of R methods takes each rank when videos and seeds are drawn again, the same ones for all.

    N of N videos are drawn with replacement, and S - 1 of S seeds: S of them would show (S - 1) / S of the variance
    that the mean has over seeds (McCarthy and Snowden 1985, Vital and Health Statistics 2(95)); with two or three seeds
    that is much less. What belongs to a seed and a video together is counted more than once, so the probabilities are
    rather too even (Owen 2007, Annals of Applied Statistics 1:386-411).

    Args:
        right: [R, S, N] bool: method, seed, video; with S = 1 only videos are drawn.
        n: resamples.
        seed: equal seeds and answers give equal probabilities.
    Returns:
        [R, R]: row a method, column a rank, the highest share of right answers first. Methods with equal shares have
        every rank that they hold together alike, so that rows and columns sum to 1.
    Raises:
        ValueError: another shape, one without values, or values other than 0 and 1.
    """
    answers = np.asarray(right)
    if answers.ndim != 3 or answers.size == 0 or not np.isin(answers, (0, 1)).all():
        raise ValueError(f"right or wrong is asked for, [methods, seeds, videos]; given is shape {answers.shape}")
    methods, seeds, videos = answers.shape
    distinct, counts = np.unique(answers.reshape(methods * seeds, videos).astype(np.int64), axis=1, return_counts=True)
    rng = np.random.default_rng(seed)
    found = np.zeros((methods, methods))
    at_once = max(1, AT_ONCE // max(distinct.shape[1], methods**2))
    for done in range(0, n, at_once):
        drawn = min(at_once, n - done)
        # Counts, not shares: equal ones are equal to the last digit.
        of_videos = rng.multinomial(videos, counts / videos, size=drawn) @ distinct.T
        of_seeds = rng.multinomial(max(1, seeds - 1), np.full(seeds, 1 / seeds), size=drawn)
        found += _ranked(np.einsum("brs,bs->br", of_videos.reshape(drawn, methods, seeds), of_seeds))
    return found / n


def _ranked(scores: NDArray[np.int64]) -> NDArray[np.float64]:
    """[B, R] -> [R, R]: how many of B times each took each rank; equal scores share theirs."""
    methods = scores.shape[1]
    above = (scores[:, None, :] > scores[:, :, None]).sum(axis=2)[:, :, None]
    equal = (scores[:, None, :] == scores[:, :, None]).sum(axis=2)[:, :, None]
    place = np.arange(methods)
    held = (place >= above) & (place < above + equal)
    return np.asarray((held / equal).sum(axis=0))


def kendalls_w(scores: Sequence[Sequence[float]]) -> float:
    """Kendall's coefficient of concordance: 1 where all orders are the same, 0 where none is to be seen.

    Args:
        scores: [m, n]: m orders of the same n things, as numbers; equal numbers are ties, corrected for.
    Returns:
        W in [0, 1]; nan where every order is one tie.
    Raises:
        ValueError: fewer than two orders or things, or values that are not finite.
    Source: Kendall and Babington Smith 1939, Annals of Mathematical Statistics 10:275-287; with ties: Kendall 1948,
        Rank Correlation Methods, chapter 6. m (n - 1) W is Friedman's chi-squared.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 2 or not np.isfinite(values).all():
        raise ValueError(f"two or more orders of two or more things are needed, given is shape {values.shape}")
    m, n = values.shape
    less, equal = ((values[:, :, None] > values[:, None, :]).sum(2), (values[:, :, None] == values[:, None, :]).sum(2))
    ranks = less + (equal + 1) / 2
    ties = float((equal.astype(np.float64) ** 2 - 1).sum())  # a tie of t things holds t times t^2 - 1
    spread = float(((ranks.sum(axis=0) - m * (n + 1) / 2) ** 2).sum())
    possible = m**2 * (n**3 - n) - m * ties
    return 12 * spread / possible if possible else math.nan


def tau_b(a: Sequence[float], b: Sequence[float]) -> float:
    """Kendall's tau-b between two orders of the same things: 1 where they are the same, -1 where one is the other back.

    Returns:
        In [-1, 1]; nan where one of the orders is one tie.
    Raises:
        ValueError: lists of different lengths, or of fewer than two.
    Source: Kendall 1945, Biometrika 33:239-251.
    """
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"two lists of the same two or more things are needed, given are {len(a)} and {len(b)}")
    signs = [
        (float(np.sign(a[i] - a[j])), float(np.sign(b[i] - b[j]))) for i, j in itertools.combinations(range(len(a)), 2)
    ]
    untied = [sum(1 for pair in signs if pair[which]) for which in (0, 1)]
    return sum(one * other for one, other in signs) / math.sqrt(math.prod(untied)) if all(untied) else math.nan
