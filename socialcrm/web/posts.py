"""The picture of a post above its comments."""

from aiohttp import web

from socialcrm.engine import files, posts
from socialcrm.engine.attach import CannotFetch
from socialcrm.web.attachments import serve
from socialcrm.web.i18n import language, translations
from socialcrm.web.keys import LINE
from socialcrm.web.reasons import reason

routes = web.RouteTableDef()


@routes.get(r"/posts/{id:\d{1,18}}/picture", name="post_picture")
async def show(request: web.Request) -> web.StreamResponse:
    """The picture, from our own copy after the first time."""
    line = request.app[LINE]
    try:
        sha256 = await posts.picture(line, int(request.match_info["id"]))
    except LookupError:
        raise web.HTTPNotFound from None
    except CannotFetch as error:
        sentence = reason(str(error), translations(language(request)).gettext)
        raise web.HTTPBadGateway(text=sentence) from error
    return await serve(files.path_of(line.settings.storage.folder, sha256), "")
