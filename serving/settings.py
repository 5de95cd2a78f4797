"""Settings of a server, read once from the environment. Everything else is sealed into the manifest."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from formats import digest
from serving.errors import Refusal
from serving.logs import LEVELS

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """Bytes and seconds, each at least 1."""

    key_fingerprint: str | None = None  # of the key that must have signed the manifest
    log_level: str = "info"
    weights_file: Path | None = None  # other weights than the manifest's, within their bounds
    max_body: int = 64 * MIB  # of one request, REST and gRPC, after decompression
    max_rows: int = 1_000_000  # of one request
    max_concurrency: int = 512  # inference requests under way at once; more are told to come back
    drain_seconds: int = 20  # for requests under way after SIGTERM
    read_seconds: int = 30  # for a request to arrive; a body gets more by its size
    predict_seconds: int = 60  # for one batch; a model that takes longer is restarted


def from_environment(environment: Mapping[str, str]) -> Settings:
    """:raises Refusal: naming every fault at once."""
    faults = []
    defaults = Settings()
    numbers: dict[str, int] = {}
    for name in ("max_body", "max_rows", "max_concurrency", "drain_seconds", "read_seconds", "predict_seconds"):
        text = environment.get(_variable(name)) or str(getattr(defaults, name))
        if text.isascii() and text.isdigit() and int(text) >= 1:
            numbers[name] = int(text)
        else:
            faults.append(f"{_variable(name)} is {text!r}, expected a whole number from 1")
    level = environment.get(_variable("log_level"), "").lower() or defaults.log_level
    if level not in LEVELS:
        faults.append(f"{_variable('log_level')} is {level!r}, expected one of {', '.join(LEVELS)}")
    fingerprint = environment.get(_variable("key_fingerprint")) or None
    if fingerprint is not None:
        try:
            digest.parse(fingerprint)
        except ValueError as error:
            faults.append(f"{_variable('key_fingerprint')}: {error}")
    if faults:
        raise Refusal("; ".join(faults))
    weights = environment.get(_variable("weights_file"))
    weights_file = Path(weights) if weights else None
    return Settings(key_fingerprint=fingerprint, log_level=level, weights_file=weights_file, **numbers)


def _variable(name: str) -> str:
    return f"COUNTERSIGN_{name.upper()}"
