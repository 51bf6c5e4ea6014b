"""Range checks of settings: each raises a ValueError that names the setting, its value and what is allowed."""


def at_least(lowest: int, name: str, value: int) -> None:
    """A whole number with a least value."""
    if value < lowest:
        raise ValueError(f"{name} is {value}, allowed is at least {lowest}")


def within(lowest: float, highest: float, name: str, value: float) -> None:
    """A number in a closed range."""
    if not lowest <= value <= highest:
        raise ValueError(f"{name} is {value}, allowed is {lowest:g} to {highest:g}")


def one_of(allowed: tuple[str, ...], name: str, value: str) -> None:
    """One of a few words."""
    if value not in allowed:
        raise ValueError(f"{name} is {value!r}, allowed is {' or '.join(allowed)}")


def ordered(name: str, value: tuple[float, float], highest: float = float("inf")) -> None:
    """Two numbers above 0, the smaller first."""
    if len(value) != 2 or not 0 < value[0] <= value[1] <= highest:
        limit = "" if highest == float("inf") else f" and up to {highest:g}"
        raise ValueError(f"{name} is {value}, allowed are two numbers above 0{limit}, the smaller first")
