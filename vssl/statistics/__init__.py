"""How sure a number is, whether two differ, what difference could be told, and how sure an order is. No torch."""

from vssl.statistics.intervals import Summary, bootstrap_interval, mean_std_t
from vssl.statistics.paired import Paired, holm, mcnemar, paired_bootstrap, paired_over_seeds
from vssl.statistics.power import ALPHA, POWER, pooled_std, smallest_difference
from vssl.statistics.ranks import kendalls_w, rank_probabilities, tau_b

__all__ = [
    "ALPHA",
    "POWER",
    "Paired",
    "Summary",
    "bootstrap_interval",
    "holm",
    "kendalls_w",
    "mcnemar",
    "mean_std_t",
    "paired_bootstrap",
    "paired_over_seeds",
    "pooled_std",
    "rank_probabilities",
    "smallest_difference",
    "tau_b",
]
