"""Made-up catalogues in the raw WebShop format: the embedded one, and one of any size from a seed.

Products come in families of near-duplicates: one kind, one brand, nearly one title. The members differ in one
attribute, in price or in the options on offer, so the right one must be told apart by reading. As in real shops,
attributes stand in the title, in the first bullet, in later bullets (which the search does not see) or in the
description; and some texts are stuffed with search terms of what the product is not.

A family follows from the seed and its number alone, so a catalogue of any size can be made in one pass.
"""

import functools
import gzip
import hashlib
import itertools
import json
import random
import string
import tempfile
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from recrl.errors import CatalogError
from recrl.files import replace_folder
from recrl.webshop.vocabulary import (
    ASK_BOTH,
    ASK_OPTIONS,
    ASK_PARTS,
    ASK_QUALITIES,
    BRAND_ENDS,
    BRAND_STARTS,
    DEPARTMENTS,
    OPTIONS,
    PRODUCT_TYPES,
    Department,
    ProductType,
)

EMBEDDED_NUM_PRODUCTS = 1000
EMBEDDED_SEED = 0
NOUNS_FILE = "embedded_nouns.json.gz"
FAMILY_SIZES = (3, 4, 5, 6)
SHARE_WITH_INSTRUCTION = 0.5
SHARE_WITH_HUMAN_INSTRUCTION = 0.15
SHARE_STUFFED = 0.45  # members whose description lists the words of a sibling's attribute
PRICE_STEPS = (0.8, 1.0, 1.0, 1.25, 1.6, 2.1)  # members' prices, relative to the family's
CODE_STRIDE = 1_743_541_808_711  # a prime near 0.617 of 36^8, so that neighbours get unlike codes
PLACES = ("title", "title", "title", "bullet", "later bullet", "description")  # of an attribute, equally likely


def generate_records(num_products: int, seed: int) -> Iterator[tuple[dict[str, Any], dict[str, Any], list[Any]]]:
    """Yields, product by product, the raw item, its entry of the attributes file, and its human instructions."""
    made = 0
    for family in itertools.count():
        for record in _family(family, seed):
            if made == num_products:
                return
            yield record
            made += 1


def _family(number: int, seed: int) -> Iterator[tuple[dict[str, Any], dict[str, Any], list[Any]]]:
    rng = random.Random(f"{seed}/{number}")
    order = list(range(len(PRODUCT_TYPES)))
    random.Random(f"{seed}/types/{number // len(order)}").shuffle(order)
    kind = PRODUCT_TYPES[order[number % len(order)]]
    department = DEPARTMENTS[kind.department]
    brand = rng.choice(BRAND_STARTS) + rng.choice(BRAND_ENDS)
    look = rng.choice(department.looks)
    size = rng.choice(FAMILY_SIZES)
    pool = [*department.qualities, *department.parts]
    rng.shuffle(pool)
    own, shared = pool[:size], pool[size : size + 3]  # one attribute of each member's own, three of all
    base_price = rng.uniform(*kind.price)
    offers = _offers(kind, rng)
    for member in range(size):
        siblings = [attribute for attribute in own if attribute != own[member]]
        yield _product(
            (seed, number, member),
            kind,
            department,
            brand,
            look,
            own[member],
            shared,
            siblings,
            base_price,
            offers,
            rng,
        )


def _offers(kind: ProductType, rng: random.Random) -> dict[str, list[str]]:
    """The option values that a family offers: group -> values, in the vocabulary's order."""
    offers = {}
    for key in kind.options:
        name, values = OPTIONS[key]
        count = min(len(values), rng.randint(3, 5))
        offers[name] = sorted(rng.sample(values, count), key=values.index)
    return offers


def _product(
    key: tuple[int, int, int],
    kind: ProductType,
    department: Department,
    brand: str,
    look: str,
    own: str,
    shared: Sequence[str],
    siblings: Sequence[str],
    base_price: float,
    offers: dict[str, list[str]],
    rng: random.Random,
) -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
    attributes = [own, *shared]
    places = {attribute: rng.choice(PLACES) for attribute in attributes}
    price = base_price * rng.choice(PRICE_STEPS)
    options = {
        name: values if rng.random() < 0.7 or len(values) < 3 else sorted(rng.sample(values, len(values) - 1))
        for name, values in offers.items()
    }
    code = _number(key)
    item = {
        "asin": code,
        "name": _title(kind, brand, look, [a for a in attributes if places[a] == "title"], rng),
        "full_description": _description(
            kind, department, [a for a in attributes if places[a] == "description"], siblings, rng
        ),
        "small_description": _bullets(
            kind,
            department,
            [a for a in attributes if places[a] == "bullet"],
            [a for a in attributes if places[a] == "later bullet"],
            rng,
        ),
        "pricing": _pricing(price, rng),
        "images": [f"https://images.example.org/{code}.jpg"],
        "product_category": f"{department.path} › {kind.path}",
        "category": department.category,
        "query": kind.query,
        "customization_options": {name: [{"value": value} for value in values] for name, values in options.items()},
        "average_rating": round(rng.uniform(3.0, 5.0), 1),
        "brand": brand,
    }
    entry: dict[str, Any] = {"attributes": rng.sample(attributes, len(attributes))}
    if rng.random() < SHARE_WITH_INSTRUCTION:
        wanted = [own, *rng.sample(list(shared), rng.choice((0, 1, 1, 2)))]
        entry |= {"instruction": _ask(kind, department, wanted, rng), "instruction_attributes": wanted}
    human = []
    if rng.random() < SHARE_WITH_HUMAN_INSTRUCTION:
        wanted = [own, *rng.sample(list(shared), rng.choice((0, 1)))]
        values = [rng.choice(offered) for offered in options.values()]
        text = _ask(kind, department, wanted, rng)
        if values:
            text += rng.choice(ASK_OPTIONS).format(values=_listed(values, rng))
        human.append(
            {
                "asin": code,
                "instruction": text + ".",
                "attributes": attributes,
                "options": values,
                "instruction_attributes": wanted,
                "instruction_options": values,
            }
        )
    return item, entry, human


def _number(key: tuple[int, int, int]) -> str:
    """Ten characters: B0 and eight letters and digits, other ones for each member of each family of a seed.

    The place of the product, times a number that shares no factor with the 36^8 codes, plus the seed's offset: no two
    places meet.
    """
    seed, family, member = key
    letters = string.digits + string.ascii_uppercase
    offset = int.from_bytes(hashlib.sha256(str(seed).encode()).digest()[:8], "big")
    place = ((family * max(FAMILY_SIZES) + member) * CODE_STRIDE + offset) % len(letters) ** 8
    code = ""
    for _ in range(8):
        place, rest = divmod(place, len(letters))
        code += letters[rest]
    return f"B0{code}"


def _title(kind: ProductType, brand: str, look: str, attributes: Sequence[str], rng: random.Random) -> str:
    named = [attribute.title() for attribute in attributes]
    rng.shuffle(named)
    head = f"{brand} {look} {kind.name}"
    if not named:
        return f"{head}, {rng.choice(('New Edition', 'Gift Idea', 'Bestseller', 'Home Favorite'))}"
    if rng.random() < 0.3:
        return f"{brand} {named[0]} {look} {kind.name}" + "".join(f", {name}" for name in named[1:])
    return head + rng.choice((", ", " with ", " - ")) + ", ".join(named)


def _description(
    kind: ProductType, department: Department, attributes: Sequence[str], siblings: Sequence[str], rng: random.Random
) -> str:
    use, other = rng.sample(department.uses, 2)
    sentences = [
        rng.choice(
            (
                f"Made for {use} and {other}.",
                f"We designed it with {use} in mind, and it does well on {other} too.",
                f"A companion for {use}.",
                f"From {use} to {other}, one to rely on.",
            )
        )
    ]
    sentences += [
        rng.choice((f"It is proudly {attribute}.", f"You get it {attribute}.", f"Known for: {attribute}."))
        for attribute in attributes
    ]
    if rng.random() < SHARE_STUFFED:
        # The words of what it is not, in another order: found by a search, but not what was asked for.
        terms = [" ".join(reversed(attribute.split())) for attribute in rng.sample(list(siblings), 2)]
        sentences.append(f"Search terms: {kind.query}, {', '.join(terms)}, {kind.query} {terms[0]}.")
    sentences.append(rng.choice(("Ships in two days.", "Questions? We answer within a day.", "Packed with care.")))
    return " ".join(sentences)


def _bullets(
    kind: ProductType, department: Department, first: Sequence[str], later: Sequence[str], rng: random.Random
) -> list[str]:
    name = kind.name.lower()
    facts = [
        f"IDEAL FOR {rng.choice(department.uses).upper()}: this {name} is made for every day",
        f"THOUGHTFUL DESIGN: our {name} looks good for years",
        "CARE: see the label for details",
        f"SATISFACTION: if your {name} is not right, write to us",
    ]
    rng.shuffle(facts)
    head = f"OUR {name.upper()}: " + (" and ".join(first) if first else "made with attention to detail")
    extra = [
        rng.choice(("GOOD TO KNOW: {}", "WHAT YOU GET: {}", "WHY WE LIKE IT: {}")).format(attribute)
        for attribute in later
    ]
    rest = [*facts[: rng.randint(2, 3)], *extra]
    rng.shuffle(rest)
    return [head, *rest]


def _pricing(price: float, rng: random.Random) -> str:
    """``$12.99``, or for one in eight a range."""
    rounded = max(1, round(price)) - 0.01
    if rng.random() < 0.125:
        return f"${rounded:.2f} - ${rounded * 1.2:.2f}"
    return f"${rounded:.2f}"


def _listed(words: Sequence[str], rng: random.Random) -> str:
    if len(words) == 1:
        return words[0]
    joint = rng.choice((" and ", ", and ", " as well as "))
    return ", ".join(words[:-1]) + joint + words[-1]


def _ask(kind: ProductType, department: Department, wanted: Sequence[str], rng: random.Random) -> str:
    """A shopper's sentence for the attributes, in one of many wordings."""
    qualities = [attribute for attribute in wanted if attribute in department.qualities]
    parts = [attribute for attribute in wanted if attribute in department.parts]
    patterns = ASK_BOTH if qualities and parts else ASK_QUALITIES if qualities else ASK_PARTS
    slots = {"thing": kind.query}
    if qualities:
        slots["is"] = _listed(qualities, rng)
    if parts:
        slots["has"] = _listed(parts, rng)
    return rng.choice(patterns).format(**slots)


def write_raw(folder: str | Path, num_products: int, seed: int) -> Path:
    """Writes a made-up catalogue as the three raw files, product by product.

    Args:
        folder: takes ``items_shuffle.json``, ``items_ins_v2.json`` and ``items_human_ins.json``; must not exist.
        num_products: at least 1.

    Raises:
        CatalogError: a bad number, or the folder exists.
        StorageError: the disk is full; nothing is left.
    """
    if num_products < 1:
        raise CatalogError(f"num_products={num_products}, expected at least 1")
    folder = Path(folder)
    if folder.exists():
        raise CatalogError(f"{folder} exists; choose another --output_dir or remove it")
    with (
        replace_folder(folder) as temporary,
        open(temporary / "items_shuffle.json", "w", encoding="utf-8") as items,
        open(temporary / "items_ins_v2.json", "w", encoding="utf-8") as attributes,
        open(temporary / "items_human_ins.json", "w", encoding="utf-8") as humans,
    ):
        comma = any_human = ""
        for item, entry, human in generate_records(num_products, seed):
            items.write(("," if comma else "[") + "\n" + json.dumps(item, ensure_ascii=False))
            attributes.write(("," if comma else "{") + f'\n"{item["asin"]}": {json.dumps(entry)}')
            if human:
                humans.write(("," if any_human else "{") + f'\n"{item["asin"]}": {json.dumps(human)}')
                any_human = ","
            comma = ","
        items.write("\n]\n")
        attributes.write("\n}\n")
        humans.write("\n}\n" if any_human else "{}\n")
    return folder


def titles_hash(titles: Sequence[str]) -> str:
    """What the shipped nouns are checked by: the SHA-256 of the titles, a line each."""
    return hashlib.sha256("\n".join(titles).encode()).hexdigest()


def embedded_nouns() -> dict[str, Any]:
    """The shipped nouns: ``tagger`` (its record), ``titles_sha256``, and ``nouns``, a list for each title."""
    packed = resources.files("recrl.webshop").joinpath("data", NOUNS_FILE).read_bytes()
    return json.loads(gzip.decompress(packed))


def embedded_catalog() -> Path:
    """The built embedded catalogue in the user's cache; made on first use, in about two seconds, without a tagger.

    Raises:
        CatalogError: the shipped nouns do not belong to the generated titles.
    """
    from recrl.webshop.building import build_catalog
    from recrl.webshop.sealed import cache_key, cached_folder

    shipped = embedded_nouns()

    def nouns(titles: Sequence[str]) -> list[tuple[str, ...]]:
        if titles_hash(titles) != shipped["titles_sha256"]:
            raise CatalogError("the shipped nouns are not those of the embedded catalogue's titles; reinstall recrl")
        return [tuple(words) for words in shipped["nouns"]]

    def build(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as temporary:
            raw = write_raw(Path(temporary) / "raw", EMBEDDED_NUM_PRODUCTS, EMBEDDED_SEED)
            build_catalog(raw, folder, nouns=nouns, tagger=shipped["tagger"])

    return cached_folder(f"embedded-{cache_key(_embedded_records_hash(), shipped['nouns'])}", build)


@functools.cache
def _embedded_records_hash() -> str:
    """The SHA-256 of the embedded catalogue's raw records, so that a changed generator never meets an old build."""
    records = list(generate_records(EMBEDDED_NUM_PRODUCTS, EMBEDDED_SEED))
    return hashlib.sha256(json.dumps(records).encode()).hexdigest()


def write_embedded_nouns(path: str | Path) -> None:
    """Tags the embedded catalogue's titles anew; needed after a change of the vocabulary or of this module."""
    from recrl.webshop.tagger import nouns, tagger_record

    titles = [item["name"] for item, _, _ in generate_records(EMBEDDED_NUM_PRODUCTS, EMBEDDED_SEED)]
    shipped = {"tagger": tagger_record(), "titles_sha256": titles_hash(titles), "nouns": nouns(titles)}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(gzip.compress(json.dumps(shipped, ensure_ascii=False).encode(), mtime=0))
