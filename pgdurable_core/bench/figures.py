"""Numbers as they were measured, their medians, and how they are read aloud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Series:
    """One thing measured several times, in events per second."""

    name: str
    rates: tuple[float, ...]

    @property
    def middle(self) -> float:
        return median(self.rates)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Something against what it is measured by, in turns, in one run."""

    title: str
    base: Series
    measured: tuple[Series, ...]
    wanted: float | None = None

    def ratio(self, series: Series) -> float:
        return series.middle / self.base.middle


@dataclass(frozen=True, slots=True)
class Report:
    """All comparisons of a run, with the machine and the settings beside them."""

    name: str
    surroundings: Mapping[str, str]
    comparisons: Sequence[Comparison]
    notes: Sequence[str] = ()

    def as_json(self) -> dict[str, object]:
        """Return every raw number; `rates` are events per second in the order in which they were taken."""
        return {
            "bench": self.name,
            "surroundings": dict(self.surroundings),
            "notes": list(self.notes),
            "comparisons": [
                {
                    "title": each.title,
                    "base": {"name": each.base.name, "rates": each.base.rates, "median": each.base.middle},
                    "measured": [
                        {
                            "name": series.name,
                            "rates": series.rates,
                            "median": series.middle,
                            "ratio": each.ratio(series),
                        }
                        for series in each.measured
                    ],
                    "wanted": each.wanted,
                }
                for each in self.comparisons
            ],
        }

    def as_lines(self) -> list[str]:
        """Return the report as sentences that can be read aloud."""
        width = max(len(name) for name in self.surroundings)
        lines = [f"{name:<{width}}  {text}" for name, text in self.surroundings.items()]
        for each in self.comparisons:
            lines += ["", each.title, f"  {each.base.name}: {_rate(each.base)}"]
            lines += [f"  {s.name}: {_rate(s)}, ratio {each.ratio(s):.2f}" for s in each.measured]
            if each.wanted is not None:
                lines.append(f"  wanted: ratio {each.wanted:.2f} or more")
        return [*lines, *([""] if self.notes else []), *self.notes]


def _rate(series: Series) -> str:
    low, high = min(series.rates), max(series.rates)
    return f"{series.middle:,.0f} a second (median of {len(series.rates)}, {low:,.0f} to {high:,.0f})"
