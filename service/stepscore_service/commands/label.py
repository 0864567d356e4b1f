"""`stepscore label`: step labels for problems whose answers are known."""

from __future__ import annotations

from stepscore.generate.protocol import Sampling
from stepscore_service.commands import label_options as given
from stepscore_service.commands.flags import with_settings
from stepscore_service.settings import Settings

PLACE = frozenset({"device", "dtype", "max_tokens", "tensor_parallel_size"})


@with_settings(only=PLACE)
def label(
    file: given.File,
    out: given.Out,
    method: given.MethodName = "monte-carlo",
    samples: given.Samples = 0,
    k: given.K = 8,
    labels: given.Kind = "hard",
    stop_at_zero: given.StopAtZero = False,
    searches: given.Searches = 100,
    budget: given.Budget = 1000,
    verifier: given.Verifier = "math",
    consensus: given.Consensus = "",
    threshold: given.Threshold = None,
    drop_unsolved: given.DropUnsolved = False,
    error_below: given.ErrorBelow = 0.0,
    judged_only: given.JudgedOnly = False,
    generator: given.GeneratorName = "transformers",
    model: given.Model = "",
    prompt: given.PromptText = "",
    temperature: given.Temperature = 0.7,
    top_p: given.TopP = 1.0,
    top_k: given.TopK = 0,
    rollout_tokens: given.Tokens = 512,
    stop: given.Stop = None,
    seed: given.Seed = 0,
    at_once: given.AtOnce = 64,
    split: given.Split = "auto",
    join: given.Join = r"\n",
    shard_problems: given.ShardProblems = 16,
    rollouts: given.Rollouts = False,
    limit: given.Limit = 0,
    ray: given.Ray = None,
    workers: given.Workers = 1,
    *,
    settings: Settings,
) -> None:
    """Label every step of solutions to problems whose answers are known.

    DIR gets labels-00000.jsonl, … (TRL's rows with counts) and manifest.json. Run the same command again after an
    interruption and it continues. Exit status: 0 done, 1 done but no rollout was right, 2 nothing could be done,
    3 it failed on the way.
    """
    from stepscore.policy import Policy
    from stepscore_service.commands.label_run import Run, run  # loads torch, which `--help` need not wait for
    from stepscore_service.jobs.label.methods.base import Options
    from stepscore_service.jobs.label.plan import Plan

    ways = Options(k, samples, labels, stop_at_zero, judged_only, split, join.replace(r"\n", "\n"), searches, budget)
    place = settings.device, settings.dtype, settings.max_tokens, settings.tensor_parallel_size
    policy = Policy(generator, model, prompt, *place)
    sampling = Sampling(1, rollout_tokens, temperature, top_p, top_k, tuple(stop or ()))
    kept = rollouts, consensus, threshold, drop_unsolved, error_below
    plan = Plan(method, ways, policy, verifier, sampling, seed, at_once, *kept)
    run(plan, Run(file, out, shard_problems, limit, ray, workers))
