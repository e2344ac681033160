"""Message, turn and permission cases: one for each arc of the three tables."""

from taskdock.core.inputs import (
    AnswerPermission,
    CancelTurn,
    CloseTab,
    EditMessage,
    PermissionAsked,
    SendMessage,
    SessionLost,
    TurnEnd,
    TurnEnded,
    WithdrawMessage,
)
from taskdock.core.intents import SendPrompt
from unit.core import givens as g
from unit.core.cases import Case, done, fails, is_delivered, starts
from unit.core.story import MESSAGE, MESSAGE_2, OPTIONS, PERMANENT, PERMISSION, TAB, TRANSIENT, UNKNOWN

MORE = SendMessage(TAB, MESSAGE_2, "More, please.")
ENDED = TurnEnded(TurnEnd.COMPLETED, "end_turn")

CASES = (
    Case("send: new -> queued", g.creating, MORE, "queued", "", "message.sent", of=MESSAGE_2),
    Case("tab_is_free: queued -> sending", g.idle, MORE, "sending", "SendPrompt", "message.sent", of=MESSAGE_2,
         also=("send: new -> queued",)),
    Case("delivered: sending -> delivered", g.working, is_delivered(SendPrompt), "delivered"),
    Case("not_sent[may_be_tried_again]: sending -> queued", g.sending, fails(SendPrompt, TRANSIENT),
         "sending", "SendPrompt", also=("tab_is_free: queued -> sending",)),
    Case("not_sent: sending -> failed", g.sending_last_try, fails(SendPrompt, TRANSIENT),
         "failed", "", "message.failed"),
    Case("taken_back: sending -> queued", g.sending, SessionLost(TAB, 1, 1, "it ended"),
         "queued", "ResumeSession"),
    Case("refused: sending -> failed", g.working, fails(SendPrompt, PERMANENT),
         "failed", "CollectWork", "message.failed turn.ended"),
    Case("lost: sending -> failed", g.working, fails(SendPrompt, UNKNOWN),
         "failed", "CollectWork ResumeSession", "message.failed turn.ended"),
    Case("edit: queued -> =", g.creating, EditMessage(TAB, MESSAGE, "Rather this."), "queued", "", "message.edited"),
    Case("withdraw: queued -> withdrawn", g.creating, WithdrawMessage(TAB, MESSAGE),
         "withdrawn", "", "message.withdrawn"),
    Case("tab_closed: queued -> withdrawn", g.creating, CloseTab(TAB, force=True),
         "withdrawn", "", "tab.closed message.withdrawn"),
)  # fmt: skip

TURN_CASES = (
    Case("begin: none -> running", g.sending, starts(SendPrompt), "running", "", "turn.started"),
    Case("cancel: running -> cancelling", g.working, CancelTurn(TAB), "cancelling", "CancelTurn Wake"),
    Case("end: running -> none", g.delivered, done(SendPrompt, ENDED), "none", "CollectWork", "turn.ended"),
    Case("end: cancelling -> none", g.KILL.settling, done(SendPrompt, ENDED),
         "none", "CollectWork", "turn.ended task.step_started"),
)  # fmt: skip

PERMISSION_CASES = (
    Case("ask: new -> asked", g.delivered, PermissionAsked(TAB, MESSAGE, PERMISSION, "Run make?", OPTIONS),
         "asked", "Wake", "permission.asked"),
    Case("answer: asked -> answered", g.asked, AnswerPermission(TAB, PERMISSION, "yes"),
         "answered", "AnswerPermission", "permission.answered"),
    Case("cancel: asked -> cancelled", g.asked, AnswerPermission(TAB, PERMISSION, None),
         "cancelled", "AnswerPermission", "permission.answered"),
)  # fmt: skip
