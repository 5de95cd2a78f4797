"""The JSON Schemas of docs/schemas, applied wherever a document is written or read."""

import functools
import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from registry.errors import Invalid

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "schemas"


@functools.cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((FOLDER / f"{name}.v1.json").read_text()))


def check(name: str, document: Any, *, what: str, pointer: str = "") -> None:
    """Check ``document`` against the schema ``name``.

    :raises Invalid: naming every field at fault (the first ten).
    """
    problems = sorted(_validator(name).iter_errors(document), key=lambda error: list(map(str, error.absolute_path)))
    if not problems:
        return
    errors = [
        (pointer + "".join(f"/{part}" for part in problem.absolute_path), problem.message[:200])
        for problem in problems[:10]
    ]
    raise Invalid(
        f"{what} does not fit its schema: {errors[0][0] or '/'}: {errors[0][1]}",
        hint=f"docs/schemas/{name}.v1.json says what is expected.",
        errors=errors,
    )
