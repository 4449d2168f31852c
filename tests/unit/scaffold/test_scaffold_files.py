"""Nothing of the user's is lost, and a refusal comes before the first write and names every file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from tasker_kafka.handlers.scaffold.errors import ScaffoldError
from tasker_kafka.handlers.scaffold.writing import Draft, NewFile, Registration, write

Tasker = Callable[..., Any]
A, B = PurePosixPath("a.py"), PurePosixPath("below/b.py")
DRAFT = Draft((NewFile(A, "a\n"), NewFile(B, "b ß\n")))


def content(root: Path) -> dict[str, str]:
    """Every file's text."""
    return {
        str(each.relative_to(root)): each.read_text("utf-8") for each in root.rglob("*") if each.is_file()
    }


def test_files_are_written_once(tmp_path: Path) -> None:
    assert write(DRAFT, tmp_path).created == ["a.py", "below/b.py"]
    assert content(tmp_path) == {"a.py": "a\n", "below/b.py": "b ß\n"}
    again = write(DRAFT, tmp_path)
    assert (again.created, again.unchanged) == ([], ["a.py", "below/b.py"])


def test_other_content_is_refused_and_each_file_named(tmp_path: Path) -> None:
    write(DRAFT, tmp_path)
    (tmp_path / "a.py").write_text("mine\n")
    (tmp_path / "below" / "b.py").write_bytes(b"\xff\xfe")
    (tmp_path / "c").mkdir()
    draft = Draft((NewFile(PurePosixPath("c/new.py"), "c\n"), *DRAFT.files))
    with pytest.raises(
        ScaffoldError, match=r"2 files exist already: a.py, below/b.py. Nothing was written"
    ) as refused:
        write(draft, tmp_path)
    assert "--force" in str(refused.value)
    assert not (tmp_path / "c" / "new.py").exists()
    done = write(draft, tmp_path, force=True)
    assert (done.created, done.replaced) == (["c/new.py"], ["a.py", "below/b.py"])
    assert content(tmp_path)["a.py"] == "a\n"


def test_a_generators_own_file_is_replaced_and_a_shared_one_left(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('"""Made by us."""\nolder\n')
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "b.py").write_text("mine")
    draft = Draft((NewFile(A, '"""Made by us."""\n', mark="Made by us"), NewFile(B, "b\n", is_shared=True)))
    assert write(draft, tmp_path).replaced == ["a.py"]
    assert content(tmp_path)["below/b.py"] == "mine"
    (tmp_path / "a.py").write_text('"""Mine.\n\nMade by us."""\n')
    with pytest.raises(ScaffoldError, match=r"This file exists already: a\.py"):
        write(draft, tmp_path)


@pytest.mark.parametrize("is_forced", [False, True])
def test_what_is_in_the_way_is_named(tmp_path: Path, is_forced: bool) -> None:
    (tmp_path / "a.py").mkdir()
    (tmp_path / "below").write_text("a file")
    with pytest.raises(ScaffoldError, match=r"a\.py is a folder; below is a file\. Nothing was written"):
        write(DRAFT, tmp_path, force=is_forced)


@pytest.mark.parametrize(("text", "fault"), [(b"def (", "is not Python"), (b"\xff", "is not UTF-8")])
def test_a_package_that_cannot_be_read_is_left_alone(tmp_path: Path, text: bytes, fault: str) -> None:
    (tmp_path / "__init__.py").write_bytes(text)
    draft = Draft(DRAFT.files, (Registration(PurePosixPath(), "a", "All."),))
    with pytest.raises(ScaffoldError, match=fault):
        write(draft, tmp_path, force=True)
    assert not (tmp_path / "a.py").exists()


def test_a_folder_without_rights_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(ScaffoldError, match=r"a\.py cannot be written: Permission denied"):
        write(DRAFT, tmp_path)
