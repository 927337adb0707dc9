"""HTML as plain text: paragraphs and line breaks kept, markup, scripts and styles left out."""

import re
from html.parser import HTMLParser

_PARAGRAPHS = frozenset(
    [
        "p",
        "div",
        "ul",
        "ol",
        "table",
        "blockquote",
        "pre",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "article",
        "section",
        "header",
        "footer",
        "figure",
    ]
)
_LINES = frozenset(["br", "tr", "li", "dt", "dd", "hr"])
_UNSEEN = frozenset(["script", "style", "head", "template", "noscript", "iframe", "object", "svg", "math"])


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unseen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _UNSEEN:
            self._unseen.append(tag)
        self._break(tag)
        if tag == "li":
            self.parts.append("- ")
        elif tag == "img" and not self._unseen:
            self.parts.append(dict(attrs).get("alt") or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _UNSEEN:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._unseen:
            while self._unseen.pop() != tag:
                pass
        if tag in _PARAGRAPHS:
            self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self.parts.append(re.sub(r"[ \t\r\n\f]+", " ", data))

    def _break(self, tag: str) -> None:
        if tag in _PARAGRAPHS:
            self.parts.append("\n\n")
        elif tag in _LINES:
            self.parts.append("\n")


def plain(html: str) -> str:
    """What a reader sees of `html`; text without markup comes back as it is, but for its spaces."""
    reader = _Text()
    try:
        reader.feed(html)
        reader.close()
        text = "".join(reader.parts)
    except AssertionError:  # html.parser's answer to a declaration such as "<![x["
        text = re.sub(r"<[^>]*>?", " ", html)
    lines = (line.strip(" ") for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
