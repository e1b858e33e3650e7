"""What an evaluation found besides its scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Besides:
    """What was found besides the scores."""

    values: Mapping[str, Any] = field(default_factory=dict)  # plain ones, for the JSON file
    pictures: Mapping[str, Image.Image] = field(default_factory=dict)  # by file name
