"""What a run has shown, and how it is printed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .account import Accounts

__all__ = ["Report", "table"]


@dataclass
class Report:
    """What a run has shown. It is good when `faults` is empty."""

    seed: int
    noise: int
    accounts: Accounts = field(default_factory=Accounts)
    good_tasks: int = 0
    takeovers: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0


def table(report: Report) -> str:
    """Classes and what came of them, for people."""
    lines = [
        f"seed {report.seed}: {report.noise} bad records, {report.good_tasks} good tasks, {report.takeovers} takeovers"
    ]
    counted = report.accounts.outcomes
    for kind in sorted({kind for kind, _ in counted}):
        outcomes = Counter({outcome: count for (each, outcome), count in counted.items() if each == kind})
        lines.append(f"  {kind} ({sum(outcomes.values())})")
        lines += [f"    {count:7} {outcome}" for outcome, count in outcomes.most_common()]
    lines.append(
        f"accounted for: {report.accounts.requests} requests, {report.accounts.commands} commands; "
        f"{report.seconds:.0f} s; faults: {len(report.faults)}"
    )
    lines += [f"FAULT {each}" for each in report.faults[:20]]
    return "\n".join(lines)
