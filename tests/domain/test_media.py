"""What a file is by its bytes."""

import pytest

from socialcrm.domain.media import file_name, most, sniff


@pytest.mark.parametrize(
    ("head", "name", "kind"),
    [
        (b"\xff\xd8\xff\xe0", "a.txt", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "a.html", "image/png"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "", "image/webp"),
        (b"\x00\x00\x00\x1cftypM4A ", "", "audio/mp4"),
        (b"\x00\x00\x00\x18ftypmp42", "", "video/mp4"),
        (b"\x00\x00\x00\x18ftypheic", "", "image/heic"),
        (b"OggS" + b"\x00" * 24 + b"OpusHead", "", "audio/ogg"),
        (b"\xff\xfb\x90\x00", "", "audio/mpeg"),
        (b"\xff\xf1\x50\x80", "", "audio/aac"),
        (b"\x1aE\xdf\xa3\x01\x00webm", "", "video/webm"),
        (b"%PDF-1.7", "a.exe", "application/pdf"),
        (b"MZ\x90", "a.pdf", "application/x-executable"),
        (b"#!/bin/sh\nrm", "a.txt", "text/x-script"),
        (b"<!DOCTYPE html><p>", "a.png", "text/html"),
        (b"hello <svg onload=alert(1)>", "a.png", "image/svg+xml"),
        (b"a;b\n1;2", "a.csv", "text/csv"),
        ("Réclamation: très cher".encode(), "note", "text/plain"),
        (b"alert(1)", "a.js", "text/x-script"),
        (b"\x00\x01\x02", "a.txt", "application/octet-stream"),
        (b"", "a.txt", "application/octet-stream"),
        (b"PK\x03\x04" + b"\x00" * 26 + b"[Content_Types].xml", "a.docx", "application/vnd.openxml"),
        (b"PK\x03\x04" + b"\x00" * 26 + b"[Content_Types].xml", "a.exe", "application/zip"),
        (b"PK\x03\x04" + b"\x00" * 26 + b"META-INF/MANIFEST.MF", "a.docx", "application/java-archive"),
    ],
)
def test_a_file_is_what_its_bytes_say(head: bytes, name: str, kind: str) -> None:
    assert sniff(head, name).startswith(kind)


def test_a_channel_takes_a_type_by_name_by_kind_or_any_but_nothing_that_runs() -> None:
    media = {"image/png": 5, "image/*": 3, "*/*": 1}
    assert [most(media, kind) for kind in ("image/png", "image/gif", "text/plain")] == [5, 3, 1]
    assert most(media, "application/x-executable") == 0
    assert most({"image/png": 5}, "image/gif") == 0


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Temp\\é.pdf", "é.pdf"),
        ("facture\u202egpj.exe", "facturegpj.exe"),
        ('a"b\n.txt', "ab.txt"),
        ("x" * 300 + ".jpeg", "x" * 100 + ".jpeg"),
        ("..", ""),
    ],
)
def test_a_name_has_no_folders_and_nothing_that_misleads(given: str, kept: str) -> None:
    assert file_name(given) == kept
