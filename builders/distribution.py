"""An OCI registry over HTTP (OCI distribution 1.1, Docker's registry 2): blobs, manifests and who refers to them.

Every digest is checked: what is sent is hashed here, and what is there afterwards is read back. Layers are streamed.
"""

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit

import requests

from builders.image import INDEX_TYPE, MANIFEST_TYPE
from formats import canonical, digest

_TIMEOUT = (10, 300)  # seconds to connect, and between two pieces of an answer
_MAX_DOCUMENT = 4 << 20
_CHUNK = 1 << 20
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class RegistryRefused(Exception):
    """The registry does not accept this: credentials, rights or content; trying again does not help.

    :ivar hint: what to do next, one sentence.
    """

    code = "registry-refused"

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class RegistryAway(RegistryRefused):
    """The registry does not answer, or not sensibly, now."""

    code = "registry-unavailable"


class RegistryDiffers(RegistryRefused):
    """What the registry holds after a push is not what was sent."""

    code = "registry-differs"


@dataclass(frozen=True)
class Credentials:
    """Of the account that pushes; never part of a message."""

    user: str
    password: str = field(repr=False)


class Repository:
    """One repository of a registry, e.g. ``https://registry.example.com/models`` and ``payments/voice``."""

    def __init__(self, url: str, name: str, *, credentials: Credentials | None = None, ca_bundle: str = "") -> None:
        """Nothing is sent yet.

        :param url: of the registry; a path in it prefixes every repository's name.
        :raises RegistryRefused: credentials would travel unencrypted to another machine.
        """
        parts = urlsplit(url)
        if credentials and parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            raise RegistryRefused(
                f"{url} is not encrypted: the registry's password would travel readably",
                hint="Write https:// in COUNTERSIGN_REGISTRY_URL.",
            )
        self.name = f"{parts.path.strip('/')}/{name}".strip("/")
        self.place = f"{parts.netloc}/{self.name}"
        """As engines and deployments write it, without a tag."""
        self._root = f"{parts.scheme}://{parts.netloc}/v2/"
        self._credentials = credentials
        self._session = requests.Session()
        self._session.trust_env = False  # no .netrc and no proxy of the environment decides where a password goes
        self._session.verify = ca_bundle or True
        self._token = ""

    def close(self) -> None:
        self._session.close()

    # Blobs.

    def has_blob(self, of: str, size: int) -> bool:
        """Whether a blob of that digest and size is there."""
        answer = self._send("HEAD", f"blobs/{of}", expect={HTTPStatus.OK, HTTPStatus.NOT_FOUND})
        return answer.status_code == HTTPStatus.OK and int(answer.headers.get("Content-Length", -1)) == size

    def put_blob(self, of: str, size: int, opened: Callable[[], BinaryIO]) -> bool:
        """Send a blob unless it is there; whether it was sent.

        :param opened: opens its bytes; called again when the registry asks for credentials first.
        """
        if self.has_blob(of, size):
            return False
        begun = self._send("POST", "blobs/uploads/", expect={HTTPStatus.ACCEPTED})
        place = urljoin(begun.url, begun.headers.get("Location", ""))
        separator = "&" if urlsplit(place).query else "?"
        self._send(
            "PUT",
            f"{place}{separator}digest={of}",
            data=_Body(opened, size),
            headers={"Content-Type": "application/octet-stream"},
            expect={HTTPStatus.CREATED},
        )
        if not self.has_blob(of, size):
            raise RegistryDiffers(
                f"{self.place} took blob {of} and does not have it", hint="Look at the registry's log and its disk."
            )
        return True

    # Manifests.

    def get_manifest(self, reference: str) -> bytes | None:
        """The bytes of a manifest or index by tag or digest, or None when there is none.

        :raises RegistryDiffers: asked for by digest, and other bytes came.
        """
        answer = self._send(
            "GET",
            f"manifests/{reference}",
            headers={"Accept": f"{MANIFEST_TYPE}, {INDEX_TYPE}"},
            expect={HTTPStatus.OK, HTTPStatus.NOT_FOUND},
        )
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        found = digest.of_bytes(answer.content)
        if reference.startswith("sha256:") and found != reference:
            raise RegistryDiffers(
                f"{self.place} gives {found} for {reference}",
                hint="Do not deploy from this registry before you know why.",
            )
        return answer.content

    def put_manifest(self, data: bytes, kind: str, *, tag: str = "") -> bool:
        """Send a manifest or index under its digest, and under ``tag`` too, and read it back; errors as :meth:`put_blob`.

        :returns: whether the registry lists referrers by itself, where ``data`` has a subject.
        """
        of = digest.of_bytes(data)
        headers: Mapping[str, str] = {}
        for reference in filter(None, (of, tag)):
            headers = self._send(
                "PUT",
                f"manifests/{reference}",
                data=data,
                headers={"Content-Type": kind},
                expect={HTTPStatus.CREATED},
            ).headers
            if self.get_manifest(reference) != data:
                raise RegistryDiffers(
                    f"{self.place} does not give back the manifest {of} that it took",
                    hint="It rewrites what it stores: use a registry that keeps OCI manifests as they are.",
                )
        return "OCI-Subject" in headers

    # Talking.

    def _send(
        self,
        method: str,
        path: str,
        *,
        expect: set[HTTPStatus],
        headers: Mapping[str, str] | None = None,
        data: Any = None,
    ) -> requests.Response:
        url = path if "://" in path else f"{self._root}{self.name}/{path}"
        answer = self._once(method, url, headers, data)
        if answer.status_code == HTTPStatus.UNAUTHORIZED and self._credentials and self._login(answer):
            answer = self._once(method, url, headers, data)
        if answer.status_code in expect:
            return answer
        raise self._refusal(method, url, answer)

    def _once(self, method: str, url: str, headers: Mapping[str, str] | None, data: Any) -> requests.Response:
        # Our credentials are for this registry, also when it sends an upload elsewhere.
        ours = {"Authorization": self._token} if self._token and url.startswith(self._root) else {}
        try:
            return self._session.request(
                method,
                url,
                headers={**(headers or {}), **ours},
                data=data,
                timeout=_TIMEOUT,
                allow_redirects=method == "GET",
            )
        except (requests.RequestException, OSError) as error:
            raise RegistryAway(
                f"the registry {urlsplit(self._root).netloc} does not answer: {_reason(error)}",
                hint="It is tried again. Check COUNTERSIGN_REGISTRY_URL and COUNTERSIGN_REGISTRY_CA_BUNDLE.",
            ) from error

    def _login(self, refused: requests.Response) -> bool:
        """Take up a challenge, Basic or Bearer; whether there was one that can be."""
        assert self._credentials is not None
        scheme, _, rest = refused.headers.get("WWW-Authenticate", "").partition(" ")
        basic = requests.auth.HTTPBasicAuth(self._credentials.user, self._credentials.password)
        if scheme.lower() == "basic" and not self._token:
            self._token = basic(requests.Request(headers={})).headers["Authorization"]
            return True
        if scheme.lower() != "bearer":
            return False
        asked = dict(_CHALLENGE.findall(rest))
        realm = asked.pop("realm", "")
        if urlsplit(realm).scheme != "https" and urlsplit(realm).hostname not in _LOOPBACK:
            return False
        asked["scope"] = f"repository:{self.name}:pull,push"
        try:
            answer = self._session.get(realm, params=asked, auth=basic, timeout=_TIMEOUT)
            said = answer.json()
        except (requests.RequestException, ValueError) as error:
            raise RegistryAway(
                f"the registry's token service {realm} does not answer: {_reason(error)}", hint="It is tried again."
            ) from error
        token = said.get("token") or said.get("access_token") if answer.ok and isinstance(said, dict) else None
        if not token:
            return False
        self._token = f"Bearer {token}"
        return True

    def _refusal(self, method: str, url: str, answer: requests.Response) -> RegistryRefused:
        what = f"{self.place} answered {answer.status_code} to {method} {urlsplit(url).path}{_said(answer)}"
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status_code in (
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.REQUEST_TIMEOUT,
        ):
            return RegistryAway(what, hint="It is tried again; look at the registry's log.")
        if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return RegistryRefused(
                what,
                hint="Check COUNTERSIGN_REGISTRY_USER and its password, and that it may push to this repository.",
            )
        return RegistryRefused(what, hint="Check COUNTERSIGN_REGISTRY_URL, and the registry's log.")


class _Body:
    """Bytes of a known length, which requests streams; opened anew each time they are sent."""

    def __init__(self, opened: Callable[[], BinaryIO], size: int) -> None:
        self._opened, self._size = opened, size

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        with self._opened() as source:
            while chunk := source.read(_CHUNK):
                yield chunk


def _said(answer: requests.Response) -> str:
    """The registry's own words, short."""
    try:
        first = json.loads(answer.content[:_MAX_DOCUMENT])["errors"][0]
        return f": {first.get('code', '')} {first.get('message', '')}".rstrip()[:300]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return ""


def _reason(error: BaseException) -> str:
    while inner := error.__cause__ or error.__context__:
        error = inner
    return str(error) or type(error).__name__


def small(data: bytes) -> Callable[[], BinaryIO]:
    """Opens bytes that are in memory."""
    return lambda: io.BytesIO(data)


def document(data: bytes) -> Any:
    """A manifest or index as JSON.

    :raises RegistryRefused: it is none.
    """
    try:
        return canonical.loads(data)
    except canonical.CanonicalError as error:
        raise RegistryRefused(
            f"the registry holds something that is no index: {error}", hint="Remove the tag that is in the way."
        ) from error
