"""Functions of an installed package whose module cannot be imported, as it wants a package that is absent here."""

from __future__ import annotations

import ast
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def functions_of(package: str, file: str, *names: str, **known: Any) -> list[Callable[..., Any]]:
    """The functions or methods called `names` in `file` of the installed `package`; known: what they refer to.

    Decorators and annotations are dropped, so that nothing of them need be known.
    """
    folder = find_spec(package).submodule_search_locations[0]
    tree = ast.parse(Path(folder, file).read_text("utf-8"))
    found = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name in names]
    assert sorted(node.name for node in found) == sorted(names)
    for node in found:
        node.decorator_list, node.returns = [], None
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
            argument.annotation = None
    known = dict(known)
    exec(compile(ast.Module(found, []), file, "exec"), known)
    return [known[name] for name in names]
