"""Airflow's trigger rules once more, written from its source and not from the engine's.

Source: airflow/ti_deps/deps/trigger_rule_dep.py (3.3): first a rule may set a state, else its condition says whether
the task runs or waits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

RULES = [
    "all_success",
    "all_failed",
    "all_done",
    "all_done_min_one_success",
    "all_done_setup_success",
    "one_success",
    "one_failed",
    "one_done",
    "none_failed",
    "none_failed_min_one_success",
    "none_skipped",
    "all_skipped",
    "always",
]


@dataclass(frozen=True)
class Arrival:
    """One upstream that ended: its state, or those of all its items; a branch may force its successor to be skipped."""

    states: tuple[str, ...]
    forced: bool = False


def decide(rule: str, total: int, states: Sequence[str]) -> str:
    """Return run, wait, skipped or upstream_failed for a task with `total` upstreams of which these have ended."""
    count = Counter(states)
    success, failed, skipped = count["completed"], count["failed"], count["skipped"]
    upstream_failed, removed = count["upstream_failed"], count["removed"]
    done = len(states) >= total
    match rule:
        case "all_success":
            if failed or upstream_failed:
                return "upstream_failed"
            if skipped:
                return "skipped"
            ready = total - success - removed <= 0
        case "all_failed":
            if success or skipped:
                return "skipped"
            ready = total - failed - upstream_failed - removed <= 0
        case "all_done" | "all_done_setup_success":
            ready = done
        case "all_done_min_one_success":
            if skipped:
                return "skipped"
            if done and success == 0:
                return "upstream_failed"
            ready = done
        case "one_success":
            if done and skipped == total:
                return "skipped"
            if done and success == 0:
                return "upstream_failed"
            ready = success >= 1
        case "one_failed":
            if done and not failed and not upstream_failed:
                return "skipped"
            ready = failed >= 1 or upstream_failed >= 1
        case "one_done":
            if done and success + failed == 0:
                return "skipped"
            ready = success + failed >= 1
        case "none_failed":
            if failed or upstream_failed:
                return "upstream_failed"
            ready = total - success - skipped - removed <= 0
        case "none_failed_min_one_success":
            if failed or upstream_failed:
                return "upstream_failed"
            if skipped == total:
                return "skipped"
            if done and success == 0:
                return "upstream_failed"
            ready = done
        case "none_skipped":
            if skipped:
                return "skipped"
            ready = done
        case "all_skipped":
            if success or failed or upstream_failed:
                return "skipped"
            ready = skipped == total
        case "always":
            ready = True
        case _:
            raise AssertionError(rule)
    return "run" if ready else "wait"


def possible_states(rule: str, arrivals: Sequence[Arrival]) -> set[str]:
    """Return every decision that some order of these arrivals leads to; several may arrive in one transaction."""
    if rule == "always" or not arrivals:
        return {"run"}
    total = sum(len(arrival.states) for arrival in arrivals)
    decisions: set[str] = set()
    looked: set[frozenset[int]] = set()
    open_sets = [frozenset[int]()]
    while open_sets:
        arrived = open_sets.pop()
        for more in _subsets(sorted(set(range(len(arrivals))) - arrived)):
            now = arrived | set(more)
            decision = (
                "skipped"
                if any(arrivals[i].forced for i in more)
                else decide(rule, total, [state for i in now for state in arrivals[i].states])
            )
            if decision != "wait":
                decisions.add(decision)
            elif now not in looked:
                looked.add(now)
                open_sets.append(now)
    return decisions


def _subsets(numbers: Sequence[int]) -> Iterator[tuple[int, ...]]:
    for size in range(1, len(numbers) + 1):
        yield from combinations(numbers, size)
