"""Raw records of any kind: refused by name or left out when a catalogue is built, and never a crash while it is
shopped."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recrl.errors import CatalogError
from recrl.webshop.building import build_catalog
from recrl.webshop.catalog import catalog_info, load_catalog
from recrl.webshop.env import WebShopEnv
from recrl.webshop.screens import OBSERVATION_MODES
from small_catalog import ATTRIBUTES, item, options, plain_nouns, write_catalog

ODD = st.sampled_from(
    ["", " ", "\x00", "\x1b[31m", "\u2028", "\ud800", "\udfff\ud800", "İ", "ß", "ǅ", "👩‍🚀", "ก็", "a\u0301" * 40, "[",
    "]",
     '"', "'", "/", "<script>", "&amp;", "$1", "$", "$1.2.3", "$-5", "$nan", "$9" * 3, "$5 to $3", "$" + "9" * 400,
     "x" * 5000, "nan", "Buy Now", "< Prev", "search", "\r\n", "½", "１２"]
)  # fmt: skip
TEXTS = st.text(max_size=12) | ODD
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
GROUPS = st.dictionaries(TEXTS, st.none() | st.lists(st.fixed_dictionaries({"value": TEXTS}), max_size=3), max_size=3)
ASINS = st.sampled_from(["B000000001", "B000000002", "B000000003", "nan", "TOO-LONG-ASIN", "lower", "", "B\x00", "É"])
FIELDS = {
    "asin": ASINS, "name": TEXTS, "full_description": TEXTS, "small_description": TEXTS | st.lists(TEXTS, max_size=3),
    "pricing": ODD, "images": st.lists(TEXTS | st.none(), max_size=2), "product_category": TEXTS, "category": TEXTS,
    "query": TEXTS, "customization_options": GROUPS,
}  # fmt: skip


@st.composite
def records(draw: st.DrawFn) -> Any:
    """A good record of which some fields were replaced by odd ones of their kind, by anything, or left out."""
    if draw(st.integers(0, 12)) == 0:
        return draw(VALUES)
    good = item(draw(ASINS), "Red leather sandal", customization_options=options(Color=["Red / Blue", "green"]))
    for field in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=3)):
        how = draw(st.integers(0, 5))
        if how == 0:
            good.pop(field, None)
        else:
            good[field] = draw(VALUES if how == 1 else FIELDS[field])
    return good


ENTRIES = st.dictionaries(
    ASINS,
    VALUES
    | st.fixed_dictionaries(
        {"attributes": st.lists(TEXTS, max_size=3), "instruction": TEXTS, "instruction_attributes": st.lists(TEXTS)}
    ),
    max_size=4,
)


def survives(folder: Path, items: list[Any], entries: dict[str, Any], actions: list[str], seed: int) -> tuple[int, int]:
    """Builds with what is invalid left out, and shops at random; returns how many were left out, and the steps."""
    raw = write_catalog(folder / "raw", items, ATTRIBUTES | entries, {})
    refusal = None
    try:
        build_catalog(raw, folder / "strict", nouns=plain_nouns, tagger={"name": "all", "version": "1"})
    except CatalogError as error:
        refusal = str(error)
        refusal.encode()  # can be printed
        assert not (folder / "strict").exists()
    try:
        built = build_catalog(
            raw, folder / "built", skip_invalid=True, nouns=plain_nouns, tagger={"name": "all", "version": "1"}
        )
    except CatalogError as error:
        assert "holds no usable product" in str(error)  # noqa: PT017
        return 0, 0
    manifest = json.loads((built / "manifest.json").read_text())
    assert (refusal is None) == (manifest["num_skipped"] == 0)
    try:
        catalog = load_catalog(built)
    except CatalogError as error:
        assert "goals" in str(error)  # noqa: PT017
        return manifest["num_skipped"], 0
    json.dumps(catalog_info(catalog))
    steps, rng = 0, np.random.default_rng(seed)
    for mode in OBSERVATION_MODES:
        env = WebShopEnv(catalog, split="all", observation_mode=mode, num_prev_obs=1, num_prev_actions=1)
        _, info = env.reset(seed=seed)
        over = False
        while not over:
            valid = info["valid_actions"]
            action = str(rng.choice([*valid, *actions])) if valid or actions else "search[x]"
            observation, reward, terminated, truncated, info = env.step(action)
            assert env.observation_space.contains(observation) or any("\ud800" <= c <= "\udfff" for c in observation)
            assert 0 <= reward <= 1
            assert action not in valid or "invalid_action" not in info
            over, steps = terminated or truncated, steps + 1
    return manifest["num_skipped"], steps


ACTIONS = st.lists(TEXTS | TEXTS.map("search[{}]".format) | TEXTS.map("click[{}]".format), max_size=6)
FUZZ = given(
    items=st.lists(records(), min_size=1, max_size=4), entries=ENTRIES, actions=ACTIONS, seed=st.integers(0, 99)
)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@FUZZ
def test_no_raw_record_and_no_action_can_crash_it(
    tmp_path_factory: pytest.TempPathFactory, items: list[Any], entries: dict[str, Any], actions: list[str], seed: int
) -> None:
    survives(tmp_path_factory.mktemp("fuzz"), items, entries, actions, seed)


@pytest.mark.exhaustive
def test_no_raw_record_and_no_action_can_crash_it_at_length(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Random rather than fixed examples; prints how much was tried."""
    counts = {"catalogues": 0, "records": 0, "left out": 0, "steps": 0}

    @settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @FUZZ
    def run(items: list[Any], entries: dict[str, Any], actions: list[str], seed: int) -> None:
        skipped, steps = survives(tmp_path_factory.mktemp("fuzz"), items, entries, actions, seed)
        for name, count in zip(counts, (1, len(items), skipped, steps), strict=True):
            counts[name] += count

    run()
    print(counts)
