"""Tokenizers of the three kinds that published PRMs use, trained on a few lines so that real traps occur.

Separators merge with what stands before them (".\\n\\n" is one token in the byte-level ones), Llama and Mistral kinds
add a BOS, Llama's chat template writes a system block of its own and trims, Qwen's adds a default system message.
"""

from __future__ import annotations

from functools import lru_cache

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CORPUS = [
    "Janet sells 16 - 3 - 4 = 9 duck eggs a day.\n\nShe makes 9 * 2 = $18 every day at the farmer's market.\n\n",
    "Step 1: We have $x + 2 = 5$.\n\nStep 2: So $x = 3$.\nThe answer is \\boxed{3}.\n\n\n\n\n How many? What is it?\n",
    "Question: Is the step correct (Yes/No)? Yes. No. + - ки\n ки\nAnswer: Let's think step by step. \n\n\n\n",
    "To find out how many more flamingos, first 1/3 of 18 is 6. Therefore \\frac{1}{3} + \\sqrt{2} = 1.7475.\n\n" * 2,
    "Step 1: Janet's ducks lay 16 eggs. \n\n\n\n\n Step 2: She makes $18. \n\n\n\n\n" * 2,
    "user assistant system correct incorrect Paragraph 1 the solution is wrong because 3 + 4 = 8 .\n\n" * 3,
]

GPT4_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_SPLIT = GPT4_SPLIT.replace(r"\p{N}{1,3}", r"\p{N}")

CHATML = (
    "{% for message in messages %}"
    "{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{{ '<|start_header_id|>system<|end_header_id|>\\n\\n' }}"
    "{{ 'Cutting Knowledge Date: December 2023\\nToday Date: 26 Jul 2024\\n\\n' }}"
    "{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] | trim }}{% set rest = messages[1:] %}"
    "{% else %}{% set rest = messages %}{% endif %}{{ '<|eot_id|>' }}"
    "{% for message in rest %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
    "{{ message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ message['content'] + eos_token }}{% endif %}"
    "{% endfor %}"
)


def _byte_level(split: str, specials: list[str], normalizer: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS * 4, trainer)
    return tokenizer


@lru_cache
def qwen(*extra: str) -> PreTrainedTokenizerFast:
    """Qwen2.5's kind: byte-level BPE, NFC, single digits, ChatML with a default system message, no BOS."""
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *extra]
    return PreTrainedTokenizerFast(
        tokenizer_object=_byte_level(QWEN_SPLIT, specials, normalizer=True),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=list(extra),
        chat_template=CHATML,
    )


@lru_cache
def llama3(*extra: str) -> PreTrainedTokenizerFast:
    """Llama 3.1's kind: byte-level BPE, BOS added by the tokenizer, trimming template with a system block."""
    specials = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", *extra]
    tokenizer = _byte_level(GPT4_SPLIT, specials, normalizer=False)
    bos = tokenizer.token_to_id("<|begin_of_text|>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", bos)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        pad_token="<|eot_id|>",
        extra_special_tokens=list(extra),
        chat_template=LLAMA3,
    )


@lru_cache
def mistral(*extra: str) -> PreTrainedTokenizerFast:
    """Mistral's kind: Metaspace BPE with byte fallback, BOS added by the tokenizer."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    specials = ["<unk>", "<s>", "</s>", *[f"<0x{byte:02X}>" for byte in range(256)], *extra]
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=specials, show_progress=False, max_token_length=12)
    # As in the real vocabulary, a line break is no piece of a word but a byte.
    words = [word for line in CORPUS for word in line.split()]
    tokenizer.train_from_iterator([*words, *words], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        extra_special_tokens=list(extra),
        chat_template=MISTRAL,
    )
