"""OmegaPRM (arXiv:2406.06592): Monte Carlo values in a tree that all searches of a problem share.

A search takes the most promising wrong rollout and finds its first error by binary search; each prefix that it tries
becomes a node, whose own wrong rollouts are the candidates of later searches. The policy writes all solutions itself:
those that the row brings are not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stepscore.errors import NoSteps
from stepscore.rollout.sampler import RolloutCounts, RolloutRequest
from stepscore.rollout.task import RolloutTask
from stepscore.types import Solution
from stepscore.verify.verifier import Verifier
from stepscore_service.jobs.data.labelled import Labelled
from stepscore_service.jobs.label.methods.base import TaskLabels, columns, hard, value_of
from stepscore_service.jobs.label.methods.omega_tree import OmegaNode, OmegaTree, WrongRollout
from stepscore_service.jobs.label.options import MethodOptions
from stepscore_service.jobs.label.task import Attempt, Task, attempt_of_text


@dataclass(frozen=True, slots=True)
class Omega:
    """One row for each node but the root: its prefix, labelled at its last step only, so that none counts twice."""

    options: MethodOptions
    verifier: Verifier
    name = "omega"

    def label(self, task: Task) -> RolloutTask[TaskLabels]:
        tree = OmegaTree(OmegaNode(""))
        yield from self._estimate(task, tree, tree.root)
        searches = 0
        while searches < self.options.searches and tree.spent < self.options.budget:
            candidate = tree.select()
            if candidate is None:
                break
            yield from self._search(task, tree, candidate)
            searches += 1
        written = {"id": task.id, "line": task.line, "problem": task.problem, "searches": searches}
        return TaskLabels(tuple(self._rows(task, tree.root)), written | {"rollouts": tree.spent, **tree.root.as_json()})

    def _search(self, task: Task, tree: OmegaTree, candidate: WrongRollout) -> RolloutTask[None]:
        """Binary search in the rollout: a prefix that leads nowhere sends it left, any other becomes the parent."""
        try:
            attempt = attempt_of_text(candidate.rollout.text, self.options.split)
        except NoSteps:  # the policy ended at once, and the empty rest is wrong: no step of it can be searched
            return
        parent, low, high = candidate.node, 1, len(attempt.steps)
        while low <= high:
            steps = (low + high) // 2
            node = _child(candidate.node, attempt, steps)
            parent.children.append(node)
            if steps == len(attempt.steps):
                node.value = 0.0
            else:
                yield from self._estimate(task, tree, node)
            if node.value is None:  # no rollout could be judged, so there is no half to continue in
                return
            if node.value == 0.0:
                high = steps - 1
            else:
                parent, low = node, steps + 1

    def _estimate(self, task: Task, tree: OmegaTree, node: OmegaNode) -> RolloutTask[None]:
        purpose = f"omega {tree.spent}"
        (rollouts,) = yield [RolloutRequest(task.problem, task.truth, node.prefix, self.options.k, purpose)]
        node.counts = RolloutCounts.of(rollouts)
        node.value = value_of(self.options, node.counts)
        tree.admit(node, rollouts)

    def _rows(self, task: Task, root: OmegaNode) -> Iterator[Labelled]:
        for place, node in enumerate(root.walk()):
            if node is root:
                continue
            value = hard(node.value) if self.options.labels == "hard" else node.value
            nothing = [None] * (len(node.steps) - 1)
            extras = {
                "id": task.id,
                "line": task.line,
                "node": place,
                "method": self.name,
                "soft": [*nothing, node.value],
                "counts": [*nothing, *columns([node.counts])],
            }
            yield Labelled(Solution(task.problem, node.steps), (*nothing, value), None, extras)


def _child(node: OmegaNode, attempt: Attempt, steps: int) -> OmegaNode:
    """The node after the rollout's first `steps` steps."""
    return OmegaNode(node.prefix + attempt.prefix(steps), node.steps + attempt.steps[:steps])
