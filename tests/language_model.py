"""A tiny random causal model with a chat template, made on the spot."""

import functools
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@functools.cache
def _tokenizer(special: tuple[str, ...]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    from recrl.language.prompts import TASK
    from recrl.webshop.catalog import load_catalog

    texts = [f"click[{product.asin.lower()}] {product.title} $9.99" for product in load_catalog(None).products[:300]]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [TASK, *texts],
        trainers.BpeTrainer(
            vocab_size=800, special_tokens=list(special), initial_alphabet=alphabet, show_progress=False
        ),
    )
    return tokenizer


def make_language_model(
    folder: Path, *, seed: int = 0, template: str | None = TEMPLATE, context: int = 4096, **settings: Any
) -> Path:
    """Writes a Llama of 2 layers x 32 and a byte-level BPE tokenizer of 800 pieces."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = _tokenizer(tuple(special))
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=special[0], pad_token=special[0], bos_token=special[1],
        eos_token=special[2],
    )  # fmt: skip
    fast.chat_template = template
    config = LlamaConfig(
        **{
            "vocab_size": tokenizer.get_vocab_size(),
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": context,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 0,
        }
        | settings
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        for parameter in model.parameters():  # a fresh model is nearly uniform; this one has opinions
            parameter.data.mul_(3.0 if parameter.dim() > 1 else 1.0)
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
