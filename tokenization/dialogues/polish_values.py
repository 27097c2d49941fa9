"""The Polish values of every kind of fact, people and roles, and the refusals.

Sentences use the first form of a value. The other forms are its other cases.
"""

from __future__ import annotations

from tokenization.dialogues.value_lists import CODES, DAYS_OF_MONTH, HOURS, HOUSE_NUMBERS, Value, pairs

ROLES = ("lekarz", "nauczyciel", "szef", "dentysta", "trener")
REFUSAL = "Tego jeszcze nie wiem."

# nominative, with its preposition in the accusative ("on Tuesday"), locative ("after Tuesday")
DAYS = (
    ("poniedziałek", "w poniedziałek", "poniedziałku"),
    ("wtorek", "we wtorek", "wtorku"),
    ("środa", "w środę", "środzie"),
    ("czwartek", "w czwartek", "czwartku"),
    ("piątek", "w piątek", "piątku"),
    ("sobota", "w sobotę", "sobocie"),
    ("niedziela", "w niedzielę", "niedzieli"),
)
MONTHS = (
    "w styczniu", "w lutym", "w marcu", "w kwietniu", "w maju", "w czerwcu", "w lipcu", "w sierpniu", "we wrześniu",
    "w październiku", "w listopadzie", "w grudniu",
)  # fmt: skip
# genitive, nominative
CITIES = (
    "Londynu Londyn, Paryża Paryż, Rzymu Rzym, Berlina Berlin, Madrytu Madryt, Wiednia Wiedeń, Pragi Praga, "
    "Lizbony Lizbona, Dublina Dublin, Aten Ateny, Oslo Oslo, Wenecji Wenecja, Mediolanu Mediolan, Neapolu Neapol, "
    "Genewy Genewa, Warszawy Warszawa, Krakowa Kraków, Gdańska Gdańsk, Torunia Toruń, Sopotu Sopot, Poznania Poznań, "
    "Lublina Lublin, Wilna Wilno, Brukseli Bruksela, Kairu Kair, Tokio Tokio, Sztokholmu Sztokholm, "
    "Budapesztu Budapeszt"
)
# locative with its preposition, nominative
TOWNS = (
    ("w Porto", "Porto"), ("w Sewilli", "Sewilla"), ("w Lyonie", "Lyon"), ("w Turynie", "Turyn"),
    ("w Gandawie", "Gandawa"), ("w Bremie", "Brema"), ("w Dreźnie", "Drezno"), ("w Weronie", "Werona"),
    ("w Grenadzie", "Grenada"), ("w Walencji", "Walencja"), ("we Wrocławiu", "Wrocław"), ("w Łodzi", "Łódź"),
    ("w Radomiu", "Radom"), ("w Kielcach", "Kielce"), ("w Opolu", "Opole"), ("we Włocławku", "Włocławek"),
    ("w Rzeszowie", "Rzeszów"), ("w Tychach", "Tychy"), ("w Szczecinie", "Szczecin"), ("w Chełmie", "Chełm"),
)  # fmt: skip
# nominative, accusative
DISHES = (
    "ryż ryż, makaron makaron, zupa zupę, sałatka sałatkę, pizza pizzę, pierogi pierogi, naleśniki naleśniki, "
    "kasza kaszę, ziemniaki ziemniaki, kluski kluski, omlet omlet, placki placki, kanapka kanapkę, fasola fasolę, "
    "ryba rybę, kurczak kurczaka, tarta tartę, gulasz gulasz"
)
INGREDIENTS = (
    "z serem", "z grzybami", "ze szpinakiem", "z pomidorami", "z czosnkiem", "z cebulą", "z papryką", "z marchewką",
    "z groszkiem", "z cytryną", "z bazylią", "z masłem", "z oliwkami", "z kapustą", "z imbirem", "z szynką",
    "z boczkiem", "ze śmietaną",
)  # fmt: skip
STREETS = (
    "Lipowa Polna Leśna Słoneczna Krótka Szkolna Ogrodowa Kwiatowa Łąkowa Parkowa Sosnowa Brzozowa Kościelna Długa "
    "Cicha Mostowa Młyńska Wiejska"
)


def agreeing(adjectives: str, masculine: str, feminine: str, neuter: str) -> tuple[Value, ...]:
    """Combine adjectives, given in the masculine, with nouns of each gender, in the nominative."""
    values = []
    for adjective in adjectives.split():
        stem = adjective.removesuffix("y").removesuffix("i")
        soft = "i" if adjective.endswith("i") else ""
        forms = ((adjective, masculine), (f"{stem}a", feminine), (f"{stem}{soft}e", neuter))
        values += [(f"{form} {noun}",) for form, nouns in forms for noun in nouns.split()]
    return tuple(values)


def two_cases(words: str, tails: tuple[str, ...]) -> tuple[Value, ...]:
    """Combine words with tails. Each word is listed in the case that sentences use and in another accepted case."""
    entries = [entry.split() for entry in words.split(", ")]
    return tuple(tuple(dict.fromkeys(f"{word} {tail}" for word in entry)) for entry in entries for tail in tails)


def locative(street: str) -> str:
    """Return the locative of a street name, a feminine adjective: Polna, Polnej; Krótka, Krótkiej."""
    return street[:-1] + ("iej" if street[-2] in "kg" else "ej")


VALUES: dict[str, tuple[Value, ...]] = {
    "name": pairs(
        "Jan Piotr Paweł Marek Tomasz Adam Michał Jakub Karol Zofia Maria Barbara Hanna Alicja Laura Helena Julia "
        "Klara",
        "Nowak Wójcik Mazur Pawlak Król Dudek Stępień Sikora Szewc Kubiak Sobczak Urban Malec Bąk Czech Pietrzak "
        "Walczak Górka",
    ),
    "friend": pairs(
        "Anna Ewa Agata Magda Monika Dorota Beata Joanna Renata Marta Natalia Kinga Olga Wanda Teresa Sylwia Iwona "
        "Paulina",
        "Duda Kowal Zięba Gajda Sroka Bielak Kurek Wrona Witek Madej Janik Tomczak Adamiak Bednarz Cieślak Kubica "
        "Rogala Wolak",
    ),
    "code": CODES,
    "pet": agreeing(
        "leniwy odważny łagodny sprytny wesoły głodny głośny spokojny ciekawski nieśmiały puszysty zabawny dumny "
        "mądry dziki uparty grzeczny senny",
        "kot pies królik chomik żółw koń jeż wąż",
        "papuga świnka mysz kaczka gęś koza żaba",
        "szczenię źrebię jagnię",
    ),
    "car": agreeing(
        "czerwony niebieski zielony żółty biały czarny szary srebrny brązowy różowy fioletowy złoty beżowy bordowy "
        "kremowy turkusowy granatowy błękitny",
        "fiat ford opel nissan seat renault peugeot mercedes",
        "toyota skoda mazda honda dacia kia tesla",
        "volvo audi subaru",
    ),
    "meeting": tuple(
        (f"{on} o {hour}", f"{on.split()[1]} o {hour}", f"{day} o {hour}") for day, on, _ in DAYS for hour in HOURS
    ),
    "home": tuple(
        (f"{street} {number}", f"{locative(street)} {number}")
        for street in STREETS.split()
        for number in HOUSE_NUMBERS.split()
    ),
    "dish": two_cases(DISHES, INGREDIENTS),
    "holiday": two_cases(CITIES, MONTHS),
    "password": pairs(
        "rzeka burza chmura pustynia wyspa rakieta planeta kometa ocean diament marmur kryształ cień wicher piorun "
        "śnieg iskra fala",
        "lampa krzesło okno młotek drabina butelka ołówek lustro koszyk świeca poduszka igła guzik trąbka dywan "
        "koło kotwica czajnik",
    ),
    "birthday": pairs(
        DAYS_OF_MONTH,
        "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
    ),
    "residence": tuple(
        (f"{where} koło {place}", f"{where.split()[1]} koło {place}", f"{city} koło {place}")
        for where, city in TOWNS
        for place in (
            "lotniska biblioteki szpitala teatru stadionu jeziora zoo muzeum piekarni apteki kina ratusza".split()
        )
    ),
    "person": pairs(
        "Grzegorz Leszek Stanisław Wacław Ernest Henryk Feliks Hubert Artur Gilbert Norbert Filip",
        "Borkowski Górski Czarnecki Dąbrowski Filipiak Głowacki Jasiński Kalinowski Lipiński Makowski Olszewski "
        "Piotrowski",
    ),
}
