"""What follows a layer."""

from __future__ import annotations

from typing import Literal

Activation = Literal["relu", "prelu", "dice", "gelu", "elu", "selu", "swish", "tanh", "sigmoid"]
