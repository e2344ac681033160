"""Regressions: scripts that once broke an invariant, with a sentence on what was wrong each time.

Owns: `SCRIPTS`.
Never: one that is kept because it is interesting; each was a bug: of the product, of the kit, or planted.
Reads as: test_seeds.py -> this.

A seed stands for its acts only as long as the weights of the acts and the dice in script.py stay as they are; a script
stands for itself. So what is to be kept for good is a script, shrunk.
"""

SCRIPTS: dict[str, str] = {
    "1,create_task:0:0:1:4,break_box:0:0:0:1,stop_task:0:0:1:5": (
        "a task whose sandbox had failed could never be stopped, and no retry helped"
    ),
    "1,create_task:3:0:1:3,rename_tab:0:0:1:5,stop_task:0:0:1:4,lie:0:0:2:0,resume_task:0:0:1:4": (
        "one answer of absence, right before a start, made a task tell that its sandbox was lost and forget owed work"
    ),
    "726726685,create_task:0:0:1:4,lie:0:0:2:0,crash_agent:0:0:0:1": (
        "an agent ended while its provider called the sandbox absent: the sandbox was seen running, and its tab stayed ready"
    ),
    "726726681,create_task:0:0:0:4,fail:0:22:29:0,close_tab:0:0:0:1": (
        "the end of a session failed for good, was not asked for again, and the agent of the closed tab went on"
    ),
    "8,create_task:0:0:0:5,fail:0:7:5:0,close_tab:0:0:0:1": (
        "an agent's server that could not be reached for a moment was taken for one that holds no session"
    ),
    "8,create_task:0:0:0:5,fail:0:50:6:0,fail:0:8:8:0,open_tab:0:0:1:5,close_tab:0:0:0:1,stop_task:0:0:1:1": (
        "a stop took back the end of a closed tab's session, failed, and left its agent"
    ),
    "726726944,create_task:1:0:1:3,close_tab:0:0:1:0,end_server:0:0:0:0": (
        "of the kit: a tab was closed while its turn began, nothing had been sent, and its message was told withdrawn, as it is"
    ),
    "900000165,create_task:0:0:0:5,stop_task:0:0:1:4,resume_task:0:0:1:5,fail:0:4:8:0,kill_task:0:1:1:4": (
        "of the kit: a kill had failed at the end of its sandbox, in which the sessions of its closed tabs were still"
    ),
    "900000588,come_late:0:0:3:0,fail:0:0:9:0,create_task:1:0:1:3,jump:0:0:5:2,kill_task:0:0:1:3,rename_tab:0:0:1:5": (
        "the wall clock was set forward while a create was under way, and it landed after the end of its task"
    ),
    "1000000098,create_task:0:0:0:0,retry_task:0:0:0:4,cancel_turn:0:0:0:2,fail:0:3:10:0,end_server:0:0:0:4": (
        "an agent's server ended, its provider never said what became of the sandbox, and the loss of the session was never told"
    ),
    "1,create_task:3:0:1:4,drain:0:0:1:0,mark_read:0:0:1:3,second:0:0:1:4,rename_tab:0:0:1:4,rename_tab:0:0:1:4,"
    "rename_tab:0:0:1:4,fail:0:15:10:0,fail:0:18:6:0,create_task:3:0:1:5,send:1:0:1:3,send:1:0:1:4": (
        "of the kit: of two who scheduled at once one told a message as not sent, and the other still sent it within its ten seconds"
    ),
    "2,create_task:3:0:1:4,drain:0:0:1:0,mark_read:0:0:1:3,second:0:0:1:4,rename_tab:0:0:1:4,rename_tab:0:0:1:4,"
    "rename_tab:0:0:1:4,fail:0:15:10:0,fail:0:18:6:0,create_task:3:0:1:5,send:1:0:1:3,send:1:0:1:4": (
        "of the kit: the same, and the next message reached the agent while it worked on that one"
    ),
    "1200000361,create_task:8:27:4:3,retry_tab:24:32:29:1,create_task:2:61:25:1,fail_job:14:27:40:0,fail_job:44:58:46:0,"
    "second:57:17:18:0,echo:2:28:52:5,crash_agent:56:26:22:1,close_tab:27:38:48:0,second:10:7:15:1,jump:57:13:50:2": (
        "of the kit: of two who scheduled at once one closed a tab, and the other still gave it a session"
    ),
    "1200003356,create_task:1:0:0:0,undo_job:0:0:0:3,stop_task:0:0:0:5,lie:0:0:2:3": (
        "a stop that came while its sandbox was coming up was not asked for once more, and waited for its deadline"
    ),
    "1300001557,create_task:19:3:41:3,open_tab:52:11:49:0,answer_permission:56:12:26:2,send:50:34:54:4,"
    "answer_permission:13:38:17:1,edit_message:45:45:51:2,request_job:7:43:46:2,fail_job:39:22:25:2,second:24:53:57:1,"
    "echo:4:15:40:5": "a new branch that a job moved before anybody was told of it was never registered",
    "13,create_task:1:0:0:0,drain:0:0:0:0,create_task:1:0:0:1,come_late:0:0:0:1,archive_task:1:0:0:0,retry_task:0:0:0:3": (
        "planted: a create lands after the archive, since a release is believed before its window has passed"
    ),
    "16,fail:0:0:0:0,send:0:0:0:0,send:0:0:0:0,fail:60:59:2:0,send:0:0:0:0,create_task:0:0:1:0,answer_permission:0:0:0:4,"
    "send:0:0:1:0,send:0:0:0:0,echo:0:0:0:5": (
        "planted: a turn that did not complete does not hold the queue, and the next message is sent"
    ),
    "1500002321,create_task:7:17:5:2,answer_permission:33:16:54:0,create_task:59:32:40:2,request_job:5:48:31:5,"
    "drain:2:56:19:4,answer_permission:59:22:38:1,retry_tab:28:42:2:1,kill:16:16:34:5,stop_task:22:60:4:3,"
    "come_late:19:36:3:2,kill:41:1:28:4,fail_job:38:39:8:4,create_task:47:42:43:3,create_task:58:29:20:0,"
    "set_branch:63:1:26:2,request_job:21:26:25:2,fail_job:47:14:15:1,create_task:40:55:39:5": (
        "of the kit: a job that neither ended nor could be settled had moved a branch, which nobody can know then"
    ),
    "1500002349,create_task:60:25:31:2,retry_tab:10:13:26:4,lose:3:33:5:4,second:40:63:63:3,retry_tab:56:31:20:4,"
    "fail:0:52:9:4,fail:31:11:58:4,create_task:50:9:12:4,fail:25:31:57:5": (
        "of the kit: two who scheduled at once each gave a tab a session, and the other one's stayed"
    ),
    "1600000955,create_task:0:0:0:0,drain:0:0:0:0,resume_queue:0:0:0:0,second:0:0:0:0,crash_agent:0:0:0:0,"
    "remove_repo:0:0:0:3,send:0:0:0:0,second:0:0:0:0,fail:0:0:0:2,fail:1:14:0:3,crash_agent:0:0:0:0": (
        "of the kit: of two who scheduled at once one sent a message, the other told it as not sent, and it was sent again"
    ),
    "1600001504,create_task:1:6:0:1,request_job:0:0:0:0,second:0:0:0:1": (
        "never landed: a step of a job told twice in one instant was ignored, and the one who told it went on telling it"
    ),
}
"""Each with what was wrong, or would be with the bug that was planted when it was found."""
