"""How people say what they want: the sentences of reworded goals, as data. `recrl.webshop.wording` fills them.

A frame is a whole utterance. Its slots:
    {one}, {many}   the product with what stands before the noun, as one ("a blue hat") or several ("blue hats")
    {after}         what stands behind the noun: " with a rubber sole in size 9, navy"; often nothing
    {price}         the price as part of a phrase: "under $40"
    {budget}        the price as a clause: "my budget is $40"
    {more}          what is left, as clauses: "it should be machine washable. size 9 please"
    {first}         what is left, as fragments: "navy, size 9"
Square brackets enclose what is said only if there is a price, angle brackets what is said only if something is left.
A frame that begins with a capital is written with capitals at the start of each sentence.
"""

FRAMES = (
    # statements
    "i am looking for {one}{after}[ {price}]",
    "i'm looking for {many}{after}<. {more}>[. {budget}]",
    "looking for {many}{after}[ {price}]<, {first}>",
    "i need {one}{after}[ {price}]<. {more}>",
    "need {many}{after}<, {first}>[, {price}]",
    "i want {one}{after}<. {more}>[. {budget}]",
    "i'd like to buy {one}{after}[ {price}]<. {more}>",
    "i would like {many}{after}<. {more}>[. {budget}]",
    "i'm after {one}{after}[ {price}]<. {more}>",
    "i am shopping for {many}{after}[ and {budget}]<. {more}>",
    "i have been searching for {one}{after}<. {more}>[. {budget}]",
    "i could use {one}{after}[ {price}]<. {more}>",
    "we need {many}{after}[ {price}]<, {first}>",
    "thinking of buying {one}{after}<. {more}>[. {budget}]",
    "ok so i want {many}{after}<, {first}>[ and {budget}]",
    "[{budget}. ]i want {one}{after}<. {more}>",
    "[{budget} and ]i am looking for {many}{after}<. {more}>",
    "[i can only buy something {price}. ]show me {many}{after}<. {more}>",
    # questions
    "do you have {many}{after}[ {price}]?< {more}>",
    "do you sell {many}{after}<, {first}>[, {price}]?",
    "can you find me {one}{after}[ {price}]?< {more}>",
    "could you please show me {many}{after}[ {price}]?< {more}>",
    "can i get {one}{after}<, {first},>[ {price}]?",
    "where can i find {many}{after}[ {price}]?< {more}>",
    "got any {many}{after}[ {price}]?< {more}>",
    "which {many}{after}<, {first},> can i get[ {price}]?",
    "what {many}{after} do you have[ {price}]?< {more}>",
    "would you help me pick {one}{after}?< {more}.>[ {budget}]",
    "could you help me find {one}{after}?[ {budget}.]< {more}>",
    "[{budget}. ]do you have {many}{after}?< {more}>",
    # requests
    "show me {many}{after}[ {price}]<. {more}>",
    "find {one}{after}<, {first}>[, {price}]",
    "please find me {one}{after}<. {more}>[. {budget}]",
    "get me {one}{after}[ {price}]<, {first}>, please",
    "help me find {many}{after}<. {more}>[. {budget}]",
    "search for {many}{after}<, {first}>[, {price}]",
    # fragments
    "{many}{after}<, {first}>[, {price}]",
    "{one}{after}[ {price}]<, {first}>",
    "[{price}: ]{many}{after}<, {first}>",
    "<{first}, >{many}{after}[, {price}]",
    "<{first}: >{one}{after}[ {price}]",
    "{many}{after}[ {price}] please<, {first}>",
    # with a word of greeting, thanks or occasion
    "Hello, i need {one}{after}[ {price}]<. {more}>. Thank you!",
    "Hi there! do you have {many}{after}<, {first}>[, {price}]?",
    "Good morning. i would like to order {one}{after}<. {more}>[. {budget}].",
    "I am trying to find {many}{after}[ {price}]<. {more}>.",
    "It is time for {one}{after}<. {more}>[. {budget}].",
    "My old ones wore out, so i need {many}{after}[ {price}]<. {more}>.",
    "hey, {one}{after} would be great<, {first}>[, {price}]",
    "a friend told me to get {one}{after}[ {price}]<. {more}>",
    "it is a gift: {one}{after}[ {price}]<. {more}>",
    "thanks for any help! i want {many}{after}[ {price}]<, {first}>",
)

# {money} is an amount in one of the forms below.
PRICES = (
    "under {money}",
    "below {money}",
    "for less than {money}",
    "for under {money}",
    "at most {money}",
    "{money} at most",
    "for {money} or less",
    "for no more than {money}",
    "up to {money}",
    "priced below {money}",
    "cheaper than {money}",
    "{money} max",
)
BUDGETS = (
    "my budget is {money}",
    "i can spend up to {money}",
    "i don't want to pay more than {money}",
    "the price should be under {money}",
    "i have {money} to spend",
    "{money} is my limit",
    "i would pay {money} at most",
    "nothing over {money} please",
    "it must not cost more than {money}",
    "please keep it below {money}",
)
MONEY = ("${number}", "${number}", "${number}", "{number} dollars", "{number} dollars", "{number} bucks")
MONEY_IN_WORDS = ("{number} dollars", "{number} bucks")  # the number in words
MONEY_WITH_CENTS = "${number:.2f}"

# What agrees with the number of the noun.
OF_ONE = {"it": "it", "it_too": "it", "is": "is", "the_one": "one"}
OF_MANY = {"it": "they", "it_too": "them", "is": "are", "the_one": "ones"}

# Attributes by what they say of the product.
QUALITIES_BEHIND = (" that {is} {list}", " which {is} {list}", ", {list}", ", {list}")
QUALITIES_APART = ("{it} should be {list}", "{it} must be {list}", "make sure {it} {is} {list}", "{list} is a must")
PARTS_BEHIND = (" with {list}", " with {list}", " featuring {list}", " having {list}")
PARTS_APART = ("{it} should have {list}", "i want {it_too} with {list}", "with {list} please", "{list} would be nice")
PURPOSES_BEHIND = (" for {list}", " for {list}", " good for {list}")
PURPOSES_APART = ("{it} {is} for {list}", "i need {it_too} for {list}", "for {list}")
LISTS = ((", ", " and "), (", ", ", and "), (", ", ", "), (" and ", " and "), (", ", " as well as "))

# Options by what their group is. {value} as offered, {group} the group's name.
COLORS_BEFORE = ("{value}", "{value}", "{value} colored")
COLORS_BEHIND = (" in {value}", " in {value}", ", {value}", " in the color {value}")
COLORS_APART = (
    "i'd like {it_too} in {value}",
    "the color should be {value}",
    "in {value} please",
    "the {value} {the_one} please",
)
COLORS_ALONE = ("{value}", "in {value}", "color {value}")

SIZES_BEFORE = ("size {value}", "{value}")  # of sizes in letters: "x-large"
SIZES_BEHIND = (" in size {value}", " in a {value}", ", size {value}", ", {value}")
SIZES_APART = ("size {value} please", "{it} should be size {value}", "i take a {value}", "the size is {value}")
SIZES_ALONE = ("size {value}", "{value}", "size: {value}")

NUMBERS_BEFORE = ("size {value}",)  # of sizes that are numbers: "7.5"
NUMBERS_BEHIND = (" in size {value}", " in a size {value}", ", size {value}")
NUMBERS_APART = ("size {value} please", "{it} should be size {value}", "i wear size {value}", "my size is {value}")
NUMBERS_ALONE = ("size {value}", "size: {value}")

MEASURES_BEFORE = ("{value}",)  # of sizes that are measures: "8 fl oz"
MEASURES_BEHIND = (" in the {value} size", ", {value}", ", {value} size", " in {value}")
MEASURES_APART = ("{value} please", "the size should be {value}", "the {value} {the_one} please", "in {value}")
MEASURES_ALONE = ("{value}", "size {value}", "{value} size")

OTHERS_BEFORE = ("{value}",)
OTHERS_BEHIND = (" in {value}", ", {value}", " in the {value} {group}", ", {value} {group}", ", {group} {value}")
OTHERS_APART = (
    "the {value} {the_one} please",
    "make it {value}",
    "the {group} should be {value}",
    "i'd like the {value} {group}",
)
OTHERS_ALONE = ("{value}", "{value} {group}", "{group}: {value}")

CODES_BEHIND = (" in {group} {value}", ", {group} {value}")  # of values such as "a" or "12" of other groups than sizes
CODES_APART = ("the {group} should be {value}", "{group} {value} please")
CODES_ALONE = ("{group} {value}", "{group}: {value}")
NAMES_NEEDED = frozenset("fit number count quantity".split())  # in a group's name: its values say little by themselves

# Kinds that come in pairs, or that have no singular of their own.
PAIRS = frozenset(
    """
    shoes boots sandals loafers slippers clogs sneakers pumps mules flats heels oxfords socks gloves mittens earrings
    pants jeans shorts leggings tights trousers sweatpants joggers earbuds headphones earphones binoculars scissors
    glasses sunglasses goggles tweezers
    """.split()
)
NO_SINGULAR = frozenset(
    """
    lips eyes pajamas clothes goods cosmetics electronics supplies underpants boxers briefs blocks lights
    crackers series headquarters swimwear lenses flashes mac
    """.split()
)
# Nouns at the end of attributes that can be counted: "a rubber sole", "rubber soles".
COUNTABLE = frozenset(
    """
    sole outsole sleeve waistband port case bag frame leg handle heel toe strap shade edge rim stripe tray holder box
    guide drawer outlet logo collar upper panel cover screen waist
    """.split()
)
EASY_TO = frozenset(
    "use clean install assemble carry apply prepare eat hang hold".split()
)  # "easy to use", "ready to eat"
INSERTED = {"plug play": "plug and play", "compatible apple": "compatible with apple"}
