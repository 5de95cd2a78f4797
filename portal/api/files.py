"""Files of a version on their way out: whole and checked, or a range of them."""

import base64

from flask import Response, request

from formats import digest as digests
from portal import db
from portal.api import ranges
from portal.api.calls import Call
from portal.api.contract import Media, operation
from portal.api.versions import VERSION
from registry import catalog, reading
from registry.errors import Forbidden, NotFound, Unavailable

BYTES = "application/octet-stream"


@operation(
    "GET",
    f"{VERSION}/files/<path:path>",
    answers={200: Media(BYTES, "The file."), 206: Media(BYTES, "The range asked for.")},
    refuses=(Forbidden, ranges.RangeNotSatisfiable, Unavailable),
    ranged=True,
)
def download(call: Call, team: str, name: str, reference: str, path: str) -> Response:
    """Download a file.

    For the model's team and for teams that declared their use of it. The ETag is the file's digest; a whole download
    is checked against it while it is sent, and breaks off before its end if the stored bytes are damaged.
    """
    record = reading.read_version(call.session, f"{team}/{name}", reference, actor=call.actor)
    file = next((file for file in record.files if file.path == path), None)
    if file is None:
        held = ", ".join(file.path for file in record.files)
        raise NotFound(f"version {record.version.number} has no file {path}", hint=f"It holds {held}.")
    catalog.require_artifacts(call.session, record.model, actor=call.actor)
    db.release()
    if not call.store.has(file.digest):
        raise Unavailable(f"the bytes of {path} are missing from the store", hint="Tell an operator.")
    if request.if_none_match.contains_weak(file.digest):
        return Response(status=304, headers={"ETag": f'"{file.digest}"'})
    try:
        span = ranges.wanted(file.size, file.digest)
    except ranges.RangeNotSatisfiable as error:
        return ranges.unsatisfiable(error, file.size)
    response = _part(call, file, span) if span else _whole(call, file)
    response.set_etag(file.digest)
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Cache-Control"] = "private, no-cache"
    response.headers["Repr-Digest"] = (
        f"sha-256=:{base64.b64encode(bytes.fromhex(digests.parse(file.digest))).decode()}:"
    )
    response.headers.set("Content-Disposition", "attachment", filename=path.rpartition("/")[2])
    return response


def _whole(call: Call, file: reading.FileTold) -> Response:
    response = Response(call.store.chunks(file.digest), mimetype=BYTES, direct_passthrough=True)
    response.content_length = file.size
    return response


def _part(call: Call, file: reading.FileTold, span: tuple[int, int]) -> Response:
    start, end = span
    source = call.store.open(file.digest)
    response = Response(ranges.part(source, start, end), 206, mimetype=BYTES, direct_passthrough=True)
    response.content_length = end - start
    response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    response.call_on_close(source.close)
    return response
