"""Who writes and how: words that fill slots, greetings, asides, tempers and typing mistakes."""
# ruff: noqa: E501 -- a pattern broken over lines is harder to read than a long one

import random
from collections.abc import Callable

from cli.samples.grammar import Slot

_PRODUCTS = (
    "Lumo lamp",
    "Nova thermostat",
    "Pico camera",
    "Aria speaker",
    "Vento fan",
    "Terra sprinkler",
    "Porta doorbell",
    "Klar air purifier",
    "Sento motion sensor",
    "Rolo blinds",
    "Brisk kettle",
    "Hydra leak detector",
    "Tempo alarm clock",
    "camera",
    "thermostat",
    "doorbell",
    "speaker",
    "smart plug",
)
_NAMES = (
    "Amira",
    "Jonas",
    "Mrs Okafor",
    "Li Wei",
    "Paula",
    "Mr Haddad",
    "Sofie",
    "Tomasz",
    "Ines",
    "Ravi",
    "Greta",
    "Yusuf",
    "Marta Nilsen",
    "D. Kowalczyk",
    "Bea",
    "Oleg",
    "Fatou",
    "Kenji",
    "Rosa M.",
    "Callum",
)
_CITIES = (
    "Leeds",
    "Porto",
    "Gdansk",
    "Lyon",
    "Malmö",
    "Cork",
    "Graz",
    "Turin",
    "Ghent",
    "Tampere",
    "Seville",
    "Bath",
    "Basel",
    "Utrecht",
    "Brno",
)
_PLANS = ("Basic", "Plus", "Family", "Studio", "Business", "Premium", "Starter")
_DEVICES = ("iPhone", "Pixel", "tablet", "old laptop", "Windows PC", "smart TV", "MacBook", "Galaxy", "Fritz router")
_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "October", "November")
_VOUCHERS = ("SPRING", "WELCOME", "HOME", "FRIEND", "SAVE")


def _one_of(words: tuple[str, ...]) -> Slot:
    return lambda rng: rng.choice(words)


def _amount(rng: random.Random) -> str:
    value = rng.choice((rng.uniform(3, 30), rng.uniform(30, 400)))
    return rng.choice(("${:.2f}", "{:.2f} EUR", "£{:.0f}", "{:.0f} euros", "€{:.2f}")).format(value)


def _date(rng: random.Random) -> str:
    day, month = rng.randint(1, 28), rng.choice(_MONTHS)
    weekday = rng.choice(("Monday", "Tuesday", "last Friday", "Thursday", "the weekend"))
    return rng.choice((f"{day} {month}", f"{month} {day}", f"{day}/{rng.randint(1, 12)}", weekday))


SLOTS: dict[str, Slot] = {
    "product": _one_of(_PRODUCTS),
    "name": _one_of(_NAMES),
    "city": _one_of(_CITIES),
    "plan": _one_of(_PLANS),
    "device": _one_of(_DEVICES),
    "month": _one_of(_MONTHS),
    "amount": _amount,
    "date": _date,
    "order": lambda rng: f"{rng.choice(('#', '', 'no. '))}{rng.randint(10_000, 99_999)}",
    "invoice": lambda rng: f"{rng.choice(('INV-', 'R', ''))}{rng.randint(2_000, 9_999)}",
    "voucher": lambda rng: f"{rng.choice(_VOUCHERS)}{rng.choice((10, 15, 20))}",
    "version": lambda rng: f"{rng.randint(3, 6)}.{rng.randint(0, 14)}",
    "error": lambda rng: f"{rng.choice('EFT')}{rng.randint(10, 99)}",
    "days": lambda rng: str(rng.randint(3, 25)),
}

GREETINGS = (
    "",
    "",
    "",
    "",
    "Hi,",
    "Hello,",
    "Hi there,",
    "Dear team,",
    "Good morning,",
    "Hey",
    "To whom it may concern,",
    "Hello {name},",
    "Hi, {name} here.",
    "Good evening, my name is {name}.",
)
ASIDES = (
    "I have been a customer for {days} years and never had to write before.",
    "This is the (second|third) time I write.",
    "I am writing on behalf of my (neighbour|mother|landlord).",
    "(Sorry|Apologies) for the long mail.",
    "My customer number is {order}.",
    "I (bought|got) my {product} (in {month}|in {city}|as a present).",
    "The chat bot was (no help|useless|quite polite, but no help).",
    "I (called|phoned) twice and (hung up after|waited) {days} minutes.",
    "(In general|Otherwise) we are happy with the {product}.",
    "I already wrote to {name} about this.",
    "Our {plan} plan runs under the name {name}.",
    "I am on the train, so please forgive the brevity.",
)
CLOSINGS = (
    "",
    "",
    "",
    "",
    "Thanks!",
    "Thank you, {name}",
    "Regards, {name}",
    "Best, {name}, {city}",
    "Please hurry.",
    "Cheers",
    "I expect an answer by {date}.",
    "Many thanks in advance.",
    "Sent from my {device}",
    "This is getting ridiculous.",
)
#: From a story that is over to the real concern.
BRIDGES = (
    ", but (that is settled|this has been solved|never mind that) (by now|already|). (My real question:|Now|What I write for today:)",
    ". (That part is fine now|Your colleague took care of that|Forget about it). (Something else:|Another thing:|Instead:)",
)


def mistype(text: str, rng: random.Random) -> str:
    """Swap, drop, double or miss a letter in one to three places inside words."""
    for _ in range(rng.randint(1, 3)):
        places = [index for index in range(1, len(text) - 2) if text[index : index + 2].isalpha()]
        if not places:
            return text
        text = rng.choice(_SLIPS)(text, rng.choice(places))
    return text


_SLIPS: tuple[Callable[[str, int], str], ...] = (
    lambda text, at: text[:at] + text[at + 1] + text[at] + text[at + 2 :],
    lambda text, at: text[:at] + text[at + 1 :],
    lambda text, at: text[: at + 1] + text[at:],
)


def set_temper(text: str, rng: random.Random) -> str:
    """Careless, shouting or worked-up writers; most leave a text as it is."""
    mood = rng.random()
    if mood < 0.16:
        return text.lower().replace("'", "")
    if mood < 0.20:
        return text.upper()
    if mood < 0.27:
        return text.rstrip(".?!") + rng.choice(("!!!", "???", "?!", " :(", "..."))
    if mood < 0.31:
        return text.replace(". ", ", ").replace("Please", "pls").replace("please", "pls")
    return text
