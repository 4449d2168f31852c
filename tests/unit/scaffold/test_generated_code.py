"""What the generators write passes its own tests, mypy strict and ruff, run as a user runs them."""

from __future__ import annotations

import pytest

from tests.support.generated import Place

LONG = "a_name_that_is_as_long_as_names_may_be_so_that_no_line_holds_it_"


def test_handlers_and_templates_in_an_empty_folder(place: Place) -> None:
    place.tasker("generate", "handler", "checkout.charge_card")
    place.tasker("generate", "handler", "import.class")
    place.tasker("generate", "handler", "2fa")
    place.tasker("generate", "handler", LONG)
    place.tasker("generate", "template", "refund")
    place.tasker("generate", "template", "payments/true", "--steps", "in,class,2fa,result_of,list,in_,run")
    place.tasker("generate", "template", f"{LONG[:40]}/{LONG[:32]}", "--steps", f"{LONG[:31]},b")
    place.check()
    assert "no faults found" in place.tasker("template", "lint", "templates/refund.yaml")
    assert "error" not in place.tasker("template", "lint", "templates", "--module", "handlers")


def test_a_package_of_its_own(place: Place) -> None:
    (place.folder / "pyproject.toml").write_text(
        '[tool.tasker]\npackage = "shop.flows"\n[tool.pytest.ini_options]\npythonpath = ["."]\n',
        encoding="utf-8",
    )
    below = Place(place.folder / "docs")
    below.folder.mkdir()
    below.tasker("generate", "handler", "ship")
    below.tasker("generate", "template", "refund", "--steps", "pay")
    assert {"shop/__init__.py", "shop/flows/handlers/ship.py", "tests/test_ship.py"} <= place.files
    assert "namespace: flows" in place.text("templates/refund.yaml")
    assert "conftest.py" not in place.files
    place.check()


@pytest.mark.parametrize("option", [(), ("--json",)])
def test_what_was_written_is_told(place: Place, option: tuple[str, ...]) -> None:
    said = place.tasker("generate", "handler", "ship", *option)
    assert all(path in said for path in place.files)
