"""The templates of the fault runs, and how often each is asked for."""

from __future__ import annotations

from typing import Any, Final

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.template import Lifecycle, Retry, Template

__all__ = [
    "BIG_BYTES",
    "FLAKY",
    "HANGING",
    "KEYED",
    "KILLER",
    "LARGE",
    "LONG",
    "LONG_STEP",
    "SLOW",
    "WEIGHTS",
    "plans",
]

BIG_BYTES: Final = 20_000
"""Above every inline limit."""
FLAKY, HANGING, KEYED, KILLER = "flaky", "hanging", "keyed", "killer"
LARGE, LONG, SLOW = "large", "long", "slow"
LONG_STEP: Final = b"longest"
"""Name of the only step of LONG."""

WEIGHTS: Final = {
    "chain_5": 40.0,
    "diamond": 20.0,
    "fan_out_20": 4.0,
    FLAKY: 8.0,
    "exhausting": 3.0,
    "hopeless": 4.0,
    "fast_fail": 2.0,
    "blocking": 1.0,
    LARGE: 6.0,
    SLOW: 1.5,
    LONG: 0.3,
    "overdue": 0.5,
    KEYED: 5.0,
    "threaded": 3.0,
}
"""Share of each in the load. The others are asked for by the faults that need them."""

_QUICK: Final = Retry(max_attempts=4, backoff_base_ms=200, max_backoff_ms=1000)
_TWICE: Final = Retry(max_attempts=2, backoff_base_ms=200)


def plans() -> list[Plan]:
    """Every template of a run, compiled."""
    templates = [_chain(), _diamond(), _fan_out(), *_failing(), *_special()]
    return [each.compile() for each in templates]


def _step(
    template: Template, name: str, *parents: str, handler: str = "faults.work", **options: Any
) -> Template:
    known: dict[str, Any] = {key: options.pop(key) for key in ("retry", "timeout_seconds") if key in options}
    if options.get("seconds", 0) > 1:
        known["heartbeat_timeout_seconds"] = 6.0
    return template.step(name, handler=handler, depends_on=parents, config=options, **known)


def _chain() -> Template:
    template = _step(Template("chain_5"), "step_0")
    for number in range(1, 5):
        template = _step(template, f"step_{number}", f"step_{number - 1}")
    return template


def _diamond() -> Template:
    template = _step(_step(_step(Template("diamond"), "top"), "left", "top"), "right", "top")
    return _step(template, "bottom", "left", "right")


def _fan_out() -> Template:
    template = _step(Template("fan_out_20"), "first")
    branches = [f"branch_{number}" for number in range(20)]
    for branch in branches:
        template = _step(template, branch, "first")
    return _step(template, "last", *branches)


def _failing() -> list[Template]:
    flaky = _step(_step(Template(FLAKY), "first"), "second", "first", fail_times=2, retry=_QUICK)
    exhausting = _step(_step(Template("exhausting"), "first", fail_times=9, retry=_TWICE), "second", "first")
    hopeless = _step(_step(Template("hopeless"), "first"), "second", "first", is_hopeless=True)
    fast_fail = _step(Template("fast_fail", failure_policy="fail_fast"), "first", is_hopeless=True)
    for number in range(4):
        fast_fail = _step(fast_fail, f"beside_{number}", seconds=0.2)
    blocking = Template("blocking", lifecycle=Lifecycle(on_blocked="wait"))
    blocking = _step(_step(blocking, "first", is_hopeless=True), "second", "first")
    overdue = _step(Template("overdue"), "first", seconds=5.0, timeout_seconds=1.0, retry=_TWICE)
    return [_step(flaky, "third", "second"), exhausting, hopeless, fast_fail, blocking, overdue]


def _special() -> list[Template]:
    large = _step(Template(LARGE), "first", result_bytes=BIG_BYTES)
    large = _step(_step(large, "second", "first", result_bytes=BIG_BYTES), "third", "first", "second")
    slow = _step(_step(Template(SLOW), "first"), "second", "first", seconds=2.5)
    long = _step(Template(LONG), LONG_STEP.decode(), seconds=15.0)
    keyed = _step(_step(Template(KEYED, identity="caller_provided"), "first"), "second", "first")
    threaded = _step(Template("threaded"), "first", handler="faults.thread", seconds=0.01)
    killer = _step(Template(KILLER), "only", is_deadly=True, retry=Retry(max_attempts=1))
    hanging = _step(Template(HANGING, lifecycle=Lifecycle(on_blocked="wait")), "first", is_hopeless=True)
    return [
        large,
        _step(slow, "third", "second"),
        long,
        keyed,
        threaded,
        killer,
        _step(hanging, "second", "first"),
    ]
