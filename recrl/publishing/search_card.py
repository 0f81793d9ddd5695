"""What the card of a query model says."""

from collections.abc import Mapping
from typing import Any

from recrl.version import __version__

SHOWN_SETTINGS = (
    "num_copy_epochs", "num_train_epochs", "learning_rate", "lr_scheduler_type", "warmup_steps", "weight_decay",
    "per_device_train_batch_size", "gradient_accumulation_steps", "num_decoder_layers", "freeze_embeddings",
    "freeze_encoder", "seed", "bf16", "fp16",
)  # fmt: skip


def search_card_lines(
    repo_id: str, method: str, metrics: Mapping[str, Any], base_model: str | None, settings: Mapping[str, Any]
) -> list[str]:
    """The card's text.

    Args:
        repo_id: the model's name on the Hub; method: how it was trained, in words.
        metrics: of the run; settings: its configuration, all fields in one mapping.
    """
    return [
        f"# {repo_id}",
        "",
        "It writes search queries: from a shopper's instruction, without a price, to what a person would type into a "
        "shop's search box.",
        "",
        f"- method: {method}",
        f"- base model: {base_model}",
        "",
        "## Training data",
        f"- instructions with typed queries: {metrics['num_instructions']}, pairs: {metrics['num_query_pairs']}",
        f"- instructions of the first phase, with their content words: {metrics['num_copied_instructions']}",
        f"- held out, in neither: {metrics['num_held_out_instructions']} instructions",
        "",
        "## Settings",
        *(f"- {name}: {settings[name]}" for name in SHOWN_SETTINGS if settings.get(name) is not None),
        f"- optimiser steps: {metrics['global_step']}, processes: {metrics['num_processes']}, recrl {__version__}",
        "",
        "## Results",
        f"Cross-entropy of the typed queries' tokens, held-out instructions: {metrics['held_out_loss']:.3f} nats. "
        "How often it writes the typed query, and what its queries find, was not evaluated here: run `recrl "
        f"evaluate-search --query_model {repo_id}`.",
        "",
        "## Use",
        "",
        "```python",
        "from recrl.queries import QueryModel",
        f'queries = QueryModel.from_pretrained("{repo_id}", num_queries=5)',
        'print(queries("i need a red cotton shirt in size large"))',
        "```",
        "",
        f"`recrl evaluate --policy P --query_model {repo_id}` lets a policy choose among them and the instruction.",
        "",
        "## Limits",
        "English shopping instructions of one or two sentences only. It was not tested with real customers. A query "
        "can hold words that the instruction does not, and can leave out words that matter; the plain instruction "
        "should stay among the candidates.",
        "",
    ]
