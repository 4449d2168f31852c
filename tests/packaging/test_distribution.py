"""The built distribution: what a user installs is what the repository holds.

Built from the tree and again from the sdist, without the network; installed into a fresh environment whose
only own package it is. The dependencies come from the environment of the tests.
"""

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.support.source_tree import PACKAGE_FOLDERS, ROOT, text_files

IMPORT_ALL = """
import importlib, pkgutil, tasker_kafka
names = [module.name for module in pkgutil.walk_packages(tasker_kafka.__path__, "tasker_kafka.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(tasker_kafka.__file__, *names, sep="\\n")
"""


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Standard output of a command that must succeed; its error output is in the failure."""
    result = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)
    assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def build(out: Path, *options: str) -> Path:
    """Build into `out` with the locked hatchling; the wheel's path."""
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, *options)
    (wheel,) = out.glob("*.whl")
    return wheel


def names_in(wheel: Path) -> set[str]:
    """Paths in the wheel, without its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the tree."""
    return build(tmp_path_factory.mktemp("tree"), "--wheel")


@pytest.fixture(scope="module")
def fresh_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with the wheel installed; everything else is the tests' own."""
    folder = tmp_path_factory.mktemp("fresh")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    run(Path(sys.executable).with_name("uv"), "pip", "install", "--no-deps", "--python", python, wheel)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    # A path file in a folder that a path file names is not read: the editable install stays out.
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return python


def test_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    expected = set()
    for path in text_files():
        folder, _, rest = path.partition("/")
        if folder in PACKAGE_FOLDERS:
            expected.add(f"tasker_kafka/{rest}" if folder == "package" else f"tasker_kafka/{path}")
    assert names_in(wheel) == expected
    assert "tasker_kafka/py.typed" in expected


def test_sdist_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    assert names_in(build(tmp_path)) == names_in(wheel)


def test_every_module_can_be_imported(fresh_python: Path, tmp_path: Path) -> None:
    place, *names = run(fresh_python, "-c", IMPORT_ALL, cwd=tmp_path).split()
    assert Path(place).is_relative_to(fresh_python.parents[1])
    assert {f"tasker_kafka.{folder}" for folder in PACKAGE_FOLDERS[1:]} <= set(names)


def test_command_says_its_version(fresh_python: Path, tmp_path: Path) -> None:
    from tasker_kafka import __version__

    assert __version__ in run(fresh_python.with_name("tasker"), "--version", cwd=tmp_path)


def test_version_in_the_changelog() -> None:
    from tasker_kafka import __version__

    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
