"""Polish sentences of memory dialogues. A value has the same form in statements and in answers."""

from __future__ import annotations

from random import Random

from tokenization.dialogues.phrasebook import Acquaintances, Phrasebook, Role, Slot
from tokenization.dialogues.polish_values import DAYS, REFUSAL, ROLES
from tokenization.records import Interaction

SLOTS = (
    Slot(
        "name",
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
        tells=("Moje auto to {}.", "Mój samochód to {}."),
        updates=("Moje nowe auto to {}.", "Teraz mój samochód to {}."),
        questions=(("Jakie mam auto?", "Twoje auto to {}."), ("Jaki mam samochód?", "Twój samochód to {}.")),
        others=("Auto mojej siostry to {}.", "Samochód sąsiada to {}."),
        unseen_tells=("W moim garażu stoi {}.",),
        unseen_questions=(("Co stoi w moim garażu?", "Twoje auto to {}."),),
    ),
    Slot(
        "meeting",
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
        tells=("Mój adres to {}.", "Mieszkam pod adresem {}."),
        updates=("Mój nowy adres to {}.", "Teraz mieszkam pod adresem {}."),
        questions=(("Jaki jest mój adres?", "Twój adres to {}."), ("Gdzie mieszkam?", "Mieszkasz pod adresem {}.")),
        others=("Moja siostra mieszka pod adresem {}.", "Adres sąsiada to {}."),
        unseen_tells=("Moje mieszkanie jest pod adresem {}.",),
        unseen_questions=(("Gdzie jest moje mieszkanie?", "Mieszkasz pod adresem {}."),),
    ),
    Slot(
        "dish",
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
    tells=("Urodziny mam {}.", "Moje urodziny są {}."),
    updates=("Pomyłka, urodziny mam {}.", "Dokładniej: urodziny mam {}."),
    questions=(("Kiedy mam urodziny?", "Urodziny masz {}."), ("Którego dnia mam urodziny?", "Urodziny masz {}.")),
)

ACQUAINTANCES = Acquaintances(
    roles=tuple(
        Role(
            tell=f"Mój {role} to {{}}.",
            echo=f"Twój {role} to {{}}.",
            question=f"Gdzie mieszka mój {role}?",
            answer=f"Twój {role} mieszka {{}}.",
        )
        for role in ROLES
    ),
    residence=Slot(
        "residence",
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
    """Draw a sum, an opposite, a sequence or a pleasantry."""
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
    refusal=REFUSAL,
    small_talk=small_talk,
    held_out=BIRTHDAY,
    acquaintances=ACQUAINTANCES,
)
