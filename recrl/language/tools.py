"""Shopping by calls of named tools: what a model is offered, and the action that a call stands for."""

import functools
import json
import re
from typing import Any

from recrl.errors import DatasetError
from recrl.webshop import actions

_CALL = re.compile(r"<tool_call>(.*?)(?:</tool_call>|\Z)", re.DOTALL)  # as Qwen's and Hermes' templates write calls


class ShoppingTools:
    """The tools; ``_act`` takes an action's text and returns the page that it leads to.

    Every public method is a tool, with the types and the docstring that a model is shown.
    """

    def _act(self, action: str) -> str:
        raise NotImplementedError

    def search(self, words: str) -> str:
        """Search the shop for products.

        Args:
            words: The words to search for.

        Returns:
            The results page.
        """
        return self._act(actions.search(actions.as_query(words)))

    def open_product(self, product: str) -> str:
        """Open a product of the results page.

        Args:
            product: The product's code, such as b09c896sn6.

        Returns:
            The product's page.
        """
        return self._act(actions.click(product.lower()))

    def choose_option(self, value: str) -> str:
        """Choose an option of the product, such as a size or a color.

        Args:
            value: The option's value as the page shows it.

        Returns:
            The product's page with the option chosen.
        """
        return self._act(actions.click(value.lower()))

    def read(self, section: str) -> str:
        """Read about the product.

        Args:
            section: What to read: description, features or reviews.

        Returns:
            The text.
        """
        return self._act(actions.click(section.lower()))

    def next_page(self) -> str:
        """Go to the next page of the results.

        Returns:
            The next results page.
        """
        return self._act(actions.NEXT_PAGE)

    def back(self) -> str:
        """Go back to the page before: from a text to its product, from a product to the results.

        Returns:
            The page before.
        """
        return self._act(actions.PREVIOUS)

    def new_search(self) -> str:
        """Leave the results for the search page.

        Returns:
            The search page.
        """
        return self._act(actions.BACK_TO_SEARCH)

    def buy(self) -> str:
        """Buy the product on the page with the chosen options. This ends the shopping.

        Returns:
            That the product was bought.
        """
        return self._act(actions.BUY_NOW)


# In the order in which TRL lists an environment's methods: a small model that learned the calls under a prompt with
# another order writes nonsense under this one.
TOOLS = ("back", "buy", "choose_option", "new_search", "next_page", "open_product", "read", "search")


class _Reader(ShoppingTools):
    """Says which action a call stands for."""

    def _act(self, action: str) -> str:
        return action


@functools.cache
def tool_schemas() -> list[dict[str, Any]]:
    """The tools as JSON schemas, as chat templates take them."""
    from transformers.utils import get_json_schema

    return [get_json_schema(getattr(_Reader(), name)) for name in TOOLS]


def action_of(name: str, arguments: dict[str, Any]) -> str | None:
    """The action that a call stands for; None if there is no such tool or it takes other arguments."""
    if name not in TOOLS or not all(isinstance(value, str) for value in arguments.values()):
        return None
    try:
        return getattr(_Reader(), name)(**arguments)
    except TypeError:
        return None


def call_of(action: str) -> dict[str, Any]:
    """The call that stands for a valid action, the inverse of `action_of`: a tool's name and its arguments.

    Raises:
        DatasetError: the text is no action of a shop.
    """
    parsed = actions.parse(action)
    if parsed is None:
        raise DatasetError(f"tools are those of a shop, and {action!r:.80} is no search[words] or click[name]")
    if parsed.verb == actions.SEARCH:
        return {"name": "search", "arguments": {"words": parsed.argument}}
    plain = {actions.NEXT_PAGE: "next_page", actions.PREVIOUS: "back", actions.BACK_TO_SEARCH: "new_search",
             actions.BUY_NOW: "buy"}  # fmt: skip
    if action in plain:
        return {"name": plain[action], "arguments": {}}
    if action in (actions.DESCRIPTION, actions.FEATURES, actions.REVIEWS):
        return {"name": "read", "arguments": {"section": parsed.argument}}
    if re.fullmatch(r"[a-z0-9]{10}", parsed.argument):  # a product's code; an option of this form does as well
        return {"name": "open_product", "arguments": {"product": parsed.argument}}
    return {"name": "choose_option", "arguments": {"value": parsed.argument}}


def read_call(text: str) -> dict[str, Any] | None:
    """The first call in an answer that `action_of` understands; None if there is none."""
    found = _CALL.search(text)
    try:
        call = json.loads(found[1] if found else text)
        call = {"name": call["name"], "arguments": call.get("arguments") or {}}
        return call if action_of(**call) is not None else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
