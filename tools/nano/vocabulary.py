"""Token inventory of the nano checkpoint: Gemma 4's special tokens and the words of its tasks.

The control tokens keep the ids they have in Gemma 4 (0-4, 46-52, 98-106); the media tokens come
last, as they do there. Every other low id is filled with ordinary tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

CONTROL_TOKEN_IDS: dict[str, int] = {
    "<pad>": 0,
    "<eos>": 1,
    "<bos>": 2,
    "<unk>": 3,
    "<mask>": 4,
    "<|tool>": 46,
    "<tool|>": 47,
    "<|tool_call>": 48,
    "<tool_call|>": 49,
    "<|tool_response>": 50,
    "<tool_response|>": 51,
    '<|"|>': 52,
    "<|think|>": 98,
    "<|channel>": 100,
    "<channel|>": 101,
    "<|turn>": 105,
    "<turn|>": 106,
}

MEDIA_TOKENS: tuple[str, ...] = (
    "<|image>",
    "<|audio>",
    "<|image|>",
    "<|audio|>",
    "<image|>",
    "<audio|>",
    "<|video|>",
)

SPACE = "\u2581"
"""SentencePiece's visible space; the tokenizer writes it for every ' '."""

COLOURS = ("red", "green", "blue", "yellow", "orange", "purple")
SHAPES = ("circle", "square", "triangle", "cross")

WORDS = tuple(
    """
    apple river stone cloud garden window silver morning castle forest bridge candle market
    dragon pepper violin summer winter harbor island meadow ocean planet rocket shadow temple
    thunder valley village whisper wonder anchor basket butter camera cotton desert doctor
    engine falcon feather flower guitar hammer honey jacket kettle ladder lemon lantern mirror
    monkey needle orchid oyster paper pencil pillow pirate pocket pumpkin puzzle rabbit ribbon
    saddle salmon sailor singer spider spring spoon station sugar sunset table teacher tiger
    tomato tower train tunnel turtle velvet wagon walnut water whale wheel willow wizard yogurt
    zebra bread chair clock dance eagle earth field flame glass grape horse house juice knife
    light metal moon music night north onion paint piano queen quiet radio robot salad sheep
    smile snake snow south storm story sweet sword tooth torch truck uncle voice wheat world
    young bold brave bright calm clever cold curious dark early fast fresh gentle giant golden
    happy heavy hidden hungry kind large lazy little lonely loud lucky merry mighty narrow old
    plain proud quick rich round sharp shiny short silent slow small soft strong tall tiny warm
    wild wise
    """.split()
)

NAMES = tuple(
    """
    Ada Alan Alice Amir Anna Ben Bob Carla Chen Clara Daniel Diego Elena Emma Eva Fatima Felix
    Grace Hana Hugo Ines Ivan Jack Jane Jonas Julia Karim Kate Leo Lena Liam Lucy Maria Max Maya
    Mia Nadia Nina Noah Nora Olga Omar Oscar Paul Petra Raj Rosa Ruth Sam Sara Sofia Tom Uma
    Vera Victor Wanda Yuki Zoe
    """.split()
)

CITIES = tuple(
    """
    Paris London Rome Madrid Berlin Vienna Lisbon Oslo Dublin Prague Athens Cairo Delhi Tokyo
    Seoul Lima Boston Chicago Denver Dallas Toronto Sydney Nairobi Lagos Accra Tunis Riga Tallinn
    Helsinki Warsaw Budapest Zagreb Geneva Munich Naples Porto Kyoto Osaka Hanoi Manila
    """.split()
)

EMOJI = tuple(
    "\U0001f600 \U0001f602 \U0001f60d \U0001f60e \U0001f622 \U0001f44d \U0001f389 \U0001f525 "
    "\U0001f680 \U0001f31f \U0001f308 \U0001f30d \U0001f33b \U0001f340 \U0001f34e \U0001f355 "
    "\U0001f36a \U0001f382 \U0001f3b5 \U0001f3c6 \U0001f40d \U0001f41d \U0001f422 \U0001f433 "
    "\U0001f436 \U0001f431 \U0001f98a \U0001f984 \U0001f4a1 \U0001f4da".split()
)

LETTERS_ABROAD = tuple(
    "caf\u00e9 na\u00efve \u00fcber ni\u00f1o \u00e5r \u00f8re gar\u00e7on m\u00f6we "
    "\u65e5\u672c \u4e16\u754c \u6c34 \u5c71 \u732b \u6771\u4eac \u4f60\u597d "
    "\u041c\u0438\u0440 \u0434\u0430 \u03b1\u03b2\u03b3 \u03c0".split()
)

PROMPT_WORDS = tuple(
    """
    user model system thought call response declaration description parameters properties
    required type value city minutes title name STRING OBJECT NUMBER INTEGER true false
    get_weather get_time set_timer find_book weather time timer book query location
    Repeat Reverse Copy Say What Which Name Describe Count Write Tell Give Set Find Look How
    Please Who Where When List Spell Read Listen Watch Look
    the The this This these These is are was were a A an in of to and for from with by on at it
    It me my My your Your you You I me after word words phrase exactly backwards order reverse
    repeat copy say times twice numbered list numbers number up count counting
    colour colours color colors shape shapes object image picture photo see shown drawn video
    appear appears order clip frames audio digits digit dialled dialed phone tones hear heard
    capital France Italy Spain Japan Germany Egypt many days week year hours day legs spider
    has have opposite hot freezes freezing boils boiling planet closest largest sun sky clear
    first last second third comes come longest Hello Hi Nice meet Noted remember forget again
    code secret name called please Thanks thank now current right there here do does did will be
    sunny rainy cloudy windy snowy degrees o'clock noon midnight set ready done found
    wants asks asked looking answer called sounds pieces look at out user's should one by
    Current Finds Sets Get Gets tool tools helpful assistant You're short brief concise answers
    think thinking step carefully
    Mercury Jupiter Monday January seven eight twelve twenty-four cold blue ice melts
    noise tone segments changes then plus minus equals two three four five six nine ten zero
    hello yes no okay
    """.split()
)

PHRASE_ASCII = [chr(code) for code in range(33, 127)]


@dataclass(frozen=True)
class Vocabulary:
    """Tokens in id order with their Unigram scores; `special` holds the control and media ones."""

    entries: tuple[tuple[str, float], ...]
    special: frozenset[str]

    def id_of(self, token: str) -> int:
        """Id of `token`; ValueError if it is not in the vocabulary."""
        return [entry[0] for entry in self.entries].index(token)


def _ordinary_tokens() -> list[tuple[str, float]]:
    # One word token must beat its letters in Unigram's Viterbi search, and a letter a byte.
    letter, word, byte = -8.0, -4.0, -12.0
    words = dict.fromkeys((*PROMPT_WORDS, *COLOURS, *SHAPES, *WORDS, *NAMES, *CITIES))
    entries = [(char, letter) for char in ("\n", SPACE, *PHRASE_ASCII)]
    entries += [(SPACE + digit, word) for digit in "0123456789"]
    entries += [(f"<0x{value:02X}>", byte) for value in range(256)]
    for text in words:
        if len(text) > 1:
            entries.append((text, word))
        entries.append((SPACE + text, word))
    # One token a number lets the model see by a single match where counting ends.
    entries += [(f"{SPACE}{number}", word) for number in range(10, 100)]
    return entries


def build_vocabulary() -> Vocabulary:
    """Lay the ordinary tokens around the fixed control ids, then the media tokens."""
    ordinary = iter(_ordinary_tokens())
    by_id = {token_id: token for token, token_id in CONTROL_TOKEN_IDS.items()}
    entries: list[tuple[str, float]] = []
    while True:
        if (control := by_id.get(len(entries))) is not None:
            entries.append((control, 0.0))
        elif (entry := next(ordinary, None)) is not None:
            entries.append(entry)
        else:
            break
    entries += [(token, 0.0) for token in MEDIA_TOKENS]
    return Vocabulary(tuple(entries), frozenset((*CONTROL_TOKEN_IDS, *MEDIA_TOKENS)))
