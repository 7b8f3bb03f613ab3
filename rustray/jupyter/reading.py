"""What a cell's code reads, binds and is, found from its text alone.

Scopes are Python's own affair: the compiler's symbol tables say which names are global, in nested functions,
classes and comprehensions too. They are asked statement by statement, because a name that the cell binds
before it reads it need not travel.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class CellCode:
    """A cell's text and what it says about names.

    Attributes
    ----------
    reads: global names that it may read before it has bound them, in the order of their use.
    binds: names that it may bind in the notebook's namespace.
    made: the functions and classes at its top. classes: those of them.
    only_defines: whether it has nothing but those and imports.
    kernel_call: the line of its first magic, ``!`` or ``?``, which only the kernel could run; 0 for none.
    """

    source: str
    reads: tuple[str, ...]
    binds: frozenset[str]
    made: tuple[str, ...]
    classes: tuple[str, ...]
    only_defines: bool
    kernel_call: int


def read_cell(source: str, file: str, given: Iterable[str] = ()) -> CellCode:
    """Look at a cell whose magics IPython has turned into calls of ``get_ipython()``.

    Parameters
    ----------
    given: names that are bound before it runs.

    Raises SyntaxError, told of `file`, if it is not Python.
    """
    tree = ast.parse(source, file)
    _compile(tree, source, file)
    reads: dict[str, None] = {}
    bound = set(given)
    binds: set[str] = set()
    for statement in tree.body:
        read, binding = _names(statement)
        reads.update(dict.fromkeys(name for name in read if name not in bound))
        binds |= binding
        bound |= _surely_bound(statement)
    made = [s for s in tree.body if isinstance(s, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    return CellCode(
        source,
        tuple(reads),
        frozenset(binds),
        tuple(dict.fromkeys(one.name for one in made)),
        tuple(dict.fromkeys(one.name for one in made if isinstance(one, ast.ClassDef))),
        _only_defines(tree),
        _kernel_call(tree),
    )


def _compile(tree: ast.Module, source: str, file: str) -> None:
    """What the parser lets pass, as `return` at the top, is told before anything is sent."""
    try:
        compile(tree, file, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except SyntaxError as error:
        if error.text is None and error.lineno is not None:  # the compiler looks for it in a file of this name
            error.text = source.splitlines()[error.lineno - 1]
        raise


def _names(statement: ast.stmt) -> tuple[list[str], set[str]]:
    """Global names that `statement` may read, and those that it may bind."""
    told = _ReadsToo().visit(ast.Module([statement], []))
    top = symtable.symtable(ast.unparse(ast.fix_missing_locations(told)), "<cell>", "exec")
    reads, binds = [], set()
    for symbol in top.get_symbols():
        if symbol.is_referenced():
            reads.append(symbol.get_name())
        if symbol.is_assigned() or symbol.is_imported():
            binds.add(symbol.get_name())
    for table in _inside(top):
        for symbol in table.get_symbols():
            # Up to Python 3.11 locals of a function that is named "top" count as global as well.
            if symbol.is_declared_global() or (symbol.is_global() and not symbol.is_local()):
                if symbol.is_referenced():
                    reads.append(symbol.get_name())
                if symbol.is_assigned():
                    binds.add(symbol.get_name())
    return reads, binds


def _inside(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        yield child
        yield from _inside(child)


class _ReadsToo(ast.NodeTransformer):
    """Writes out that ``x += 1`` and ``del x`` read x, which the symbol table does not count."""

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.target, ast.Name):
            old = ast.Name(node.target.id, ast.Load())
            return ast.copy_location(ast.Assign([node.target], ast.BinOp(old, node.op, node.value)), node)
        return node

    def visit_Delete(self, node: ast.Delete) -> ast.AST | list[ast.stmt]:
        names = [target for target in node.targets if isinstance(target, ast.Name)]
        kept: list[ast.stmt] = [
            ast.Assign([ast.Name(name.id, ast.Store())], ast.Name(name.id, ast.Load()), lineno=node.lineno)
            for name in names
        ]
        return [node, *kept]


def _surely_bound(statement: ast.stmt) -> set[str]:
    """Names that are bound once `statement` has run, whatever happened in it."""
    targets: Iterable[ast.expr]
    match statement:
        case ast.Assign(targets=targets):
            return set().union(*map(_targets, targets))
        case ast.AnnAssign(target=target, value=value) if value is not None:
            return _targets(target)
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return {name}
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            return {alias.asname or alias.name.partition(".")[0] for alias in names}
        case ast.With(items=items) | ast.AsyncWith(items=items):
            opened = [item.optional_vars for item in items if item.optional_vars is not None]
            return set().union(*map(_targets, opened))
        case _:
            return set()


def _targets(target: ast.expr) -> set[str]:
    match target:
        case ast.Name(id=name):
            return {name}
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return set().union(*map(_targets, parts))
        case ast.Starred(value=value):
            return _targets(value)
        case _:
            return set()


def _only_defines(tree: ast.Module) -> bool:
    body = tree.body
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        if isinstance(body[0].value.value, str):
            body = body[1:]  # a docstring
    return bool(body) and all(isinstance(statement, _DEFINITIONS) for statement in body)


def _kernel_call(tree: ast.Module) -> int:
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
    return min((name.lineno for name in names if name.id == "get_ipython"), default=0)
