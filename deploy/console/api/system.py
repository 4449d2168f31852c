"""Templates, the catalogue of events, workers, handlers, subscriber groups, analytics and rejections."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from tasker_kafka.deploy.console.backend import TemplateDetails
from tasker_kafka.deploy.reading import RejectionRow
from tasker_kafka.deploy.reading.subscriber_rows import GroupReport
from tasker_kafka.deploy.system_names import named_events
from tasker_kafka.schemas.settings.console import Role

from .answering import Asker, TheBackend, answer, answers
from .inputs import Limit, Raw, TimeRange
from .shapes import (
    Bottlenecks,
    DomainEvents,
    Groups,
    Handlers,
    PerformanceAnswer,
    Rejections,
    SystemEvents,
    Templates,
    Workers,
)
from .tasks import GraphForm, graph_answer, graph_answers

__all__ = ["router"]

router: Final = APIRouter()


@router.get("/templates", tags=["templates"], **answers(Templates))
async def list_templates(backend: TheBackend) -> Response:
    """Every published version of every template."""
    return answer(Templates(templates=await backend.templates()))


@router.get(
    "/templates/{namespace}/{name}/{version}", tags=["templates"], **answers(TemplateDetails, also=(404,))
)
async def show_template(namespace: str, name: str, version: str, backend: TheBackend) -> Response:
    """One version with graph, levels and critical path; `latest` is the highest."""
    return answer(await backend.template(namespace, name, version))


@router.get("/templates/{namespace}/{name}/{version}/graph", tags=["templates"], **graph_answers())
async def show_template_graph(
    namespace: str,
    name: str,
    version: str,
    backend: TheBackend,
    form: Annotated[GraphForm, Query(alias="format")] = GraphForm.JSON,
) -> Response:
    """The graph of a template; `format=mermaid` as text."""
    return graph_answer(backend.plan(namespace, name, version), form)


@router.get("/catalog/system-events", tags=["catalog"], **answers(SystemEvents))
async def list_system_events(backend: TheBackend) -> Response:
    """Every event of the engine, with the edges that it takes."""
    return answer(SystemEvents(events=backend.system_events(), names=named_events()))


@router.get("/catalog/domain-events", tags=["catalog"], **answers(DomainEvents))
async def list_domain_events(backend: TheBackend) -> Response:
    """Every event that a published template declares."""
    return answer(DomainEvents(events=backend.domain_events()))


@router.get("/workers", tags=["work"], **answers(Workers))
async def list_workers(backend: TheBackend) -> Response:
    """Every step worker that has announced itself and not signed off."""
    return answer(Workers(workers=await backend.workers()))


@router.get("/handlers", tags=["work"], **answers(Handlers))
async def list_handlers(backend: TheBackend) -> Response:
    """Who serves which handler, and what waits for nobody."""
    return answer(Handlers(handlers=await backend.handlers()))


@router.get("/subscribers", tags=["work"], **answers(Groups))
async def list_groups(
    backend: TheBackend,
    with_dead_letters: Annotated[
        bool, Query(description="Count them, too: reads their queues whole.")
    ] = False,
) -> Response:
    """Subscriber groups with their lag in records and seconds."""
    groups = await backend.groups(with_dead_letters=with_dead_letters)
    return answer(Groups(groups=tuple(groups)))


@router.get("/subscribers/{group}", tags=["work"], **answers(GroupReport, also=(404,)))
async def show_group(group: str, backend: TheBackend) -> Response:
    """One subscriber group: members, partitions, what waits for a retry, what is dead."""
    return answer(await backend.group(group))


@router.get("/rejections", tags=["rejections"], **answers(Rejections))
async def list_rejections(
    backend: TheBackend,
    limit: Limit = 50,
    code: Annotated[str | None, Query(max_length=64, description="Of this code only.")] = None,
) -> Response:
    """The newest requests and commands that were not accepted."""
    rows = await backend.rejections(limit=limit, code=code)
    return answer(Rejections(rejections=tuple(rows)))


@router.get("/rejections/{place}", tags=["rejections"], **answers(RejectionRow, also=(404,)))
async def show_rejection(place: str, backend: TheBackend, asker: Asker, raw: Raw = False) -> Response:
    """One rejection, at `partition:offset`, with the original request."""
    if raw:
        asker.require(Role.ADMIN)
    return answer(await backend.rejection(place, raw=raw))


@router.get("/analytics/performance", tags=["analytics"], **answers(PerformanceAnswer))
async def show_performance(query: Annotated[TimeRange, Query()], backend: TheBackend) -> Response:
    """Durations and outcomes of closed tasks by template version; true percentiles."""
    return answer(PerformanceAnswer(templates=await backend.performance(query.query())))


@router.get("/analytics/bottlenecks", tags=["analytics"], **answers(Bottlenecks))
async def show_bottlenecks(query: Annotated[TimeRange, Query()], backend: TheBackend) -> Response:
    """Queue time, run time, failures and retries of ended attempts by step; the slowest first."""
    return answer(Bottlenecks(steps=await backend.bottlenecks(query.query())))
