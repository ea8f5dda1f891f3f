"""A static registry in a bucket of an object store (S3), where each object has a Content-Type of its own."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from pumice import installation
from pumice.errors import FetchError, FormatError, ImageError, PumiceError, UsageError
from pumice.formats import oci
from pumice.publish.tree import ChangedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from obstore import Attributes, PutMode
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

SCHEME = "s3://"

_SMALL = 8 << 20
"""Larger objects are uploaded in parts."""
_REFUSALS = frozenset({"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"})
_IMMUTABLE = "public, max-age=31536000, immutable"
_RETRIES: RetryConfig = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
_CLIENT: ClientConfig = {"connect_timeout": timedelta(seconds=10), "timeout": timedelta(seconds=300)}


def open_bucket(url: str, environ: Mapping[str, str]) -> BucketTree:
    """Return the tree in ``s3://BUCKET[/PREFIX]``; ``environ`` has the endpoint and credentials (``AWS_…``).

    A server without TLS needs ``AWS_ALLOW_HTTP=true``. Raises UsageError, also without the extra ``s3``.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import S3Store
    except ImportError:
        raise UsageError(
            "cannot use a bucket: the Python package obstore is not installed",
            where=url[:200],
            hint=f"install it: {installation.command_for_extra('s3')}",
        ) from None
    if not url.startswith(SCHEME) or not url.removeprefix(SCHEME).strip("/"):
        raise UsageError(f"{url[:200]!r} is not the URL of a bucket", hint="write s3://BUCKET[/PREFIX]")
    allows_http = environ.get("AWS_ALLOW_HTTP", "").lower() in {"true", "1"}
    options: ClientConfig = {**_CLIENT, "allow_http": allows_http}
    try:
        store = S3Store.from_url(url, retry_config=_RETRIES, client_options=options)
    except (BaseError, ValueError) as error:
        raise UsageError(
            f"cannot use the bucket: {str(error)[:200]}", where=url[:200], hint="check the variables AWS_…"
        ) from None
    return BucketTree(store, url)


class BucketTree:
    """The objects of a bucket by their path below a prefix.

    Object stores replace an object at once when its upload is complete, and never list a partial one.
    """

    def __init__(self, store: ObjectStore, url: str) -> None:
        self.url = url
        self._store = store
        self._versions: dict[str, str] = {}
        """The ETag of each object that was read, "" for one that was not there."""

    def list_files(self) -> dict[str, int]:
        """Return the size in bytes of each object below ``v2``."""
        import obstore

        with _translate_errors(self.url):
            return {
                str(item["path"]): int(item["size"])
                for page in obstore.list(self._store, prefix="v2")
                for item in page
            }

    def read(self, path: str) -> bytes | None:
        """Return the content of a document of at most 4 MiB, None if there is none."""
        import obstore

        with _translate_errors(f"{self.url}/{path}"):
            self._versions[path] = ""
            try:
                result = obstore.get(self._store, _object_path(path))
            except FileNotFoundError:
                return None
            self._versions[path] = result.meta["e_tag"] or ""
            if result.meta["size"] > oci.MAX_DOCUMENT:
                raise FormatError("the document is larger than 4 MiB", where=f"{self.url}/{path}")
            return bytes(result.bytes())

    def write(self, path: str, media_type: str, chunks: Iterable[bytes], *, since_read: bool = False) -> None:
        """Upload an object; if ``chunks`` raises, the object stays as it was."""
        import obstore

        attributes: Attributes = {
            "Content-Type": media_type,
            "Cache-Control": _IMMUTABLE if _is_immutable(path) else "no-cache",
        }
        iterator = iter(chunks)
        first = b""
        for chunk in iterator:
            first += chunk
            if len(first) > _SMALL:
                break
        with _translate_errors(f"{self.url}/{path}"):
            if len(first) <= _SMALL:
                self._put(path, first, attributes, self._find_mode(path) if since_read else "overwrite")
            else:
                parts = _FailingIterator(itertools.chain([first], iterator))
                try:
                    obstore.put(self._store, _object_path(path), parts, attributes=attributes)
                except Exception:
                    if parts.failure is not None:
                        raise parts.failure from None
                    raise

    def _find_mode(self, path: str) -> PutMode:
        version = self._versions.get(path, "")
        return {"e_tag": version} if version else "create"

    def _put(self, path: str, data: bytes, attributes: Attributes, mode: PutMode) -> None:
        """Upload a small object; stores without conditions replace it in any case. Raises ChangedError."""
        import obstore
        from obstore import exceptions

        target = (self._store, _object_path(path), data)
        try:
            obstore.put(*target, attributes=attributes, mode=mode, use_multipart=False)
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
            raise ChangedError("another process changed the object", where=f"{self.url}/{path}") from None
        except exceptions.NotSupportedError:
            if mode == "overwrite":
                raise
            obstore.put(*target, attributes=attributes, use_multipart=False)

    def link(self, source: str, path: str) -> bool:
        """Copy an object within the store, with its Content-Type; return False if it refuses."""
        import obstore

        try:
            obstore.copy(self._store, _object_path(source), _object_path(path))
        except (obstore.exceptions.BaseError, OSError):
            return False
        return True

    def remove(self, path: str) -> None:
        """Remove an object; most stores do not tell whether there was one."""
        import obstore

        with _translate_errors(f"{self.url}/{path}"):
            try:
                obstore.delete(self._store, _object_path(path))
            except FileNotFoundError:
                pass


class _FailingIterator:
    """Keeps the error of an iterator: the native code that reads it reports one of its own."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.failure: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            raise
        except BaseException as error:
            self.failure = error
            raise


def _object_path(path: str) -> str:
    """Return the name of an object: none can end with a slash, so the server has to map that one."""
    return f"{path}index.json" if path.endswith("/") else path


def _is_immutable(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return name.startswith("sha256:") and not folder.endswith("/referrers")


@contextmanager
def _translate_errors(where: str) -> Iterator[None]:
    """Raise errors of the object store as FetchError, or ImageError if there is no such bucket."""
    from obstore import exceptions

    try:
        yield
    except PumiceError:
        raise
    except (exceptions.BaseError, OSError) as error:
        raise _explain(str(error), where) from None


def _explain(text: str, where: str) -> PumiceError:
    """Return the error for a message of the object store, with the code in its XML ("Error responses")."""
    code = text.partition("<Code>")[2].partition("</Code>")[0]
    line = " ".join(text.strip().partition("\n")[0].rpartition(" - ")[2].split())
    reason = (code or line)[:200]
    if code == "NoSuchBucket" or "NotFound" in code:
        return ImageError("there is no such bucket", where=where, hint="create it first")
    if code in _REFUSALS or "status code: 403" in text or "status code: 401" in text:
        return FetchError(
            f"the object store refused the request: {reason}",
            where=where,
            hint="check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, and what the bucket's policy allows",
        )
    if line.endswith("builder error"):  # what the library says about http://
        return UsageError(
            "the endpoint of the object store has no TLS",
            where=where,
            hint="set AWS_ENDPOINT to an https URL, or AWS_ALLOW_HTTP=true to connect without",
        )
    return FetchError(
        f"the object store failed: {reason}",
        where=where,
        hint="check AWS_ENDPOINT and AWS_REGION, then run the same command again",
    )
