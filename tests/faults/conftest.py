"""What the works of `works` start from."""

from pathlib import Path

import pytest
from published_model import original

from decision_data import colour_episode
from recrl.episodes.data import episodes_to_dataset
from small_catalog import write_catalog


@pytest.fixture
def inputs(tmp_path: Path, tiny_encoder: Path) -> Path:
    write_catalog(tmp_path / "raw")
    episodes_to_dataset([colour_episode(number) for number in range(8)]).save_to_disk(str(tmp_path / "shown"))
    (tmp_path / "encoder").symlink_to(tiny_encoder)
    original(tiny_encoder, tmp_path / "choice.pth")
    return tmp_path
