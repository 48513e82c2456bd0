"""Run Python callables for a worker: one job at a time, over two pipes.

Started by path, standard library only: ``child.py JOBS RESULTS`` with two inherited file descriptors. A job is one line
of JSON: ``{"step": the claim, "modules": {name: {"sha256", "source"}}, "env": {name: value}}``. The answer is one line:
``{"outcome": "completed", "result": …}``, ``{"outcome": "failed", "error": {…}, "retryable": bool}`` or
``{"outcome": "skipped", "reason": …}``, each with ``"reusable"``: false when the job left threads behind and the next
one deserves a clean process. What the callable prints goes to stdout and stderr as it is.

Modules come from the job alone: their content is checked against the pinned hash, and a package that a pinned name
implies holds nothing but pinned modules. Everything else is imported as the interpreter would.
"""

import asyncio
import datetime
import decimal
import enum
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import inspect
import json
import logging
import math
import numbers
import os
import sys
import threading
import traceback
import types
import uuid
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

ROWS = "__rows__"
DETAIL_LIMIT = 8000
PLAIN = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, type)


class RefusedError(Exception):
    """The job cannot run as it is stated; another try would end the same way."""

    def __init__(self, sqlstate: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate, self.hint = sqlstate, hint


class PinnedModules(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Serve pinned modules by name, ahead of everything else on the import path."""

    def __init__(self) -> None:
        self.pins: dict[str, str] = {}
        self.sources: dict[str, str] = {}
        self.packages: set[str] = set()

    def pin(self, modules: Mapping[str, Mapping[str, str]]) -> None:
        """Make exactly these modules importable; forget those of the last job unless they are the same set.

        Refuses with PD403 a content that does not have the pinned hash.
        """
        pins = {name: module["sha256"].removeprefix("sha256:") for name, module in modules.items()}
        for name, module in modules.items():
            found = hashlib.sha256(module["source"].encode()).hexdigest()
            if found != pins[name]:
                raise RefusedError("PD403", f"module {name}: content has sha256 {found}, but {pins[name]} is pinned")
        if pins == self.pins:
            return
        for name in [name for name, module in sys.modules.items() if getattr(module, "__loader__", None) is self]:
            del sys.modules[name]
        self.pins = pins
        self.sources = {name: module["source"] for name, module in modules.items()}
        self.packages = {name.rsplit(".", depth)[0] for name in pins for depth in range(1, name.count(".") + 1)}
        importlib.invalidate_caches()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.sources and fullname not in self.packages:
            return None
        spec = importlib.machinery.ModuleSpec(
            fullname, self, origin=self.get_filename(fullname), is_package=self.is_package(fullname)
        )
        spec.has_location = True
        return spec

    def is_package(self, fullname: str) -> bool:
        return fullname in self.packages

    def get_filename(self, fullname: str) -> str:
        """Where a traceback says the module is; no such file exists."""
        name = fullname.replace(".", "/") + ("/__init__.py" if self.is_package(fullname) else ".py")
        return f"/pgdurable/{self.pins.get(fullname, 'package')[:12]}/{name}"

    def get_source(self, fullname: str) -> str:
        return self.sources.get(fullname, "")

    def get_code(self, fullname: str) -> types.CodeType:
        return compile(self.get_source(fullname), self.get_filename(fullname), "exec", dont_inherit=True)


def thaw(value: Any) -> Any:
    """Turn ``{"__rows__": [[…], …]}`` into a list of tuples, at any depth; leave the rest as JSON has it."""
    if isinstance(value, dict):
        if value.keys() == {ROWS}:
            return [tuple(thaw(cell) for cell in row) for row in value[ROWS]]
        return {name: thaw(item) for name, item in value.items()}
    if isinstance(value, list):
        return [thaw(item) for item in value]
    return value


def freeze(value: Any, path: str = "$") -> str:
    """Write a callable's return value as JSON text: Decimals keep their scale, dates become ISO text, sets are sorted.

    Refuses with PD400, naming the place, what JSON cannot hold: NaN, infinities, bytes, unknown objects.
    """
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case enum.Enum():
            return freeze(value.value, path)
        case str():
            if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
                raise RefusedError("PD400", f"return value: {path} holds a character that PostgreSQL text cannot")
            return json.dumps(str(value))
        case decimal.Decimal():
            if not value.is_finite():
                raise RefusedError("PD400", f"return value: {path} is {value}, which JSON cannot hold")
            return str(value)
        case numbers.Integral():
            return str(int(value))
        case numbers.Real():
            number = float(value)
            if not math.isfinite(number):
                raise RefusedError("PD400", f"return value: {path} is {number}, which JSON cannot hold")
            return repr(number)
        case datetime.date() | datetime.time():
            return json.dumps(value.isoformat())
        case uuid.UUID():
            return json.dumps(str(value))
        case Mapping():
            items = (f"{freeze_key(name, path)}: {freeze(item, f'{path}.{name}')}" for name, item in value.items())
            return "{" + ", ".join(items) + "}"
        case Set():
            try:
                ordered = sorted(value)
            except TypeError:
                ordered = sorted(value, key=repr)
            return freeze(ordered, path)
        case list() | tuple():
            return "[" + ", ".join(freeze(item, f"{path}[{index}]") for index, item in enumerate(value)) + "]"
    raise RefusedError(
        "PD400",
        f"return value: {path} is a {type(value).__module__}.{type(value).__qualname__}, which has no JSON form",
        "Return plain values: dict, list, tuple, set, str, int, float, Decimal, bool, None, date, datetime, UUID.",
    )


def freeze_key(name: Any, path: str) -> str:
    if name is None or isinstance(name, bool | int | float):
        return json.dumps(json.dumps(name))
    if isinstance(name, str):
        return freeze(name, path)
    if isinstance(name, datetime.date | uuid.UUID | decimal.Decimal):
        return json.dumps(str(name))
    raise RefusedError("PD400", f"return value: {path} has a key of type {type(name).__qualname__}")


def arguments_of(step: Mapping[str, Any]) -> dict[str, Any]:
    """Read the arguments, which come as text so that the order of names and the digits of numbers survive."""
    given = json.loads(step.get("args_json") or "{}", parse_float=decimal.Decimal)
    arguments: dict[str, Any] = thaw(given or {})
    return arguments


def resolve(name: str) -> Callable[..., Any]:
    """Import ``module:name`` and take off what a decorator of another system put around the function.

    Only objects that are no functions themselves are opened (``function``, ``__wrapped__``, ``python_callable``), so a
    decorator written with functools.wraps stays on.
    """
    module, _, attribute = name.partition(":")
    if not attribute:
        raise RefusedError("PD400", f"callable {name!r} is not of the form module:name")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise RefusedError("PD400", f"module {module} has no {attribute}") from None
    while not isinstance(found, PLAIN):
        for wrapper in ("function", "__wrapped__", "python_callable"):
            if callable(inner := getattr(found, wrapper, None)):
                found = inner
                break
        else:
            break
    if not callable(found):
        raise RefusedError("PD400", f"{name} is a {type(found).__qualname__}, which cannot be called")
    target: Callable[..., Any] = found
    return target


def arguments_for(target: Callable[..., Any], given: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Add to the given arguments the context names that the callable asks for and has no default but None for."""
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return dict(given)
    wanted = {
        parameter.name: context[parameter.name]
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and (parameter.default is parameter.empty or parameter.default is None)
        and parameter.name in context
    }
    return wanted | dict(given)


def failure(error: BaseException, step: Mapping[str, Any]) -> dict[str, Any]:
    """Describe an exception: type and message, and as detail the tail of its traceback without this file's frames."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    if isinstance(error, SystemExit):
        message = f"the callable called sys.exit({error.code!r})"
    else:
        message = f"{type(error).__qualname__}: {error}".removesuffix(": ")
    detail = "".join(traceback.format_exception(type(error), error, trace)).rstrip()
    return {
        "sqlstate": getattr(error, "sqlstate", None),
        "message": message,
        "detail": detail[-DETAIL_LIMIT:],
        "hint": getattr(error, "hint", None),
        "context": step.get("callable"),
    }


def run(step: Mapping[str, Any], modules: Mapping[str, Mapping[str, str]], finder: PinnedModules) -> str:
    """Run one job and return its answer as JSON text without the closing brace."""
    try:
        if (runtime := step.get("runtime") or "python") != "python":
            raise RefusedError(
                "PD501", f"runtime {runtime!r} is not supported by this worker", "Use runtime => 'python'."
            )
        finder.pin(modules)
        target = resolve(step["callable"])
        value = target(**arguments_for(target, arguments_of(step), step.get("context") or {}))
        if inspect.iscoroutine(value):
            value = asyncio.run(value)
        try:
            return f'{{"outcome": "completed", "result": {freeze(value)}'
        except RecursionError:
            raise RefusedError("PD400", "return value: nested too deeply, or contains itself") from None
    except RefusedError as error:
        described = failure(error, step) | {"message": str(error), "detail": None}
        return f'{{"outcome": "failed", "retryable": false, "error": {json.dumps(described)}'
    except BaseException as error:
        names = {kind.__name__ for kind in type(error).__mro__}
        if "AirflowSkipException" in names:
            return f'{{"outcome": "skipped", "reason": {json.dumps(str(error) or "skipped by the callable")}'
        retryable = json.dumps("AirflowFailException" not in names)
        return f'{{"outcome": "failed", "retryable": {retryable}, "error": {json.dumps(failure(error, step))}'


def serve(jobs: int, results: int) -> None:
    """Answer jobs until the other side closes its pipe."""
    for descriptor in (jobs, results):
        os.set_inheritable(descriptor, False)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    finder = PinnedModules()
    sys.meta_path.insert(0, finder)
    me, home, environment, threads = os.getpid(), Path.cwd(), dict(os.environ), threading.active_count()
    with os.fdopen(jobs, encoding="utf-8") as incoming, os.fdopen(results, "w", encoding="utf-8") as outgoing:
        for line in incoming:
            job = json.loads(line, parse_float=decimal.Decimal)
            os.environ.update(job["env"])
            answer = run(job["step"], job["modules"], finder)
            if os.getpid() != me:  # the callable forked, and this is the copy
                os._exit(1)
            os.environ.clear()
            os.environ.update(environment)
            os.chdir(home)
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            outgoing.write(f'{answer}, "reusable": {json.dumps(threading.active_count() <= threads)}}}\n')
            outgoing.flush()


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
