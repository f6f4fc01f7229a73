"""Regular expressions inside tokenizer.json: the library's engine backtracks, so those that would make it are refused.

What published tokenizers use is simple: alternatives of runs of character classes, with looks ahead. An engine
backtracks without end over a group that can match one text in several ways and is repeated. The grammar is Oniguruma's.
"""

MAX_EXPRESSION_CHARACTERS = 8192
_MAX_REPETITIONS = 100
#: A bounded repetition as long as this counts as an open-ended one.
_LONG = 16
_ODD_GROUPS = ("(?R", "(?&", "(?P", "(?(", "(?~", "(?<", "(?'", "(?@")
_LOOKS_BEHIND = ("(?<=", "(?<!")


def why_refused(expression: str) -> str | None:
    """What is wrong with an expression, or None."""
    if len(expression) > MAX_EXPRESSION_CHARACTERS:
        return f"is longer than {MAX_EXPRESSION_CHARACTERS} characters"
    # For each open group, whether it can match one text in several ways.
    groups, place, repetitions = [False], 0, 0
    while place < len(expression):
        closed = False
        character = expression[place]
        if reason := _refuse_here(expression, place):
            return reason
        if character == "(":
            groups.append(False)
            place += 1
            continue
        if character == ")" and len(groups) > 1:
            closed = groups.pop()
        groups[-1] = groups[-1] or closed or character == "|"
        varies, repeats, place = _read_repetition(expression, _behind(expression, place))
        if repeats and closed:
            return "repeats a group that can match one text in several ways"
        repetitions += repeats
        groups[-1] = groups[-1] or varies
    return f"repeats in more than {_MAX_REPETITIONS} places" if repetitions > _MAX_REPETITIONS else None


def _refuse_here(expression: str, place: int) -> str | None:
    following = expression[place + 1 : place + 2]
    if expression[place] == "\\" and (following.isdigit() or following in ("k", "g")):
        return "refers back to a group"
    is_odd = expression.startswith(_ODD_GROUPS, place) and not expression.startswith(_LOOKS_BEHIND, place)
    return "uses a group that is not plain" if is_odd else None


def _behind(expression: str, place: int) -> int:
    """The place behind one character, escape or bracketed class."""
    if expression[place] == "\\":
        has_braces = (
            expression[place + 1 : place + 2] in ("p", "P", "x", "u", "o") and expression[place + 2 :][:1] == "{"
        )
        return (expression.find("}", place) + 1 or len(expression)) if has_braces else place + 2
    return _behind_class(expression, place) if expression[place] == "[" else place + 1


def _behind_class(expression: str, place: int) -> int:
    """The place behind a bracketed class, classes inside it included."""
    depth = 0
    while place < len(expression):
        if expression[place] == "\\":
            place += 2
            continue
        opens = expression[place] == "["
        depth += opens - (expression[place] == "]")
        place += 1
        if depth == 0:
            break
        if opens:
            place += expression[place : place + 1] == "^"
            # A bracket that closes at once is a character of the class.
            place += expression[place : place + 1] == "]"
    return place


def _read_repetition(expression: str, place: int) -> tuple[bool, bool, int]:
    """Whether what stood before may be taken more or less often, whether without end, and the place behind that."""
    varies = repeats = False
    if expression[place : place + 1] in ("*", "+"):
        varies, repeats, place = True, True, place + 1
    elif expression[place : place + 1] == "{" and (end := expression.find("}", place)) > 0:
        least, comma, most = expression[place + 1 : end].partition(",")
        if least.isdigit() or most.isdigit():
            varies, repeats = bool(comma), (bool(comma) and not most) or int(most or least) > _LONG
            place = end + 1
    while expression[place : place + 1] in ("?", "+") and place < len(expression):
        varies, place = True, place + 1
    return varies, repeats, place
