"""Objects of Google Cloud Storage as a checkpoint.

Credentials are those of the environment: Workload Identity, GOOGLE_APPLICATION_CREDENTIALS, or
none with GOOGLE_SKIP_SIGNATURE; GOOGLE_BASE_URL names another endpoint.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import obstore
from obstore.exceptions import (
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import GCSStore

from facet.weights.cached import CONFIG
from facet.weights.digest import Digest
from facet.weights.errors import AccessError, PassingError
from facet.weights.location import BucketPrefix
from facet.weights.transfer import RemoteFile
from facet.weights.wanted import in_order, is_wanted

_CHUNK_BYTES = 1 << 20
_MD5 = re.compile(r"[0-9a-f]{32}")


class BucketListing:
    """The wanted objects below a prefix as they stand, and their bytes."""

    def __init__(self, location: BucketPrefix, store: GCSStore) -> None:
        self.location = location
        self._store = store
        self._paths: dict[str, tuple[str, str]] = {}
        self.files = in_order(self._list())

    @property
    def version(self) -> str:
        """Names this content: another one after any object changed."""
        words = "\n".join(f"{file.name} {file.size} {file.key}" for file in self.files)
        return hashlib.sha256(words.encode()).hexdigest()[:16]

    @contextmanager
    def read(self, file: RemoteFile, start: int) -> Iterator[Iterator[bytes]]:
        """See `transfer.Source`; an object that was replaced meanwhile is refused."""
        path, e_tag = self._paths[file.name]
        with _errors(self.location):
            options = {"range": {"offset": start}, "if_match": e_tag or None}
            result = obstore.get(self._store, path, options=options)  # type: ignore[arg-type]
            yield (bytes(chunk) for chunk in result.stream(min_chunk_size=_CHUNK_BYTES))

    def _list(self) -> Iterator[RemoteFile]:
        prefix = f"{self.location.prefix}/" if self.location.prefix else ""
        with _errors(self.location):
            # Of a refused list obstore tells no kind of error, of a refused object it does.
            obstore.head(self._store, f"{prefix}{CONFIG}")
            for page in obstore.list(self._store, prefix=prefix or None):
                for found in page:
                    name = found["path"].removeprefix(prefix)
                    if not is_wanted(name):
                        continue
                    e_tag = found["e_tag"] or ""
                    bare = e_tag.strip('"')
                    self._paths[name] = (found["path"], e_tag)
                    yield RemoteFile(
                        name, found["size"], _key(name, bare), _digest(bare, found["size"])
                    )


def listing(location: BucketPrefix) -> BucketListing:
    """Ask the store once. Errors: PassingError, AccessError."""
    is_plain = os.environ.get("GOOGLE_BASE_URL", "").startswith("http://")
    store = GCSStore(
        location.bucket,
        # The time of a whole answer, which brings several GB: obstore's own is 30 s.
        client_options={
            "allow_http": is_plain,
            "timeout": timedelta(hours=6),
            "connect_timeout": timedelta(seconds=10),
            "read_timeout": timedelta(seconds=30),
        },
        # Further attempts are those of `transfer`, which shows and bounds them.
        retry_config={"max_retries": 0},
    )
    return BucketListing(location, store)


@contextmanager
def _errors(location: BucketPrefix) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise AccessError(
            f"{location}: no such bucket, or no {CONFIG} there; see: gcloud storage ls {location}"
        ) from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise AccessError(
            f"{location}: not allowed; grant roles/storage.objectViewer on the bucket to this "
            "service account (Workload Identity), set GOOGLE_APPLICATION_CREDENTIALS, or name a "
            "local directory"
        ) from error
    except PreconditionError as error:
        raise AccessError(
            f"{location}: an object was replaced during the download; start again"
        ) from error
    except BaseError as error:
        raise PassingError(str(error).splitlines()[0]) from error


def _digest(e_tag: str, size: int) -> Digest:
    """An ETag of Cloud Storage is the MD5 of the content, unless the object was composed."""
    return Digest("md5", e_tag) if _MD5.fullmatch(e_tag) else Digest("size", str(size))


def _key(name: str, e_tag: str) -> str:
    return hashlib.sha256(f"{name}\n{e_tag}".encode()).hexdigest()[:32]
