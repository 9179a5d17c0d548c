"""Copies of the few source files an exported model needs, made independent of hasten."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

from hasten.errors import ModelError

_OWN = re.compile(r"^from hasten\.([\w.]*?)(\w+) import", flags=re.MULTILINE)


def closure(module: str) -> dict[str, str]:
    """A module of hasten and all it imports from hasten, as files of one flat package.

    ``from hasten.core.process import X`` becomes ``from .process import X``.

    Args:
        module: Its full name, such as ``hasten.solvers.noise``.

    Returns:
        Source texts by file name.

    Raises:
        ModelError: If a file imports hasten in another way, or two have one name.
    """
    files: dict[str, str] = {}
    origin: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        file = f"{name.rpartition('.')[2]}.py"
        if origin.get(file) == name:
            continue
        if file in origin:
            raise ModelError(f"{name} and {origin[file]} cannot be copied side by side")
        source = _source(name)
        origin[file], files[file] = name, _OWN.sub(r"from .\2 import", source)
        waiting += _imports(source, name)
    return files


def is_free(module: str) -> bool:
    """Whether a module belongs to hasten and can be copied with what it imports."""
    try:
        return module.startswith("hasten.") and bool(closure(module))
    except ModelError:
        return False


def _source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModelError(f"{module} has no source file")
    return Path(spec.origin).read_text("utf-8")


def _imports(source: str, module: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        own = [name for name in names if name.split(".")[0] == "hasten"]
        copied = isinstance(node, ast.ImportFrom) and not node.col_offset and "hasten" not in own
        if own and not copied:
            raise ModelError(f"{module} imports hasten in a way that cannot be copied")
        found += own
    return found
