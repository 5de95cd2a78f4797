"""The HTTP API: /api/v1, its description, and /.well-known/countersign.json. One module for each kind of resource."""

from flask import Blueprint, Response
from sqlalchemy.exc import IntegrityError

from portal import db, errors
from portal.api import account, audit, blobs, builds, bundles, calls, discovery, files, images, jobs, models, reviews
from portal.api import versions as versions
from portal.api.contract import OPERATIONS
from registry.errors import Conflict

bp = Blueprint("api", __name__)
RESOURCES = (discovery, account, blobs, models, versions, files, reviews, bundles, builds, images, jobs, audit)
"""Every module that declares operations, in the order of the description."""

for _operation in OPERATIONS:
    bp.add_url_rule(
        _operation.rule,
        endpoint=_operation.name.replace(".", "_"),
        view_func=calls.endpoint(_operation),
        methods=[_operation.method],
    )


@bp.errorhandler(IntegrityError)
def clash(_error: IntegrityError) -> Response:
    """Two requests did the same at the same moment; the database let one of them through."""
    db.rollback()
    refusal = Conflict("somebody else did the same at this moment", hint="Read what is there now, then repeat it.")
    return errors.answer(refusal, 409)
