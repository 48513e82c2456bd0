"""Expressions to values."""

import ast
from collections.abc import Sequence
from pathlib import PurePath

from pgdurable_airflow.importer.load.syntax import attributes, calls, definitions
from pgdurable_airflow.importer.load.syntax.machine import MAX_LOOP, Machine
from pgdurable_airflow.importer.load.syntax.operations import binary, compare, is_true, text_of
from pgdurable_airflow.importer.load.syntax.scopes import Scope
from pgdurable_airflow.importer.load.syntax.values import Imported, Unknown, Value, first_unknown, is_plain


def evaluate(machine: Machine, node: ast.expr, scope: Scope) -> Value:
    """Compute an expression; what is not known becomes Unknown, with its line."""
    machine.step(node)
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return _name(machine, name, node, scope)
        case ast.Call():
            return calls.call_node(machine, node, scope)
        case ast.Attribute(value=owner, attr=name):
            return attributes.read(machine, evaluate(machine, owner, scope), name, node)
        case ast.JoinedStr(values=parts):
            return _joined(machine, parts, scope)
        case ast.FormattedValue():
            return _formatted(machine, node, scope)
        case ast.List(elts=parts):
            return _sequence(machine, parts, scope)
        case ast.Tuple(elts=parts):
            found = _sequence(machine, parts, scope)
            return tuple(found) if isinstance(found, list) else found
        case ast.Set(elts=parts):
            return _set(machine, _sequence(machine, parts, scope), node)
        case ast.Dict():
            return _dict(machine, node, scope)
        case ast.BinOp(left=left, op=op, right=right):
            first = evaluate(machine, left, scope)
            second = evaluate(machine, right, scope)
            machine.line = node.lineno
            return binary(machine, op, first, second, node)
        case ast.UnaryOp(op=op, operand=operand):
            return _unary(machine, op, evaluate(machine, operand, scope), node)
        case ast.BoolOp():
            return _bool(machine, node, scope)
        case ast.Compare(left=left, comparators=rights):
            first = evaluate(machine, left, scope)
            return compare(machine, node, first, [evaluate(machine, right, scope) for right in rights])
        case ast.IfExp():
            return _choice(machine, node, scope)
        case ast.Subscript(value=owner, slice=index):
            held = evaluate(machine, owner, scope)
            return attributes.item(machine, held, evaluate(machine, index, scope), node)
        case ast.Slice(lower=lower, upper=upper, step=step):
            ends = [evaluate(machine, each, scope) if each is not None else None for each in (lower, upper, step)]
            return first_unknown(ends) or slice(*ends)
        case ast.Lambda():
            return definitions.make_function(machine, node, scope)
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            return _comprehension(machine, node, scope)
        case ast.Starred(value=value):
            return evaluate(machine, value, scope)
        case ast.NamedExpr(target=target, value=value):
            found = evaluate(machine, value, scope)
            scope.bind(target.id, found)
            return found
        case ast.Await(value=value):
            return evaluate(machine, value, scope)
        case ast.Yield(value=value):
            found = evaluate(machine, value, scope) if value is not None else None
            if machine.frames and machine.frames[-1].yielded is not None:
                machine.frames[-1].yielded.append(found)
            return None
        case ast.YieldFrom(value=value):
            items = items_of(machine, evaluate(machine, value, scope), node)
            if machine.frames and machine.frames[-1].yielded is not None and not isinstance(items, Unknown):
                machine.frames[-1].yielded.extend(items)
            return None
    return machine.unknown(f"an expression of kind {type(node).__name__}", node)


def _name(machine: Machine, name: str, node: ast.expr, scope: Scope) -> Value:
    is_there, value = scope.find(name)
    if is_there:
        return value
    if name == "__file__":
        return str(scope.module.file)
    if name == "__name__":
        return scope.module.name
    if name == "__doc__":
        return ast.get_docstring(scope.module.tree, clean=False)
    if machine.builtin(name):
        return Imported(f"builtins.{name}")
    if machine.doubts or machine.maybe:
        return machine.unknown(f"the name {name}", node)
    raise machine.raises("NameError", f"name '{name}' is not defined", node)


def _joined(machine: Machine, parts: Sequence[ast.expr], scope: Scope) -> Value:
    texts: list[str] = []
    unknown: Unknown | None = None
    for part in parts:
        value = evaluate(machine, part, scope)
        if isinstance(value, str):
            texts.append(value)
        elif unknown is None:
            unknown = value if isinstance(value, Unknown) else machine.unknown("the text of an object", part)
    return unknown if unknown is not None else "".join(texts)


def _formatted(machine: Machine, node: ast.FormattedValue, scope: Scope) -> Value:
    value = evaluate(machine, node.value, scope)
    form = evaluate(machine, node.format_spec, scope) if node.format_spec is not None else ""
    if isinstance(form, Unknown) or not isinstance(form, str):
        return form if isinstance(form, Unknown) else machine.unknown("a format", node)
    return text_of(machine, value, node.value, node.conversion, form)


def _sequence(machine: Machine, parts: Sequence[ast.expr], scope: Scope) -> Value:
    found: list[Value] = []
    for part in parts:
        value = evaluate(machine, part, scope)
        if isinstance(part, ast.Starred):
            items = items_of(machine, value, part)
            if isinstance(items, Unknown):
                return items
            found += items
        else:
            found.append(value)
    return found


def _set(machine: Machine, found: Value, node: ast.expr) -> Value:
    if not isinstance(found, list):
        return found
    try:
        return set(found)
    except TypeError as error:
        raise machine.raises("TypeError", str(error), node) from error


def _dict(machine: Machine, node: ast.Dict, scope: Scope) -> Value:
    found: dict[Value, Value] = {}
    for key, value in zip(node.keys, node.values, strict=True):
        inner = evaluate(machine, value, scope)
        if key is None:
            inner = machine.settled(inner)
            if not isinstance(inner, dict):
                return inner if isinstance(inner, Unknown) else machine.unknown("a dict put into a dict", node)
            found.update(inner)
            continue
        name = evaluate(machine, key, scope)
        if isinstance(name, Unknown):
            return name
        try:
            found[name] = inner
        except TypeError as error:
            raise machine.raises("TypeError", str(error), node) from error
    return found


def _unary(machine: Machine, op: ast.unaryop, value: Value, node: ast.expr) -> Value:
    if isinstance(op, ast.Not):
        answer = truth(machine, value, node)
        return answer if isinstance(answer, Unknown) else not answer
    if isinstance(value, Unknown):
        return value
    if not isinstance(value, int | float):
        return -value if hasattr(value, "__neg__") and is_plain(value) else machine.unknown("a sign", node)
    return -value if isinstance(op, ast.USub) else ~value if isinstance(op, ast.Invert) and isinstance(
        value, int
    ) else value  # fmt: skip


def _bool(machine: Machine, node: ast.BoolOp, scope: Scope) -> Value:
    value: Value = None
    for part in node.values:
        value = evaluate(machine, part, scope)
        answer = truth(machine, value, part)
        if isinstance(answer, Unknown):
            return answer
        if answer is isinstance(node.op, ast.Or):
            return value
    return value


def _choice(machine: Machine, node: ast.IfExp, scope: Scope) -> Value:
    test = truth(machine, evaluate(machine, node.test, scope), node.test)
    if not isinstance(test, Unknown):
        return evaluate(machine, node.body if test else node.orelse, scope)
    with machine.doubtful(machine.doubt(f"a condition that only running the file decides: {test.why.what}", node)):
        evaluate(machine, node.body, scope)
        evaluate(machine, node.orelse, scope)
    return test


def truth(machine: Machine, value: Value, node: ast.AST) -> Value:
    """Return True, False, or Unknown."""
    value = machine.settled(value)
    if isinstance(value, Unknown):
        return value
    answer = is_true(value)
    return machine.unknown("whether an object counts as true", node) if answer is None else answer


def items_of(machine: Machine, value: Value, node: ast.AST) -> "list[Value] | Unknown":
    """List what iterating over a value gives."""
    from pgdurable_airflow.importer.load.syntax.values import Group

    value = machine.settled(value)
    if isinstance(value, Unknown):
        return value
    if isinstance(value, dict | list | tuple | str | range | bytes):
        if len(value) > MAX_LOOP:
            return machine.unknown("a loop of very many turns", node)
        return list(value)
    if isinstance(value, set | frozenset):
        # In what order a set gives its items depends on hashes; nothing here may.
        if len(value) > 1:
            machine.note_structure(machine.dag, machine.doubt("the order of a set", node))
        return sorted(value, key=repr)
    if isinstance(value, Group):
        return list(value.tasks())
    if isinstance(value, PurePath | int | float | bool) or value is None:
        raise machine.raises("TypeError", f"'{type(value).__name__}' object is not iterable", node)
    return machine.unknown("the items of an object", node)


def _comprehension(
    machine: Machine, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, scope: Scope
) -> Value:
    inner = Scope(scope.module, {}, scope, scope.qualname, cls=scope.cls, outer=set())
    found: list[Value] = []
    unknown = _turns(machine, node, list(node.generators), inner, found)
    if unknown is not None:
        return unknown
    if isinstance(node, ast.DictComp):
        pairs = [pair for pair in found if isinstance(pair, tuple)]
        bad = next((key for key, _ in pairs if isinstance(key, Unknown)), None)
        try:
            return bad if bad is not None else dict(pairs)
        except TypeError as error:
            raise machine.raises("TypeError", str(error), node) from error
    return _set(machine, found, node) if isinstance(node, ast.SetComp) else found


def _turns(
    machine: Machine,
    node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp,
    generators: "list[ast.comprehension]",
    scope: Scope,
    found: list[Value],
) -> Unknown | None:
    from pgdurable_airflow.importer.load.syntax.assignment import assign

    if not generators:
        if isinstance(node, ast.DictComp):
            found.append((evaluate(machine, node.key, scope), evaluate(machine, node.value, scope)))
        else:
            found.append(evaluate(machine, node.elt, scope))
        return None
    first, *rest = generators
    items = items_of(machine, evaluate(machine, first.iter, scope), first.iter)
    if isinstance(items, Unknown):
        doubt = machine.doubt(f"a loop over something unknown: {items.why.what}", first.iter)
        with machine.doubtful(doubt):
            assign(machine, first.target, Unknown(doubt), scope)
            _turns(machine, node, rest, scope, [])
        return Unknown(doubt)
    for item in items:
        assign(machine, first.target, item, scope)
        kept = True
        for condition in first.ifs:
            answer = truth(machine, evaluate(machine, condition, scope), condition)
            if isinstance(answer, Unknown):
                with machine.doubtful(answer.why):
                    _turns(machine, node, rest, scope, [])
                return answer
            kept = kept and bool(answer)
        if kept:
            unknown = _turns(machine, node, rest, scope, found)
            if unknown is not None:
                return unknown
    return None
