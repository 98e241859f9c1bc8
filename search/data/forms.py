"""What a network sees in an example: flat features, an image or a sequence."""

from __future__ import annotations

from typing import Literal

Form = Literal["features", "images", "sequences"]
"""[d], [height, width, channels] or [time, d]."""
