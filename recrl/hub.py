"""The client of the Hugging Face Hub: folders there and back.

A push that fails loses nothing: the folder stays as it is, and the error says how to push it later.
"""

import contextlib
import glob
import re
import shlex
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from recrl.errors import HubError
from recrl.seals import MANIFEST, VERIFY, check_folder

# Not to be published: what a training run needs only while it runs, hidden files, and the trainer's pickled arguments,
# which hold the Hub token in plain text. A run's preference pairs are a dataset, for `push_dataset`.
LEFT_OUT = ("checkpoint-*", "runs/*", ".*", "*/.*", "*training_args.bin")
LEFT_OUT_OF_MODELS = ("preferences/*", "preferences_resampled/*", "round_*", "best/*")
CARD = "README.md"
HUB_TIMEOUT = 5.0  # seconds in which the Hub must say whether it has a repository
BUSY = (408, 429, 500, 502, 503, 504)  # what it says when it may be asked again
WAITS = (1.0, 2.0, 4.0)  # seconds before it is
PUSH_TIMEOUT = 600.0  # seconds in which it must answer, or take the next piece, in a push; the client waits for ever
HINTS = {
    401: "Log in with `hf auth login`, or set HF_TOKEN.",
    402: "The account's storage or plan does not allow it.",
    403: "The token may not write there, or the account's storage is full.",
    404: "The repository is unknown, or private and the token may not see it.",
    507: "The account's storage is full.",
}


def push_folder(
    folder: str | Path,
    repo_id: str,
    *,
    repo_type: str = "model",
    private: bool | None = None,
    token: str | None = None,
    endpoint: str | None = None,
    commit_message: str = "Upload with recrl",
) -> str:
    """Uploads a folder's files, creating the repository if it is not there.

    Of a folder with a seal these are what its manifest names, the manifest and the card: what someone has put beside
    them stays where it is.

    Args:
        repo_id: ``user/name``; repo_type: "model" or "dataset".
        private: of a new repository; None is the account's or organisation's default.
        token, endpoint: default to what `huggingface_hub` is configured with.

    Returns:
        the repository's address.

    Raises:
        HubError: the folder was altered since it was sealed; or anything went wrong: the folder is as before, and the
            message holds the command that pushes it later.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import get_session

    folder = Path(folder)
    if not folder.is_dir():
        raise HubError(f"{folder} is no folder; there is nothing to push")
    named = sealed_names(folder)
    with failed_push(folder, repo_id, repo_type, private):
        get_session().timeout = PUSH_TIMEOUT
        api = HfApi(endpoint=endpoint, token=token)
        repo = api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo.repo_id,
            folder_path=folder,
            repo_type=repo_type,
            commit_message=commit_message,
            allow_patterns=named,
            ignore_patterns=left_out(repo_type),
        )
    return str(repo)


def sealed_names(folder: Path) -> list[str] | None:
    """Patterns for what a sealed folder's manifest names, the manifest and the card; None for a folder without a seal.

    Raises:
        HubError: the folder was altered since.
    """
    manifest = check_folder(folder, HubError, f"{VERIFY}; nothing was pushed")
    return None if manifest is None else [glob.escape(name) for name in (*manifest["files"], MANIFEST, CARD)]


def is_path(source: str) -> bool:
    """Whether a text can only be a folder's path: a Hub id is ``name`` or ``user/name``."""
    return source.startswith((".", "/", "~")) or source.count("/") > 1 or "\\" in source


def find_source(source: str | Path, repo_type: str = "model") -> str:
    """What to load for a folder or a Hub id: the same, or the copy in the Hub's cache if the Hub cannot be reached.

    It asks once, for at most `HUB_TIMEOUT`, what the libraries that load would ask again and again for a minute. What
    carries a seal is downloaded as a whole, so that it can be checked as a folder is.

    Raises:
        HubError: there is no such folder, and no such repository or copy of it, or it cannot be downloaded; the message
            says which.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError

    source = str(source)
    if Path(source).exists():
        return source
    if is_path(source):
        raise HubError("no such folder")
    api = HfApi()
    try:
        info = _asked(lambda: api.repo_info(source, repo_type=repo_type, timeout=HUB_TIMEOUT))
    except HFValidationError as error:
        raise HubError("no such folder, and no name that a Hub id can have") from error
    except (OSError, HTTPError) as error:
        if isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 404):
            said = f"no such folder, and {api.endpoint} has no {repo_type} of that id that you may see"
            raise HubError(said) from error
        try:
            return snapshot_download(source, repo_type=repo_type, local_files_only=True)
        except (OSError, ValueError):
            raise HubError(
                f"no such folder, and {api.endpoint} cannot be asked for a {repo_type} of that id: {reason_of(error)} "
                "The Hub's cache has no copy of it either"
            ) from error
    if not any(file.rfilename == MANIFEST for file in info.siblings or ()):
        return source
    try:
        return snapshot_download(source, repo_type=repo_type, revision=info.sha, endpoint=api.endpoint)
    except Exception as error:  # the client's threads raise what they like when a connection breaks
        raise HubError(f"as a {repo_type} of {api.endpoint} it could not be downloaded: {reason_of(error)}") from error


def _asked(ask: Callable[[], Any]) -> Any:
    """What the Hub answers, asked again after a while if it is busy."""
    from huggingface_hub.errors import HfHubHTTPError

    for seconds in WAITS:
        try:
            return ask()
        except HfHubHTTPError as error:
            if error.response.status_code not in BUSY:
                raise
        time.sleep(seconds)
    return ask()


def pull(
    source: str | Path, *, repo_type: str = "model", token: str | None = None, endpoint: str | None = None
) -> Path:
    """A local folder as it is, or a downloaded snapshot of a repository.

    Raises:
        HubError: the repository is unknown or the hub cannot be reached.
    """
    from huggingface_hub import HfApi, snapshot_download

    if Path(source).exists():
        return Path(source)
    if is_path(str(source)):
        raise HubError(f"{str(source)!r}: no such folder; expected a folder, or a Hub id such as user/name")
    endpoint = HfApi(endpoint=endpoint).endpoint
    try:
        return Path(snapshot_download(str(source), repo_type=repo_type, token=token, endpoint=endpoint))
    except Exception as error:  # the client's threads raise what they like when a connection breaks
        raise HubError(
            f"{str(source)!r} is no local folder, and as a {repo_type} of {endpoint} it could not "
            f"be downloaded: {reason_of(error)}"
        ) from error


def with_user(repo_id: str, *, token: str | None, endpoint: str | None) -> str:
    """``name`` as ``user/name``, which is what the card must say; an id that has an owner is returned as it is."""
    from huggingface_hub import HfApi

    return repo_id if "/" in repo_id else f"{HfApi(endpoint=endpoint, token=token).whoami()['name']}/{repo_id}"


def left_out(repo_type: str) -> list[str]:
    return [*LEFT_OUT, *(LEFT_OUT_OF_MODELS if repo_type == "model" else ())]


@contextlib.contextmanager
def failed_push(folder: Path, repo_id: str, repo_type: str, private: bool | None) -> Iterator[None]:
    """Turns what the Hub's client raises into a HubError with the command that pushes the same files later."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    try:
        yield
    except (OSError, ValueError, RuntimeError, HTTPError) as error:
        hint = ""
        if isinstance(error, HfHubHTTPError) and error.response is not None:
            hint = HINTS.get(error.response.status_code, "")
        raise HubError(
            f"the push of {folder} to {repo_id!r} failed: {reason_of(error)} {hint}".rstrip()
            + f" Nothing is lost. Push it later with: {later_command(folder, repo_id, repo_type, private)}"
        ) from error


def later_command(folder: Path, repo_id: str, repo_type: str = "model", private: bool | None = None) -> str:
    """The shell command that uploads the same files as `push_folder`."""
    paths = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    words = ["hf", "upload", repo_id, str(folder)]
    if repo_type != "model":
        words += ["--repo-type", repo_type]
    if private:
        words.append("--private")
    for name in sealed_names(folder) or ():
        words += ["--include", name]
    for pattern in left_out(repo_type):
        if any(fnmatch(path, pattern) for path in paths):
            words += ["--exclude", pattern]
    return shlex.join(words)


def reason_of(error: Exception) -> str:
    """What the hub said, or else what the client says, on one line with a full stop."""
    from huggingface_hub.errors import HfHubHTTPError

    text = str(error)
    if isinstance(error, HfHubHTTPError) and error.server_message and error.server_message not in text:
        text = f"{text} {error.server_message}"
    text = re.sub(r"For more information check: \S+", "", text)
    text = " ".join(text.split()) or type(error).__name__
    text = text if len(text) <= 400 else f"{text[:400]} ..."
    return text if text.endswith((".", "!", "?")) else f"{text}."
