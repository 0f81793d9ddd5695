"""The accelerate configurations: each one is loaded as `accelerate launch` loads it, and two are launched."""

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from launching import launch

FOLDER = Path(__file__).parents[2] / "accelerate_configs"

# What must hold of each file once accelerate has read it.
EXPECTED: dict[str, dict[str, Any]] = {
    "cpu": {"distributed_type": "NO", "mixed_precision": "no", "use_cpu": True, "num_processes": 1, "num_machines": 1},
    "single_t4": {
        "distributed_type": "NO",
        "mixed_precision": "fp16",  # a T4 has no bf16; fp16 is what makes accelerate scale the gradients
        "use_cpu": False,
        "num_processes": 1,
        "gpu_ids": "0",
    },
    "multi_gpu": {"distributed_type": "MULTI_GPU", "mixed_precision": "bf16", "num_processes": 2, "num_machines": 1},
    "deepspeed_zero2": {
        "distributed_type": "DEEPSPEED",
        "mixed_precision": "bf16",
        "num_processes": 2,
        "deepspeed_config": {
            "zero_stage": 2,
            "offload_optimizer_device": "none",
            "offload_param_device": "none",
            "zero3_init_flag": False,
        },  # nothing about accumulation or clipping: the Trainer refuses values that differ from its own
    },
    "fsdp": {
        "distributed_type": "FSDP",
        "mixed_precision": "bf16",
        "num_processes": 2,
        "fsdp_config": {
            "fsdp_version": 2,
            "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "fsdp_transformer_layer_cls_to_wrap": "BertLayer",
            "fsdp_state_dict_type": "FULL_STATE_DICT",
            "fsdp_reshard_after_forward": True,
            "fsdp_offload_params": False,
            "fsdp_activation_checkpointing": False,
            "fsdp_cpu_ram_efficient_loading": False,
        },
    },
    "fsdp_language": {
        "distributed_type": "FSDP",
        "mixed_precision": "bf16",
        "num_processes": 2,
        "fsdp_config": {
            "fsdp_version": 2,
            "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "fsdp_state_dict_type": "FULL_STATE_DICT",
            "fsdp_reshard_after_forward": True,
            "fsdp_offload_params": False,
            "fsdp_activation_checkpointing": False,
            "fsdp_cpu_ram_efficient_loading": False,
        },
    },
    "multi_node": {
        "distributed_type": "MULTI_GPU",
        "mixed_precision": "bf16",
        "num_machines": 2,
        "num_processes": 16,
        "machine_rank": 0,
        "main_process_port": 29500,
        "rdzv_backend": "static",
    },
}


def test_every_file_is_covered() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_fields_as_accelerate_loads_them(name: str) -> None:
    """accelerate's loader refuses unknown keys at the top."""
    from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file

    config = load_config_from_file(str(FOLDER / f"{name}.yaml"))
    assert isinstance(config, ClusterConfig)
    loaded = config.to_dict()
    assert {key: loaded[key] for key in EXPECTED[name]} == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_nested_keys_are_flags_of_accelerate_launch(name: str) -> None:
    """accelerate does not check the keys inside deepspeed_config and fsdp_config; a misspelt one would be ignored."""
    from accelerate.commands.launch import launch_command_parser

    flags = {action.dest for action in launch_command_parser()._actions}
    raw = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    nested = {key for value in raw.values() if isinstance(value, dict) for key in value}
    assert nested <= flags


@pytest.mark.parametrize("name", EXPECTED)
def test_three_lines_explain_it(name: str) -> None:
    lines = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    assert all(line.startswith("# ") and len(line) <= 120 for line in lines[:3])
    assert not lines[3].startswith("#")
    assert ("not measured here" in " ".join(lines[:3])) is (name != "cpu")


@pytest.mark.slow
@pytest.mark.parametrize(("flags", "num_processes"), [((), 1), (("--multi_gpu", "--num_processes", "2"), 2)])
def test_cpu_runs_as_many_processes_as_it_says(tmp_path: Path, flags: tuple[str, ...], num_processes: int) -> None:
    script = tmp_path / "report.py"
    script.write_text(
        "from accelerate import Accelerator\n"
        "state = Accelerator()\n"
        f"open(f'{tmp_path}/rank{{state.process_index}}', 'w').write("
        "f'{state.num_processes} {state.device.type} {state.mixed_precision}')\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(FOLDER / "cpu.yaml")]
    result = launch([*command, *flags, str(script)], timeout=120, ACCELERATE_USE_CPU="true", OMP_NUM_THREADS="1")
    assert result.returncode == 0, result.stderr
    reports = [path.read_text(encoding="utf-8") for path in sorted(tmp_path.glob("rank*"))]
    assert reports == [f"{num_processes} cpu no"] * num_processes
