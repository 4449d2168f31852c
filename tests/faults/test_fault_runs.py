"""Broken networks break nothing; and the fault run finds what is planted: one that cannot fail proves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.campaign import Campaign, Options
from tests.faults.injection import PLANTED
from tests.faults.report import Report
from tests.faults.schedule import NETWORK

pytestmark = [pytest.mark.timeout(600), pytest.mark.campaign]


async def run(
    folder: Path, defect: str, *kinds: str, seconds: float = 10.0, settle_seconds: float = 8.0
) -> Report:
    """A short run of roles with a planted defect."""
    options = Options(
        seed=1,
        seconds=seconds,
        rate=30.0,
        kinds=kinds,
        settle_seconds=settle_seconds,
        planted={PLANTED: defect},
    )
    return await Campaign(options, folder).run()


async def test_broken_networks_break_nothing(tmp_path: Path) -> None:
    options = Options(seed=1, seconds=20.0, rate=20.0, kinds=tuple(sorted(NETWORK)))
    report = await Campaign(options, tmp_path).run()
    assert report.has_passed, report.text()
    assert len(report.faults) >= 3, report.text()


async def test_a_lost_dispatch_is_found(tmp_path: Path) -> None:
    report = await run(tmp_path, "lost_dispatch", "short_stop")
    assert not report.has_passed
    assert any(each.startswith("I2") for each in report.failures), report.text()


async def test_a_lost_transition_is_found(tmp_path: Path) -> None:
    report = await run(tmp_path, "lost_transition", "short_stop")
    assert not report.has_passed
    assert {"I4", "I8"} & report.violations.keys(), report.text()


async def test_a_transition_that_the_projection_has_not_seen_is_found(tmp_path: Path) -> None:
    report = await run(tmp_path, "unseen_transition", "short_stop")
    assert not report.has_passed
    assert any("tasker projection rebuild" in each for each in report.failures), report.text()


async def test_an_unfenced_checkpoint_is_found(tmp_path: Path) -> None:
    report = await run(
        tmp_path, "unfenced_checkpoint", "zombie_orchestrator", seconds=25.0, settle_seconds=60.0
    )
    assert not report.has_passed
    assert "I14" in report.violations, report.text()
