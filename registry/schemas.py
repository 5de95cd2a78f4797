"""The JSON Schemas of docs/schemas, applied wherever a document is written or read."""

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.errors import Invalid

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "schemas"


@functools.cache
def _validator(name: str) -> "Draft202012Validator":
    # Where the worker's packages are installed too, this import builds a grammar of IRIs: a second that no start needs.
    from jsonschema import Draft202012Validator  # noqa: PLC0415

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
