"""Command: `python -m standin_daytona FOLDER`; says where it listens, and serves until its stdin ends.

Owns: the server's process, and the door by which tests order faults and look from outside (`/_standin`).
Never: a sandbox that outlives it.
Reads as: stand_in.py starts it -> control.py, toolbox.py, preview.py.
"""

import asyncio
import os
import sys
from pathlib import Path

from aiohttp import web

from standin_daytona.boxes import Boxes
from standin_daytona.control import Control
from standin_daytona.faults import Fault
from standin_daytona.preview import Preview
from standin_daytona.service import Service
from standin_daytona.toolbox import Toolbox

_BODY_BYTES_MAX = 1 << 30


async def faults(request: web.Request) -> web.Response:
    """Order faults, or change what is always so."""
    service: Service = request.app["service"]
    asked = await request.json()
    if asked.get("clear"):
        service.faults.clear()
    for name in ("list_lag_seconds", "create_seconds"):
        if name in asked:
            setattr(service.faults, name, float(asked[name]))
    if "rate" in asked:
        service.faults.let_loose(asked["seed"], asked["rate"])
    service.faults.ordered += [Fault(**one) for one in asked.get("faults", ())]
    return web.json_response({"happened": service.faults.happened})


async def seen(request: web.Request) -> web.Response:
    """All that can be seen from outside: boxes, what runs in those of a name, what lies on the disk; the referee."""
    service: Service = request.app["service"]
    name = request.query.get("name")
    told: dict[str, object] = {
        "boxes": [box.told() for box in service.boxes.all.values() if box.state != "destroyed"],
        "created": service.boxes.created,
        "doubles": service.boxes.doubles,
        "coming": len(service.late),
        "happened": service.faults.happened,
        "referee": service.referee.report(),
    }
    if name is not None:
        told |= {"processes": service.boxes.processes(name), "files": service.boxes.files(name)}
    return web.json_response(told)


async def opened(request: web.Request) -> web.Response:
    """Look into the boxes of an owner."""
    service: Service = request.app["service"]
    return web.json_response(service.boxes.opened(request.query["owner"]))


async def act(request: web.Request) -> web.Response:
    """What happens to a box behind everybody's back: its token changes, it stops, it is gone, what is stuck goes on."""
    service: Service = request.app["service"]
    asked = await request.json()
    # By its id also one that has gone meanwhile.
    box = service.boxes.all.get(asked["name"]) or service.boxes.find(asked["name"])
    if asked["act"] == "rotate":
        box.token = os.urandom(12).hex()
    elif asked["act"] == "stop":
        service.boxes.ask(box, "stop")
    elif asked["act"] == "take-away":
        await service.boxes.take_away(box)
    elif asked["act"] == "release":
        box.released.set()
    else:
        box.state = asked["act"]
    return web.json_response({})


async def serve(folder: Path, key: str) -> None:
    """Serve until stdin ends, then end every sandbox."""
    service = Service(key, Boxes(folder))
    app = web.Application(client_max_size=_BODY_BYTES_MAX)
    app["service"] = service
    app.add_routes([*Control(service).routes(), *Toolbox(service).routes(), *Preview(service).routes()])
    app.add_routes(
        [
            web.post("/_standin/faults", faults),
            web.get("/_standin", seen),
            web.get("/_standin/boxes", opened),
            web.post("/_standin/act", act),
        ]
    )
    # A client that hangs up is noticed, since the agents behind a preview are ended by that; operations are shielded.
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=512)
    await site.start()
    port = runner.addresses[0][1]
    service.boxes.base_url = f"http://127.0.0.1:{port}"
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), over.set)
    await over.wait()
    await service.boxes.close()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), os.environ["STANDIN_KEY"]))
