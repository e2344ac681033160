"""Every namer of ours keeps every promise of the naming port, and the checks find those that do not."""

# ruff: noqa: ARG002 - a namer is told what to say, whatever it is asked

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

from taskdock.adapters.naming.chat import ChatNamer, ChatNaming
from taskdock.adapters.naming.heuristic import HeuristicNamer
from taskdock.core.errors import Permanent, TaskdockError
from taskdock.ports.naming import NameProposal, NameRequest
from taskdock.testing.conformance.naming import NAMER_CHECKS, NamerCheck, NamerUnderTest
from taskdock.testing.conformance.promises import PromiseBroken
from unit.naming.chat_server import chat_server, completion

pytestmark = pytest.mark.anyio

CHECKS = {check.__name__: check for check in NAMER_CHECKS}
ANSWERS = (
    completion('{"title": "Greet in French", "slug": "greet-in-french"}'),
    completion(
        'Sure:\n```json\n{"title": "Greet\\nin  French\\u202e", "slug": "Greet/In..French.lock"}\n```'
    ),
    completion('{"title": "' + "word " * 60 + '", "slug": "' + "x" * 300 + '"}'),
)


@pytest.mark.parametrize(
    "check", [check for check in NAMER_CHECKS if check.__name__ != "check_failure_is_told"]
)
async def test_heuristic(check: NamerCheck) -> None:
    """The namer that asks nobody keeps the promise; it has no other side that could fail."""
    await check(NamerUnderTest(HeuristicNamer()))


@asynccontextmanager
async def chat_under_test(answer: bytes) -> AsyncIterator[NamerUnderTest]:
    """A namer whose model says this, and one whose endpoint never answers."""
    with chat_server() as server, chat_server() as silent:
        server.body, silent.body = answer, None
        namer = ChatNamer(ChatNaming(server.url, "a-model"), {})
        deaf = ChatNamer(ChatNaming(silent.url, "a-model", timeout_seconds=0.2), {})

        async def failing() -> ChatNamer:
            return deaf

        try:
            yield NamerUnderTest(namer, failing)
        finally:
            with anyio.CancelScope(shield=True):
                await namer.aclose()
                await deaf.aclose()


@pytest.mark.parametrize("answer", ANSWERS, ids=["plain", "odd", "long"])
@pytest.mark.parametrize("check", NAMER_CHECKS, ids=lambda check: check.__name__)
async def test_chat(check: NamerCheck, answer: bytes) -> None:
    """The namer that asks a model keeps the promise, whatever the model says."""
    async with chat_under_test(answer) as under_test:
        await check(under_test)


class Saying:
    """A namer that says what it is told to say."""

    id = "saying"

    def __init__(self, title: str = "Greet", slug: str = "greet", error: Exception | None = None) -> None:
        self.proposal = NameProposal(title, slug)
        self.error = error

    async def propose(self, request: NameRequest) -> NameProposal:
        """Say it."""
        if self.error is not None:
            raise self.error
        return self.proposal


class Nameless(Saying):
    """A namer whose id is empty."""

    id = ""


class Echo(Saying):
    """A namer that takes the prompt for the title."""

    async def propose(self, request: NameRequest) -> NameProposal:
        """Repeat the prompt."""
        return NameProposal(request.prompt, "greet")


class Silent(Saying):
    """A namer that never answers."""

    async def propose(self, request: NameRequest) -> NameProposal:
        """Wait."""
        await anyio.sleep_forever()
        raise AssertionError


class OneAtATime(Saying):
    """A namer that refuses a request while another is under way."""

    is_busy = False

    async def propose(self, request: NameRequest) -> NameProposal:
        """Be busy for a moment."""
        if self.is_busy:
            raise Permanent("I am busy.")
        self.is_busy = True
        await anyio.sleep(0.01)
        self.is_busy = False
        return self.proposal


@pytest.mark.parametrize(
    ("make", "check", "says"),
    [
        (Nameless, "check_it_has_an_id", "A namer has an id"),
        (lambda: Saying(title=""), "check_plain_prompt_is_named", "A title has 1 to 80 characters"),
        (lambda: Saying(title="x" * 81), "check_plain_prompt_is_named", "A title has 1 to 80 characters"),
        (lambda: Saying(title="a\nb"), "check_plain_prompt_is_named", "A title is one line"),
        (lambda: Saying(title="a\x1bb"), "check_plain_prompt_is_named", "A title is one line"),
        (lambda: Saying(slug=""), "check_plain_prompt_is_named", "A slug has 1 to 50"),
        (lambda: Saying(slug="x" * 51), "check_plain_prompt_is_named", "A slug has 1 to 50"),
        (lambda: Saying(slug="a--b"), "check_plain_prompt_is_named", "A slug has 1 to 50"),
        (lambda: Saying(slug="-a"), "check_plain_prompt_is_named", "A slug has 1 to 50"),
        (lambda: Saying(slug="Greet"), "check_plain_prompt_is_named", "A slug has 1 to 50"),
        (
            lambda: Saying(error=KeyError("choices")),
            "check_plain_prompt_is_named",
            "An adapter raises PortErrors",
        ),
        (lambda: Saying(error=Permanent("no")), "check_plain_prompt_is_named", "A plain prompt gets a title"),
        (
            lambda: Saying(error=TaskdockError("no")),
            "check_plain_prompt_is_named",
            "An adapter raises PortErrors",
        ),
        (Silent, "check_plain_prompt_is_named", "A namer proposes or fails within its own bound"),
        (Echo, "check_odd_prompts_are_named_or_refused", "A title"),
        (OneAtATime, "check_asked_at_once", "Requests at once do not hinder each other"),
        (Saying, "check_failure_is_told", "A namer that cannot ask raises a PortError"),
        (
            lambda: Saying(error=Permanent(" ")),
            "check_failure_is_told",
            "A namer that cannot ask raises a PortError",
        ),
    ],
)
async def test_fault_is_found(make: Callable[[], Saying], check: str, says: str) -> None:
    """A namer that breaks a promise is found, with what was seen and how to mend it."""
    namer = make()

    async def failing() -> Saying:
        return namer

    with pytest.raises(PromiseBroken) as found:
        await CHECKS[check](NamerUnderTest(namer, failing, seconds_max=0.3))
    assert found.value.promise.startswith(says)
    assert found.value.seen
    assert found.value.mend
