"""A shop's own table becomes a catalogue, and what is wrong with it is said at once."""

import json
import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recrl.cli import main
from recrl.errors import CatalogError, ConfigError
from recrl.evaluation.measure import evaluate
from recrl.policies.loading import load_policy
from recrl.webshop.amounts import has_decimal_comma, read_amounts
from recrl.webshop.building import build_catalog
from recrl.webshop.catalog import load_catalog
from recrl.webshop.own_catalog import REPORT_FILE, import_catalog
from recrl.webshop.own_catalog_config import CatalogImportConfig
from recrl.webshop.phrases import find_phrases
from recrl.webshop.rawfiles import find_raw_files, read_products
from small_catalog import item, plain_nouns, write_catalog

SHOP = Path(__file__).parent / "data" / "laden.csv"  # made up: bags, umbrellas and books, German, euros, SKUs and ISBNs


def imported(source: Path, output: Path, **settings: Any) -> dict[str, Any]:
    return import_catalog(CatalogImportConfig(source=str(source), output_dir=str(output), **settings))


@pytest.mark.parametrize(
    ("value", "comma", "amounts"),
    [
        (12.5, False, (12.5,)), (3, False, (3.0,)), ("$5.99", False, (5.99,)), ("19,99 €", True, (19.99,)),
        ("1.249,00 €", True, (1249.0,)), ("1,249.00", False, (1249.0,)), ("CHF 1'250.50", False, (1250.5,)),
        ("1.234", True, (1234.0,)), ("1.234", False, (1.234,)), ("1,234", False, (1234.0,)),
        ("1 234,5 kr", True, (1234.5,)),
        ("10,00–20,00 €", True, (10.0, 20.0)), ("$10 - $30.5", False, (10.0, 30.5)), ("", False, ()), (None, False, ()),
        (float("nan"), False, ()), ("1.000.000", False, (1e6,)), ("5,- €", True, (5.0,)), ("1000000000", False, (1e9,)),
    ],
)  # fmt: skip
def test_prices_are_read_in_any_sign(value: Any, comma: bool, amounts: tuple[float, ...]) -> None:
    assert read_amounts(value, decimal_comma=comma) == pytest.approx(amounts)


@pytest.mark.parametrize(
    "value",
    [
        "free",
        "0",
        -1,
        True,
        "1 / 2 / 3",
        [1],
        "-5.00 €",
        "€ -5",
        "1e9",
        "19,99 inkl. 19 % MwSt",
        1e308,
        "9783123456789",
    ],
)
def test_what_is_no_price_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"is no price|is not above 0"):
        read_amounts(value, decimal_comma=False)


def test_decimal_commas_are_found() -> None:
    assert has_decimal_comma(["5,99 €"])
    assert not has_decimal_comma(["1,234", "5.99", 7])


def test_phrases_recur_and_are_not_everywhere() -> None:
    texts = [["Red kettle with soft grip, made of steel."], ["Blue pan with soft grip."], ["A pan of steel."], ["Cup."]]
    found = find_phrases(texts, ["kettle", "pan", "pan", "cup"])
    assert found == [("soft grip",), ("soft grip",), ("steel",), ()]


def test_a_shop_comes_in_whole(tmp_path: Path) -> None:
    report = imported(SHOP, tmp_path / "raw")
    assert report["columns"] == {
        "id": "Artikelnummer", "title": "Bezeichnung", "price": "Preis", "description": "Beschreibung",
        "category": "Kategorie", "options": "Optionen",
    }  # fmt: skip
    assert (report["num_products"], report["num_goal_products"], len(report["ids"])) == (24, 24, 12)
    assert any("prices are in €" in note for note in report["notes"])
    assert any("nobody said them" in note for note in report["notes"])
    folder = build_catalog(
        tmp_path / "raw", tmp_path / "built", nouns=plain_nouns, tagger={"name": "all", "version": "1"}
    )
    catalog = load_catalog(folder)
    bag = catalog.product("RUC-01-NO")
    assert (bag.price, bag.category, bag.product_category) == (12.07, "taschen", "Taschen › Rucksäcke")
    assert bag.options == {"farbe": ("schwarz", "grün"), "größe": ("20 l", "30 l")}
    assert catalog.product("RUC-05-TA").price == 1249.0
    isbns = {own: catalog.product(asin).title for asin, own in report["ids"].items()}
    assert isbns["978-3-0013-481-3"] == "Nordlicht Roman"
    result = evaluate(load_policy("checker"), catalog, split="all")
    assert result.num_episodes > 20
    green = [episode for episode in result.episodes if "grün" in catalog.goals[episode.goal_index].instruction]
    assert green
    assert all(episode.num_steps < 10 for episode in green)  # a page never marks grün as clicked; it is clicked once
    assert json.loads((tmp_path / "raw" / REPORT_FILE).read_text(encoding="utf-8")) == json.loads(json.dumps(report))


def test_any_table_does(tmp_path: Path) -> None:
    rows = [
        {"handle": f"item-{number}", "name": f"Oak table {number}", "cost": 10.0 + number, "tags": ["oak wood"],
         "color": "red|blue", "size": "S;M" if number else None}
        for number in range(4)
    ]  # fmt: skip
    (tmp_path / "shop.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "shop.parquet")
    settings = {"option_columns": ("color,size",), "columns": ("attributes=tags", "title=name,price=cost")}
    made = [
        imported(tmp_path / f"shop.{ending}", tmp_path / ending, **settings) | {"config": 0, "source_sha256": 0}
        for ending in ("jsonl", "parquet")
    ]
    assert made[0] == made[1]
    products = list(read_products(find_raw_files(tmp_path / "jsonl")))
    assert [product.options for product in products[:2]] == [
        {"color": ("red", "blue")}, {"color": ("red", "blue"), "size": ("s", "m")}
    ]  # fmt: skip
    assert products[0].query == "0"  # no category: the last word of the title
    assert "4 products have no category: the last word of the title stands for what they are" in made[0]["notes"]


def write_csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_all_problems_are_said_at_once(tmp_path: Path) -> None:
    table = write_csv(tmp_path / "shop.csv", "sku,title,price\nA1,One,5\nA1,Two,free\n,Three,6\nA4,,\nA5,Five,7\n")
    with pytest.raises(CatalogError) as caught:
        imported(table, tmp_path / "raw")
    said = str(caught.value)
    assert said.startswith(f"3 of 5 rows of {table} are invalid: ")
    for part in ("1 with an id that another row has (row 2: 'A1' of row 1)", "1 with an unreadable price (row 2: ",
                 "1 without an id (row 3)", "1 without a title (row 4)", "1 without a price (row 4)"):  # fmt: skip
        assert part in said
    assert not (tmp_path / "raw").exists()
    report = imported(table, tmp_path / "raw", skip_invalid=True)
    assert (report["num_products"], len(report["left_out"])) == (2, 5)


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as exit_info:
        main(["catalog", "import", *map(str, arguments)])
    assert exit_info.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_bad_tables_are_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    to = ("--output_dir", tmp_path / "raw")
    no_prices = write_csv(tmp_path / "no_prices.csv", "sku,title\nA1,One\n")
    said = fails(capsys, no_prices, *to)
    assert "has no column for price; it has 'sku', 'title': name it with --columns price=COLUMN, or give all" in said
    assert "has no column 'kosten'" in fails(capsys, no_prices, *to, "--columns", "price=kosten")
    assert "did you mean 'price'?" in fails(capsys, no_prices, *to, "--columns", "prise=title")
    cut = write_csv(tmp_path / "cut.csv", "sku,title,price\nA1,One,5\nA2,Tw")
    assert "line 3: expected 3 values separated by ','" in fails(capsys, cut, *to)
    half = tmp_path / "half.jsonl"
    half.write_text('{"sku": "A1"}\n{"sku": "A', encoding="utf-8")
    assert "line 2 is no JSON" in fails(capsys, half, *to)
    assert "no such file" in fails(capsys, tmp_path / "nowhere.csv", *to)
    bad = {
        'sku,title,price\nA1,"One,5\nA2,Two,6\n': "a quotation mark left open",
        "sku,title,price,price\nA1,One,5,6\n": "has 2 columns named 'price'",
        "A1,One,5\nA2,Two,6\n": "has no column for id and title and price; it has",
        "sku;title;price;a,b,c,d\nA1;One;free;x\n": "1 with an unreadable price (row 1: 'free' is no price)",
        'sku,title,price,options\nA1,One,5,"{""color"": "\n': "unreadable options (row 1: '{\"color\": ' is no JSON)",
        "sku,title,price\n": "holds no rows",
        "": "holds no rows",
    }
    for number, (text, said) in enumerate(bad.items()):
        assert said in fails(capsys, write_csv(tmp_path / f"{number}.csv", text), *to)
    rows = {
        '{"sku": "A1", "title": "One \\ud800", "price": 5}': "line 1 holds half of a surrogate pair",
        '{"sku": ' + "[" * 100_000: "line 1 is no JSON",
        '{"sku": ["A1"], "title": true, "price": 5}': "1 whose id is no text or number (row 1: ['A1']); 1 whose title",
        '{"sku": 1, "title": "One", "price": 5, "options": {"color": {"red": 1}}}': "expected texts or numbers",
    }
    for number, (text, said) in enumerate(rows.items()):
        (tmp_path / f"{number}.jsonl").write_text(text, encoding="utf-8")
        assert said in fails(capsys, tmp_path / f"{number}.jsonl", *to)
    assert "columns names title twice" in fails(capsys, no_prices, *to, "--columns", "title=title,title=sku")
    assert "encoding 'klingon' is unknown" in fails(capsys, no_prices, *to, "--encoding", "klingon")
    main(["catalog", "import", str(no_prices), *map(str, to), "--default_price", "20"])
    assert "1 products state no price and cost 20.0" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="expected more than 0"):
        CatalogImportConfig(source="x", output_dir="y", default_price=0)


def test_tables_are_read_as_they_were_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = 'Artikelnummer;"Titel, lang";Preis\r\nA1;"Großer\u2028Hut; ""rot""";5,00 €\r\nA2;Kleiner Hut;1.249,00 €\r\n'
    (tmp_path / "windows.csv").write_bytes(text.replace("\u2028", " ").encode("cp1252"))
    (tmp_path / "excel.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    settings = {"columns": ("title=Titel, lang,price=Preis",)}
    said = fails(capsys, tmp_path / "windows.csv", "--output_dir", tmp_path / "raw", "--columns", *settings["columns"])
    assert (
        "is not in utf-8 (invalid continuation byte at byte 42); say what it is in, such as --encoding cp1252" in said
    )
    imported(tmp_path / "windows.csv", tmp_path / "windows", encoding="cp1252", **settings)
    imported(tmp_path / "excel.csv", tmp_path / "excel", **settings)
    made = [list(read_products(find_raw_files(tmp_path / name))) for name in ("windows", "excel")]
    assert made[0] == made[1]
    assert [(product.title, product.price_tag) for product in made[0]] == [
        ('Großer Hut; "rot"', "$5.0"), ("Kleiner Hut", "$1249.0")
    ]  # fmt: skip
    lines = (
        '{"sku": 9783161484100.0, "title": "A\u2028hat\\u0000", "price": 5, "options": {"buy now": ["Buy Now", "S"]}}\n'
    )
    (tmp_path / "shop.jsonl").write_text(lines, encoding="utf-8")
    report = imported(tmp_path / "shop.jsonl", tmp_path / "json")
    assert list(report["ids"].values()) == ["9783161484100"]
    [product] = read_products(find_raw_files(tmp_path / "json"))
    assert product.title == "A hat"
    assert "prices go from 5.00 to 5.00" in report["notes"]
    assert any(note.startswith("1 values of options cannot be clicked") for note in report["notes"])


def test_a_raw_file_with_another_price_field_is_refused(tmp_path: Path) -> None:
    """A number in `price` made every product cost 100 dollars."""
    raw = write_catalog(tmp_path, items=[item("B000000001", "A hat", pricing=..., price=12.5)], attributes={})
    with pytest.raises(
        CatalogError, match=r"field 'price': 12\.5 is not read: WebShop's files have the price in 'pricing'"
    ):
        list(read_products(find_raw_files(raw)))


@pytest.mark.slow
def test_the_page_about_own_shops_is_true(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its commands, word by word, on the made-up shop that it names; the last one tiny."""
    pytest.importorskip("spacy", reason="an extra: pip install 'recrl[tagger]'")
    root = Path(__file__).parents[2]
    page = (root / "docs" / "own_catalog.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["make_shop", "--num_products", "60"])
    runpy.run_path(str(root / "examples" / "make_shop.py"), run_name="__main__")
    commands = re.findall(r"^recrl (.+)$", page.partition("```bash\n")[2].partition("```")[0], re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["catalog", "catalog", "quickstart"]
    for command in commands:
        main(shlex.split(command) + ["--tiny"] * command.startswith("quickstart"))
    assert "60 of 60 products, 60 of them with goals, are in shop" in capsys.readouterr().out
    results = json.loads((tmp_path / "runs" / "shop" / "table.json").read_text(encoding="utf-8"))
    assert results["DPO"]["num_episodes"] == 8
    assert results["matching-price"]["success_rate"] > 50
    assert (tmp_path / "runs" / "shop" / "report.html").exists()
