"""Words: what clients read and what stores hold is written down here once more, since a word that changes breaks both."""

from enum import Enum

import pytest

from taskdock.core.inputs import FailureClass, SandboxPhase, TurnEnd
from taskdock.core.job_record import JobErrorKind, JobKind, JobStatus
from taskdock.core.message import MessageStatus, TurnStatus
from taskdock.core.permission import PermissionStatus
from taskdock.core.repo import RepoStatus
from taskdock.core.tab import TabStatus
from taskdock.core.task_record import Activity, TaskStatus

WORDS: dict[type[Enum], str] = {
    TaskStatus: "init_attach_branch init_enqueue_provision init_ensure_name init_create_sandbox init_ensure_agent "
    "init_create_session running error stopping stopped archiving archived killing killed",
    Activity: "provisioning working needs_you idle stopped failed archived",
    TabStatus: "pending_provision pending_session_create ready error closing closed",
    MessageStatus: "queued sending delivered failed withdrawn",
    TurnStatus: "none running cancelling",
    PermissionStatus: "asked answered cancelled",
    RepoStatus: "cloning ready error removed",
    JobStatus: "queued running completed error cancelled",
    JobKind: "sync_repo restack_repo restack_subtree rebase_branch reparent_branch register_existing_branch undo",
    JobErrorKind: "conflict user_error auth unreachable unsupported config_error diverged timeout bug",
    TurnEnd: "completed failed cancelled interrupted",
    SandboxPhase: "absent pending running stopping stopped failed destroying unknown",
    FailureClass: "transient unreachable unknown permanent deadline",
}


@pytest.mark.parametrize("kind", WORDS, ids=lambda kind: kind.__name__)
def test_words_are_those_of_the_contract(kind: type[Enum]) -> None:
    """Each status, end, phase and class has the word that it always had, and there are no others."""
    assert " ".join(word.value for word in kind) == WORDS[kind]
