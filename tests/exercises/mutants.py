"""Machine-made mutants of an answer: one operator, constant, axis, comparison or condition changed at a time."""

import ast
import copy
import signal
from collections.abc import Callable, Iterator

from ovis2_ref.tools.exercises.checking import passes, run
from ovis2_ref.tools.exercises.exercise import Exercise

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
    tree = ast.parse(exercise.source)
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


def difference(before: str, after: str) -> str:
    """The first line that changed: "old -> new"."""
    lines = zip(before.splitlines(), after.splitlines(), strict=False)
    old, new = next((old.strip(), new.strip()) for old, new in lines if old != new)
    return f"{old} -> {new}"


def changes(node: ast.AST) -> Iterator[Change]:
    """Yield every way to change `node`."""
    if isinstance(node, ast.BinOp | ast.AugAssign):
        yield from (_set("op", operator()) for operator in OPERATORS.get(type(node.op), ()))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield _set("op", ast.UAdd())
    elif isinstance(node, ast.UnaryOp):
        yield _set("op", ast.UAdd() if isinstance(node.op, ast.Invert) else ast.USub())
    elif isinstance(node, ast.Compare):
        yield from (
            _set("ops", [operator()]) for operator in COMPARISONS.get(type(node.ops[0]), ()) if len(node.ops) == 1
        )
    elif isinstance(node, ast.BoolOp):
        yield _set("op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield _set("test", ast.Constant(True))
        yield _set("test", ast.Constant(False))
    elif isinstance(node, ast.Constant):
        yield from (_set("value", value) for value in constants(node.value))
    elif isinstance(node, ast.Attribute) and node.attr in FUNCTIONS:
        yield _set("attr", FUNCTIONS[node.attr])
    elif isinstance(node, ast.Name) and node.id in ("max", "min", "any", "all"):
        yield _set("id", FUNCTIONS[node.id])
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("reshape", "transpose")
    ):
        yield from (_exchange("args", i) for i in range(len(node.args) - 1))
    elif isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load):
        yield from (_exchange("elts", i) for i in range(len(node.elts) - 1))


def constants(value: object) -> tuple[object, ...]:
    """What a constant is changed to."""
    if isinstance(value, bool):
        return (not value,)
    if isinstance(value, int):
        return (value + 1, value - 1)
    if isinstance(value, float):
        return (value * 1.01, value + 1, -value)
    return (value + "x",) if isinstance(value, str) else ()


def _set(field: str, value: object) -> Change:
    return lambda node: setattr(node, field, value)


def _exchange(field: str, i: int) -> Change:
    def change(node: ast.AST) -> None:
        parts = getattr(node, field)
        parts[i], parts[i + 1] = parts[i + 1], parts[i]

    return change


def survivors(exercise: Exercise) -> tuple[int, list[str]]:
    """Return how many mutants the answer has, and what is changed in those that pass every case."""
    cases = exercise.draw_cases()
    expected = [exercise.expected(**copy.deepcopy(inputs)) for inputs in cases]
    alive, made = [], list(mutants(exercise))
    for what, source in made:
        signal.signal(signal.SIGALRM, _ran_on)
        signal.setitimer(signal.ITIMER_REAL, 2)
        try:
            function = exercise.compiled(source)
            if all(passes(run(function, inputs), e, exercise.exact) for inputs, e in zip(cases, expected, strict=True)):
                alive.append(what)
        except (RanOnError, SyntaxError):
            pass
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    return len(made), alive


def _ran_on(*_: object) -> None:
    raise RanOnError
