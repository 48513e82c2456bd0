"""Numbers and lists as people write them."""

from collections.abc import Iterable
from typing import Final

_NUMBERS: Final = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def number(value: int) -> str:
    """Write a small number as a word."""
    return _NUMBERS[value] if value < len(_NUMBERS) else str(value)


def things(value: int) -> str:
    """Write `two things`."""
    return f"{number(value)} thing{'' if value == 1 else 's'}"


def count(value: int, noun: str) -> str:
    """Write `2 tasks`."""
    return f"{value} {noun}{'' if value == 1 else 's'}"


def joined(parts: Iterable[str]) -> str:
    """Write `a, b, c`."""
    return ", ".join(parts)


def both(parts: Iterable[str]) -> str:
    """Write `a, b and c`."""
    listed = list(parts)
    return " and ".join([", ".join(listed[:-1]), listed[-1]] if len(listed) > 1 else listed)
