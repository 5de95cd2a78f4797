"""The HTTP API: /api/v1, its description, and /.well-known/countersign.json. One module for each kind of resource."""

from importlib import import_module

from flask import Blueprint, Response
from sqlalchemy.exc import IntegrityError

from portal import db, errors
from portal.api import calls
from portal.api.contract import OPERATIONS, RESOURCES
from portal.api.reference import reference
from registry.errors import Conflict

bp = Blueprint("api", __name__)

for _resource in RESOURCES:
    import_module(f"portal.api.{_resource}")
for _operation in OPERATIONS:
    bp.add_url_rule(
        _operation.rule,
        endpoint=_operation.name.replace(".", "_"),
        view_func=calls.endpoint(_operation),
        methods=[_operation.method],
    )

bp.add_url_rule("/api", endpoint="reference", view_func=reference, methods=["GET"])


@bp.errorhandler(IntegrityError)
def clash(_error: IntegrityError) -> Response:
    """Two requests did the same at the same moment; the database let one of them through."""
    db.rollback()
    refusal = Conflict("somebody else did the same at this moment", hint="Read what is there now, then repeat it.")
    return errors.answer(refusal, 409)
