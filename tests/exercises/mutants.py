"""Machine-made mutants of an answer: one change at a time.

Operators, their operands exchanged, constants, axes, comparisons, conditions; a function left out or taken for another, a keyword
left out, a slice without one of its ends, a statement that changes something left out.
"""

import ast
import copy
import signal
from collections.abc import Callable, Iterator

from ovis2_ref.exercises.checking import passes, run
from ovis2_ref.exercises.exercise import Exercise

OPERATORS = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult, ast.FloorDiv),
    ast.FloorDiv: (ast.Mult, ast.Mod),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.MatMult: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
}
COMPARISONS = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ONE_WAY = (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult, ast.LShift, ast.RShift)
"""Operators whose operands can't be exchanged without a difference."""
FUNCTIONS = {
    "max": "min", "min": "max", "maximum": "minimum", "minimum": "maximum", "argmax": "argmin", "mean": "sum", "sum": "mean",
    "sin": "cos", "cos": "sin", "floor": "ceil", "exp": "exp2", "any": "all", "all": "any", "zeros": "ones", "log": "log2",
    "zeros_like": "ones_like", "sqrt": "square", "abs": "negative", "trunc": "rint",
}  # fmt: skip
"""Names of functions and methods, and what each is mistaken for."""

Change = Callable[[ast.AST], None]
"""Changes a node in place."""


class RanOnError(BaseException):
    """A mutant took too long."""


def mutants(exercise: Exercise) -> Iterator[tuple[str, str]]:
    """Yield (what is changed, source) of every mutant of the answer, each different."""
    tree = _Bare().visit(ast.parse(exercise.source))
    body = ast.Module(tree.body[0].body[1:], [])
    seen = {ast.unparse(tree)}
    for place, node in enumerate(ast.walk(body)):
        for change in changes(node):
            mutant = copy.deepcopy(tree)
            change(next(n for i, n in enumerate(ast.walk(ast.Module(mutant.body[0].body[1:], []))) if i == place))
            source = ast.unparse(mutant)
            if source not in seen:
                seen.add(source)
                yield difference(ast.unparse(tree), source), source


class _Bare(ast.NodeTransformer):
    """Leaves out the types of local variables, which do nothing."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        assert node.value is not None
        return ast.copy_location(ast.Assign([node.target], node.value), node)


def difference(before: str, after: str) -> str:
    """Return the first line that changed: "old -> new"."""
    lines = zip(before.splitlines(), after.splitlines(), strict=False)
    old, new = next((old.strip(), new.strip()) for old, new in lines if old != new)
    return f"{old} -> {new}"


def changes(node: ast.AST) -> Iterator[Change]:
    """Yield every way to change `node`."""
    match node:
        case ast.BinOp() | ast.AugAssign():
            yield from (_set("op", operator()) for operator in OPERATORS.get(type(node.op), ()))
            if isinstance(node, ast.BinOp) and isinstance(node.op, ONE_WAY):
                yield _exchange_operands
        case ast.UnaryOp():
            yield _set("op", ast.USub() if isinstance(node.op, ast.Not) else ast.UAdd())
        case ast.Compare(ops=[operator]):
            yield from (_set("ops", [other()]) for other in COMPARISONS.get(type(operator), ()))
        case ast.BoolOp():
            yield _set("op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.If() | ast.IfExp() | ast.While():
            yield from (_set("test", ast.Constant(value)) for value in (True, False))
        case ast.Constant():
            yield from (_set("value", value) for value in constants(node.value))
        case ast.Attribute(attr=name) if name in FUNCTIONS:
            yield _set("attr", FUNCTIONS[name])
        case ast.Name(id="max" | "min" | "any" | "all" as name):
            yield _set("id", FUNCTIONS[name])
        case ast.Slice():
            yield from (_set(end, None) for end in ("lower", "upper", "step") if getattr(node, end) is not None)
        case ast.Tuple(ctx=ast.Load()):
            yield from (_exchange("elts", i) for i in range(len(node.elts) - 1))
        case ast.Call():
            yield from _changed_calls(node)
    if isinstance(getattr(node, "body", None), list):
        idle = [i for i, part in enumerate(node.body) if isinstance(part, ast.Expr | ast.AugAssign | ast.If)]  # type: ignore[attr-defined]
        yield from (_replace("body", i, ast.Pass()) for i in idle)


def _changed_calls(node: ast.Call) -> Iterator[Change]:
    """Yield the call with its function left out, f(x) -> x and x.f() -> x; a keyword left out; neighbouring axes exchanged."""
    yield from (_without("keywords", i) for i in range(len(node.keywords)))
    if isinstance(node.func, ast.Attribute) and node.func.attr in ("reshape", "transpose"):
        yield from (_exchange("args", i) for i in range(len(node.args) - 1))
    if isinstance(node.func, ast.Attribute):
        of_numpy = isinstance(node.func.value, ast.Name) and node.func.value.id == "np"
        inner = node.args[0] if of_numpy and node.args else node.func.value
        yield lambda call: (setattr(call, "func", ast.Name("_same")), setattr(call, "args", [inner]),
                            setattr(call, "keywords", []))  # fmt: skip


def constants(value: object) -> tuple[object, ...]:
    """Return what a constant is changed to."""
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int):
        return (value + 1, value - 1)
    if isinstance(value, float):
        return (value * 1.01, value + 1, *([-value] if value else []))
    return (value + "x",) if isinstance(value, str) else ()


def _set(field: str, value: object) -> Change:
    return lambda node: setattr(node, field, value)


def _replace(field: str, i: int, value: ast.AST) -> Change:
    return lambda node: getattr(node, field).__setitem__(i, value)


def _without(field: str, i: int) -> Change:
    return lambda node: getattr(node, field).pop(i)


def _exchange(field: str, i: int) -> Change:
    def change(node: ast.AST) -> None:
        parts = getattr(node, field)
        parts[i], parts[i + 1] = parts[i + 1], parts[i]

    return change


def _exchange_operands(node: ast.AST) -> None:
    node.left, node.right = node.right, node.left  # type: ignore[attr-defined]


def survivors(exercise: Exercise) -> tuple[int, list[str]]:
    """Return how many mutants the answer has, and what is changed in those that pass every case."""
    alive, made = [], list(mutants(exercise))
    for what, source in made:
        signal.signal(signal.SIGALRM, _ran_on)
        signal.setitimer(signal.ITIMER_REAL, 2)
        try:
            function = exercise.compiled(source, _same=lambda x: x)
            if all(passes(run(function, inputs), e, exercise.exact) for inputs, e in exercise.examples):
                alive.append(what)
        except (RanOnError, SyntaxError):
            pass
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    return len(made), alive


def _ran_on(*_: object) -> None:
    raise RanOnError
