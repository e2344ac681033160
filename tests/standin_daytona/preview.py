"""Preview: the proxy through which a port of a sandbox is reached from outside.

Owns: the way below `/preview`: who may pass, and bytes to and fro.
Never: an answer of its own but the login page, to which whoever lacks the token is sent (307, as Daytona does).
Reads as: server.py -> this -> a unix socket of the sandbox -> its port.

Unlike Daytona's, whose ports are host names, ours are paths: names below localhost are not known on every machine.
"""

import contextlib
import time

import aiohttp
from aiohttp import web
from attrs import frozen
from yarl import URL

from standin_daytona.boxes import Box, Refusal
from standin_daytona.service import Service
from standin_daytona.toolbox import Daemon

_HOP = {"host", "connection", "transfer-encoding", "keep-alive", "upgrade", "x-daytona-preview-token"}
_PIECE = 65536


@frozen
class Preview:
    """The handler."""

    service: Service

    def routes(self) -> list[web.RouteDef]:
        """Everything below a port."""
        places = ("/preview/{place}", "/preview/{place}/{rest:.*}")
        return [web.route("*", place, self.pass_on) for place in places]

    async def pass_on(self, request: web.Request) -> web.StreamResponse:
        """Pass one request on, and its answer back as it comes."""
        number, _, key = request.match_info["place"].partition("-")
        box = self._box(request, key, int(number))
        if box is None:
            return web.Response(status=307, headers={"Location": "/login"})
        try:
            await Daemon(box).ask("expose", port=int(number))
        except Refusal as refusal:
            return web.Response(status=502, text=refusal.message)
        connector = aiohttp.UnixConnector(str(box.jail.run / f"port-{number}.sock"))
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False
        ) as session:
            return await self._through(request, session)

    async def _through(self, request: web.Request, session: aiohttp.ClientSession) -> web.StreamResponse:
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP}
        url = f"http://127.0.0.1/{request.match_info.get('rest', '')}"
        if request.query_string:
            url += f"?{request.query_string}"
        body = await request.read()
        try:
            async with session.request(
                request.method,
                URL(url, encoded=True),
                headers=headers,
                data=body or None,
                allow_redirects=False,
            ) as upstream:
                shown = {key: value for key, value in upstream.headers.items() if key.lower() not in _HOP}
                response = web.StreamResponse(status=upstream.status, headers=shown)
                await response.prepare(request)
                async for piece in upstream.content.iter_any():
                    await response.write(piece)
                with contextlib.suppress(ConnectionError):
                    await response.write_eof()
                return response
        except (aiohttp.ClientError, ConnectionError):
            return web.Response(status=502, text="bad gateway")

    def _box(self, request: web.Request, key: str, port: int) -> Box | None:
        """The box, for who brings its token or a signed address that is still good."""
        for box in self.service.boxes.all.values():
            if box.key_id == key and request.headers.get("x-daytona-preview-token") == box.token:
                return box
            if box.signed.get(key, (0, 0.0)) > (port, time.time()):
                return box
        return None
