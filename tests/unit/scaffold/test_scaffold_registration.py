"""A package's `__init__.py` imports a further module, and everything else in it stays as it was."""

from __future__ import annotations

import ast

import pytest

from tasker_kafka.handlers.scaffold.errors import ScaffoldError
from tasker_kafka.handlers.scaffold.registration import with_module

LONG = [f"a_rather_long_name_{at}" for at in range(4)]
CASES = {
    "nothing": ("", 'from . import new\n\n__all__ = ["new"]\n'),
    "a docstring": ('"""All."""\n', '"""All."""\n\nfrom . import new\n\n__all__ = ["new"]\n'),
    "another": (
        '"""All."""\n\nfrom . import old\n\n__all__ = ["old"]\n',
        '"""All."""\n\nfrom . import new, old\n\n__all__ = ["new", "old"]\n',
    ),
    "numbers by their value": (
        'from . import new2, new10\n\n__all__ = ["new2", "new10"]\n',
        'from . import new, new2, new10\n\n__all__ = ["new", "new2", "new10"]\n',
    ),
    "in brackets": (
        "from . import (\n    old,\n)\n__all__ = (\n    'old',\n)\n",
        'from . import new, old\n__all__ = ["new", "old"]\n',
    ),
    "other imports": (
        "from __future__ import annotations\n\nimport os\n\nX = os.name\n",
        'from __future__ import annotations\n\nimport os\n\nfrom . import new\n\n__all__ = ["new"]\n\nX = os.name\n',
    ),
    "names of modules": (
        'from .old import thing\n\n__all__ = ["thing"]\n',
        'from . import new\nfrom .old import thing\n\n__all__ = ["new", "thing"]\n',
    ),
    "a remark is kept": (
        "from . import old  # first\n",
        'from . import new\nfrom . import old  # first\n\n__all__ = ["new"]\n',
    ),
    "an alias is kept": (
        "from . import old as other\n",
        'from . import new\nfrom . import old as other\n\n__all__ = ["new"]\n',
    ),
    "a list that is computed is kept": (
        "from . import old\n\n__all__ = old.__all__\n",
        "from . import new, old\n\n__all__ = old.__all__\n",
    ),
    "code": ("x = 1\n", 'from . import new\n\n__all__ = ["new"]\n\nx = 1\n'),
    "too long for a line": (
        f"from . import {', '.join(LONG)}\n",
        "from . import (\n"
        + "".join(f"    {each},\n" for each in [*LONG, "new"])
        + ')\n\n__all__ = ["new"]\n',
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_module_is_imported(name: str) -> None:
    before, after = CASES[name]
    found = with_module(before, "new", place="x/__init__.py")
    assert found == after
    ast.parse(found)
    assert with_module(found, "new", place="x/__init__.py") == found


def test_what_is_no_python_is_refused_with_its_place() -> None:
    with pytest.raises(ScaffoldError, match=r"x/__init__.py is not Python"):
        with_module("from . import (", "new", place="x/__init__.py")
