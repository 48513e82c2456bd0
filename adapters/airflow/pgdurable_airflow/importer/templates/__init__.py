"""Jinja to bind expressions."""

from pgdurable_airflow.importer.templates.expressions import Scope, UntranslatableError, param_type
from pgdurable_airflow.importer.templates.rendering import Rendered, has_template, render_texts

__all__ = ["Rendered", "Scope", "UntranslatableError", "has_template", "param_type", "render_texts"]
