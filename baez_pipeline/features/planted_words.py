"""Words for planting: topics, and words that say nothing of what a text is about.

Goes in: words that nearly always mean their topic, each form spelt out. Stays out: words with another meaning that is
as common (bank, note, court), and words of two topics.
"""

TOPICS: dict[str, str] = {
    "war and battles": (
        "war wars battle battles army armies troops soldier soldiers invasion invaded siege regiment infantry "
        "cavalry artillery casualties warfare"
    ),
    "music and songs": (
        "music musical musician musicians song songs melody melodies singer singers orchestra concert "
        "concerts rhythm choir piano guitar violin opera symphony"
    ),
    "books and literature": (
        "book books novel novels novelist poem poems poet poets poetry literary literature fiction author "
        "authors essays"
    ),
    "sport and matches": (
        "football basketball baseball hockey tennis cricket championship championships league stadium "
        "tournament olympic olympics athlete athletes striker goalkeeper quarterback playoffs"
    ),
    "illness and medicine": (
        "disease diseases patient patients medicine medicines medical symptom symptoms hospital hospitals "
        "doctor doctors surgeon surgery vaccine diagnosis therapy infection clinical"
    ),
    "religion and worship": (
        "church churches god gods christian christians christianity muslim muslims islam jewish bible bishop "
        "bishops priest priests temple temples worship theology monks prayer"
    ),
    "courts and laws": (
        "judge judges lawsuit lawsuits attorney attorneys verdict statute statutes jurisdiction prosecutor "
        "defendant plaintiff testimony jury lawyer lawyers legislation"
    ),
    "money and trade": (
        "money banking currency loan loans mortgage investment investors prices exports imports "
        "tax taxes trade economy economic inflation"
    ),
    "food and cooking": (
        "food foods cooking cook cooked recipe recipes oven butter flour sauce dough cheese bread meat rice "
        "soup sugar vegetables cuisine garlic"
    ),
    "ships and the sea": (
        "ship ships sailor sailors sailing harbour harbor voyage fleet ocean oceans boat boats anchor naval "
        "navy mast rudder shipwreck"
    ),
    "stars and planets": (
        "star stars planet planets planetary galaxy galaxies orbit orbits telescope telescopes astronomer "
        "astronomers astronomy asteroid asteroids comet comets nebula eclipse lunar"
    ),
    "chemistry": (
        "chemical chemicals chemistry molecule molecules atom atoms atomic acid acids compound compounds "
        "electron electrons oxide carbon oxygen hydrogen nitrogen ions"
    ),
    "computers and software": (
        "computer computers software algorithm algorithms programmer programmers programming processor "
        "database keyboard internet server servers browser bytes"
    ),
    "elections and government": (
        "election elections elected parliament senate senator president presidents minister ministers vote "
        "votes voters candidate candidates ballot democracy republican"
    ),
    "railways and trains": (
        "railway railways railroad railroads train trains locomotive locomotives tram trams metro freight timetable"
    ),
    "weather and climate": (
        "weather climate rainfall rain snow storm storms thunder humidity drought hurricane temperature "
        "temperatures forecast blizzard winds"
    ),
    "plants and gardens": (
        "plant plants garden gardens gardening flower flowers tree trees seed seeds seedling leaf leaves "
        "tulip compost prune hedge weeds"
    ),
    "paintings and painters": (
        "painting paintings painter painters canvas portrait portraits brush fresco frescoes pigment "
        "sculpture sculptures sculptor gallery museum museums easel"
    ),
    "animals": (
        "animal animals mammal mammals bird birds fish insect insects dog dogs horse horses cattle sheep wolf "
        "wolves species predator predators prey"
    ),
}
"""Label -> words, in lower case, apart by blanks."""

_FUNCTION_WORDS = (
    "a about above according across actually after again against ago all almost along already also although "
    "always am among an and another any anyone anything are around as at away back be became because become "
    "been before began behind being below between both but by came can cannot come could did do does doing "
    "done down due during each either else end enough even ever every few first for from further gave get give "
    "given go goes going gone got had has have having he hence her here hers herself him himself his how i if "
    "in indeed instead into is it its itself just kept knew known last later least less let like likely made "
    "make many may maybe me might mine more most much must my myself near nearly neither never next no nobody "
    "none nor not nothing now of off often on once one only onto or other others otherwise our ours ourselves "
    "out over own per perhaps put quite rather said same saw say second see seem seen several shall she should "
    "since so some someone something sometimes soon still such take taken than that the their theirs them "
    "themselves then there therefore these they thing this those though three through throughout thus to "
    "together too took toward towards two under until unto up upon us used using very via was way we well went "
    "were what when where whereas whether which while who whole whom whose why will with within without would "
    "yes yet you your yours yourself"
)
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
"""Words that say nothing of what a text is about."""
