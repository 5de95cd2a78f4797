"""Fetching a version: every byte checked against its digest, the folder there whole or not at all."""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import requests

from countersign import transport
from countersign.api import Api
from countersign.cache import Cache
from countersign.errors import NotApproved, Unusable, VerificationError
from countersign.formats import artifacts
from countersign.formats import digest as digests
from countersign.models import File, Version
from countersign.progress import CACHED, RECEIVED, RECEIVING, OnProgress, Progress
from countersign.refs import Ref

RECORD = "countersign.json"
CARD = "card.md"


@dataclass(frozen=True, slots=True)
class Download:
    """Where a version lies now; ``was_there`` when the folder held exactly these files already."""

    version: Version
    folder: Path
    was_there: bool


def check_identity(version: Version, ref: Ref) -> None:
    """The files' digests make up the version's artifact digest, and that is the one asked for.

    :raises VerificationError: the server's answer contradicts itself or the reference.
    """
    try:
        listed = artifacts.build(artifacts.File(file.path, file.digest, file.size) for file in version.files)
    except ValueError as error:
        raise VerificationError(f"the file list of {version.ref} is not valid: {error}") from None
    actual = artifacts.digest(listed)
    if actual != version.artifact_digest:
        raise VerificationError(
            f"the files of {version.ref} have the artifact digest {actual}, the server says {version.artifact_digest}",
            hint="Do not use it. Tell the operator of the registry.",
        )
    if ref.selector.startswith("sha256:") and ref.selector not in {version.artifact_digest, version.release_digest}:
        raise VerificationError(
            f"{ref} was asked for, and the server sent {version.ref} with {version.artifact_digest}",
            hint="Do not use it. Tell the operator of the registry.",
        )


def download(
    api: Api, version: Version, ref: Ref, folder: Path, *, cache: Cache, allow_unapproved: bool, on_progress: OnProgress
) -> Download:
    """Put the version's files, its card and its record into ``folder``.

    :raises NotApproved: the version is not approved, and ``allow_unapproved`` is false.
    :raises VerificationError: bytes or lists are not what their digests say; nothing is left behind.
    :raises Unusable: ``folder`` exists and holds something else.
    """
    if not (version.is_approved or allow_unapproved):
        raise NotApproved(
            f"{version.ref} is {version.stage.replace('_', ' ') or 'not approved'}: {version.status or 'nobody has approved it'}",
            hint="Pull an approved version, or add --allow-unapproved to look at this one.",
        )
    check_identity(version, ref)
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        if _holds(folder, version):
            return Download(version, folder, was_there=True)
        raise Unusable(f"{folder} exists and holds something else", hint="Remove it, or name another folder with -d.")
    cache.prune()
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for file in version.files:
            _place(_fetch(api, version, file, cache, on_progress), file, scratch / file.path)
        taken = {file.path.casefold() for file in version.files}
        if CARD not in taken:
            (scratch / CARD).write_text(api.card(version), encoding="utf-8")
        if RECORD not in taken:
            record = json.dumps(version.to_dict(), indent=2, ensure_ascii=False, sort_keys=True)
            (scratch / RECORD).write_text(record + "\n", encoding="utf-8")
        scratch.chmod(0o755)
        scratch.rename(folder)  # replaces an empty folder, never one with files
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    return Download(version, folder, was_there=False)


def _holds(folder: Path, version: Version) -> bool:
    for file in version.files:
        place = folder / file.path
        if not place.is_file() or place.stat().st_size != file.size or digests.of_file(place)[0] != file.digest:
            return False
    return folder.is_dir()


def _place(source: Path, file: File, target: Path) -> None:
    """Copy out of the cache, hashing what is written, because only that is what the caller gets."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reader, target.open("xb") as writer:
        digest, _ = digests.copy_hashing(reader, writer)
    if digest != file.digest:
        raise VerificationError(
            f"{file.path} changed in the cache while it was copied: {digest} instead of {file.digest}",
            hint="Pull again.",
        )


def _fetch(api: Api, version: Version, file: File, cache: Cache, on_progress: OnProgress) -> Path:
    """The path of the verified file in the cache, downloaded when it is not there."""
    with cache.writing(file.digest) as partial:
        kept = cache.path(file.digest)
        if kept.is_file():
            if digests.of_file(kept)[0] == file.digest:
                cache.touch(file.digest)
                on_progress(Progress(file.path, CACHED, file.size, file.size))
                return kept
            cache.drop(file.digest)
        _receive(api, version, file, partial, on_progress)
        digest, size = digests.of_file(partial)
        if digest != file.digest:
            partial.unlink()
            raise VerificationError(
                f"{file.path} arrived as {digest} ({size} bytes), the version says {file.digest} ({file.size} bytes)",
                hint="Nothing was kept. Pull again; if it happens again, tell the operator of the registry.",
            )
        on_progress(Progress(file.path, RECEIVED, file.size, file.size))
        return cache.keep(file.digest, partial)


def _receive(api: Api, version: Version, file: File, partial: Path, on_progress: OnProgress) -> None:
    """Fill ``partial``, going on from what an earlier try left there."""

    def once(_attempt: int) -> None:
        offset = partial.stat().st_size if partial.is_file() else 0
        if offset > file.size:
            partial.unlink()
            offset = 0
        if offset < file.size or not partial.is_file():
            _append(api.open_file(version, file, offset=offset), file, partial, on_progress)

    api.transport.insist(once)


def _append(response: requests.Response, file: File, partial: Path, on_progress: OnProgress) -> None:
    """Write the answer to ``partial``: after what is there when the server went on, in its place when it began anew."""
    resumed = response.status_code == 206
    done = partial.stat().st_size if resumed and partial.is_file() else 0
    with response, partial.open("ab" if resumed else "wb") as sink:
        try:
            for chunk in response.iter_content(1 << 18):
                done += len(chunk)
                if done > file.size:
                    raise VerificationError(f"{file.path} is longer than the {file.size} bytes the version says")
                sink.write(chunk)
                on_progress(Progress(file.path, RECEIVING, done, file.size))
        except requests.RequestException as error:
            raise transport.as_trouble(error, str(response.url)) from error
