"""Which platform a job works on: the one in force, whatever base and checkout the worker came with.

A worker whose own base, runtime or code is another goes on with what two people approved, from the store, and can offer its own.
"""

from collections.abc import Mapping
from dataclasses import replace

from builders import base as bases
from builders.jobs import Job, JobFailed, TryLater
from builders.platform import Pinned, Platform
from formats import canonical, platforms
from formats import digest as digests
from formats.artifacts import File
from formats.lock import Lock
from registry import platforms as registered
from registry.db import Database
from registry.errors import NotFound

MAX_DOCUMENT = 16 << 20


def in_force(job: Job, platform: Platform) -> Platform:
    """The worker's platform with the base, runtime and code in force; as it is when there are none yet."""
    line = platforms.line(platform.base.target, host=platform.base.is_host)
    with job.database.read() as session:
        row = registered.in_force(session, line)
        wanted = platforms.Platform.from_dict(row.body) if row else None
    return platform if wanted is None else pin(platform, wanted)


def pin(platform: Platform, wanted: platforms.Platform) -> Platform:
    """The worker's platform with exactly the base, runtime and code of ``wanted``.

    :raises TryLater: this worker has not that base; another one may.
    :raises JobFailed: the store has lost the runtime's lock or a module.
    """
    base = platform.base
    if base.digest != wanted.base:
        found = bases.remembered(platform.layers).get(wanted.base) if platform.engine else None
        if found is None:
            raise TryLater(
                "other-platform",
                f"the platform in force stands on {wanted.base}, this worker has {base.digest}",
                hint="Run a worker with that base (COUNTERSIGN_BASE_IMAGE), or propose this worker's as a platform change.",
            )
        base = found
    store = platform.store
    try:
        runtime = Lock.from_dict(canonical.loads(store.read(wanted.runtime, limit=MAX_DOCUMENT)))
        sources = {file.path: store.read(file.sha256, limit=MAX_DOCUMENT) for file in wanted.app}
    except NotFound as error:
        raise JobFailed(
            "input-missing",
            f"a part of the platform in force is no longer stored: {error}",
            hint="Restore the store from its backup, then retry.",
        ) from error
    return replace(platform, base=base, pinned=Pinned(runtime, sources))


def describe(platform: Platform) -> platforms.Platform:
    """What images baked on ``platform`` stand on.

    :raises NotReady: its serving runtime was never resolved.
    """
    files = [File(path, digests.of_bytes(data), len(data)) for path, data in platform.app_sources().items()]
    return platforms.Platform(
        platform.base.digest, platform.base.target, platform.runtime_lock().digest, platforms.sources(files)
    )


def wheels_of(platform: Platform) -> Mapping[str, str]:
    """Name and version of the wheels of its serving runtime."""
    return {wheel.name: wheel.version for wheel in platform.runtime_lock().wheels}


def offer(database: Database, platform: Platform, worker: str) -> str:
    """Put the worker's own base, runtime and code into the store and offer them for a platform change; their digest.

    Fetches the runtime's wheels where they are missing; the wave then needs no network.
    """
    runtime = platform.prepare_runtime(lambda _text: None)
    platform.keep([canonical.dumps(runtime.to_dict()), *platform.app_sources().values()])
    found = describe(platform)
    with database.write() as session:
        registered.offer(session, found, wheels=wheels_of(platform), worker=worker)
    return found.digest
