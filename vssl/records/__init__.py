"""What a run leaves behind: whole files, locks, hashes, records. No torch."""

from vssl.records.record import find_records, read_record, records, write_record

__all__ = ["find_records", "read_record", "records", "write_record"]
