"""Settings of a server, read once from the environment. Everything else is sealed into the manifest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from formats import digest
from serving.errors import Refusal
from serving.logs import LEVELS

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """Numbers are bytes and seconds, each at least 1."""

    key_fingerprint: str | None = None  # of the key that must have signed the manifest
    key_fingerprint_file: Path | None = None  # a file that holds it instead
    revocations_file: Path | None = None  # the signed list of what must not run any more
    revocations_key: str | None = None  # fingerprint of the key that signs it, where it is not the manifest's
    image_digest: str | None = None  # of this image, which it cannot know by itself, for entries about images
    log_level: str = "info"
    weights_file: Path | None = None  # other weights than the manifest's, within their bounds
    prediction_log: Path | None = None  # where a share of the answers is logged; `-` is standard output
    prediction_share: float = 0.01  # of the answers
    prediction_inputs: bool = False  # log the rows, too
    prediction_key_file: Path | None = None  # a secret under which routing keys are hashed
    otlp_endpoint: str | None = None  # of a collector that takes traces
    trace_share: float = 0.01  # of the requests without a trace context, from which a trace starts
    tls_cert_file: Path | None = None  # certificate chain, PEM; with its key, both ports speak TLS
    tls_key_file: Path | None = None
    tokens_file: Path | None = None  # hashes of the bearer tokens that are taken
    max_body: int = 64 * MIB  # of one request, REST and gRPC, after decompression
    max_rows: int = 1_000_000  # of one request
    max_concurrency: int = 512  # inference requests under way at once; more are told to come back
    drain_seconds: int = 20  # for requests under way after SIGTERM
    read_seconds: int = 30  # for a request to arrive; a body gets more by its size
    predict_seconds: int = 60  # for one batch; a model that takes longer is restarted


NUMBERS = ("max_body", "max_rows", "max_concurrency", "drain_seconds", "read_seconds", "predict_seconds")
DIGESTS = ("key_fingerprint", "revocations_key", "image_digest")
FILES = (
    "key_fingerprint_file",
    "revocations_file",
    "weights_file",
    "prediction_log",
    "prediction_key_file",
    "tls_cert_file",
    "tls_key_file",
    "tokens_file",
)


def from_environment(environment: Mapping[str, str]) -> Settings:
    """:raises Refusal: naming every fault at once."""
    given = {name: text for name in _NAMES if (text := environment.get(_variable(name)))}
    read: dict[str, Any] = {}
    faults: list[str] = []
    path = given.get("key_fingerprint_file")
    if path is not None:
        if "key_fingerprint" in given:
            faults.append(
                f"{_variable('key_fingerprint')} is set beside {_variable('key_fingerprint_file')}, expected one"
            )
        try:
            given["key_fingerprint"] = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            faults.append(f"{_variable('key_fingerprint_file')}: {error}")
    if ("tls_cert_file" in given) != ("tls_key_file" in given):
        faults.append(f"{_variable('tls_cert_file')} and {_variable('tls_key_file')} go together, one is set")
    for name, text in given.items():
        try:
            read[name] = _READERS.get(name, str)(text)
        except ValueError as error:
            faults.append(f"{_variable(name)} {error}")
    if faults:
        raise Refusal("; ".join(faults))
    return Settings(**read)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise ValueError(f"is {text!r}, expected a whole number from 1")
    return int(text)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1
    if not 0 < share <= 1:
        raise ValueError(f"is {text!r}, expected a share above 0, at most 1")
    return share


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"is {text!r}, expected true or false")
    return text.lower() == "true"


def _level(text: str) -> str:
    if text.lower() not in LEVELS:
        raise ValueError(f"is {text.lower()!r}, expected one of {', '.join(LEVELS)}")
    return text.lower()


def _digest(text: str) -> str:
    try:
        digest.parse(text)
    except ValueError as error:
        raise ValueError(f"is no digest: {error}") from None
    return text


_NAMES = tuple(item.name for item in fields(Settings))
_READERS: dict[str, Callable[[str], Any]] = {
    "log_level": _level,
    "prediction_share": _share,
    "trace_share": _share,
    "prediction_inputs": _switch,
    **dict.fromkeys(NUMBERS, _number),
    **dict.fromkeys(DIGESTS, _digest),
    **dict.fromkeys(FILES, Path),
}


def _variable(name: str) -> str:
    return f"COUNTERSIGN_{name.upper()}"
