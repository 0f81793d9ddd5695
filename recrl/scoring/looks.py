"""What looking and buying cost: steps from where the shopper is to a product's page, and to its purchase."""

from recrl.episodes.notes import NotedProduct, Notes
from recrl.scoring.wishes import Wish, wanted_options

EXPECTED_OPTIONS = 2  # clicks that a product takes whose options are not known yet


def is_at_hand(notes: Notes, product: NotedProduct) -> bool:
    """Whether the product's page, or a sub page of it, is open."""
    return notes.at_hand is not None and notes.products[notes.at_hand].asin == product.asin


def options_left(wish: Wish, notes: Notes, product: NotedProduct) -> list[str]:
    """The values that the wish names and that are not clicked yet; of a product at hand, or one that was opened."""
    clicked = notes.clicked if is_at_hand(notes, product) else ()
    return [value for value in wanted_options(wish, product).values() if value not in clicked]


def steps_to_open(notes: Notes, product: NotedProduct) -> int:
    """Clicks until the product's page is shown; 0 if it is.

    From another product's page back to the results, over results pages, and on the link.
    """
    back_from_sub_page = int(bool(notes.sub_page))
    if is_at_hand(notes, product):
        return back_from_sub_page
    pages = 0 if notes.results_page is None else abs(notes.results_page - product.page_number)
    return back_from_sub_page + int(notes.at_hand is not None) + pages + 1


def steps_to_buy(wish: Wish, notes: Notes, product: NotedProduct) -> int:
    """Clicks until the product is bought with the options that the wish names."""
    options = EXPECTED_OPTIONS if product.options is None else len(options_left(wish, notes, product))
    return steps_to_open(notes, product) + options + 1
