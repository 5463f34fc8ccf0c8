"""One message of a conversation.

Knows neither models nor pages: a role and its words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from workbench.errors import BadRole

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Message:
    """What one side said."""

    role: Role
    content: str

    def __post_init__(self) -> None:
        if self.role not in ROLES:
            raise BadRole(role=str(self.role)[:80])

    def as_dict(self) -> dict[str, str]:
        """The form that chat templates take."""
        return {"role": self.role, "content": self.content}
