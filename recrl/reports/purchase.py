"""A purchase for the terminal: where its reward comes from, and what would have been better."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recrl.terminal import plain
from recrl.webshop.receipts import FORMULA, Receipt


def shown(text: str, style: str = "") -> Text:
    """A text of a catalogue or a person as it is: no markup, no control characters."""
    return Text(plain(text), style=style)


def print_receipt(receipt: Receipt, console: Console, *, who: str = "You") -> None:
    """The table of a purchase, and what the product could have earned.

    Args:
        who: has bought it.
    """
    success = " - success" if receipt.reward == 1 else ""
    title = shown(f"{who} bought {receipt.asin}: reward {receipt.reward:.3f}{success}", style="table.title")
    table = Table("asked for", "got", "share", title=title)
    for line in receipt.lines:
        share = f"x {line.share}" if line.weight is None else f"{line.share:.2f} x {line.weight:.2f}"
        table.add_row(shown(line.asked), shown(line.got), share)
    console.print(table)
    console.print(FORMULA, style="dim", highlight=False)
    if receipt.reward < 1:
        named = ", ".join(f"{name}: {value}" for name, value in receipt.best_options.items()) or "no option"
        console.print(shown(f"This product could have given {receipt.best_reward:.3f}, with {named}."))
        console.print(shown(f"Meant was {receipt.target_asin}: {receipt.target_title}"))
