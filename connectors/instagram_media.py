"""Comments under our media on Instagram, found by looking: what the webhooks missed, and what came before them.

Written after https://developers.facebook.com/docs/instagram-platform/instagram-graph-api/reference: ig-user/media,
ig-media/comments (the newest first) and ig-comment/replies.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime

from connectors.base import Json
from connectors.meta_graph import Graph, listed, next_page

MEDIA = 25
"""Pictures and videos in one page; one poll asks for one."""
COMMENTS = 50
MORE = 20
"""Further pages of comments that one picture may need, or of answers that one comment may."""
POST_FIELDS = "id,caption,media_type,media_url,thumbnail_url,permalink,timestamp,username"
REPLY_FIELDS = "id,text,timestamp,username,from"
COMMENT_FIELDS = f"{REPLY_FIELDS},replies.limit({COMMENTS}){{{REPLY_FIELDS}}}"
FIELDS = f"{POST_FIELDS},comments.limit({COMMENTS}){{{COMMENT_FIELDS}}}"

Found = tuple[datetime, dict[str, Json]]
"""When something was written, and what `read_polled` gets of it: the comment, its media, the comment above it."""


async def look(graph: Graph, account: str, after: str | None, since: datetime) -> tuple[list[Found], str | None]:
    """What was written after `since` under one page of the account's media, oldest first, and the page after it."""
    fields = {"fields": FIELDS, "limit": str(MEDIA)}
    answer = await graph.get(f"{account}/media", {**fields, "after": after} if after else fields)
    found: list[Found] = []
    for media in listed(answer):
        if isinstance(media, dict):
            post = {key: value for key, value in media.items() if key != "comments"}
            async for item in _under(graph, media, since):
                found.append((item[0], {**item[1], "media": post}))
    return sorted(found, key=lambda item: item[0]), next_page(answer)


async def _under(graph: Graph, media: Mapping[str, Json], since: datetime) -> AsyncIterator[Found]:
    """New comments and answers under one picture. An old comment may have a new answer, so those that came along are
    looked at whatever their age; further pages only while comments are new."""
    async for comments in _pages(graph, media.get("comments"), f"{media.get('id')}/comments", COMMENT_FIELDS):
        is_new = False
        for comment in comments:
            at = written_at(comment)
            if at and at > since:
                is_new = True
                yield at, {"comment": {key: value for key, value in comment.items() if key != "replies"}}
            above = comment.get("id")
            async for replies in _pages(graph, comment.get("replies"), f"{above}/replies", REPLY_FIELDS):
                for reply in replies:
                    if (at := written_at(reply)) and at > since:
                        yield at, {"comment": reply, "above": above}
        if not is_new:
            return


async def _pages(graph: Graph, edge: Json, path: str, fields: str) -> AsyncIterator[list[dict[str, Json]]]:
    """An edge that came with its object, then its further pages."""
    first = edge if isinstance(edge, dict) else {}
    yield [each for each in listed(first) if isinstance(each, dict)]
    if after := next_page(first):
        more = {"fields": fields, "limit": str(COMMENTS), "after": after}
        async for answer in graph.pages(path, more, MORE):
            yield [each for each in listed(answer) if isinstance(each, dict)]


def written_at(item: Mapping[str, Json]) -> datetime | None:
    """The time of a comment; None where it has none that we can read."""
    value = item.get("timestamp")
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
        return at.astimezone(UTC) if at and at.tzinfo else None
    except (ValueError, OverflowError):
        return None
