"""`tasker schemas check`: what is declared against what was kept, on files alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Tasker = Callable[..., Any]
KEPT = Path("event-schemas/shop/order.placed")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def declare(version: str, schema: dict[str, Any] | None, file: str = "t.yaml", **more: Any) -> None:
    """Write a template that declares the event."""
    event = {"name": "order.placed", "version": version, **({} if schema is None else {"schema": schema})}
    template = {"name": file[0], "namespace": "shop", "steps": [], "publishes_events": [event], **more}
    Path("templates").mkdir(exist_ok=True)
    Path("templates", file).write_text(json.dumps(template))


def order(*required: str, **properties: Any) -> dict[str, Any]:
    """A payload's schema."""
    return {"type": "object", "required": [*required], "properties": properties or {"id": {"type": "string"}}}


def codes(ran: Any) -> list[str]:
    """The codes of the findings."""
    return [each["code"] for each in ran.json["findings"]]


def test_a_version_is_kept_once_and_then_agreed_with(tasker: Tasker) -> None:
    declare("1.0", order())
    missing = tasker("schemas", "check", "--json")
    assert (missing.code, codes(missing)) == (1, ["not_kept"])
    written = tasker("schemas", "check", "--write")
    assert (written.code, written.out) == (0, f"kept {KEPT}/1.0.json\n")
    assert json.loads((KEPT / "1.0.json").read_text()) == order()
    assert tasker("schemas", "check").out == "1 versions, and every newer one reads the older ones\n"


def test_versions_that_older_events_survive(tasker: Tasker) -> None:
    for version, schema in (
        ("1.9", order()),
        ("1.10", order(id={"type": ["string", "null"]}, at={"type": "string"})),
    ):
        declare(version, schema)
        assert tasker("schemas", "check", "--write").code == 0
    assert {each.name for each in KEPT.iterdir()} == {"1.9.json", "1.10.json"}


def test_a_break_is_refused_and_nothing_kept(tasker: Tasker) -> None:
    declare("1.0", order())
    tasker("schemas", "check", "--write")
    declare("1.1", order("id"))
    ran = tasker("schemas", "check", "--write")
    assert ran.code == 1
    assert (
        "shop.order.placed: 1.1 cannot read what 1.0 allowed: $.id: is required now; for example {}"
        in ran.out
    )
    assert "publish it under a new event name" in ran.out
    assert not (KEPT / "1.1.json").exists()


def test_a_kept_version_is_never_changed(tasker: Tasker) -> None:
    declare("1.0", order())
    tasker("schemas", "check", "--write")
    declare("1.0", order(id={"type": "integer"}))
    ran = tasker("schemas", "check", "--write", "--json")
    assert (ran.code, codes(ran)) == (1, ["changed_version"])
    assert json.loads((KEPT / "1.0.json").read_text()) == order()
    declare("1.0", {**order(), "title": "Other words"})
    assert tasker("schemas", "check").code == 0


def test_two_templates_declare_the_same(tasker: Tasker) -> None:
    declare("1.0", order())
    declare("1.0", order(), "u.yaml")
    assert tasker("schemas", "check", "--write").code == 0
    declare("1.0.0", order(id={"type": "integer"}), "u.yaml")
    assert codes(tasker("schemas", "check", "--json")) == ["changed_version"]


def test_an_event_without_a_schema_is_kept_as_anything(tasker: Tasker) -> None:
    declare("1.0", None)
    tasker("schemas", "check", "--write")
    assert (KEPT / "1.0.json").read_text() == "true\n"
    assert tasker("schemas", "check").code == 0


def test_undecided_is_refused_unless_it_is_allowed(tasker: Tasker) -> None:
    for version, pattern in (("1.0", "^[a-c]{9}$"), ("1.1", "^[a-d]{9}$")):
        declare(version, order(id={"type": "string", "pattern": pattern}))
        ran = tasker("schemas", "check", "--write", "--json")
    assert (ran.code, codes(ran)) == (1, ["not_kept", "undecided"])
    allowed = tasker("schemas", "check", "--write", "--allow-undecided", "--json")
    assert (allowed.code, [each["severity"] for each in allowed.json["findings"]]) == (0, ["warning"])
    assert (KEPT / "1.1.json").exists()


def test_the_strict_reading(tasker: Tasker) -> None:
    declare("1.0", order())
    tasker("schemas", "check", "--write")
    declare("1.1", order(id={"type": "string"}, at={"type": "string"}))
    assert codes(tasker("schemas", "check", "--strict", "--json")) == ["not_kept", "incompatible"]
    assert tasker("schemas", "check", "--write").code == 0


@pytest.mark.parametrize(
    ("path", "content", "code", "said"),
    [
        ("shop/order.placed/one.json", b"{}", "odd_file", "one.json"),
        ("shop/readme.md", b"", "odd_file", "NAMESPACE/EVENT/VERSION.json"),
        ("shop/order.placed/1.0.json", b"{", "unreadable_schema", "is not JSON"),
        ("shop/order.placed/1.0.json", b"\xff", "unreadable_schema", "is not UTF-8"),
        ("shop/order.placed/1.0.json", b'{"type": "strin"}', "bad_schema", "did you mean `string`?"),
        ("shop/order.placed/1.0.json", b"[]", "bad_schema", "is a mapping"),
        ("shop/order.placed/1.json", b"{}", "same_version", "is the same version as"),
        (
            "shop/order.placed/1.0.json",
            b'{"$ref": "https://example.com/x"}',
            "remote_reference",
            "not in this document",
        ),
    ],
)
def test_a_faulty_file_is_told_with_its_place(
    tasker: Tasker, path: str, content: bytes, code: str, said: str
) -> None:
    declare("1.0.0", {})
    if code == "same_version":
        KEPT.mkdir(parents=True)
        (KEPT / "1.0.0.json").write_text("{}")
    file = Path("event-schemas", path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    ran = tasker("schemas", "check", "--json")
    (finding,) = [each for each in ran.json["findings"] if each["code"] != "not_kept"]
    assert (ran.code, finding["code"]) == (1, code)
    assert said in f"{finding['source']} {finding['message']}"


def test_an_environment_may_declare_another_version(tasker: Tasker) -> None:
    overlay = {"publishes_events": [{"name": "order.placed", "version": "2.0", "schema": order("id")}]}
    declare("1.0", order("id"), environments={"production": overlay})
    tasker("schemas", "check", "--write")
    assert tasker("schemas", "check", "--env", "production", "--write").out == f"kept {KEPT}/2.0.json\n"


def test_a_folder_that_cannot_be_written_is_told(tasker: Tasker) -> None:
    declare("1.0", order())
    Path("event-schemas").write_text("a file")
    ran = tasker("schemas", "check", "--write")
    assert ran.code == 78
    assert "cannot be written" in ran.err


def test_missing_templates_are_told(tasker: Tasker) -> None:
    ran = tasker("schemas", "check")
    assert (ran.code, "There is no template file or folder templates" in ran.err) == (78, True)
