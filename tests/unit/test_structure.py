"""The budget of the house style, checked: sizes, imports, purity, ignores, documentation, stray strings.

Each finding names the place and what to do. The bad examples at the end prove that the checks look.
"""

from collections.abc import Callable, Iterable

import pytest

from tests.support import source_checks as checks
from tests.support.source_tree import ROOT, Module, modules, package_modules, text_files

Check = Callable[[Iterable[Module]], list[str]]

EVERYWHERE: list[Check] = [
    checks.find_long_modules,
    checks.find_long_functions,
    checks.find_twin_imports,
    checks.find_bare_ignores,
    checks.find_missing_module_docs,
]
IN_PACKAGES: list[Check] = [checks.find_cycles, checks.find_impure_domain, checks.find_topic_strings]


def report(findings: list[str]) -> str:
    """One finding per line."""
    return "\n".join(["", *findings])


@pytest.mark.slow
@pytest.mark.parametrize("check", EVERYWHERE, ids=lambda check: check.__name__)
def test_all_modules_keep_the_budget(check: Check) -> None:
    findings = check(modules())
    assert not findings, report(findings)


@pytest.mark.parametrize("check", IN_PACKAGES, ids=lambda check: check.__name__)
def test_packages_keep_the_rules(check: Check) -> None:
    findings = check(package_modules())
    assert not findings, report(findings)


def test_public_names_are_documented() -> None:
    share, missing = checks.find_documented_share(package_modules())
    assert share >= checks.MIN_DOCUMENTED, f"{share:.0%} documented" + report(missing)


def test_files_name_no_registry_and_no_machine() -> None:
    findings = []
    for path in text_files():
        text = (ROOT / path).read_bytes().decode("utf-8", errors="ignore")
        findings += checks.find_machine_traces(path, text)
    assert not findings, report(findings)


def test_the_repository_is_seen() -> None:
    names = {module.name for module in package_modules()}
    assert {"tasker_kafka", "tasker_kafka.schemas", "tasker_kafka.streams.domain"} <= names


# ---------------------------------------------------------------- the checks themselves

DOMAIN = "streams/domain/bad.py"

BAD: list[tuple[Check, str, str]] = [
    (checks.find_long_modules, "schemas/bad.py", "x = 1\n" * 401),
    (checks.find_long_functions, "schemas/bad.py", "def f():\n" + "    x = 1\n" * 40),
    (checks.find_twin_imports, "tests/unit/bad.py", "from topics import log"),
    (checks.find_twin_imports, "tests/unit/bad.py", "def f():\n    import streams.lane"),
    (checks.find_bare_ignores, "schemas/bad.py", "x = 1  # type: " + "ignore"),
    (checks.find_bare_ignores, "schemas/bad.py", "x = 1  # type: " + "ignore[attr-defined]"),
    (checks.find_bare_ignores, "schemas/bad.py", "x = 1  # no" + "qa: F401"),
    (checks.find_missing_module_docs, "schemas/bad.py", "x = 1"),
    (checks.find_impure_domain, DOMAIN, "import time"),
    (checks.find_impure_domain, DOMAIN, "from uuid import uuid4"),
    (checks.find_impure_domain, DOMAIN, "import uuid\nx = uuid.uuid4()"),
    (checks.find_impure_domain, DOMAIN, "import datetime\nx = datetime.datetime.now(datetime.UTC)"),
    (checks.find_impure_domain, DOMAIN, "from tasker_kafka.topics import log"),
    (checks.find_impure_domain, DOMAIN, "from ..lane import engine"),
    (checks.find_impure_domain, DOMAIN, "async def decide(): ..."),
    (checks.find_topic_strings, "deploy/bad.py", "x = f'{prefix}.commands.v1'"),
]

GOOD: list[tuple[Check, str, str]] = [
    (checks.find_long_functions, "schemas/good.py", 'def f():\n    """' + "x\n" * 40 + '"""\n    return 1'),
    (checks.find_twin_imports, "tests/unit/good.py", "from tasker_kafka.topics import log"),
    (checks.find_twin_imports, "schemas/good.py", "from .topics import log"),
    (
        checks.find_bare_ignores,
        "schemas/good.py",
        "x = 1  # type: " + "ignore[attr-defined]  # untyped library",
    ),
    (checks.find_bare_ignores, "schemas/good.py", "x = 1  # no" + "qa: F401, E501 - kept for users"),
    (checks.find_impure_domain, DOMAIN, "from uuid import UUID\nfrom ..domain.readiness import viable"),
    (checks.find_impure_domain, DOMAIN, "x = command.now + timers.hash(1)"),
    (checks.find_impure_domain, "streams/lane/good.py", "import time"),
    (checks.find_topic_strings, "deploy/good.py", '"""Reads tasker.commands.v1."""'),
]


@pytest.mark.parametrize(("check", "path", "text"), BAD)
def test_check_finds_what_is_wrong(check: Check, path: str, text: str) -> None:
    assert check([Module(path, text)])


@pytest.mark.parametrize(("check", "path", "text"), GOOD)
def test_check_leaves_alone_what_is_right(check: Check, path: str, text: str) -> None:
    assert check([Module(path, text)]) == []


def test_cycle_is_found_across_modules() -> None:
    ring = [
        Module("schemas/a.py", "from tasker_kafka.schemas.b import x"),
        Module("schemas/b.py", "from . import c"),
        Module("schemas/c.py", "import tasker_kafka.schemas.a"),
        Module("schemas/__init__.py", ""),
    ]
    assert len(checks.find_cycles(ring)) == 1
    typed = Module("schemas/c.py", "if TYPE_CHECKING:\n    import tasker_kafka.schemas.a")
    assert len(checks.find_cycles([*ring[:2], typed, ring[3]])) == 1
    lazy = Module("schemas/c.py", "def f():\n    import tasker_kafka.schemas.a")
    assert checks.find_cycles([*ring[:2], lazy, ring[3]]) == []


def test_undocumented_names_are_counted() -> None:
    text = '"""Why."""\nclass A:\n    """A."""\n    def f(self): ...\n    def _g(self): ...\n'
    share, missing = checks.find_documented_share([Module("schemas/a.py", text)])
    assert (round(share, 2), len(missing)) == (0.67, 1)


@pytest.mark.parametrize(
    "line", ["see https://py" + "pi.org/simple", "cache = '/ro" + "ot/.cache'", "cd /ho" + "me/someone"]
)
def test_machine_traces_are_found(line: str) -> None:
    assert checks.find_machine_traces("docs/a.md", line)


def test_ordinary_paths_are_no_trace() -> None:
    assert checks.find_machine_traces("docs/a.md", "image apache/kafka, file /opt/kafka/bin, ./work/x") == []
