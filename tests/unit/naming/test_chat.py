"""The namer that asks a model: what it sends, what it takes from an answer, and how each failure is told."""

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskdock.adapters.naming.chat import ChatNamer, ChatNaming, _proposal
from taskdock.app import Config, load_config, ports_of
from taskdock.core.errors import (
    AuthFailed,
    InvalidCommand,
    Permanent,
    PortError,
    QuotaExceeded,
    Transient,
    Unreachable,
)
from taskdock.core.values import check_branch, check_title
from taskdock.ports.naming import NameProposal, Namer, NameRequest
from unit.naming.chat_server import ChatServer, chat_server, completion

pytestmark = pytest.mark.anyio

KEY = "sk-canary-0123"
REQUEST = NameRequest("Write a note on how to greet people in French")


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """An endpoint of its own."""
    with chat_server() as told:
        yield told


def naming(server: ChatServer, **changes: Any) -> ChatNaming:
    """The settings for this endpoint."""
    return evolve(ChatNaming(server.url, "a-model", "CHAT_KEY", timeout_seconds=10.0), **changes)


@asynccontextmanager
async def namer(server: ChatServer, **changes: Any) -> AsyncIterator[Namer]:
    """A namer for this endpoint, closed at the end."""
    made = ChatNamer(naming(server, **changes), {"CHAT_KEY": KEY})
    try:
        yield made
    finally:
        await made.aclose()


async def test_the_model_names_the_task(server: ChatServer) -> None:
    """Title and slug are the model's; it is asked once, for the model of the settings, with the key and the prompt."""
    async with namer(server) as chat:
        proposal = await chat.propose(REQUEST)
    assert proposal == NameProposal("Greet in French", "greet-in-french")
    (asked,) = server.asked
    assert asked["model"] == "a-model"
    assert asked["messages"][-1] == {"role": "user", "content": REQUEST.prompt}
    assert server.keys == [f"Bearer {KEY}"]


async def test_an_endpoint_without_a_key_is_sent_none(server: ChatServer) -> None:
    """Where no variable is named, no Authorization goes out, whatever the environment holds."""
    async with namer(server, key_variable=None) as chat:
        await chat.propose(REQUEST)
    assert server.keys == [None]


@pytest.mark.parametrize(
    ("said", "proposal"),
    [
        ('```json\n{"title": "Fix it", "slug": "fix-it"}\n```', NameProposal("Fix it", "fix-it")),
        ('Sure! {"title": "Fix it", "slug": "fix-it"} Anything else?', NameProposal("Fix it", "fix-it")),
        (
            '{"title": "Fix\\nit\\u001b[2J now", "slug": "Fix It/Now.lock"}',
            NameProposal("Fix it [2J now", "fix-it-now-lock"),
        ),
        ('{"title": "Fix it", "slug": "日本"}', NameProposal("Fix it", "fix-it")),
        ('{"title": "Fix it"}', NameProposal("Fix it", "fix-it")),
        ('{"title": "Fix it", "slug": 7}', NameProposal("Fix it", "fix-it")),
    ],
)
async def test_an_answer_is_cleaned(server: ChatServer, said: str, proposal: NameProposal) -> None:
    """What stands around the JSON is left out; a slug that no branch may have is made into one, or made from the title."""
    server.body = completion(said)
    async with namer(server) as chat:
        assert await chat.propose(REQUEST) == proposal


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": null}}]}',
        completion("I cannot name this."),
        completion('{"title": '),
        completion('["title"]'),
        completion('{"title": "日本", "slug": "..."}'),
        completion('{"title": "", "slug": "fix-it"}'),
        completion("[" * 60_000),
        b" " * 70_000,
        b"\xff\xfe",
    ],
)
async def test_an_answer_that_names_nothing_is_refused(server: ChatServer, body: bytes) -> None:
    """No half of a name is taken: the error is for good, so the heuristic names the task."""
    server.body = body
    async with namer(server) as chat:
        with pytest.raises(Permanent):
            await chat.propose(REQUEST)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, Permanent),
        (400, Permanent),
        (401, AuthFailed),
        (402, QuotaExceeded),
        (403, AuthFailed),
        (404, Permanent),
        (408, Transient),
        (429, Transient),
        (500, Transient),
        (503, Transient),
    ],
)
async def test_a_refusal_says_what_kind_it_is(server: ChatServer, status: int, kind: type[PortError]) -> None:
    """The status decides; neither the key nor what the endpoint wrote is repeated, and a redirect is not followed."""
    server.status, server.body = status, f"you sent {KEY}".encode()
    server.headers = {"Location": server.url, "Retry-After": "7"}
    async with namer(server) as chat:
        with pytest.raises(PortError) as refused:
            await chat.propose(REQUEST)
    assert type(refused.value) is kind
    assert str(status) in refused.value.reason
    assert KEY not in repr(refused.value) + refused.value.reason
    assert len(server.asked) == 1
    if isinstance(refused.value, Transient):
        assert refused.value.retry_after_seconds == 7.0


async def test_an_endpoint_that_never_answers_is_given_up(server: ChatServer) -> None:
    """After the timeout of the settings it is Transient, whatever the connection does."""
    server.body = None
    async with namer(server, timeout_seconds=0.2) as chat:
        with pytest.raises(Transient, match=r"no answer within 0\.2 s"):
            await chat.propose(REQUEST)


async def test_an_endpoint_that_is_not_there_is_unreachable(server: ChatServer) -> None:
    """A refused connection is told as one, with the host and without the rest of the address."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/secret-path"
        async with namer(server, url=url) as chat:
            with pytest.raises(Unreachable, match=r"ConnectError at 127\.0\.0\.1$"):
                await chat.propose(REQUEST)


@pytest.mark.parametrize("key", ["", " ", "sk\nX: y", "schlüssel"])
async def test_a_key_that_cannot_be_sent_is_asked_for(server: ChatServer, key: str) -> None:
    """A variable without a usable key is named, its content is not, and nothing is sent."""
    chat = ChatNamer(naming(server), {"CHAT_KEY": key})
    with pytest.raises(AuthFailed, match="CHAT_KEY holds no key"):
        await chat.propose(REQUEST)
    await chat.aclose()
    assert server.asked == []


@given(st.text(max_size=120), st.text(max_size=80))
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_model_says_is_a_name_or_a_refusal(title: str, slug: str) -> None:
    """Every proposal keeps the promises of the port and of git."""
    try:
        named = _proposal(completion(json.dumps({"title": title, "slug": slug})))
    except Permanent:
        return
    assert 1 <= len(named.title) <= 80
    assert check_title(named.title) == named.title
    assert 1 <= len(named.slug) <= 50
    assert check_branch(named.slug) == named.slug


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"url": "http://llm.example.org/v1"}, "https"),
        ({"url": "llm.example.org"}, "URL"),
        ({"url": "https://me:secret@llm.example.org/v1"}, "password"),
        ({"url": "https://[half/v1"}, "URL"),
        ({"url": 7}, "URL"),
        ({"model": ""}, "model"),
        ({"key_variable": "sk-0123"}, "not the key"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": True}, "timeout_seconds"),
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object], says: str) -> None:
    """Each is named before anything is asked; a password in the URL is not repeated."""
    with pytest.raises(InvalidCommand, match=says) as refused:
        ChatNaming(**{"url": "https://llm.example.org/v1", "model": "m", **wrong})  # type: ignore[arg-type]
    assert "secret" not in str(refused.value)


def test_a_config_file_chooses_the_namer(tmp_path: Path) -> None:
    """`namer = "chat"` takes its table; without the table, or with a key that it has not, the file is refused."""
    path = tmp_path / "taskdock.toml"
    path.write_text('namer = "chat"\n[chat_namer]\nurl = "https://x.example/v1"\nmodel = "m"\n')
    assert load_config(path, home=tmp_path).chat_namer == ChatNaming("https://x.example/v1", "m")
    for text, says in (
        ('namer = "chat"\n', "needs the table"),
        ('namer = "wise"\n', "heuristic or chat"),
        ('namer = "chat"\n[chat_namer]\nurl = "https://x.example"\n', "lacks model"),
        ('[chat_namer]\nurl = "https://x.example"\nmodel = "m"\nkey = "sk"\n', "key"),
    ):
        path.write_text(text)
        with pytest.raises(InvalidCommand, match=says):
            load_config(path, home=tmp_path)


async def test_the_installation_asks_it_and_falls_back_to_the_heuristic(tmp_path: Path) -> None:
    """The configured namer is the model's, and beside it stands the one that cannot fail."""
    config = Config(home=tmp_path, namer="chat", chat_namer=ChatNaming("https://x.example/v1", "m"))
    async with ports_of(config) as ports:
        assert (ports.namer.id, ports.fallback_namer.id) == ("chat", "heuristic")
    async with ports_of(Config(home=tmp_path)) as ports:
        assert (ports.namer.id, ports.fallback_namer.id) == ("heuristic", "heuristic")
