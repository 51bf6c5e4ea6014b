"""What a table shows, and what stands below it, when it is asked."""

from typing import TYPE_CHECKING

from vssl.report.listing import Listing
from vssl.report.pairs import pairs
from vssl.report.published import published
from vssl.report.ranks import ranks
from vssl.report.reference import known_set

if TYPE_CHECKING:
    from vssl.report.table import Table


class Beside:
    """Numbers of the comparison, and further tables below it.

    Args:
        metrics: numbers to show of each evaluation, as its record calls them, with commas between.
        pairs: paired tests between all rows on the same test videos.
        ranks: the probability of each rank, and how well the evaluations agree on the order.
        reference: a set of published rows, such as `kinetics400_finetune`.

    Raises:
        UserError: there is no such set.
    """

    def __init__(
        self, metrics: str = "top1", pairs: bool = False, ranks: bool = False, reference: str | None = None
    ) -> None:
        self.metrics = tuple(name.strip() for name in metrics.strip("[]").split(",") if name.strip())
        self.pairs, self.ranks = pairs, ranks
        self.reference = None if reference is None else known_set(reference)

    def listings(self, table: "Table") -> list[Listing]:
        """In the order in which they are shown."""
        listings = [pairs(table)] if self.pairs else []
        listings += ranks(table) if self.ranks else []
        return listings + ([published(table, self.reference)] if self.reference else [])
