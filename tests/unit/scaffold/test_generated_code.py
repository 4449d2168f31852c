"""What the generators write passes its own tests, mypy strict and ruff, run as a user runs them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.generated import LEFT_OUT, Place

LONG = "a_name_that_is_as_long_as_names_may_be_so_that_no_line_holds_it_"
EVENTS = "payment.charged,refund.*,orders.**"
Tasker = Callable[..., Any]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.mark.campaign
def test_everything_in_an_empty_folder(place: Place) -> None:
    place.tasker("generate", "handler", "checkout.charge_card")
    place.tasker("generate", "handler", "import.class")
    place.tasker("generate", "handler", "2fa")
    place.tasker("generate", "template", "refund")
    place.tasker("generate", "template", "payments/true", "--steps", "in,class,2fa,result_of,list,in_,run")
    place.tasker(
        "generate",
        "subscriber",
        "billing-audit",
        "--events",
        "payment.charged,refund.*,orders.**",
        "--metrics",
    )
    place.tasker("generate", "subscriber", "2fa", "--events", "refund.*,refund.**,**")
    place.tasker("generate", "subscriber", "base", "--events", "class.def")
    place.check()
    assert "no faults found" in place.tasker("template", "lint", "templates/refund.yaml")
    assert "error" not in place.tasker("template", "lint", "templates", "--module", "handlers")
    served = place.tasker("subscriber", "check", "--module", "subscribers")
    assert all(group in served for group in ("2fa", "base", "billing-audit"))
    place.tasker("schemas", "check", is_ok=False)
    place.tasker("schemas", "check", "--write")
    assert "2 versions" in place.tasker("schemas", "check")


@pytest.mark.campaign
def test_names_that_no_line_holds(place: Place) -> None:
    place.tasker("generate", "handler", LONG)
    place.tasker("generate", "template", f"{LONG}/{LONG[:31]}", "--steps", f"{LONG[:32]},b")
    place.tasker("generate", "template", LONG[:62], "--steps", "a,b")
    place.tasker("generate", "subscriber", LONG[:60], "--events", f"{LONG[:49]},{LONG[:40]}.b", "--metrics")
    said = place.tasker("generate", "subscriber", "a", "--events", f"{LONG}.{LONG[:63]}", is_ok=False)
    assert "at most 128 are accepted" in said
    place.check(left_out=f"{LEFT_OUT},E501")


@pytest.mark.campaign
def test_a_package_of_its_own(place: Place) -> None:
    (place.folder / "pyproject.toml").write_text(
        '[tool.tasker]\npackage = "shop.flows"\n[tool.pytest.ini_options]\npythonpath = ["."]\n',
        encoding="utf-8",
    )
    below = Place(place.folder / "docs")
    below.folder.mkdir()
    below.tasker("generate", "handler", "ship")
    below.tasker("generate", "template", "refund", "--steps", "pay")
    below.tasker("generate", "subscriber", "audit", "--events", "refund.done")
    below.tasker("generate", "events", "flows", "--templates", "../templates")
    assert place.files == {
        "pyproject.toml",
        "shop/__init__.py",
        "shop/flows/__init__.py",
        "shop/flows/events/__init__.py",
        "shop/flows/events/flows.py",
        "shop/flows/handlers/__init__.py",
        "shop/flows/handlers/refund.py",
        "shop/flows/handlers/ship.py",
        "shop/flows/subscribers/__init__.py",
        "shop/flows/subscribers/audit.py",
        "templates/refund.yaml",
        "tests/test_audit_subscriber.py",
        "tests/test_refund.py",
        "tests/test_ship.py",
    }
    assert "namespace: flows" in place.text("templates/refund.yaml")
    place.check()


@pytest.mark.campaign
def test_a_new_project(place: Place) -> None:
    said = place.tasker("init", "tea-shop")
    project = Place(place.folder / "tea-shop")
    assert all(path in said for path in project.files)
    project.check(has_rules=True)
    project.tasker("template", "lint", "templates", "--module", "tea_shop")
    assert "order-journal" in project.tasker("subscriber", "check", "--module", "tea_shop")
    project.run("build", "--no-isolation", "--wheel", "--outdir", "../dist")
    assert "2 versions" in project.tasker("schemas", "check")
    # The models are what `generate events` makes of the template.
    assert "unchanged tea_shop/events" in project.tasker("generate", "events", "tea_shop", "-t", "templates")
    project.tasker("generate", "handler", "order.refund_card")
    project.tasker("generate", "template", "refund")
    project.tasker("generate", "subscriber", "order-mail", "--events", "order.*", "--metrics")
    assert '__all__ = ["order", "order_refund_card", "refund"]' in project.text(
        "tea_shop/handlers/__init__.py"
    )
    project.check(has_rules=True)


@pytest.mark.campaign
def test_a_project_with_a_long_name(place: Place) -> None:
    place.tasker("init", LONG[:32].replace("_", "-"), "--folder", "here")
    Place(place.folder / "here").check(has_rules=True, has_tests=False)


def test_the_pages_of_a_project_name_commands_that_exist(tasker: Tasker, tmp_path: Path) -> None:
    """That they do what they say is shown on a real broker."""
    tasker("init", "tea-shop", "--folder", str(tmp_path / "here"))
    pages = [(tmp_path / "here" / name).read_text() for name in ("README.md", "Makefile")]
    found = re.findall(r"tasker ((?:dev|submit|generate \w+|schemas check|template lint))", "".join(pages))
    assert len(set(found)) == 8
    assert all(tasker(*command.split(), "--help").code == 0 for command in set(found))


@pytest.mark.parametrize("as_json", [False, True])
def test_what_was_written_is_told(place: Place, as_json: bool) -> None:
    said = place.tasker("generate", "handler", "ship", *(["--json"] if as_json else []))
    assert all(path in said for path in place.files)
    if as_json:
        told = json.loads(said)
        assert set(told["created"]) == place.files
        assert (told["replaced"], told["changed"], told["unchanged"]) == ([], [], [])
