"""Proximal policy optimisation (arXiv:1707.06347) of a choice scorer, in one loop around `accelerate`.

Collect steps in environments side by side, estimate advantages, make several passes over the steps in minibatches; on
several processes each has environments of its own and the gradients are averaged. As in arXiv:2408.16032 it starts from
imitation and can keep an imitation term; as in WebShop's own agent (arXiv:2207.01206) there is an entropy term.

What those papers leave open, and ours: the value loss is clipped and starts alone, while the policy waits
(``value_warmup``), because the value head of an imitation start knows nothing and its first advantages would be noise;
a penalty on the exact KL to the start; an update ends early when the policy has moved ``target_kl`` from the one that
collected; advantages are normalised over the collection and all processes, from pages with a choice only. With
``envs_per_goal`` several episodes of a goal are a baseline for one another.

Every number in the log is explained in `recrl.training.ppo.metrics`.
"""

import logging
import time
from pathlib import Path

import numpy as np
from accelerate.utils import gather_object

from recrl.environments.protocols import Environment
from recrl.episodes.data import load_episodes
from recrl.episodes.training_goals import TrainingGoals, from_config, merged, to_config, training_goals
from recrl.errors import ConfigError
from recrl.files import finite_or_none
from recrl.policies.scorer import ScorerPolicy
from recrl.progress import Bar
from recrl.queries.proposing import describe_queries
from recrl.scoring.checkpoints import load_scorer
from recrl.training.environment import MixedEnvironmentArguments, MixedEnvironments
from recrl.training.imitation import decisions_of
from recrl.training.ppo.advantages import normalized
from recrl.training.ppo.checkpoints import keep_best, resume_checkpoint, save_checkpoint, save_result
from recrl.training.ppo.config import PPOConfig
from recrl.training.ppo.metrics import METRICS, episode_metrics
from recrl.training.ppo.state import PPOState
from recrl.training.ppo.update import update_model
from recrl.training.progress import log_line, training_bar
from recrl.training.runs import BEST_FOLDER, report_best, training_run
from recrl.training.settings.ppo import PPOArguments
from recrl.training.tuning import TuningArguments

logger = logging.getLogger(__name__)


def train_ppo(
    arguments: PPOArguments, environment: MixedEnvironmentArguments, tuning: TuningArguments, config: PPOConfig
) -> Path:
    """Trains a scorer in the environment; saves the best on dev goals, the start included, in ``config.output_dir``.

    An interrupted run goes on from its last checkpoint and ends with the numbers of an uninterrupted one.

    Raises:
        CatalogError, CheckpointError, ConfigError, DatasetError: see the modules that read them.
    """
    if bool(config.imitation_coef) != (arguments.demonstrations is not None):
        raise ConfigError(
            f"imitation_coef={config.imitation_coef} and demonstrations={arguments.demonstrations!r}: expected both or "
            "neither"
        )
    queries = environment.load_queries()
    shops = MixedEnvironments(environment, queries)
    task = shops.tasks[0]  # the others have the same goals, said otherwise
    demonstrated = {source: load_episodes(source) for source in arguments.demonstrations or ()}
    shown = [episode for episodes in demonstrated.values() for episode in episodes]
    demonstrations = decisions_of(shown) if shown else []
    model, tokenizer = load_scorer(arguments.model_name_or_path)
    if config.eval_every > 0:
        shops.check_dev_goals(ScorerPolicy(model, tokenizer, name=arguments.model_name_or_path))
    model.config.catalog_sha256 = task.sha256
    own = (TrainingGoals.of_split(task, "train", environment.split_by),)
    of_shown = (training_goals(episodes, source) for source, episodes in demonstrated.items())
    model.config.trained_on = to_config(merged(from_config(model.config.trained_on), own, *of_shown))

    def make_env(number: int) -> Environment:
        group = number // config.envs_per_goal  # whose environments draw the same goals
        return shops.make_env(group, np.random.default_rng([config.seed, group, 0]))

    settings = {"arguments": arguments, "environment": environment, "tuning": tuning}
    files = {BEST_FOLDER: "while it trains: the best scorer on dev goals so far"}
    with training_run("ppo", config, settings, files=files) as run:
        if run.is_complete:
            return run.folder.path
        state = PPOState.create(
            model, tokenizer, make_env, tuning, config, demonstrations=demonstrations, on_dev=shops.on_dev
        )
        if run.checkpoint is not None:
            resume_checkpoint(state, run.checkpoint)
        with training_bar("ppo") as bar:
            ppo_loop(state, bar)
        if config.should_save:
            played = _episodes_played(state)
            logger.info("played %(training)d episodes in training and %(dev)d on dev goals", played)
            about = {
                "method": "ppo",
                "num_updates": config.num_updates,
                "num_processes": config.world_size,
                "num_environment_steps": config.num_updates * config.num_steps * config.num_envs * config.world_size,
                "num_episodes_played": played,
                "start_on_dev": state.start_on_dev,
                **({"num_decisions": len(demonstrations)} if demonstrations else {}),
                "global_step": config.num_updates,
                **report_best(state.best_update, "update"),
                "protocol": task.protocol(environment.split_by),
                "catalog_sha256": task.sha256,
                "goals_sha256": task.goals_sha256,
                **describe_queries(queries),
                "log_history": state.log,
            }
            run.complete(about)
    return state.output_dir


def _episodes_played(state: PPOState) -> dict[str, int]:
    """Episodes that were played to their end in the collections of all processes, and on dev goals."""
    on_dev = [int(entry["dev/episodes"]) for entry in state.log if "dev/episodes" in entry]
    start = on_dev[:1]  # the start has played the same goals before the first update, which has no entry
    return {"training": sum(int(entry["episode/count"]) for entry in state.log), "dev": sum(start + on_dev)}


def ppo_loop(state: PPOState, bar: Bar) -> None:
    """Runs the updates that are left and logs each in ``state.log`` and a line of ``bar``.

    The best scorer on dev goals, or where none are played the last, ends up in the run's folder.
    """
    config, policy, accelerator = state.config, state.policy, state.accelerator
    reference = None if state.reference is None else state.reference.outputs
    steps = config.num_steps * config.num_envs * accelerator.num_processes  # of a collection, all processes
    accelerator.init_trackers(config.run_name or state.output_dir.name or "ppo")
    begun = time.monotonic() - 60 * (state.log[-1]["train/minutes"] if state.log else 0.0)
    if state.update == 0:
        state.start_on_dev = keep_best(state)
        if state.start_on_dev:
            bar.line(f"the start on dev goals: score {state.start_on_dev['dev/score']:.1f}")
    while state.update < config.num_updates:
        state.update += 1
        started = time.monotonic()
        policy.forget()
        buffer, episodes = state.collector.collect(config.num_steps, policy.outputs, reference)
        seconds = time.monotonic() - started

        buffer.finish(config.gamma, config.gae_lambda, config.envs_per_goal)
        if config.normalize_advantages:
            choices = np.concatenate(gather_object([buffer.advantages[buffer.is_choice]]))
            buffer.advantages = normalized(buffer.advantages, choices)

        entry = update_model(state, buffer)
        policy.model.config.values_learned = True
        state.scheduler.step()
        policy.forget()

        last = state.update == config.num_updates
        entry |= episode_metrics(gather_object(episodes)) | {
            "update": state.update,
            "train/steps": state.update * steps,
            "train/steps_per_second": steps / seconds,
            "train/learning_rate": state.scheduler.get_last_lr()[-1],
        }
        if last or (config.eval_every > 0 and state.update % config.eval_every == 0):
            entry |= keep_best(state)
        entry["train/minutes"] = (time.monotonic() - begun) / 60
        state.log.append(finite_or_none(entry))
        accelerator.log({name: value for name, value in entry.items() if name in METRICS}, step=state.update)
        if accelerator.is_main_process:
            left = (time.monotonic() - begun) / state.update * (config.num_updates - state.update)
            bar.update(state.update, config.num_updates)
            bar.line(log_line("update", state.update, config.num_updates, left, entry, "ppo"))
        if not last and state.update % config.save_every == 0:
            save_checkpoint(state)
    save_result(state)
    accelerator.end_training()
