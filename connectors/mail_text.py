"""The words of a mail: HTML as text, and what its author wrote this time, without quotes and signature."""

import re
from collections.abc import Sequence
from html import unescape
from html.parser import HTMLParser

import nh3

HTML_LENGTH = 1_000_000
"""Characters of an HTML body that are read."""
_LINE_TAGS = {"address", "article", "div", "dd", "dt", "footer", "header", "li", "ol", "section", "table", "tr", "ul"}
_PARAGRAPH_TAGS = {"blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "p", "pre"}
_TAGS = _LINE_TAGS | _PARAGRAPH_TAGS | {"br", "td", "th"}
_HIDDEN = {"script", "style", "title", "template", "noscript"}
_SPACE = re.compile(r"[ \t\r\n\f\N{NO-BREAK SPACE}]+")

_ATTRIBUTION = re.compile(
    r"(?:(?:On|Le|Am|El|Il|Op)\s.{5,300}?(?:wrote|a écrit|schrieb|escribió|ha scritto|schreef)\s?:"
    r"|(?:في|بتاريخ|يوم)\s.{3,300}?(?:كتب|كتابة).{0,200}?:)",
    re.IGNORECASE,
)
"""How mail programs introduce what they quote, on one line or wrapped over a few."""
_ORIGINAL = re.compile(
    r"-{2,}\s*(?:Original Message|Message d.origine|Message original|Mensaje original|Ursprüngliche Nachricht"
    r"|الرسالة الأصلية)\s*-{2,}",
    re.IGNORECASE,
)
_FORWARDED = re.compile(r"forwarded|transféré|transmis|weitergeleitet|معاد توجيهها|محولة", re.IGNORECASE)
_FROM = re.compile(r"\*?(?:From|De|Von|من)\s?:", re.IGNORECASE)
_SENT = re.compile(r"\*?(?:Sent|Date|Envoyé|Gesendet|Enviado|تاريخ الإرسال|تم الإرسال|التاريخ)\s?:", re.IGNORECASE)
_SUBJECT = re.compile(r"\*?(?:To|À|An|Para|Subject|Objet|Betreff|Asunto|إلى|الموضوع)\s?:", re.IGNORECASE)
_DEVICE = re.compile(
    r"(?:Sent from (?:my|Outlook|Yahoo|Mail)|Envoyé (?:de|depuis|à partir de) |Get Outlook for|Obtenir Outlook"
    r"|Télécharge[rz] Outlook|Von meinem .{1,30} gesendet|أُ?رسلت? من|تم الإرسال من)",
    re.IGNORECASE,
)
WRAPPED_LINES = 3
_OPENED = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,20})")
_TAG = re.compile(r"<[^<>]*>")
_NEVER_OPEN = {"area", "base", "br", "col", "dd", "dt", "hr", "img", "input", "li", "link", "meta", "option", "p"}
_NEVER_OPEN |= {"param", "source", "tbody", "td", "tfoot", "th", "thead", "tr", "wbr"}
DEEPEST = 1000
"""Elements inside one another, counted roughly. True mails have some dozens; parsing takes the square of it."""


def from_html(html: str) -> str:
    """The text of an HTML body: scripts and styles gone, a line per block, quoted lines marked with ">"."""
    html = html[:HTML_LENGTH]
    if _is_too_deep(html):
        return unescape(_TAG.sub(" ", html))
    writer = _Writer()
    writer.feed(nh3.clean(html, tags=_TAGS, attributes={}, clean_content_tags=_HIDDEN, link_rel=None))
    writer.close()
    return writer.text()


def trimmed(text: str) -> str:
    """What the author wrote this time. A mail that is nothing but a quote or a forward is kept whole."""
    lines = [line.rstrip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    return _tidy(_without_signature(_without_quotes(lines))) or _tidy(lines)


def _is_too_deep(html: str) -> bool:
    depth = 0
    for closing, name in _OPENED.findall(html):
        if name.lower() not in _NEVER_OPEN:
            depth = max(0, depth - 1) if closing else depth + 1
            if depth > DEEPEST:
                return True
    return False


def _without_quotes(lines: Sequence[str]) -> list[str]:
    kept: list[str] = []
    number = 0
    while number < len(lines):
        line = lines[number].lstrip()
        wrapped = _attribution_length(lines, number)
        if _ORIGINAL.fullmatch(line) or _is_header_block(lines, number):
            break
        if wrapped:
            rest = next((later for later in lines[number + wrapped :] if later.strip()), "")
            if not rest.lstrip().startswith(">"):
                break
            number += wrapped
            continue
        if not line.startswith(">"):
            kept.append(lines[number])
        number += 1
    return kept


def _attribution_length(lines: Sequence[str], start: int) -> int:
    """Over how many lines an attribution stands from `start` on; 0 where there is none."""
    joined = ""
    for count, line in enumerate(lines[start : start + WRAPPED_LINES], 1):
        if not line.strip() or line.lstrip().startswith(">") or len(line) > 500:
            return 0
        joined = f"{joined} {line.strip()}".lstrip()
        if _ATTRIBUTION.fullmatch(joined):
            return count
    return 0


def _is_header_block(lines: Sequence[str], start: int) -> bool:
    """Whether the quoted mail's own From, Sent and Subject stand here, as Outlook writes them; not in a forward."""
    if not _FROM.match(lines[start].lstrip()):
        return False
    before = next((line for line in reversed(lines[max(0, start - 3) : start]) if line.strip()), "")
    block = [line.lstrip() for line in lines[start + 1 : start + 8]]
    is_block = any(map(_SENT.match, block)) and any(map(_SUBJECT.match, block))
    return is_block and not _FORWARDED.search(before)


def _without_signature(lines: list[str]) -> list[str]:
    for number, line in enumerate(lines):
        if line.strip() == "--":  # RFC 3676, 4.3; HTML loses the space after it
            lines = lines[:number]
            break
    while lines and (not lines[-1].strip() or _DEVICE.match(lines[-1].strip()) or set(lines[-1].strip()) <= {"_"}):
        lines = lines[:-1]
    return lines


def _tidy(lines: Sequence[str]) -> str:
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


class _Writer(HTMLParser):
    """Writes cleaned HTML, which is always well formed, as lines."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._lines: list[str] = [""]
        self._quotes = 0
        self._verbatim = 0

    def text(self) -> str:
        """All that was written."""
        return "\n".join(line.rstrip() for line in self._lines).strip("\n")

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "br":
            self._lines.append(self._mark())
            return
        self._break(tag)
        if tag == "blockquote":
            self._quotes += 1
            self._lines[-1] = self._mark()
        elif tag == "pre":
            self._verbatim += 1
        elif tag == "li":
            self._lines[-1] += "- "
        elif tag in ("td", "th") and not self._is_empty():
            self._lines[-1] += " "

    def handle_endtag(self, tag: str) -> None:
        if tag == "blockquote":
            self._quotes -= 1
        elif tag == "pre":
            self._verbatim -= 1
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if self._verbatim:
            first, *others = data.split("\n")
            self._lines[-1] += first
            self._lines += [self._mark() + line for line in others]
            return
        data = _SPACE.sub(" ", data)
        self._lines[-1] += data.lstrip() if self._is_empty() or self._lines[-1].endswith(" ") else data

    def _break(self, tag: str) -> None:
        if tag not in _LINE_TAGS and tag not in _PARAGRAPH_TAGS:
            return
        if not self._is_empty():
            self._lines.append(self._mark())
        else:
            self._lines[-1] = self._mark()
        if tag in _PARAGRAPH_TAGS and len(self._lines) > 1 and self._lines[-2].strip("> "):
            self._lines.append(self._mark())

    def _is_empty(self) -> bool:
        return not self._lines[-1].strip("> ")

    def _mark(self) -> str:
        return "> " * self._quotes
