"""How a setting is declared: default, meaning and what zero means stand at one place, for `tasker config explain`."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

__all__ = ["ZERO", "Section", "refuse", "setting"]

ZERO: Final = "zero"
"""Key of a field's extra data: what 0 means, or why it is refused."""


class Section(BaseModel):
    """A table of the settings files; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


def setting(default: Any, meaning: str, *, zero: str | None = None, **limits: Any) -> Any:
    """A setting. zero: what 0 means (numbers must say it). limits: ge, le, gt, lt, pattern, min_length."""
    return Field(
        default=default, description=meaning, json_schema_extra={ZERO: zero} if zero else None, **limits
    )


def refuse(code: str, message: str) -> PydanticCustomError:
    """The error for a validator to raise; the message is shown as it is."""
    kind: Any = code  # declared as a literal, any text is taken
    return PydanticCustomError(kind, "{message}", {"message": message})
