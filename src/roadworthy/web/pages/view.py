"""What a page is: data, which its JSON twin sends as it is, and a template that shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from roadworthy.web.app_port import Json


@dataclass(frozen=True, slots=True)
class View:
    """A page before it is rendered. `shown` is what only the template needs: wording, charts."""

    title: str
    template: str
    data: Json
    shown: Mapping[str, Any] = field(default_factory=dict)
