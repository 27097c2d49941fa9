"""What identifies a person is found, counted and masked; numbers of other kinds stay."""

import time

import pytest

from tokenization.cleaning.pii import PII, is_iban, is_pesel, masked


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Pisz: jan.kowalski+x@poczta.onet.pl, proszę.", "Pisz: <EMAIL_ADDRESS>, proszę."),
        ("żółw@przykład.pl i a_b@sub.domain.co.uk", "<EMAIL_ADDRESS> i <EMAIL_ADDRESS>"),
        ("Tel. 22 123 45 67 lub +48 501-234-567.", "Tel. <PHONE_NUMBER> lub <PHONE_NUMBER>."),
        ("(22) 123-45-67, 501 234 567; kom.: 501234567", "<PHONE_NUMBER>, <PHONE_NUMBER>; kom.: <PHONE_NUMBER>"),
        ("601.234.567, tel.: 501.234.567.", "<PHONE_NUMBER>, tel.: <PHONE_NUMBER>."),
        ("(202) 555-0143, 202-555-0143, +44 20 7946 0958", "<PHONE_NUMBER>, <PHONE_NUMBER>, <PHONE_NUMBER>"),
        ("call 5551234567 or +1 (202) 555-0143", "call <PHONE_NUMBER> or <PHONE_NUMBER>"),
        ("PL61 1090 1014 0000 0712 1981 2874 NIP", "<IBAN_CODE> NIP"),
        ("konto 61109010140000071219812874, GB82WEST12345698765432", "konto <IBAN_CODE>, <IBAN_CODE>"),
        ("DE89-3704-0044-0532-0130-00 ok", "<IBAN_CODE> ok"),
        ("PESEL 44051401359 (02270800362)", "PESEL <PL_PESEL> (<PL_PESEL>)"),
    ],
)
def test_masked(text, expected):
    assert masked(text, PII)[0] == expected


@pytest.mark.parametrize(
    "text",
    [
        "user@localhost, @nick, a @ b, 5 @ 3.99",
        "PESEL 44051401358 has a wrong check digit, and 44991401359 a wrong month.",
        "PL61 1090 1014 0000 0712 1981 2875 is no account.",
        "ISBN 978-83-240-1234-5, 12 345 678 people, 1 234 567 890, 600 000 000 zł, $500 000 000",
        "500.000.000 ludzi, 601.234.567 zł, 601.234.567.890, 10.601.234.567, 601.234-567, 1.601.234",
        "2026-11-28 17:35:00, 192.168.1.100, 3.14159265358979, 1024 768 1024, 10:00-12:00, 1999-2026",
        "kod 4182, nr 123/2020, ul. Lipowa 12, 00-950 Warszawa, version 1.2.3-4567-8901",
    ],
)
def test_other_signs_and_numbers_stay(text):
    assert masked(text, PII) == (text, dict.fromkeys(PII, 0))


def test_what_is_not_to_be_masked_is_counted_once():
    text = "a@b.pl, PL61109010140000071219812874, 44051401359, +48 501 234 567"
    assert masked(text, ()) == (text, dict.fromkeys(PII, 1))
    assert masked(text, ("pesel",))[0] == text.replace("44051401359", "<PL_PESEL>")


def test_of_places_that_overlap_the_first_kind_counts_wherever_it_stands():
    text = "tel. 44051401359, GB82WEST12345698765432, tel. 501234567, a@b.pl, +48 44 05 14 01 359"
    masks = "tel. <PL_PESEL>, <IBAN_CODE>, tel. <PHONE_NUMBER>, <EMAIL_ADDRESS>, <PHONE_NUMBER>"
    assert masked(text, PII) == (masks, {"email": 1, "phone": 2, "iban": 1, "pesel": 1})


@pytest.mark.parametrize("one", ["jan{}@wp.pl ", "600 700 800, ", "tel. 1234567, "])
def test_many_places_take_time_in_proportion(one):
    text = "".join(one.format(n) for n in range(20_000))
    begin = time.process_time()
    assert sum(masked(text, PII)[1].values()) == 20_000
    assert time.process_time() - begin < 2


def test_check_digits():
    assert is_pesel("44051401359") and not is_pesel("44051401395")
    assert is_iban("GB82 WEST 1234 5698 7654 32") and not is_iban("GB82 WEST 1234 5698 7654 33")
