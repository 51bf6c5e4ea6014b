"""Tables with a column of videos, as Hugging Face `datasets` writes them: Arrow and Parquet files, read by pyarrow.

A video is a struct {bytes, path}, or bytes, or the text of a path. The bytes of an uncompressed Arrow file lie in it
as they are and are opened in place; those of a Parquet file are not.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vssl.config.errors import ConfigError, UserError, nearest
from vssl.video.decoding.addresses import Row, Span

GROUP_BYTES = 2**30  # of one row group, which is read for each of its videos
GROUP_HINT = (
    f"at most {GROUP_BYTES:,} are read for one video: write it anew with row_group_size=10, or as Arrow: "
    "datasets.load_dataset(...).save_to_disk(...)"
)
END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


@dataclass(frozen=True)
class TableRow:
    """One video of a table: the part of the file that holds it, or None where its path alone is given.

    Args:
        where: "train.parquet, row 17", for messages.
        label: None where there is none.
    """

    where: str
    part: Span | Row | None
    path: str
    label: int | str | None


@dataclass(frozen=True)
class Table:
    rows: list[TableRow]
    classes: tuple[str, ...] | None  # of a ClassLabel column


def read_table(file: str, video: str, label: str | None) -> Table:
    """The rows of an Arrow (`.arrow`) or Parquet file, without reading a video.

    Raises:
        UserError: naming file, column and row, for whatever is wrong in it.
    """
    import pyarrow as pa

    try:
        parts = _arrow(file, video, label) if file.endswith(".arrow") else _parquet(file, video, label)
        schema, columns = next(parts), list(parts)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{file}: the table cannot be read: {error}", "download or save it again") from error
    rows: list[TableRow] = []
    for places, paths, labels in columns:
        for place, path, value in zip(places, paths, labels, strict=True):
            where = f"{file}, row {len(rows)}"
            rows.append(TableRow(where, place, path or "", _checked_label(where, label, value)))
    return Table(rows, None if label is None else _class_names(schema, label))


def _arrow(file: str, video: str, label: str | None) -> Iterator[Any]:
    """The schema, then of each batch of rows: parts, paths, labels."""
    import pyarrow as pa

    content = pa.memory_map(file).read_buffer()
    is_file = content.slice(0, 6).to_pybytes() == b"ARROW1"
    if not is_file and content.slice(max(0, content.size - 8)).to_pybytes() != END_OF_STREAM:
        # The reader takes a file that breaks off between two batches for whole.
        raise UserError(f"{file}: the Arrow file is cut short: its end mark is missing", "download or save it again")
    reader = pa.ipc.open_file(content) if is_file else pa.ipc.open_stream(content)
    _refuse_missing(file, reader.schema, video, label)
    yield reader.schema
    first = 0
    for batch in (reader.get_batch(i) for i in range(reader.num_record_batches)) if is_file else reader:
        column, labels = batch.column(video), _values(batch, label)
        data, paths = _bytes_and_paths(column)
        if data is None:
            parts: list[Span | None] = [None] * len(column)
        else:
            starts, ends = _place(file, data, content)
            valid = data.is_valid().to_numpy(zero_copy_only=False)
            spans = zip(starts.tolist(), ends.tolist(), valid.tolist(), strict=True)
            parts = [
                Span(file, start, end, f"row {first + i}") if v else None for i, (start, end, v) in enumerate(spans)
            ]
        yield parts, paths, labels
        first += len(column)


def _bytes_and_paths(column: Any) -> tuple[Any, list[str | None]]:
    """The bytes (None where the column has none) and the paths of an array of videos."""
    import pyarrow as pa

    if pa.types.is_struct(column.type):
        fields = {column.type.field(i).name: child for i, child in enumerate(column.flatten())}
        data, paths = fields.get("bytes"), fields.get("path")
    else:
        is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        data, paths = (None, column) if is_text else (column, None)
    if data is not None and pa.types.is_null(data.type):
        data = None
    return data, [None] * len(column) if paths is None else paths.to_pylist()


def _place(file: str, data: Any, content: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the bytes of each value start and end in the file."""
    import pyarrow as pa

    wide = pa.types.is_large_binary(data.type)
    _, offsets, values = data.buffers()
    edges: NDArray[np.int64] = np.frombuffer(offsets, dtype=np.int64 if wide else np.int32)[
        data.offset : data.offset + len(data) + 1
    ].astype(np.int64)
    base = 0 if values is None else values.address - content.address
    if values is not None and values.size and not 0 <= base < content.size:
        raise UserError(f"{file}: the Arrow file is compressed", "save it without compression, as datasets does")
    return base + edges[:-1], base + edges[1:]


def _parquet(file: str, video: str, label: str | None) -> Iterator[Any]:
    """The schema, then of each row group: parts, paths, labels. No video is read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as table:
        schema = table.schema_arrow
        _refuse_missing(file, schema, video, label)
        yield schema
        kind = schema.field(video).type
        data, path = _leaves(video, kind)
        wanted = [name for name in (path, label) if name is not None]
        first = 0
        for group in range(table.num_row_groups):
            told = table.metadata.row_group(group)
            read = table.read_row_group(group, columns=wanted, use_threads=False) if wanted else None
            count = told.num_rows
            paths = [None] * count if path is None or read is None else _paths(read.column(video), pa)
            labels = [None] * count if read is None or label is None else read.column(label).to_pylist()
            size = 0 if data is None else _chunk_bytes(told, data)
            if size > GROUP_BYTES:
                raise UserError(f"{file}: the {count} videos of row group {group} are {size:,} bytes", GROUP_HINT)
            empty = [True] * count if data is None else _empty(table, group, told, data, video)
            parts = [None if gone else Row(file, first + i, size, video) for i, gone in enumerate(empty)]
            yield parts, paths, labels
            first += count


def _leaves(video: str, kind: Any) -> tuple[str | None, str | None]:
    """Names of the leaf columns that hold the bytes and the paths."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        names = [kind.field(i).name for i in range(kind.num_fields)]
        return (f"{video}.bytes" if "bytes" in names else None), (f"{video}.path" if "path" in names else None)
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return (None, video) if is_text else (video, None)


def _paths(column: Any, pa: Any) -> list[str | None]:
    values = column.to_pylist()
    return [None if value is None else value["path"] for value in values] if pa.types.is_struct(column.type) else values


def _chunk(group: Any, leaf: str) -> Any:
    return next(one for i in range(group.num_columns) if (one := group.column(i)).path_in_schema == leaf)


def _chunk_bytes(group: Any, leaf: str) -> int:
    return int(_chunk(group, leaf).total_uncompressed_size)


def _empty(table: Any, index: int, group: Any, leaf: str, video: str) -> list[bool]:
    """Which rows of a group hold no bytes; they are read only where the file does not say all or none."""
    chunk, count = _chunk(group, leaf), group.num_rows
    if chunk.is_stats_set and chunk.statistics.has_null_count and chunk.statistics.null_count in (0, count):
        return [chunk.statistics.null_count > 0] * count
    batches = table.iter_batches(batch_size=1, row_groups=[index], columns=[leaf], use_threads=False)
    values = (value for batch in batches for value in batch.column(0).to_pylist())
    return [(value.get("bytes") if isinstance(value, dict) else value) is None for value in values]


def _values(batch: Any, label: str | None) -> list[Any]:
    return [None] * batch.num_rows if label is None else batch.column(label).to_pylist()


def _refuse_missing(file: str, schema: Any, video: str, label: str | None) -> None:
    import pyarrow as pa

    for key, name in (("video", video), ("label", label)):
        if name is not None and name not in schema.names:
            has = f"it has {', '.join(schema.names)}{nearest(name, schema.names)}"
            hint = "data.label_column=null reads no labels" if key == "label" else "data.video_column=... names it"
            raise ConfigError(f"data.{key}_column: {file} has no column '{name}'; {has}", hint)
    kind = schema.field(video).type
    parts = [kind.field(i) for i in range(kind.num_fields)] if pa.types.is_struct(kind) else [schema.field(video)]
    named = {part.name: part.type for part in parts}
    is_known = any(_is_blob(one) or _is_text(one) for one in named.values())
    if not is_known or (pa.types.is_struct(kind) and not {"bytes", "path"} & named.keys()):
        raise ConfigError(
            f"data.video_column: column '{video}' of {file} is {kind}, not bytes, a path or a struct of them"
        )


def _is_blob(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _class_names(schema: Any, label: str) -> tuple[str, ...] | None:
    """What `datasets` notes of a ClassLabel column in the schema."""
    try:
        noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = noted["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError):
        return None
    return tuple(map(str, names))


def _checked_label(where: str, column: str | None, value: object) -> int | str | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return None if value is None or value < 0 else value  # -1 is what `datasets` has for a hidden label
    if isinstance(value, str):
        return value.strip() or None
    raise UserError(f"{where}: '{column}' has to be a whole number or text; it is {str(value)[:40]}")
