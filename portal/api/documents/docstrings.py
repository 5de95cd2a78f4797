"""What is written below a field of a class, read from the source when the API is described, not when it starts."""

import ast
import functools
import inspect
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType


@functools.cache
def of(cls: type) -> Mapping[str, str]:
    """Field to the string below it, of a class and its bases.

    Pydantic's own ``use_attribute_docstrings`` reads the source as each class is made: a second of every start.
    """
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("portal."):
            found |= _of_module(inspect.getsourcefile(base) or "").get(base.__qualname__, {})
    return MappingProxyType(found)


@functools.cache
def _of_module(path: str) -> dict[str, dict[str, str]]:
    """Class to field to string, for the classes of one file."""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    return {node.name: _fields(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _fields(node: ast.ClassDef) -> dict[str, str]:
    found = {}
    for field, below in zip(node.body, node.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match below:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    found[field.target.id] = inspect.cleandoc(text)
    return found
