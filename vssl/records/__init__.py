"""What a run leaves behind: whole files, locks, hashes, records. No torch."""

import sys
from pathlib import Path
from types import ModuleType

import pandas as pd

from vssl.records.record import find_records, read_record, records, write_record

__all__ = ["find_records", "read_record", "records", "write_record"]


class _CallableModule(ModuleType):
    """`vssl.records(folder)` is promised, and `vssl.records` is this package: so the package can be called."""

    def __call__(self, folder: Path) -> pd.DataFrame:
        return records(folder)


sys.modules[__name__].__class__ = _CallableModule
