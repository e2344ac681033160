"""The namer that cannot fail: what it reads off a prompt."""

import subprocess

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskdock.adapters.naming.heuristic import HeuristicNamer, slug_of, title_of
from taskdock.core.values import check_branch, check_title
from taskdock.ports.naming import NameProposal, Namer, NameRequest
from taskdock.testing.conformance.clone_repos import ENVIRONMENT

# Pieces that mean something to the namer, so that random prompts reach its corners.
PIECES = st.sampled_from(
    [
        "# ",
        "- [ ] ",
        "> ",
        "```",
        "\n",
        "\r\n",
        "[",
        "](",
        ")",
        "**",
        "`",
        "_",
        "https://x.y/z",
        "<b>",
        "<!--",
        "please ",
    ]
)
PROMPTS = st.one_of(st.text(), st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=40).map("".join))


def proposal(prompt: str) -> NameProposal:
    """Name a prompt through the port."""
    namer: Namer = HeuristicNamer()

    async def ask() -> NameProposal:
        return await namer.propose(NameRequest(prompt))

    return anyio.run(ask)


@pytest.mark.parametrize(
    ("prompt", "title", "slug"),
    [
        ("Fix the login page", "Fix the login page", "fix-the-login-page"),
        ("\n\n   \n  Fix it  \nand more", "Fix it", "fix-it"),
        ("# Add *dark* mode\n\nDetails follow", "Add dark mode", "add-dark-mode"),
        ("- [ ] **Update** the __docs__.", "Update the docs", "update-the-docs"),
        ("> 1. Remove `foo()` from bar.py", "Remove foo() from bar.py", "remove-foo-from-bar-py"),
        ("Please fix the tests", "Fix the tests", "fix-the-tests"),
        ("Hi there, could you please rename it?", "Rename it", "rename-it"),
        ("Please", "Please", "please"),
        ("Why is it slow?", "Why is it slow?", "why-is-it-slow"),
        ("See https://example.org/a?b=c for the crash", "See for the crash", "see-for-the-crash"),
        ("Read [the guide](https://example.org/x) first", "Read the guide first", "read-the-guide-first"),
        ("![shot](a.png)", "shot", "shot"),
        ("```py\nprint(1)\n```\nExplain this", "Explain this", "explain-this"),
        ("---\nTitle\n---", "Title", "title"),
        ("<p>Make it <b>bold</b></p>", "Make it bold", "make-it-bold"),
        ("Sort List<int> in_place with 2 * 3 of *.py", "Sort List<int> in_place with 2 * 3 of *.py", None),
        ("iOS build is broken", "iOS build is broken", "ios-build-is-broken"),
        ("Übersetze die Straße", "Übersetze die Straße", "ubersetze-die-strae"),
        ("Don't repeat", "Don't repeat", "dont-repeat"),
        ("修复登录", "修复登录", "task"),
        ("ﬁx ① thing", "ﬁx ① thing", "fix-1-thing"),
        ("a\u202eb\u200b c\x00d", "a b c d", "a-b-c-d"),
        ("😀 Celebrate 🎉", "😀 Celebrate 🎉", "celebrate"),
        ("", "Task", "task"),
        ("https://example.org/only", "Task", "task"),
        ("```\nonly code\n```", "Task", "task"),
        ("!!! --- ???", "Task", "task"),
    ],
)
def test_examples(prompt: str, title: str, slug: str | None) -> None:
    """The title is the first line that says something, without markup; the slug is its plain words."""
    named = proposal(prompt)
    assert named.title == title
    assert slug is None or named.slug == slug


def test_long_lines_are_cut_between_words() -> None:
    """Titles end at 80 characters and slugs at 50, never inside a word if there is a space to cut at."""
    named = proposal("Rewrite the whole synchronisation engine " * 10)
    assert len(named.title) <= 80
    assert named.title.endswith("Rewrite the whole synchronisation")
    assert named.slug == "rewrite-the-whole-synchronisation-engine-rewrite"
    named = proposal("x" * 500)
    assert (named.title, named.slug) == ("x" * 80, "x" * 50)
    exact = "y" * 39 + " " + "z" * 40
    assert proposal(exact + " more").title == exact


@given(PROMPTS)
def test_any_text_gets_a_name(prompt: str) -> None:
    """Whatever the prompt, the title passes for a user's own and the slug keeps its shape."""
    title = title_of(prompt) or "Task"
    slug = slug_of(title) or "task"
    assert check_title(title) == title
    assert len(title) <= 80
    assert 1 <= len(slug) <= 50
    assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert "--" not in slug
    assert slug.strip("-") == slug
    assert check_branch(slug) == slug
    assert title_of(prompt) == title_of(prompt)


@given(st.lists(PROMPTS, min_size=20, max_size=20))
def test_git_takes_every_slug(prompts: list[str]) -> None:
    """Each slug is the name of a branch for git itself."""
    slugs = sorted({slug_of(title_of(prompt)) or "task" for prompt in prompts})
    for slug in slugs[:3]:
        subprocess.run(
            ["git", "check-ref-format", "--branch", slug], env=ENVIRONMENT, check=True, capture_output=True
        )


def test_a_hostile_prompt_takes_no_time() -> None:
    """Text made to trip regular expressions is named as fast as any other."""
    for piece in ("[", "[](", "<", "<!--", "*", "_a", "`", "> ", "# ", "- ", "please ", "www.", "1. ", "|"):
        title_of(piece * 4_000)
    assert title_of("\n" * 1_000_000) == ""
