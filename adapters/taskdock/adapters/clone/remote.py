"""Remote: an address as a user gave it, checked, and parted from the credentials inside it.

Owns: which addresses are taken, and `redact`, through which every word of git goes before anybody sees it.
Never: a password in an argument list; it goes into a file that only git's own credential store reads.
Reads as: git.py -> this; failures.py redacts with it.
"""

import re
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit

from attrs import field, frozen

from taskdock.core.errors import Permanent

_ADDRESS_CHARACTERS_MAX = 4096
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)[^\s/]*@")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_SCP_LIKE = re.compile(r"(?:[^\s/:@]+@)?[^\s/:@]+:(?!:)\S")
_HIDDEN = "***"
# Shorter ones are hidden by their place in the address only: replacing them everywhere would eat the message.
_SECRET_CHARACTERS_MIN = 6


@frozen
class Remote:
    """Where to clone from: `url` is fit for argument lists and config, `credentials` for the credential store alone."""

    url: str
    credentials: str | None = field(default=None, repr=False)
    """One line of git's credential store (scheme://user:password@host), or None when the address held no password."""
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def parse(cls, text: str) -> "Remote":
        """Check an address; `Permanent`, without repeating it, for anything that is neither URL, host:path nor path."""
        _refuse_unsafe(text)
        if not _SCHEME.match(text):
            return cls(url=text)
        try:
            parts = urlsplit(text)
            password, _ = parts.password, parts.port
        except ValueError:
            raise Permanent(
                "the remote is not a URL; percent-encode special characters in its password"
            ) from None
        if password is None:
            return cls(url=text)
        return cls._with_password(parts, password)

    @classmethod
    def _with_password(cls, parts: SplitResult, password: str) -> "Remote":
        if parts.scheme not in {"http", "https"}:
            raise Permanent("only http and https remotes can carry a password; use a key for ssh")
        host = parts.netloc.rpartition("@")[2]
        user = quote(unquote(parts.username or ""), safe="")
        secret = unquote(password)
        line = f"{parts.scheme}://{user}:{quote(secret, safe='')}@{host}"
        return cls(
            url=parts._replace(netloc=host).geturl(),
            credentials=line,
            secrets=tuple(s for s in {password, secret} if len(s) >= _SECRET_CHARACTERS_MIN),
        )

    def redact(self, text: str) -> str:
        """Hide the credentials of any address in `text`, and the password of this one wherever it stands."""
        for secret in self.secrets:
            text = text.replace(secret, _HIDDEN)
        return redact(text)


def redact(text: str) -> str:
    """Hide the user and password of every address in `text`."""
    return _USERINFO.sub(rf"\1{_HIDDEN}@", text)


def _refuse_unsafe(text: str) -> None:
    """Refuse what git would read as an option, a program to run, or a path relative to who knows what."""
    if not text.strip() or len(text) > _ADDRESS_CHARACTERS_MAX or not text.isprintable():
        raise Permanent(
            f"the remote must be one line of 1 to {_ADDRESS_CHARACTERS_MAX:,} printable characters"
        )
    if text.startswith("-"):
        raise Permanent("the remote must not begin with a dash")
    if not (_SCHEME.match(text) or _SCP_LIKE.match(text) or Path(text).is_absolute()):
        raise Permanent("the remote must be a URL, user@host:path, or an absolute path")
