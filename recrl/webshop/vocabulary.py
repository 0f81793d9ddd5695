"""The words of made-up catalogues: what there is to sell, and how it is described and asked for.

Attributes have two words or more, so that a text can hold an attribute's words without holding the attribute.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProductType:
    """A kind of product.

    Attributes:
        name: as titles have it; query: as shoppers search for it, in the plural.
        department: a key of `DEPARTMENTS`; path: its place below the department's own.
        price: lowest and highest usual price in dollars; options: keys of `OPTIONS`.
    """

    name: str
    query: str
    department: str
    path: str
    price: tuple[int, int]
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Department:
    """What products of one field share.

    Attributes:
        category: the raw field ``category``; path: the first level of ``product_category``.
        qualities: attributes that a thing *is*; parts: attributes that it comes *with*.
        looks: words of titles that carry no attribute; uses: what descriptions say it is for.
    """

    category: str
    path: str
    qualities: tuple[str, ...]
    parts: tuple[str, ...]
    looks: tuple[str, ...]
    uses: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


DEPARTMENTS = {
    "kitchen": Department(
        "garden", "Home & Kitchen",
        _words("dishwasher safe, heat resistant, easy to clean, rust proof, stain resistant, oven ready, bpa free, "
               "scratch resistant, leak proof, space saving"),
        _words("bamboo lid, silicone grip, copper core, double wall, stainless steel rim, measuring marks, "
               "vented cover, non slip base"),
        _words("Modern, Classic, Everyday, Chef, Farmhouse, Compact, Family, Studio"),
        _words("weeknight dinners, small flats, busy mornings, baking days, long winters, first homes"),
    ),
    "bedding": Department(
        "garden", "Home & Kitchen",
        _words("machine washable, fade resistant, super soft, wrinkle free, all season, hypo allergenic, "
               "double sided, extra deep, pre shrunk, oeko certified"),
        _words("hidden zipper, memory foam, organic cotton, down filling, corner ties, cooling gel, piped edge, "
               "bamboo viscose"),
        _words("Hotel, Coastal, Nordic, Garden, Striped, Cozy, Heritage, Plain"),
        _words("guest rooms, restless sleepers, bunk beds, cold nights, holiday homes, afternoon naps"),
    ),
    "furniture": Department(
        "garden", "Home & Kitchen",
        _words("easy to assemble, fully assembled, water resistant, wall mounted, height adjustable, heavy duty, "
               "space saving, mid century, kiln dried, scratch resistant"),
        _words("solid wood, steel frame, hidden drawer, cable outlet, soft close, tempered glass, cane panel, "
               "locking wheels"),
        _words("Urban, Rustic, Oslo, Loft, Minimal, Country, Corner, Slim"),
        _words("home offices, narrow halls, reading corners, shared flats, bay windows, dining nooks"),
    ),
    "beauty": Department(
        "beauty", "Beauty & Personal Care",
        _words("cruelty free, paraben free, fragrance free, long lasting, fast absorbing, alcohol free, "
               "dermatologist tested, travel sized, sulfate free, vitamin enriched"),
        _words("tea tree, hyaluronic acid, argan oil, green tea, shea butter, aloe vera, coconut oil, rice water"),
        _words("Daily, Glow, Pure, Botanical, Silk, Calm, Bright, Morning"),
        _words("dry skin, tired eyes, fine hair, early mornings, sensitive skin, gym bags"),
    ),
    "grocery": Department(
        "grocery", "Grocery & Gourmet Food",
        _words("gluten free, sugar free, dairy free, low sodium, plant based, keto friendly, stone ground, "
               "cold pressed, slow roasted, fair trade"),
        _words("sea salt, whole grain, chia seeds, dark chocolate, dried fruit, resealable bag, maple syrup, "
               "natural flavors"),
        _words("Harvest, Village, Old Mill, Sunny, Hill Farm, Simple, Picnic, Market"),
        _words("lunch boxes, hiking days, movie nights, quick breakfasts, gift baskets, office drawers"),
    ),
    "clothing": Department(
        "fashion", "Clothing, Shoes & Jewelry",
        _words("machine washable, quick drying, moisture wicking, odor resistant, slim fitting, wrinkle free, "
               "light weight, wind proof, extra stretchy, hand sewn"),
        _words("merino wool, organic cotton, side stripe, contrast stitching, recycled polyester, "
               "embroidered logo, satin lining, lace trim"),
        _words("Weekend, Harbor, Classic, Trail, Studio, Vintage, City, Breezy"),
        _words("cool evenings, office days, long walks, summer parties, travel, garden work"),
    ),
    "shoes": Department(
        "fashion", "Clothing, Shoes & Jewelry",
        _words("slip resistant, water proof, wide fitting, light weight, hand stitched, quick drying, "
               "arch supporting, shock absorbing, odor resistant, vegan friendly"),
        _words("rubber sole, memory foam, leather upper, non marking sole, reinforced heel, cork footbed, "
               "wool lining, padded collar"),
        _words("Runner, Meadow, Avenue, Summit, Dock, Ballet, Ranger, Comfort"),
        _words("rainy streets, long shifts, forest paths, weddings, beach days, warehouse floors"),
    ),
    "electronics": Department(
        "electronics", "Electronics",
        _words("fast charging, noise cancelling, water resistant, plug and play, hands free, high speed, "
               "energy saving, dust proof, wall mountable, ultra thin"),
        _words("usb port, carrying case, blue tooth, stereo sound, touch control, gold plated, aluminum alloy, "
               "backlit keys"),
        _words("Pulse, Nova, Echoic, Prime, Volt, Orbit, Mini, Max"),
        _words("home studios, train rides, video calls, road trips, game nights, crowded desks"),
    ),
    "outdoor": Department(
        "garden", "Patio, Lawn & Garden",
        _words("weather proof, fold flat, rust proof, easy to carry, solar powered, frost hardy, uv resistant, "
               "hand woven, quick opening, wind proof"),
        _words("ground stakes, storage bag, drip tray, carbon steel, cup holder, mosquito net, cotton rope, "
               "teak wood"),
        _words("Terrace, Meadow, Camp, Orchard, Lakeside, Balcony, Summer, Grove"),
        _words("small balconies, camp fires, vegetable beds, beach trips, back yards, roof terraces"),
    ),
    "toys": Department(
        "toys", "Toys & Games",
        _words("screen free, battery operated, non toxic, easy to hold, hand painted, splash proof, "
               "double sided, award winning, glow in dark, magnetic closing"),
        _words("wooden pieces, storage box, cotton stuffing, sound effects, rounded edges, colour cards, "
               "rubber wheels, picture guide"),
        _words("Little, Junior, Happy, Discovery, Rainbow, Story, Puzzle, Forest"),
        _words("rainy days, long drives, birthdays, quiet hours, play dates, first steps"),
    ),
}  # fmt: skip

_TYPES = """
kitchen | Frying Pan | frying pans | Kitchen & Dining › Cookware | 18 60 | size_pan color_few
kitchen | Mixing Bowl Set | mixing bowls | Kitchen & Dining › Bakeware | 14 45 | color_few pack
kitchen | Water Pitcher | water pitchers | Kitchen & Dining › Drinkware | 12 40 | volume
kitchen | Cutting Board | cutting boards | Kitchen & Dining › Kitchen Tools | 10 48 | size_small
kitchen | Lunch Container | lunch containers | Kitchen & Dining › Storage | 9 35 | color pack
kitchen | Tea Kettle | tea kettles | Kitchen & Dining › Coffee & Tea | 22 75 | color_few volume
kitchen | Knife Block | knife blocks | Kitchen & Dining › Cutlery | 30 95 |
bedding | Throw Pillow Cover | throw pillow covers | Bedding › Decorative Pillows | 8 30 | color size_pillow
bedding | Duvet Cover | duvet covers | Bedding › Duvets & Covers | 28 90 | color size_bed
bedding | Fitted Sheet | fitted sheets | Bedding › Sheets | 16 60 | color size_bed
bedding | Fleece Blanket | fleece blankets | Bedding › Blankets | 15 55 | color size_throw
bedding | Mattress Topper | mattress toppers | Bedding › Mattress Pads | 45 160 | size_bed
bedding | Curtain Panel | curtain panels | Home Decor › Curtains | 14 52 | color length
furniture | Console Table | console tables | Furniture › Living Room | 70 260 | finish
furniture | Office Chair | office chairs | Furniture › Home Office | 80 290 | color_few
furniture | Bookshelf | bookshelves | Furniture › Home Office | 55 220 | finish tiers
furniture | Bar Stool | bar stools | Furniture › Kitchen Furniture | 40 150 | color_few seat
furniture | Coat Rack | coat racks | Furniture › Entryway | 20 85 | finish
furniture | Nightstand | nightstands | Furniture › Bedroom | 45 170 | finish
beauty | Face Cream | face creams | Skin Care › Face | 9 48 | scent volume_small
beauty | Shampoo | shampoos | Hair Care › Shampoo | 8 36 | scent volume_small
beauty | Lip Balm | lip balms | Skin Care › Lips | 4 18 | scent pack
beauty | Body Scrub | body scrubs | Skin Care › Body | 10 38 | scent
beauty | Eye Shadow Palette | eye shadow palettes | Makeup › Eyes | 12 52 | shade
beauty | Nail Polish | nail polishes | Foot, Hand & Nail Care › Nail Art | 5 22 | color
beauty | Hair Mask | hair masks | Hair Care › Treatments | 11 42 | scent volume_small
grocery | Granola | granolas | Breakfast Foods › Cereals | 5 24 | flavor pack
grocery | Trail Mix | trail mixes | Snack Foods › Nuts & Seeds | 6 30 | flavor weight
grocery | Pasta Sauce | pasta sauces | Sauces › Pasta | 4 22 | flavor pack
grocery | Ground Coffee | ground coffees | Beverages › Coffee | 8 38 | roast weight
grocery | Protein Bar | protein bars | Snack Foods › Bars | 10 42 | flavor pack
grocery | Rice Crackers | rice crackers | Snack Foods › Crackers | 4 20 | flavor
grocery | Herbal Tea | herbal teas | Beverages › Tea | 5 26 | flavor pack
clothing | Linen Shirt | linen shirts | Men › Shirts | 18 62 | color size
clothing | Summer Dress | summer dresses | Women › Dresses | 20 75 | color size
clothing | Rain Jacket | rain jackets | Women › Coats & Jackets | 32 120 | color size
clothing | Yoga Leggings | yoga leggings | Women › Active | 15 58 | color size
clothing | Knit Sweater | knit sweaters | Men › Sweaters | 24 88 | color size
clothing | Cargo Shorts | cargo shorts | Men › Shorts | 16 54 | color_few size
clothing | Pajama Set | pajama sets | Women › Sleepwear | 18 64 | color size
clothing | Beanie Hat | beanie hats | Accessories › Hats | 8 30 | color
shoes | Running Shoe | running shoes | Women › Shoes › Athletic | 35 130 | color_few size_shoe
shoes | Leather Loafer | leather loafers | Men › Shoes › Loafers | 40 140 | color_few size_shoe
shoes | Hiking Boot | hiking boots | Men › Shoes › Boots | 50 170 | color_few size_shoe
shoes | Beach Sandal | beach sandals | Women › Shoes › Sandals | 14 55 | color size_shoe
shoes | House Slipper | house slippers | Women › Shoes › Slippers | 12 45 | color size_shoe
shoes | Work Clog | work clogs | Men › Shoes › Clogs | 28 90 | color_few size_shoe
electronics | Bluetooth Speaker | bluetooth speakers | Audio › Speakers | 18 120 | color_few
electronics | Wireless Earbuds | wireless earbuds | Audio › Headphones | 20 140 | color_few
electronics | Phone Case | phone cases | Cell Phones › Cases | 7 32 | color model
electronics | Desk Lamp | desk lamps | Lighting › Lamps | 16 75 | finish
electronics | Laptop Stand | laptop stands | Computers › Accessories | 18 70 | color_few
electronics | Charging Cable | charging cables | Cell Phones › Cables | 6 28 | length_cable color_few
electronics | Wall Clock | wall clocks | Home Audio › Clocks | 14 60 | finish
outdoor | Camping Chair | camping chairs | Outdoor Furniture › Chairs | 22 95 | color_few
outdoor | Plant Pot | plant pots | Gardening › Planters | 8 44 | color size_pot
outdoor | String Lights | string lights | Outdoor Lighting › Lights | 12 55 | length_light
outdoor | Garden Hose | garden hoses | Gardening › Watering | 18 70 | length_hose
outdoor | Picnic Blanket | picnic blankets | Outdoor Decor › Blankets | 16 58 | color size_throw
outdoor | Bird Feeder | bird feeders | Backyard Birding › Feeders | 12 48 | finish
toys | Building Blocks | building blocks | Building Toys › Blocks | 14 60 | pieces
toys | Plush Bear | plush bears | Stuffed Animals › Bears | 10 45 | color size_small
toys | Jigsaw Puzzle | jigsaw puzzles | Puzzles › Jigsaw | 8 34 | pieces
toys | Bath Toy Set | bath toys | Baby Toys › Bath | 9 32 | color_few
toys | Play Kitchen | play kitchens | Pretend Play › Kitchens | 40 150 | color_few
toys | Card Game | card games | Games › Card Games | 7 28 | edition
"""


def _product_types() -> tuple[ProductType, ...]:
    made = []
    for line in _TYPES.strip().splitlines():
        department, name, query, path, price, options = (part.strip() for part in line.split("|"))
        low, high = map(int, price.split())
        made.append(ProductType(name, query, department, path, (low, high), tuple(options.split())))
    return tuple(made)


PRODUCT_TYPES = _product_types()

# key -> the group's name and its values; a product offers some of them.
OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "color": ("color", _words("black, white, navy, sage green, burgundy, mustard, dusty pink, light grey, teal, coral, "
                              "chocolate, lavender, royal blue, olive")),
    "color_few": ("color", _words("black, silver, cream, forest green, red, sky blue, charcoal, walnut")),
    "finish": ("finish", _words("natural oak, dark walnut, pure white, matte black, antique brass, pale birch")),
    "size": ("size", _words("x-small, small, medium, large, x-large, xx-large")),
    "size_shoe": ("size", _words("6, 6.5, 7, 7.5, 8, 8.5, 9, 9.5, 10, 11")),
    "size_bed": ("size", _words("twin, full, queen, king, california king")),
    "size_pillow": ("size", _words('16" x 16", 18" x 18", 20" x 20", 24" x 24", 12" x 20"')),
    "size_throw": ("size", _words('50" x 60", 60" x 80", 66" x 90", 78" x 90"')),
    "size_pan": ("size", _words("8 inch, 10 inch, 11 inch, 12 inch")),
    "size_small": ("size", _words("mini, small, medium, large, jumbo")),
    "size_pot": ("size", _words("4 inch, 6 inch, 8 inch, 10 inch, 14 inch")),
    "length": ("length", _words("54 inches, 63 inches, 72 inches, 84 inches, 96 inches")),
    "length_cable": ("length", _words("3 feet, 6 feet, 10 feet, 15 feet")),
    "length_light": ("length", _words("16 feet, 33 feet, 50 feet, 100 feet")),
    "length_hose": ("length", _words("25 feet, 50 feet, 75 feet, 100 feet")),
    "volume": ("capacity", _words("1 quart, 48 ounces, half gallon, 3 liters")),
    "volume_small": ("size", _words("1.7 fl oz, 3.4 fl oz, 6 fl oz, 8 fl oz, 12 fl oz")),
    "weight": ("weight", _words("8 ounce, 12 ounce, 1 pound, bulk bag")),
    "pack": ("pack", _words("single, twin pack, three count, four count, half dozen, full dozen")),
    "scent": ("scent", _words("lavender, citrus, unscented, rose, eucalyptus, vanilla, cedar, cucumber")),
    "flavor": ("flavor", _words("original, honey almond, spicy lime, cinnamon apple, garlic herb, mixed berry, "
                                "peanut butter, smoked paprika")),
    "roast": ("roast", _words("light roast, medium roast, dark roast, espresso")),
    "shade": ("shade", _words("nude tones, warm sunset, cool smoke, ocean, rose garden")),
    "model": ("compatible model", _words("nova 8, nova 9 plus, pixar x, orion se, orion max, lynx mini")),
    "seat": ("seat height", _words("24 inches, 26 inches, 29 inches")),
    "tiers": ("tiers", _words("3 tier, 4 tier, 5 tier")),
    "pieces": ("pieces", _words("48 pieces, 120 pieces, 365 pieces")),
    "edition": ("edition", _words("family edition, travel edition, party edition")),
}  # fmt: skip

BRAND_STARTS = _words(
    "Bel, Cor, Dun, El, Fen, Gal, Har, Isk, Jor, Kel, Lum, Mar, Nor, Ost, Pel, Quin, Ros, Sol, Tam, Ul, Ver, Wil, Yar, "
    "Zen, Ald, Bru, Cas, Dor, Eri, Fal"
)
BRAND_ENDS = _words(
    "ado, bury, cott, dale, ena, field, gate, hollow, ia, kin, lund, mont, nova, ora, pine, quist, ridge, stead, tora, "
    "unda, vale, wick, yard, zia"
)

# How shoppers ask. {thing} is the query, {is} qualities, {has} parts; a pattern is used if its slots can be filled.
ASK_BOTH = (
    "i am looking for {thing} that are {is} and come with {has}",
    "find me {is} {thing} with {has}",
    "can you show me {thing}? they should be {is} and have {has}",
    "{is} {thing} with {has} please",
    "i'd like to buy {thing} having {has}, they must be {is}",
    "need {thing}, {is}, with {has}",
    "my sister wants {is} {thing}, preferably with {has}",
    "where can i get {thing} with {has} that are also {is}",
)
ASK_QUALITIES = (
    "i am looking for {thing} that are {is}",
    "find me {is} {thing}",
    "i want some {is} {thing} for my home",
    "show me {thing}, the {is} kind",
    "could you help me find {thing} that are {is}",
    "looking for {is} {thing} as a gift",
    "{thing}, must be {is}",
    "i need to replace my old {thing} with {is} ones",
)
ASK_PARTS = (
    "i am looking for {thing} with {has}",
    "find {thing} that come with {has}",
    "i want {thing} made with {has}",
    "please show me {thing} featuring {has}",
    "need {thing} with {has}",
    "do you sell {thing} with {has}",
    "i would love {thing} that have {has}",
    "get me {thing} with {has}",
)
ASK_OPTIONS = (
    ", and i want {values}",
    ". make it {values}",
    ", {values} please",
    ". i prefer {values}",
    ", in {values}",
)
