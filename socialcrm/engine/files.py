"""Files: the store of what people send, by the hash of its content, and uploads that wait until they are sent."""

import contextlib
import errno
import hashlib
import hmac
import logging
import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from connectors.base import Attachment, File, kind_of
from socialcrm.domain.media import HEAD, file_name, sniff
from socialcrm.engine.line import Line

log = logging.getLogger(__name__)

FILES, UPLOADS = "files", "uploads"
LINK_SECONDS = 24 * 3600
UPLOAD_DAYS = 1.0


class CannotKeep(Exception):
    """A file cannot be stored; the message is a sentence for people."""


@dataclass(frozen=True)
class Upload:
    """A file that somebody uploaded and did not send yet, or one that is about to be sent."""

    sha256: str
    name: str
    content_type: str
    size: int

    @property
    def entry(self) -> dict[str, Any]:
        """As it stands in the row of a message."""
        return {
            "kind": kind_of(self.content_type),
            "external_id": self.sha256,
            "name": self.name,
            "content_type": self.content_type,
            "size": self.size,
            "sha256": self.sha256,
        }


def path_of(folder: Path, sha256: str) -> Path:
    """Where a file with this content lies in the storage folder. Raises ValueError for what is no hash."""
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise ValueError("not a SHA-256 in hex")
    return folder / FILES / sha256[:2] / sha256


def keep(folder: Path, content: bytes) -> str:
    """Store a file; its hash. Two that store the same content at once do no harm. Raises CannotKeep."""
    sha256 = hashlib.sha256(content).hexdigest()
    _put(path_of(folder, sha256), content)
    return sha256


def keep_upload(folder: Path, owner: str, content: bytes, name: str) -> Upload:
    """Store what `owner` (digits, letters, "-") uploaded until it is sent. Raises CannotKeep."""
    sha256 = hashlib.sha256(content).hexdigest()
    _put(folder / UPLOADS / owner / sha256, content)
    return Upload(sha256, file_name(name), sniff(content[:HEAD], name), len(content))


def take_upload(folder: Path, owner: str, sha256: str, name: str) -> Upload:
    """Put an upload of `owner` among the files, so that it can be sent. Raises CannotKeep where it is gone."""
    target, name = path_of(folder, sha256), file_name(name)
    source = folder / UPLOADS / owner / sha256
    try:
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            half = _half(target)
            shutil.copyfile(source, half)
            half.replace(target)
        with source.open("rb") as file:
            head = file.read(HEAD)
        os.utime(target)
        return Upload(sha256, name, sniff(head, name), source.stat().st_size)
    except FileNotFoundError:
        raise CannotKeep("An uploaded file is no longer there: attach it again.") from None
    except OSError as error:
        raise _trouble(error) from error


def sweep(folder: Path, keep_days: float, now: float | None = None) -> int:
    """Delete uploads that were not sent for a day, and files that are older than `keep_days` (0: none); how many."""
    now, count = now or time.time(), 0
    for part, days in ((UPLOADS, UPLOAD_DAYS), (FILES, keep_days)):
        for path in (folder / part).glob("*/*") if (folder / part).exists() else ():
            is_half = "." in path.name
            oldest = now - (UPLOAD_DAYS if is_half else days) * 86_400
            with contextlib.suppress(OSError):  # another process sweeps too
                if (days or is_half) and path.is_file() and path.stat().st_mtime < oldest:
                    path.unlink()
                    count += 1
    return count


def _put(path: Path, content: bytes) -> None:
    """Write under another name first: nobody ever sees half a file."""
    half = _half(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            os.utime(path)
            return
        half.write_bytes(content)
        half.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)
        raise _trouble(error) from error


def _half(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}-{time.monotonic_ns()}")


def _trouble(error: OSError) -> CannotKeep:
    log.error("a file cannot be stored: %s", errno.errorcode.get(error.errno or 0, type(error).__name__))
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CannotKeep("There is no room left on the server's disk: tell an administrator, then try again.")
    return CannotKeep("The server cannot store the file: tell an administrator, then try again.")


def entry_of(folder: Path, attachment: Attachment) -> dict[str, Any]:
    """An attachment as it stands in the row of a message; what we have of it already is told by its bytes."""
    entry = asdict(attachment)
    if not attachment.sha256:
        return entry
    try:
        path = path_of(folder, attachment.sha256)
        with path.open("rb") as file:
            kind = sniff(file.read(HEAD), attachment.name)
        return entry | {"kind": kind_of(kind), "content_type": kind, "size": path.stat().st_size}
    except (OSError, ValueError):
        return entry | {"sha256": ""}


def file_of(line: Line, entry: Mapping[str, Any]) -> File:
    """What a connector gets of a file that is to be sent."""
    sha256, name = str(entry["sha256"]), str(entry["name"])
    path = path_of(line.settings.storage.folder, sha256)
    url = f"{line.settings.public_url}{link(line, sha256, name)}" if line.settings.web.public_url else ""
    return File(sha256, name, str(entry["content_type"]), int(entry["size"]), path, url)


def link(line: Line, sha256: str, name: str) -> str:
    """A path under which whoever has it can fetch the file, until a day later."""
    until = int(line.now().timestamp()) + LINK_SECONDS
    shown = quote(file_name(name) or "file", safe="")
    return f"/files/{until}/{signature(line, sha256, until)}/{sha256}/{shown}"


def signature(line: Line, sha256: str, until: int) -> str:
    """Proves that `link` made an address."""
    return hmac.digest(line.vault.signing_key, f"file:{until}:{sha256}".encode(), hashlib.sha256).hex()[:40]
