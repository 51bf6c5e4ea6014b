"""What one loading did: matched, missing, left out, reshaped; and whether that is allowed."""

import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Report:
    """Differences between a file and the encoder that it fills.

    Args:
        layout: its name.
        source: path of the file, as given.
        sha256: of the file's bytes.
        tensors: how many tensors the encoder has, its `mean` and `std` aside.
        matched: our names that were filled.
        reshaped: {our name: "shape there -> shape here"} of those.
        left_out: {name there: reason}.
        missing: {our name: what stands there instead}.
        wrong: what is not allowed; empty where the loading holds.
        notes: what is worth knowing and no difference of names.
    """

    layout: str
    source: str
    sha256: str
    tensors: int = 0
    matched: list[str] = field(default_factory=list)
    reshaped: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """For a record: counts and names; which tensors matched follows from what is missing."""
        found = {key: value for key, value in asdict(self).items() if key not in ("matched", "wrong", "source")}
        return {**found, "matched": len(self.matched)}

    def told(self) -> str:
        """A few lines for the screen."""
        lines = [f"{self.source}: layout {self.layout}, {len(self.matched)} of {self.tensors} tensors matched"]
        lines += [f"  reshaped  {name}: {shapes}" for name, shapes in _short(self.reshaped)]
        lines += [f"  left out  {names}: {reason}" for names, reason in _grouped(self.left_out)]
        lines += [f"  missing   {names}: {reason}" for names, reason in _grouped(self.missing)]
        lines += [f"  note      {note}" for note in self.notes]
        return "\n".join(lines)


def _grouped(names: dict[str, str]) -> list[tuple[str, str]]:
    """Names that differ in their numbers alone as one, with `*` for the number and how many they are."""
    counted = Counter((re.sub(r"\.\d+(?=\.)", ".*", name), reason) for name, reason in names.items())
    by_reason: dict[str, list[str]] = {}
    for (name, reason), times in counted.items():
        by_reason.setdefault(reason, []).append(name if times == 1 else f"{name} ({times})")
    return [(_some(shown), reason) for reason, shown in by_reason.items()]


def _some(names: list[str], most: int = 6) -> str:
    return ", ".join([*names[:most], *([f"{len(names) - most} more"] if len(names) > most else [])])


def _short(names: dict[str, str]) -> list[tuple[str, str]]:
    rows = list(names.items())
    return [*rows[:3], *([(f"{len(rows) - 3} more", "likewise")] if len(rows) > 3 else [])]
