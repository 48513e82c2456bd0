"""Gates for CI: when an import must end with the answer no."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

from pgdurable_core.importing.report.model import Report
from pgdurable_core.importing.report.words import both

FailOn = Literal["review", "blocked"]
FAIL_ON: Final[tuple[FailOn, ...]] = get_args(FailOn)

_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Gates:
    """What is asked of an import. `fail_under` is a percentage of tasks; without any gate, nothing may be blocked."""

    fail_under: float | None = None
    fail_on: FailOn | None = None

    @property
    def is_given(self) -> bool:
        """Say whether somebody asked for a gate."""
        return self.fail_under is not None or self.fail_on is not None

    def objections(self, report: Report) -> tuple[str, ...]:
        """Say in sentences what does not hold; a file that failed always is one, since nobody knows its tasks."""
        return tuple(self._objections(report))

    def _objections(self, report: Report) -> Iterator[str]:
        if report.failures:
            yield f"{len(report.failures)} of {report.facts.files} files gave no workflow"
        counted = report.totals
        if self.fail_under is not None and counted.percent < self.fail_under:
            yield (
                f"{counted.with_home} of {counted.tasks} tasks have a home, which is less than "
                f"{self.fail_under:g} % (--fail-under)"
            )
        fail_on = self.fail_on or (None if self.is_given else "blocked")
        if fail_on is None:
            return
        unfit = {"blocked"} if fail_on == "blocked" else {"blocked", "needs decisions"}
        names = [workflow.name for workflow in report.workflows if workflow.readiness in unfit]
        if names:
            more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
            what = "blocked" if fail_on == "blocked" else "blocked, or for a person to decide"
            yield f"{what} (--fail-on {fail_on}): {both([*names[:_NAMED], *more])}"
