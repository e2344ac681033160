"""Sandbox probe: the little server that the service checks run, and how they ask it.

Owns: `probe`, `answer`, and what is required of an answer and of the count of starts.
Never: a real agent server; what it needs of a provider is what this one needs.
Reads as: sandbox_service.py, sandbox_service_failures.py -> this -> `SandboxAccess`.
"""

import httpx

from taskdock.ports.sandbox import Endpoint, ProgramFile, SandboxRef, ServiceSpec
from taskdock.testing.conformance.promises import require
from taskdock.testing.conformance.sandbox_under_test import SandboxUnderTest

# Appends a line to `starts` at each start, then does as its third argument says.
_SERVER = b"""
import http.server, os, sys, time
token, port, mode = sys.argv[1:4]
with open(os.path.join(os.environ["HOME"], "starts"), "a") as starts:
    starts.write(f"{os.getpid()} {os.environ['CHECKOUT']}\\n")
if mode == "crash":
    with open(os.path.join(os.environ["HOME"], "shown"), "w") as shown:
        shown.write(token)
    print("the frobnicator is missing", token, file=sys.stderr, flush=True)
    sys.exit(3)
if mode == "silent":
    print("thinking", flush=True)
    open(os.path.join(os.environ["HOME"], "said"), "w").close()
    time.sleep(600)
if mode == "daemon" and os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
if mode == "stranger":
    token = "of somebody else"

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ours = self.headers.get("Authorization") == f"Bearer {token}"
        self.send_response(401 if not ours else 200 if self.path == "/health" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Answer).serve_forever()
"""


def probe(sut: SandboxUnderTest, mode: str = "serve", version: str = "1") -> ServiceSpec:
    """Describe the server: `mode` is serve, daemon, crash, silent or stranger."""
    return ServiceSpec(
        name="probe",
        version=version,
        argv=(sut.python, "{home}/.taskdock/probe.py", "{token}", "{port}", mode),
        env={"CHECKOUT": "{checkout}"},
        files=(ProgramFile(".taskdock/probe.py", content=_SERVER),),
        health_path="/health",
    )


async def answer(endpoint: Endpoint, *, with_token: bool) -> int | None:
    """The status that the health path answers with, None when nothing answers."""
    uds = None if endpoint.uds is None else str(endpoint.uds)
    transport = httpx.AsyncHTTPTransport(verify=False, uds=uds)
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        try:
            headers = dict(endpoint.headers) if with_token else {}
            return (await client.get(f"{endpoint.url}/health", headers=headers)).status_code
        except httpx.TransportError:
            return None


async def require_answer(endpoint: Endpoint, promise: str) -> None:
    """Require that the health path answers 200 to the token."""
    status = await answer(endpoint, with_token=True)
    mend = "wait for a 200 of the health path, and give the address at which it came"
    require(status == httpx.codes.OK, promise, f"there answers {status or 'nothing'}", mend)


async def require_starts(
    sut: SandboxUnderTest,
    ref: SandboxRef,
    times: int,
    promise: str,
    mend: str = "look for the running server under a lock that all processes share, then start or adopt",
) -> None:
    """Require that the server was started so often, by its own count."""
    starts = (await sut.access.get_file(ref, "starts")).decode().splitlines()
    require(len(starts) == times, promise, f"it was started {len(starts)} times, not {times}", mend)
