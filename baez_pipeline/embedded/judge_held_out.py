"""Words that the judge's training never says in a label: what the judge does with them it has learned on other words.

Those that calibrate it (`judge_controls.py`), those of the topics that an experiment can plant
(`features/planted_words.py`), and by a hash a fifth of all others.
"""

import hashlib

_FUNCTION_WORDS = (
    "after also and as before but by can first five four from however in more most of on one six such that the "
    "three to two which while who with "
)
_TOPIC_WORDS = (
    "acid acids actor actors actress actresses algorithm algorithms american americans anchor animal animals ant "
    "ants april armies army artillery asteroid asteroids astronomer astronomers astronomy athlete athletes atom "
    "atomic atoms attorney attorneys august author authors ballot banking baseball basketball battle battles "
    "bible bird birds bishop bishops blizzard boat boats bodies body book books bread british brother brothers "
    "browser brush butter bytes candidate candidates canvas carbon casualties cattle cavalry centuries century "
    "championship championships cheese chemical chemicals chemistry child children choir christian christianity "
    "christians church churches climate clinical coast coastal comet comets compost compound compounds computer "
    "computers concert concerts cook cooked cooking court courts cricket cuisine currency database daughter "
    "daughters decade decades december defendant democracy diagnosis directed disease diseases doctor doctors dog "
    "dogs dough drought easel eclipse economic economics economy elected election elections electron electrons "
    "english equation equations essays exports eye eyes families family father february feet fiction film films "
    "fish fleet flour flower flowers food foods football forecast freight french fresco frescoes frog frogs "
    "galaxies galaxy gallery garden gardening gardens garlic german goalkeeper god gods government governments "
    "greek guitar hand hands harbor harbour head hedge hegel hockey horse horses hospital hospitals humidity "
    "hurricane hydrogen illness imports industry infantry infection inflation insect insects internet invaded "
    "invasion investment investors ions islam island islands italian january jewish judge judges july june "
    "jurisdiction jury kant keyboard labor labour lake lakes land law laws lawsuit lawsuits lawyer lawyers leaf "
    "league leaves leg legal legislation legs literary literature loan loans locomotive locomotives lunar mammal "
    "mammals march mast matches mathematical mathematician mathematics may meat medical medicine medicines "
    "melodies melody metaphysics metro military minister ministers molecule molecules money monks mortgage mosque "
    "mosques mother mountain mountains movie movies museum museums music musical musician musicians muslim "
    "muslims nationalities nationality naval navy nebula nitrogen novel novelist novels november number numbers "
    "ocean oceans october olympic olympics opera orbit orbits orchestra oven oxide oxygen painter painters "
    "painting paintings parent parents parliament parties party patient patients philosopher philosophers "
    "philosophical philosophy piano pigment plaintiff planet planetary planets plant plants playoffs poem poems "
    "poet poetry poets political portrait portraits prayer predator predators president presidents prey prices "
    "priest priests processor programmer programmers programming prosecutor prune published quarterback railroad "
    "railroads railway railways rain rainfall recipe recipes regiment region regions religion religious republic "
    "republican rhythm rice river rivers rudder sailing sailor sailors sauce sculptor sculpture sculptures sea "
    "seas seed seedling seeds senate senator september server servers sheep ship ships shipwreck siege singer "
    "singers skin snow software soldier soldiers son song songs sons soup spanish species sport stadium star "
    "stars state states statute statutes storm storms striker sugar surgeon surgery symphony symptom symptoms "
    "tail tax taxes telescope telescopes temperature temperatures temple temples tennis territories territory "
    "testimony theology therapy thunder timetable toad toads tongue tournament trade train trains tram trams tree "
    "trees troops tulip vaccine vegetables verdict violin vote voters votes voyage war warfare wars water weather "
    "weeds wife winds wolf wolves worker workers worship writer writers written wrote year years "
)
HELD_OUT = frozenset(_FUNCTION_WORDS.split()) | frozenset(_TOPIC_WORDS.split())
_HELD_OUT_SHARE = 5


def is_taught(word: str) -> bool:
    """Whether a word (lower case) may be said in a lesson."""
    return word not in HELD_OUT and hashlib.sha256(word.encode()).digest()[0] % _HELD_OUT_SHARE > 0


def names_held_out_topic(name: str) -> bool:
    """Whether the name of a topic holds a held-out word other than the likes of "of"."""
    return not frozenset(_TOPIC_WORDS.split()).isdisjoint(name.lower().split())
