"""Files of a package index, fetched in a stream: by the settings' certificates and credentials, again when it breaks off."""

import logging
import os
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

import requests
import urllib3

logger = logging.getLogger(__name__)
T = TypeVar("T")

_TIMEOUT = (10, 60)  # seconds to connect, and between two pieces
_BACKOFF = 0.5  # seconds before the second attempt, doubled for each further one
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)

Keep = Callable[[BinaryIO, str, int], object]
"""Takes a file as it comes: stream, expected digest `sha256:<hex>`, size in bytes. It checks the digest."""


@dataclass(frozen=True, slots=True)
class Index:
    """Where wheels come from. ``url`` empty: uv's own configuration; ``ca_bundle`` empty: the process's environment."""

    url: str = ""
    ca_bundle: str = ""
    attempts: int = 4

    @property
    def certificates(self) -> str:
        """Path of the PEM file to trust, empty for the built-in ones."""
        return self.ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("SSL_CERT_FILE") or ""


class IndexUnreachable(Exception):
    """The package index did not answer, or not as an index: worth trying again later."""

    code = "index-unreachable"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.hint = (
            "Check the worker's network, COUNTERSIGN_INDEX_URL with its credentials, and COUNTERSIGN_CA_BUNDLE. "
            "The job is tried again by itself."
        )


def download(url: str, keep: Keep, expected: str, size: int, index: Index) -> None:
    """Hand the file at ``url`` to ``keep``; when the connection breaks, from the start again.

    :raises IndexUnreachable: after the last attempt.
    """

    def attempt() -> None:
        if path := _local(url):
            with path.open("rb") as file:
                keep(file, expected, size)
            return
        with _ask("GET", url, index) as response:
            keep(cast("BinaryIO", _Body(response)), expected, size)

    _trying(attempt, index)


def size_of(url: str, index: Index) -> int:
    """Size in bytes of the file at ``url``, for an index that does not list it. Errors as :func:`download`."""

    def attempt() -> int:
        if path := _local(url):
            return path.stat().st_size
        with _ask("HEAD", url, index) as response:
            length = response.headers.get("Content-Length", "")
        if length.isdigit() and int(length):
            return int(length)
        with _ask("GET", url, index) as response:
            return sum(len(chunk) for chunk in response.iter_content(1 << 20))

    return _trying(attempt, index)


class _Interrupted(Exception):
    """The transfer broke off; another attempt may do better."""


class _Body:
    """The body of a response as a file; a broken connection is told apart from what the reader of it raises."""

    def __init__(self, response: requests.Response) -> None:
        self._raw = response.raw

    def read(self, size: int = -1) -> bytes:
        try:
            data: bytes = self._raw.read(None if size < 0 else size, decode_content=True)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _Interrupted(_plain(error)) from error
        return data


def _ask(method: str, url: str, index: Index) -> requests.Response:
    try:
        # Given with each request: a session's own setting loses against REQUESTS_CA_BUNDLE of the environment.
        response = requests.request(
            method,
            _with_credentials(url, index.url),
            headers={"Accept-Encoding": "identity"},
            stream=True,
            timeout=_TIMEOUT,
            verify=index.certificates or True,
            allow_redirects=True,
        )
    except (requests.RequestException, OSError) as error:
        raise _Interrupted(_plain(error)) from error
    if response.status_code in _TEMPORARY:
        response.close()
        raise _Interrupted(f"it answered {response.status_code} {response.reason}")
    if not response.ok:
        response.close()
        raise IndexUnreachable(
            f"The package index answered {response.status_code} {response.reason} for a file that it lists."
        )
    return response


def _trying(attempt: Callable[[], T], index: Index) -> T:
    for number in range(1, index.attempts + 1):
        try:
            return attempt()
        except _Interrupted as error:
            logger.warning("package index, attempt %s of %s: %s", number, index.attempts, error)
            if number == index.attempts:
                raise IndexUnreachable(f"The package index cannot be reached: {error}.") from error
            time.sleep(_BACKOFF * 2 ** (number - 1))
    raise AssertionError("an index allows at least one attempt")


def _local(url: str) -> Path | None:
    parts = urllib.parse.urlsplit(url)
    return Path(urllib.request.url2pathname(parts.path)) if parts.scheme == "file" else None


def _with_credentials(url: str, index_url: str) -> str:
    """``url`` with the user and password of the index, when it is on the same host and has none."""
    mine, its = urllib.parse.urlsplit(url), urllib.parse.urlsplit(index_url)
    if "@" not in its.netloc or "@" in mine.netloc or mine.hostname != its.hostname or mine.scheme != its.scheme:
        return url
    return urllib.parse.urlunsplit(mine._replace(netloc=f"{its.netloc.rpartition('@')[0]}@{mine.netloc}"))


def _plain(error: BaseException) -> str:
    """The kind of fault without the address, which may hold credentials."""
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        return "its certificate is not trusted"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError | TimeoutError):
        return "it did not answer in time"
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return "the connection broke off"
    return "the connection failed"
