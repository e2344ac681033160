"""Official: a whole scenario of Daytona's own, unmodified client against the stand-in, as a program of its own.

Owns: the scenario, and what it saw as JSON on stdout.
Never: the code under test; only what Daytona publishes.
Reads as: test_daytona_stand_in.py -> `python official.py API_URL` -> `daytona.AsyncDaytona` -> the stand-in.
"""

import asyncio
import json
import os
import sys
import urllib.error
import urllib.request
from typing import Any

from daytona import (
    AsyncDaytona,
    CreateSandboxFromSnapshotParams,
    DaytonaConfig,
    DaytonaError,
    FileUpload,
    SessionExecuteRequest,
)

SERVER = "python3 -m http.server 3000 --bind 127.0.0.1 > server.log 2>&1"


def status_of(url: str, headers: dict[str, str]) -> int:
    """What a way answers, redirects not followed."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_args: object, **_named: object) -> None:
            """Stay."""

    opener = urllib.request.build_opener(Stay)
    try:
        with opener.open(urllib.request.Request(url, headers=headers)) as answer:  # noqa: S310 - our own server
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


async def refused(call: Any) -> str:  # noqa: ANN401 - a coroutine of theirs
    """The class of the error that a call raises."""
    try:
        await call
    except DaytonaError as error:
        return type(error).__name__
    return "nothing"


async def inside(box: Any, seen: dict[str, Any]) -> None:  # noqa: ANN401 - their sandbox
    """Commands, files and sessions."""
    done = await box.process.exec("echo hello $WHO; exit 3", env={"WHO": "you"})
    seen["exec"] = [done.exit_code, done.result]
    await box.fs.upload_file(b"one", "note.txt")
    await box.fs.upload_files([FileUpload(source=b"two", destination="/tmp/a/two.txt")])  # noqa: S108
    seen["download"] = [
        (await box.fs.download_file(path)).decode()
        for path in ("note.txt", "/tmp/a/two.txt")  # noqa: S108
    ]
    seen["files"] = sorted(one.name for one in await box.fs.list_files("."))
    await box.process.create_session("server")
    asked = SessionExecuteRequest(command=SERVER, run_async=True)
    command = await box.process.execute_session_command("server", asked)
    said = await box.process.execute_session_command(
        "server", SessionExecuteRequest(command="echo in session")
    )
    seen["session"] = said.output
    seen["commands"] = len((await box.process.get_session("server")).commands)
    seen["command"] = bool(command.cmd_id)


async def ways(box: Any, seen: dict[str, Any]) -> str:  # noqa: ANN401
    """Previews: by header, signed, and without either."""
    preview = await box.get_preview_link(3000)
    headers = {"x-daytona-preview-token": preview.token}
    for _ in range(100):
        if await asyncio.to_thread(status_of, preview.url, headers) == 200:
            break
        await asyncio.sleep(0.1)
    signed = await box.create_signed_preview_url(3000)
    seen["ways"] = [
        await asyncio.to_thread(status_of, preview.url, headers),
        await asyncio.to_thread(status_of, signed.url, {}),
        await asyncio.to_thread(status_of, preview.url, {}),
    ]
    token: str = preview.token
    return token


async def main() -> None:
    """The scenario."""
    seen: dict[str, Any] = {}
    config = DaytonaConfig(api_key=os.environ["STANDIN_KEY"], api_url=sys.argv[1])
    async with AsyncDaytona(config) as daytona:
        params = CreateSandboxFromSnapshotParams(
            name="official", labels={"who": "them"}, auto_stop_interval=60
        )
        box = await daytona.create(params, timeout=60)
        seen["state"] = str(box.state.value if box.state else None)
        seen["duplicate"] = await refused(daytona.create(params, timeout=60))
        await inside(box, seen)
        token = await ways(box, seen)
        seen["listed"] = [one.name async for one in daytona.list()]
        seen["same"] = (await daytona.get("official")).id == box.id
        await box.stop(timeout=60)
        await box.start(timeout=60)
        seen["kept"] = (await box.fs.download_file("note.txt")).decode()
        seen["rotated"] = (await box.get_preview_link(3000)).token != token
        await box.delete(timeout=60)
        seen["gone"] = await refused(daytona.get("official"))
    sys.stdout.write(json.dumps(seen))


if __name__ == "__main__":
    asyncio.run(main())
