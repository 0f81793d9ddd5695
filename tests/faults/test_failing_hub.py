"""A Hub that drops connections, breaks off, refuses and never answers: a push or a load ends as if nothing had been, or
in one clear line; what is local stays as it is, nothing half-written stays on either side, and the next try succeeds.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest

import recrl.hub
from hub_server import TOKEN, HubServer, Trouble
from recrl.cli import main
from recrl.errors import CheckpointError, RecrlError
from recrl.hub import find_source, push_folder
from recrl.seals import check_folder, seal_folder

OFTEN, SELDOM = ("drop", "403", "503"), ("cut", "401", "408", "429", "500")  # how often they are tried


def each(often: tuple[str, ...], seldom: tuple[str, ...]) -> pytest.MarkDecorator:
    """A test for each kind of trouble."""
    slow = [pytest.param(kind, marks=pytest.mark.slow) for kind in often]
    return pytest.mark.parametrize("kind", slow + [pytest.param(kind, marks=pytest.mark.exhaustive) for kind in seldom])


@pytest.fixture
def scorer(tiny_scorer: Path, tmp_path: Path) -> Path:
    """A sealed model, and a file that goes through the large files' way."""
    folder = tmp_path / "scorer"
    shutil.copytree(tiny_scorer, folder)
    seal_folder(folder, "scorer", command="recrl train imitation")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def outcome(work: Callable[[], object]) -> str:
    """ "done", or the line in which it was refused."""
    try:
        work()
    except RecrlError as error:
        said = str(error)
    else:
        return "done"
    assert said
    assert "\n" not in said
    return said


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The client in this process: with the token, without xet and without waiting between attempts."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub_cache"))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def at_server(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the server the Hub of this process."""
    template = huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE
    here = template.replace(huggingface_hub.constants.ENDPOINT, server.endpoint)
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", here)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.endpoint)


@pytest.mark.usefixtures("client")
@each((*OFTEN, "delay"), SELDOM)
def test_a_push(kind: str, server: HubServer, scorer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, ended, patience = contents(scorer), {}, recrl.hub.PUSH_TIMEOUT
    for part in ("/api/repos/create", "/preupload/", "/objects/batch", "PUT /lfs/", "/lfs/verify", "/commit/"):
        for times in (1, 1_000_000):
            server.repos.clear()
            server.objects.clear()
            server.trouble = Trouble(part, kind, times)
            monkeypatch.setattr(recrl.hub, "PUSH_TIMEOUT", 0.2 if kind == "delay" else patience)
            ended[part, times] = said = outcome(lambda: push_folder(scorer, "user/agent", endpoint=server.endpoint))
            if said != "done":
                assert f"the push of {scorer} to 'user/agent' failed: " in said
                assert "Nothing is lost. Push it later with: hf upload user/agent " in said
                assert server.repos.get("models/user/agent", {}) in ({}, before)
                server.trouble = None
                monkeypatch.setattr(recrl.hub, "PUSH_TIMEOUT", patience)
                push_folder(scorer, "user/agent", endpoint=server.endpoint)
            assert server.repos["models/user/agent"] == before
            assert contents(scorer) == before
    assert "done" not in {said for (_, times), said in ended.items() if times > 1}
    print(f"push, {kind}, once: {sum(said == 'done' for said in ended.values())} done, the rest of 6 refused")


@pytest.mark.usefixtures("client")
@each(OFTEN, SELDOM)
def test_a_load(kind: str, server: HubServer, scorer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_server(server, monkeypatch)
    push_folder(scorer, "user/agent", endpoint=server.endpoint)
    right, ended = contents(scorer), {}

    def load() -> None:
        folder = Path(find_source("user/agent"))
        assert check_folder(folder, CheckpointError, "") is not None
        assert contents(folder) == right

    for part in ("/api/models/user/agent", "HEAD /user/agent/resolve", "GET /user/agent/resolve", "model.safetensors"):
        for times in (1, 1_000_000):
            monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "caches" / f"{len(ended)}"))
            server.trouble = Trouble(part, kind, times)
            ended[part, times] = said = outcome(load)
            assert said == "done" or server.endpoint in said
            server.trouble = None
            huggingface_hub.utils.close_session()  # as in a new process: a broken connection would be used again
            load()  # from where it stopped
    print(f"load, {kind}: {sum(said == 'done' for said in ended.values())} done, the rest of 8 refused")


@pytest.mark.usefixtures("client")
@pytest.mark.slow
def test_a_load_from_a_hub_that_never_answers(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    at_server(server, monkeypatch)
    monkeypatch.setattr(recrl.hub, "HUB_TIMEOUT", 0.2)
    server.trouble = Trouble("/api/models/user/agent", "delay")
    assert "cannot be asked for a model of that id: timed out" in outcome(lambda: find_source("user/agent"))


@pytest.mark.usefixtures("client")
@pytest.mark.slow
def test_verify_of_a_hub_id(
    server: HubServer, scorer: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_server(server, monkeypatch)
    push_folder(scorer, "user/agent", endpoint=server.endpoint)
    files = dict(server.repos["models/user/agent"])
    main(["verify", "user/agent"])
    assert capsys.readouterr().out.strip().endswith(f"scorer, {len(files) - 1} files, unaltered")
    weights = bytearray(files["model.safetensors"])
    weights[len(weights) // 2] ^= 1
    damaged = files | {"model.safetensors": bytes(weights)}
    missing = {name: content for name, content in files.items() if name != "tokenizer.json"}
    for repo, said in ((damaged, "model.safetensors was altered"), (missing, "tokenizer.json is missing")):
        server.repos["models/user/agent"] = repo
        with pytest.raises(SystemExit, match="2"):
            main(["verify", "user/agent"])
        shown = capsys.readouterr()
        assert said in shown.out
        assert "copy it again, or remove" in shown.out
        assert shown.err.splitlines()[-1].startswith("error: user/agent is damaged in 1 of 1 places")
    with pytest.raises(SystemExit, match="2"):
        main(["verify", "user/nothing"])
    assert "'user/nothing' is no local folder, and as a model of" in capsys.readouterr().err
