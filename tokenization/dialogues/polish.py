"""Polish memory dialogues. Sentences are built so that a value keeps one form when told, asked for and answered."""

from __future__ import annotations

from random import Random

from tokenization.dialogues.phrasebook import (
    CODES,
    DAYS_OF_MONTH,
    HOURS,
    HOUSE_NUMBERS,
    Acquaintances,
    Phrasebook,
    Role,
    Slot,
    Value,
    pairs,
)
from tokenization.records import Interaction

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
    """Adjectives (given in the masculine) with nouns of each gender, in the nominative."""
    values = []
    for adjective in adjectives.split():
        stem = adjective.removesuffix("y").removesuffix("i")
        soft = "i" if adjective.endswith("i") else ""
        forms = ((adjective, masculine), (f"{stem}a", feminine), (f"{stem}{soft}e", neuter))
        values += [(f"{form} {noun}",) for form, nouns in forms for noun in nouns.split()]
    return tuple(values)


def two_cases(words: str, tails: tuple[str, ...]) -> tuple[Value, ...]:
    """Words listed in the case of the sentences and another accepted one, each followed by each tail."""
    entries = [entry.split() for entry in words.split(", ")]
    return tuple(tuple(dict.fromkeys(f"{word} {tail}" for word in entry)) for entry in entries for tail in tails)


def locative(street: str) -> str:
    """Street names are feminine adjectives: Polna, Polnej; Krótka, Krótkiej."""
    return street[:-1] + ("iej" if street[-2] in "kg" else "ej")


SLOTS = (
    Slot(
        "name",
        pairs(
            "Jan Piotr Paweł Marek Tomasz Adam Michał Jakub Karol Zofia Maria Barbara Hanna Alicja Laura Helena Julia "
            "Klara",
            "Nowak Wójcik Mazur Pawlak Król Dudek Stępień Sikora Szewc Kubiak Sobczak Urban Malec Bąk Czech Pietrzak "
            "Walczak Górka",
        ),
        tells=("Nazywam się {}.", "Moje imię i nazwisko to {}."),
        updates=("Teraz nazywam się {}.", "Od dziś nazywam się {}."),
        questions=(
            ("Jak się nazywam?", "Nazywasz się {}."),
            ("Jakie jest moje imię i nazwisko?", "Twoje imię i nazwisko to {}."),
        ),
        others=("Nowa osoba w pracy nazywa się {}.", "Ktoś z mojej ulicy nazywa się {}."),
        unseen_tells=("W dowodzie mam wpisane: {}.",),
        unseen_questions=(("Kim jestem?", "Nazywasz się {}."),),
    ),
    Slot(
        "friend",
        pairs(
            "Anna Ewa Agata Magda Monika Dorota Beata Joanna Renata Marta Natalia Kinga Olga Wanda Teresa Sylwia Iwona "
            "Paulina",
            "Duda Kowal Zięba Gajda Sroka Bielak Kurek Wrona Witek Madej Janik Tomczak Adamiak Bednarz Cieślak Kubica "
            "Rogala Wolak",
        ),
        tells=("Moja przyjaciółka to {}.", "Moja przyjaciółka nazywa się {}."),
        updates=("Teraz moja przyjaciółka to {}.", "Moja nowa przyjaciółka to {}."),
        questions=(
            ("Kto jest moją przyjaciółką?", "Twoja przyjaciółka to {}."),
            ("Jak nazywa się moja przyjaciółka?", "Twoja przyjaciółka nazywa się {}."),
        ),
        others=("Przyjaciółka mojej siostry to {}.", "Przyjaciółka mojej sąsiadki nazywa się {}."),
        unseen_tells=("{} to moja przyjaciółka.",),
        unseen_questions=(("Kim jest moja przyjaciółka?", "Twoja przyjaciółka to {}."),),
    ),
    Slot(
        "code",
        CODES,
        tells=("Mój kod do szafki to {}.", "Kod do mojej szafki to {}."),
        updates=("Mój nowy kod do szafki to {}.", "Teraz kod do mojej szafki to {}."),
        questions=(
            ("Jaki jest mój kod do szafki?", "Twój kod do szafki to {}."),
            ("Jakim kodem otwieram szafkę?", "Twój kod do szafki to {}."),
        ),
        others=("Kod do szafki mojej siostry to {}.", "Kod do szafki sąsiada to {}."),
        unseen_tells=("Szafkę otwieram kodem {}.",),
        unseen_questions=(("Co mam wpisać, żeby otworzyć szafkę?", "Twój kod do szafki to {}."),),
    ),
    Slot(
        "pet",
        agreeing(
            "leniwy odważny łagodny sprytny wesoły głodny głośny spokojny ciekawski nieśmiały puszysty zabawny dumny "
            "mądry dziki uparty grzeczny senny",
            "kot pies królik chomik żółw koń jeż wąż",
            "papuga świnka mysz kaczka gęś koza żaba",
            "szczenię źrebię jagnię",
        ),
        tells=("Moje zwierzę to {}.", "Mam w domu zwierzę, to {}."),
        updates=("Moje nowe zwierzę to {}.", "Teraz moje zwierzę to {}."),
        questions=(
            ("Jakie mam zwierzę?", "Twoje zwierzę to {}."),
            ("Jakie zwierzę mam w domu?", "Twoje zwierzę to {}."),
        ),
        others=("Zwierzę mojej siostry to {}.", "Zwierzę sąsiada to {}."),
        unseen_tells=("W domu czeka na mnie {}.",),
        unseen_questions=(("Kto czeka na mnie w domu?", "Twoje zwierzę to {}."),),
    ),
    Slot(
        "car",
        agreeing(
            "czerwony niebieski zielony żółty biały czarny szary srebrny brązowy różowy fioletowy złoty beżowy bordowy "
            "kremowy turkusowy granatowy błękitny",
            "fiat ford opel nissan seat renault peugeot mercedes",
            "toyota skoda mazda honda dacia kia tesla",
            "volvo audi subaru",
        ),
        tells=("Moje auto to {}.", "Mój samochód to {}."),
        updates=("Moje nowe auto to {}.", "Teraz mój samochód to {}."),
        questions=(("Jakie mam auto?", "Twoje auto to {}."), ("Jaki mam samochód?", "Twój samochód to {}.")),
        others=("Auto mojej siostry to {}.", "Samochód sąsiada to {}."),
        unseen_tells=("W moim garażu stoi {}.",),
        unseen_questions=(("Co stoi w moim garażu?", "Twoje auto to {}."),),
    ),
    Slot(
        "meeting",
        tuple(
            (f"{on} o {hour}", f"{on.split()[1]} o {hour}", f"{day} o {hour}") for day, on, _ in DAYS for hour in HOURS
        ),
        tells=("Spotkanie mam {}.", "Moje spotkanie jest {}."),
        updates=("Moje spotkanie będzie jednak {}.", "Zmiana: spotkanie mam {}."),
        questions=(
            ("Kiedy mam spotkanie?", "Spotkanie masz {}."),
            ("Kiedy jest moje spotkanie?", "Twoje spotkanie jest {}."),
        ),
        others=("Moja siostra ma spotkanie {}.", "Spotkanie sąsiada jest {}."),
        unseen_tells=("Czekają na mnie na spotkaniu {}.",),
        unseen_questions=(("Na kiedy mam umówione spotkanie?", "Spotkanie masz {}."),),
    ),
    Slot(
        "home",
        tuple(
            (f"{street} {number}", f"{locative(street)} {number}")
            for street in STREETS.split()
            for number in HOUSE_NUMBERS.split()
        ),
        tells=("Mój adres to {}.", "Mieszkam pod adresem {}."),
        updates=("Mój nowy adres to {}.", "Teraz mieszkam pod adresem {}."),
        questions=(("Jaki jest mój adres?", "Twój adres to {}."), ("Gdzie mieszkam?", "Mieszkasz pod adresem {}.")),
        others=("Moja siostra mieszka pod adresem {}.", "Adres sąsiada to {}."),
        unseen_tells=("Moje mieszkanie jest pod adresem {}.",),
        unseen_questions=(("Gdzie jest moje mieszkanie?", "Mieszkasz pod adresem {}."),),
    ),
    Slot(
        "dish",
        two_cases(DISHES, INGREDIENTS),
        tells=("Moje ulubione danie to {}.", "Moje danie numer jeden to {}."),
        updates=("Teraz moje ulubione danie to {}.", "Moje nowe ulubione danie to {}."),
        questions=(
            ("Jakie jest moje ulubione danie?", "Twoje ulubione danie to {}."),
            ("Co najbardziej lubię jeść?", "Twoje ulubione danie to {}."),
        ),
        others=("Ulubione danie mojej siostry to {}.", "Ulubione danie sąsiada to {}."),
        unseen_tells=("Danie, które lubię najbardziej, to {}.",),
        unseen_questions=(("Które danie lubię najbardziej?", "Twoje ulubione danie to {}."),),
    ),
    Slot(
        "holiday",
        two_cases(CITIES, MONTHS),
        tells=("Na urlop jadę do {}.", "Mój urlop to wyjazd do {}."),
        updates=("Na urlop jadę jednak do {}.", "Zmiana: na urlop jadę do {}."),
        questions=(
            ("Dokąd i kiedy jadę na urlop?", "Na urlop jedziesz do {}."),
            ("Jakie mam plany na urlop?", "Na urlop jedziesz do {}."),
        ),
        others=("Moja siostra jedzie na urlop do {}.", "Sąsiad jedzie na urlop do {}."),
        unseen_tells=("Mam już bilety na urlop: do {}.",),
        unseen_questions=(("Co mam w planach na urlop?", "Na urlop jedziesz do {}."),),
    ),
    Slot(
        "password",
        pairs(
            "rzeka burza chmura pustynia wyspa rakieta planeta kometa ocean diament marmur kryształ cień wicher piorun "
            "śnieg iskra fala",
            "lampa krzesło okno młotek drabina butelka ołówek lustro koszyk świeca poduszka igła guzik trąbka dywan "
            "koło kotwica czajnik",
        ),
        tells=("Moje hasło to {}.", "Hasło do mojego konta to {}."),
        updates=("Moje nowe hasło to {}.", "Teraz moje hasło to {}."),
        questions=(("Jakie jest moje hasło?", "Twoje hasło to {}."), ("Podaj moje hasło.", "Twoje hasło to {}.")),
        others=("Hasło mojej siostry to {}.", "Hasło sąsiada to {}."),
        unseen_tells=("Loguję się hasłem {}.",),
        unseen_questions=(("Jakim hasłem się loguję?", "Twoje hasło to {}."),),
    ),
)

BIRTHDAY = Slot(
    "birthday",
    pairs(
        DAYS_OF_MONTH,
        "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
    ),
    tells=("Urodziny mam {}.", "Moje urodziny są {}."),
    updates=("Pomyłka, urodziny mam {}.", "Dokładniej: urodziny mam {}."),
    questions=(("Kiedy mam urodziny?", "Urodziny masz {}."), ("Którego dnia mam urodziny?", "Urodziny masz {}.")),
)

ACQUAINTANCES = Acquaintances(
    people=pairs(
        "Grzegorz Leszek Stanisław Wacław Ernest Henryk Feliks Hubert Artur Gilbert Norbert Filip",
        "Borkowski Górski Czarnecki Dąbrowski Filipiak Głowacki Jasiński Kalinowski Lipiński Makowski Olszewski "
        "Piotrowski",
    ),
    roles=tuple(
        Role(
            tell=f"Mój {role} to {{}}.",
            echo=f"Twój {role} to {{}}.",
            question=f"Gdzie mieszka mój {role}?",
            answer=f"Twój {role} mieszka {{}}.",
        )
        for role in ("lekarz", "nauczyciel", "szef", "dentysta", "trener")
    ),
    residence=Slot(
        "residence",
        tuple(
            (f"{where} koło {place}", f"{where.split()[1]} koło {place}", f"{city} koło {place}")
            for where, city in TOWNS
            for place in (
                "lotniska biblioteki szpitala teatru stadionu jeziora zoo muzeum piekarni apteki kina ratusza".split()
            )
        ),
        tells=("{} mieszka {}.", "{} ma mieszkanie {}."),
        updates=(),
        questions=(),
    ),
)

OPPOSITES = (
    ("gorący", "zimny"), ("duży", "mały"), ("długi", "krótki"), ("szybki", "wolny"), ("stary", "nowy"),
    ("wysoki", "niski"), ("otwarty", "zamknięty"), ("lewy", "prawy"), ("pełny", "pusty"), ("jasny", "ciemny"),
    ("twardy", "miękki"), ("mokry", "suchy"), ("wczesny", "późny"), ("bliski", "daleki"), ("silny", "słaby"),
    ("bogaty", "biedny"), ("dobry", "zły"), ("gruby", "cienki"),
)  # fmt: skip

CHAT = (
    ("Cześć!", "Cześć! W czym mogę pomóc?"),
    ("Dzień dobry.", "Dzień dobry! W czym mogę pomóc?"),
    ("Co słychać?", "Wszystko dobrze, dziękuję."),
    ("Dziękuję.", "Nie ma za co."),
    ("Wielkie dzięki!", "Nie ma za co."),
    ("Powiedz mi coś miłego.", "Świeci słońce i cały dzień przed tobą."),
    ("Brak mi dziś sił.", "Pora na krótką przerwę."),
    ("Znowu pada deszcz.", "To dobry dzień na książkę i herbatę."),
    ("Nudzi mi się.", "Może krótki spacer?"),
    ("Jaki kolor ma niebo?", "W pogodny dzień niebo jest niebieskie."),
    ("Ile dni ma tydzień?", "Tydzień ma 7 dni."),
    ("Ile miesięcy ma rok?", "Rok ma 12 miesięcy."),
    ("Ile godzin ma doba?", "Doba ma 24 godziny."),
    ("Co daje krowa?", "Krowa daje mleko."),
    ("Co robią pszczoły?", "Pszczoły robią miód."),
    ("Gdzie wschodzi słońce?", "Słońce wschodzi na wschodzie."),
    ("Gdzie zachodzi słońce?", "Słońce zachodzi na zachodzie."),
    ("Ile nóg ma pająk?", "Pająk ma 8 nóg."),
    ("Czy woda jest mokra?", "Tak, woda jest mokra."),
    ("Czy ryby latają?", "Nie, ryby pływają."),
    ("Czym jest lód?", "Lód to zamarznięta woda."),
    ("Umiesz śpiewać?", "Nie, ale umiem napisać piosenkę."),
    ("Jesteś robotem?", "Jestem programem komputerowym."),
    ("Poczekaj chwilę.", "Oczywiście, poczekam."),
)


def small_talk(rng: Random) -> Interaction:
    """Sums, opposites, sequences and pleasantries."""
    kind = rng.randrange(6)
    a, b = rng.randint(1, 9), rng.randint(1, 9)
    if kind == 0:
        return Interaction(f"Ile to jest {a} plus {b}?", f"{a} plus {b} to {a + b}.")
    if kind == 1:
        return Interaction(f"Ile to jest {a + b} minus {b}?", f"{a + b} minus {b} to {a}.")
    if kind == 2:
        word, opposite = rng.sample(rng.choice(OPPOSITES), 2)
        return Interaction(f"Jakie jest przeciwieństwo słowa {word}?", f"Przeciwieństwo słowa {word} to {opposite}.")
    if kind == 3:
        day = rng.randrange(7)
        after = DAYS[day][2]
        return Interaction(f"Jaki dzień jest po {after}?", f"Po {after} jest {DAYS[(day + 1) % 7][0]}.")
    return Interaction(*rng.choice(CHAT))


POLISH = Phrasebook(
    language="pl",
    slots=SLOTS,
    acknowledgement="Dobrze, zapamiętam.",
    echo="Dobrze. {}",
    refusal="Tego jeszcze nie wiem.",
    small_talk=small_talk,
    held_out=BIRTHDAY,
    acquaintances=ACQUAINTANCES,
)
