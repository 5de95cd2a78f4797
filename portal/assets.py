"""Static files, compressed once at start and addressed by the digest of all of them.

``/static/<version>/<path>``: the version stands in the path, so that modules import each other by relative path and
every address may be cached for ever. Bootstrap's style sheet is the one inside the Bootstrap-Flask wheel.
"""

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

FOLDER = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Asset:
    """One file as it is sent."""

    raw: bytes
    packed: bytes
    media_type: str
    etag: str


class Assets:
    """All static files, in memory."""

    def __init__(self) -> None:
        """Read and compress: about 300 KB raw, 50 ms."""
        bootstrap = resources.files("flask_bootstrap") / "static" / "bootstrap5" / "css" / "bootstrap.min.css"
        # Its map is not served; asking for it would only fill the log with 404s.
        contents = {"bootstrap.css": bootstrap.read_bytes().partition(b"/*# sourceMappingURL")[0]}
        for path in sorted(FOLDER.rglob("*")):
            if path.is_file():
                contents[path.relative_to(FOLDER).as_posix()] = path.read_bytes()
        self._files = {name: _asset(name, raw) for name, raw in contents.items()}
        every = "".join(f"{name} {asset.etag}\n" for name, asset in self._files.items())
        self.version = hashlib.sha256(every.encode()).hexdigest()[:12]

    def get(self, name: str) -> Asset | None:
        """The file of this name."""
        return self._files.get(name)

    def url(self, name: str) -> str:
        """Its address; a name that is not there is a bug found at once.

        :raises KeyError: no such file.
        """
        self._files[name]
        return f"/static/{self.version}/{name}"


def _asset(name: str, raw: bytes) -> Asset:
    suffix = Path(name).suffix
    media_type = TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    packed = gzip.compress(raw, 9, mtime=0)
    return Asset(raw, packed if len(packed) < len(raw) else raw, media_type, hashlib.sha256(raw).hexdigest()[:32])
