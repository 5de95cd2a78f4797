"""How the API is spoken: JSON, idempotency keys, guarded changes, and lists page by page."""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import requests

from countersign import models
from countersign.errors import UnexpectedAnswer
from countersign.transport import Transport

V1 = "/api/v1"
_LARGEST_PAGE = 200


class Speaker:
    """What every part of the API needs."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def _get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        return as_json(self.transport.request("GET", path, params=params))

    def _post(self, path: str, body: Mapping[str, Any]) -> requests.Response:
        return self.transport.request("POST", path, json=body, headers={"Idempotency-Key": str(uuid.uuid4())})

    def _guarded(self, method: str, path: str, *, guard: str, json: Any = None) -> requests.Response:
        """Change ``path`` only if ``guard``, read a moment before, has not changed since."""
        etag = self.transport.request("GET", guard).headers.get("ETag")
        return self.transport.request(method, path, json=json, headers={"If-Match": etag} if etag else {})

    def _pages(self, path: str, filters: Mapping[str, str | None]) -> Iterator[Any]:
        params: dict[str, Any] = {"limit": _LARGEST_PAGE, **filters}
        while True:
            page = self._get(path, params)
            yield from models.walk(page)
            if not page.get("next"):
                return
            params["cursor"] = page["next"]


def as_json(response: requests.Response) -> Any:
    """:raises UnexpectedAnswer: it is something else."""
    try:
        return response.json()
    except ValueError:
        raise UnexpectedAnswer(
            f"{response.url} did not answer with JSON",
            hint="Is this the portal's URL, or that of a proxy's sign-in page?",
            status=response.status_code,
        ) from None
