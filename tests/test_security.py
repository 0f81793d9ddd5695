"""What others have made is data: none of their code runs, nothing asks, terminals obey nothing, tokens stay nowhere."""

import ast
import json
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import recrl
from decision_data import colour_episode
from recrl.cli import main
from recrl.episodes.data import episodes_to_dataset, load_episodes
from recrl.errors import CatalogError, CheckpointError, DatasetError
from recrl.shop import play
from recrl.tables import Table
from recrl.terminal import plain
from recrl.webshop.building import build_catalog
from recrl.webshop.tables import read_table
from small_catalog import ITEMS, plain_nouns, write_catalog

PACKAGE = Path(recrl.__file__).parent
# Their `from_pretrained` calls transformers' with what is asked for here; PEFT's adapts a model that is loaded already.
TALKS = ("shop.py", "showing.py")  # what a person plays with, or turns the pages of
OURS = {"ScorerPolicy", "QueryModel", "LanguagePolicy", "cls", "PeftModel"}


def calls_in(path: Path) -> list[tuple[str, str, dict[str, Any]]]:
    """Receiver, name and keywords of every call in a module; a keyword's value is None unless it is a constant."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            keywords = {one.arg or "**": getattr(one.value, "value", None) for one in node.keywords}
            receiver, _, last = name.rpartition(".")
            found.append((receiver, last, keywords))
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_load_says_that_no_code_runs(path: Path) -> None:
    for receiver, name, keywords in calls_in(path):
        if (name == "from_pretrained" and receiver not in OURS) or (receiver, name) == ("AutoModel", "from_config"):
            assert keywords.get("trust_remote_code") is False, f"{receiver}.{name}"
        elif name == "from_encoder_decoder_pretrained":
            assert keywords["encoder_trust_remote_code"] is keywords["decoder_trust_remote_code"] is False
        elif (receiver, name) == ("torch", "load"):
            assert keywords.get("weights_only") is True
        elif receiver in ("yaml", "pickle", "np", "numpy"):
            assert name not in ("load", "unsafe_load", "full_load", "loads") or not keywords.get("allow_pickle")
            assert receiver not in ("yaml", "pickle") or name not in ("load", "unsafe_load", "full_load", "loads")
        assert not (receiver == "" and name in ("eval", "exec", "compile", "input")) or path.name in TALKS


# Calls that make something of files, or of texts, of any origin. What copies a value of ours through JSON is none.
LOADS = {
    "from_pretrained", "from_encoder_decoder_pretrained", "get_config_dict", "load_adapter", "load_dataset",
    "load_from_disk", "load_saved", "load", "loads", "load_file", "load_state", "safe_open", "safe_load", "full_load",
    "unsafe_load", "memory_map", "open_file", "open_stream", "read_json", "read_sealed_json", "import_module",
    "spec_from_file_location", "run_path", "run_module", "exec_module", "snapshot_download", "hf_hub_download",
    "read_table", "read_parquet", "read_csv", "DictReader", "reader", "decompress", "urlopen",
}  # fmt: skip


def loads_in(path: Path) -> set[str]:
    """The names of the calls in a module that load something."""
    return {
        ast.unparse(node.func)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] in LOADS
        and not (node.args and ast.unparse(node.args[0]).startswith("json.dumps("))
    }


def test_the_list_of_what_is_loaded_is_whole() -> None:
    text = (Path(__file__).parents[1] / "docs" / "reliability.md").read_text(encoding="utf-8")
    section = text.split("## What is loaded, and what guards it")[1].split("\n## ")[0]
    listed: dict[str, set[str]] = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `"):
            assert len(cells) == 3, line
            assert cells[2].strip("| "), line  # a guard, or why there is none
            for module in re.findall(r"`([^`]+\.py)`", cells[0]):
                listed.setdefault(module, set()).update(re.findall(r"`([^`]+)`", cells[1]))
    found = {path.relative_to(PACKAGE).as_posix(): loads_in(path) for path in PACKAGE.rglob("*.py")}
    assert listed == {module: calls for module, calls in found.items() if calls}


EVIL = "from pathlib import Path\nPath(__file__).with_name('MARK').touch()\nPath({mark!r}).touch()\n"


@pytest.fixture
def evil(tiny_scorer: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A model folder whose configuration and tokenizer name code, and the file that the code would make."""
    folder, mark = tmp_path / "evil", tmp_path / "code_ran"
    shutil.copytree(tiny_scorer, folder)
    (folder / "evil.py").write_text(EVIL.format(mark=str(mark)))
    config = {"model_type": "evil", "auto_map": dict.fromkeys(("AutoConfig", "AutoModel"), "evil.Evil")}
    config["auto_map"]["AutoModelForSeq2SeqLM"] = "evil.Evil"
    (folder / "config.json").write_text(json.dumps(config))
    settings = {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}, "tokenizer_class": "Evil"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder, mark


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "--policy", "{}"],
        ["shop", "--query_model", "{}"],
        ["evaluate", "--policy", "planner:{}"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_a_folder_that_brings_code_is_refused_and_asks_nothing(
    command: list[str], evil: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, mark = evil
    monkeypatch.setattr("builtins.input", lambda prompt="": pytest.fail("it asked"))
    with pytest.raises(SystemExit, match="2"):
        main([word.format(folder) for word in command])
    shown = capsys.readouterr().err.splitlines()
    assert "running code that comes with it, which recrl never does" in shown[-1]
    assert len(shown) == 1
    assert not mark.exists()


def test_an_encoder_that_brings_code_is_refused(evil: tuple[Path, Path]) -> None:
    from recrl.queries.seq2seq import new_query_model
    from recrl.scoring.model import BertForChoiceScoring

    folder, mark = evil
    for load in (
        lambda: BertForChoiceScoring.from_encoder(folder),
        lambda: new_query_model(str(folder), texts=["a shirt"]),
    ):
        with pytest.raises(CheckpointError, match="running code"):
            load()
    assert not mark.exists()


def test_compiled_code_on_the_hub_is_refused(tiny_scorer: Path, tmp_path: Path) -> None:
    folder = tmp_path / "scorer"
    shutil.copytree(tiny_scorer, folder)
    config = json.loads((folder / "config.json").read_text())
    config["encoder_config"]["attn_implementation"] = "somebody/attention"
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="names compiled code on the Hub"):
        recrl.load_policy(str(folder))


class Malice:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_pickles_are_read_as_tensors_alone(tiny_scorer: Path, tmp_path: Path) -> None:
    from recrl.scoring.published import read_state_dict

    mark, published, folder = tmp_path / "code_ran", tmp_path / "model.pth", tmp_path / "scorer"
    published.write_bytes(pickle.dumps({"attn.dot_scale": Malice(mark)}, protocol=2))
    with pytest.raises(CheckpointError, match="cannot be read as a PyTorch checkpoint of tensors"):
        read_state_dict(published)
    shutil.copytree(tiny_scorer, folder)
    (folder / "model.safetensors").unlink()
    shutil.copy(published, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError):
        recrl.load_policy(str(folder))
    assert not mark.exists()


@pytest.mark.parametrize("name", ["../outside/data-00000-of-00001.arrow", "/etc/passwd"])
def test_a_dataset_reads_nothing_outside_its_folder(name: str, tmp_path: Path) -> None:
    for folder in ("outside", "inside"):
        episodes_to_dataset([colour_episode(0)]).save_to_disk(str(tmp_path / folder))
    state = json.loads((tmp_path / "inside" / "state.json").read_text())
    state["_data_files"] = [{"filename": name}]
    (tmp_path / "inside" / "state.json").write_text(json.dumps(state))
    with pytest.raises(DatasetError, match="which is not in it"):
        load_episodes(tmp_path / "inside")
    with pytest.raises(CatalogError, match="which is not in it"):
        read_table(str(tmp_path / "inside"))
    (tmp_path / "several").mkdir()
    (tmp_path / "several" / "dataset_dict.json").write_text('{"splits": ["../outside"]}')
    with pytest.raises(DatasetError, match="which is not in it"):
        load_episodes(tmp_path / "several")


ESCAPES = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202e\rover\x08\x7f"


def test_control_characters_are_shown_as_escapes() -> None:
    shown = plain(f"a\tb\n{ESCAPES}")
    assert shown.startswith("a\tb\n\\u001b[31mred\\u001b]0;title\\u0007\\u009b2J\\u202e\\u000dover")
    assert not any((ord(one) < 32 and one not in "\t\n") or 127 <= ord(one) < 160 for one in shown)
    as_json = json.dumps({"title": ESCAPES}, ensure_ascii=False)
    assert json.loads(plain(as_json)) == json.loads(as_json)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw files whose texts carry terminal escapes and markup."""
    bad = f"{ESCAPES} [red]bold[/] sandal"
    items = [one | {"name": f"{bad} {one['name']}", "full_description": bad, "query": "sandals"} for one in ITEMS[:3]]
    folder = tmp_path_factory.mktemp("hostile")
    return build_catalog(
        write_catalog(folder / "raw", items), folder / "built", nouns=plain_nouns, tagger={"name": "plain"}
    )


def assert_obeyed_nothing(shown: str) -> None:
    assert "\x1b]0;" not in shown
    assert not set("\x07\x08\x7f\x9b\u202e") & set(shown)


def test_titles_reach_the_terminal_as_text(hostile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from recrl.webshop.env import WebShopEnv

    env = WebShopEnv(catalog=str(hostile), split="all")
    env.reset(options={"goal_index": 0})
    console = Console(force_terminal=True, width=200)
    words = env.unwrapped.goal.instruction
    typed = [f"search[{words}]", f"click[{ESCAPES}]", "click[b000000002]", "click[description]", "click[< prev]"]
    play(env, [*typed, "click[buy now]"], console, goal_index=0)
    main(["catalog", "info", str(hostile)])
    shown = capsys.readouterr().out
    assert "red" in shown
    assert_obeyed_nothing(shown)


def test_errors_and_tables_reach_the_terminal_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", "--policy", ESCAPES])
    Table(["agent", "score"], [[f"[/red] {ESCAPES}", "1"]], f"[/nothing] {ESCAPES}").print()
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "[/red]" in captured.out
    assert_obeyed_nothing(captured.out + captured.err)
    assert "\x1b" not in captured.out + captured.err


TOKEN = "hf_abcdefghijklmnopqrstuvwxyz012345"


def test_a_token_is_in_nothing_that_a_run_writes_or_says(
    tiny_encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    from recrl.training.imitation import ImitationArguments, ImitationConfig, train_imitation
    from recrl.training.tuning import TuningArguments

    episodes_to_dataset([colour_episode(number) for number in range(8)]).save_to_disk(str(tmp_path / "shown"))
    arguments = ImitationArguments([str(tmp_path / "shown")], model_name_or_path=str(tiny_encoder))
    config = ImitationConfig(
        output_dir=str(tmp_path / "run"), hub_token=TOKEN, save_steps=1, max_steps=2, use_cpu=True, disable_tqdm=True
    )
    train_imitation(arguments, TuningArguments(), config)
    shown = capsys.readouterr()
    assert TOKEN not in shown.out + shown.err + caplog.text
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "training_args.bin" for path in written)
    assert [path for path in written if TOKEN.encode() in path.read_bytes()] == []
