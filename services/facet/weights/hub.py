"""Models of the Hugging Face Hub, in the cache layout that huggingface-hub reads.

huggingface-hub lists the files; they are read here, as its own download neither resumes after the
death of a process nor compares digests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import httpx2
from huggingface_hub import HfApi, constants, get_session, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.hf_api import RepoSibling
from huggingface_hub.utils._headers import build_hf_headers

from facet.weights.digest import Digest
from facet.weights.errors import AccessError, NotCachedError, PassingError
from facet.weights.location import HubModel
from facet.weights.transfer import RemoteFile
from facet.weights.wanted import in_order, is_wanted

_CONNECT_SECONDS = 10.0
_SILENCE_SECONDS = 30.0
_TOO_MANY = 429
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ALTERNATIVE = "or name a local directory with FACET_WORKER_WEIGHTS / FACET_WORKER_DRAFTER_WEIGHTS"


class HubListing:
    """The wanted files of a model at one commit, and their bytes."""

    def __init__(self, model: HubModel, version: str, files: list[RemoteFile]) -> None:
        self.model = model
        self.version = version
        self.files = files

    @contextmanager
    def read(self, file: RemoteFile, start: int) -> Iterator[Iterator[bytes]]:
        """See `transfer.Source`."""
        url = hf_hub_url(
            self.model.model, file.name, revision=self.version, endpoint=constants.ENDPOINT
        )
        headers = build_hf_headers() | {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        timeout = httpx2.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS)
        try:
            with get_session().stream("GET", url, headers=headers, timeout=timeout) as response:
                if response.is_error:
                    _refuse(self.model, response)
                chunks = response.iter_bytes()
                is_partial = response.status_code == httpx2.codes.PARTIAL_CONTENT
                yield chunks if is_partial or not start else _after(chunks, start)
        except httpx2.TransportError as error:
            raise PassingError(str(error) or type(error).__name__) from error


def listing(model: HubModel) -> HubListing:
    """Ask the Hub once. Errors: PassingError, AccessError, NotCachedError."""
    timeout = _CONNECT_SECONDS + _SILENCE_SECONDS
    try:
        info = HfApi().model_info(
            model.model, revision=model.revision, files_metadata=True, timeout=timeout
        )
    except HfHubHTTPError as error:
        _refuse(model, error.response)
    except OfflineModeIsEnabled as error:
        raise NotCachedError(
            f"{model}: HF_HUB_OFFLINE is set and the files are not here"
        ) from error
    except httpx2.TransportError as error:
        raise PassingError(str(error) or type(error).__name__) from error
    version = str(info.sha)
    if not _COMMIT.fullmatch(version):
        raise _strange(model, f"the commit {version[:80]!r}")
    files = (remote_file(model, each) for each in info.siblings or () if is_wanted(each.rfilename))
    return HubListing(model, version, in_order(each for each in files if each is not None))


def remote_file(model: HubModel, sibling: RepoSibling) -> RemoteFile | None:
    """What is told of a file; None where that is no digest. Errors: AccessError."""
    if sibling.lfs is not None:
        digest, form = Digest("sha256", sibling.lfs.sha256), _SHA256
    elif sibling.blob_id is not None:
        digest, form = Digest("git-blob", sibling.blob_id), _COMMIT
    else:
        return None
    # It becomes the name of the file's content in the cache.
    if not form.fullmatch(digest.value):
        raise _strange(model, f"the digest {digest.value[:80]!r}")
    size = sibling.lfs.size if sibling.lfs is not None else sibling.size
    return RemoteFile(sibling.rfilename, size or 0, digest.value, digest)


def _strange(model: HubModel, what: str) -> AccessError:
    return AccessError(
        f"{model}: {constants.ENDPOINT} tells {what}, which is none; check HF_ENDPOINT, "
        f"{_ALTERNATIVE}"
    )


def _refuse(model: HubModel, response: httpx2.Response) -> NoReturn:
    status = response.status_code
    if status == _TOO_MANY or status >= httpx2.codes.INTERNAL_SERVER_ERROR:
        raise PassingError(
            f"HTTP {status} from {constants.ENDPOINT} (with HF_TOKEN the limits are higher; model "
            f"page {_page(model)}; {_ALTERNATIVE})",
            _retry_after(response),
        )
    reasons = {
        401: "wants a token, or there is no such model",
        403: "does not let this token read the model",
        404: "has no such model, revision or file",
    }
    reason = reasons.get(status, "refuses")
    raise AccessError(
        f"{model}: {constants.ENDPOINT} {reason} (HTTP {status}); open {_page(model)}, accept its "
        f"terms if it has any, set HF_TOKEN to a token that may read it, {_ALTERNATIVE}"
    )


def _page(model: HubModel) -> str:
    return f"{constants.ENDPOINT}/{model.model}"


def _retry_after(response: httpx2.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    # The Hub sends seconds; a date, which HTTP allows too, leaves the pause to us.
    return float(value) if value.isdecimal() else None


def _after(chunks: Iterator[bytes], start: int) -> Iterator[bytes]:
    """The stream from `start` on, of a server that ignored the range."""
    for chunk in chunks:
        if start >= len(chunk):
            start -= len(chunk)
            continue
        yield chunk[start:]
        start = 0
