"""The English values of every kind of fact, people and roles, and the refusals.

Every word that can follow the article "a" starts with a consonant.
"""

from __future__ import annotations

from tokenization.dialogues.value_lists import CODES, DAYS_OF_MONTH, HOURS, HOUSE_NUMBERS, Value, pairs

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = "January February March April May June July August September October November December"
ROLES = ("doctor", "teacher", "boss", "dentist", "coach")
REFUSAL = "You have not told me that."

VALUES: dict[str, tuple[Value, ...]] = {
    "name": pairs(
        "Adam Peter Laura David Emma Simon Helen Mark Julia Paul Sarah Thomas Nina George Clara Martin Alice Daniel",
        "Fisher Cooper Taylor Walker Baker Turner Hunter Carter Mason Parker Miller Gardner Archer Porter Weaver "
        "Potter Barber Foster",
    ),
    "friend": pairs(
        "Anna Robert Lucy Kevin Maria Steven Rosa Victor Diana Henry Monica Oscar Sophie Frank Ella Bruno Irene Louis",
        "Smith Jones Evans Wilson Davis Moore Jackson Harris Lewis Clark Wright Hughes Scott Bennett Nelson "
        "Campbell Morris Murphy",
    ),
    "code": CODES,
    "pet": pairs(
        "lazy brave gentle clever noisy shy hungry playful sleepy curious funny quiet proud fluffy friendly "
        "nervous jolly cheerful",
        "cat dog rabbit parrot hamster turtle horse pony goat duck goose mouse lizard snake frog ferret canary "
        "hedgehog",
    ),
    "car": pairs(
        "red blue green yellow white black grey silver brown pink purple golden beige bronze cream violet "
        "turquoise scarlet",
        "Toyota Ford Honda Mazda Skoda Volvo Fiat Nissan Renault Peugeot Dacia Kia Lexus Subaru Suzuki Jaguar "
        "Tesla Mercedes",
    ),
    "meeting": pairs(" ".join(DAYS), " ".join(HOURS), "{} at {}"),
    "home": pairs(
        HOUSE_NUMBERS,
        "Oak Park Mill Church Station Garden Bridge Castle Market School Queen Forest Chapel Harbour Meadow Maple "
        "Tower Village",
        "{} {} Street",
    ),
    "dish": pairs(
        "rice pasta soup salad pizza pancakes potatoes noodles dumplings curry porridge bread beans fish chicken "
        "beef eggs toast",
        "cheese mushrooms spinach tomatoes garlic onions pepper carrots peas lemon basil butter olives cabbage "
        "ginger ham bacon nuts",
        "{} with {}",
    ),
    "holiday": pairs(
        "London Paris Rome Berlin Madrid Vienna Prague Lisbon Dublin Athens Oslo Venice Milan Naples Geneva Zurich "
        "Warsaw Cracow Budapest Brussels Cairo Tokyo Kyoto Boston Chicago Denver Sydney Toronto",
        MONTHS,
        "{} in {}",
    ),
    "password": pairs(
        "river storm cloud comet thunder shadow desert island rocket planet ocean diamond marble copper velvet "
        "crystal feather spark",
        "lamp chair window hammer ladder bottle pencil mirror basket candle pillow needle button trumpet carpet "
        "wheel anchor kettle",
    ),
    "birthday": pairs(DAYS_OF_MONTH, MONTHS),
    "residence": pairs(
        "Porto Seville Lyon Turin Bergen Ghent Bremen Dresden Verona Granada Valencia Nantes Toulouse Leipzig "
        "Utrecht Aarhus Salzburg Basel",
        "airport library hospital theatre stadium lake zoo museum bakery pharmacy cinema university gallery "
        "courthouse aquarium bank",
        "{} near the {}",
    ),
    "person": pairs(
        "Gregory Leonard Stanley Walter Ernest Howard Felix Hugo Arthur Gilbert Norman Philip",
        "Ashford Bradley Collins Dawson Ellison Fletcher Graham Holloway Ingram Jennings Kendall Langley",
    ),
}
