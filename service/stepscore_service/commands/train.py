"""`stepscore train`: a checkpoint out of labelled solutions."""

from __future__ import annotations

from importlib.util import find_spec

from stepscore_service.commands import train_options as given
from stepscore_service.jobs.runs import console

NEEDED = ("accelerate", "peft", "scipy", "tensorboard")
RATE, LORA_RATE = 1e-5, 2e-4


def train(
    files: given.Inputs,
    base: given.Base,
    out: given.Out,
    output: given.OutputName = "qwen_math",
    objective: given.Objective = "cross-entropy",
    after_error: given.AfterError = None,
    error_below: given.ErrorBelow = 0.0,
    positive_weight: given.PositiveWeight = 1.0,
    lm_weight: given.LmWeight = 0.0,
    lm_only: given.LmOnly = False,
    zeta: given.Zeta = 4.0,
    beta: given.Beta = 0.05,
    resume: given.Resume = False,
    format_: given.FormatName = "auto",
    neutral: given.Neutral = "good",
    skip_bad: given.SkipBad = 0,
    eval_share: given.EvalShare = 0.05,
    epochs: given.Epochs = 1.0,
    steps: given.Steps = 0,
    batch: given.BatchSize = 8,
    accumulate: given.Accumulate = 1,
    learning_rate: given.Rate = 0.0,
    lora: given.LoraRank = 0,
    max_tokens: given.MaxTokens = 0,
    packing: given.Packing = True,
    share_prefixes: given.Sharing = False,
    bf16: given.Bf16 = False,
    gradient_checkpointing: given.Checkpointing = False,
    eval_steps: given.EvalSteps = 0,
    save_steps: given.SaveSteps = 500,
    seed: given.Seed = 0,
) -> None:
    """Train a process reward model on labelled solutions.

    DIR is a checkpoint that `stepscore serve --model DIR` reads; checkpoints/, logs/ (TensorBoard) and training.json
    lie beside the weights. Ctrl-C saves a checkpoint, from which the same command with --resume goes on. On several
    GPUs: `accelerate launch -m stepscore_service.commands.cli train ...` (docs/jobs.md).
    """
    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        console.fail(f"train needs {', '.join(lacking)}: pip install 'stepscore[train]'")
    from stepscore_service.commands.train_run import Asked, run  # loads torch, which `--help` need not wait for
    from stepscore_service.jobs.modeling.plan import Learning, Lora, TrainPlan

    rate = learning_rate or (LORA_RATE if lora else RATE)
    learning = Learning(
        epochs=epochs,
        steps=steps,
        batch=batch,
        accumulate=accumulate,
        rate=rate,
        max_tokens=max_tokens,
        layout="shared" if share_prefixes else "packed" if packing else "padded",
        bf16=bf16,
        checkpointing=gradient_checkpointing,
        eval_steps=eval_steps,
        save_steps=save_steps,
        seed=seed,
    )
    plan = TrainPlan(
        base=base,
        output="causal" if lm_only else output,
        objective="lm" if lm_only else objective,
        after_error=after_error,
        error_below=error_below,
        positive_weight=positive_weight,
        lm_weight=lm_weight,
        zeta=zeta,
        beta=beta,
        lora=Lora(lora, alpha=2 * lora),
        learning=learning,
    )
    run(plan, Asked(tuple(files), out, format_, neutral == "good", skip_bad, eval_share, resume))
