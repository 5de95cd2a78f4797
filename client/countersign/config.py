"""Settings and where each came from: flag, environment, project file, user file, default, in that order.

The user file is `$XDG_CONFIG_HOME/countersign/config.toml` (mode 0600): profiles with a URL and a token each. The project
file is `countersign.toml` in the working folder or above it; it never holds a token. A stored token is only ever sent to
the URL it was stored with, whatever a project file says.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from countersign import files
from countersign.errors import Unusable

PROJECT_FILE = "countersign.toml"
PROFILE = re.compile(r"[A-Za-z0-9_-]{1,64}")
OUTPUTS = ("table", "json", "jsonl", "csv", "name")
DEFAULTS: dict[str, str | None] = {"url": None, "profile": "default", "output": "table", "timeout": "30", "name": None}
USER_KEYS = ("url", "profile", "output", "timeout", "cache_dir")
PROJECT_KEYS = ("name", "url", "output")


@dataclass(frozen=True, slots=True)
class Setting:
    """One resolved value and the place that decided it. ``value`` is None when nothing did."""

    value: str | None
    origin: str


@dataclass(frozen=True)
class Settings:
    """What this run goes by. ``token`` is kept out of ``values`` so that no listing shows it."""

    values: Mapping[str, Setting]
    user_file: Path
    project_file: Path | None
    token: str | None = field(repr=False)
    token_origin: str

    def get(self, key: str) -> str | None:
        return self.values[key].value

    @property
    def url(self) -> str:
        """:raises Unusable: no server is set."""
        if url := self.get("url"):
            return check_url(url)
        raise Unusable(
            "no Countersign server is set",
            hint="Run `countersign login --url https://...`, or set COUNTERSIGN_URL.",
        )

    @property
    def profile(self) -> str:
        return self.get("profile") or "default"

    @property
    def timeout(self) -> float:
        """Seconds to wait for a connection or for the next byte."""
        text = self.get("timeout") or "30"
        try:
            seconds = float(text)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds <= 3600:
            raise Unusable(f"a timeout of {text!r}", hint="COUNTERSIGN_TIMEOUT is a number of seconds from 1 to 3600.")
        return seconds

    @property
    def cache_dir(self) -> Path:
        return Path(self.get("cache_dir") or "")


def load(
    flags: Mapping[str, str | None] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Settings:
    """Resolve every setting.

    :param flags: what the command line or the caller said, by key; None values do not count.
    :param folder: where to look for the project file, upwards; the working folder by default.
    :raises Unusable: a file cannot be read, or a value is not one of those allowed.
    """
    environ = os.environ if environ is None else environ
    user_path = user_file(environ)
    user = read_toml(user_path)
    project_path = find_project_file(folder or Path.cwd())
    project = read_toml(project_path) if project_path else {}
    if "token" in project:
        raise Unusable(
            f"{project_path} holds a token",
            hint="A project file is shared: revoke that token, remove the line, and use `countersign login`.",
        )
    layers: list[tuple[Mapping[str, Any], str]] = [
        ({key: value for key, value in (flags or {}).items() if value}, "option --{key}"),
        (_from_environment(environ), "environment COUNTERSIGN_{KEY}"),
        ({key: project[key] for key in PROJECT_KEYS if key in project}, str(project_path)),
        ({key: user[key] for key in USER_KEYS if key in user and key != "url"}, str(user_path)),
    ]
    defaults = {**DEFAULTS, "cache_dir": str(_base(environ, "XDG_CACHE_HOME", ".cache") / "countersign")}
    values = {key: _first(key, layers, default) for key, default in defaults.items()}
    profiles = user.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(entry, dict) for entry in profiles.values()):
        raise Unusable(f"{user_path}: `profiles` is not a table of tables", hint="Mend it, or sign in again.")
    profile = values["profile"].value or "default"
    stored = profiles.get(profile, {})
    if values["url"].value is None and "url" in stored:
        values["url"] = Setting(str(stored["url"]), f"{user_path} profile {profile}")
    if (output := values["output"].value) not in OUTPUTS:
        raise Unusable(f"an output of {output!r} ({values['output'].origin})", hint=f"Use one of {', '.join(OUTPUTS)}.")
    token, origin = _token(environ, profiles, profile, values["url"].value, user_path)
    return Settings(values, user_path, project_path, token, origin)


def user_file(environ: Mapping[str, str]) -> Path:
    if path := environ.get("COUNTERSIGN_CONFIG"):
        return Path(path).expanduser()
    return _base(environ, "XDG_CONFIG_HOME", ".config") / "countersign" / "config.toml"


def find_project_file(folder: Path) -> Path | None:
    """The nearest `countersign.toml` at or above ``folder``, not above the root of its git checkout."""
    for place in (folder.absolute(), *folder.absolute().parents):
        if (place / PROJECT_FILE).is_file():
            return place / PROJECT_FILE
        if (place / ".git").exists():
            return None
    return None


def read_toml(path: Path) -> dict[str, Any]:
    """The file's content, empty when there is none."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Unusable(f"{path} cannot be read: {error}", hint="Mend or remove the file.") from None


def store_profile(path: Path, profile: str, url: str, token: str | None) -> None:
    """Write ``url`` and ``token`` as ``profile`` of the user file and make it the current one; no token removes it."""
    if PROFILE.fullmatch(profile) is None:
        raise Unusable(f"{profile!r} is not a profile name", hint="Use letters, digits, - and _, at most 64.")
    content = read_toml(path)
    entry = content.setdefault("profiles", {}).setdefault(profile, {})
    entry["url"] = url
    entry.pop("token", None)
    if token:
        entry["token"] = token
        content["profile"] = profile
    write_toml(path, content, private=True)


def store_url(path: Path, profile: str, url: str) -> None:
    """Set the URL of ``profile``. A token stored for another URL is forgotten: it must not be sent to the new one."""
    stored = read_toml(path).get("profiles", {}).get(profile, {})
    same = str(stored.get("url", "")).rstrip("/") == url
    store_profile(path, profile, url, stored.get("token") if same else None)


def write_toml(path: Path, content: Mapping[str, Any], *, private: bool) -> None:
    """Replace ``path`` whole: a reader sees the old file or the new one. ``private`` makes it 0600 in a 0700 folder."""
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, mode=0o700 if private else 0o777)
    files.write_whole(path, dump_toml(content).encode(), mode=0o600 if private else 0o644)


def dump_toml(content: Mapping[str, Any], prefix: str = "") -> str:
    """TOML of nested tables with text, number and boolean values: all that these files hold."""
    lines = [f"{_key(key)} = {_value(value)}" for key, value in content.items() if not isinstance(value, Mapping)]
    text = "".join(line + "\n" for line in lines)
    for key, value in content.items():
        if isinstance(value, Mapping):
            inner = dump_toml(value, f"{prefix}{_key(key)}.")
            own = any(not isinstance(item, Mapping) for item in value.values()) or not value
            text += (f"\n[{prefix}{_key(key)}]\n" if own else "") + inner
    return text


def check_url(url: str) -> str:
    """``url`` without a trailing slash.

    :raises Unusable: not http or https, no host, or it carries a password, a query or a fragment.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        raise Unusable(f"{url!r} is not a server's URL", hint="Write it as https://countersign.example.org.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise Unusable(
            "the server's URL holds a user, a query or a fragment", hint="Write scheme, host, port and path only."
        )
    return url.rstrip("/")


def is_readable_on_the_way(url: str) -> bool:
    """Whether a token sent to ``url`` could be read by others: plain HTTP that leaves this machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in {"localhost", "127.0.0.1", "::1"}


def _first(key: str, layers: list[tuple[Mapping[str, Any], str]], default: str | None) -> Setting:
    for values, origin in layers:
        if key in values:
            return Setting(str(values[key]), origin.format(key=key.replace("_", "-"), KEY=key.upper()))
    return Setting(default, "default" if default is not None else "not set")


def _from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key in USER_KEYS if (value := environ.get(f"COUNTERSIGN_{key.upper()}"))}


def _token(
    environ: Mapping[str, str], profiles: Mapping[str, Any], profile: str, url: str | None, path: Path
) -> tuple[str | None, str]:
    if token := environ.get("COUNTERSIGN_TOKEN", "").strip():
        return token, "environment COUNTERSIGN_TOKEN"
    if name := environ.get("COUNTERSIGN_TOKEN_FILE"):
        try:
            return Path(name).expanduser().read_text(encoding="utf-8").strip() or None, f"file {name}"
        except (OSError, UnicodeDecodeError) as error:
            raise Unusable(f"COUNTERSIGN_TOKEN_FILE cannot be read: {error}", hint="Name a readable file.") from None
    for name in (profile, *profiles):
        entry = profiles.get(name, {})
        if url and entry.get("token") and str(entry.get("url", "")).rstrip("/") == url.rstrip("/"):
            return str(entry["token"]), f"{path} profile {name}"
    return None, "not set"


def _base(environ: Mapping[str, str], variable: str, fallback: str) -> Path:
    return Path(environ[variable]) if environ.get(variable) else Path.home() / fallback


def _key(key: str) -> str:
    return key if PROFILE.fullmatch(key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    escaped = "".join(
        f"\\u{ord(character):04x}" if ord(character) < 32 or ord(character) == 127 else character
        for character in str(value).replace("\\", "\\\\").replace('"', '\\"')
    )
    return f'"{escaped}"'
