"""Training a sequence-to-sequence model on pairs of an instruction and a typed query, with transformers' trainer.

The pairs are few, far too few for a decoder that has never attended to another text. So training has two phases in one
run: first every instruction with its content words (the words that people do not leave out of their queries, see
`recrl.queries.pairs.left_out_words`), which needs no query and teaches to copy; then the pairs. Held-out instructions
are in neither.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorForSeq2Seq, Seq2SeqTrainer, Seq2SeqTrainingArguments, set_seed

from recrl.errors import ConfigError, DatasetError
from recrl.files import sha256_of
from recrl.queries.pairs import content_words, is_held_out, left_out_words, load_instructions, load_pairs, split_pairs
from recrl.queries.proposing import MAX_INSTRUCTION_TOKENS, MAX_QUERY_TOKENS
from recrl.queries.seq2seq import new_query_model
from recrl.training.fields import check_fields, check_machine
from recrl.training.runs import save_result, training_run
from recrl.training.settings.search import QueryArguments, QuerySettings
from recrl.training.trainers import for_trainer, run_trainer

logger = logging.getLogger(__name__)

BUCKET_BATCHES = 16  # batches that are sorted by length together


@dataclass
class QueryConfig(QuerySettings, Seq2SeqTrainingArguments):  # type: ignore[misc]  # fewer types than there
    """The trainer's settings; transformers' names, with our defaults."""

    train_sampling_strategy: str = field(
        default="sequential", metadata={"help": "Must stay sequential: the examples come in the order of the phases."}
    )

    def __post_init__(self) -> None:
        check_fields("search", self)
        super().__post_init__()
        check_machine("search", self)
        if self.num_train_epochs != int(self.num_train_epochs) or self.num_train_epochs < 0:
            raise ConfigError(f"num_train_epochs={self.num_train_epochs}, expected a whole number of at least 0")


def in_order(
    examples: Sequence[tuple[str, str]], epochs: int, batch: int, rng: np.random.Generator
) -> list[tuple[str, str]]:
    """Passes over the examples, each in a new order in which texts of like lengths mostly stand together."""
    ordered: list[tuple[str, str]] = []
    for _ in range(epochs):
        drawn = [examples[place] for place in rng.permutation(len(examples))]
        batches: list[list[tuple[str, str]]] = []
        for start in range(0, len(drawn), BUCKET_BATCHES * batch):
            bucket = sorted(drawn[start : start + BUCKET_BATCHES * batch], key=lambda example: len(example[0]))
            batches += [bucket[place : place + batch] for place in range(0, len(bucket), batch)]
        ordered += [example for place in rng.permutation(len(batches)) for example in batches[place]]
    return ordered


def encode(tokenizer: Any, examples: Sequence[tuple[str, str]], start_token: int) -> Any:
    """Rows of token ids for `transformers.DataCollatorForSeq2Seq`, from (instruction, query) examples.

    Args:
        start_token: with which the decoder begins; labels that begin with it too lose it.
    """
    if not examples:
        return []
    inputs = tokenizer([text for text, _ in examples], truncation=True, max_length=MAX_INSTRUCTION_TOKENS)
    targets = tokenizer(text_target=[query for _, query in examples], truncation=True, max_length=MAX_QUERY_TOKENS)
    return [
        {"input_ids": ids, "attention_mask": mask, "labels": labels[1:] if labels[0] == start_token else labels}
        for ids, mask, labels in zip(inputs["input_ids"], inputs["attention_mask"], targets["input_ids"], strict=True)
    ]


def freeze(model: Any, arguments: QueryArguments) -> None:
    """Takes what is not to be trained out of training."""
    if arguments.freeze_encoder:
        model.get_encoder().requires_grad_(False)
    if arguments.freeze_embeddings:
        for module in model.modules():
            if isinstance(module, torch.nn.Embedding):
                module.requires_grad_(False)


def train_queries(arguments: QueryArguments, config: QueryConfig) -> Path:
    """Trains a query model and saves it with its tokenizer in ``config.output_dir``.

    An interrupted run goes on from its last checkpoint and ends with the weights of an uninterrupted one.

    Raises:
        DatasetError, CheckpointError, ConfigError: see the modules that read them.
    """
    train, held_out = split_pairs(load_pairs(arguments.pairs))
    read = [path for path in (arguments.pairs, arguments.instructions) if path and Path(path).is_file()]
    sources = {Path(path).name: sha256_of(path) for path in read}
    for name, sha256 in sources.items():
        logger.info("%s has the SHA-256 %s", name, sha256)
    if not train or not held_out:
        raise DatasetError(
            f"{arguments.pairs}: {len(train)} instructions to train on and {len(held_out)} held out, expected some of "
            "each; a tenth is held out, so bring more pairs"
        )
    others = load_instructions(arguments.instructions) if arguments.instructions else []
    texts = [pair.instruction for pair in train] + [text for text in others if not is_held_out(text)]
    left_out = left_out_words(train)
    copies = [(text, content_words(text, left_out)) for text in dict.fromkeys(texts)]
    pairs = [(pair.instruction, query) for pair in train for query in pair.queries]
    rng = np.random.default_rng(config.seed)
    batch = config.per_device_train_batch_size * config.gradient_accumulation_steps * config.world_size
    examples = in_order(copies, arguments.num_copy_epochs, batch, rng)
    examples += in_order(pairs, int(config.num_train_epochs), batch, rng)
    if not examples:
        raise ConfigError("num_copy_epochs=0 and num_train_epochs=0: nothing to do; set one of them")
    with training_run("search", config, {"arguments": arguments}) as run:
        if run.is_complete:
            return run.folder.path
        set_seed(config.seed)
        model, tokenizer = new_query_model(
            arguments.model_name_or_path,
            texts=[text for text, _ in copies],
            num_decoder_layers=arguments.num_decoder_layers,
            seed=config.seed,
        )
        freeze(model, arguments)
        trainer_config = for_trainer(config)
        trainer_config.num_train_epochs = 1  # the passes of both phases are in the examples
        start_token = model.config.decoder_start_token_id
        trainer = Seq2SeqTrainer(
            model=model,
            args=trainer_config,
            train_dataset=encode(tokenizer, examples, start_token),
            data_collator=DataCollatorForSeq2Seq(tokenizer, model=model),
        )
        trained = run_trainer(trainer, "search", run, config)
        of_held_out = [(pair.instruction, query) for pair in held_out for query in pair.queries]
        held_out_loss = trainer.evaluate(encode(tokenizer, of_held_out, start_token))["eval_loss"]
        metrics = {
            "method": "search",
            "sources_sha256": sources,
            "num_instructions": len(train),
            "num_query_pairs": len(pairs),
            "num_copied_instructions": len(copies) if arguments.num_copy_epochs else 0,
            "num_held_out_instructions": len(held_out),
            "held_out_loss": held_out_loss,
            **trained,
        }
        save_result(trainer, tokenizer, metrics, run)
    return Path(config.output_dir or "")
