"""A task of one's own by its name, ``module:function``, as commands and recipes are told it."""

import inspect

from recrl.environments.gym_task import blamed
from recrl.environments.protocols import Task
from recrl.errors import TaskError
from recrl.values import find_named

_NEEDED = (
    "sha256", "goals_sha256", "template_goals_sha256", "goal_seed", "human_goals", "split", "protocol", "chances",
    "target", "make_env",
)  # fmt: skip


def load_task(spec: str) -> Task:
    """The task that ``function()`` of a module returns, which may lie in the working folder.

    Raises:
        TaskError: it cannot be imported, or returns something else.
    """
    module_name, _, function_name = spec.partition(":")
    if not module_name or not function_name:
        raise TaskError(f"{spec!r}: expected module:function, which returns a task such as recrl.GymTask")
    try:
        function = find_named(spec)
    except ValueError as error:
        raise TaskError(str(error)) from error
    if not callable(function):
        raise TaskError(f"{spec!r} is {function!r:.80}; expected a function without arguments that returns a task")
    with blamed(repr(spec)):
        task = function()
    missing = [name for name in _NEEDED if inspect.getattr_static(task, name, None) is None and not hasattr(task, name)]
    if missing:
        raise TaskError(
            f"{spec!r} returned a {type(task).__name__}, which lacks {', '.join(missing)}; expected a task such as "
            "recrl.GymTask"
        )
    return task
