"""Toolbox: commands, sessions and files of a running sandbox, over HTTP.

Owns: the handlers below `/toolbox`.
Never: a look into a sandbox's folder; all goes through its daemon, as the sandbox itself sees it.
Reads as: server.py -> these -> the daemon's socket -> toolboxd.py.
"""

import asyncio
import json
from typing import Any
from urllib.parse import quote

from aiohttp import BodyPartReader, web
from attrs import frozen

from standin_daytona.boxes import Box, Refusal
from standin_daytona.service import Service

_PIECE = 65536
_EXECUTE_SECONDS = 360
_STATUS = {"FileNotFoundError": 404, "Timeout": 408}


@frozen
class Daemon:
    """One request to the daemon of a box."""

    box: Box

    async def ask(self, do: str, **what: Any) -> dict[str, Any]:
        """Ask, and give the answer; its error is a refusal."""
        reader, writer = await self.begin(do, **what)
        try:
            return await answer(reader)
        finally:
            writer.close()

    async def begin(self, do: str, **what: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Ask, and leave the answer to the caller."""
        if self.box.state != "started":
            raise Refusal(400, f"Sandbox {self.box.key_id} is not running")
        try:
            reader, writer = await asyncio.open_unix_connection(str(self.box.jail.socket), limit=1 << 27)
        except OSError:
            raise Refusal(502, "bad gateway") from None
        writer.write(json.dumps({"do": do, **what}).encode() + b"\n")
        return reader, writer


async def answer(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The line of an answer."""
    try:
        line = await reader.readline()
    except ConnectionError:
        line = b""
    if not line:
        raise Refusal(502, "the sandbox's daemon has gone")
    told: dict[str, Any] = json.loads(line)
    if "error" in told:
        raise Refusal(_STATUS.get(told["kind"], 400), told["error"])
    return told


@frozen
class Toolbox:
    """The handlers."""

    service: Service

    def routes(self) -> list[web.RouteDef]:
        """Which request is for which handler."""
        base = "/toolbox/{sandbox}"
        session = f"{base}/process/session"
        wanted = [
            ("POST", f"{base}/process/execute", "execute", self.execute),
            ("POST", session, "session", self.session),
            ("GET", f"{session}/{{session}}", "session-show", self.session_show),
            ("DELETE", f"{session}/{{session}}", "session-end", self.session_end),
            ("POST", f"{session}/{{session}}/exec", "session-exec", self.session_exec),
            ("GET", f"{session}/{{session}}/command/{{command}}/logs", "session-log", self.session_log),
            ("GET", f"{base}/user-home-dir", "home", self.home),
            ("GET", f"{base}/files", "files", self.files),
            ("GET", f"{base}/files/download", "download", self.download),
            ("POST", f"{base}/files/bulk-upload", "upload", self.upload),
            ("POST", f"{base}/files/bulk-download", "bulk-download", self.bulk_download),
        ]
        return [
            web.route(method, path, self.service.operation(op, work)) for method, path, op, work in wanted
        ]

    async def execute(self, request: web.Request) -> web.Response:
        """Run a shell command to its end."""
        asked = await request.json()
        told = await self._daemon(request).ask(
            "execute",
            command=asked["command"],
            cwd=asked.get("cwd"),
            envs=asked.get("envs"),
            timeout=asked.get("timeout") or _EXECUTE_SECONDS,
        )
        return web.json_response(told)

    async def session(self, request: web.Request) -> web.Response:
        """Make a session."""
        asked = await request.json()
        await self._daemon(request).ask("session", session=asked["sessionId"])
        return web.Response(status=201)

    async def session_show(self, request: web.Request) -> web.Response:
        """A session with its commands."""
        session = request.match_info["session"]
        told = await self._daemon(request).ask("session_show", session=session)
        commands = [
            {key: value for key, value in one.items() if value is not None} for one in told["commands"]
        ]
        return web.json_response({"sessionId": session, "commands": commands})

    async def session_end(self, request: web.Request) -> web.Response:
        """End a session."""
        await self._daemon(request).ask("session_end", session=request.match_info["session"])
        return web.Response(status=204)

    async def session_exec(self, request: web.Request) -> web.Response:
        """Run a command in a session."""
        asked = await request.json()
        is_async = bool(asked.get("runAsync") or asked.get("async"))
        told = await self._daemon(request).ask(
            "session_run", session=request.match_info["session"], command=asked["command"], waits=not is_async
        )
        if is_async:
            return web.json_response({"cmdId": told["cmdId"]}, status=202)
        return web.json_response({**told, "stdout": told["output"], "stderr": ""})

    async def session_log(self, request: web.Request) -> web.Response:
        """What a command of a session has said."""
        where = {key: request.match_info[key] for key in ("session", "command")}
        told = await self._daemon(request).ask("session_log", **where)
        return web.Response(text=told["output"])

    async def home(self, request: web.Request) -> web.Response:
        """Where the home is."""
        told = await self._daemon(request).ask(
            "execute", command='printf %s "$HOME"', cwd=None, envs=None, timeout=10
        )
        return web.json_response({"dir": told["result"]})

    async def files(self, request: web.Request) -> web.Response:
        """What is in a folder."""
        told = await self._daemon(request).ask("list", path=request.query.get("path", "."))
        shown = [
            {
                **one,
                "mode": oct(one["mode"]),
                "modTime": "2026-01-01T00:00:00Z",
                "modifiedAt": "2026-01-01T00:00:00Z",
                "owner": "daytona",
                "group": "daytona",
                "permissions": oct(one["mode"] & 0o777),
            }
            for one in told["files"]
        ]
        return web.json_response(shown)

    async def download(self, request: web.Request) -> web.Response:
        """A file."""
        content = await self._content(request, request.query["path"])
        return web.Response(body=content, content_type="application/octet-stream")

    async def bulk_download(self, request: web.Request) -> web.Response:
        """Several files, each a part of one answer."""
        body, boundary = b"", "standin-of-daytona"
        for path in (await request.json())["paths"]:
            try:
                kind, content = "file", await self._content(request, path)
            except Refusal as refusal:
                kind, content = "error", refusal.message.encode()
            head = f'--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Disposition: form-data; name="{kind}"; filename="{quote(path, safe="/")}"\r\n\r\n'
            body += head.encode() + content + b"\r\n"
        body += f"--{boundary}--\r\n".encode()
        return web.Response(body=body, headers={"Content-Type": f"multipart/form-data; boundary={boundary}"})

    async def upload(self, request: web.Request) -> web.Response:
        """Files, each after the path where it goes."""
        daemon = self._daemon(request)
        paths: dict[str, str] = {}
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader) and part.name is not None
            number, _, what = part.name.partition("].")
            if what == "path":
                paths[number] = (await part.read()).decode()
                continue
            content = bytes(await part.read())
            reader, writer = await daemon.begin("write", path=paths[number], size=len(content))
            try:
                for begin in range(0, len(content), _PIECE):
                    writer.write(content[begin : begin + _PIECE])
                    await writer.drain()
                await answer(reader)
            except ConnectionError:
                raise Refusal(502, "the sandbox's daemon has gone") from None
            finally:
                writer.close()
        return web.json_response({})

    async def _content(self, request: web.Request, path: str) -> bytes:
        reader, writer = await self._daemon(request).begin("read", path=path)
        try:
            told = await answer(reader)
            return await reader.readexactly(told["size"])
        except asyncio.IncompleteReadError:
            raise Refusal(502, "the sandbox's daemon has gone") from None
        finally:
            writer.close()

    def _daemon(self, request: web.Request) -> Daemon:
        return Daemon(self.service.boxes.find(request.match_info["sandbox"]))
