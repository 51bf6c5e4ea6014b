"""Features laid out in a plane, for looking at."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Embedding = Literal["pca", "umap"]


def pca(values: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The two directions of largest variance.

    Args:
        values: [N, D]; N and D at least 2.
    Returns:
        [N, 2] places and [2] shares of the variance. The largest loading of each direction is positive, so that the
        picture of the same features is the same.
    """
    centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    _, spread, directions = np.linalg.svd(centred, full_matrices=False)
    two = directions[:2]
    two = two * np.sign(two[np.arange(2), np.abs(two).argmax(axis=1)])[:, None]
    return centred @ two.T, spread[:2] ** 2 / max(float((spread**2).sum()), np.finfo(np.float64).tiny)


def umap(values: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    """[N, D] -> [N, 2]. Distances across the picture mean little: neighbourhoods are what is kept.

    Source: McInnes et al. 2018, arXiv:1802.03426; umap-learn with its own settings, cosine distance.
    """
    from umap import UMAP

    neighbours = min(15, len(values) - 1)
    return np.asarray(UMAP(n_neighbors=neighbours, metric="cosine", random_state=seed, n_jobs=1).fit_transform(values))
