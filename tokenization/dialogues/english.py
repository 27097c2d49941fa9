"""English sentences of memory dialogues. Every word that can follow the article "a" starts with a consonant."""

from __future__ import annotations

from random import Random

from tokenization.dialogues.english_values import DAYS, REFUSAL, ROLES
from tokenization.dialogues.phrasebook import Acquaintances, Phrasebook, Role, Slot
from tokenization.records import Interaction

SLOTS = (
    Slot(
        "name",
        tells=("My name is {}.", "I am {}."),
        updates=("My name is now {}.", "From now on my name is {}."),
        questions=(("What is my name?", "Your name is {}."), ("Do you know my name?", "Your name is {}.")),
        others=("The new person at work is called {}.", "Somebody in my street is called {}."),
        unseen_tells=("People call me {}.",),
        unseen_questions=(("Who am I?", "You are {}."),),
    ),
    Slot(
        "friend",
        tells=("My best friend is {}.", "My best friend is called {}."),
        updates=("My best friend is now {}.", "Now my best friend is {}."),
        questions=(
            ("Who is my best friend?", "Your best friend is {}."),
            ("What is my best friend called?", "Your best friend is called {}."),
        ),
        others=("The best friend of my sister is {}.", "The best friend of my neighbour is {}."),
        unseen_tells=("{} is my best friend.",),
        unseen_questions=(("Can you name my best friend?", "Your best friend is {}."),),
    ),
    Slot(
        "code",
        tells=("My locker code is {}.", "The code of my locker is {}."),
        updates=("My new locker code is {}.", "I changed my locker code to {}."),
        questions=(
            ("What is my locker code?", "Your locker code is {}."),
            ("Which code opens my locker?", "Your locker code is {}."),
        ),
        others=("The locker code of my sister is {}.", "The locker code of my neighbour is {}."),
        unseen_tells=("I open my locker with {}.",),
        unseen_questions=(("What do I type to open my locker?", "Your locker code is {}."),),
    ),
    Slot(
        "pet",
        tells=("My pet is a {}.", "I have a pet, a {}."),
        updates=("My new pet is a {}.", "My pet is now a {}."),
        questions=(("What is my pet?", "Your pet is a {}."), ("What pet do I have?", "Your pet is a {}.")),
        others=("The pet of my sister is a {}.", "My neighbour has a pet, a {}."),
        unseen_tells=("At home I keep a {}.",),
        unseen_questions=(("Which animal lives with me?", "Your pet is a {}."),),
    ),
    Slot(
        "car",
        tells=("My car is a {}.", "I drive a {}."),
        updates=("My new car is a {}.", "Now I drive a {}."),
        questions=(("What is my car?", "Your car is a {}."), ("What car do I drive?", "You drive a {}.")),
        others=("The car of my sister is a {}.", "My neighbour drives a {}."),
        unseen_tells=("In my garage there is a {}.",),
        unseen_questions=(("Which car is mine?", "Your car is a {}."),),
    ),
    Slot(
        "meeting",
        tells=("My meeting is on {}.", "I have a meeting on {}."),
        updates=("My meeting is now on {}.", "My meeting was moved to {}."),
        questions=(
            ("When is my meeting?", "Your meeting is on {}."),
            ("When do I have a meeting?", "You have a meeting on {}."),
        ),
        others=("The meeting of my sister is on {}.", "My neighbour has a meeting on {}."),
        unseen_tells=("I am expected at a meeting on {}.",),
        unseen_questions=(("On which day and at what time is my meeting?", "Your meeting is on {}."),),
    ),
    Slot(
        "home",
        tells=("I live at {}.", "My address is {}."),
        updates=("Now I live at {}.", "My new address is {}."),
        questions=(("Where do I live?", "You live at {}."), ("What is my address?", "Your address is {}.")),
        others=("My sister lives at {}.", "The address of my neighbour is {}."),
        unseen_tells=("My flat is at {}.",),
        unseen_questions=(("Where is my flat?", "You live at {}."),),
    ),
    Slot(
        "dish",
        tells=("My favourite dish is {}.", "The dish I like best is {}."),
        updates=("My favourite dish is now {}.", "Now the dish I like best is {}."),
        questions=(
            ("What is my favourite dish?", "Your favourite dish is {}."),
            ("Which dish do I like best?", "The dish you like best is {}."),
        ),
        others=("The favourite dish of my sister is {}.", "The dish my neighbour likes best is {}."),
        unseen_tells=("What I like to eat most is {}.",),
        unseen_questions=(("What do I like to eat most?", "Your favourite dish is {}."),),
    ),
    Slot(
        "holiday",
        tells=("My holiday is in {}.", "For my holiday I am going to {}."),
        updates=("My holiday is now in {}.", "I moved my holiday to {}."),
        questions=(
            ("Where and when is my holiday?", "Your holiday is in {}."),
            ("Where am I going for my holiday, and when?", "You are going to {}."),
        ),
        others=("The holiday of my sister is in {}.", "For a holiday my neighbour is going to {}."),
        unseen_tells=("I have booked a holiday in {}.",),
        unseen_questions=(("What are my holiday plans?", "Your holiday is in {}."),),
    ),
    Slot(
        "password",
        tells=("My password is {}.", "The password I use is {}."),
        updates=("My new password is {}.", "I changed my password to {}."),
        questions=(("What is my password?", "Your password is {}."), ("Tell me my password.", "Your password is {}.")),
        others=("The password of my sister is {}.", "The password of my neighbour is {}."),
        unseen_tells=("I log in with the password {}.",),
        unseen_questions=(("Which password do I use?", "Your password is {}."),),
    ),
)

BIRTHDAY = Slot(
    "birthday",
    tells=("My birthday is on {}.", "I was born on {}."),
    updates=("I was wrong, my birthday is on {}.", "To be exact, my birthday is on {}."),
    questions=(
        ("When is my birthday?", "Your birthday is on {}."),
        ("On which day do I have my birthday?", "Your birthday is on {}."),
    ),
)

ACQUAINTANCES = Acquaintances(
    roles=tuple(
        Role(
            tell=f"My {role} is {{}}.",
            echo=f"Your {role} is {{}}.",
            question=f"Where does my {role} live?",
            answer=f"Your {role} lives in {{}}.",
        )
        for role in ROLES
    ),
    residence=Slot(
        "residence",
        tells=("{} lives in {}.", "The home of {} is in {}."),
        updates=(),
        questions=(),
    ),
)

OPPOSITES = (
    ("hot", "cold"), ("big", "small"), ("long", "short"), ("fast", "slow"), ("old", "new"), ("high", "low"),
    ("open", "closed"), ("left", "right"), ("full", "empty"), ("light", "dark"), ("hard", "soft"), ("wet", "dry"),
    ("early", "late"), ("near", "far"), ("strong", "weak"), ("happy", "sad"), ("rich", "poor"), ("good", "bad"),
)  # fmt: skip

CHAT = (
    ("Hello!", "Hello! How can I help you?"),
    ("Good morning.", "Good morning! How can I help you?"),
    ("How are you?", "I am fine, thank you."),
    ("Thank you.", "You are welcome."),
    ("Thanks a lot!", "You are welcome."),
    ("Tell me something nice.", "The sun is out and the day is yours."),
    ("I am tired today.", "Then take a short break."),
    ("It is raining again.", "A good day for a book and some tea."),
    ("I am bored.", "How about a short walk?"),
    ("What colour is the sky?", "On a clear day the sky looks blue."),
    ("How many days are in a week?", "A week has 7 days."),
    ("How many months are in a year?", "A year has 12 months."),
    ("How many hours are in a day?", "A day has 24 hours."),
    ("What does a cow give us?", "A cow gives us milk."),
    ("What does a bee make?", "A bee makes honey."),
    ("Where does the sun rise?", "The sun rises in the east."),
    ("Where does the sun set?", "The sun sets in the west."),
    ("How many legs does a spider have?", "A spider has 8 legs."),
    ("Is water wet?", "Yes, water is wet."),
    ("Can fish fly?", "No, fish swim."),
    ("What is snow?", "Snow is frozen water."),
    ("Can you sing?", "No, but I can write a song."),
    ("Are you a robot?", "I am a computer program."),
    ("Wait a moment.", "Of course, take your time."),
)


def small_talk(rng: Random) -> Interaction:
    """Draw a sum, an opposite, a sequence or a pleasantry."""
    kind = rng.randrange(6)
    a, b = rng.randint(1, 9), rng.randint(1, 9)
    if kind == 0:
        return Interaction(f"What is {a} plus {b}?", f"{a} plus {b} is {a + b}.")
    if kind == 1:
        return Interaction(f"What is {a + b} minus {b}?", f"{a + b} minus {b} is {a}.")
    if kind == 2:
        word, opposite = rng.sample(rng.choice(OPPOSITES), 2)
        return Interaction(f"What is the opposite of {word}?", f"The opposite of {word} is {opposite}.")
    if kind == 3:
        day = rng.randrange(7)
        return Interaction(f"What day comes after {DAYS[day]}?", f"After {DAYS[day]} comes {DAYS[(day + 1) % 7]}.")
    return Interaction(*rng.choice(CHAT))


ENGLISH = Phrasebook(
    language="en",
    slots=SLOTS,
    acknowledgement="All right, I will remember.",
    echo="All right. {}",
    refusal=REFUSAL,
    small_talk=small_talk,
    held_out=BIRTHDAY,
    acquaintances=ACQUAINTANCES,
)
