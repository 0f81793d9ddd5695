"""Made-up catalogues: the same for a seed, of any size, and a task in which product and options both matter."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from recrl.errors import CatalogError
from recrl.evaluation.ceilings import ceiling_rewards
from recrl.policies.loading import load_policy
from recrl.rollouts.rollout import rollout
from recrl.webshop.catalog import Catalog, load_catalog
from recrl.webshop.rawfiles import find_raw_files, read_products
from recrl.webshop.reward import matched_options
from recrl.webshop.synthetic import (
    EMBEDDED_NUM_PRODUCTS,
    EMBEDDED_SEED,
    embedded_nouns,
    generate_records,
    titles_hash,
    write_raw,
)
from recrl.webshop.vocabulary import DEPARTMENTS, OPTIONS, PRODUCT_TYPES

# Of the three raw files of the embedded catalogue.
RAW_SHA256 = "86a53a29819edd07c1e03a15802edbdfeafef4566fb6b28e1a12d33540c47e3f"


@pytest.fixture(scope="module")
def embedded() -> Catalog:
    return load_catalog()


def test_the_embedded_catalogue_is_the_same_everywhere(tmp_path: Path) -> None:
    folder = write_raw(tmp_path / "raw", EMBEDDED_NUM_PRODUCTS, EMBEDDED_SEED)
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.read_bytes())
    assert digest.hexdigest() == RAW_SHA256, "after an intended change: write_embedded_nouns(), then this hash"


def test_the_shipped_nouns_are_those_of_its_titles(embedded: Catalog) -> None:
    shipped = embedded_nouns()
    titles = [product.title for product in embedded.products]
    assert shipped["titles_sha256"] == titles_hash(titles)
    assert shipped["tagger"]["name"] == "en_core_web_sm"
    assert [list(product.nouns) for product in embedded.products] == shipped["nouns"]
    assert embedded.tagger == shipped["tagger"]


def test_the_embedded_catalogue_has_enough_of_everything(embedded: Catalog) -> None:
    assert len(embedded.products) == 1000
    assert 3000 <= len(embedded.goals) <= 8000
    by_product = np.bincount([embedded.position(goal.asin) for goal in embedded.goals])
    assert (by_product > 0).sum() >= 400
    assert by_product.max() < 0.02 * len(embedded.goals)
    assert embedded.protocol("goal") == "embedded"
    assert embedded.protocol("product") == "embedded-unseen"
    assert load_catalog(goal_seed=1).protocol("goal") != "embedded"


def test_its_task_needs_the_product_and_the_options(embedded: Catalog) -> None:
    goals = embedded.split("test", "product")[:300].tolist()

    def success(policy: str) -> float:
        episodes = list(rollout(load_policy(policy), embedded, goals, seed=0))
        return 100 * sum(episode.success for episode in episodes) / len(goals)

    ceiling = 100 * np.mean([reward == 1 for reward in ceiling_rewards(embedded, goals)])
    first_hit = 100 * np.mean([reward == 1 for reward in ceiling_rewards(embedded, goals, num_hits=1)])
    assert success("rule") < 10
    assert 30 < success("matching") < 55
    assert success("matching") < ceiling - 30
    assert first_hit < ceiling - 30  # perfect options do not help with the wrong product
    assert ceiling > 85


def test_a_larger_catalogue_begins_like_a_smaller_one() -> None:
    small = list(generate_records(50, seed=3))
    large = list(generate_records(400, seed=3))
    assert large[:50] == small
    assert len({item["asin"] for item, _, _ in large}) == 400
    assert small != list(generate_records(50, seed=4))


def test_every_record_keeps_the_rules_of_the_raw_format(tmp_path: Path) -> None:
    folder = write_raw(tmp_path / "raw", 300, seed=5)
    products = list(read_products(find_raw_files(folder)))
    assert len(products) == 300
    for product in products:
        text = " ".join([product.title, product.description, *product.bullet_points]).lower()
        assert all(attribute in text for attribute in product.attributes), product.asin
        assert set(product.instruction_attributes) <= set(product.attributes)
        assert all(product.options.values())
    wordings = {product.instruction.split()[0] for product in products if product.instruction}
    assert len(wordings) >= 8


def test_families_differ_in_one_attribute() -> None:
    family = [(item["brand"], set(entry["attributes"])) for item, entry, _ in generate_records(60, seed=0)]
    near = [
        len(one & two)
        for place, (brand, one) in enumerate(family)
        for other, two in family[place + 1 : place + 2]
        if brand == other
    ]
    assert len(near) > 30
    assert set(near) == {3}  # of four


def test_the_vocabulary_is_whole() -> None:
    assert len(PRODUCT_TYPES) >= 60
    assert len(DEPARTMENTS) >= 8
    for kind in PRODUCT_TYPES:
        assert kind.department in DEPARTMENTS
        assert set(kind.options) <= set(OPTIONS)
    for department in DEPARTMENTS.values():
        for attribute in (*department.qualities, *department.parts):
            assert len(attribute.split()) >= 2
            assert attribute == attribute.lower()


def test_bad_requests_are_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="num_products=0"):
        write_raw(tmp_path / "none", 0, 0)
    write_raw(tmp_path / "one", 1, 0)
    with pytest.raises(CatalogError, match="exists; choose another"):
        write_raw(tmp_path / "one", 1, 0)
    assert json.loads((tmp_path / "one" / "items_human_ins.json").read_text()) is not None


def test_every_product_has_an_asin_of_its_own() -> None:
    asins = [item["asin"] for item, _, _ in generate_records(50_000, seed=3)]
    assert len(set(asins)) == len(asins)


def test_the_reward_tells_the_values_of_an_option_apart() -> None:
    for name, values in OPTIONS.values():
        for value in values:
            assert matched_options([value], [(name, value)]) == 1, f"{value} can not be bought"
        taken_for_another = sum(
            matched_options([chosen], [(name, wish)]) for chosen in values for wish in values if chosen != wish
        )
        assert taken_for_another <= 4, name  # of at least 20 in the group with most: 6.5 passes for 6, as in WebShop
