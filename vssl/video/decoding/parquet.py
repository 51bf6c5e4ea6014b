"""One value of a Parquet file. Its pages are read from the start of their row group on, and a page may hold all of it:
this costs up to the time of a whole row group, and twice its size in memory.
"""

from bisect import bisect_right
from functools import lru_cache
from itertools import accumulate

OPEN_FILES = 8


def read_row(file: str, number: int, column: str) -> bytes:
    """The bytes of a video in row `number` (from 0) of the column, which holds {bytes, path} or bytes.

    Raises:
        OSError, ValueError: it cannot be read, or holds none.
    """
    import pyarrow as pa

    try:
        value = _value(file, number, column)
    except pa.ArrowException as error:
        raise OSError(f"Parquet cannot be read: {error}") from error
    if isinstance(value, dict):
        value = value.get("bytes")
    if not isinstance(value, bytes):
        raise ValueError("it holds no bytes of a video")
    return value


def _value(file: str, number: int, column: str) -> object:
    import pyarrow.parquet as pq

    starts = _starts(file)
    group = bisect_right(starts, number) - 1
    if not 0 <= group < len(starts) - 1:
        raise ValueError(f"the file now has {starts[-1]} rows")
    ahead = number - starts[group]
    with pq.ParquetFile(file, pre_buffer=False, buffer_size=2**16) as table:
        for batch in table.iter_batches(batch_size=1, row_groups=[group], columns=[column], use_threads=False):
            if ahead < batch.num_rows:
                return batch.column(0)[ahead].as_py()
            ahead -= batch.num_rows
    raise ValueError("the row group ends before this row")


@lru_cache(maxsize=OPEN_FILES)
def _starts(file: str) -> list[int]:
    """The first row of each row group, and the number of rows."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(file)
    return [0, *accumulate(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))]
