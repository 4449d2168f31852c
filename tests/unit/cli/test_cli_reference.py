"""docs/reference/cli.md is true: its tables are the generated ones, its JSON keys are those of the shapes."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tasker_kafka.deploy.acls import Acl
from tasker_kafka.deploy.bulk import BulkReport, BulkRow
from tasker_kafka.deploy.catalog import DataField, DataShape, DomainEventEntry, EdgeEntry, SystemEventEntry
from tasker_kafka.deploy.cli.reference import generated
from tasker_kafka.deploy.converting import Note
from tasker_kafka.deploy.doctor import Check
from tasker_kafka.deploy.reading import (
    AnswerReport,
    AttemptReport,
    ErrorReport,
    FieldDifference,
    PartitionRebuild,
    RebuildDifference,
    RejectionRow,
    StepReport,
    TaskReport,
    TaskRow,
    TransitionReport,
    WaitReport,
    WorkerRow,
)
from tasker_kafka.deploy.reading.dead_letters import (
    LetterActRow,
    LetterPage,
    LetterReport,
    LetterRow,
    RawRecord,
)
from tasker_kafka.deploy.reading.stale import LedgerRow
from tasker_kafka.deploy.reading.subscriber_rows import (
    DeadRow,
    GroupReport,
    GroupRow,
    MemberRow,
    PartitionRow,
    RetryRow,
    SubscriptionRow,
)
from tasker_kafka.deploy.subscribing import ServedRow
from tasker_kafka.schemas.settings import Explanation

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
SHAPES = (
    Acl,
    AnswerReport,
    AttemptReport,
    BulkReport,
    BulkRow,
    Check,
    DataField,
    DataShape,
    DeadRow,
    DomainEventEntry,
    EdgeEntry,
    ErrorReport,
    Explanation,
    FieldDifference,
    GroupReport,
    GroupRow,
    LedgerRow,
    LetterActRow,
    LetterPage,
    LetterReport,
    LetterRow,
    MemberRow,
    Note,
    PartitionRebuild,
    PartitionRow,
    RawRecord,
    RebuildDifference,
    RejectionRow,
    RetryRow,
    ServedRow,
    StepReport,
    SubscriptionRow,
    SystemEventEntry,
    TaskReport,
    TaskRow,
    TransitionReport,
    WaitReport,
    WorkerRow,
)


def test_the_tables_are_the_generated_ones() -> None:
    between = PAGE.read_text().partition("<!-- generated:")[2].partition("<!-- end of generated -->")[0]
    there = between.partition("-->")[2].strip()
    assert there == generated().strip(), (
        "run `python -m tasker_kafka.deploy.cli.reference docs/reference/cli.md`"
    )


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_every_key_of_a_shape_is_named(shape: type[msgspec.Struct]) -> None:
    text = PAGE.read_text()
    missing = [
        key for key in shape.__struct_encode_fields__ if f"`{key}`" not in text and f"`{key}[]`" not in text
    ]
    assert missing == []
