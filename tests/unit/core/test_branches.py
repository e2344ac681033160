"""Branches of tasks: born with their first work and taken into the stack, moved by jobs and shown, never forced."""

import pytest
from attrs import evolve

from taskdock.core import inputs, intents
from taskdock.core.change import Change
from taskdock.core.history import HistoryKind
from taskdock.core.inputs import BranchBorn, BranchMoved, WorkCollected
from taskdock.core.intents import RunRepoJob, Tell
from taskdock.core.job import Job
from taskdock.core.job_record import JobKind, JobResult, Moved
from unit.core import givens as g
from unit.core import givens_job as j
from unit.core.story import JOB, REPO, TASK, TRANSIENT, TaskStory
from unit.core.test_repos import answers, deliver

MOVED = BranchMoved(JOB, "do-it-1", "c1", "c2")
BORN = BranchBorn(TASK, 7, "do-it-1", "main", "c1")


def born(change: Change) -> list[object]:
    """What a change tells the repo."""
    return [intent.body.input for intent in change.ordered if isinstance(intent.body, Tell)]


def moved(story: TaskStory) -> tuple[bool, str | None, str | None]:
    """What the task shows of its branch."""
    return story.task.moved, story.task.moved_from, story.task.moved_to


# Born


def test_first_work_tells_the_repo() -> None:
    """The first commit that comes into the service clone makes the branch: the repo hears its base and its head, once."""
    story = g.copying()
    change = story.collect("c1")
    ask = story.boundary.runs
    assert born(change) == [BranchBorn(TASK, ask, "do-it-1", "main", "c1")]
    story.send("msg-2")
    story.whole_turn()
    assert born(story.collect("c2")) == []


@pytest.mark.parametrize(
    ("given", "work"),
    [
        (g.copying, WorkCollected(None, branch_moved=True)),
        (g.copying, WorkCollected(None, branch_moved=True, kept=2)),
        (g.idle_copying, WorkCollected("c9", branch_moved=True)),
    ],
    ids=["no commit", "only files", "not the first"],
)
def test_nothing_is_born_without_a_new_branch(given: g.Given[TaskStory], work: WorkCollected) -> None:
    """No commit, or a branch that was told before."""
    story = given()
    if given is g.idle_copying and story.task.head is None:
        story.boundary.records[type(story.task), TASK] = evolve(story.task, head="c1")
    assert born(story.succeed(intents.CollectWork, work)) == []


def test_branch_that_was_moved_before_it_was_told_is_born_all_the_same() -> None:
    """A crash came between the branch and the word of it, and a job moved it in between: it still belongs into the stack."""
    story = g.copying()
    ask = story.task.ask
    change = story.succeed(intents.CollectWork, WorkCollected("c1", branch_moved=False))
    (said,) = born(change)
    assert isinstance(said, BranchBorn)
    assert (said.branch, said.head, said.ask > ask, story.task.moved) == ("do-it-1", "c1", True, True)


def test_branch_that_was_there_is_not_born() -> None:
    """A task on an existing branch has nothing to tell: its repo has seen it."""
    story = g.attached()
    story.provision()
    story.whole_turn()
    assert born(story.collect("c8")) == []


@pytest.mark.parametrize(
    ("base", "parent"),
    [("main", None), ("release", "release"), ("0123abc", None), ("feature/x", "feature/x")],
)
def test_born_branch_is_registered_on_what_it_began_on(base: str, parent: str | None) -> None:
    """On trunk or a commit it stands alone; on another branch it is stacked on that."""
    story = g.cloned()
    story.do(evolve(BORN, base=base))
    (job,) = story.boundary.all(Job)
    assert (job.kind, job.branch, job.parent) == (JobKind.REGISTER_EXISTING_BRANCH, "do-it-1", parent)
    assert (job.requested_by, job.waiting) == (TASK, ())


def test_born_is_heard_once() -> None:
    """Told again while the job waits, and after its end: one job; a later branch of the same task is news."""
    story = g.job_runs()
    story.do(BORN)
    assert story.do(BORN).ignored == "it changes nothing"
    story.succeed(RunRepoJob, j.JOB_ENDED)
    story.succeed(RunRepoJob, j.JOB_ENDED)
    assert story.do(BORN).ignored == "it changes nothing"
    assert len(story.boundary.all(Job)) == 2
    story.do(evolve(BORN, ask=9))
    assert len(story.boundary.all(Job)) == 3


def test_born_joins_an_equal_job() -> None:
    """Somebody has asked for the same: nothing is queued twice."""
    story = g.job_runs()
    story.do(inputs.RequestJob("job-2", JobKind.REGISTER_EXISTING_BRANCH, "do-it-1"))
    story.do(BORN)
    assert [job.id for job in story.boundary.all(Job)] == [JOB, "job-2"]


def test_nobody_joins_the_job_of_a_born_branch_who_wants_it_in() -> None:
    """That job may leave the branch out, and say that all is well; who asks for a register is told that it is not."""
    story = g.job_runs()
    story.do(BORN)
    asked = inputs.RequestJob("job-3", JobKind.REGISTER_EXISTING_BRANCH, "do-it-1")
    assert story.do(asked).ignored is None
    assert [(job.branch, job.if_stacked) for job in story.boundary.all(Job)][1:] == [
        ("do-it-1", True),
        ("do-it-1", False),
    ]


def test_born_on_an_unstacked_branch_is_left_out() -> None:
    """Nobody asked for the job of a born branch, so it need not fail where there is no stack; one that a user asks for does."""
    story = g.cloned()
    story.do(evolve(BORN, base="release"))
    (run,) = story.open(RunRepoJob)
    assert isinstance(run.body, RunRepoJob)
    assert (run.body.branch, run.body.parent, run.body.if_stacked) == ("do-it-1", "release", True)
    asked = g.job_has_its_turn().open(RunRepoJob)[0].body
    assert isinstance(asked, RunRepoJob)
    assert not asked.if_stacked


def test_born_outlives_its_task() -> None:
    """A task that is killed right after its first work still has its branch taken into the stack."""
    task, repo = g.copying(), g.cloned()
    task.succeed(intents.CollectWork, WorkCollected("c1", branch_moved=True))
    task.kill()
    assert any(isinstance(body.input, BranchBorn) for body in tells(task))
    deliver(task, repo)
    assert [job.branch for job in repo.boundary.all(Job)] == ["do-it-1"]


def tells(story: TaskStory) -> list[Tell]:
    """What the task is about to tell."""
    return [intent.body for intent in story.open(Tell) if isinstance(intent.body, Tell)]


def test_born_is_told_until_it_is_heard() -> None:
    """A Tell that does not get through is repeated, and fails nothing."""
    story = g.copying()
    story.succeed(intents.CollectWork, WorkCollected("c1", branch_moved=True))
    story.fail(Tell, TRANSIENT)
    assert (story.at, len(tells(story))) == ("running", 1)


# Moved


def test_job_tells_the_tasks_whose_branches_it_moved() -> None:
    """Each holder of a branch that moved is told from where to where; one that is new there, or stayed, was not moved."""
    story = g.job_runs()
    changed = {
        "one": Moved("a1", "a2"),
        "two": Moved(None, "b2"),
        "three": Moved("c1", None),
        "four": Moved("d1", "d2"),
    }
    tasks = {"one": "task-1", "two": "task-2", "three": "task-3", "five": "task-5"}
    story.succeed(RunRepoJob, inputs.JobEnded(JobResult(changed), tasks=tasks))
    assert answers(story) == [
        ("task-1", BranchMoved(JOB, "one", "a1", "a2")),
        ("task-3", BranchMoved(JOB, "three", "c1", None)),
    ]
    assert [intent.subject for intent in story.open(Tell)] == ["moved:task-1", "moved:task-3"]


def test_failed_job_tells_what_it_moved() -> None:
    """What a job changed before it failed is changed all the same."""
    story = g.job_runs()
    end = evolve(j.JOB_FAILED, result=JobResult({"one": Moved("a1", "a2")}), tasks={"one": TASK})
    story.succeed(RunRepoJob, end)
    assert answers(story) == [(TASK, BranchMoved(JOB, "one", "a1", "a2"))]


def test_moved_branch_is_shown() -> None:
    """The task says that its branch is elsewhere, where and by which job; nothing is ordered for its sandbox."""
    story = g.idle()
    change = story.do(MOVED)
    assert moved(story) == (True, "c1", "c2")
    assert (story.task.moved_by, story.task.head, change.ordered) == (JOB, "c1", ())
    assert [(event.kind, dict(event.data)) for event in change.history] == [
        (HistoryKind.BRANCH_MOVED, {"branch": "do-it-1", "old": "c1", "new": "c2", "job": JOB}),
    ]  # fmt: skip


def test_undo_brings_the_branch_back() -> None:
    """Moved once more and back again: it is where the task left it, and says so."""
    story = g.idle()
    story.do(MOVED)
    story.do(BranchMoved("job-2", "do-it-1", "c2", "c3"))
    assert moved(story) == (True, "c1", "c3")
    story.do(BranchMoved("job-3", "do-it-1", "c3", "c1"))
    assert moved(story) == (False, None, None)


def test_branch_that_is_gone_is_moved() -> None:
    """An undo may take a branch away."""
    story = g.idle()
    story.do(evolve(MOVED, new=None))
    assert moved(story) == (True, "c1", None)


def test_same_move_is_told_once() -> None:
    """A Tell that was committed before a crash is delivered again, and changes nothing."""
    story = g.idle()
    story.do(MOVED)
    assert story.do(MOVED).ignored == "it is known already"


@pytest.mark.parametrize("given", [g.queued, g.creating])
def test_task_without_a_sandbox_starts_where_the_branch_is(given: g.Given[TaskStory]) -> None:
    """Nothing has the old head yet: the move is history only."""
    story = given()
    story.do(inputs.SetBranch("mine"))
    change = story.do(BranchMoved(JOB, "mine", "c1", "c2"))
    assert (moved(story), len(change.history)) == ((False, None, None), 1)


@pytest.mark.parametrize(
    ("given", "fact"),
    [
        (g.ARCHIVE.done, MOVED),
        (g.KILL.done, MOVED),
        (g.idle, evolve(MOVED, branch="another")),
        (g.queued, MOVED),
    ],
    ids=["archived", "killed", "another branch", "no branch yet"],
)
def test_move_of_what_is_not_its_branch_is_ignored(given: g.Given[TaskStory], fact: BranchMoved) -> None:
    """Who holds the branch may have changed while the job ran."""
    assert given().do(fact).ignored == "the task has not that branch any more"


def test_work_that_the_branch_follows_again_ends_the_move() -> None:
    """Somebody put the branch right by hand: the next commit is on it, and nothing is moved any more."""
    story = g.idle()
    story.do(MOVED)
    story.send("msg-2")
    story.whole_turn()
    story.collect("c5")
    assert moved(story) == (False, None, None)


def test_work_beside_a_moved_branch_leaves_it_moved() -> None:
    """The next commit is kept under the task's own ref; where the branch went stays told, also without a commit."""
    story = g.idle()
    story.do(MOVED)
    story.send("msg-2")
    story.whole_turn()
    story.succeed(intents.CollectWork, WorkCollected("c5", branch_moved=False))
    assert (moved(story), story.task.head) == ((True, "c1", "c2"), "c5")


def test_files_alone_say_nothing_of_the_branch() -> None:
    """A task that never made a commit hears of a move, and keeps edits: its branch is still moved."""
    story = g.attached()
    story.provision()
    story.do(BranchMoved(JOB, "theirs", "c7", "c8"))
    story.whole_turn()
    story.succeed(intents.CollectWork, WorkCollected(None, branch_moved=True, kept=1))
    assert moved(story) == (True, "c7", "c8")


def test_restack_is_told_between_the_two() -> None:
    """From the repo's job to the task's status, and by an undo back."""
    task, repo = g.idle(), g.job_runs()
    end = inputs.JobEnded(JobResult({"do-it-1": Moved("c1", "c2")}), tasks={"do-it-1": TASK})
    repo.succeed(RunRepoJob, end)
    deliver(task, repo)
    assert (moved(task), REPO) == ((True, "c1", "c2"), task.task.repo_id)
    repo.do(inputs.RequestJob("job-2", JobKind.UNDO, undo_of=JOB))
    undone = inputs.JobEnded(JobResult({"do-it-1": Moved("c2", "c1")}), tasks={"do-it-1": TASK})
    repo.succeed(RunRepoJob, undone)
    deliver(task, repo)
    assert moved(task) == (False, None, None)
