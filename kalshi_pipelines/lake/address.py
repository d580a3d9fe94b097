"""The address of the lake: a local folder, or a bucket and prefix of an object store."""

from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pyarrow import fs

from kalshi_pipelines.lake.errors import explain_file_errors
from kalshi_pipelines.lake.object_store import ObjectStore
from kalshi_pipelines.lake.store import LocalStore, Store
from kalshi_pipelines.settings import InvalidSettings, Settings

_OPTIONS: Final = ("endpoint_override", "region", "scheme")
_EXAMPLES: Final = "Write file:///path/lake or s3://bucket/prefix?region=us-east-1."


def open_store(settings: Settings) -> Store:
    """Return the store that KALSHI_LAKE_URL or KALSHI_LAKE_DIR names. No file is read or written yet.

    Raises:
        InvalidSettings: The URL cannot be used, or both variables are set.
        LakeUnavailable: The client of the object store cannot be made.
    """
    if settings.lake_url is None:
        return LocalStore(settings.resolved_lake_dir)
    if settings.lake_dir is not None:
        raise InvalidSettings("KALSHI_LAKE_URL and KALSHI_LAKE_DIR are both set.", "Unset one of them.")
    url = _parse(settings.lake_url.get_secret_value())
    if url.scheme == "file":
        return LocalStore(Path(unquote(url.path)))
    return _object_store(url)


def _parse(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        has_user = url.username is not None or url.password is not None
    except ValueError:
        raise InvalidSettings("KALSHI_LAKE_URL is not an address.", _EXAMPLES) from None
    if has_user:
        raise InvalidSettings(
            "KALSHI_LAKE_URL contains a user or a password, which logs could show.",
            "Remove them, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or an AWS profile.",
        )
    if url.scheme not in ("file", "s3"):
        raise InvalidSettings("KALSHI_LAKE_URL begins with neither file: nor s3:.", _EXAMPLES)
    if "\0" in unquote(url.path):
        raise InvalidSettings("KALSHI_LAKE_URL contains %00, which no path may contain.", _EXAMPLES)
    if url.fragment:
        raise InvalidSettings("KALSHI_LAKE_URL contains the character #.", "Percent-encode it as %23.")
    if url.scheme == "file" and (url.netloc not in ("", "localhost") or not url.path.startswith("/") or url.query):
        raise InvalidSettings("KALSHI_LAKE_URL is a file: address without a full path.", "Write file:///path/lake.")
    if url.scheme == "s3" and not url.netloc:
        raise InvalidSettings("KALSHI_LAKE_URL names no bucket.", _EXAMPLES)
    return url


def _object_store(url: SplitResult) -> ObjectStore:
    options = dict(parse_qsl(url.query, keep_blank_values=True))
    if unknown := sorted(options.keys() - set(_OPTIONS)):
        # The value is not shown, because it may be a secret.
        raise InvalidSettings(
            f"KALSHI_LAKE_URL has the unknown option {unknown[0]}.",
            f"Options are {', '.join(_OPTIONS)}. Credentials come from the AWS variables only.",
        )
    endpoint = options.get("endpoint_override")
    if endpoint and "@" in endpoint:
        raise InvalidSettings(
            "KALSHI_LAKE_URL contains a user or a password, which logs could show.", "Remove them from the endpoint."
        )
    root = "/".join(part for part in (url.netloc, unquote(url.path).strip("/")) if part)
    place = f"s3://{root}"
    with explain_file_errors(place):
        return ObjectStore(fs.S3FileSystem(**options), root, place)
