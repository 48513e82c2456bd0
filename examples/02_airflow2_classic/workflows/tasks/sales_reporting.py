"""Callables of dags/sales_reporting.py, copied as they stand there."""

from __future__ import annotations

import json


def announce(**kwargs):
    """Say what is ready, as the line that the chat bot picks up."""
    message = {"channel": kwargs["channel"], "text": "Sales of {} are in the mart.".format(kwargs["ds"])}
    print(json.dumps(message))
    return message["text"]
# pgdurable import: text fc5c4f6c
