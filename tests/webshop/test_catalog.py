"""Raw files in, a built catalogue out; what is wrong with either is named."""

import gzip
import json
import pickle
import random
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recrl.errors import CatalogError
from recrl.webshop.building import build_catalog
from recrl.webshop.catalog import Catalog, catalog_info, load_catalog
from recrl.webshop.rawfiles import find_raw_files, read_products
from recrl.webshop.sealed import cached_folder
from small_catalog import ATTRIBUTES, HUMAN, ITEMS, item, options, plain_nouns, write_catalog

TAGGER = {"name": "every word", "version": "1"}


@pytest.fixture
def built(tmp_path: Path) -> Path:
    return build_catalog(write_catalog(tmp_path / "raw"), tmp_path / "built", nouns=plain_nouns, tagger=TAGGER)


def test_products_follow_the_loading_rules(built: Path) -> None:
    catalog = load_catalog(built)
    assert [product.asin for product in catalog.products] == ["B000000001", "B000000002", "B000000003", "B000000004"]
    first, second, third, fourth = catalog.products
    assert first.title == "Red leather sandal"  # the first of a repeated asin
    assert first.options == {"color": ("red  |  blue", "green"), "size": ("8",)}
    assert first.query == "sandals"
    assert (first.pricing, first.price_tag, first.price) == ((15.0,), "$15.0", 15.0)
    assert (second.pricing, second.price_tag) == ((10.0, 30.0), "$10.0 to $30.0")
    assert (third.pricing, third.price_tag, third.attributes) == ((100.0,), "$100.0", ("wool",))
    assert fourth.price_tag == "$1234.5"
    assert first.nouns == ("red", "leather", "sandal")
    assert catalog.tagger == TAGGER


def test_prices_and_bounds_are_drawn_in_the_documented_order(built: Path) -> None:
    catalog = load_catalog(built, goal_seed=7)
    rng = random.Random(7)
    assert catalog.product("B000000002").price == rng.uniform(10.0, 30.0)  # the only range
    bounds = {}
    for product in catalog.products:
        if product.instruction is not None and product.price < 980:
            above = [10.0 * step for step in range(1, 100) if 10.0 * step > product.price][:4]
            bounds[product.asin] = max(rng.sample(above, 2))
    for goal in catalog.goals:
        expected = bounds.get(goal.asin)
        assert goal.price_upper == (1_000_000.0 if expected is None else expected)
        clause = "" if expected is None else f", and price lower than {expected:.2f} dollars"
        assert goal.instruction == goal.instruction_without_price + clause


def test_synthetic_goals_are_all_combinations_of_options(built: Path) -> None:
    goals = load_catalog(built).goals
    of_first = {goal.instruction_without_price for goal in goals if goal.asin == "B000000001"}
    assert of_first == {
        "find me sandals with soft sole with color: red  |  blue, and size: 8",
        "find me sandals with soft sole with color: green, and size: 8",
    }
    assert len(goals) == 2 + 1 + 1
    weights = {goal.asin: goal.weight for goal in goals}
    assert weights == {"B000000001": 1 / 2, "B000000002": 1.0, "B000000004": 1.0}


def test_human_goals_lose_their_dots(built: Path) -> None:
    [goal] = load_catalog(built, human_goals=True).goals
    assert goal.instruction_without_price == "a warm wool hat"
    assert goal.options == ("red",)
    assert goal.weight == 1.0


def test_a_raw_folder_is_built_once_and_never_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = write_catalog(tmp_path / "raw")
    for path in list(raw.iterdir()):  # the same files under the other published names, packed
        named = raw / f"{path.stem}_1000.json.gz" if "human" not in path.stem else raw / f"{path.name}.gz"
        named.write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    before = {path: path.read_bytes() for path in raw.iterdir()}
    monkeypatch.setenv("RECRL_CACHE", str(tmp_path / "cache"))
    pytest.importorskip("spacy", reason="tagging a raw catalogue needs the extra 'tagger'")
    one, two = load_catalog(raw), load_catalog(raw)
    assert one.sha256 == two.sha256
    assert len(list((tmp_path / "cache" / "catalogs").iterdir())) == 1
    assert {path: path.read_bytes() for path in raw.iterdir()} == before


def test_num_products_cuts_the_raw_list_before_the_filter(built: Path, tmp_path: Path) -> None:
    catalog = load_catalog(built, num_products=4)
    assert [product.asin for product in catalog.products] == ["B000000001", "B000000002", "B000000003"]
    assert catalog.search("boot") == []
    direct = build_catalog(tmp_path / "raw", tmp_path / "four", num_products=4, nouns=plain_nouns, tagger=TAGGER)
    assert load_catalog(direct).sha256 == catalog.sha256
    assert len(load_catalog(built, num_products=len(ITEMS)).products) == 4
    with pytest.raises(CatalogError, match=f"num_products={len(ITEMS) + 1}.* ask for 1 to {len(ITEMS)}"):
        load_catalog(built, num_products=len(ITEMS) + 1)


def test_the_fingerprint_of_goals_follows_the_seed_that_of_products_does_not(built: Path) -> None:
    one, two, again = (load_catalog(built, goal_seed=seed) for seed in (0, 1, 0))
    assert one.sha256 == two.sha256
    assert one.goals_sha256 == again.goals_sha256 != two.goals_sha256


def test_an_opened_catalogue_is_returned_as_it_is(built: Path) -> None:
    catalog = load_catalog(built)
    assert load_catalog(catalog) is catalog
    assert isinstance(catalog, Catalog)


def test_an_opened_catalogue_keeps_its_own_settings(built: Path) -> None:
    catalog = load_catalog(built, goal_seed=3, human_goals=True)
    assert load_catalog(catalog, goal_seed=3, human_goals=True, num_products=4) is catalog
    assert load_catalog(catalog) is catalog
    with pytest.raises(CatalogError, match="goal_seed=4, but the opened catalogue has 3"):
        load_catalog(catalog, goal_seed=4)
    with pytest.raises(CatalogError, match="human_goals=True, but the opened catalogue has False"):
        load_catalog(load_catalog(built), human_goals=True)


def test_a_catalogue_travels_to_other_processes(built: Path) -> None:
    catalog = load_catalog(built)
    twin = pickle.loads(pickle.dumps(catalog))
    assert (list(twin.products), list(twin.goals)) == (list(catalog.products), list(catalog.goals))
    assert twin.goals_sha256 == catalog.goals_sha256
    assert twin.search("red sandal") == catalog.search("red sandal")


def test_of_several_that_ask_at_once_one_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECRL_CACHE", str(tmp_path / "cache"))
    raw = write_catalog(tmp_path / "raw")
    builds: list[Path] = []

    def build(folder: Path) -> None:
        builds.append(folder)
        time.sleep(0.2)  # seconds; long enough for the others to ask
        build_catalog(raw, folder, nouns=plain_nouns, tagger=TAGGER)

    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: cached_folder("one", build), range(4)))
    assert len(builds) == 1
    assert set(folders) == {tmp_path / "cache" / "catalogs" / "one"}


def test_a_failed_build_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECRL_CACHE", str(tmp_path / "cache"))

    raw = write_catalog(tmp_path / "raw")

    def fail(titles: Any) -> Any:
        raise CatalogError("no tagger here")

    with pytest.raises(CatalogError, match="no tagger here"):
        cached_folder("one", lambda folder: build_catalog(raw, folder, nouns=fail, tagger=TAGGER))
    assert not list((tmp_path / "cache" / "catalogs").iterdir())


def test_info_counts_what_there_is(built: Path, tmp_path: Path) -> None:
    raw = write_catalog(
        tmp_path / "many",
        items=ITEMS[:1] + [item(f"B00000001{n}", f"Hat {n}") for n in range(10)],
        attributes={**ATTRIBUTES, **{f"B00000001{n}": ATTRIBUTES["B000000002"] for n in range(10)}},
    )
    info = catalog_info(load_catalog(build_catalog(raw, tmp_path / "b", nouns=plain_nouns, tagger=TAGGER)))
    assert (info["num_products"], info["num_products_with_options"], info["num_option_values"]) == (11, 1, 3)
    assert (info["num_goals"], info["num_target_products"]) == (12, 11)
    assert info["goals"]["test by goal"] == 2
    assert info["price_dollars"] == {"lowest": 15.0, "median": 15.0, "highest": 15.0}


def test_search_finds_what_the_texts_and_options_say(built: Path) -> None:
    catalog = load_catalog(built)
    assert [catalog.products[hit].asin for hit in catalog.search("wool hats")] == ["B000000003"]
    assert catalog.products[catalog.search("green")[0]].asin == "B000000001"
    assert catalog.search("the of and") == []


def replace_in(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda folder: (folder / "products.arrow").unlink(), r"incomplete: products\.arrow is missing"),
        (lambda folder: (folder / "products.arrow").write_bytes(b"x"), r"was altered: products\.arrow"),
        (lambda folder: (folder / "manifest.json").unlink(), r"incomplete: manifest\.json is missing"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "format version None"),
        (lambda folder: replace_in(folder / "manifest.json", "every word", "other"), r"was altered: manifest\.json"),
        (lambda folder: next((folder / "index").iterdir()).unlink(), "incomplete: index/.* is missing"),
        (lambda folder: (folder / "manifest.json").write_text("{"), r"manifest\.json cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text('{"format_version": 99}'), "format version 99"),
    ],
)
def test_a_damaged_catalogue_is_refused_with_the_reason(built: Path, how: Any, message: str) -> None:
    how(built)
    with pytest.raises(CatalogError, match=message):
        load_catalog(built)


@pytest.mark.parametrize(
    ("changed", "field", "message"),
    [
        ({"pricing": "15.00"}, "pricing", r"expected a price with '\$'"),
        ({"pricing": "$1.2.3"}, "pricing", "one number after each"),
        ({"pricing": "$"}, "pricing", "one number after each"),
        ({"pricing": "$1.00 - $2.00 ($1.2.3 / ounce)"}, "pricing", "one number after each"),
        ({"customization_options": {"color": 3}}, "customization_options", "expected a list of 'color', got 3"),
        ({"pricing": 15}, "pricing", r"expected a price with '\$'"),
        ({"images": []}, "images", "at least one image"),
        ({"small_description": None}, "small_description", "expected text or a list"),
        ({"full_description": None}, "full_description", "expected text, got None"),
        ({"name": ...}, "name", "is missing"),
        ({"asin": "b00000000x"}, "asin", "no lower-case letters"),
        ({"customization_options": {"color": [{"name": "red"}]}}, "customization_options", "no text 'value'"),
    ],
)
def test_a_record_on_which_the_original_crashes_is_named(
    tmp_path: Path, changed: Any, field: str, message: str
) -> None:
    raw = write_catalog(tmp_path / "raw", items=[*ITEMS[:1], item("B00000000X", "Odd", **changed)])
    with pytest.raises(CatalogError, match=rf"items_shuffle\.json: record 1 \(asin .*\), field '{field}': .*{message}"):
        list(read_products(find_raw_files(raw)))


def test_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="is no folder"):
        load_catalog(tmp_path / "nowhere")
    raw = write_catalog(tmp_path / "raw")
    whole = (raw / "items_shuffle.json").read_bytes()
    (raw / "items_shuffle.json").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CatalogError, match=r"items_shuffle\.json cannot be read as JSON .* truncated"):
        load_catalog(raw)
    (raw / "items_shuffle.json").unlink()
    with pytest.raises(CatalogError, match="lacks a file of products"):
        load_catalog(raw)
    (raw / "items_shuffle.json.gz").write_bytes(gzip.compress(whole)[:-20])
    with pytest.raises(CatalogError, match="truncated"):
        load_catalog(raw)
    packed = bytearray(gzip.compress(whole))
    packed[40:60] = bytes(20)
    (raw / "items_shuffle.json.gz").write_bytes(packed)
    with pytest.raises(CatalogError, match="cannot be read as JSON"):
        load_catalog(raw)
    (raw / "items_shuffle.json").write_bytes(whole)
    with pytest.raises(CatalogError, match="expected one file of products"):
        load_catalog(raw)


def test_synthetic_goals_need_the_attributes_file_to_know_every_product(tmp_path: Path) -> None:
    attributes = {asin: entry for asin, entry in ATTRIBUTES.items() if asin != "B000000003"}
    raw = write_catalog(tmp_path / "raw", attributes=attributes)
    built = build_catalog(raw, tmp_path / "built", nouns=plain_nouns, tagger=TAGGER)
    with pytest.raises(CatalogError, match="B000000003"):
        load_catalog(built)
    human = load_catalog(built, human_goals=True)
    assert human.product("B000000003").attributes == ("DUMMY_ATTR",)


def test_building_over_something_else_is_refused(built: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    with pytest.raises(CatalogError, match="exists; choose another"):
        build_catalog(tmp_path / "raw", tmp_path / "notes", nouns=plain_nouns, tagger=TAGGER)
    for changed in ({"num_products": 2}, {"tagger": {"name": "another"}}):
        with pytest.raises(CatalogError, match="of other raw files, tagger or num_products"):
            build_catalog(tmp_path / "raw", built, **({"nouns": plain_nouns, "tagger": TAGGER} | changed))


def test_a_complete_build_is_left_as_it_is_and_gets_the_goals_that_a_kill_left_out(built: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in built.rglob("*") if path.is_file()}
    shutil.rmtree(built / "goals")
    said: list[str] = []
    build_catalog(tmp_path / "raw", built, nouns=plain_nouns, tagger=TAGGER, say=said.append)
    assert f"{built} is complete" in said
    assert {path: path.read_bytes() for path in built.rglob("*") if path.is_file()} == before


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    field=st.sampled_from([*ITEMS[0], "record"]), value=VALUES, where=st.sampled_from(["item", "attributes", "human"])
)
def test_any_record_is_either_read_or_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, field: str, value: Any, where: str
) -> None:
    items, attributes, human = [dict(ITEMS[0])], json.loads(json.dumps(ATTRIBUTES)), json.loads(json.dumps(HUMAN))
    if field == "record":
        items.append(value)
    elif where == "item":
        items[0][field] = value
    elif where == "attributes":
        attributes["B000000001"] = value
    else:
        human["B000000001"] = value
    folder = tmp_path_factory.mktemp("fuzz")
    raw = write_catalog(folder, items=items, attributes=attributes, human=human)
    try:
        products = list(read_products(find_raw_files(raw)))
    except CatalogError as error:
        assert "record" in str(error)  # noqa: PT017
    else:
        assert all(product.pricing and product.price_tag.startswith("$") for product in products)
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"instruction": "x", "instruction_attributes": []}, "instruction_attributes"),
        ({"instruction": "x"}, "instruction_attributes"),
        ({"instruction": 3, "instruction_attributes": ["a"]}, "instruction"),
        ({"attributes": None}, "attributes"),
        ([], "entry"),
    ],
)
def test_an_unusable_attribute_entry_is_named(tmp_path: Path, entry: Any, field: str) -> None:
    raw = write_catalog(tmp_path / "raw", attributes=ATTRIBUTES | {"B000000003": entry})
    with pytest.raises(CatalogError, match=rf"items_ins_v2\.json: record 2 \(asin B000000003\), field '{field}'"):
        list(read_products(find_raw_files(raw)))


@pytest.mark.parametrize("field", ["instruction", "instruction_attributes", "instruction_options"])
def test_an_incomplete_human_instruction_is_named(tmp_path: Path, field: str) -> None:
    [entry, _] = HUMAN["B000000003"]
    entry = {name: value for name, value in entry.items() if name != field}
    raw = write_catalog(tmp_path / "raw", human={"B000000003": [entry]})
    with pytest.raises(CatalogError, match=rf"items_human_ins\.json: record 2 .*, field '{field}'"):
        list(read_products(find_raw_files(raw)))


def test_a_catalogue_without_goals_says_so(tmp_path: Path) -> None:
    raw = write_catalog(tmp_path / "raw", human={})
    built = build_catalog(raw, tmp_path / "built", nouns=plain_nouns, tagger=TAGGER)
    with pytest.raises(CatalogError, match=r"no human goals; items_human_ins\.json has no instruction"):
        load_catalog(built, human_goals=True)


def test_a_null_image_and_an_empty_group_are_kept(tmp_path: Path) -> None:
    raw = write_catalog(
        tmp_path / "raw", items=[item("B000000001", "Hat", images=[None], customization_options={"a": "", "b": {}})]
    )
    [product] = read_products(find_raw_files(raw))
    assert product.options == {"a": (), "b": ()}


def test_options_without_values_are_skipped(tmp_path: Path) -> None:
    raw = write_catalog(
        tmp_path / "raw", items=[item("B000000001", "Hat", customization_options=options(a=None, B=[]))]
    )
    [product] = read_products(find_raw_files(raw))
    assert product.options == {"b": ()}
