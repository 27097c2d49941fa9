"""Paragraphs of near relatives go, whatever their length allows; names, titles and exclamations stay. All sentences are
this project's own. `tests/benchmarks/data/languages.py` measures the same on real texts."""

import pytest

from tests.support.corpus_data import TextCleaner
from tokenization.cleaning.language.verdict import is_likely, probability, verdict
from tokenization.cleaning.vulgar import is_vulgar

RELATIVES = {
    "pl": {
        "Czech": "Starý mlynář každé ráno otevřel okno a díval se, jak voda v potoce po dešti pomalu stoupá.",
        "Slovak": "Starý mlynár každé ráno otvoril okno a pozeral sa, ako voda v potoku po daždi pomaly stúpa.",
        "Croatian": "Stari mlinar svako je jutro otvarao prozor i gledao kako voda u potoku poslije kiše polako raste.",
        "Serbian": "Stari mlinar je svakog jutra otvarao prozor i gledao kako voda u potoku posle kiše polako raste.",
        "Slovene": "Stari mlinar je vsako jutro odprl okno in gledal, kako voda v potoku po dežju počasi narašča.",
        "Silesian": "Stary mynorz kożdego rana ôtwiyroł ôkno i kukoł, jak woda we potoku po dyszczu pomału przibywo.",
        "Silesian in Polish letters": "Niy wiym, czy bydzie dyszcz, ale zabier ze sobōm coś, coby niy zmoknōńć.",
        "Silesian by its words": "Starzik zawdy godoł, co trza robić.",
        "Silesian at the beginning": "Ôn je dobry chop i robi na grubie.",
        "Kashubian in Polish letters": "Brat jidze do miasta.",
        "Ukrainian in Latin script": "Shche ne vmerla Ukrainy i slava, i volia.",
        "Ukrainian as libraries write it": "Na stoli lezhytʹ khlib i nizh.",
        "Kashubian": "Stôri młinôrz kòżdégò réna òtmikôł òkno ë zdrzôł, jak wòda w strëdze pò deszczu rosce.",
        "Sorbian": "Dźensa rano je so dešćowało, tohodla smy doma wostali.",
        "German": "Der alte Müller öffnete jeden Morgen das Fenster und sah zu, wie das Wasser langsam stieg.",
        "English": "The old miller opened the window every morning and watched the water in the brook rise.",
    },
    "en": {
        "Dutch": "De oude molenaar deed elke ochtend het raam open en keek hoe het water in de beek langzaam steeg.",
        "Scots": "The auld miller opent the windae ilka morn an saw hou the watter in the burn wis risin at last.",
        "Scots by its words": "The watter is cauld, and a wheen fowk bide in the glen.",
        "Scots that negates": "Ah dinna ken whit ye mean.",
        "Scots of an encyclopaedia": "It is the caipital o the kintra and the lairgest seety.",
        "Indonesian": "Tukang giling tua itu membuka jendela setiap pagi dan melihat air di sungai naik setelah hujan.",
        "Norwegian": "Den gamle mølleren åpnet vinduet hver morgen og så hvordan vannet i bekken sakte steg.",
        "Spanish": "El viejo molinero abría la ventana cada mañana y miraba cómo el agua del arroyo subía poco a poco.",
        "Polish": "Stary młynarz każdego ranka otwierał okno i patrzył, jak woda w potoku powoli wzbiera.",
    },
}
TRUE = {
    "pl": [
        "Stary młynarz każdego ranka otwierał okno i patrzył, jak woda w potoku po deszczu powoli wzbiera.",
        "Nie wiem czy to jest dobry pomysl, ale juz tak bylo i tak bedzie.",
        "Kliknij the button w menu, który",
        "Rozdział trzeci, w którym nic się nie dzieje",
        "Uwaga!",
        "Gdzie są klucze?",
        "dr Anna Kowalska-Nowak, Uniwersytet Jagielloński",
        "Ratunku, na pomoc!",
        "Zagrali: Jan Müller, Zoë Dupont i André Noël.",
        "Dyrygowali Jiří Bělohlávek i Václav Neumann.",
        "Cisza. Potem trzask i znowu cisza.",
        "Zyskał miano najlepszego zawodnika.",
        "Policjanci skuli napastnika kajdankami.",
        "Policjanci skuli je kajdankami.",
        "Tabula rasa to pojęcie z filozofii.",
        "Usiadł podle drogi.",
        "Ino mi nie płacz, mówił dziadek.",
        "Wczoraj do domu wrócił późno pan Werta i jego brat.",
        "Nie ma sprawy.",
        "To nie tak, jak myślisz.",
        "Reżim upadł, bo mierził ludzi w dżinsach.",
        "Mucha tse-tse przenosi śpiączkę.",
        "Kaj i Gerda mieszkali w sąsiednich domach.",
    ],
    "en": [
        "The old miller opened the window every morning and watched the water in the brook rise after the rain.",
        "Chapter the Third",
        "Help, help!",
        "-- Publius Vergilius Maro (Virgil)",
        "Where are my keys?",
        "Dr. Kasi Ananthanarayanan, Department of Physics",
        "Silence. Then a crack, and silence again.",
        "A fur coat hung behind the door of the cabin: fur, and no faux fur.",
        "The fund was set up in 1990.",
        "The investment fund bought shares, and the pension fund sold them to another fund in the same week.",
        "A moose is a large deer.",
        "The house was haunted.",
        "He is a staunch ally of the king.",
        "Wes Anderson directed the film.",
        "Kim Tae-hyung is a singer and actor.",
        "Moths have antennae.",
        "The goblins ate pumpkins.",
        "Will he come?",
        "To be continued",
        "If so, go home.",
        "Nobody gave permits to the bandits, and the culprit hid in a transit van.",
    ],
}


@pytest.mark.parametrize(
    ("language", "name"), [(language, name) for language, found in RELATIVES.items() for name in found]
)
def test_relatives_are_foreign(language, name):
    assert verdict(RELATIVES[language][name], language) not in ("own", "unsure")


@pytest.mark.parametrize(("language", "text"), [(language, text) for language, found in TRUE.items() for text in found])
def test_the_language_itself_is_not(language, text):
    assert verdict(text, language) in ("own", "unsure")


SCRIPTS = {
    "Chinese": "北京是中华人民共和国的首都，是全国的政治中心、文化中心。",
    "Japanese": "東京は日本の首都であり、人口が多い。",
    "Korean": "서울은 대한민국의 수도이며 가장 큰 도시이다.",
    "Arabic": "القاهرة هي عاصمة جمهورية مصر العربية وأكبر مدنها.",
    "Hebrew": "ירושלים היא עיר הבירה של מדינת ישראל.",
    "Hindi": "दिल्ली भारत की राजधानी है और एक बड़ा नगर है।",
    "Thai": "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย",
    "Georgian": "თბილისი საქართველოს დედაქალაქია",
    "Chinese with a few English words": "北京是中华人民共和国的首都 (the capital of it), 是全国的政治中心。",
}


@pytest.mark.parametrize("language", RELATIVES)
@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("with_py3langid", [True, False])
def test_other_scripts_are_foreign_with_and_without_case(language, script, with_py3langid):
    assert verdict(SCRIPTS[script], language, with_py3langid) == "foreign"


@pytest.mark.parametrize("language", RELATIVES)
@pytest.mark.parametrize("text", ["北京", "Σ Δ Ω", "E = mc²", "ʃənˈʒɛn", "Ａｌｐｈａ Ｂｅｔａ", "𝐀𝐁𝐂𝐃𝐄"])
def test_signs_and_letters_of_formulas_and_of_speech_are_no_other_script(language, text):
    assert verdict(text, language) in ("own", "unsure")


def test_quotes_in_other_scripts_stay():
    assert (
        verdict("The word \u0634\u0643\u0631\u0627 is Arabic for thanks, and 谢谢 is Chinese for them.", "en") == "own"
    )
    assert verdict("Słowo \u0634\u0643\u0631\u0627 oznacza po arabsku „dziękuję”, a 谢谢 po chińsku.", "pl") == "own"


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("pl", "The old fisherman repaired a wooden boat by the river in the morning before the storm.", "english"),
        ("pl", "Der alte Fischer reparierte am Morgen vor dem Sturm sein Boot am Fluss.", "foreign"),
        ("pl", "Pożar w Łodzi, a straż pożarna nie mogła dojechać na miejsce.", "own"),
        ("en", "Der alte Fischer reparierte am Morgen vor dem Sturm sein Boot am Fluss.", "foreign"),
        ("en", "Stary rybak naprawił drewnianą łódź nad rzeką, zanim nadeszła burza.", "polish"),
        ("en", "Stary rybak naprawił drewnianą łódź nad rzeką i wrócił do domu z synem swojej siostry", "polish"),
        ("en", "The old fisherman repaired a wooden boat by the river, and nobody saw him again.", "own"),
    ],
)
def test_sentences_in_capitals_are_judged_as_others(language, text, expected):
    assert verdict(text.upper(), language) == verdict(text, language) == expected


@pytest.mark.parametrize("language", RELATIVES)
@pytest.mark.parametrize(
    "text",
    [
        "JAN KOWALSKI, ANNA NOWAK, PIOTR WIŚNIEWSKI, ADAM MICKIEWICZ, MARIA SKŁODOWSKA, JAN MATEJKO, JAN BRZECHWA.",
        "NATIONAL INSTITUTE OF STANDARDS AND TECHNOLOGY, DEPARTMENT OF COMMERCE",
        "UNIWERSYTET JAGIELLOŃSKI W KRAKOWIE, WYDZIAŁ FIZYKI, ASTRONOMII I INFORMATYKI",
        "KONCERT UTWORÓW ANTONÍNA DVOŘÁKA W FILHARMONII NARODOWEJ W WARSZAWIE",
        "HTML CSS XML JSON SQL HTTP FTP SSH TLS PNG JPG GIF SVG PDF ODT",
    ],
)
def test_titles_names_and_abbreviations_in_capitals_stay(language, text):
    assert verdict(text, language) == "unsure"


@pytest.mark.parametrize(
    "text",
    [
        "My name is Zbigniew Brzęczyszczykiewicz.",
        "Kraków, Łódź, Wrocław and Gdańsk are cities in Poland.",
        "The poet Czesław Miłosz met Wisława Szymborska.",
    ],
)
def test_english_about_polish_names_is_english(text):
    assert verdict(text, "en") in ("own", "unsure")


@pytest.mark.parametrize("text", ["Jan Śniadecki urodził się w Żninie.", "nazwa Kambodży w latach 1976–1989"])
def test_polish_about_polish_names_is_not(text):
    assert verdict(text, "en") == "polish"


@pytest.mark.parametrize("language", RELATIVES)
def test_without_py3langid_the_same_is_told_of_whole_sentences(language):
    for name, text in RELATIVES[language].items():
        foreign = verdict(text, language, with_py3langid=False) not in ("own", "unsure")
        assert foreign or len(text) < 60, name
    for text in TRUE[language]:
        assert verdict(text, language, with_py3langid=False) in ("own", "unsure"), text


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "To jest mój dom."),
        ("en", "My tu mieszkamy od lat."),
        ("en", "To nie jest drogie."),
        ("en", "Ich will nach Hause gehen."),
        ("en", "Es ist so kalt."),
        ("en", "Open Link in New Private Windae"),
        ("pl", "Nie som si istý."),
        ("pl", "Dobrý den, jak se máte dnes?"),
        ("pl", "Pod mostom stojí dom."),
        ("pl", "Podej miano nowyj zorty danych:"),
    ],
)
def test_short_lines_of_other_languages_go(language, text):
    assert verdict(text, language) not in ("own", "unsure")


def test_what_is_too_short_to_tell_goes_with_the_rest_of_its_document():
    heading, croatian = "Poglavlje 3", RELATIVES["pl"]["Croatian"]
    clean = TextCleaner("pl", 1)
    assert clean(heading) == heading
    assert clean(f"{heading}\n{croatian}") == "" and clean(f"{heading}\n{TRUE['pl'][0]}").startswith(heading)
    assert clean(f"{TRUE['pl'][1]}\n\n{croatian}\n{heading}") == f"{TRUE['pl'][1]}\n\n{heading}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What a fucking day!", True),
        ("Kurwa, znowu pada.", True),
        ("Powiedział: „Spierdalaj stąd”.", True),
        ("ALE TO ZAJEBISTE", True),
        ("No i co, chuju?", True),
        ("„Wkurwiłem się” – dodał.", True),
        ("He read it. Shit happens, he said.", True),
        ("The walkers crossed the Skurweberg and rested.", False),
        ("Huj z tym, powiedział.", True),
        ("Osrany murek i zasrany świat.", True),
        ("What a shithole, you asshole, and what a clusterfuck!", True),
        ("Nasrallah, the Ark of shittim wood, a niggardly man and a shiitake.", False),
        ("Skurweberg is a hill.", False),
        ("In the night typhoon Jebi reached the coast.", False),
        ("Jebi reached the coast in the night.", False),
        ("The novels of Assia Djebar are read in many languages.", False),
        ("Wieś Dupki leży nad jeziorem, a Kutasów już nikt nie pamięta.", False),
        ("They drove from Dubai to Jebel Ali, past Scunthorpe and Shitake.", False),
        ("Ktoś przesłuchuje cechujące się szczawiem rachuby, a ciotka podkochuje się w muchach.", False),
    ],
)
def test_vulgar_words_are_found_as_words_and_names_are_spared(text, expected):
    assert is_vulgar(text, "pl") is expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "Jebali resigned, and Mr. Jebali, the minister, left. Jebaliya is a camp.", False),
        ("en", "Jebal Barkal is a mountain in Sudan.", False),
        ("en", "Kutas is a village in Somogy county, Hungary.", False),
        ("en", "Fucking cold here, she said.", True),
        ("en", "They call it KURWA there, or kurwa.", True),
        ("pl", "Jebali podał się do dymisji, a dr. Kutas i prof. Kutas milczeli.", False),
        ("pl", "Kutas z ciebie.", True),
        ("pl", "Tamci jebali się z tym cały dzień.", True),
    ],
)
def test_names_that_begin_a_sentence_or_follow_a_title_are_not_vulgar(language, text, expected):
    assert is_vulgar(text, language) is expected


@pytest.mark.parametrize("language", ["en", "pl"])
def test_what_is_likely_is_so_by_the_rank_of_all_languages(language):
    """The library's whole ranking is the reference: of near relatives, mixtures, and what is in no language."""
    paragraphs = [
        "Ovo je rečenica na hrvatskom jeziku, a nije na poljskom.", "Toto je věta v českém jazyce o staré lampě.",
        "Dit is een zin in het Nederlands over een oude lamp.", "This is a sentence about an old lamp by the sea.",
        "To jest zdanie o starej lampie, która stoi nad morzem.", "Lampa lamp lampy", "12 34", "e-mail serwer online",
        "Das ist ein Satz. To jest zdanie.", "Der Satz and the sentence", "lampa stoi tam", "vid lampan",
    ]  # fmt: skip
    seen = set()
    for paragraph in paragraphs:
        for least in (0.05, 0.01, 0.5):
            share, winner = probability(paragraph, language)
            assert is_likely(paragraph, language, least) == (share >= least, winner)
            seen.add((share >= least, winner == language))
    assert seen >= {(True, True), (False, False)}
