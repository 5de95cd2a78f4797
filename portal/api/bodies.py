"""Reading what was sent, strictly: one meaning, known members only, nothing a database cannot keep."""

from typing import Any, TypeVar

from flask import request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from werkzeug.exceptions import NotFound, UnsupportedMediaType

from formats import canonical
from portal.api.documents.base import Input
from registry.errors import Invalid

Model = TypeVar("Model", bound=BaseModel)
Body = TypeVar("Body", bound=Input)
_NUL = "\0"
# The faults that senders meet, in words for someone who never heard of the library that found them.
_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is no member here",
    "string_too_long": "must be at most {max_length} characters long",
    "string_pattern_mismatch": "must match {pattern}",
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries, {actual_length} came",
    "literal_error": "must be {expected}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
}


def refuse_nul() -> None:
    """PostgreSQL keeps no NUL character; no name, reference or path of ours holds one."""
    if _NUL in request.path:
        raise NotFound


def read_json(model: type[Body]) -> Body:
    """The request's JSON body.

    :raises Invalid: not JSON as RFC 7493 asks, or not of this shape; every member at fault is named.
    """
    data = request.get_data()
    if not data and not any(spec.is_required() for spec in model.model_fields.values()):
        data = b"{}"
    elif request.mimetype != "application/json":
        raise UnsupportedMediaType(f"the body is {request.mimetype or 'of no declared type'}, not application/json")
    try:
        value = canonical.loads(data)
    except canonical.CanonicalError as error:
        raise Invalid(f"the body is {error}", hint="Send one JSON object (RFC 8259, RFC 7493).") from None
    if b"\\u0000" in data:
        _refuse_nul_in(value, "")
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise _invalid(error) from None


def read_query(model: type[Model]) -> Model:
    """The request's query parameters, of which each may appear once."""
    args = request.args.to_dict(flat=False)
    twice = [name for name, values in args.items() if len(values) > 1]
    if twice:
        raise Invalid(f"{twice[0]} appears twice in the query", errors=[(f"/{twice[0]}", "once")])
    single = {name: values[0] for name, values in args.items()}
    _refuse_nul_in(single, "")
    try:
        return model.model_validate(single)
    except ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> Invalid:
    problems = error.errors(include_url=False, include_input=False)
    faults = [(_pointer(problem["loc"]), _told(problem)) for problem in problems[:20]]
    where, what = faults[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Invalid(f"{where or 'the body'}: {what}{more}", hint="See /api/v1/openapi.json.", errors=faults)


def _told(problem: ErrorDetails) -> str:
    context = problem.get("ctx", {})
    if problem["type"] == "string_too_short" and context["min_length"] == 1:
        return "must not be empty"
    words = _WORDS.get(problem["type"])
    return words.format(**context) if words else problem["msg"].removeprefix("Value error, ")


def _pointer(location: tuple[int | str, ...]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def _refuse_nul_in(value: Any, pointer: str) -> None:
    if isinstance(value, str) and _NUL in value:
        raise Invalid("text holds a NUL character", hint="Take it out.", errors=[(pointer, "no NUL characters")])
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_nul_in(key, pointer)
            _refuse_nul_in(item, f"{pointer}{_pointer((key,))}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            _refuse_nul_in(item, f"{pointer}/{place}")
