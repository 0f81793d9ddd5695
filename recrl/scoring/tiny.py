"""A BERT that knows nothing, made on the spot: for tests and for `recrl quickstart --tiny`."""

import string
from pathlib import Path

from recrl.files import replace_folder

WORDS = """
a and add back black blue bottle bound brand buy by camera case clean click color colour cotton desc description dollars
features find flavor for free gift green heavy i in instruction is item large light long looking low lower me medium men
natural need next now of option oil on or organic pack page please prev price product red results reviews rubber running
scent search set shampoo shirt shoes size small soft sole sub sugar than that the to total under want water white wide
with women wood x y yellow button end clicked < > [ ] ( ) - : , . $ ' " % & / | # ! ? ; = + _ *
""".split()


def make_tiny_encoder(folder: Path, *, seed: int = 0) -> None:
    """Writes a randomly initialised BERT of 2 layers x 32 and a WordPiece tokenizer of words and letters."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    pieces = ["##" + character for character in string.ascii_lowercase + string.digits]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = list(dict.fromkeys([*special, *WORDS, *string.ascii_lowercase, *string.digits, *pieces]))
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    with replace_folder(folder) as temporary, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        (temporary / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
        BertTokenizer(vocab=str(temporary / "vocab.txt")).save_pretrained(temporary)
        BertModel(config, add_pooling_layer=False).save_pretrained(temporary)
