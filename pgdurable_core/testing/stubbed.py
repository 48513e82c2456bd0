"""What a stubbed Python or shell step calls on the worker."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from typing import Any


def result(value: str) -> Any:
    """Return the JSON that `value` holds in base64, numbers with all their digits.

    In base64, because the engine puts names into the text of arguments, and a result is no text of that kind.
    """
    return json.loads(base64.b64decode(value), parse_float=Decimal)
