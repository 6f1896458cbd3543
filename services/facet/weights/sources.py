"""Makes a local directory of a location: finds it, or downloads it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from facet.weights import record
from facet.weights.cached import Cache, default_cache, missing_from
from facet.weights.errors import LocationError, NotCachedError
from facet.weights.location import BucketPrefix, Directory, HubModel, Packaged, parse
from facet.weights.progress import Progress
from facet.weights.transfer import Listing, Patience, RemoteFile, Transfer, locked, persistently

_LOCK = ".facet-download.lock"


@dataclass(frozen=True)
class Fetching:
    """How weights are fetched: where to, whether at all, shown how, ended by what."""

    progress: Progress
    cache: Cache = field(default_factory=default_cache)
    is_offline: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    patience: Patience = field(default_factory=Patience)


def resolve(text: str, fetching: Fetching) -> Path:
    """The directory of a whole checkpoint; blocks while it downloads. Errors: WeightsError.

    The network is asked only where the files are not here.
    """
    location = parse(text)
    if isinstance(location, Packaged):
        return _whole(Path(__file__).parent.parent / location.folder, text)
    if isinstance(location, Directory):
        return _whole(location.path, text)
    if (found := fetching.cache.find(location)) is not None:
        return found
    if fetching.is_offline:
        raise NotCachedError(
            f"{location}: not under {_home(location, fetching.cache)}, and OFFLINE forbids to "
            f"fetch it; start once where there is a network, or fill a "
            "directory by `facet weights pull --to DIR` and name it"
        )
    with _locked(_home(location, fetching.cache), fetching):
        # Another process may have brought it meanwhile.
        if (found := fetching.cache.find(location)) is not None:
            return found
        return _whole(_download(location, fetching), text)


def resolve_streamed(text: str, fetching: Fetching) -> Path:
    """A directory with all of a bucket's checkpoint but its safetensors; blocks while it downloads.

    A record in it names those with their digests, as they stand now. Errors: WeightsError.
    """
    location = parse(text)
    if not isinstance(location, BucketPrefix):
        raise LocationError(f"{text}: weights are streamed from gs://bucket/prefix alone")
    home = _home(location, fetching.cache)
    with _locked(home, fetching):
        found = _listing(location, fetching)
        weights = [file for file in found.files if file.name.endswith(".safetensors")]
        if not weights:
            raise LocationError(f"{text}: lacks *.safetensors")
        directory = home / f"{found.version}-streamed"
        _fetch(
            found,
            [file for file in found.files if file not in weights],
            location,
            lambda file: directory / file.name,
            fetching,
        )
        files = tuple((file.name, file.size, file.digest) for file in weights)
        record.Record(str(location), found.version, files).write(directory)
    return directory


async def resolve_all(
    texts: Sequence[str], fetching: Fetching, *, streamed: Collection[str] = ()
) -> list[Path]:
    """`resolve` for each, in a thread, `resolve_streamed` for those that are `streamed`.

    Cancelling it ends a download at its next chunk.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Path]] = loop.create_future()

    def settle(found: list[Path], error: Exception | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(found)
        else:
            answer.set_exception(error)

    def fetch() -> None:
        found: list[Path] = []
        failure: Exception | None = None
        try:
            for text in texts:
                find = resolve_streamed if text in streamed else resolve
                found.append(find(text, fetching))
        except Exception as error:  # noqa: BLE001 - handed to the waiting task, whatever it is
            failure = error
        if not fetching.stop.is_set():
            loop.call_soon_threadsafe(settle, found, failure)

    # A daemon: a read that hangs must not hold the end of the process.
    threading.Thread(target=fetch, name="weights", daemon=True).start()
    try:
        return await answer
    finally:
        fetching.stop.set()


def copy_to(text: str, directory: Path, fetching: Fetching) -> Path:
    """Fill `directory` with the plain files of a Hub model or bucket. Errors: WeightsError.

    A second call goes on; it compares what is there with the recorded digests and fetches again
    what differs. A folder of another model or revision is refused.
    """
    location = parse(text)
    if isinstance(location, Packaged | Directory):
        raise LocationError(f"{text}: these files are local; copy the folder itself")
    with _locked(directory, fetching):
        known = record.read(directory)
        if known is None:
            _check_unused(directory)
        else:
            known.check(location, directory)
            if not (wrong := list(known.wrong(directory))):
                return directory
            for name in filter(lambda each: (directory / each).exists(), wrong):
                fetching.progress.note(f"{directory / name} is not what was recorded; once more")
                (directory / name).unlink()
        found = _listing(location, fetching)
        if known is not None and known.version != found.version:
            raise known.refusal(directory, f"{location} is at {found.version} by now")
        files = tuple((file.name, file.size, file.digest) for file in found.files)
        record.Record(str(location), found.version, files).write(directory)
        _fetch(found, found.files, location, lambda file: directory / file.name, fetching)
    return _whole(directory, text)


@contextmanager
def _locked(directory: Path, fetching: Fetching) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(directory / _LOCK, fetching.progress, fetching.stop))
        except OSError as error:
            raise LocationError(
                f"{directory} cannot be filled: {error.strerror} ({error.filename}); name another "
                "folder, with FACET_WORKER_WEIGHTS_CACHE for the cache"
            ) from error
        yield


def _check_unused(directory: Path) -> None:
    """Errors: LocationError, where files lie there of which nobody knows what they are."""
    others = sorted(path.name for path in directory.iterdir() if path.name != _LOCK)
    if others:
        raise LocationError(
            f"{directory} holds {others[0]} and no record of what it was filled with; name an "
            "empty folder, or use this one as it is with FACET_WORKER_WEIGHTS"
        )


def _download(location: HubModel | BucketPrefix, fetching: Fetching) -> Path:
    found = _listing(location, fetching)
    home = _home(location, fetching.cache)
    if isinstance(location, HubModel):
        _fetch(found, found.files, location, lambda file: home / "blobs" / file.key, fetching)
        return _link_snapshot(home, location.revision, found)
    directory = home / found.version
    _fetch(found, found.files, location, lambda file: directory / file.name, fetching)
    staged = directory.with_suffix(".link")
    staged.unlink(missing_ok=True)
    staged.symlink_to(directory.name)
    os.replace(staged, fetching.cache.current_of(location))
    return directory


def _link_snapshot(home: Path, revision: str, found: Listing) -> Path:
    """Show a model's downloaded blobs under their names; `config.json` comes last."""
    snapshot = home / "snapshots" / found.version
    snapshot.mkdir(parents=True, exist_ok=True)
    for file in found.files:
        link = snapshot / file.name
        staged = link.with_name(f".{file.name}.staged")
        staged.unlink(missing_ok=True)
        staged.symlink_to(os.path.relpath(home / "blobs" / file.key, snapshot))
        os.replace(staged, link)
    reference = home / "refs" / revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    staged = reference.with_name(f".{reference.name}.staged")
    staged.write_text(found.version, encoding="ascii")
    os.replace(staged, reference)
    return snapshot


def _listing(location: HubModel | BucketPrefix, fetching: Fetching) -> Listing:
    # Heavy imports, which an installation without them must survive until it needs them.
    from facet.weights import bucket, hub  # noqa: PLC0415

    def ask() -> Listing:
        if isinstance(location, HubModel):
            return hub.listing(location)
        return bucket.listing(location)

    return persistently(ask, str(location), fetching.patience, fetching.stop)


def _fetch(
    found: Listing,
    files: Sequence[RemoteFile],
    location: HubModel | BucketPrefix,
    place: Callable[[RemoteFile], Path],
    fetching: Fetching,
) -> None:
    Transfer(
        found, str(location), place, fetching.progress, fetching.stop, fetching.patience
    ).fetch(files)


def _home(location: HubModel | BucketPrefix, cache: Cache) -> Path:
    return (
        cache.model_dir(location) if isinstance(location, HubModel) else cache.bucket_dir(location)
    )


def _whole(directory: Path, text: str) -> Path:
    if missing := missing_from(directory):
        raise LocationError(
            f"{text}: {directory} lacks {missing}; a checkpoint has config.json and safetensors"
        )
    return directory
