"""`recrl generate-trajectories` and `recrl import-trajectories`."""

from dataclasses import dataclass, field

from recrl.errors import ConfigError
from recrl.importing.config import ImportConfig
from recrl.rollouts.config import TrajectoryConfig
from recrl.settings import part
from recrl.terminal import quiet_libraries, show

SHOWN_EXAMPLES = 3  # of what was left out for one reason


@dataclass(frozen=True, kw_only=True)
class GenerateTrajectoriesConfig(TrajectoryConfig):
    """Where the dataset goes."""

    push_to_hub: bool = field(default=False, metadata={"help": "Push the dataset to the Hub when it is complete."})
    hub_dataset_id: str | None = field(default=None, metadata={"help": "user/name of the dataset on the Hub."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.push_to_hub != bool(self.hub_dataset_id):
            raise ConfigError("--push_to_hub and --hub_dataset_id user/name go together; give both or neither")


def generate_trajectories(config: GenerateTrajectoriesConfig) -> None:
    from recrl.rollouts import collecting

    quiet_libraries()
    summary = collecting.generate_trajectories(part(config, TrajectoryConfig))
    show(
        f"kept {summary['num_trajectories']} of {summary['num_episodes']} episodes "
        f"(success {summary['success_rate']:.1f}%, protocol {summary['protocol']}) in {config.output_dir}"
    )
    if config.hub_dataset_id is not None:
        from recrl.publishing.push import push_dataset

        show(f"pushed to {push_dataset(config.output_dir, config.hub_dataset_id)}")


def import_trajectories(config: ImportConfig) -> None:
    from recrl.importing import trajectories

    quiet_libraries()
    summary = trajectories.import_trajectories(config)
    print(
        f"{summary['num_trajectories']} of {summary['num_found']} trajectories came through, "
        f"{summary['num_successes']} of them with reward 1 (score {summary['score']:.1f}); they are in "
        f"{config.output_dir}"
    )
    for reason, count in summary["num_left_out"].items():
        print(f"left out: {count} because {reason}")
        for misfit in [one for one in summary["left_out"] if one["reason"] == reason][:SHOWN_EXAMPLES]:
            step = "" if misfit["step"] is None else f", step {misfit['step']}"
            print(f"  {misfit['name']}{step}{': ' if misfit['detail'] else ''}{misfit['detail']}")
    if summary["num_filled_in"]:
        print(
            f"filled in: {summary['num_filled_in']} clicks in {summary['num_with_filled_in']} sessions that went back "
            "without the server (--no_fill_gaps leaves such sessions out)"
        )
    for name, text in (
        ("num_other_results", "results pages list other products than recorded"),
        ("num_other_bounds", "goals have another price bound than recorded"),
    ):
        if summary.get(name):
            print(f"{summary[name]} {text}")
    if config.catalog is None and config.format == "webshop_sessions":
        print("the rows hold actions, asins and rewards but no pages: to train on them, import them with --catalog")
