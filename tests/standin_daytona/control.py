"""Control: the life and death of sandboxes in the stand-in's REST API.

Owns: the handlers below `/api`.
Never: an answer sooner than Daytona's: a create waits for the start, half a minute at most, and tells how it was before.
Reads as: server.py -> these -> boxes.py.
"""

import asyncio
import json
import secrets
import time

from aiohttp import web
from attrs import frozen

from standin_daytona.boxes import Box, Refusal
from standin_daytona.service import Service

CREATE_WAIT_SECONDS = 30.0
_PAGE = 100
_PORTS = range(3000, 10_000)
"""As the versions of Daytona have it that take the fewest."""


@frozen
class Control:
    """The handlers."""

    service: Service

    def routes(self) -> list[web.RouteDef]:
        """Which request is for which handler."""
        one = "/api/sandbox/{sandbox}"
        wanted = [
            ("POST", "/api/sandbox", "create", self.create),
            ("GET", "/api/sandbox", "list", self.page),
            ("GET", one, "get", self.get),
            ("DELETE", one, "delete", self.delete),
            ("POST", f"{one}/start", "start", self.start),
            ("POST", f"{one}/stop", "stop", self.stop),
            ("GET", f"{one}/toolbox-proxy-url", "toolbox-url", self.toolbox_url),
            ("GET", f"{one}/ports/{{port}}/preview-url", "preview", self.preview),
            ("GET", f"{one}/ports/{{port}}/signed-preview-url", "signed-preview", self.signed_preview),
        ]
        return [
            web.route(method, path, self.service.operation(op, work)) for method, path, op, work in wanted
        ]

    async def create(self, request: web.Request) -> web.Response:
        """Make one, and wait a while for its start."""
        fault, faults = request["fault"], self.service.faults
        asked = await request.json()
        if asked.get("snapshot") and any(asked.get(size) for size in ("cpu", "memory", "disk")):
            raise Refusal(400, "Cannot specify Sandbox resources when using a snapshot")
        box = self.service.boxes.add(asked)
        told = box.told()
        kind = "" if fault is None else fault.kind
        seconds = fault.seconds if fault is not None and kind == "stuck" else faults.create_seconds
        coming = asyncio.ensure_future(
            self.service.boxes.bring_up(box, seconds, fails=kind == "failed", is_stuck=kind == "stuck")
        )
        self.service.late.add(coming)
        coming.add_done_callback(self.service.late.discard)
        await asyncio.wait([coming], timeout=0.2 if kind == "stuck" else CREATE_WAIT_SECONDS)
        if kind == "failed":
            raise Refusal(400, f"Sandbox failed to start: {box.error}")
        return web.json_response(told)

    async def page(self, request: web.Request) -> web.Response:
        """A page of those that carry the labels, as they were a while ago."""
        labels = json.loads(request.query.get("labels", "{}"))
        found = self.service.boxes.shown(labels, self.service.faults.list_lag_seconds)
        begin, size = int(request.query.get("cursor", "0")), int(request.query.get("limit", str(_PAGE)))
        rest = found[begin + size :]
        return web.json_response(
            {"items": found[begin : begin + size], "nextCursor": str(begin + size) if rest else None}
        )

    async def get(self, request: web.Request) -> web.Response:
        """One, by id or name."""
        return web.json_response(self._box(request).told())

    async def delete(self, request: web.Request) -> web.Response:
        """Its end; what is told is how it was."""
        return self._asked(request, "delete")

    async def start(self, request: web.Request) -> web.Response:
        """Its start."""
        return self._asked(request, "start")

    async def stop(self, request: web.Request) -> web.Response:
        """Its stop."""
        return self._asked(request, "stop")

    async def toolbox_url(self, request: web.Request) -> web.Response:
        """Where its toolbox is."""
        self._box(request)
        return web.json_response({"url": f"{self.service.boxes.base_url}/toolbox"})

    async def preview(self, request: web.Request) -> web.Response:
        """The way to a port, by a token in a header."""
        box, port = self._box(request), request.match_info["port"]
        if int(port) not in _PORTS:
            raise Refusal(400, f"Port {port} cannot be previewed")
        url = f"{self.service.boxes.base_url}/preview/{port}-{box.key_id}"
        return web.json_response({"sandboxId": box.key_id, "url": url, "token": box.token})

    async def signed_preview(self, request: web.Request) -> web.Response:
        """The way to a port, by a token in the address."""
        box, port = self._box(request), int(request.match_info["port"])
        token = secrets.token_hex(12)
        box.signed[token] = (port, time.time() + float(request.query.get("expiresInSeconds", "60")))
        url = f"{self.service.boxes.base_url}/preview/{port}-{token}"
        return web.json_response({"sandboxId": box.key_id, "port": port, "token": token, "url": url})

    def _asked(self, request: web.Request, verb: str) -> web.Response:
        box = self._box(request)
        told = box.told()
        self.service.boxes.ask(box, verb)
        return web.json_response({**told, "desiredState": box.desired})

    def _box(self, request: web.Request) -> Box:
        return self.service.boxes.find(request.match_info["sandbox"])
