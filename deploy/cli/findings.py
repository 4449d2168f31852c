"""What a check has found, as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasker_kafka.schemas.findings import Finding

__all__ = ["finding_shape"]


def finding_shape(finding: Finding) -> dict[str, Any]:
    """The JSON of one finding."""
    return {
        "severity": finding.severity,
        "code": finding.code,
        "source": finding.source,
        "line": finding.line,
        "path": finding.path,
        "message": finding.message,
    }
