"""docs/reference/records.md is true: its table is the generated one, and lists every topic and record."""

from __future__ import annotations

from tasker_kafka.schemas.records import CHECKPOINT_KEY, FORGOTTEN_KEY, OWNER_KEY
from tasker_kafka.topics.headers import OWNER
from tasker_kafka.topics.reference import generated
from tests.support.record_values import kinds
from tests.support.source_tree import ROOT

PAGE = ROOT / "docs/reference/records.md"


def test_table_is_the_generated_one() -> None:
    _, _, rest = PAGE.read_text().partition("<!-- generated: python -m tasker_kafka.topics.reference -->\n\n")
    table, _, _ = rest.partition("\n<!-- end of generated -->")
    assert table == generated()


def test_every_record_is_listed_with_its_file() -> None:
    for kind in kinds():
        assert f"[`{kind.__name__}`](../../schemas/avro/{kind.__name__}.avsc)" in generated()
        assert (ROOT / f"schemas/avro/{kind.__name__}.avsc").is_file()


def test_what_the_page_says_beside_the_table() -> None:
    assert f"`{OWNER}`" in PAGE.read_text()
    assert 16 not in {len(key) for key in (OWNER_KEY, CHECKPOINT_KEY, FORGOTTEN_KEY)}
