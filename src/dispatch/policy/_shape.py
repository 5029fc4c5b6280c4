"""The habits that all models of the grammar share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Shape(BaseModel):
    """A mapping of the policy file: its keys are the aliases, and there are no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True, defer_build=True)

    @classmethod
    def known_keys(cls) -> list[str]:
        """The keys that may stand in it, as they are written in the file."""
        return [field.alias or name for name, field in cls.model_fields.items()]
