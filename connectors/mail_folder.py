"""A folder of a mailbox over IMAP: what is new in it, its mails, its attachments. All of it runs in threads.

Written after RFC 9051 and 3501 (IMAP), 2177 (IDLE) and 6154 (folders of sent mails).
"""

import imaplib
import re
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes

from imap_tools import BaseMailBox
from imap_tools.errors import ImapToolsError, MailboxFetchError, MailboxFolderSelectError

from connectors.base import Json, Page, RawEvent, Refused
from connectors.mail_errors import server_words
from connectors.mail_reading import content, decoded, earlier_ids, leaves, message_id_of, packed, thread_of

MAILS_PER_PAGE = 25
PAGE_BYTES = 8_000_000
HUGE_BYTES = 50_000_000
"""Larger mails are read only up to CUT_BYTES, and their attachments are not fetched."""
CUT_BYTES = 262_144
PARENTS = 30
"""How many of a thread's newest mails are looked at for the one to answer."""
STOP_SECONDS = 0.5
WITHOUT_IDLE_SECONDS = 10.0
SENT_NAMES = ("sent", "sent items", "sent mail", "sent messages", "envoyés", "éléments envoyés", "messages envoyés")
_FETCHED = re.compile(rb'RFC822\.SIZE (\d+)|INTERNALDATE "([^"]+)"')


@dataclass(frozen=True)
class Parent:
    """The mail that an answer continues."""

    message_id: str
    references: tuple[str, ...]
    subject: str


def select(box: BaseMailBox, folder: str) -> tuple[int, int]:
    """Open the folder for reading only, so that no mail becomes read by us; its UIDVALIDITY and UIDNEXT."""
    try:
        box.folder.set(folder, readonly=True)
    except MailboxFolderSelectError as error:
        raise Refused(f"The mailbox has no folder {folder}: {server_words(error)}") from error
    return _told(box, "UIDVALIDITY"), _told(box, "UIDNEXT")


def new_mails(box: BaseMailBox, folder: str, cursor: Json, stop: threading.Event, seconds: float) -> Page:
    """What came after the cursor, waiting up to `seconds` for the first mail; without a cursor it begins now."""
    validity, following = select(box, folder)
    is_start = not isinstance(cursor, dict)
    cursor = true_cursor(box, cursor, validity, following)
    if is_start:
        return Page((), cursor)
    uids = search(box, f"UID {cursor['uid'] + 1}:*", after=cursor["uid"])
    if not uids and wait(box, stop, seconds):
        uids = search(box, f"UID {cursor['uid'] + 1}:*", after=cursor["uid"])
    if not uids:
        return Page((), cursor)
    events, left = read_some(box, validity, uids)
    last = left[0] - 1 if left else uids[-1]
    received = max((event.payload["received"] for event in events), default=cursor["seen_at"])
    return Page(tuple(events), {"uidvalidity": validity, "uid": last, "seen_at": received}, more=bool(left))


def true_cursor(box: BaseMailBox, cursor: Json, validity: int, following: int) -> dict[str, Json]:
    """The cursor in the numbers that hold now."""
    if isinstance(cursor, dict) and cursor.get("uidvalidity") == validity:
        return dict(cursor)
    newest = following - 1 if following else max(search(box, "ALL"), default=0)
    seen_at = datetime.now(UTC).isoformat()
    if isinstance(cursor, dict):
        seen_at = cursor["seen_at"]
        again = search(box, f"SINCE {imap_day(datetime.fromisoformat(seen_at))}")
        newest = min(again, default=newest + 1) - 1
    return {"uidvalidity": validity, "uid": newest, "seen_at": seen_at}


def wait(box: BaseMailBox, stop: threading.Event, seconds: float) -> bool:
    """Wait until the folder changes or the time is over; False when there is nothing to look for."""
    if "IDLE" not in _capabilities(box):
        return not stop.wait(min(seconds, WITHOUT_IDLE_SECONDS))
    ends_at = time.monotonic() + seconds
    with box.idle as idle:
        while not stop.is_set() and (left := ends_at - time.monotonic()) > 0:
            slice_ = min(left, STOP_SECONDS)
            began_at = time.monotonic()
            if idle.poll(timeout=slice_):
                return True
            if time.monotonic() - began_at < slice_ / 2:
                return True  # the connection ended: the next command says so
    return not stop.is_set()


def search(box: BaseMailBox, criteria: str, after: int = 0) -> list[int]:
    """The numbers of the mails that fit, in order; those above `after`."""
    # "n:*" holds the newest mail even where its number is below n.
    return sorted(uid for uid in map(int, box.uids(criteria, charset=None)) if uid > after)


def read_some(box: BaseMailBox, validity: int, uids: list[int]) -> tuple[list[RawEvent], list[int]]:
    """The first mails of `uids` as raw events, and the numbers that are left for another page."""
    events: list[RawEvent] = []
    total = 0
    for count, uid in enumerate(uids):
        if count == MAILS_PER_PAGE or total > PAGE_BYTES:
            return events, uids[count:]
        event, size = read_one(box, validity, uid)
        total += size
        if event:
            events.append(event)
    return events, []


def read_one(box: BaseMailBox, validity: int, uid: int) -> tuple[RawEvent | None, int]:
    """One mail, and its size; None where it is gone. A mail that the server cannot give becomes an event too."""
    facts = size_and_time(box, uid)
    if facts is None:
        return None, 0
    size, received = facts
    try:
        source = source_of(box, uid, CUT_BYTES if size > HUGE_BYTES else None)
    except (MailboxFetchError, imaplib.IMAP4.error) as error:
        if isinstance(error, imaplib.IMAP4.abort):
            raise
        return packed(validity, uid, received, b"", error=server_words(error)), 0
    return (packed(validity, uid, received, source), len(source)) if source is not None else (None, 0)


def size_and_time(box: BaseMailBox, uid: int) -> tuple[int, datetime] | None:
    """A mail's size and when the server got it; None where there is no such mail."""
    answer = b" ".join(
        each if isinstance(each, bytes) else each[0] for each in _fetch(box, uid, "RFC822.SIZE INTERNALDATE")
    )
    found = _FETCHED.findall(answer)
    size = next((int(size) for size, _ in found if size), None)
    date = next((date.decode() for _, date in found if date), None)
    if size is None or date is None:
        return None
    return size, datetime.strptime(date.strip(), "%d-%b-%Y %H:%M:%S %z").astimezone(UTC)


def source_of(box: BaseMailBox, uid: int, length: int | None, section: str = "") -> bytes | None:
    """A mail's bytes, or its first `length`; None where it is gone. It stays unread."""
    part = f"BODY.PEEK[{section}]" + (f"<0.{length}>" if length else "")
    return next((each[1] for each in _fetch(box, uid, part) if isinstance(each, tuple)), None)


def attached(box: BaseMailBox, folder: str, external_id: str) -> bytes:
    """The content of an attachment. Raises Refused where it is gone."""
    validity, _, rest = external_id.partition(":")
    uid, _, number = rest.partition(":")
    if not uid.isdigit() or str(select(box, folder)[0]) != validity:
        raise Refused("The mail server numbered its mails anew: look for this attachment in the mailbox.")
    facts = size_and_time(box, int(uid))
    if facts and facts[0] > HUGE_BYTES:
        raise Refused(f"The mail is larger than {HUGE_BYTES // 1_000_000} MB: look for it in the mailbox.")
    source = source_of(box, int(uid), None) if facts else None
    if source is None:
        raise Refused("The mail is no longer in the folder.")
    found = next((part for key, part in leaves(message_from_bytes(source)) if key == number), None)
    if found is None:
        raise Refused("The mail has no such attachment.")
    return content(found)


def parent_of(box: BaseMailBox, folder: str, thread_key: str, ours: Collection[str]) -> Parent | None:
    """The mail to answer: the newest of the thread that lies in the folder."""
    select(box, folder)
    first = thread_key.partition(" ")[0]
    uids = search(box, f"OR HEADER Message-ID {_quoted(first)} HEADER References {_quoted(first)}")
    for uid in reversed(uids[-PARENTS:]):
        head = message_from_bytes(source_of(box, uid, None, "HEADER") or b"")
        number = message_id_of(head)
        if number and thread_of(head, number, ours) == thread_key:
            return Parent(number, (*earlier_ids(head), number), decoded(head, "subject"))
    return None


def has_copy(box: BaseMailBox, number: str) -> bool:
    """Whether a mail of this Message-ID is among the sent ones."""
    folder = sent_folder(box)
    if folder is None:
        return False
    box.folder.set(folder, readonly=True)
    return bool(search(box, f"HEADER Message-ID {_quoted(number)}"))


def keep_copy(box: BaseMailBox, number: str, mail: bytes) -> None:
    """Beside the other sent mails, unless the server put it there by itself, as Gmail does."""
    if has_copy(box, number):
        return
    folder = sent_folder(box)
    if folder is None:
        folder = "Sent"
        box.folder.create(folder)
    box.append(mail, folder, dt=datetime.now(UTC), flag_set=["\\Seen"])


def sent_folder(box: BaseMailBox) -> str | None:
    """The folder of sent mails: the one that is marked so, else one that is called so."""
    folders = list(box.folder.list())
    marked = [each.name for each in folders if "\\sent" in (flag.lower() for flag in each.flags)]
    named = [
        each.name
        for each in folders
        if (each.name.rpartition(each.delim)[2] if each.delim else each.name).lower() in SENT_NAMES
    ]
    return next(iter([*marked, *named]), None)


def imap_day(time_: datetime) -> str:
    """A day as SEARCH wants it; one earlier, because the server's day may have begun before ours."""
    return imaplib.Time2Internaldate(time_.astimezone(UTC) - timedelta(days=1)).strip('"').split()[0]


def log_out(box: BaseMailBox) -> None:
    """Leave the server, whatever it says."""
    with suppress(OSError, imaplib.IMAP4.error, ImapToolsError):
        box.logout()
    with suppress(OSError):
        box.client.shutdown()


def _fetch(box: BaseMailBox, uid: int, parts: str) -> list[Json]:
    result = box.client.uid("FETCH", str(uid), f"(UID {parts})")
    if result[0] != "OK":
        raise MailboxFetchError(result, "OK")
    return [each for each in result[1] if each]


def _capabilities(box: BaseMailBox) -> set[str]:
    """What the server can do once we are signed in; `imaplib` asks only before."""
    _, data = box.client.capability()
    return {word.upper() for line in data if line for word in line.decode(errors="replace").split()}


def _told(box: BaseMailBox, name: str) -> int:
    """A number that the server told when the folder was opened; 0 where it did not."""
    _, data = box.client.response(name)
    told = data[-1] if data else None
    return int(told) if isinstance(told, bytes) and told.isdigit() else 0


def _quoted(words: str) -> str:
    inner = re.sub(r"[^\x20-\x7e]", "", words).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"'
