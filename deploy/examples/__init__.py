"""Worked examples: templates, the handlers that run them, and a web service for the ones that call one.

Used by the demo, the tests and the benchmarks, and to be read. `tasker worker -m tasker_kafka.deploy.examples` serves
all of them, `-m tasker_kafka.deploy.examples.handlers.ecommerce` those of one team.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .handlers import (
    analytics,
    customer_success,
    dummy,
    ecommerce,
    integrations,
    microservices,
    payments,
    shape,
)

__all__ = [
    "TEMPLATES",
    "analytics",
    "customer_success",
    "dummy",
    "ecommerce",
    "integrations",
    "microservices",
    "payments",
    "shape",
]

TEMPLATES: Final = Path(__file__).parent / "templates"
"""The folder of the template files."""
