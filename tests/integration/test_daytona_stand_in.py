"""The stand-in of Daytona is honest: Daytona's own client works with it, and its own models judge every answer."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stand_in import StandIn, running_stand_in

OFFICIAL = Path(__file__).resolve().parent.parent / "standin_daytona/official.py"
OPERATIONS = 276
"""In the two clients of the lock: 169 of the API, 107 of the toolbox."""
CHECKED = {
    "api.create_sandbox": 2,
    "api.get_sandbox": 4,
    "api.list_sandboxes": 1,
    "api.start_sandbox": 1,
    "api.stop_sandbox": 1,
    "api.delete_sandbox": 1,
    "api.get_port_preview_url": 2,
    "api.get_signed_port_preview_url": 1,
    "toolbox_api.execute_command": 1,
    "toolbox_api.upload_files": 2,
    "toolbox_api.download_files": 3,
    "toolbox_api.list_files": 1,
    "toolbox_api.create_session": 1,
    "toolbox_api.get_session": 1,
    "toolbox_api.session_execute_command": 2,
}
"""How often each operation of the scenario is judged at least; a look at a sandbox may be asked for more often."""


@pytest.fixture(scope="module")
def own_stand_in() -> Iterator[StandIn]:
    """One whose referee may be given something to say."""
    with running_stand_in() as one:
        yield one


def ask(stand_in: StandIn, method: str, path: str, body: Any = None) -> tuple[int, Any]:  # noqa: ANN401 - JSON
    """One request with the key, and what is answered."""
    request = urllib.request.Request(  # noqa: S310 - our own server
        f"{stand_in.url}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {stand_in.key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error) if "json" in error.headers.get("Content-Type", "") else None


def test_daytonas_own_client_works_with_it(tmp_path: Path) -> None:
    """A whole scenario of the unmodified client, every exchange of it judged by the client's own models without a word."""
    with running_stand_in() as stand_in:
        done = subprocess.run(
            [sys.executable, str(OFFICIAL), f"{stand_in.url}/api"],
            env={**os.environ, "STANDIN_KEY": stand_in.key},
            cwd=tmp_path,
            capture_output=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        referee = stand_in.seen()["referee"]
    assert json.loads(done.stdout) == {
        "state": "started",
        "duplicate": "DaytonaConflictError",
        "exec": [3, "hello you\n"],
        "download": ["one", "two"],
        "files": ["note.txt"],
        "session": "in session\n",
        "commands": 2,
        "command": True,
        "ways": [200, 200, 307],
        "listed": ["official"],
        "same": True,
        "kept": "one",
        "rotated": True,
        "gone": "DaytonaNotFoundError",
    }
    assert referee["violations"] == []
    assert referee["operations"] == OPERATIONS
    assert {name: min(referee["checked"].get(name, 0), least) for name, least in CHECKED.items()} == CHECKED


MUTATIONS: dict[str, tuple[str, dict[str, Any], str]] = {
    "a field is missing": ("get", {"cut": ["kvm"]}, "no Sandbox"),
    "a list without its cursor": ("list", {"cut": ["nextCursor"]}, "lacks nextCursor"),
    "a number is a text": ("get", {"set": {"cpu": "two"}}, "no Sandbox"),
    "a state that nobody knows": ("get", {"set": {"state": "quarantined"}}, "does not know"),
    "a field that is not declared": ("get", {"set": {"mood": "good"}}, "mood is not declared"),
    "a label that is no text": ("get", {"set": {"labels": {"a": 1}}}, "no Sandbox"),
    "no answer at all in a preview": ("preview", {"cut": ["token"]}, "no PortPreviewUrl"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_mutated_answer_is_caught(own_stand_in: StandIn, mutation: str) -> None:
    """Whatever is wrong with an answer, the referee says it, and of which operation."""
    op, how, words = MUTATIONS[mutation]
    name = f"box-{list(MUTATIONS).index(mutation)}"
    ask(own_stand_in, "POST", "/api/sandbox", {"name": name})
    before = len(own_stand_in.seen()["referee"]["violations"])
    own_stand_in.order({"op": op, "kind": "mutate", "quiet": False, **how})
    path = {"get": f"/{name}", "list": "", "preview": f"/{name}/ports/8080/preview-url"}[op]
    ask(own_stand_in, "GET", f"/api/sandbox{path}")
    found = own_stand_in.seen()["referee"]["violations"][before:]
    assert any(words in one for one in found)
    assert all(one.startswith("api.") for one in found)


def test_a_request_that_is_none_of_theirs_is_caught(own_stand_in: StandIn) -> None:
    """Neither a field nor a parameter that their models do not declare passes, and what is refused is judged too."""
    before = len(own_stand_in.seen()["referee"]["violations"])
    ask(own_stand_in, "POST", "/api/sandbox", {"name": "box-odd", "colour": "red"})
    ask(own_stand_in, "GET", "/api/sandbox?colour=red")
    assert ask(own_stand_in, "GET", "/api/sandbox/box-none")[0] == 404
    found = own_stand_in.seen()["referee"]["violations"][before:]
    assert [words for words in found if "colour is not declared" in words] == found
    assert len(found) == 2


def test_the_key_is_needed(own_stand_in: StandIn) -> None:
    """Without the key everything is refused, and nothing is made."""
    stranger = StandIn(own_stand_in.url, "dtn_other", own_stand_in.folder)
    created = own_stand_in.seen()["created"]
    assert ask(stranger, "POST", "/api/sandbox", {"name": "box-stranger"})[0] == 401
    assert own_stand_in.seen()["created"] == created
