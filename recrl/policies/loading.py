"""Finding a policy by name, folder, Hub id or code."""

import difflib
from pathlib import Path
from typing import Any

from recrl.errors import PolicyError
from recrl.hub import is_path
from recrl.policies.base import Policy
from recrl.policies.own import as_policy, takes
from recrl.values import find_named

RULES = (
    "random",
    "rule",
    "matching",
    "matching-price",
    "checker",
    "reader",
    "planner",
)  # what needs neither training nor the hidden goal
SCRIPTED = (*RULES, "demonstrator")


def load_policy(
    spec: str,
    *,
    temperature: float = 1.0,
    loop_guard: bool = False,
    answers: str | None = None,
    max_prompt_tokens: int | None = None,
    engine: str | None = None,
    device: str | None = None,
) -> Policy:
    """Finds a policy.

    Args:
        spec: a scripted policy's name (``reader:5`` opens at most 5 products, ``planner:FOLDER`` plays by the judgement
            of a checkpoint, of which ``planner`` alone has none), the folder or Hub id of a scorer, of a causal
            language model or of an adapter for one, or ``module:function`` of one's own: a function of (observation,
            info), see `recrl.policies.own`, or a function or class that is called without arguments and returns a
            `Policy`.
        temperature, loop_guard: of a model, see `recrl.policies.scorer.ScorerPolicy`; other policies have none.
        answers, max_prompt_tokens, engine: of a language model, see `recrl.policies.language.LanguagePolicy`.
        device: of a checkpoint; None is the GPU if there is one.

    Raises:
        PolicyError: the name is unknown (the message names the nearest), or the code is not to be had or no policy.
        CheckpointError: the checkpoint cannot be loaded.
    """
    from recrl.policies.scripted import scripted_policy

    name, _, argument = spec.partition(":")
    told: dict[str, Any] = {"answers": answers, "max_prompt_tokens": max_prompt_tokens, "engine": engine}
    told = {option: value for option, value in told.items() if value is not None}
    if name in SCRIPTED:
        _refuse_told(told, f"{spec!r} is a scripted policy")
        if temperature != 1.0 or loop_guard:
            raise PolicyError(f"temperature and loop_guard are for checkpoints; {spec!r} is a scripted policy")
        if name == "planner" and argument:
            from recrl.policies.judging import load_planner

            return load_planner(argument, device=device)
        return scripted_policy(name, argument)
    path = Path(spec)
    if path.is_dir() and not any((path / file).exists() for file in ("config.json", "adapter_config.json")):
        inside = sorted({str(found.parent) for found in path.glob("*/*config.json")
                         if found.name in ("config.json", "adapter_config.json")})  # fmt: skip
        hint = f"; did you mean {' or '.join(inside)}?" if inside else ", trained by a recipe or `recrl quickstart`"
        raise PolicyError(f"{spec!r} is a folder without a checkpoint (config.json){hint}")
    if not path.exists() and (is_path(spec)):
        raise PolicyError(f"{spec!r}: no such folder; expected a checkpoint's, or a Hub id such as user/model")
    if path.exists() or ("/" in spec and ":" not in spec):
        from recrl.language.models import is_language_model

        if is_language_model(spec):
            from recrl.policies.language import LanguagePolicy

            return LanguagePolicy.from_pretrained(
                spec, temperature=temperature, loop_guard=loop_guard, device=device, **told
            )
        from recrl.policies.scorer import ScorerPolicy

        _refuse_told(told, f"{spec!r} is none")
        return ScorerPolicy.from_pretrained(spec, temperature=temperature, loop_guard=loop_guard, device=device)
    if argument:
        _refuse_told(told, f"{spec!r} is a policy of your own")
        return _own_policy(spec)
    nearest = difflib.get_close_matches(spec, SCRIPTED, n=1, cutoff=0.4)
    hint = f"; did you mean {nearest[0]!r}? Expected" if nearest else "; expected"
    raise PolicyError(
        f"unknown policy {spec!r}{hint} one of {', '.join(SCRIPTED)}, a checkpoint's folder, a Hub id "
        "(user/model) or module:function"
    )


def _refuse_told(told: dict[str, Any], because: str) -> None:
    if told:
        raise PolicyError(f"{' and '.join(told)} are for language models; {because}")


def _own_policy(spec: str) -> Policy:
    try:
        function = find_named(spec)
    except ValueError as error:
        raise PolicyError(f"policy {error}") from error
    if isinstance(function, type) or takes(function):
        if not takes(function):
            raise PolicyError(f"policy {spec!r} is {function!r:.80}, which cannot be called without arguments")
        return as_policy(function())
    return as_policy(function)
