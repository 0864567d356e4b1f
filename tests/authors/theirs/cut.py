"""Parts of the authors' files, run as they stand: whole modules where they import, definitions cut out where not."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def cut(file: Path, *names: str, replace: dict[str, str] | None = None, **namespace: Any) -> SimpleNamespace:
    """The functions and classes of these names, wherever they stand in the file, in a namespace of ours.

    replace: words of the source that name a device which this machine lacks.
    """
    tree = ast.parse(_source(file, replace))
    found = [
        node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in names
    ]
    missing = set(names) - {node.name for node in found}
    if missing:
        raise LookupError(f"{file} holds no {', '.join(sorted(missing))}")
    for node in found:
        node.decorator_list = [each for each in node.decorator_list if "staticmethod" not in ast.unparse(each)]
    return _run(file, found, namespace)


def statement(file: Path, containing: str, **namespace: Any) -> SimpleNamespace:
    """The innermost `for` loop that contains a piece of source, run once."""
    return _run(file, [_innermost(file, ast.For, containing)], namespace)


def branch(file: Path, containing: str, **namespace: Any) -> SimpleNamespace:
    """The innermost `if` that contains a piece of source, with its `else`, run once."""
    return _run(file, [_innermost(file, ast.If, containing)], namespace)


def module(folder: Path, name: str, root: Path | None = None) -> Any:
    """A module that imports as it is. root: where it looks for others."""
    paths = [str(folder), *([str(root)] if root else [])]
    sys.path[:0] = paths
    try:
        return importlib.import_module(name)
    finally:
        del sys.path[: len(paths)]


def _innermost(file: Path, kind: type[ast.stmt], containing: str) -> ast.stmt:
    found = [node for node in ast.walk(ast.parse(_source(file))) if isinstance(node, kind)]
    return min((node for node in found if containing in ast.unparse(node)), key=lambda node: len(ast.unparse(node)))


def _source(file: Path, replace: dict[str, str] | None = None) -> str:
    source = file.read_text(encoding="utf-8")
    for old, new in (replace or {}).items():
        source = source.replace(old, new)
    return source


def _run(file: Path, nodes: list[Any], namespace: dict[str, Any]) -> SimpleNamespace:
    exec(compile(ast.Module(body=nodes, type_ignores=[]), str(file), "exec"), namespace)
    return SimpleNamespace(**namespace)
