"""Names: what is refused, with a better one; and the Python names that are made of them."""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_kafka.handlers.scaffold.errors import ScaffoldError
from tasker_kafka.handlers.scaffold.layout import Layout, find_layout
from tasker_kafka.handlers.scaffold.names import (
    class_name,
    identifier,
    parse_group,
    parse_handler,
    parse_project,
    parse_step,
    parse_template,
)

REFUSED = [
    (parse_handler, "Zahlung.PrüfenJetzt", "zahlung_prufen_jetzt"),
    (parse_handler, "pay..card", "pay_card"),
    (parse_handler, "../../etc/passwd", "etc_passwd"),
    (parse_handler, "a b", "a_b"),
    (parse_handler, "", "checkout.charge_card"),
    (parse_handler, "x" * 65, "x" * 64),
    (parse_handler, "支払い", "checkout.charge_card"),
    (parse_handler, "𝖕𝖆𝖞", "pay"),
    (parse_template, "Shop/order", "shop"),
    (parse_template, "shop/", "payments/refund"),
    (parse_template, "a/b/c", "a_b"),
    (parse_template, "shop/straße", "strasse"),
    (parse_step, "pay-card", "pay_card"),
    (parse_group, "Audit", "audit"),
    (parse_group, "---", "billing-audit"),
    (parse_group, "a.b", "a_b"),
    (parse_project, "2fa", "tea-shop"),
    (parse_project, "tea shop", "tea_shop"),
    (parse_project, "../tea", "tea"),
    (parse_project, "x" * 33, "x" * 32),
]


@pytest.mark.parametrize(("parse", "name", "better"), REFUSED)
def test_a_name_is_refused_with_a_better_one(parse: Callable[[str], object], name: str, better: str) -> None:
    with pytest.raises(ScaffoldError) as refused:
        parse(name)
    assert better in str(refused.value.next_step)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("typing", "of Python itself"),
        ("class", "of Python itself"),
        ("print", "of Python itself"),
        ("tests", "of the folder beside it"),
        ("templates", "of the folder beside it"),
        ("tasker-kafka", "of a package that is installed here"),
        ("pydantic", "of a package that is installed here"),
    ],
)
def test_a_project_hides_no_other_package(name: str, why: str) -> None:
    with pytest.raises(ScaffoldError, match=why) as refused:
        parse_project(name)
    assert f"{name}-flow" in str(refused.value.next_step)


def test_a_project_is_a_package_with_underscores() -> None:
    assert parse_project("tea-shop_2") == ("tea-shop_2", "tea_shop_2")


@given(
    st.from_regex(r"[a-z0-9_]{1,12}([.-][a-z0-9_]{1,12})?", fullmatch=True),
    st.sets(st.sampled_from(["a", "a_"])),
)
def test_every_name_gives_python_names(name: str, taken: set[str]) -> None:
    for found in (identifier(name, taken), class_name(name, "Input", taken)):
        assert found.isidentifier()
        assert found not in {*keyword.kwlist, *dir(builtins), *taken}


@pytest.mark.parametrize("word", [*keyword.kwlist, "print", "match", "list"])
def test_what_python_keeps_for_itself_gets_an_underscore(word: str) -> None:
    assert identifier(word.lower()) in {f"{word.lower()}_", word.lower()}
    assert not keyword.iskeyword(identifier(word.lower()))


class TestLayout:
    def test_without_a_project_it_is_the_present_folder(self, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n")
        below = tmp_path / "a" / "b"
        below.mkdir(parents=True)
        assert find_layout(below) == Layout(below)
        assert find_layout(tmp_path) == Layout(tmp_path, is_project=True)

    def test_a_project_is_found_from_below(self, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").write_text('[tool.tasker]\npackage = "shop.flows"\n')
        (tmp_path / "src" / "shop" / "flows").mkdir(parents=True)
        found = find_layout(tmp_path / "src" / "shop")
        assert (found.root, found.module("handlers", "x")) == (tmp_path, "shop.flows.handlers.x")
        assert str(found.folder("events")) == "src/shop/flows/events"
        assert find_layout(tmp_path, "other").module("handlers") == "other.handlers"

    @pytest.mark.parametrize(
        ("text", "fault"),
        [
            ("[tool.tasker]\npackag = 'x'\n", "did you mean `package`"),
            ("[tool.tasker]\npackage = 'a-b'\n", "tool.tasker.package: 'a-b' is no name of a package"),
            ("[tool.tasker]\npackage = 3\n", "is no name of a package"),
            ("[tool]\ntasker = 3\n", "tool.tasker is no table"),
            ("[tool.tasker\n", "cannot be read"),
        ],
    )
    def test_a_faulty_project_is_told_with_its_place(self, tmp_path: Path, text: str, fault: str) -> None:
        (tmp_path / "pyproject.toml").write_text(text)
        with pytest.raises(ScaffoldError, match=r"pyproject\.toml") as refused:
            find_layout(tmp_path)
        assert fault in str(refused.value)

    def test_a_package_on_the_command_line_is_checked(self, tmp_path: Path) -> None:
        with pytest.raises(ScaffoldError, match="--package"):
            find_layout(tmp_path, "../etc")
