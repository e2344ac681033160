"""Message and turn cases: one for each arc of the two tables, and why one cannot be taken."""

from taskdock.core.inputs import CloseTab, SendMessage, SessionLost, TurnEnd, TurnEnded
from taskdock.core.intents import SendPrompt
from unit.core import givens as g
from unit.core.cases import Case, done, fails, is_delivered, starts
from unit.core.story import MESSAGE_2, PERMANENT, TAB, TRANSIENT, UNKNOWN

MORE = SendMessage(TAB, MESSAGE_2, "More, please.")
ENDED = TurnEnded(TurnEnd.COMPLETED, "end_turn")

CASES = (
    Case("send: new -> queued", g.creating, MORE, "queued", "", "message.sent", of=MESSAGE_2),
    Case("tab_is_free: queued -> sending", g.idle, MORE, "sending", "SendPrompt", "message.sent", of=MESSAGE_2,
         also=("send: new -> queued",)),
    Case("delivered: sending -> delivered", g.working, is_delivered(SendPrompt), "delivered"),
    Case("not_sent[may_be_tried_again]: sending -> queued", g.sending, SessionLost(TAB, 1, 1, "it ended"),
         "queued", "CreateSession"),
    Case("not_sent: sending -> failed", g.sending_last_try, fails(SendPrompt, TRANSIENT),
         "failed", "", "message.failed"),
    Case("refused: sending -> failed", g.working, fails(SendPrompt, PERMANENT),
         "failed", "CollectWork", "message.failed turn.ended"),
    Case("lost: sending -> failed", g.working, fails(SendPrompt, UNKNOWN),
         "failed", "CollectWork CreateSession", "message.failed turn.ended"),
    Case("tab_closed: queued -> withdrawn", g.creating, CloseTab(TAB, force=True),
         "withdrawn", "", "tab.closed message.withdrawn"),
)  # fmt: skip

IMPOSSIBLE = {
    "tab_closed: sending -> withdrawn": "what is being sent is settled as sent or not sent before its queue ends",
}

TURN_CASES = (
    Case("begin: none -> running", g.sending, starts(SendPrompt), "running", "", "turn.started"),
    Case("cancel: running -> cancelling", g.working, CloseTab(TAB), "cancelling", "CloseSession Wake CancelTurn"),
    Case("end: running -> none", g.delivered, done(SendPrompt, ENDED), "none", "CollectWork", "turn.ended"),
    Case("end: cancelling -> none", g.settling, done(SendPrompt, ENDED),
         "none", "CollectWork", "turn.ended task.step_started"),
)  # fmt: skip
