"""Makes the step's span current while its handler runs, so that instrumented clients nest under it.

The span itself is written by whoever reads the transitions; its id is in the dispatch's `traceparent`. Without a
configured SDK nobody would read it, so nothing is done.
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

from opentelemetry import trace

__all__ = ["current_step"]

_NOTHING: AbstractContextManager[Any] = contextlib.nullcontext()


def current_step(traceparent: str | None) -> AbstractContextManager[Any]:
    """A context in which the span of `traceparent` (W3C) is the current one."""
    if traceparent is None or isinstance(trace.get_tracer_provider(), _unset_providers()):
        return _NOTHING
    place = _parse(traceparent)
    if place is None:
        return _NOTHING
    span = trace.NonRecordingSpan(place)
    return trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False)


@lru_cache(maxsize=1)
def _unset_providers() -> tuple[type, ...]:
    return (trace.ProxyTracerProvider, trace.NoOpTracerProvider)


def _parse(traceparent: str) -> trace.SpanContext | None:
    try:
        version, trace_text, span_text, flags = traceparent.split("-")[:4]
        place = trace.SpanContext(
            trace_id=int(trace_text, 16),
            span_id=int(span_text, 16),
            is_remote=True,
            trace_flags=trace.TraceFlags(int(flags, 16)),
        )
    except ValueError:
        return None
    return place if place.is_valid and version != "ff" else None
