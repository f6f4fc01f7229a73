"""What customers of a maker of smart-home devices write: per intent what happened, what they want, and short cries.

Patterns of cli.samples.grammar. A ticket's intent is what the customer wants, not what the story mentions first.
"""
# ruff: noqa: E501 -- a pattern broken over lines is harder to read than a long one

from dataclasses import dataclass


@dataclass(frozen=True)
class Intent:
    """Wording of one intent. `situations` tell what happened, `asks` what is wanted, `cries` do both in a few words.

    `neighbours` are intents whose stories plausibly lead to this intent's request: the hard tickets.
    """

    name: str
    situations: tuple[str, ...]
    asks: tuple[str, ...]
    cries: tuple[str, ...]
    neighbours: tuple[str, ...]


BILLING = Intent(
    "billing",
    (
        "(My|The|Our) (card|credit card|bank account|debit card) was charged (twice|two times|three times) (for|on account of) (order {order}|the {plan} plan|the {product}|the same month)",
        "(There is|I see|I just found) (a charge of|a payment of) {amount} on my statement (from {date}|) that I (don't recognise|cannot explain|never agreed to)",
        "The invoice (for {month}|{invoice}) says {amount}, but (the plan costs|I agreed to pay|your site says) {amount}",
        "(VAT|Sales tax|The tax) on invoice {invoice} (is wrong|is missing|was computed for the wrong country)",
        "I (entered|used|typed in) the voucher (code|) {voucher} and the discount (does not show|was never applied|is missing) on (the bill|my invoice)",
        "My payment (was declined|fails|is refused) (again and again|every time|since {date}) (although|even though) (the card is fine|my bank sees no problem|there is enough money on it)",
        "Our accounts department needs (a proper invoice|the company name on the invoice|an invoice with our VAT number) for order {order}",
        "The monthly fee (went up|rose|jumped) from {amount} to {amount} (without a word|without notice|and nobody told me)",
        "You (took|debited|collected) {amount} on {date} (although|and) my contract says (quarterly|yearly|monthly) payment",
    ),
    (
        "(Please|Could you|Can someone) explain (this charge|what this amount is for|how the bill was put together)",
        "(Please|Can you) send me a corrected (invoice|bill)",
        "What exactly am I (paying for|being billed for) (here|)?",
        "I want (the invoice|my bill|the amount) (corrected|checked|looked at)",
        "How do I (change|update|replace) the card (you charge|on file|that payments go to)?",
        "(Where|How) (can I get|do I find|do I download) (the invoice|a receipt) (for {month}|for order {order}|)?",
        "(Please|Kindly) move (our|my) payments to (bank transfer|direct debit|the new card)",
        "Why is (the bill|this month's invoice|the total) higher than (agreed|last month|it says on the website)?",
    ),
    (
        "double charge on my card",
        "wrong amount on invoice {invoice}",
        "what is this {amount} payment??",
        "need receipt for order {order}",
        "payment declined again",
        "invoice for {month} please",
        "why was i billed {amount}",
        "new credit card, where do i enter it",
    ),
    ("cancellation", "plan_change", "refund"),
)

REFUND = Intent(
    "refund",
    (
        "I (sent|returned|mailed) the {product} back (on {date}|two weeks ago|last month|more than {days} days ago) and (have not seen|am still missing|nobody has paid back) (my money|the {amount}|a single cent)",
        "The {product} (is not|isn't|was not) what (I expected|was described|the pictures showed), so (it goes back to you|I am returning it|I packed it up again)",
        "(Your colleague|An agent|{name} from support|Someone on the phone) promised (me|us) (my money back|to reimburse {amount}|a credit of {amount}) (by {date}|within {days} days|)",
        "I (bought|ordered) (two|2|three) of the {product} by mistake and (have sent one back|returned the extra one|don't need the second)",
        "The return (centre|warehouse|desk) (confirmed|signed for) the parcel (on {date}|{days} days ago), (yet|but) (nothing was credited|my balance is unchanged)",
        "(The price|It) dropped by {amount} (the day after|two days after|right after) I bought the {product}",
        "(I was|We were) told that the {product} is (out of stock|discontinued|no longer made) (after|although) I (had paid|paid {amount})",
    ),
    (
        "(I want|I would like|Please give me) my money back",
        "(When|On which day) (will|do) I get (my money|the {amount}|the reimbursement)?",
        "(Please|Kindly|Could you) (refund|reimburse|pay back) (the full amount|{amount}|what I paid) (to my card|to my account|)",
        "How long does (a refund|getting the money back|the reimbursement) (take|usually take)?",
        "(Please|Can you) confirm that (the refund|my reimbursement) (is under way|has been approved|was issued)",
        "How do I (return it|send it back) and (get|claim) (my money|the purchase price)?",
        "(Either|Kindly) (credit|return) the difference (of {amount}|) (to me|to my card|)",
    ),
    (
        "money back please",
        "refund for order {order}?",
        "still waiting for my {amount} back",
        "where is my refund",
        "want to return the {product} for a refund",
        "reimburse me",
        "item went back {days} days ago, no money yet",
    ),
    ("delivery", "fault", "billing", "cancellation"),
)

CANCELLATION = Intent(
    "cancellation",
    (
        "(I|We) (no longer|hardly ever|do not) (need|use) (the subscription|the {plan} plan|your service|the {product})",
        "(I am|We are) (moving abroad|selling the house|switching to another company|closing the office) (at the end of {month}|in {month}|soon)",
        "The (trial|test month|free period) (ends|runs out) on {date} and I (do not want|don't wish) to go on",
        "I ordered the {product} (this morning|an hour ago|yesterday) and (have changed my mind|found it cheaper|picked the wrong colour)",
        "My (mother|father|aunt|late husband) had (a contract|the {plan} plan) with you and (passed away|has moved to a care home)",
        "(The contract|My subscription|Our agreement) (renewed itself|was prolonged) (on {date}|for another year|without my consent)",
        "I (clicked|pressed|tapped) (the stop button|unsubscribe|end contract) (several times|on {date}|) and (still|) (get|receive) (renewal mails|reminders)",
    ),
    (
        "(Please|Kindly|) (cancel|end|terminate) (my subscription|the contract|my membership|everything) (as of {date}|at once|at the earliest date|)",
        "How (can|do) I (get out of|end|stop) (the contract|this subscription|my membership)?",
        "(Please|) (stop|cancel) order {order} (before it ships|before it leaves the warehouse|)",
        "(I|We) (hereby|) (give notice|withdraw from the contract) (as of {date}|)",
        "(Please|Can you) (confirm|tell me) (the date when|when) (the contract|my subscription) ends",
        "(I want|I'd like) to (close|delete) my account (for good|and all my data|altogether)",
        "What is (the notice period|the last day to give notice)?",
        "Don't renew (it|my plan|the subscription) (again|in {month}|), please",
    ),
    (
        "cancel please",
        "cancel order {order}",
        "how to unsubscribe",
        "stop my subscription now",
        "end contract {date}",
        "please delete my account",
        "i quit",
    ),
    ("billing", "delivery", "plan_change", "fault"),
)

DELIVERY = Intent(
    "delivery",
    (
        "(My parcel|The package|Order {order}|The {product} I bought) (has not arrived|is {days} days late|was due on {date}|never turned up)",
        "(Tracking|The tracking page|The courier's site) (says|shows|insists on) '(delivered|in transit|handed over|returned to sender)' (since {date}|), but (nothing is here|my letter box is empty|nobody came)",
        "I (moved|am moving) to {city} and the (order|parcel|shipment) (goes|would go) to (the old|my former|the wrong) address",
        "(The courier|The driver|Your carrier) (left|dumped|threw) (the box|the parcel) (in the rain|with a stranger|over the fence|at a shop in {city})",
        "The box (arrived|came) (open|crushed|empty|soaked), (the {product}|one item|the charger) is missing",
        "I (got|received) (somebody else's order|a {product} instead of the {product}|only half of order {order})",
        "(Nobody|No one) rang the bell, (yet|but) there was a card saying (we were out|delivery was attempted)",
    ),
    (
        "Where is (my parcel|my order|it|the package) (now|)?",
        "When (will it|does the parcel|can I expect it to) (arrive|get here|reach {city})?",
        "(Please|Could you) (send|ship) it (again|once more|to {city} instead|by express)",
        "Can (the address|the drop-off point|the delivery day) still be changed (to {city}|)?",
        "(Please|Can you) (find out|ask the carrier) where (it got stuck|it is|the driver left it)",
        "(Please|) (give|send) me (the|a working) tracking (number|link)",
        "(Please|Kindly) send (the missing part|the missing item|the right one) (soon|this week|before {date}|)",
        "Do you (deliver|ship) to {city} (on Saturdays|by {date}|)?",
    ),
    (
        "parcel not here",
        "where is order {order}",
        "tracking link dead",
        "wrong item in the box",
        "package lost?",
        "deliver to {city} instead pls",
        "its been {days} days, no {product}",
        "delivery date??",
    ),
    ("refund", "billing", "cancellation"),
)

SIGN_IN = Intent(
    "sign_in",
    (
        "(I|My wife|Our technician) (cannot|can't) (log in|sign in|get into the account) (since {date}|any more|on the {device}|)",
        "The (reset|password) (mail|link|e-mail) (never arrives|is expired when I open it|goes to an old address)",
        "The (code|six digits|security code) (from the app|by text message|from the authenticator) (is always rejected|comes too late|does not work)",
        "(I lost|My son broke|I sold) the phone (with|that had) the (authenticator|two-factor codes|login app) on it",
        "(The page|The app|Your site) says my account is (locked|blocked|suspended) (after too many attempts|for security reasons|)",
        "I (got|received) a (mail|message|warning) about a (login|new device) from {city} and that (was not|wasn't) me",
        "The e-mail address of (my account|our login) (no longer exists|belongs to a colleague who left|has a typo)",
    ),
    (
        "(Please|Could you) (unlock|reset|restore) (my account|the login|my access)",
        "How do I (get back in|reset the password|get access again)?",
        "(Please|Can you) (switch off|remove|reset) (two-factor|the second factor|2FA) (for me|)",
        "(Please|) (send|mail) (me|) (a new|another) (reset link|password|code)",
        "How can I change the (mail address|phone number|user name) I (log in|sign in) with?",
        "(Has (my account|it) been hacked|Is (my account|it) (safe|in strange hands))?",
        "I need (access|to get in) (today|before {date}|urgently)",
    ),
    (
        "cant log in",
        "password reset mail not coming",
        "account locked",
        "2fa code rejected",
        "forgot my user name",
        "locked out since {date}",
        "login loop on {device}",
        "who logged in from {city}??",
    ),
    ("fault", "billing", "how_to"),
)

FAULT = Intent(
    "fault",
    (
        "(The|My|Our) {product} (keeps|started) (restarting|blinking red|losing the wifi|beeping|rattling) (since {date}|every night|after the update|)",
        "(The app|Your app|Version {version}) (crashes|freezes|closes|shows a white page) (when I open it|on my {device}|as soon as I tap the {product}|)",
        "(The|My) {product} (does not|doesn't|won't) (turn on|charge|connect|react to the button|respond) (any more|at all|since {date}|)",
        "(All|Some of) (the automations|my schedules|the sensors) (stopped working|run at the wrong hour|vanished) (on {date}|after version {version}|)",
        "(The screen|The display|The cover|A button) of the {product} (cracked|went black|came off|flickers) (after {days} days|by itself|)",
        "(We get|It shows|I see) (error|code) {error} (whenever|each time) (I start a recording|the heating comes on|I press sync|it goes online)",
        "The battery of the {product} (is empty|dies|is flat) (after an hour|overnight|within {days} days)",
    ),
    (
        "(How can|Can) (this|it) be (repaired|fixed|mended)?",
        "(Please|) (fix|repair) (this|it|that bug) (soon|quickly|)",
        "(What|Anything) (can I do|else I can try) to make it (work|run|stay online) again?",
        "Is (this|that) a known (bug|problem|defect)?",
        "(Please|Could you) (send a technician|have someone look at it|look into the logs)",
        "(I need|Please send) a (working replacement|new device|replacement under warranty)",
        "I (already|) (restarted it|reset it|reinstalled the app) (twice|three times|), (no change|it did not help|same thing)",
    ),
    (
        "{product} dead",
        "app crashes on {device}",
        "error {error}",
        "it stopped working",
        "{product} offline all the time",
        "broken after {days} days",
        "update {version} broke everything",
        "strange noise from the {product}",
    ),
    ("how_to", "sign_in", "delivery"),
)

HOW_TO = Intent(
    "how_to",
    (
        "(I just|We just|Yesterday I) (unpacked|set up|installed|mounted) (the|our first) {product}",
        "(The manual|The quick guide|Your help page) (says nothing about|is not clear on|skips) (sharing with guests|the night mode|pairing two of them|the timer)",
        "(I would like|We want|My plan is) to (use|put|run) the {product} (outdoors|in the nursery|with a {device}|in our holiday flat in {city})",
        "(I have|There are) (two|three|four) (of the {product}|devices) (at home|in the office) (and a {device}|)",
        "My (parents|neighbours|flatmates) should (also|be able to) (see|control|use) the {product}",
        "(I am thinking about|We consider) (buying|getting) a {product} (for {city}|for the office|)",
    ),
    (
        "How (do I|can I|does one) (connect|pair|link) (it|the {product}) (with|to) (a {device}|my {device}|the neighbour's network)?",
        "(Is it|Would it be) possible to (set a schedule|mute it at night|share it with guests|export the recordings)?",
        "Where (do I find|is) the (setting|option|menu) for (night mode|the timer|the temperature unit|notifications)?",
        "Does the {product} (work|get along) with (a {device}|older routers|5 GHz wifi|power cuts)?",
        "(Which|What) (cable|battery|mounting plate|adapter) (does it need|fits the {product}|should I use)?",
        "(Can you|Could someone) (explain|walk me through|show me) (the first steps|the set-up|how sharing works)?",
        "What is the (difference between|advantage of) the {product} (and|over) the {product}?",
        "(How many|What number of) (devices|users|rooms) (can|may) (one account|the app|it) (have|handle)?",
    ),
    (
        "how to pair {product} with {device}",
        "manual for {product}?",
        "does {product} work with {device}",
        "where is night mode",
        "change language in app how",
        "is the {product} waterproof",
        "how to add a second user",
    ),
    ("fault", "plan_change", "sign_in"),
)

PLAN_CHANGE = Intent(
    "plan_change",
    (
        "(We|I) (are|am) on the {plan} plan (since {month}|) and (it has become too small|it is more than we need|the storage is full)",
        "(Our team|The family|Our office) (grew|has grown|shrank) to {days} people",
        "(I saw|There is) (the|your) (new|) {plan} (plan|offer) (on the website|in the newsletter|) (for {amount}|)",
        "(We|I) (need|want) (more storage|longer recordings|just one camera|fewer seats|yearly payment) (from {month} on|)",
        "(A friend|My colleague {name}) (has|pays for) the {plan} plan (and is happy|with more seats|)",
        "(After|During) the summer (we|I) (use|need) (only half of it|much more|nothing but the basics)",
    ),
    (
        "(Please|Could you|Can you) (switch|move|change) (me|us|my account) (from {plan} to {plan}|to the {plan} plan|to yearly)",
        "(How|Where) (do|can) (I|we) (upgrade|downgrade|change the plan) (to {plan}|)?",
        "What (would|does) (the {plan} plan|an upgrade|one more seat) cost (us|per month|)?",
        "(Can|May) (I|we) (add|remove) (two|three|some) (seats|users|cameras) (to|from) (the plan|our {plan} plan)?",
        "(Is|Will) (the rest of the month|what I already paid) (be credited|taken into account) (when|if) I (switch|upgrade)?",
        "(Do we|Would I) (keep|lose) (the recordings|our history|my discount) (when|if) (we|I) (go|move|change) (down to|to) {plan}?",
        "(Please|) (put|set) (us|me) (on|to) {plan} (as of {date}|starting {month}|)",
    ),
    (
        "upgrade to {plan}",
        "switch from {plan} to {plan} please",
        "smaller plan?",
        "add {days} seats",
        "more storage please",
        "downgrade as of {month}",
        "difference {plan} / {plan}?",
        "monthly to yearly",
    ),
    ("cancellation", "billing", "how_to"),
)

INTENTS = (BILLING, CANCELLATION, DELIVERY, FAULT, HOW_TO, PLAN_CHANGE, REFUND, SIGN_IN)

#: Too little to tell one intent from another; the label is one that fits.
VAGUE = (
    ("(still|) waiting(...| for {days} days|, {name})", ("delivery", "refund")),
    ("(my|the) subscription (again|, see my last mail|!!)", ("cancellation", "plan_change", "billing")),
    ("{product} - (no reaction|nothing happens|what now?)", ("fault", "how_to", "delivery")),
    ("(any|no) news (about|on) order {order}(?|)", ("delivery", "refund", "cancellation")),
    ("(it|this) (does not|doesn't) work on my {device}", ("fault", "sign_in", "how_to")),
    ("{amount} (?|!!|- really?)", ("billing", "refund")),
    (
        "(I want|want) to change (something|things) (in|about) my (account|contract)",
        ("plan_change", "sign_in", "cancellation"),
    ),
    ("(wrong|not what I ordered), order {order}", ("delivery", "refund", "billing")),
)
