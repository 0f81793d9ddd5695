"""Makes up a shop's export, to try `recrl catalog import` on: bags, umbrellas, kitchenware and books, in German.

    python examples/make_shop.py --output_csv products.csv --num_products 400

The table is as spreadsheets write it: semicolons, euros with a decimal comma, SKUs with dashes, books by their ISBN-13,
some products without a category, options or a description. docs/own_catalog.md takes it to a trained agent.
Prints how many products there are.
"""

import argparse
import csv
import random

COLUMNS = ("Artikelnummer", "Bezeichnung", "Preis", "Beschreibung", "Kategorie", "Optionen")
MAKERS = "Nordlicht Seeblick Waldweg Morgentau Talwind Bergfink Kranich Elbsand Heidekraut Föhr Rügen Allgäu".split()
LINES = "Anna Emil Frieda Jonas Klara Ludwig Marie Oskar Paula Theo".split()
AUTHORS = "Katharina Lindner, Jörg Weiß, Sabine Kühn, Peter Ottmann, Ilse Brandt, Moritz Rößler".split(", ")
# kind -> category, prices from and to, what may be said of it, options
GOODS = {
    "Rucksack": (
        "Taschen > Rucksäcke", (29, 180),
        "gepolsterter Rücken, leichtes Gewicht, wasserdichtes Material, verstellbare Träger, großes Laptopfach",
        "farbe: schwarz|grün|blau; größe: 20 l|30 l",
    ),
    "Umhängetasche": (
        "Taschen > Umhängetaschen", (25, 140),
        "echtes Leder, leichtes Gewicht, verstellbare Träger, magnetischer Verschluss, helles Innenfutter",
        "farbe: braun|schwarz|rot",
    ),
    "Regenschirm": (
        "Reise > Regenschirme", (12, 70),
        "windfestes Gestell, wasserdichtes Material, kleines Packmaß, hölzerner Griff, doppelte Bespannung",
        "farbe: rot|schwarz|gelb",
    ),
    "Pfanne": (
        "Küche > Pfannen", (19, 120),
        "beschichteter Boden, hölzerner Griff, spülmaschinenfestes Material, hoher Rand, geschmiedetes Eisen",
        "durchmesser: 20 cm|24 cm|28 cm",
    ),
    "Teekanne": (
        "Küche > Teekannen", (15, 95),
        "doppelwandiges Glas, spülmaschinenfestes Material, großes Sieb, mattes Steingut, tropffreier Ausguss",
        "farbe: weiß|blau; inhalt: 0,8 l|1,2 l",
    ),
}  # fmt: skip
BOOKS = {
    "Roman": ("Bücher > Romane", (9, 28), "gebundene Ausgabe, signierte Ausgabe, großer Druck, gekürzte Fassung"),
    "Kochbuch": ("Bücher > Kochbücher", (14, 45), "vegane Rezepte, einfache Rezepte, gebundene Ausgabe, viele Fotos"),
    "Reiseführer": ("Bücher > Reiseführer", (12, 30),
                    "herausnehmbare Karte, viele Fotos, kleines Format, neue Auflage"),
}  # fmt: skip


def isbn13(number: int) -> str:
    """A number for books in German, with its check digit."""
    digits = f"9783{number:08d}"
    check = -sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits)) % 10
    return f"978-3-{number // 1000:05d}-{number % 1000:03d}-{check}"


def euros(rng: random.Random, low: int, high: int) -> str:
    """A price as it is written here, such as ``1.249,00 €``."""
    cents = rng.randrange(low * 100, high * 100, 10) + 9 if rng.random() < 0.97 else rng.randrange(100000, 150000, 100)
    whole = f"{cents // 100:,}".replace(",", ".")
    return f"{whole},{cents % 100:02d} €"


def product(rng: random.Random, number: int) -> tuple[str, ...]:
    """One row of the table."""
    is_book = rng.random() < 0.4
    kind = rng.choice(list(BOOKS if is_book else GOODS))
    category, prices, qualities, *options = (BOOKS if is_book else GOODS)[kind]
    said = rng.sample(qualities.split(", "), 3)
    if is_book:
        title = f"{rng.choice(MAKERS)}: {kind} von {rng.choice(AUTHORS)}"
        sku = isbn13(40000000 + 7919 * number)
        text = f"{kind} in deutscher Sprache: {said[0]}, {said[1]}. Dazu: {said[2]}."
    else:
        title = f"{rng.choice(MAKERS)} {kind} „{rng.choice(LINES)}“"
        sku = f"{kind[:3].upper()}-{number:04d}"
        text = f"Diese Ware kommt aus eigener Werkstatt: {said[0]}, {said[1]}. Außerdem {said[2]}."
    missing = rng.random()  # as in a real export, something is missing here and there
    shown = ("" if missing < 0.03 else text, "" if 0.03 < missing < 0.06 else category)
    return sku, title, euros(rng, *prices), *shown, options[0] if options and missing > 0.1 else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_csv", default="products.csv", help="the table")
    parser.add_argument("--num_products", type=int, default=400, help="rows of it")
    arguments = parser.parse_args()
    rng = random.Random(0)
    with open(arguments.output_csv, "w", encoding="utf-8", newline="") as file:
        rows = [product(rng, number) for number in range(arguments.num_products)]
        csv.writer(file, delimiter=";").writerows([COLUMNS, *rows])
    print(f"{len(rows)} products are in {arguments.output_csv}")


if __name__ == "__main__":
    main()
