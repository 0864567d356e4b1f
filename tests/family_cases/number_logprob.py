from pathlib import Path

import checkpoints
import tokenizers_for_tests as tokenizers
from family_case import FamilyCase
from reference import number_logprob

CONSTANTS = {"slope": 0.3, "offset": 1.5, "wordy_slope": 0.2, "wordy_offset": 2.0}


def make(folder: Path) -> Path:
    tokenizer = tokenizers.qwen()
    config = checkpoints.decoder_config("llama", tokenizer, tie_word_embeddings=True)
    state = checkpoints.backbone_state(config)
    extra = {"number_logprob": CONSTANTS}
    return checkpoints.save(folder, config, state, tokenizer, "LlamaForCausalLM", extra_config=extra)


CASES = [FamilyCase("number_logprob", "number_logprob", make, number_logprob.step_rewards, named=True)]
