"""How many examples a run tries: half of them and at least 25, or all when it is told so."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ASKED = "from tests.support.examples import examples; print(examples(10), examples(40), examples(400))"


@pytest.mark.parametrize(("told", "tried"), [("", "10 25 200"), ("all", "10 40 400")])
def test_half_of_the_examples_are_tried(told: str, tried: str) -> None:
    environment = os.environ | {"EXAMPLES": told, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", ASKED], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == tried
