"""Scores the actions of one page with a checkpoint and prints them as a ranked slate.

    python examples/rank_actions.py --checkpoint runs/quickstart/dpo --goal_index 17

Without `--checkpoint` a tiny random model is made on the spot: the code runs, and the ranking means nothing. Prints the
instruction, each action of the first results page with its probability, best first, and the page's value where PPO
taught it.
"""

import argparse
import tempfile
from pathlib import Path

import torch

from recrl import BertForChoiceScoring, Decision, Notes, WebShopEnv, load_scorer
from recrl.scoring.collator import ChoiceCollator
from recrl.scoring.tiny import make_tiny_encoder
from recrl.webshop import actions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", help="a scorer's folder or Hub id; without it a tiny random model")
    parser.add_argument("--goal_index", type=int, default=17, help="the goal whose first results page is scored")
    arguments = parser.parse_args()

    if arguments.checkpoint:
        model, tokenizer = load_scorer(arguments.checkpoint)
    else:
        print("no --checkpoint: a tiny random model, whose ranking means nothing")
        with tempfile.TemporaryDirectory() as folder:
            make_tiny_encoder(Path(folder) / "encoder")
            model, tokenizer = BertForChoiceScoring.from_encoder(Path(folder) / "encoder")

    env = WebShopEnv(split="all")
    _, info = env.reset(options={"goal_index": arguments.goal_index})
    search, before = info["valid_actions"][0], info["page"]
    observation, _, _, _, info = env.step(search)
    notes = Notes.first(before).after(before, search, info["page"])
    decision = Decision(observation, info["page"], info["valid_actions"], (search,), env.max_steps - 1, notes)

    batch = ChoiceCollator(tokenizer, model.config)([decision])
    with torch.inference_mode():
        output = model(**batch.tensors())
    print(decision.instruction)
    titles = {listed.asin.lower(): listed.title for listed in decision.page.listing}
    probabilities = output.log_probs[0].exp().tolist()  # (actions,)
    for action, probability in sorted(zip(decision.valid_actions, probabilities, strict=True), key=lambda row: -row[1]):
        name = actions.parse(action).argument
        print(f"{probability:6.1%}  {titles.get(name, name)}")
    if model.config.values_learned:
        print(f"value of the page: {output.state_values[0]:.2f}")


if __name__ == "__main__":
    main()
