"""Bodies: what an intent names, so that whoever carries it out reaches the right session, turn and question, and no other."""

from attrs import evolve

from taskdock.core import intents
from taskdock.core.inputs import AnswerPermission, OpenTab
from taskdock.core.intents import Figures, SessionSettings
from unit.core import givens as g
from unit.core.story import MESSAGE, PERMISSION, TAB, TAB_2, TRANSIENT, TaskStory, a_create, a_task


def with_settings() -> TaskStory:
    """A task whose sessions are told a model and a mode, in its first turn."""
    story = a_task()
    story.do(evolve(a_create(), model="large", permission_mode="plan"))
    story.provision()
    story.begin_turn()
    return story


def test_settings_go_with_every_session_and_prompt() -> None:
    """What a task was given for its sessions is told to each of them, and with each prompt."""
    settings = SessionSettings("large", "plan")
    story = with_settings()
    sandbox = story.task.sandbox
    assert story.open(intents.SendPrompt)[0].body == intents.SendPrompt(
        sandbox, "demo", TAB, 1, "s1", "process of s1", MESSAGE, settings
    )
    story.end_turn()
    story.lose_session()
    assert story.open(intents.ResumeSession)[0].body == intents.ResumeSession(
        sandbox, "demo", TAB, 2, "s1", settings
    )
    story.do(OpenTab(TAB_2))
    assert story.open(intents.CreateSession, TAB_2)[0].body == intents.CreateSession(
        sandbox, "demo", TAB_2, 1, settings
    )


def test_cancel_names_the_session_of_the_turn() -> None:
    """A turn is cancelled in its own session."""
    story = g.cancelling()
    assert story.open(intents.CancelTurn)[0].body == intents.CancelTurn(
        story.task.sandbox, "demo", TAB, 1, "s1"
    )
    wake = story.open(intents.Wake)[0].body
    assert wake == intents.Wake(f"cancelling:{TAB}:{MESSAGE}")


def test_answer_names_the_question() -> None:
    """An answer goes to the session that asked, with the option that was chosen, or with none."""
    for option in ("yes", None):
        story = g.asked()
        story.do(AnswerPermission(TAB, PERMISSION, option))
        assert story.open(intents.AnswerPermission)[0].body == intents.AnswerPermission(
            story.task.sandbox, "demo", TAB, 1, "s1", PERMISSION, option
        )
        asked = story.permission()
        assert (asked.option_id, asked.at) == (option, "answered" if option else "cancelled")
        assert story.reasons() == []


def test_answer_leaves_another_question_alone() -> None:
    """What else the agent asked stays asked, with its clock."""
    story = g.asked()
    story.ask(permission="perm-2")
    story.do(AnswerPermission(TAB, PERMISSION, "no"))
    assert story.permission("perm-2").at == "asked"
    assert [intent.body for intent in story.open(intents.Wake)] == [intents.Wake(f"permission:{TAB}:perm-2")]


def test_end_of_sessions_names_how_many_there_were() -> None:
    """Every session of the tab in this sandbox is ended, the lost ones as well."""
    story = g.idle()
    story.lose_session()
    story.get_session()
    story.close()
    assert story.open(intents.CloseSession)[0].body == intents.CloseSession(
        story.task.sandbox, "demo", TAB, 2
    )


def test_prompt_that_was_not_sent_waits_longer_each_time() -> None:
    """The next try comes after a pause that grows with the tries; the first one comes at once."""
    story = g.sending()
    assert story.open(intents.SendPrompt)[0].not_before is None
    for tries in (1, 2):
        story.fail(intents.SendPrompt, TRANSIENT)
        pause = Figures().backoff(MESSAGE, tries)
        assert story.open(intents.SendPrompt)[0].not_before == story.now + pause
        assert story.message().tries == tries + 1
