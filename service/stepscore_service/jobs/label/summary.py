"""What a finished run says of itself, and the warnings that its totals call for."""

from __future__ import annotations

from stepscore_service.jobs.label.stats import Totals

HALF = 0.5


def summary(totals: Totals) -> str:
    """One line on labels, and one on rollouts if there were any."""
    labels = (
        f"{totals.get('rows', 0)} rows of {totals.get('problems', 0)} problems, {totals.get('rows_with_error', 0)} "
        f"with a wrong step: {totals.get('steps', 0)} steps, {totals.get('steps_without_label', 0)} without a label."
    )
    compared = {name: count for name, count in totals.items() if name.startswith("consensus_")}
    if compared:
        parts = ", ".join(f"{count} {name.removeprefix('consensus_')}" for name, count in compared.items())
        labels += f"\nConsensus: {parts}; rows on which the judge does not agree are in dropped-*.jsonl."
    if unsolved := totals.get("problems_unsolved", 0):
        labels += f"\n{unsolved} problems of which no rollout is right: their rows are in dropped-*.jsonl."
    rollouts = totals.get("rollouts", 0)
    if not rollouts:
        return labels
    ended = ", ".join(f"{totals.get(name, 0)} {name}" for name in ("right", "wrong", "unreadable", "truncated"))
    return f"{labels}\n{rollouts} rollouts in {totals.get('rounds', 0)} rounds: {ended}."


def none_right(totals: Totals) -> str:
    """What is wrong if rollouts were made and none was right; otherwise ""."""
    rollouts = totals.get("rollouts", 0)
    if not rollouts or totals.get("right", 0):
        return ""
    kept = "The rows are in dropped-*.jsonl." if totals.get("problems_unsolved") else "The rows are kept."
    return (
        f"not one of {rollouts} rollouts is right, so these labels say nothing of the steps. Look at some with "
        "--rollouts: the prompt (--prompt) may not suit the policy, the answers may need another --verifier, or the "
        f"policy is too weak for these problems. {kept}"
    )


def warnings(totals: Totals) -> list[str]:
    """Things that make labels weak, each with what to change."""
    found = []
    rollouts = totals.get("rollouts", 0)
    if unstarted := totals.get("unstarted", 0):
        found.append(f"{unstarted} rollouts have no room in the policy's context, so their steps got no label.")
    if totals.get("truncated", 0) > HALF * rollouts:
        found.append("More than half of the rollouts ran out of tokens: raise --rollout-tokens.")
    if totals.get("unreadable", 0) > HALF * rollouts:
        found.append("More than half of the rollouts state no answer that can be read: see --prompt and --verifier.")
    return found
