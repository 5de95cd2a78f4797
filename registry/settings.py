"""Every setting once: name, type, default, help. All faults are told in one message.

A setting ``public_url`` is read from ``COUNTERSIGN_PUBLIC_URL``; a secret may also come from a file named by
``COUNTERSIGN_SECRET_KEY_FILE``.
"""

import contextlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

PREFIX = "COUNTERSIGN_"
GIB = 1 << 30

Environment = Literal["development", "production"]
Isolation = Literal["auto", "container", "process"]
LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Blocking = Literal["low", "medium", "high", "critical"]


class SettingsError(Exception):
    """One or more settings are missing or wrong; the message names every fault."""


def _setting(default: Any, text: str, *, secret: bool = False) -> Any:
    return field(default=default, metadata={"help": text, "secret": secret})


@dataclass(frozen=True)
class Settings:
    """What an installation can configure. Sizes are bytes, durations seconds unless the name says otherwise."""

    env: Environment = _setting(
        "development", "`production` refuses to start without a secret key and a public https address."
    )
    secret_key: str = _setting(
        "", "At least 32 characters; signs cookies and seals stored second factors.", secret=True
    )
    data_dir: Path = _setting(Path("var"), "Folder for everything below that is not set by itself.")
    database_url: str = _setting(
        "", "SQLAlchemy URL; `postgresql://...` or `sqlite:///...`. Default: SQLite in data_dir.", secret=True
    )
    public_url: str = _setting("http://127.0.0.1:5000", "Address people use; goes into links and snippets.")
    trusted_proxies: int = _setting(0, "How many reverse proxies set X-Forwarded-*; 0 trusts none.")
    max_upload_bytes: int = _setting(20 * GIB, "Largest single file that may be pushed.")
    session_hours: int = _setting(12, "A sign-in lasts this long at most.")
    session_idle_minutes: int = _setting(60, "A sign-in ends after this long without a request.")
    isolation: Isolation = _setting(
        "auto", "`container`, `process`, or `auto`: containers when an engine and a base are there."
    )
    keep_image_days: int = _setting(
        90, "Layers of an image that is no bundle's current one are freed after this long; a rebuild brings them back."
    )
    base_image: str = _setting(
        "", "OCI archive or image reference to bake on. Default: base/base.oci.tar in data_dir when it exists."
    )
    registry_url: str = _setting(
        "",
        "OCI registry that images are pushed to, `https://registry.example.com/models`; a path prefixes every repository.",
    )
    registry_user: str = _setting("", "Account that pushes.")
    registry_password: str = _setting("", "Its password or token.", secret=True)
    registry_ca_bundle: str = _setting("", "PEM file of certificate authorities to trust for the registry.")
    advisory_stale_days: int = _setting(
        14,
        "Advisories whose newest record is older than this many days call nothing clean. Counts from the next import.",
    )
    advisory_block: Blocking = _setting(
        "high",
        "An advisory of this severity or a higher one blocks an approval: low, medium, high or critical. "
        "Counts from the next import.",
    )
    index_url: str = _setting("", "Package index for wheels. Default: the resolver's own configuration.")
    ca_bundle: str = _setting("", "PEM file of certificate authorities to trust when downloading.")
    pkcs11_module: str = _setting(
        "",
        "PKCS#11 library of a device that holds the keys, e.g. /usr/lib/softhsm/libsofthsm2.so. Default: files in data_dir.",
    )
    pkcs11_token: str = _setting("", "Label of the token in that device.")
    pkcs11_pin: str = _setting("", "Its user PIN.", secret=True)
    job_lease_seconds: int = _setting(60, "A worker that is silent for this long loses its job to another.")
    worker_poll_seconds: float = _setting(0.5, "How often an idle worker looks for a job.")
    log_level: LogLevel = _setting("INFO", "DEBUG, INFO, WARNING or ERROR.")

    @property
    def store_dir(self) -> Path:
        """The content-addressed store."""
        return self.data_dir / "store"

    @property
    def layers_dir(self) -> Path:
        """Image layers by diff id, and the index of what they were made from. Can be rebuilt."""
        return self.data_dir / "layers"

    @property
    def keys_dir(self) -> Path:
        """Private keys of the workers: audit checkpoints and release statements."""
        return self.data_dir / "keys"

    @property
    def url(self) -> str:
        """The database URL in force."""
        return self.database_url or f"sqlite:///{(self.data_dir / 'countersign.db').absolute()}"

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> "Settings":
        """Read the environment.

        :raises SettingsError: naming every fault at once, each with what is allowed.
        """
        environ = os.environ if environ is None else environ
        faults: list[str] = []
        values: dict[str, Any] = {}
        for spec in fields(cls):
            name = PREFIX + spec.name.upper()
            text = environ.get(name)
            if not text and spec.metadata["secret"] and (path := environ.get(name + "_FILE")):
                try:
                    text = Path(path).read_text().strip()
                except OSError as error:
                    faults.append(f"{name}_FILE={path}: {error.strerror}")
            if not text:
                continue
            try:
                values[spec.name] = _convert(spec.type, text)
            except ValueError as error:
                faults.append(f"{name}={'***' if spec.metadata['secret'] else text}: {error}")
        settings = cls(**values)
        faults += settings._faults()
        if faults:
            raise SettingsError("cannot start, mend these settings:\n" + "\n".join(f"  - {fault}" for fault in faults))
        return settings._with_development_key() if not settings.secret_key else settings

    def __post_init__(self) -> None:
        object.__setattr__(self, "public_url", self.public_url.rstrip("/"))  # paths are put behind it

    def _faults(self) -> list[str]:
        faults = []
        if self.secret_key and len(self.secret_key) < 32:
            faults.append(f"COUNTERSIGN_SECRET_KEY has {len(self.secret_key)} characters; at least 32 are needed")
        if self.env == "production":
            if not self.secret_key:
                faults.append(
                    "COUNTERSIGN_SECRET_KEY is not set; make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"
                )
            if not self.public_url.startswith("https://"):
                faults.append(f"COUNTERSIGN_PUBLIC_URL={self.public_url}: production needs an https:// address")
        faults += [
            f"{PREFIX}{name.upper()}={bundle}: no such file"
            for name in ("ca_bundle", "registry_ca_bundle")
            if (bundle := getattr(self, name)) and not Path(bundle).is_file()
        ]
        if self.registry_url and not self.registry_url.startswith(("https://", "http://")):
            faults.append(f"COUNTERSIGN_REGISTRY_URL={self.registry_url}: must begin with https:// or http://")
        if self.pkcs11_module and not (self.pkcs11_token and self.pkcs11_pin):
            faults.append(
                "COUNTERSIGN_PKCS11_MODULE is set: set COUNTERSIGN_PKCS11_TOKEN and COUNTERSIGN_PKCS11_PIN too"
            )
        if bool(self.registry_user) != bool(self.registry_password):
            faults.append("COUNTERSIGN_REGISTRY_USER and COUNTERSIGN_REGISTRY_PASSWORD: set both, or none")
        for spec in fields(self):
            value = getattr(self, spec.name)
            if spec.type in (int, float) and not (value > 0 or (spec.name == "trusted_proxies" and value == 0)):
                faults.append(f"{PREFIX}{spec.name.upper()}={value}: must be greater than 0")
        if self.database_url and _backend(self.database_url) not in ("sqlite", "postgresql"):
            faults.append("COUNTERSIGN_DATABASE_URL: must begin with sqlite:/// or postgresql://")
        return faults

    def _with_development_key(self) -> "Settings":
        """Development keeps a random key in data_dir, so that restarts keep sessions; never a built-in one.

        Portal and worker start together: the file is linked into place whole, so that neither reads it empty.
        """
        path = self.data_dir / "keys" / "development-secret"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
            with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(48))
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(fresh)
            fresh.unlink()
        return Settings(**{**{f.name: getattr(self, f.name) for f in fields(self)}, "secret_key": path.read_text()})


def _convert(kind: Any, text: str) -> Any:
    if kind in (int, float):
        return kind(text)
    if kind is Path:
        return Path(text)
    if allowed := get_args(kind):
        found = {item.lower(): item for item in allowed}.get(text.lower())
        if found is None:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return found
    return text


def _backend(url: str) -> str | None:
    from sqlalchemy import exc, make_url  # noqa: PLC0415 - half a second, which `make run` without a URL does not wait

    try:
        return make_url(url).get_backend_name()
    except exc.ArgumentError:
        return None
