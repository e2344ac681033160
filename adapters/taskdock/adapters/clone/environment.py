"""Environment: what every git that Taskdock starts on the host may see, and what is switched off for it.

Owns: the fixed options, the two environments (local and network) and the marker that names the owner of a git.
Never: the whole environment of the service; git gets the names listed here and nothing else.
Reads as: process.py -> this; orphans.py reads the marker back from a surviving process.
"""

import os
from collections.abc import Mapping
from pathlib import Path

OWNER_VARIABLE = "TASKDOCK_GIT_OWNER"
"""Names the process that started a git, and the lock it works under (see `owner_marker`)."""

FIXED_OPTIONS = (
    # A repository is data here: nothing in it, and nothing in a user's config, may run a program of its choice.
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "protocol.ext.allow=never"),
    *("-c", "submodule.recurse=false"),
    # Objects that only a later step will reference must stay, so nothing is ever collected behind our back.
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
    # A transfer that stalls ends by itself instead of using up the whole deadline.
    *("-c", "http.lowSpeedLimit=1000"),
    *("-c", "http.lowSpeedTime=60"),
)

PROTOCOLS = ("file", "git", "http", "https", "ssh")
"""Transports that a remote may use; `ext::` and other helpers run programs and are never among them."""

_LOCAL_NAMES = ("PATH", "TMPDIR")
_PROXY_NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
NETWORK_NAMES = (
    *("HOME", "USER", "LOGNAME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "SSH_AUTH_SOCK"),
    *(
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_SYSTEM",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_SSH_VARIANT",
    ),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "CURL_CA_BUNDLE"),
    *("GH_TOKEN", "GITHUB_TOKEN", "GH_CONFIG_DIR", "GITLAB_TOKEN"),
    *_PROXY_NAMES,
    *(name.upper() for name in _PROXY_NAMES),
)
"""What a network call may see besides: the user's config with its credential helpers, ssh agent, proxies, CA files."""

_ALWAYS = {
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    # Set but empty: git then asks nobody, and neither core.askPass nor SSH_ASKPASS comes into play.
    "GIT_ASKPASS": "",
    "SSH_ASKPASS_REQUIRE": "never",
    "GCM_INTERACTIVE": "never",
    # Names the writer in reflogs; a service account may have no identity at all.
    "GIT_COMMITTER_NAME": "Taskdock",
    "GIT_COMMITTER_EMAIL": "taskdock@localhost",
}


def local_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Give the environment of a call without network, taken from `variables`: no config of user or system at all."""
    kept = {name: variables[name] for name in _LOCAL_NAMES if name in variables}
    isolation = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_ALLOW_PROTOCOL": "file"}
    return kept | _ALWAYS | isolation


def network_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Give the environment of a call that reaches a remote: the user's own access to it, and the allowed transports."""
    names = (*_LOCAL_NAMES, *NETWORK_NAMES)
    kept = {name: variables[name] for name in names if name in variables}
    return kept | _ALWAYS | {"GIT_ALLOW_PROTOCOL": ":".join(PROTOCOLS)}


def owner_marker(lock_path: Path) -> str | None:
    """Name this process for good (pid namespace, pid, start time) and the lock; None where /proc does not tell."""
    start = process_start(os.getpid())
    space = pid_namespace()
    if start is None or space is None:
        return None
    return f"{space}/{os.getpid()}/{start}/{lock_path}"


def process_start(pid: int) -> int | None:
    """Give the start time of a process in clock ticks since boot, or None when there is no such process (or /proc)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    # The name in parentheses may itself hold spaces and parentheses, so count from the last one.
    return int(text.rpartition(")")[2].split()[19])


def pid_namespace() -> str | None:
    """Give the pid namespace of this process: pids of another one mean nothing here. None without /proc."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None
