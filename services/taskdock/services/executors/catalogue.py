"""Catalogue: which executor carries out which intent.

Owns: `EXECUTORS`.
Never: an intent without an executor (a test compares it with the core's union).
Reads as: scheduler claims an intent -> `EXECUTORS[type(body)]`.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from taskdock.core import intents
from taskdock.core.inputs import Value
from taskdock.services.execution import Execution
from taskdock.services.executors.answer_permission import answer_permission
from taskdock.services.executors.cancel_turn import cancel_turn
from taskdock.services.executors.clone_repo import clone_repo
from taskdock.services.executors.close_session import close_session
from taskdock.services.executors.collect_work import collect_work
from taskdock.services.executors.create_sandbox import create_sandbox
from taskdock.services.executors.create_session import create_session
from taskdock.services.executors.destroy_sandbox import destroy_sandbox
from taskdock.services.executors.ensure_agent import ensure_agent
from taskdock.services.executors.ensure_name import ensure_name
from taskdock.services.executors.observe_sandbox import observe_sandbox
from taskdock.services.executors.remove_clone import remove_clone
from taskdock.services.executors.resume_session import resume_session
from taskdock.services.executors.run_repo_job import run_repo_job
from taskdock.services.executors.send_prompt import send_prompt
from taskdock.services.executors.stop_sandbox import stop_sandbox
from taskdock.services.executors.tell import tell
from taskdock.services.executors.wake import wake
from taskdock.services.tools import Tools

Executor = Callable[[Any, Execution, Tools], Awaitable[Value]]

EXECUTORS: Mapping[type, Executor] = {
    intents.EnsureName: ensure_name,
    intents.CreateSandbox: create_sandbox,
    intents.ObserveSandbox: observe_sandbox,
    intents.EnsureAgent: ensure_agent,
    intents.CreateSession: create_session,
    intents.ResumeSession: resume_session,
    intents.SendPrompt: send_prompt,
    intents.CancelTurn: cancel_turn,
    intents.AnswerPermission: answer_permission,
    intents.CloseSession: close_session,
    intents.CollectWork: collect_work,
    intents.StopSandbox: stop_sandbox,
    intents.DestroySandbox: destroy_sandbox,
    intents.CloneRepo: clone_repo,
    intents.RemoveClone: remove_clone,
    intents.RunRepoJob: run_repo_job,
    intents.Tell: tell,
    intents.Wake: wake,
}
