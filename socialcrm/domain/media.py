"""What a file is by its bytes, and which files a channel takes. What its name or its sender says is not believed."""

import codecs
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath

HEAD = 4096
"""Bytes from the beginning of a file that tell what it is."""
SHOWN = frozenset(
    ["image/jpeg", "image/png", "image/gif", "image/webp", "image/avif"]
    + ["audio/ogg", "audio/mpeg", "audio/mp4", "audio/wav", "audio/aac", "audio/flac"]
    + ["video/mp4", "video/webm", "video/ogg"]
)
"""What a page shows or plays; everything else is only a download."""
RISKY = frozenset(
    ["text/html", "image/svg+xml", "text/x-script"]
    + ["application/x-executable", "application/java-archive", "application/x-ms-shortcut"]
)
"""What runs where it is opened: said beside the file, and never taken from visitors or sent to customers."""
ANY = "application/octet-stream"

_OFFICE = {
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}
_OLE = {".doc": "application/msword", ".xls": "application/vnd.ms-excel", ".ppt": "application/vnd.ms-powerpoint"}
_STARTS: Sequence[tuple[bytes, str]] = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"{\\rtf", "application/rtf"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"#!AMR", "audio/amr"),
    (b"\x1f\x8b", "application/gzip"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!", "application/vnd.rar"),
    (b"MZ", "application/x-executable"),
    (b"\x7fELF", "application/x-executable"),
    (b"\xcf\xfa\xed\xfe", "application/x-executable"),
    (b"L\0\0\0\x01\x14\x02\0", "application/x-ms-shortcut"),
    (b"#!", "text/x-script"),
)
_BRANDS = {b"qt  ": "video/quicktime", b"M4A ": "audio/mp4", b"M4B ": "audio/mp4", b"avif": "image/avif"}
_BRANDS |= dict.fromkeys((b"heic", b"heix", b"mif1", b"msf1"), "image/heic")
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_MARKUP = re.compile(rb"<(?:!doctype html|html|head|body|script|iframe|svg|a |img|style|meta)[\s>/]?", re.IGNORECASE)
_SCRIPTS = {".js", ".vbs", ".ps1", ".bat", ".cmd", ".sh", ".py", ".hta", ".wsf"}


def sniff(head: bytes, name: str = "") -> str:
    """The content type of a file from its first HEAD bytes. The name only tells apart what looks the same inside:
    kinds of text, and kinds of office document."""
    ending = PurePath(name).suffix.lower()
    if known := next((kind for start, kind in _STARTS if head.startswith(start)), ""):
        return known
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/3gpp" if head[8:10] == b"3g" else "video/mp4")
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], ANY)
    if head[:4] == b"OggS":
        return "video/ogg" if b"theora" in head[:256] else "audio/ogg"
    if head[:4] == b"\x1aE\xdf\xa3":
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if head[:4] == b"PK\x03\x04":
        return _zip(head, ending)
    if head[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        return _OLE.get(ending, "application/x-ole-storage")
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return "audio/aac" if head[1] & 0xF6 == 0xF0 else "audio/mpeg"
    return _text(head, ending)


def _zip(head: bytes, ending: str) -> str:
    if head[30:38] == b"mimetype":
        found = re.match(rb"application/vnd\.oasis\.opendocument\.[a-z-]+", head[38:120])
        return found[0].decode() if found else "application/zip"
    if b"META-INF/" in head[:512] or b"classes.dex" in head:
        return "application/java-archive"
    return _OFFICE.get(ending, "application/zip") if b"[Content_Types].xml" in head else "application/zip"


def _text(head: bytes, ending: str) -> str:
    """Text that is UTF-8, or UTF-16 with its mark; markup and scripts by what they are. All else is only bytes."""
    is_wide = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        codecs.getincrementaldecoder("utf-16" if is_wide else "utf-8")().decode(head)
    except UnicodeDecodeError:
        return ANY
    if not head or (b"\0" in head and not is_wide):
        return ANY
    if found := _MARKUP.search(head):
        return "image/svg+xml" if found[0].lower().startswith(b"<svg") else "text/html"
    if ending in _SCRIPTS:
        return "text/x-script"
    return {".csv": "text/csv", ".vcf": "text/vcard", ".ics": "text/calendar"}.get(ending, "text/plain")


def most(media: Mapping[str, int], content_type: str) -> int:
    """The most bytes that a channel takes of a file of this type; 0 where it takes none."""
    if content_type in RISKY:
        return 0
    main = content_type.partition("/")[0]
    return next((media[each] for each in (content_type, f"{main}/*", "*/*") if each in media), 0)


def file_name(name: str) -> str:
    """A name without folders, signs that no name has, or a turn of the direction of writing; "" where none is left."""
    last = re.split(r"[/\\]", name)[-1]
    clean = re.sub('[\x00-\x1f\x7f"<>|*?:\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]', "", last)
    stem, ending = PurePath(clean).stem, PurePath(clean).suffix
    return f"{stem[:100]}{ending[:20]}".strip(" .")
