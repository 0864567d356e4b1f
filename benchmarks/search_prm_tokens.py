"""What a PRM computes for the trees of a search run: the tokens that are new in each tree, and no token twice.

    python -m benchmarks.search_prm_tokens runs/compare/beam.jsonl runs/compare/mcts.jsonl --model embedded

Every prefix that the search rated is rated again, depth after depth, for as many problems at once as the search had in
flight. read: tokens of all these prefixes, which is what a PRM without a prefix cache computes. new: nodes of the trie
of their ids, the least that any engine must compute. computed: what went through the layers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from stepscore.config import DType, EngineOptions
from stepscore.scoring.open import open_scorer
from stepscore.scoring.scorer import Scorer
from stepscore.search.policy import SEPARATOR
from stepscore.types import Solution

Waves = list[list[Solution]]


class TokenTrie:
    """Counts tokens with what is before them: the same ids after the same ids are one."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[int, int], int] = {}

    def add(self, ids: Sequence[int]) -> None:
        node = 0
        for token in ids:
            node = self._nodes.setdefault((node, token), len(self._nodes) + 1)

    def __len__(self) -> int:
        return len(self._nodes)


def rated_prefixes(trace: dict[str, Any], separator: str) -> Waves:
    """What the PRM rated of one tree, by depth."""
    nodes, waves = trace["nodes"], list[list[Solution]]()
    texts, depths = [""] * len(nodes), [0] * len(nodes)
    for place, node in enumerate(nodes):
        if node["parent"] is None:
            continue
        texts[place] = texts[node["parent"]] + node["text"]
        depths[place] = depths[node["parent"]] + 1
        steps = tuple(step for piece in texts[place].split(separator) if (step := piece.strip()))
        if node["score"] is not None and steps:
            waves += [[] for _ in range(depths[place] - len(waves))]
            waves[depths[place] - 1].append(Solution(trace["problem"], steps))
    return waves


def merge(trees: Sequence[Waves]) -> Iterator[list[Solution]]:
    """One call for each depth of several trees. Equal prefixes are one, as in a search."""
    for depth in range(max(map(len, trees), default=0)):
        yield list(dict.fromkeys(each for tree in trees if depth < len(tree) for each in tree[depth]))


def replay(scorer: Scorer, trees: Sequence[Waves], in_flight: int) -> tuple[int, int, int]:
    """Tokens read, new and computed."""
    read, trie, before = 0, TokenTrie(), scorer.counts().computed
    for start in range(0, len(trees), in_flight):
        for solutions in merge(trees[start : start + in_flight]):
            for solution in solutions:
                for sequence in scorer.encode(solution).sequences:
                    ids = sequence.ids[: sequence.reads[-1] + 1]
                    read += len(ids)
                    trie.add(ids)
            scorer.score(solutions)
    return read, len(trie), scorer.counts().computed - before


def main(
    files: Annotated[list[Path], typer.Argument(help="results of stepscore search", exists=True)],
    model: str = "embedded",
    dtype: str = "bfloat16",
    in_flight: Annotated[int, typer.Option(min=1)] = 32,
    threads: Annotated[int, typer.Option(min=1)] = 1,
    separator: str = SEPARATOR,
) -> None:
    """A row for each file, as it is done."""
    chosen: DType = "float32" if dtype == "float32" else "bfloat16"
    print("| | problems | read | new | computed | computed / new | read / computed |\n|---|---|---|---|---|---|---|")
    for file in files:
        scorer = open_scorer(model, options=EngineOptions(dtype=chosen, threads=threads))
        assert isinstance(scorer, Scorer), "a judge has no prefixes to share"
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        trees = [rated_prefixes(row["trace"], separator) for row in rows if "trace" in row]
        read, new, computed = replay(scorer, trees, in_flight)
        shares = f"{computed / new:.3f} | {read / computed:.2f}"
        print(f"| {rows[0]['method']} | {len(trees)} | {read:,} | {new:,} | {computed:,} | {shares} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
