"""How requests travel: one place for time-outs, retries, the token, and turning refusals into exceptions.

Only requests that may be repeated are repeated: GET, HEAD, PUT, and a POST that carries an Idempotency-Key.
"""

import email.utils
import random
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

import countersign
from countersign import errors

ATTEMPTS = 5
LONGEST_WAIT = 120.0  # seconds; a server that asks for more gets its answer shown instead of a silent command
BLOCK = 1 << 18  # bytes per socket write of an upload

_REPEATABLE = frozenset({"GET", "HEAD", "PUT"})
_TEMPORARY = frozenset({408, 429, 502, 503, 504})

Note = Callable[[str], None]
T = TypeVar("T")


def pause(seconds: float) -> None:
    time.sleep(seconds)


def backoff(attempt: int) -> float:
    """Seconds before try number ``attempt`` + 1: 0.5, 1, 2, 4 ..., each up to a quarter more, so that clients spread."""
    spread = random.uniform(1.0, 1.25)  # noqa: S311 - spreads load, guards nothing
    return min(0.5 * 2.0 ** (attempt - 1), 20.0) * spread


class FileBody:
    """A file as a request body of known length, read in blocks; ``on_read`` is told the bytes of each."""

    def __init__(self, file: BinaryIO, size: int, on_read: Callable[[int], None]) -> None:
        self._file = file
        self._size = size
        self._on_read = on_read

    def __len__(self) -> int:
        return self._size

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._on_read(len(data))
        return data

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read(BLOCK):
            yield data


class _Bearer(AuthBase):
    # As an auth object, so that a ~/.netrc entry for the same host does not silently replace the token.
    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _NoAuth(AuthBase):
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        # urllib3 sends a body in blocks of 16 KiB unless told otherwise: an eighth of the speed on a fast network.
        super().init_poolmanager(*args, blocksize=BLOCK, **kwargs)


class Transport:
    """Requests to one server. Safe to use from several threads: each has a session of its own."""

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout: float = 30.0,
        ca_bundle: str | None = None,
        on_note: Note | None = None,
    ) -> None:
        """Set up, without connecting.

        :param timeout: seconds to wait for the next byte; connecting waits at most 10.
        :param ca_bundle: file of certificate authorities to trust instead of the usual ones.
        :param on_note: told in words when a request is about to be repeated.
        """
        self.url = url
        self._auth: AuthBase = _Bearer(token) if token else _NoAuth()
        self._timeout = timeout
        self._ca_bundle = ca_bundle
        self._note = on_note or (lambda _: None)
        self._local = threading.local()

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: FileBody | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        stream: bool = False,
        expect: Collection[int] = (),
        attempts: int = ATTEMPTS,
        patience: float = 0.0,
    ) -> requests.Response:
        """Send one request and return its answer.

        :param path: below the server's URL, or a URL of the same server (a link it gave).
        :param expect: statuses of 300 and above that are answers here and not failures.
        :param attempts: how often a repeatable request is sent at most; a body that is read once needs 1.
        :param patience: seconds to wait for an answer when longer than the time-out.
        :raises CountersignError: by the answer's code or status; `Trouble` when no answer came.
        """
        repeatable = method in _REPEATABLE or "Idempotency-Key" in (headers or {})
        content = {"json": json, "data": body, "headers": dict(headers or {}), "params": params, "stream": stream}
        return self.insist(
            lambda _: self._send(method, path, expect=expect, patience=patience, **content),
            attempts=attempts if repeatable else 1,
        )

    def insist(self, act: Callable[[int], T], *, attempts: int = ATTEMPTS) -> T:
        """What ``act`` returns; done again after a failure that may pass. It is told which attempt it is, from 1.

        :raises CountersignError: the failure of the last attempt, or one that does not pass.
        """
        attempt = 1
        while True:
            try:
                return act(attempt)
            except errors.CountersignError as error:
                if attempt >= attempts or not _may_pass(error):
                    raise
                self._wait(attempt, error)
            attempt += 1

    def _wait(self, attempt: int, error: errors.CountersignError) -> None:
        """Sleep as the server asked, or for longer after each failed ``attempt``; says so."""
        seconds = backoff(attempt) if error.retry_after is None else error.retry_after
        self._note(f"{error.message}; trying again in {seconds:.0f} s")
        pause(seconds)

    def _send(
        self, method: str, path: str, *, expect: Collection[int], patience: float, **content: Any
    ) -> requests.Response:
        try:
            response = self._session().request(
                method,
                self._absolute(path),
                timeout=(min(self._timeout, 10.0), max(self._timeout, patience)),
                allow_redirects=method in {"GET", "HEAD"},
                # Per request, because REQUESTS_CA_BUNDLE would win over the session's value.
                verify=self._ca_bundle,
                **content,
            )
        except requests.RequestException as error:
            raise as_trouble(error, self.url) from error
        if response.status_code < 300 or response.status_code in expect:
            return response
        with response:
            if response.is_redirect:
                raise errors.Unusable(
                    f"{self.url} redirects to {response.headers.get('Location', '?')}",
                    hint="Set that address as the server's URL.",
                )
            raise errors.from_problem(
                response.status_code,
                _problem(response),
                request_id=response.headers.get("X-Request-Id", ""),
                retry_after=retry_after(response.headers.get("Retry-After")),
            )

    def _absolute(self, path: str) -> str:
        if not path.startswith(("http://", "https://")):
            return self.url + path
        if urlsplit(path)[:2] != urlsplit(self.url)[:2]:
            raise errors.UnexpectedAnswer(
                f"the server's answer links to another server: {path}",
                hint="Ask the operator which public URL the portal is configured with.",
            )
        return urljoin(self.url, path)

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests.Session()
            session.auth = self._auth
            session.headers["User-Agent"] = f"countersign/{countersign.__version__}"
            session.mount("http://", _Adapter())
            session.mount("https://", _Adapter())
            self._local.session = session
        return session


def _may_pass(error: errors.CountersignError) -> bool:
    """Whether the same request may work later, within a wait one can sit through."""
    if error.retry_after is not None and error.retry_after > LONGEST_WAIT:
        return False
    if error.code == "in-flight":  # our first try with this key is still running over there
        return True
    return (
        isinstance(error, errors.Trouble) and error.temporary and (error.status is None or error.status in _TEMPORARY)
    )


def as_trouble(error: requests.RequestException, url: str) -> errors.CountersignError:
    """What a failed exchange means, in words; never with the request's headers."""
    if isinstance(error, requests.exceptions.SSLError):
        trouble = errors.Trouble(
            f"{url} cannot be trusted: {_reason(error)}",
            hint="If your company has an authority of its own, set COUNTERSIGN_CA_BUNDLE to its certificate file.",
            code="tls",
        )
        trouble.temporary = False
        return trouble
    if isinstance(error, requests.exceptions.Timeout):
        return errors.Trouble(
            f"{url} did not answer in time", hint="Try again, or raise COUNTERSIGN_TIMEOUT.", code="time-out"
        )
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidHeader):
        return errors.Unusable(f"{url} cannot be called: {_reason(error)}", hint="Check the URL and the token's text.")
    return errors.Trouble(
        f"the connection to {url} failed: {_reason(error)}",
        hint="Check the URL and your network; `countersign doctor` looks at both.",
        code="no-connection",
    )


def retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header, given in seconds or as a date."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())


def _problem(response: requests.Response) -> Mapping[str, Any]:
    if "json" not in response.headers.get("Content-Type", ""):
        return {}
    try:
        content = response.json()
    except (ValueError, requests.RequestException):
        return {}
    return content if isinstance(content, dict) else {}


def _reason(error: BaseException) -> str:
    """The innermost cause: "Connection refused" instead of three layers of pool and retry objects."""
    cause: BaseException = error
    while True:
        inner = getattr(cause, "reason", None)
        following = inner if isinstance(inner, BaseException) else cause.__cause__ or cause.__context__
        if following is None or following is cause:
            break
        cause = following
    text = getattr(cause, "strerror", None) or str(cause)
    return text.strip() or type(cause).__name__
