"""To the Hugging Face Hub and back. A push that fails loses nothing: the folder stays as it is, and the error says how
to push it later.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recrl.files import write_text
from recrl.hub import failed_push, push_folder, with_user
from recrl.publishing.cards import dataset_card, model_card
from recrl.runs import README_FILE, may_write_readme


def push_run(config: Any, *, results: Sequence[Any] = (), endpoint: str | None = None) -> str | None:
    """Writes the card of a finished training run, and pushes the run if its configuration asks for it.

    A folder that has a card keeps it, with the results that were written into it.

    Args:
        config: the trainer's, with ``output_dir``, ``push_to_hub``, ``hub_model_id``, ``hub_token`` and
            ``hub_private_repo``.
        results: of `recrl evaluate`, for the card.

    Returns:
        the repository's address if it was pushed. Only the main process does anything.

    Raises:
        HubError: the push failed; see `push_folder`.
    """
    if not config.should_save:
        return None
    folder = Path(config.output_dir)
    repo_id, private, token = config.hub_model_id or folder.name, config.hub_private_repo, config.hub_token
    if config.push_to_hub:
        with failed_push(folder, repo_id, "model", private):
            repo_id = with_user(repo_id, token=token, endpoint=endpoint)
    if may_write_readme(folder):
        write_text(folder / README_FILE, model_card(folder, repo_id=repo_id, results=results))
    if not config.push_to_hub:
        return None
    return push_folder(folder, repo_id, private=private, token=token, endpoint=endpoint)


def push_dataset(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    endpoint: str | None = None,
) -> str:
    """Writes the card of a trajectory or preference dataset and pushes it so that `datasets.load_dataset` opens it.

    Raises:
        DatasetError: the folder holds neither.
        HubError: the push failed; the dataset's folder is as before, but for its card.
    """
    folder = Path(folder)
    with failed_push(folder, repo_id, "dataset", private):
        repo_id = with_user(repo_id, token=token, endpoint=endpoint)
    write_text(folder / README_FILE, dataset_card(folder, repo_id=repo_id))
    return push_folder(folder, repo_id, repo_type="dataset", private=private, token=token, endpoint=endpoint)
