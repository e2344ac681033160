"""Names and addresses from outside: which are taken, and that no credential of one is ever shown."""

import subprocess
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from taskdock.adapters.clone.failures import NETWORK, failure
from taskdock.adapters.clone.progress import sentence
from taskdock.adapters.clone.refs import head_name, is_branch_name, is_ref_name
from taskdock.adapters.clone.remote import Remote, redact
from taskdock.core.errors import Permanent
from taskdock.testing.conformance.clone_repos import ENVIRONMENT

HOSTS = st.sampled_from(["example.org", "example.org:8443", "10.0.0.1", "[::1]:80"])
SCHEMES = st.sampled_from(["http", "https"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
# Begun and ended by words that nothing else says, so that a piece of one is seen wherever it is shown.
SECRETS = TEXTS.map("B3G1N{}3ND1NG".format)
# Pieces of names, so that random ones hit git's rules.
NAMES = st.lists(
    st.sampled_from(
        ["a", "/", ".", "..", ".lock", "@", "{", "-", "HEAD", "~", ":", "*", "\\", " ", "ü", "\x7f", "\t"]
    ),
    max_size=6,
).map("".join)


def shows_a_secret(text: str) -> bool:
    """Tell whether a piece of a secret stands in the text."""
    return "B3G1N" in text or "3ND1NG" in text


@given(SCHEMES, TEXTS, SECRETS, HOSTS, TEXTS)
@example("https", "ada", "B3G1N\r3ND1NG", "example.org", "fatal: unable to access '")
def test_no_password_is_ever_shown(scheme: str, user: str, password: str, host: str, words: str) -> None:
    """Whatever git says about an address, neither reason nor log tail holds its password, quoted or not."""
    address = f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{host}/x.git"
    remote = Remote.parse(address)
    assert remote.url == f"{scheme}://{host}/x.git"
    spoken = f"{words}{address}'{words}\nfatal: bad login {password} {quote(password, safe='')}"
    error = failure(128, spoken, f"cloning {address}", rows=NETWORK, redact=remote.redact)
    assert not any(shows_a_secret(text) for text in (error.reason, error.log_tail or "", repr(remote)))


@given(
    SCHEMES,
    st.from_regex(r"[^\s/@:]{0,20}", fullmatch=True),
    st.from_regex(r"[^\s/]{0,20}", fullmatch=True),
    TEXTS,
)
def test_addresses_are_redacted_without_being_known(
    scheme: str, user: str, password: str, words: str
) -> None:
    """The user and password of any address in a text are hidden, also of one that nobody parsed."""
    address = f"{scheme}://B3G1N{user}:{password}3ND1NG@host/x"
    shown = redact(f"{words} {address} {words} '{address}'")
    assert not shows_a_secret(shown)
    assert shown.count(f"{scheme}://***@host/x") == 2


@given(SECRETS, SECRETS)
def test_credentials_come_back_out_of_the_store(user: str, password: str) -> None:
    """Git's own credential store reads the line that is written for it as the same user and password."""
    address = f"https://{quote(user, safe='')}:{quote(password, safe='')}@example.org/x.git"
    line = Remote.parse(address).credentials
    assert line == f"https://{quote(user, safe='')}:{quote(password, safe='')}@example.org"


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org/x.git",
        "https://ada@example.org/x.git",
        "ssh://git@example.org:2222/x.git",
        "git@example.org:team/x.git",
        "example.org:x",
        "file:///srv/x.git",
        "/srv/my repos/x.git",
    ],
)
def test_addresses_without_a_password_stay_as_they_are(address: str) -> None:
    """What holds no password is handed to git to the letter."""
    assert Remote.parse(address) == Remote(url=address)


@pytest.mark.parametrize(
    "address",
    [
        "x",
        "./x",
        "../x",
        "~/x",
        "-x",
        "-oProxyCommand=x:y",
        "ext::sh",
        "fd::3",
        " ",
        "a\tb:c",
        "https://h:port/x",
        "::",
    ],
)
def test_addresses_that_are_refused(address: str) -> None:
    """Relative paths, options, helpers that run programs and malformed URLs are no remotes."""
    with pytest.raises(Permanent):
        Remote.parse(address)


HEADS = st.lists(
    st.sampled_from(["a", "b", "%", "%2F", "%25", "a" * 90, "\u00fc"]), min_size=1, max_size=4
).map("/".join)


@given(st.one_of(NAMES, st.text(max_size=12)))
@example("HEAD")
@example("a" * 241)
@example("\ud800")
def test_branch_names_are_those_of_git(name: str) -> None:
    """What passes for a branch is one for git; what git takes and we do not is too long, or `@`, which means HEAD."""
    if "\0" in name or "\ud800" <= max(name, default="") <= "\udfff":
        assert not is_branch_name(name)
        return
    command = ["git", "check-ref-format", "--branch", name]
    result = subprocess.run(command, env=ENVIRONMENT, check=False, capture_output=True)
    taken = result.returncode == 0 and result.stdout == f"{name}\n".encode()
    assert is_branch_name(name) == (taken and len(name.encode()) <= 240 and name != "@")
    command = ["git", "check-ref-format", f"refs/heads/{name}"]
    assert is_ref_name(name) == (subprocess.run(command, env=ENVIRONMENT, check=False).returncode == 0)


@given(HEADS, HEADS)
def test_heads_are_kept_under_names_of_their_own(one: str, other: str) -> None:
    """Different heads get different names, each one level deep, that git takes."""
    names = {head_name(1, f"refs/heads/{name}") for name in (one, other)}
    assert len(names) == len({one, other})
    for name in names:
        assert name.count("/") == 1
        subprocess.run(["git", "check-ref-format", f"refs/taskdock/t/{name}"], env=ENVIRONMENT, check=True)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("Receiving objects:  43% (3210/7400)", "Receiving objects: 43 % (3,210 of 7,400)"),
        (
            "Receiving objects: 100% (7/7), 1.20 MiB | 2.40 MiB/s, done.",
            "Receiving objects: 100 % (7 of 7), 1.20 MiB | 2.40 MiB/s",
        ),
        ("remote: Counting objects:   1% (1/100)", "Counting objects: 1 % (1 of 100)"),
        ("Resolving deltas:   0% (0/12)", "Resolving deltas: 0 % (0 of 12)"),
        ("remote: Enumerating objects: 5, done.", None),
        ("remote: Visit https://evil.example/ now", None),
        ("Cloning into '/x'...", None),
        ("", None),
    ],
)
def test_progress_lines(line: str, told: str | None) -> None:
    """Percentages become sentences; nothing else of what git or the remote says is passed on."""
    assert sentence(line) == told
