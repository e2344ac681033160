"""Control: life and death of boxes in Daytona's REST API, one method for each request.

Owns: `Control`, which endpoint does what, and how long each may take.
Never: a decision on what a refusal means for a sandbox; a box adopted from a list.
Reads as: provider.py -> this -> wire.py.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from attrs import frozen

from taskdock.adapters.sandbox.daytona.box import Box
from taskdock.adapters.sandbox.daytona.failures import Missing
from taskdock.adapters.sandbox.daytona.wire import Call, Wire
from taskdock.core.errors import Permanent, Transient

_PAGE = 100
_PAGES_MAX = 1000


@frozen
class Preview:
    """Where a port of a box is reached from outside, and the token that opens the way; void after the next start."""

    url: str
    token: str


@frozen
class Control:
    """The boxes of one account."""

    wire: Wire
    create_seconds: float

    async def find(self, id_or_name: str) -> Box | None:
        """The box, or None when Daytona says that there is none. Raises for every other answer."""
        call = Call(f"look at the sandbox {id_or_name}", "GET", self._url(id_or_name))
        try:
            return Box.read(await self.wire.ask(call))
        except Missing:
            return None

    async def create(self, body: Mapping[str, Any]) -> Box:
        """Make one. Daytona may wait half a minute for it to start before it answers."""
        doing = f"make the sandbox {body['name']}"
        call = Call(doing, "POST", self._url(), changes=True, json=body, seconds_max=self.create_seconds)
        try:
            return Box.read(await self.wire.ask(call))
        except Missing as error:
            # What it is to be made of is not there, nor will it be.
            raise Permanent(error.reason) from error

    async def delete(self, box: Box) -> None:
        """Ask for the end of exactly this box: by id, since its name may belong to another one by now."""
        await self._do(box, "DELETE", "", "remove")

    async def start(self, box: Box) -> None:
        """Ask for a stopped one to run."""
        await self._do(box, "POST", "/start", "start")

    async def stop(self, box: Box) -> None:
        """Ask for a running one to stop."""
        await self._do(box, "POST", "/stop", "stop")

    async def preview(self, box: Box, port: int) -> Preview:
        """Ask for the way to a port."""
        doing = f"open the way to port {port} of {box.name}"
        told = await self.wire.ask(Call(doing, "GET", f"{self._url(box.key_id)}/ports/{port}/preview-url"))
        url, token = (told.get(name) for name in ("url", "token")) if isinstance(told, dict) else (None, None)
        if not isinstance(url, str) or not isinstance(token, str):
            raise Transient(f"Daytona did not answer when it was to {doing}.")
        return Preview(url.rstrip("/"), token)

    async def listed(self, labels: Mapping[str, str]) -> AsyncIterator[Box]:
        """Every box that carries these labels, page by page. The list lags behind, so it is a hint and no more."""
        cursor: str | None = None
        for _ in range(_PAGES_MAX):
            params = {"labels": json.dumps(labels), "limit": str(_PAGE), "includeErroredDeleted": "true"}
            if cursor is not None:
                params["cursor"] = cursor
            page = await self.wire.ask(Call("list the sandboxes", "GET", self._url(), params=params))
            items = page.get("items") if isinstance(page, dict) else None
            if not isinstance(items, list):
                raise Transient("Daytona did not answer when it was to list the sandboxes.")
            for item in items:
                yield Box.read(item)
            cursor = page.get("nextCursor")
            if not isinstance(cursor, str) or not cursor:
                return

    async def _do(self, box: Box, method: str, path: str, verb: str) -> None:
        call = Call(f"{verb} the sandbox {box.name}", method, f"{self._url(box.key_id)}{path}", changes=True)
        with suppress(Missing):  # it is gone: the next look will tell
            await self.wire.send(call)

    def _url(self, id_or_name: str | None = None) -> str:
        base = f"{self.wire.api_url}/sandbox"
        return base if id_or_name is None else f"{base}/{quote(id_or_name, safe='')}"
