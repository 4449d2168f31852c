"""The lock files fit what pyproject.toml asks for, carry a hash for each package, and name no place."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.source_tree import ROOT

LOCKS = ROOT / "requirements"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]


def locked(name: str) -> dict[str, str]:
    """Version by package of a lock file; fails where an entry has no hash or is not pinned."""
    versions: dict[str, str] = {}
    text = (LOCKS / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        match = re.match(r"(?P<name>[\w.-]+)==(?P<version>\S+)( ; [^#]*?)? +--hash=sha256:[0-9a-f]{64}", line)
        assert match is not None, f"requirements/{name}.txt: {line[:60]}: run `make lock`"
        versions[canonicalize_name(match["name"])] = match["version"]
    return versions


def asked(path: Path) -> list[str]:
    """Requirements of an input file, without comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def runtime_asked() -> list[str]:
    """What the runtime set must hold."""
    return [*PROJECT["project"]["dependencies"], *EXTRAS["broker"], *asked(LOCKS / "build.in")]


@pytest.mark.parametrize(
    ("name", "requirements"),
    [
        ("uv", asked(LOCKS / "uv.in")),
        ("runtime", runtime_asked()),
        ("dev", [*runtime_asked(), *EXTRAS["test"], *asked(LOCKS / "dev.in")]),
    ],
)
def test_lock_fits_what_is_asked(name: str, requirements: list[str]) -> None:
    versions = locked(name)
    for requirement in map(Requirement, requirements):
        version = versions.get(canonicalize_name(requirement.name), "")
        fits = bool(version) and requirement.specifier.contains(version)
        assert fits, f"{requirement} is locked as {version or 'nothing'}: run `make lock`"


def test_development_set_contains_the_runtime_set() -> None:
    assert locked("runtime").items() <= locked("dev").items()


def test_everything_runs_on_the_build_backend_that_is_locked() -> None:
    (backend,) = map(Requirement, PROJECT["build-system"]["requires"])
    assert backend.specifier.contains(locked("runtime")[canonicalize_name(backend.name)])
