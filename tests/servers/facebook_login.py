"""A Graph API on loopback with Facebook's sign-in before it: dialog, codes, longer tokens, pages and their tokens.

It follows https://developers.facebook.com/docs/facebook-login; what it answers are the recordings after it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.servers.authorize import Dialog
from tests.servers.graph import APP_ID, APP_SECRET, WABA, GraphServer

RECORDINGS = Path(__file__).parents[1] / "connectors" / "recordings"


def recorded(name: str) -> Any:
    """An answer after Meta's documentation."""
    return json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))


@dataclass
class FacebookLogin(GraphServer):
    """One person who manages two pages; the first one has an Instagram account."""

    dialog: Dialog = field(default_factory=Dialog)
    declined: set[str] = field(default_factory=set)
    """Permissions that the person does not give."""
    pages: list[dict[str, Any]] = field(default_factory=lambda: recorded("facebook/accounts")["data"])
    ends: bool = True
    """Whether tokens of a code end, as a person's do; a system user's do not."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One call."""
        path, query = request.match_info["path"], request.query
        if path == "dialog/oauth":
            self.scopes = [name for name in query.get("scope", "").split(",") if name not in self.declined]
            return self.dialog.visit(query, APP_ID)
        if path == "oauth/access_token":
            self.asked.append(path)
            return self._token(query)
        return await super().handle(request)

    def _token(self, query: Mapping[str, str]) -> web.Response:
        short, long = recorded("facebook/token_short"), recorded("facebook/token_long")
        found = None
        if query.get("client_id") == APP_ID and query.get("client_secret") == APP_SECRET:
            if query.get("grant_type") == "fb_exchange_token":
                found = long if query.get("fb_exchange_token") == short["access_token"] else None
            elif self.dialog.redeem(query):
                found = short if self.ends else {k: v for k, v in long.items() if k != "expires_in"}
        if found is None:
            words = "This authorization code has been used."
            error = {"message": words, "type": "OAuthException", "code": 100, "error_subcode": 36009}
            return web.json_response({"error": error}, status=400)
        self.tokens |= {long["access_token"], *(page["access_token"] for page in self.pages if "access_token" in page)}
        return web.json_response(found)

    def _read(self, path: str, query: Mapping[str, str]) -> Any:
        page = next((each for each in self.pages if each.get("access_token") == self.token), None)
        if path == "me/accounts":
            is_person = self.token == recorded("facebook/token_long")["access_token"]
            return {**recorded("facebook/accounts"), "data": self.pages} if is_person else {"data": []}
        if path == "me" and page:
            wanted = query.get("fields", "").partition("{")[0].split(",")
            return {key: value for key, value in page.items() if key in wanted}
        if path == f"{WABA}/phone_numbers":
            return recorded("whatsapp/phone_numbers")
        if path in {number["id"] for number in recorded("whatsapp/phone_numbers")["data"]}:
            return next(n for n in recorded("whatsapp/phone_numbers")["data"] if n["id"] == path)
        found = super()._read(path, query)
        if path == "debug_token":
            targets = [{"scope": "whatsapp_business_management", "target_ids": [WABA]}]
            found["data"]["granular_scopes"] = targets if targets[0]["scope"] in self.scopes else []
        return found
