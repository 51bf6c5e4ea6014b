"""A bound configuration as YAML."""

from collections.abc import Mapping
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # no stubs
    """Lists of scalars, tuples too, on one line; no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _sequence(dumper: yaml.SafeDumper, data: Any) -> yaml.Node:
    flat = not any(isinstance(item, Mapping | list | tuple) for item in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flat)


_Dumper.add_representer(tuple, _sequence)
_Dumper.add_representer(list, _sequence)


def to_yaml(bound: Mapping[str, Any]) -> str:
    """YAML that reads back as the same tree, with lists for tuples; keys keep their order."""
    text: str = yaml.dump(dict(bound), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text
