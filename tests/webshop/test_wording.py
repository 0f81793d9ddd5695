"""Goals in free words: everything that is wanted is said, nothing else is, and the same words come out everywhere."""

import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import gymnasium as gym
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recrl.errors import CatalogError
from recrl.evaluation.config import EvaluationConfig
from recrl.training.environment import EnvironmentArguments
from recrl.webshop import spelled, wording_frames
from recrl.webshop.analyzer import analyze
from recrl.webshop.catalog import Catalog, load_catalog
from recrl.webshop.classic import WebAgentTextEnv
from recrl.webshop.goals import NO_BOUND, Goal, read_protocol
from recrl.webshop.prices import price_bound
from recrl.webshop.wording import FRAMES, Draws, article, reword
from recrl.webshop.wording_wishes import in_words, plural, read_template, singular, without_code

EMBEDDED_REWORDED = "8965279efbaf93ff79d1e681141b40ee84dda5f26bb32d48135d2b4e057d3dda"
WEBSHOP_1K_REWORDED = "9c907d972e1c093c1fdba083507818a7d2e1cb6764ac65be047368ebd381a863"
HALF = re.compile(rf"({spelled.PATTERN})(?P<half> and a half)?")


def in_digits(text: str) -> str:
    """The text with its spelled numbers as digits: "seven and a half" is 7.5."""
    return HALF.sub(
        lambda found: f"{spelled.read(found[1])}{'.5' if found['half'] else ''}", text.replace("-", " ").lower()
    )


def holds(text: str, words: str) -> bool:
    """Whether the words stand in the text side by side, whatever their endings and the small words between them."""
    wanted = analyze(words)
    if not wanted:  # a stop word: "color a"
        return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text) is not None
    return f" {' '.join(wanted)} " in f" {' '.join(analyze(text))} "


def said_of(catalog: Catalog, goal: Goal) -> tuple[str, ...]:
    """The wanted attributes and option values; of a value that begins with a code, what follows it."""
    offered = catalog.product(goal.asin).options
    assert isinstance(goal.options, dict)
    values = [without_code(value, offered[group]) for group, value in goal.options.items()]
    return (*goal.attributes, *(value for value in values if value.strip()))


def check_goals(catalog: Catalog, template: Catalog, indices: Sequence[int]) -> None:
    grammar = set(analyze(" ".join(all_words(wording_frames))))
    for index in indices:
        goal, plain = catalog.goals[index], template.goals[index]
        texts = {"instruction": "", "instruction_without_price": ""}
        assert asdict(goal) | texts == asdict(plain) | texts  # nothing but the words differs
        text, without = goal.instruction, goal.instruction_without_price
        digits = in_digits(without)
        for wanted in said_of(catalog, goal):
            assert holds(without, wanted) or holds(digits, in_digits(wanted)), (wanted, without)
            assert holds(text, wanted) or holds(in_digits(text), in_digits(wanted)), (wanted, text)
        kind, _ = read_template(str(catalog.product(goal.asin).instruction), goal.attributes, goal.query)
        assert holds(without, kind.many) or holds(without, str(kind.one)), (kind, without)
        assert price_bound(text) == (None if goal.price_upper == NO_BOUND else goal.price_upper), text
        assert price_bound(without) is None, without
        if goal.price_upper != NO_BOUND:
            number = int(goal.price_upper)
            assert str(number) in text or spelled.spell(number) in text.lower(), text
            assert len(without) < len(text)
        # Nothing but the template's words, the grammar's, and numbers.
        allowed = f"{plain.instruction} {kind.one}"
        known = grammar | set(analyze(allowed)) | set(analyze(re.sub(r"[-#_:*]", " ", allowed)))
        added = [word for word in analyze(digits) if word not in known and not re.fullmatch(r"[0-9.]+", word)]
        assert not added, (added, without, plain.instruction)
        assert goal.asin.lower() not in text.lower()


def all_words(module: object) -> list[str]:
    """Every text among a module's constants."""

    def texts(value: object) -> list[str]:
        if isinstance(value, str):
            return [re.sub(r"\{[^}]*\}", " ", value)]
        if isinstance(value, dict):
            return [text for pair in value.items() for text in texts(pair)]
        return [text for part in value for text in texts(part)] if isinstance(value, tuple | frozenset) else []

    constants = [value for name, value in vars(module).items() if name.isupper()]
    return [text for value in constants for text in texts(value)] + ["or", "pair", "some"]


@pytest.fixture(scope="module")
def embedded() -> Catalog:
    return load_catalog(wording="reworded")


def test_every_goal_of_the_embedded_catalogue_says_what_is_wanted(embedded: Catalog) -> None:
    check_goals(embedded, load_catalog(), range(len(embedded.goals)))


@pytest.mark.slow
@pytest.mark.realdata
def test_every_published_goal_says_what_is_wanted(webshop_dir: Path) -> None:
    catalog, template = load_catalog(webshop_dir, wording="reworded"), load_catalog(webshop_dir)
    check_goals(catalog, template, range(len(catalog.goals)))
    assert (catalog.protocol("goal"), catalog.protocol()) == ("webshop-1k-reworded", "webshop-1k-unseen-reworded")
    assert catalog.goals_sha256 == WEBSHOP_1K_REWORDED
    assert list(catalog.split("test")) == list(template.split("test"))


def test_the_words_are_people_s(embedded: Catalog) -> None:
    goals = list(embedded.goals)
    texts = [goal.instruction for goal in goals]
    assert sum("price lower than" in text for text in texts) == 0
    assert sum(bool(re.search(r"\b(?:color|size|flavor|scent): ", text)) for text in texts) < 0.1 * len(texts)
    assert sum("?" in text for text in texts) > 0.15 * len(texts)
    assert (
        sum(bool(re.search(r"size [a-z]+ and a half|size (?:six|seven|eight|nine|ten|eleven)\b", t)) for t in texts)
        > 50
    )
    assert sum(bool(re.search(rf"{spelled.PATTERN} (?:dollars|bucks)", text)) for text in texts) > 0.05 * len(texts)
    assert len(set(texts)) > 0.99 * len(texts)


def test_the_frames_are_many_and_drawn_evenly(embedded: Catalog) -> None:
    assert len(FRAMES) == len(set(wording_frames.FRAMES)) >= 40
    counts = Counter(
        reword(
            "find me hats with wool", attributes=("wool",), query="hats", options={}, offered={}, price_upper=40.0,
            key=f"0/{goal.asin}/{number}",
        ).frame
        for number, goal in enumerate(embedded.goals)
    )  # fmt: skip
    expected = len(embedded.goals) / len(FRAMES)
    assert len(counts) == len(FRAMES)
    assert 0.6 * expected < min(counts.values()) <= max(counts.values()) < 1.4 * expected


def test_texts_and_fingerprint_are_the_same_everywhere(embedded: Catalog) -> None:
    """Whoever changes the grammar raises `recrl.webshop.wording.VERSION`: stored fingerprints are named after it."""
    assert embedded.goals_sha256 == EMBEDDED_REWORDED
    assert embedded.template_goals_sha256 == load_catalog().goals_sha256 != embedded.goals_sha256
    assert embedded.sha256 == load_catalog().sha256
    order = list(range(200))
    random.Random(0).shuffle(order)
    code = (
        "from recrl.webshop.catalog import load_catalog\n"
        f"goals = load_catalog(wording='reworded').goals\nprint([goals[index].instruction for index in {order}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([embedded.goals[index].instruction for index in order])


def test_goals_are_found_again_and_kept_apart(embedded: Catalog) -> None:
    assert load_catalog(wording="reworded") is embedded
    assert load_catalog(embedded) is load_catalog(embedded, wording="reworded") is embedded
    with pytest.raises(CatalogError, match="wording=reworded, but the opened catalogue has template"):
        load_catalog(load_catalog(), wording="reworded")
    other = load_catalog(goal_seed=1, wording="reworded")
    assert other.goals_sha256 != embedded.goals_sha256
    assert other.goals[0].instruction != embedded.goals[0].instruction


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wording": "reworded", "human_goals": True}, "wording='reworded' is for synthetic goals; .* human_goals"),
        ({"wording": "free"}, "wording='free', expected one of template, reworded"),
    ],
)
def test_what_cannot_be_said_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        load_catalog(**settings)  # type: ignore[arg-type]
    with pytest.raises(CatalogError, match=message):
        gym.make("recrl/WebShop-v0", **settings)


@pytest.mark.parametrize("split_by", ["goal", "product"])
@pytest.mark.parametrize("wording", ["template", "reworded"])
def test_protocols_say_split_and_wording(split_by: str, wording: str) -> None:
    protocol = load_catalog(wording=wording).protocol(split_by)
    expected = "embedded" + "-unseen" * (split_by == "product") + "-reworded" * (wording == "reworded")
    assert protocol == expected
    assert read_protocol(protocol) == (split_by, wording)


def test_environments_say_it_too(embedded: Catalog) -> None:
    env = gym.make("recrl/WebShop-v0", wording="reworded", split="test")
    observation, info = env.reset(options={"goal_index": 7})
    goal = embedded.goals[7]
    assert info["instruction"] == goal.instruction
    assert goal.instruction in observation
    assert info["goals_sha256"] == embedded.goals_sha256
    assert info["valid_actions"] == (f"search[{goal.instruction_without_price}]",)
    classic = WebAgentTextEnv(wording="reworded")
    classic.reset(7)
    assert classic.instruction_text == goal.instruction


def test_commands_and_recipes_open_it(embedded: Catalog) -> None:
    assert EnvironmentArguments(wording="reworded").load_catalog() is embedded
    assert EvaluationConfig(policy="rule", wording="reworded").load_catalog() is embedded
    with pytest.raises(CatalogError, match="is for synthetic goals"):
        EnvironmentArguments(wording="reworded", human_goals=True)


texts = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
values = texts | st.sampled_from(["{value}", "[x]", "<y>", "a1-blue", "7.5", "8", "x-large", "", " "])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    template=texts | st.sampled_from(["Find me {group} shirts with lace", "shirts"]),
    attributes=st.lists(texts, max_size=4),
    query=texts | st.just("shirts"),
    options=st.dictionaries(texts | st.sampled_from(["color", "size", "fit type", "flavor name"]), values, max_size=4),
    bound=st.sampled_from([10.0, 990.0, 12.5, 5000.0, NO_BOUND]),
    number=st.integers(0, 10_000),
)
def test_any_product_can_be_asked_for(
    template: str, attributes: list[str], query: str, options: dict[str, str], bound: float, number: int
) -> None:
    said = reword(
        template, attributes=tuple(attributes), query=query, options=options,
        offered={group: (value,) for group, value in options.items()}, price_upper=bound, key=str(number),
    )  # fmt: skip
    again = reword(
        template, attributes=tuple(attributes), query=query, options=options,
        offered={group: (value,) for group, value in options.items()}, price_upper=bound, key=str(number),
    )  # fmt: skip
    assert said == again
    assert (said.instruction == said.without_price) == (bound == NO_BOUND)
    for group, value in options.items():
        if value.strip():
            forms = {value, without_code(value, (value,)), in_words(value) if value in ("7.5", "8") else value}
            assert any(form.lower() in said.instruction.lower() for form in forms), (group, said)


def test_kinds_and_roles_are_read_from_the_template() -> None:
    kind, wishes = read_template(
        "Find me slim fit, machine wash women's tops, tees & blouses with long sleeve for daily wear",
        ("slim fit", "machine wash", "long sleeve", "daily wear"),
        "women's tops, tees & blouses",
    )
    assert (kind.many, kind.one) == ("women's tops, tees & blouses", None)
    assert [wish.role for wish in wishes] == ["quality", "quality", "part", "purpose"]
    kind, wishes = read_template(
        "i need to replace my old pasta sauces with gluten free ones", ("gluten free",), "pasta sauces"
    )
    assert (kind.one, [wish.role for wish in wishes]) == ("pasta sauce", ["quality"])
    # An instruction that does not hold the query: its own noun, and never the product's title.
    assert (
        read_template("i want a red leather boot with laces", ("red", "laces"), "men's shoes")[0].many == "leather boot"
    )
    # An attribute that the kind's name says already is not said twice.
    assert (
        read_template("Find me hair masks for dry hair", ("hair masks", "dry hair"), "hair masks")[1][0].text
        == "dry hair"
    )


def test_inflections() -> None:
    assert [singular(word) for word in ("bookshelves", "dresses", "vanities", "movies", "boxes", "chess", "hats")] == [
        "bookshelf", "dress", "vanity", "movie", "box", "chess", "hat",
    ]  # fmt: skip
    assert [plural(word) for word in ("sole", "box", "brush")] == ["soles", "boxes", "brushes"]
    assert [article(phrase) for phrase in ("usb port", "hat", "x-large hat", "8 inch pan", "easy hat")] == [
        "a", "a", "an", "an", "an",
    ]  # fmt: skip
    assert [in_words(number) for number in ("7.5", "8", "24", "6.25")] == ["seven and a half", "eight", "24", "6.25"]
    for number in range(1, 1000):
        assert re.fullmatch(spelled.PATTERN, spelled.spell(number))
        assert spelled.read(spelled.spell(number)) == number


def test_a_code_is_left_out_only_where_the_colour_is_clear() -> None:
    assert without_code("a1-blue", ("a1-blue", "a2-red")) == "blue"
    assert without_code("157- army green", ("157- army green", "158- green")) == "army green"
    assert without_code("158- green", ("157- army green", "158- green")) == "158- green"
    assert without_code("a1-blue", ("a1-blue", "b2-blue")) == "a1-blue"
    assert without_code("12 pack mix", ("12 pack mix",)) == "12 pack mix"


def test_draws_are_even_and_endless() -> None:
    draws = Draws("any key")
    counts = Counter(draws.below(7) for _ in range(7000))
    assert set(counts) == set(range(7))
    assert all(880 < count < 1120 for count in counts.values())
