"""How keys and values of the first Tasker are said here, as tables. What is refused anyway has its advice in
`schemas.template_faults`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from tasker_kafka.schemas.template_models import RetryModel, StepModel, TaskEventModel, TemplateModel

__all__ = [
    "ADVICE",
    "BOOKKEEPING",
    "CONSTANT_BACKOFF",
    "DELAYS",
    "DELIVERY",
    "IDENTITY",
    "NO_VALUE",
    "RENAMED",
    "SAYS_NOTHING",
    "TYPES",
    "WAITS",
]

RENAMED: Final[Mapping[type[BaseModel], Mapping[str, str]]] = {
    TemplateModel: {
        "namespace_name": "namespace",
        "step_templates": "steps",
        "schema": "input_schema",
        "custom_events": "publishes_events",
    },
    StepModel: {
        "depends_on": "dependencies",
        "depends_on_steps": "dependencies",
        "depends_on_step": "dependencies",
        "custom_events": "publishes_events",
    },
    RetryModel: {
        "limit": "max_attempts",
        "retry_limit": "max_attempts",
        "initial_backoff_ms": "backoff_base_ms",
        "base_delay_ms": "backoff_base_ms",
        "max_delay_ms": "max_backoff_ms",
    },
    TaskEventModel: {"delivery_mode": "delivery"},
}
DELIVERY: Final = {
    "durable": ("durable", None),
    "fast": ("fire_and_forget", None),
    "broadcast": ("durable", "every group of subscribers gets a durable event: broadcast is that"),
}
IDENTITY: Final = {
    "strict": "context_hash",
    "caller_provided": "caller_provided",
    "always_unique": "always_unique",
}
CONSTANT_BACKOFF: Final = frozenset({"fixed", "constant"})
TYPES: Final = {"deferred": "deferred_convergence", "batchable": "batch", "batch_worker": "batch"}
ADVICE: Final[Mapping[str, str]] = {
    "batch_config": "batch steps come with a later release",
    "lifecycle": "write `timeout_seconds` in the step",
    "lifecycle.max_steps_in_process_minutes": "write `timeout_seconds` in the steps",
    "lifecycle.auto_fail_on_timeout": "write `staleness_action: error`",
    "lifecycle.auto_dlq_on_timeout": "write `staleness_action: dlq`",
}
WAITS: Final = ("max_waiting_for_dependencies_minutes", "max_waiting_for_retry_minutes")
DELAYS: Final = {"initial_delay": "backoff_base_ms", "max_delay": "max_backoff_ms"}
"""Of a retry, in seconds."""
NO_VALUE: Final[tuple[Any, ...]] = (None, [], {}, "")
SAYS_NOTHING: Final[Mapping[str, tuple[Any, ...]]] = {
    "skippable": (False,),
    "concurrent": (True,),
    "default_dependent_system": ("default",),
    "dependent_system": ("default",),
    "system_dependency": ("default",),
    "system_dependencies": ({"primary": "default"}, {"primary": "default", "secondary": []}),
}
"""Values that are what happens here in any case."""
BOOKKEEPING: Final[Mapping[str, str]] = {"loaded_from": "it said where the file lay"}
"""Keys that the first Tasker wrote for itself."""
