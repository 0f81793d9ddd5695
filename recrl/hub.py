"""To the Hugging Face Hub and back. A push that fails loses nothing: the folder stays as it is, and the error says how
to push it later.
"""

from pathlib import Path
from typing import Any

from recrl.cards import dataset_card, model_card
from recrl.errors import HubError
from recrl.files import write_text

LEFT_OUT = ("checkpoint-*", "checkpoint-*/**", ".*", ".*/**", "**/.*", "runs/**")


def push_folder(
    folder: str | Path,
    repo_id: str,
    *,
    repo_type: str = "model",
    private: bool = False,
    token: str | None = None,
    endpoint: str | None = None,
    commit_message: str = "Upload with recrl",
) -> str:
    """Uploads a folder's files in one commit, creating the repository if it is not there.

    Args:
        repo_id: ``user/name``; repo_type: "model" or "dataset".
        token, endpoint: default to what `huggingface_hub` is configured with.

    Returns:
        the repository's address.

    Raises:
        HubError: anything went wrong; the folder is as before.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError, HTTPError

    folder = Path(folder)
    if not folder.is_dir():
        raise HubError(f"{folder} is no folder; there is nothing to push")
    try:
        api = HfApi(endpoint=endpoint, token=token)
        repo = api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo.repo_id,
            folder_path=folder,
            repo_type=repo_type,
            commit_message=commit_message,
            ignore_patterns=list(LEFT_OUT),
        )
    except (OSError, ValueError, RuntimeError, HTTPError, HFValidationError) as error:
        kind = "" if repo_type == "model" else f" --repo-type {repo_type}"
        raise HubError(
            f"the push of {folder} to {repo_id!r} failed: {_first_line(error)} Nothing is lost. Push it later with: "
            f"hf upload {repo_id} {folder}{kind}"
        ) from error
    return str(repo)


def pull(
    source: str | Path, *, repo_type: str = "model", token: str | None = None, endpoint: str | None = None
) -> Path:
    """A local folder as it is, or a downloaded snapshot of a repository.

    Raises:
        HubError: the repository is unknown or the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, HTTPError

    if Path(source).exists():
        return Path(source)
    try:
        return Path(snapshot_download(str(source), repo_type=repo_type, token=token, endpoint=endpoint))
    except (OSError, ValueError, HTTPError, HFValidationError) as error:
        raise HubError(
            f"{str(source)!r} is no local folder and could not be downloaded as a {repo_type}: {_first_line(error)}"
        ) from error


def push_run(config: Any, *, results: list[dict[str, Any]] | None = None, endpoint: str | None = None) -> str | None:
    """Writes the card of a finished training run, and pushes the run if its configuration asks for it.

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
    repo_id = config.hub_model_id or folder.name
    write_text(folder / "README.md", model_card(folder, repo_id=repo_id, results=results or []))
    if not config.push_to_hub:
        return None
    return push_folder(
        folder, repo_id, private=bool(config.hub_private_repo), token=config.hub_token, endpoint=endpoint
    )


def push_dataset(
    folder: str | Path, repo_id: str, *, private: bool = False, token: str | None = None, endpoint: str | None = None
) -> str:
    """Writes the card of a trajectory dataset and pushes the dataset so that `datasets.load_dataset` opens it.

    Raises:
        HubError: the push failed; the dataset's folder is as before, but for its card.
    """
    folder = Path(folder)
    write_text(folder / "README.md", dataset_card(folder, repo_id=repo_id))
    return push_folder(folder, repo_id, repo_type="dataset", private=private, token=token, endpoint=endpoint)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
