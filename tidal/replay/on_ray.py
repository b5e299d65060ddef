"""Ray as a concurrent.futures.Executor, which it does not offer itself."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

from tidal.errors import MissingExtra

_T = TypeVar("_T")


class RayExecutor(Executor):
    """Runs each task as a task of Ray, in the cluster to which this process is connected (``ray.init()``).

    ``options`` are those of ``ray.remote``, such as ``num_cpus=1`` or ``max_retries=3``: Ray itself runs a
    task again whose worker was lost. The cluster is left as it is: shutting it down is for who started it.
    All workers need tidal, and reach the source. Raises MissingExtra.
    """

    def __init__(self, **options: Any) -> None:
        try:
            ray: Any = importlib.import_module("ray")
        except ImportError as error:
            raise MissingExtra("ray", "ray", "a replay on Ray") from error
        self._ray, self._options = ray, options
        self._remote: dict[Callable[..., Any], Any] = {}

    def submit(self, task: Callable[..., _T], /, *arguments: Any, **named: Any) -> Future[_T]:
        """Start a task; return its future. What the task raises is raised by ``result()``."""
        if task not in self._remote:
            self._remote[task] = (
                self._ray.remote(**self._options)(task) if self._options else self._ray.remote(task)
            )
        future: Future[_T] = self._remote[task].remote(*arguments, **named).future()
        return future
