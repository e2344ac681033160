"""Values: what git, sandbox-agent and people can take passes, everything else is a typed error that names its field."""

import json
import os
import re
import subprocess

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from taskdock.core.errors import InvalidCommand
from taskdock.core.values import (
    BRANCH_BYTES_MAX,
    PROMPT_BYTES_MAX,
    automatic_branch,
    check_branch,
    check_draft,
    check_prompt,
    check_remote,
    check_title,
    first_line,
    is_remote,
    repo_id,
    repo_name,
    sandbox_name,
)

# Branch names, against the real git

PIECES = st.sampled_from(
    ["a", "main", "feature", "/", "//", ".", "..", ".lock", "lock", "-", "--", "@", "@{", "{", "}", "~", "^", ":", "?",
     "*", "[", "]", "\\", " ", "\t", "\n", "\x7f", "\x01", "HEAD", "refs/heads/", "é", "\u200b", "日本", "😀", "'", '"',
     "$", "%", "!", "#", "&", "+", ",", ";", "=", "(", ")", "<", ">", "|", "`", "_", "0"]
)  # fmt: skip
NAMES = st.one_of(
    st.lists(PIECES, min_size=1, max_size=6).map("".join),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=12),
)


def is_taken(name: str) -> bool:
    """Whether our check lets the name pass."""
    try:
        return check_branch(name) == name
    except InvalidCommand:
        return False


def git_takes(name: str) -> bool:
    """What `git check-ref-format --branch` says of the name."""
    asked = subprocess.run(
        ["git", "check-ref-format", "--branch", name],
        # Outside any repository, so that no `@{-1}` means anything.
        env={"PATH": os.environ["PATH"], "GIT_DIR": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
        capture_output=True,
        check=False,
    )
    return asked.returncode == 0


@settings(max_examples=400, deadline=None, derandomize=True)
@given(name=NAMES)
def test_branch_check_agrees_with_git(name: str) -> None:
    """Our check takes exactly the names that the installed git takes; several hundred, hostile ones above all."""
    # Alone, `@` is short for HEAD: git answers it, but makes no such branch.
    assume(name != "@")
    assert is_taken(name) is git_takes(name)


@pytest.mark.parametrize(
    "name",
    ["main", "feature/x", "a.b", "a-b", "é", "日本/語", "a@b", "@a", "a@", "lock", "a.locker", "a/b/c.d", "a{b",
     "HEAD/x", "refs/heads/x", "x" * BRANCH_BYTES_MAX],
)  # fmt: skip
def test_good_branch_passes_unchanged(name: str) -> None:
    """Names that git takes come back as they were."""
    assert check_branch(name) == name
    assert git_takes(name)


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "a..b", "a~b", "a^b", "a:b", "a?b", "a*b", "a[b", "a\\b", "a\tb", "a\nb", "a\x7fb", "a\x01b", "-a", "/a",
     "a/", "a//b", ".a", "a/.b", "a.", "a.lock", "a.lock/b", "@{", "a@{b", "HEAD", "@{-1}"],
)  # fmt: skip
def test_bad_branch_is_refused(name: str) -> None:
    """Names that git refuses are an InvalidCommand that names the field."""
    with pytest.raises(InvalidCommand) as refused:
        check_branch(name)
    assert refused.value.field == "branch"
    assert not git_takes(name)


@pytest.mark.parametrize(
    "name", ["x" * (BRANCH_BYTES_MAX + 1), "é" * (BRANCH_BYTES_MAX // 2 + 1), "a\ud800b", "a\0b"]
)
def test_branch_that_no_file_system_takes_is_refused(name: str) -> None:
    """What git might take and nobody could store is refused: more than 200 bytes, half a surrogate pair, a zero."""
    with pytest.raises(InvalidCommand) as refused:
        check_branch(name, field="base")
    assert refused.value.field == "base"


def test_branch_that_git_reads_as_another_is_refused() -> None:
    """Alone, `@` is short for HEAD: git answers it, and makes no such branch."""
    with pytest.raises(InvalidCommand, match="'@' is no branch name"):
        check_branch("@")


def test_branch_has_a_longest() -> None:
    """A name of 200 bytes passes, one of 201 does not, however few characters they are."""
    assert check_branch("x" * 200) == "x" * 200
    for name in ("x" * 201, "é" * 100 + "x"):
        with pytest.raises(InvalidCommand):
            check_branch(name)


@settings(derandomize=True)
@given(slug=st.from_regex(r"[a-z][a-z0-9-]{0,40}[a-z0-9]", fullmatch=True), attempt=st.integers(0, 100))
def test_automatic_branch_is_a_branch(slug: str, attempt: int) -> None:
    """A name made from a slug passes the check, is the same each time, and another one for each attempt and task."""
    branch = automatic_branch(slug, "task-1", attempt)
    assert check_branch(branch) == branch == automatic_branch(slug, "task-1", attempt)
    assert branch.startswith(f"{slug}-")
    assert (
        len(
            {branch, automatic_branch(slug, "task-1", attempt + 1), automatic_branch(slug, "task-2", attempt)}
        )
        == 3
    )


# Prompts


@pytest.mark.parametrize(
    "text", ["Do it.", " Do it.\n", "日本語", "😀", "a\0b", '"quoted" \\ and \t tabs', "x\u2028y"]
)
def test_prompt_passes_unchanged(text: str) -> None:
    """Whatever can be sent is sent as it is, to the last space."""
    assert check_prompt(text) == text


@pytest.mark.parametrize("text", ["", " ", "\n\t \u3000\u2028"])
def test_empty_prompt_is_refused(text: str) -> None:
    """A prompt without a word is refused."""
    with pytest.raises(InvalidCommand, match="empty") as refused:
        check_prompt(text)
    assert refused.value.field == "prompt"


@pytest.mark.parametrize("text", ["\ud800", "a\udc00b", "ok \udcff"])
def test_half_a_surrogate_pair_is_refused(text: str) -> None:
    """A text that cannot be encoded is refused before anybody tries to store it."""
    with pytest.raises(InvalidCommand, match="surrogate"):
        check_prompt(text)


@pytest.mark.parametrize("character", ["x", "é", "😀", "\n", '"', "\x01"])
def test_prompt_is_measured_as_it_is_sent(character: str) -> None:
    """The limit is that of the encoded JSON: to the byte, whatever the characters cost there."""
    each = len(json.dumps(character, ensure_ascii=False).encode()) - 2
    fits = (PROMPT_BYTES_MAX - 2 - 1) // each
    text = character * fits + "x"
    text += "y" * (PROMPT_BYTES_MAX - len(json.dumps(text, ensure_ascii=False).encode()))
    assert check_prompt(text) == text
    with pytest.raises(InvalidCommand, match="1,048,577 bytes"):
        check_prompt(text + "y")


def test_five_megabytes_are_refused_in_words() -> None:
    """A prompt far too long is refused with its size, the limit, and what to do instead, and is not repeated."""
    with pytest.raises(
        InvalidCommand, match=r"5,242,882 bytes.*1,048,576.*file of the repository"
    ) as refused:
        check_prompt("x" * (5 * 1024 * 1024))
    assert len(refused.value.message) < 300
    assert (refused.value.field, refused.value.message[:11]) == ("prompt", "The prompt ")


def test_draft_may_be_empty_but_not_too_long() -> None:
    """What may become a prompt is measured like one, under its own name; nothing is something that one can be writing."""
    for text in ("", "\n", "Do i"):
        assert check_draft(text) == text
    for text in ("x" * (1024 * 1024), "\ud800"):
        with pytest.raises(InvalidCommand, match=r"^The draft ") as refused:
            check_draft(text)
        assert refused.value.field == "draft"


# Titles


@pytest.mark.parametrize(
    ("text", "title"), [("Do it", "Do it"), ("  Do it \n", "Do it"), ("é" * 200, "é" * 200)]
)
def test_title_loses_its_surroundings(text: str, title: str) -> None:
    """A title is one line without space around it."""
    assert check_title(text) == title


@pytest.mark.parametrize("text", ["", "  ", "two\nlines", "a\tb", "a\x07b", "x" * 201, "a\ud800", "a\u200bb"])
def test_bad_title_is_refused(text: str) -> None:
    """Nothing, several lines, control characters and more than 200 characters are refused."""
    with pytest.raises(InvalidCommand) as refused:
        check_title(text)
    assert refused.value.field == "title"


def test_other_names_are_checked_like_titles() -> None:
    """A tab, a model or a permission mode gets its name under the same rule, and the refusal says of what."""
    assert check_title(" plan ", field="permission_mode") == "plan"
    with pytest.raises(InvalidCommand, match=r"^A permission mode is one line of 1 to 200") as refused:
        check_title("", field="permission_mode")
    assert refused.value.field == "permission_mode"


@given(prompt=st.text(max_size=300))
@example(prompt="\u00a0x")
@example(prompt="\n \nfirst\nsecond")
@example(prompt="\x00")
@example(prompt="a" * 81)
def test_first_line_is_always_a_title(prompt: str) -> None:
    """Whatever the prompt, its first line is a title that passes the check, of 80 characters at most."""
    title = first_line(prompt)
    assert check_title(title) == title
    assert len(title) <= 80


@pytest.mark.parametrize(
    ("prompt", "title"),
    [
        ("Fix the login", "Fix the login"),
        ("\n\n  Fix it \nand more", "Fix it"),
        ("a\tb", "a b"),
        ("", "task"),
        ("\x01\x02", "task"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 79 + "…"),
        ("x" * 78 + " y z", "x" * 78 + "…"),
    ],
)
def test_first_line_by_example(prompt: str, title: str) -> None:
    """The first line with words in it, unprintables as spaces, cut where it is too long."""
    assert first_line(prompt) == title


# Remotes


REMOTES = [
    "https://git.example/acme/api.git",
    "http://git.example/acme/api",
    "ssh://git@git.example:2222/acme/api.git",
    "git://git.example/acme/api",
    "file:///srv/git/api.git",
    "git@git.example:acme/api.git",
    "git@git.example:api",
    "/srv/git/api",
    "/srv/with space/api",
]


@pytest.mark.parametrize("remote", REMOTES)
def test_remote_passes(remote: str) -> None:
    """Every form that git fetches from passes, is known as a remote, and loses only spaces and slashes at its ends."""
    assert check_remote(remote) == remote
    assert check_remote(f"  {remote}/// ") == remote
    assert is_remote(remote)


@pytest.mark.parametrize(
    "remote",
    ["", "/", "//", "acme/api", "api", "../api", "./api", "ftp://git.example/api", "https://", "https:// git.example/api",
     "https://git.example/a b", "git@git.example", "git@git.example:", "git@git.example://x", "ext::sh -c true",
     "--upload-pack=x", "-x", "/srv/\x01api", "/srv/a\nb", "https://git.example/" + "x" * 1000, "javascript:alert(1)",
     "/srv/\ud800"],
)  # fmt: skip
def test_what_is_no_remote_is_refused(remote: str) -> None:
    """Other schemes, options, relative paths and unprintables are refused by the field's name."""
    with pytest.raises(InvalidCommand) as refused:
        check_remote(remote)
    assert refused.value.field == "remote"


def test_remote_has_a_longest() -> None:
    """A remote of 1000 characters passes, one more does not."""
    longest = "https://git.example/".ljust(1000, "x")
    assert check_remote(longest) == longest
    with pytest.raises(InvalidCommand):
        check_remote(longest + "x")


@pytest.mark.parametrize(
    "remote",
    ["https://user:secret@git.example/acme/api", "https://ghp_secret@git.example/acme/api", "https://:secret@git.example/api", "ssh://git:secret@git.example/api",
     "https://user:se@cret@git.example/api"],
)  # fmt: skip
def test_password_in_a_remote_is_refused_and_not_repeated(remote: str) -> None:
    """A remote is shown in lists, so a password in it is refused, by an error that does not hold it."""
    with pytest.raises(InvalidCommand, match="credential helper") as refused:
        check_remote(remote)
    assert "cret" not in refused.value.message
    assert refused.value.field == "remote"


@pytest.mark.parametrize(
    ("text", "named"), [("repo-1234", False), ("acme/api", False), ("api", False), (" /srv/x", True)]
)
def test_names_and_ids_are_no_remotes(text: str, named: bool) -> None:
    """A repo named by id or by name is told from one named by its remote."""
    assert is_remote(text) is named


@pytest.mark.parametrize("remote", REMOTES)
def test_repo_id_is_the_same_for_every_spelling(remote: str) -> None:
    """`.git` at the end of a hosted remote and slashes at the end of any make no other repo; another workspace does."""
    bare = remote.removesuffix(".git")
    spellings = [f"{remote}/", f" {remote}// "]
    if not remote.startswith(("/", "file:")):
        spellings += [bare, f"{bare}.git", f"{bare}.git/"]
    assert len({repo_id("default", check_remote(spelling)) for spelling in spellings}) == 1
    assert repo_id("default", remote) != repo_id("other", remote)
    assert re.fullmatch(r"repo-[0-9a-f]{16}", repo_id("default", remote))


def test_folders_that_differ_by_their_ending_are_two_repos() -> None:
    """On a disk `api`, `api.git` and `api/.git` are different places."""
    for root in ("/srv", "file:///srv"):
        assert len({repo_id("default", f"{root}/{name}") for name in ("api", "api.git", "api/.git")}) == 3


def test_only_slashes_are_taken_off_the_end() -> None:
    """On a host `XX/.git/` is `XX`; no letter of a name is lost with the slashes after it."""
    remote = "https://git.example/acme/XX"
    assert check_remote(f"{remote}//") == remote
    assert repo_id("default", f"{remote}/.git") == repo_id("default", remote)
    assert repo_id("default", remote) != repo_id("default", remote.removesuffix("XX"))
    assert repo_name(f"{remote}/") == "acme/XX"


def test_repo_id_tells_remotes_apart() -> None:
    """Different remotes are different repos, and an id never changes: it is stored."""
    ids = {repo_id("default", remote.removesuffix(".git")) for remote in REMOTES}
    assert len(ids) == len(REMOTES)
    assert repo_id("default", "https://git.example/acme/api") == "repo-7217a703ecf1fa71"


@pytest.mark.parametrize(
    ("remote", "name"),
    [
        ("https://git.example/acme/api.git", "acme/api"),
        ("git@git.example:acme/api.git", "acme/api"),
        ("ssh://git@git.example:2222/group/sub/api", "sub/api"),
        ("/srv/git/api.git", "api"),
        ("file:///srv/git/api", "api"),
        ("https://git.example", "git.example"),
        ("git@git.example:api", "api"),
        ("/", "repo"),
    ],
)
def test_repo_name_is_short(remote: str, name: str) -> None:
    """The last two parts of a URL, the last one of a local path."""
    assert repo_name(remote) == name


@settings(derandomize=True)
@given(owner=st.text(max_size=40), generation=st.integers(1, 9999))
def test_sandbox_name_tells_everything_apart(owner: str, generation: int) -> None:
    """The name is fixed by owner, task and generation, and is plain enough for every provider."""
    name = sandbox_name(owner.encode(errors="replace").decode(), "task-1", generation)
    assert re.fullmatch(rf"td-[0-9a-f]{{8}}-task-1-g{generation}", name)
    assert name != sandbox_name("another owner", "task-1", generation)


def test_sandbox_name_never_changes() -> None:
    """A running sandbox is found again by its name after an upgrade, so its making is fixed for ever."""
    assert sandbox_name("owner", "task-1", 1) == "td-75b98ee5-task-1-g1"
    assert automatic_branch("do-it", "task-1", 0) == "do-it-f7cc5d"
