"""Every error code in the source, found by reading it: class attributes, findings, keywords and problem documents."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("registry", "portal", "builders", "serving", "client/countersign", "formats")
SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")

ATTRIBUTES = {"code", "default_code"}
"""Names that hold a code in a class, and of parameters that do."""

CALLS = {"BadWheel", "Finding", "JobFailed", "Refused", "RunnerError", "TryLater", "_refused"}
"""Calls whose first text that could be a code is one."""


def files() -> Iterator[Path]:
    """Our source, without what was generated."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not {"grpc_generated", "__pycache__"} & set(path.parts):
                yield path


def codes() -> dict[str, set[str]]:
    """Each code, and the files that use it, relative to the repository."""
    found: dict[str, set[str]] = {}
    for path in files():
        for code in _in(ast.parse(path.read_text())):
            found.setdefault(code, set()).add(path.relative_to(ROOT).as_posix())
    return found


def _in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                if isinstance(item, ast.Assign) and any(_named(target) for target in item.targets):
                    yield from _text(item.value)
                if isinstance(item, ast.AnnAssign) and _named(item.target):
                    yield from _text(item.value)
        elif isinstance(node, ast.Call):
            yield from _in_call(node)
        elif isinstance(node, ast.Dict):
            entries = {
                key.value: value
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant)
            }
            if "code" in entries and "message" in entries:
                yield from _text(entries["code"])
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
                if argument.arg in ATTRIBUTES:
                    yield from _text(default)
            for argument, default in zip(reversed(node.args.args), reversed(node.args.defaults), strict=False):
                if argument.arg in ATTRIBUTES:
                    yield from _text(default)


def _in_call(node: ast.Call) -> Iterator[str]:
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    for keyword in node.keywords:
        if keyword.arg in ATTRIBUTES:
            yield from _text(keyword.value)
    if name in CALLS:
        for argument in node.args:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield from _text(argument)
                return


def _named(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id in ATTRIBUTES


def _text(node: ast.expr | None) -> Iterator[str]:
    """The code, or both codes of ``a if b else c``."""
    if isinstance(node, ast.IfExp):
        yield from _text(node.body)
        yield from _text(node.orelse)
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and SLUG.fullmatch(node.value):
        yield node.value
