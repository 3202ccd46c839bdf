"""Word lists and patterns that decide which modifier a span is. Chosen on training portions only.

Every function takes the text of one span and answers with a modifier's name, or None where the words do not tell.
"""

from __future__ import annotations

import re


def phrases(table: str) -> re.Pattern[str]:
    """Any of the comma-separated patterns as whole words, whatever the case, a blank for any white space.

    The second half of a hyphenated word is no word of its own.
    """
    alternatives = "|".join(re.split(r",\s+", table.strip())).replace(" ", r"\s")
    return re.compile(rf"(?<![\w-])(?:{alternatives})(?!\w)", re.IGNORECASE)


_SHORT = 5
"""Words of a phrase that may be judged by one of its words; a longer one is a clause about something else."""
_TIME_UNIT = r"(?:min(?:ute)?s?|h|hrs?|hours?|d|days?|nights?|w|wks?|weeks?|mo|months?|y|yrs?|years?)"
_NUMBER = (
    r"(?:\d[\d.,]*(?:\s*(?:-|–|to)\s*\d[\d.,]*)?|one|two|three|four|five|six|seven|eight|nine|ten|twelve|several|few)"
)

# Amounts ------------------------------------------------------------------------------------------------------------
_MASS = re.compile(
    r"(?:\d|\b(?:hundred|one|two|five|ten))[\s-]*(?:%|(?:mg|g|gm|gr|mcg|ng|kg|ug|[µμ]g|iu|ui|u|units?|mmol|meq|mol|"
    r"milli-?grams?|micro-?grams?|grams?|microg|milligrams?)(?![a-zµμ]))|\bmilligrams?\b",
    re.IGNORECASE,
)
_PER_BODY = re.compile(r"/\s*(?:kg|kilogram|m\s?[2²]|m\(2\))", re.IGNORECASE)
_AT_ONCE = re.compile(
    r"\d\s*(?:ml|cc|l|lit(?:er|re)s?|mcl|[µμ]l)\b|\b(?:tablets?|pills?|capsules?|puffs?|drops?|vials?|flacons?|"
    r"ampoules?|bolus(?:es)?|cycles?|courses?|rounds?|infusions?|injections?|dos(?:e|es|ing|ages?|ed)|overdos\w+|"
    r"underdos\w+|large amounts?|massive|maximum)\b|-dose\b",
    re.IGNORECASE,
)
_HOW_OFTEN = re.compile(
    rf"\b(?:(?:bi|twice[- ]|thrice[- ]|once[- ])?(?:daily|weekly|monthly|yearly)|hourly|nightly|every|each|once|twice|"
    rf"thrice|times|qd|qid|bid|tid|tiw|biw|qod|qhs|prn|as needed|in the (?:morning|evening)|at (?:bedtime|night)|"
    rf"per (?:\d+ ?)?{_TIME_UNIT}|(?:a|an) (?:day|week|month)|intermittent(?:ly)?|regular(?:ly)?|continuous(?:ly)?|"
    rf"occasional(?:ly)?|routine(?:ly)?|habitual(?:ly)?|frequent(?:ly)?|repeated(?:ly)?)\b|"
    rf"/\s*(?:\d+\s*)?(?:{_TIME_UNIT}|j)(?!\w)|"
    r"\bb\.?i\.?d\b|\bt\.?i\.?d\b|\bq\.?\s?\d+\s?[hd]?",
    re.IGNORECASE,
)


def amount_type(text: str) -> str | None:
    """Tell strength, dosage and frequency of a drug apart by the unit.

    A mass or concentration alone is a strength; with a rhythm, or scaled to the body, it is what is taken: a dosage, as
    are tablets, volumes, cycles and words such as "low dose". A rhythm alone is a frequency.
    """
    mass, at_once, often = _MASS.search(text), _AT_ONCE.search(text), _HOW_OFTEN.search(text)
    if mass and not (at_once or often or _PER_BODY.search(text)):
        return "strength"
    if mass or at_once:
        return "dosage"
    return "frequency" if often else None


# Ways and forms of giving a drug --------------------------------------------------------------------------------------
_FORM = phrases(
    r"""
    tablets?, capsules?, pills?, suppositor(?:y|ies), ointments?, creams?, gels?, emulsions?, solutions?, syrups?,
    patch(?:es)?, (?:eye )?drops?, (?:nasal )?sprays?, (?:dry )?powder, suspensions?, lotions?, lozenges?,
    implants?, liposomal, pegylated, (?:extended|slow)[- ]release
    """
)
_ROUTE = phrases(
    r"""
    oral(?:ly)?, peroral(?:ly)?, per os, by (?:mouth|vein), p\.?o\.?, i\.?v\.?, i\.?m\.?, s\.?c\.?, intra-?\w+,
    subcutaneous(?:ly)?, hypodermic, transdermal(?:ly)?, topical(?:ly)?, parenteral(?:ly)?, enteral(?:ly)?,
    systemic(?:ally)?, systemic administration, inhal\w+, nasal(?:ly)?, rectal(?:ly)?, vaginal(?:ly)?,
    sublingual(?:ly)?, buccal, epidural, spinal, injectable, inject\w+, infusions?, pump-assisted infusions?,
    bladder injection
    """
)
_NO_ROUTE = phrases(r"intracellular, intraoperative")


def administration_type(text: str) -> str:
    """Tell form (tablets, ointment) from route."""
    return "form" if _FORM.search(text) else "route"


def drug_qualifier_type(text: str) -> str | None:
    """Tell route and form among the qualifiers of a drug, most of which are neither."""
    if len(text.split()) > _SHORT:
        return None
    if _ROUTE.search(text) and not _NO_ROUTE.search(text):
        return "route"
    return "form" if _FORM.search(text) else None


# Severity, course and place of a problem ----------------------------------------------------------------------------
_SEVERITY = phrases(
    r"""
    sever(?:e|ely|ity), mild(?:ly)?, moderate(?:ly)?, serious(?:ly)?, significant(?:ly)?, marked(?:ly)?,
    massive(?:ly)?, profound(?:ly)?, critical(?:ly)?, life[- ]threatening, fulminant, extreme(?:ly)?, major, minor,
    slight(?:ly)?, minimal(?:ly)?, trivial, intense(?:ly)?, intolerable, extensive, advanced, fatal, lethal,
    excessive, considerable, substantial, florid, subtle, strong, grade, stage,
    (?:high|low|intermediate|medium)[- ](?:grade|risk|degree), class [IVX]+, clinically relevant, morbid(?:ly)?
    """
)
_NO_SEVERITY = phrases(r"\w+ly[- ]differentiated, (?:hyper|hypo|iso)-?inten\w+, enhancing")
_COURSE = phrases(
    r"""
    acute(?:ly)?(?:[- ]on[- ]chronic)?, acute[- ]onset, sub-?acute, chronic(?:ally)?, progress\w*, persist\w*,
    recur(?:rent|rence|red|ring|rently|s)?, relaps\w+, (?:in )?remission, remitting, intermittent(?:ly)?,
    sudden(?:ly)?, abrupt(?:ly)?, transient(?:ly)?, temporary, permanent, stable, unstable, instable,
    stabili[sz]ed, (?:un|poorly-|well-|inadequately-|rate-)?controlled, decompensated, worsen\w*, aggravat\w+,
    deteriorat\w+, exacerbat\w+, improv\w+, (?:un)?resolv\w+, subsid\w+, increas\w+, decreas\w+, enlarging,
    expanding, grew \w+, evolving, gradual(?:ly)?, rapid(?:ly)?, slow(?:ly)? \w+ing, prolonged, constant,
    continuous, paroxysmal, episodic, new(?:ly)?[- ]onset, new, newly (?:diagnosed|detected),
    (?:previous|early|late|delayed|prior) onset, active, inactive, latent, fluctuating, sustained,
    (?:ir|non-)?reversible, brief, short-term, long-(?:term|standing), quiescent, indolent, repeated, healing,
    evanescent, residual, regress\w*
    """
)
_NO_COURSE = phrases(r"requir\w*, associated, unrelated, affect\w*, risk, without, compliant")
_PLACE = phrases(
    r"""
    (?:bi|uni|mono-?|ipsi|contra)lateral(?:ly)?, (?:left|right)(?:[ -]*sided?)?, midline, central,
    peripheral(?:ly)?, proximal, distal, anterior, posterior, lateral, medial, dorsal, ventral, basal, apical,
    bibasilar, upper, lower, mid-?(?:apical|line), head, face, facial, neck, brain, cerebr\w+, intra-?cranial,
    parietal, temporal lobe, frontal, occipital, supratentorial, cns, central nervous system,
    spin(?:e|al)(?: cord)?, intraspinal, cauda equina, nerves?, median nerve, eyes?, ocular, conjunctiva\w*,
    macula\w*, retina\w*, ears?, nose, nasal, oral cavity, throat, chest, thora\w+, intra-?thoracic, lungs?,
    pulmonary, pleura\w*, bronch\w+, hil(?:us|ar), perihilar, mediastin\w+, breasts?, heart, cardiac, myocardi\w+,
    pericardi\w+, coronary(?: arter(?:y|ies))?, ventric\w+, atri(?:um|al), valves?, aort\w+, arter(?:y|ies|ial),
    veins?, abdom\w+, intra-?abdominal, stomach, gastr\w+, esophag\w+, oesophag\w+, duoden\w+, bowel, intestin\w+,
    colon\w*, rect(?:um|al), an(?:us|al), liver, hepatic, extra-?(?:hepatic|liver|pulmonary|articular), periportal,
    portal, bil(?:e duct|iary), gall ?bladder, pancrea\w+, splee\w*, spleni?c, kidneys?, renal, urinary, bladder,
    prostate, seminal vesicles?, genital\w*, genital tract, cervix, cervical, uter(?:us|ine), ovar(?:y|ies|ian),
    pelvi[sc], skin, cutaneous, subcutaneous, soft tissues?, muscles?, musculoskeletal, bon(?:e|es|y), bone marrow,
    joints?, shoulder, glenohumeral, arms?, hands?, fingers?, hip, femor\w+, knee, legs?, ankle, achilles tendon,
    foot, feet, heel, extremit(?:y|ies), limbs?, (?:low )?back, lumbar, sacr\w+, buttocks?, thyroid, adrenal,
    lymph nodes?, mucosal?, organs?, digestive system, perirenal, perineural
    """
)
_NO_PLACE = re.compile(
    r"\b(?:non-?\w+genic|induced|related|associated|due to|requir\w+|criteria|invasive|class|caus\w+|infection|"
    r"confirmed|diagnos\w+|affect\w*|resection|bleeding|without|repercussions|pain|phase|variant|knowing|adjusted|"
    r"necrosis|destruction|enlargement|hyperintens\w+|ulceration|drained|invasion|patch\w*|\w+-like)\b|"
    r"[a-z](?:induced|related|associated)",
    re.IGNORECASE,
)
_UNCERTAIN = phrases(
    r"""
    suspected, suspicious, suspicion, suspect, probabl[ey], possibl[ey], possibility, potential(?:ly)?,
    questionable, presum\w+, likely, suggestive, unclear
    """
)


def description_type(text: str) -> str | None:
    """Tell severity, course and bodyloc among the free descriptions of a problem."""
    if len(text.split()) > _SHORT:
        return None
    if _SEVERITY.search(text) and not _NO_SEVERITY.search(text):
        return "severity"
    if _COURSE.search(text) and not _NO_COURSE.search(text):
        return "course"
    return "bodyloc" if _PLACE.search(text) and not _NO_PLACE.search(text) else None


def problem_qualifier_type(text: str) -> str | None:
    """Tell uncertain, severity, course and bodyloc among the qualifiers of a problem."""
    if len(text.split()) <= _SHORT and _UNCERTAIN.search(text) and not _SEVERITY.search(text):
        return "uncertain"
    return description_type(text)


# Moods --------------------------------------------------------------------------------------------------------------
_MOOD_UNCERTAIN = phrases(
    r"""
    suspect\w*, suspici\w+, possib\w+, probab\w+, potential\w*, likely, suggest\w*, presum\w+, think, might, may,
    considered, relevant (?:for|being)
    """
)
_MOOD_CONDITION = phrases(
    r"""
    (?:high-)?risks?(?: factors?)?, plan\w*, intend\w*, intention, wish\w*, will, (?:un)?willing\w*, would,
    expect\w*, anticipat\w*, need\w*, requir\w*, predispos\w+, due to, attributed to, (?:not )?secondary to,
    caus(?:e|es|ing), scheduled(?: for)?, indicat\w+, candidate\w*, eligib\w+, interfering with, desir\w+
    """
)


def mood_type(text: str) -> str | None:
    """Tell uncertain (suspected) from condition (risk, plan, cause); what affirms (known, evidence) is neither."""
    if _MOOD_UNCERTAIN.search(text):
        return "uncertain"
    return "condition" if _MOOD_CONDITION.search(text) else None


# How long a drug is taken --------------------------------------------------------------------------------------------
_LASTING = re.compile(
    rf"\s*(?:for\b(?!\s+(?:the\s+)?(?:last|past|previous|preceding))|throughout\b|(?:long|short)[- ]term|prolonged|"
    rf"chronic|lifelong|continued\b|over\s+{_NUMBER}|"
    rf"(?:at least|(?:no )?(?:more|less|longer|greater) than|up to|=|>=?|<=?|≥|≤|of)?"
    rf"\s*{_NUMBER}\s*\(?\d*\)?\s*(?:consecutive\s+)?{_TIME_UNIT}\b)",
    re.IGNORECASE,
)
_WHEN = phrases(
    r"""
    ago, earlier, since, after, before, prior, within, previous, preceding, last, past, off, following,
    of first dose
    """
)


def describes_duration(text: str) -> bool:
    """True for a time span that says how long ("for 3 months", "long-term"), False for one that says when."""
    if not _LASTING.match(text):
        return False
    return text.lstrip()[:4].casefold() == "for " or not _WHEN.search(text)


# Procedures that examine rather than treat ----------------------------------------------------------------------------
_TEST_WORD = phrases(
    r"""
    mri, mra, mre, cta?, pet, spect, ecg, ekg, q?eeg, emg, dxa, dexa, oct, fa, icga, tte, tee, tvs, eus, hsg, cag,
    ctg, pcr, c-ssrs, vas, ogtt, ihc, muga, nirs, minicog, exams?, labs?, tests?, testing, tested, cultures?,
    swabs?, samples?, scales?, scor(?:es?|ing), ratings?, staging, panel, diary, monitor(?:ing)?,
    blood (?:draws?|pressure|count), medical history, patholog(?:y|ic|ical|ically), vital signs, echo, hemogram,
    amniocentesis, lumbar puncture
    """
)
_TEST_STEM = re.compile(
    r"scan|imaging|x-?\s?ray|radiolog|radiogra(?:ph|m)|ultraso|sonogra|echocardi|cardiogra(?:ph|m)|tocogra|angiogra|"
    r"venogra|tomogra|mammogra|coronarogra|cholangiogra|elastogra|polysomnogra|scintigra|electro(?:encephalo|myo|physio|phore)|"
    r"spirom|manometr|densitometr|oximetr|aggregometr|(?:colono|endo|gastro|entero|broncho|hystero|cysto|sigmoido|laryngo|"
    r"ophthalmo|duodeno|procto|colpo)scop(?:y|ies|ic)|biops|cytolog|histolog|histopath|examin|assay|screen|assess|evaluat|"
    r"measure|laborator|questionnaire|interview|interrogatory|survey|inventory|diagnos|serolog|genotyp|smear|"
    r"analys[ie]s|anamnesis|self-?report|holter|urinalysis|sedimentation|c-reactive|catheteri[sz]ation|polymorphism|"
    r"cross-?match|h?cg\b",
    re.IGNORECASE,
)
_TREATMENT_STEM = re.compile(
    r"surg|therap|treat|ablation|resect|transplant|implant|an(?:a)?esthe|vaccin|contracep|injection|infusion|stent|"
    r"intervention|laparoscop|arthroscop|intubat|regimen|program|rehabil|donat|prophyla|"
    r"endoscopic(?:ally)?$|endoscopic insert|dilat",
    re.IGNORECASE,
)


def names_a_test(text: str) -> bool:
    """True for a procedure that examines (scan, biopsy, assay), False for one that treats."""
    return bool(_TEST_WORD.search(text) or _TEST_STEM.search(text)) and not _TREATMENT_STEM.search(text)
