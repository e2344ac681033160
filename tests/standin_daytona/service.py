"""Service: what surrounds every operation of the stand-in: the key, the faults, the referee.

Owns: `Service`, and `operation`, which makes a handler of a function.
Never: what an operation does.
Reads as: aiohttp -> a handler made here -> control.py, toolbox.py -> the referee.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from attrs import define, field

from standin_daytona.boxes import Boxes, Refusal
from standin_daytona.faults import Fault, Faults
from standin_daytona.referee import Exchange, Referee

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_JSON = "application/json"


@define(eq=False)
class Service:
    """All that handlers share."""

    key: str
    boxes: Boxes
    faults: Faults = field(factory=Faults)
    referee: Referee = field(factory=Referee)
    late: "set[asyncio.Task[None]]" = field(factory=set)

    def operation(self, op: str, work: "Handler") -> Handler:
        """Surround an operation. What it does is done to its end, also when the client hangs up."""

        async def handle(request: web.Request) -> web.StreamResponse:
            asked = await _asked(request)
            fault = self.faults.take(op, self._name(request, asked))
            response = await self._before(request, fault)
            if response is None:
                task = asyncio.ensure_future(self._guarded(request, work, fault))
                response = await asyncio.shield(task)
                response = self._after(request, response, fault)
            if isinstance(response, web.Response):
                self._judge(request, asked, response, fault)
            return response

        return handle

    async def _guarded(self, request: web.Request, work: Handler, fault: Fault | None) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self.key}":
            return refused(request, 401, "Unauthorized")
        request["fault"] = fault
        try:
            response = await work(request)
        except Refusal as refusal:
            response = refused(request, refusal.status, refusal.message)
        self.boxes.index()
        return response

    async def _before(self, request: web.Request, fault: Fault | None) -> web.StreamResponse | None:
        if fault is None:
            return None
        if fault.kind == "slow":
            await asyncio.sleep(fault.seconds)
        if fault.kind == "drop":
            return _hung_up(request)
        if fault.kind == "refuse":
            return refused(request, fault.status, fault.message, fault.headers)
        if fault.kind == "late":
            task = asyncio.ensure_future(self._land(await request.json(), fault.seconds))
            self.late.add(task)
            task.add_done_callback(self.late.discard)
            return _hung_up(request)
        return None

    def _after(
        self, request: web.Request, response: web.StreamResponse, fault: Fault | None
    ) -> web.StreamResponse:
        if fault is None or response.status >= 400:
            return response
        if fault.kind == "drop-after":
            return _hung_up(request)
        if fault.kind == "refuse-after":
            return refused(request, fault.status, fault.message, fault.headers)
        if fault.kind == "mutate" and isinstance(response, web.Response):
            told = json.loads(response.body or b"{}")  # type: ignore[arg-type] # bytes, as all of ours
            told = {key: value for key, value in (told | fault.set).items() if key not in fault.cut}
            return web.json_response(told)
        return response

    async def _land(self, asked: dict[str, Any], seconds: float) -> None:
        """A create whose client has long gone."""
        await asyncio.sleep(seconds)
        try:
            await self.boxes.bring_up(self.boxes.add(asked))
        except Refusal:
            return

    def _judge(self, request: web.Request, asked: Any, response: web.Response, fault: Fault | None) -> None:  # noqa: ANN401
        if fault is not None and fault.kind == "mutate" and fault.quiet:
            self.referee.injected += 1
            return
        if request.transport is None or response.headers.get("X-Standin-Hung-Up"):
            return
        is_json = response.content_type == _JSON
        answered = json.loads(response.body) if is_json and response.body else None  # type: ignore[arg-type]
        self.referee.check(
            Exchange(
                request.method,
                request.path,
                dict(request.query),
                asked,
                response.status,
                answered,
                is_json=is_json,
            )
        )

    def _name(self, request: web.Request, asked: Any) -> str:  # noqa: ANN401
        """The name of the sandbox that it is about, as it was given."""
        wanted = request.match_info.get("sandbox")
        if wanted is None:
            return str(asked.get("name", "")) if isinstance(asked, dict) else ""
        box = self.boxes.all.get(wanted)
        return wanted if box is None else box.given_name


def refused(
    request: web.Request, status: int, message: str, headers: dict[str, str] | None = None
) -> web.Response:
    """An error as Daytona words it."""
    body = {
        "path": request.path,
        "timestamp": datetime.now(UTC).isoformat(),
        "statusCode": status,
        "error": "Error",
        "message": message,
    }
    return web.json_response(body, status=status, headers=headers)


def _hung_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(headers={"X-Standin-Hung-Up": "1"})


async def _asked(request: web.Request) -> Any:  # noqa: ANN401
    """The body, where it is JSON."""
    if request.content_type != _JSON or not request.can_read_body:
        return None
    try:
        return await request.json()
    except ValueError:
        return None
