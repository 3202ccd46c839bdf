"""Words and number patterns for the 16 modifiers, and for the fillers that are never annotated.

Keys are `type` or `type/lexicon`. `CORE` words belong to every world and part: mostly single words that no clinician
avoids. `WORDS` are split by position; `PATTERNS` are expanded (`<2-9>` a whole number, `<a|b>` a choice) and split by
their text.
"""

from __future__ import annotations

CORE: dict[str, str] = {
    "severity": "mild; moderate; severe",
    "negation": "no; without; negative for; not",
    "negation/verb": "denies; denied",
    "negation/stop": "stopped; held",
    "negation/hold": "hold; stop",
    "uncertain": "possible; suspected; likely; probable",
    "course": "worsening; stable; improving; progressive; acute; chronic",
    "course/after": "worsening; stable; improving; progressive",
    "subject": "mother; father",
    "bodyloc": "abdomen; chest; head",
    "bodyloc/adj": "abdominal; left; right",
    "temporal": "today; yesterday; currently",
    "frequency": "daily; once daily; BID; twice daily; weekly; PRN",
    "route": "oral; IV; PO",
    "route/word": "orally; intravenously",
    "form": "tablet; tablets; capsule",
    "labvalue/image": "normal; unremarkable",
    "labvalue/qual": "positive; negative",
    "labvalue/word": "normal; elevated; high; low",
}

WORDS: dict[str, str] = {
    "severity": """
        marked; slight; minimal; profound; very severe; mild to moderate; significant; moderately severe; extreme;
        trace; intense; debilitating; low-grade; high-grade; massive; excruciating; small; large; life-threatening;
        severe-grade; considerable; borderline; tolerable; unbearable; subtle; gross; mild-moderate; heavy;
        disabling; serious; critical; tense; advanced; end-stage; fairly bad; very mild; fatal; extensive;
        worst-ever; pronounced; moderate to severe; light; troublesome; substantial; dull but strong; modest;
        violent; faint; crippling; barely noticeable
        """,
    "condition": """
        on exertion; when lying flat; after meals; with deep inspiration; at rest; on standing;
        when climbing stairs; during exercise; after eating fatty food; with movement; in cold weather;
        on weight bearing; while coughing; when swallowing; upon waking; with stress; after alcohol;
        when turning the head; on palpation; with bright light; during intercourse; after missed doses;
        while walking uphill; when bending forward; if dehydrated; with prolonged sitting; on bearing down;
        in crowded places; when off medication; after heavy lifting; during menses; with exposure to pollen;
        on passive flexion; if fasting; when reading; on deep palpation; after hot showers; with valsalva;
        while driving at night; on looking down; with minimal activity; when straining; in the supine position;
        after prolonged standing; if the dose is missed; while chewing; upon rising quickly; on dialysis days;
        with loud noise; during infusion
        """,
    "uncertain": """
        presumed; questionable; query; may represent; concerning for; suspicious for; suggestive of; cannot exclude;
        cannot rule out; presumptive; potential; working diagnosis of; perhaps; consistent with; could be;
        differential includes; in keeping with; suspicion of; thought to be; might be; compatible with; apparently;
        not entirely excluded; most likely; equivocal for; possibly; unclear whether; ?; rule out; r/o;
        indicative of; raising the question of; worrying for; favoured to be; seems to be; at risk of; potentially;
        believed to be
        """,
    "uncertain/adj": """
        presumed; questionable; presumptive; potential; apparent; putative; conceivable; provisional; alleged;
        equivocal; ?; tentative; doubtful; assumed; query; hypothetical; plausible; r/o
        """,
    "subject": """
        maternal grandmother; sister; brother; paternal uncle; maternal aunt; daughter; paternal grandfather;
        half-brother; grandfather; twin sister; cousin; elder brother; mother's side; younger sister; son;
        grandmother; maternal uncle; nephew; first-degree relatives; paternal aunt; both parents; father's brother;
        first cousin; maternal grandfather; niece; siblings; mum; dad; husband; wife; partner; two brothers;
        three sisters; paternal grandmother; great-aunt; family; eldest son; mother's cousin; several relatives;
        uncle; neonate; donor; late father; biological mother; stepbrother; identical twin
        """,
    "course": """
        recurrent; persistent; intermittent; resolving; rapidly progressive; gradually worsening; new-onset;
        relapsing; waxing and waning; longstanding; episodic; slowly improving; subacute; constant; unchanged;
        transient; self-limiting; fluctuating; refractory; continuous; sudden-onset; steadily increasing;
        recalcitrant; ongoing; well-controlled; poorly controlled; insidious; paroxysmal; unresolved; residual;
        increasing; decreasing; resolved; evolving; fulminant; smouldering; quiescent; new; protracted; abrupt;
        spontaneous; lifelong; migratory
        """,
    "course/after": """
        unchanged; slowly resolving; persisting; well controlled; much improved; deteriorating; resolved completely;
        waxing and waning; getting worse; better; in remission; quiescent; progressing; controlled on treatment;
        no better; relapsing; settling; stationary; increasing; going away; recurring; under control; constant;
        fading; rapidly progressing; almost gone; ongoing; poorly controlled; gradually subsiding; intermittent;
        decreasing; on the mend; accelerating; not settling; burnt out; fully recovered
        """,
    "bodyloc": """
        back; neck; groin; throat; scalp; lower back; epigastrium; perineum; jaw; sternum; umbilicus; tongue; face;
        trunk; oral cavity; palms; lung bases; lower limbs; nape; oropharynx; upper arms; pelvis; spine; hands;
        soles; thoracic spine; flank; suprapubic region; skin; mediastinum; RUQ; LLQ; RLQ; temporal region; lungs;
        liver; gums; legs; brainstem; buttocks; right iliac fossa; upper extremities; joints; precordium;
        nasal bridge; small intestine; colon; sacrum; frontal lobe; scrotum; lymph nodes; aortic arch; calves;
        L4-L5; medulla; pancreatic head
        """,
    "bodyloc/paired": """
        knee; shoulder; hip; lower leg; flank; wrist; ankle; lower lobe; breast; kidney; eye; forearm; elbow;
        upper quadrant; calf; hand; foot; thigh; ear; iliac fossa; lung base; upper lobe; adnexa; temple; cheek;
        heel; big toe; axilla; orbit; inguinal region; parietal lobe; temporal lobe; atrium; ventricle;
        femoral neck; hemithorax; index finger; ovary; testis; carotid artery; costophrenic angle; scapula; buttock;
        middle ear; maxillary sinus; ring finger; renal artery; nostril; eyelid; MCA territory
        """,
    "bodyloc/adj": """
        lumbar; epigastric; retrosternal; thoracic; cervical; bilateral; frontal; suprapubic; perianal; facial;
        hepatic; renal; pelvic; periorbital; occipital; lower abdominal; upper; generalised; inguinal; sacral;
        nasal; left-sided; right-sided; temporal; bibasal; intracranial; pulmonary; axillary; plantar; cardiac;
        gastric; cerebral; bilateral lower limb; pretibial; right upper quadrant; left flank; central; mandibular;
        subcutaneous; umbilical; substernal; oral; pedal; diffuse abdominal; colonic; perioral; paraspinal; scalp;
        distal; proximal
        """,
    "negation": """
        absence of; free of; no evidence of; negative; absent; ruled out; never; neither; no signs of; lack of;
        no further; nil; denies any; no longer; has not had; no history of; excluded; does not have; non;
        failed to show; no known; none; nor; no sign of; clear of; rather than; no residual; no recurrence of;
        no new; unlikely; no definite; no complaint of; no acute
        """,
    "negation/pre": """
        no evidence of; absence of; free of; no signs of; lack of; no further; nil; no history of; no sign of;
        clear of; never any; no known; no residual; no new; no recurrence of; no definite; no complaint of;
        no acute; neither; devoid of; no obvious; no current; zero; not had; no features of; no overt; no clinical;
        no suggestion of
        """,
    "negation/verb": """
        does not report; reports no; does not complain of; refutes; had no; has no; does not endorse; has not had;
        never had; not aware of; did not notice; has never experienced; endorses no; did not have;
        does not describe; declares no; was free of; admits to no; negates; noted no; has been spared; mentions no;
        not bothered by; remains free of
        """,
    "negation/post": """
        absent; ruled out; not seen; excluded; not present; negative; not found; was not observed; denied;
        not demonstrated; not noted; none; not identified; not detected; not evident; unremarkable for;
        not visualised; has been excluded; nil; not suspected; not appreciated; -ve; not reported; never documented
        """,
    "negation/off": """
        not taking; off; not on; no longer taking; not using; without; never on; no longer on; not receiving;
        weaned off; not currently on; not prescribed; currently off; taken off; not yet on; not treated with;
        not tolerant of; never given; not given; not offered
        """,
    "negation/stop": """
        held; stopped; discontinued; withheld; declined; refused; never started; not given; omitted;
        contraindicated; ceased; withdrawn; not tolerated; not prescribed; not indicated; not administered;
        deferred; cancelled; put on hold; not continued; not required; avoided; not restarted; not tried; suspended;
        interrupted; terminated; abandoned; not used; not taken
        """,
    "negation/hold": """
        hold; avoid; stop; do not give; withhold; discontinue; d/c; no; omit; cease; no further; no more; refuse;
        do not restart; cancel; pause; never give; suspend; do not use; come off; no need for; not for; leave out;
        steer clear of
        """,
    "temporal": """
        last night; this morning; last week; on admission; in childhood; at birth; recently; postoperatively;
        since adolescence; overnight; now; last month; previously; at discharge; on arrival; over the weekend;
        on day one; at presentation; in the past; last winter; since surgery; prior; a fortnight ago; earlier today;
        during pregnancy; in her teens; the day before yesterday; last spring; since the accident;
        prior to admission; at the last visit; the following morning; intraoperatively; shortly after birth;
        on waking today; at follow-up; this week; in early adulthood; since retirement; after discharge;
        the next day; initially; at baseline; before surgery; within the past year; until last summer; afterwards;
        since yesterday evening; in the emergency department; on the third postoperative day; one hour later;
        the previous evening; upon admission
        """,
    "temporal/when": """
        last night; this morning; last week; on admission; overnight; postoperatively; last month; at discharge;
        on arrival; earlier today; over the weekend; at presentation; last winter; a fortnight ago;
        prior to admission; at the last visit; last spring; this week; at follow-up; the day before yesterday;
        on the second day; the following morning; at baseline; the next day; before surgery; after discharge;
        last autumn; on the third day; an hour later; upon admission; the previous evening; after the procedure;
        in recovery; at the clinic last time
        """,
    "duration": """
        a week; two weeks; a month; life; three days; ten days; six months; five days; a fortnight; one year;
        four weeks; several months; two doses only
        """,
    "frequency": """
        nightly; every morning; TID; QID; at bedtime; qhs; q.d.; b.i.d.; three times a day; as needed;
        every other day; nocte; qAM; t.i.d.; four times daily; od; bd; tds; monthly; with meals; hourly;
        before breakfast; at night; twice a week; on alternate days; once a week; mane; QD; p.r.n.; every evening;
        in the morning; q.i.d.; qds; every night; up to twice a day; three times weekly; each morning; qPM;
        with each meal; five times a day; after dialysis; fortnightly; once a month; continuous; after each feed;
        QOD; stat; once; yearly; twice per day; per day
        """,
    "route": """
        subcutaneous; IM; topical; intranasal; sublingual; inhaled; SC; rectal; transdermal; intramuscular; p.o.;
        SL; per os; ophthalmic; PR; intravenous; intrathecal; subcut; vaginal; nebulised; by mouth; i.v.; buccal;
        intravitreal; via PEG; intra-articular; under the tongue; SQ; epidural; NG; otic; enteral; i.m.;
        intradermal; via nebuliser; per rectum; intraperitoneal; IVP; intraosseous; per nasogastric tube
        """,
    "route/word": """
        subcutaneously; by mouth; intramuscularly; topically; under the tongue; rectally; intranasally;
        through the feeding tube; via nebuliser; per os; sublingually; by inhalation; transdermally; into the eye;
        parenterally; via central line; by injection; vaginally; per rectum; intrathecally; via the PEG;
        under the skin; into both eyes; by slow infusion
        """,
    "form": """
        capsules; suspension; syrup; ointment; patch; inhaler; drops; extended-release tablet; injection; cream;
        solution; suppository; gel; oral solution; spray; ER; lozenge; powder; elixir; XR; nebules; chewable tablet;
        eye drops; lotion; vial; nasal spray; film-coated tablets; foam; sachet; depot; dispersible tablets; pen;
        MR; turbuhaler; enteric-coated tablet; tab; infusion; prefilled syringe; caps; paste; mouthwash; SR;
        pellets; granules; shampoo; pessary; effervescent tablets; ampoule; tabs; lyophilised powder; wafer
        """,
    "labvalue/image": """
        within normal limits; clear; abnormal; no abnormality; WNL; grossly normal; markedly abnormal; as expected;
        intact; inconclusive; limited; reassuring; non-diagnostic; satisfactory; unchanged; nothing acute; NAD;
        entirely normal; stable; improved; pathological; benign; patchy; essentially normal; not contributory;
        equivocal; within expected limits; mildly abnormal; diffusely abnormal; no interval change
        """,
    "labvalue/qual": """
        nonreactive; reactive; no growth; weakly positive; strongly positive; pending; growth of MRSA; +;
        not detected; detected; sterile; equivocal; no growth to date; borderline positive; 1+; trace positive;
        indeterminate; invalid; faintly positive; doubtful; E. coli; 3+; -; mixed flora; heavy growth;
        triple negative; wild type; mutated; amplified; scanty growth
        """,
    "labvalue/word": """
        within normal limits; raised; markedly elevated; decreased; undetectable; slightly raised; borderline;
        increased; subtherapeutic; WNL; reduced; in the normal range; very high; supratherapeutic; mildly decreased;
        above target; suppressed; at goal; off the scale; stable; falling; doubled; rising; within target;
        unrecordable; at the lower limit; grossly elevated; depressed; low-normal; in range; critically low;
        trending down
        """,
    "labvalue/pre": """
        elevated; low; raised; high; decreased; abnormal; increased; reduced; normal; markedly raised; borderline;
        undetectable; suppressed; slightly elevated; deranged; falling; grossly abnormal; rising; very low;
        significantly increased
        """,
}

PATTERNS: dict[str, str] = {
    "severity": """
        grade <1|2|3|4>; <2-10>/10; <2-9> out of 10; CTCAE grade <2|3|4>; stage <I|II|III|IV>;
        NYHA class <I|II|III|IV>; <1|2|3|4>+; G<2|3|4>
        """,
    "temporal": """
        <2-30> days ago; <2-11> weeks ago; <2-11> months ago; <2-30> years ago; since <1990-2023>;
        for the past <2-12> <days|weeks|months|years>; on <1-28>/<1-12>/<2015-2024>;
        in <January|February|March|April|June|August|October|December> <2009-2024>;
        for <2-14> <days|weeks|months|years>; <2-20> hours prior; at age <4-70>; POD <1-9>; on day <2-28>;
        x <2-14> <days|weeks|months>; since <Monday|Tuesday|Thursday|Friday|Sunday>;
        within <2-12> <weeks|months> of enrolment; over the last <2-20> <hours|days|weeks>;
        <2-14> <hours|days|weeks> later; <2-9> yrs ago; <2-9>d ago; after <2-20> <days|weeks|months>;
        during the <second|third|fourth|fifth|sixth> <week|month>; within <1-12> <days|weeks|months>; in <1995-2024>
        """,
    "temporal/when": """
        <2-30> days ago; <2-11> weeks ago; <2-11> months ago; <2-30> years ago; on <1-28>/<1-12>/<2015-2024>;
        <2-9> yrs ago; in <January|March|April|May|July|September|November> <2009-2024>; <2-20> hours earlier;
        POD <1-9>; on day <2-28>; in <1995-2024>; <2-14> <hours|days|weeks> later; on <2012-2024>-0<1-9>-<10-28>;
        on the <4-20>th
        """,
    "temporal/span": """
        <2-30> days; <2-12> weeks; <2-11> months; <2-30> years; <2-36> hours; <2-4>-<5-8> <days|weeks|months>;
        <2-9> yrs; over <2-20> <days|weeks|years>; at least <2-12> <weeks|months>; about <3-20> <days|hours|years>;
        <two|three|four|five|six> <days|weeks|months|years>
        """,
    "temporal/date": """
        <1980-2024>; <January|February|April|May|July|September|November> <2005-2024>; <1-12>/<2010-2024>;
        <early|late|mid> <1985-2023>; <1-28>.<1-12>.<2014-2024>
        """,
    "duration": """
        <2-30> days; <2-12> weeks; <2-9> months; <3-14>d; <2-6>/52; <2-8>/12; <5-14>/7; <2-5> more days;
        <2-6> cycles; <2-8> <days|weeks> in total; <4-72> hours; <two|three|four|six|eight> <days|weeks|months>;
        <2-4> to <5-8> <days|weeks>; <3-10>-day course
        """,
    "strength": """
        <5|10|15|20|25|30|40|50|60|75|80|100|125|150|200|250|300|400|500|600|750|800|850|1000|1200|1500> mg;
        <1|2|2.5|5|10|20|25|40|50|75|100|200|250|300|400|500|650|875>mg;
        <12.5|25|50|75|88|100|112|125|250|500> <mcg|µg|micrograms>; <0.1|0.5|1|2|5|10> mg/mL;
        <0.01|0.05|0.1|0.5|1|2> %; <0.05|0.1|1|2.5|5>%; <1|1.5|2|3> g;
        <80/400|160/800|50/250|875/125|100/25|5/325|10/20> mg; <20|40|70|100|375|500> mg/m2;
        <0.5|1|2|5|7.5|10> mg/kg; <1|1.2|2|4|4.5>g; <100|200|300> units/mL; <5000|10,000|50,000|1000> IU;
        <125|250|400> mg/5 mL; <50|75|85|130|175|1000> mg/m²; <20|40|60|80> mEq; <0.25|0.3|0.4|0.5|0.75> mg;
        <1,000|1,250|1,500|2,000> mg
        """,
    "dosage": """
        <2|3|4|5|6> <tablets|capsules|puffs|drops|sprays|tabs|pills|caps>;
        <one|1|half a|a> <tablet|puff|capsule|drop|pill|patch|sachet|spray>; <4-40> units; <5|10|15|20|30> mL;
        <2-30>u; <1-4> <tab|puff>; <5|10|20|25> ml;
        <two|three|four|five> <tablets|puffs|drops|teaspoons|capsules|vials>; <1|2>-<3|4> <puffs|tablets|drops>;
        <6-60> IU; a <single|double|loading|thin|half> <dose|layer|tablet>; <2|3> <amps|vials|sachets|patches>;
        <1|one> <amp|vial|sachet|patch|lozenge>; <1/2|½|1½> <tablet|tab>
        """,
    "frequency": """
        every <2|3|4|6|8|12|24|48|72> hours; q<2|3|4|6|8|12|24|48>h; <2|3|4|5>x/<day|week|daily>;
        <two|three|four|five|six> times <a day|a week|daily|per week|a month>; every <2-8> <days|weeks|months>;
        q <2-12> <hr|hours|weeks|d>; <2|3|4|5>-hourly; q<2|3|4>-<6|8|12>h; <2|3|4|5> times per <day|week|month>;
        on days <1|8|15> and <16|22|29>; every <second|third|fourth> <day|week>; <2|3|4>/<7|day>
        """,
}

FILLERS: dict[str, str] = {
    "clinic": """
        heart failure clinic; stroke unit; pain service; diabetes nurse; cancer society; fracture clinic;
        asthma nurse; dialysis unit; memory clinic; wound care team; pacemaker clinic; burns unit; chest pain unit;
        anticoagulation clinic; surgical admissions lounge; transplant coordinator; falls team; sleep laboratory;
        infection control team; radiology desk; ultrasound department; oncology day unit; blood bank;
        cataract pathway; vaccination centre; rehab ward; seizure helpline; MRI suite; eating disorders service;
        allergy clinic; palliative team; hypertension clinic
        """,
    "doctor": """
        Dr. Okafor; Dr. Lindqvist; Dr Patel; Dr. Moreau; Professor Nakamura; Dr Fernandes; Dr. Haddad; Dr. Schmidt;
        Ms. Rowe, PA; Dr O'Brien; Dr. Kowalczyk; Dr. Singh; Dr Castellanos; Dr. Andersen; Nurse Bell; Dr. Zhang;
        Dr. Abara; Mr Whitfield; Dr. Petrov; Dr. Nguyen
        """,
    "name": """
        Smith; Oyelaran; Garcia; Johansson; Chen; Rossi; Mbeki; Larsson; Dubois; Kaur; Yamada; Novak; Ferreira;
        Hughes; Weber; Silva; Adeyemi; Olsen; Murphy; Romero; Ivanova; Lee; Brandt; Costa
        """,
    "job": """
        retired teacher; bus driver; nurse; carpenter; student; farmer; software engineer; chef; cleaner;
        postal worker; librarian; accountant; electrician; shop assistant; fisherman; lorry driver; musician;
        welder; florist; security guard
        """,
    "home": """
        his family; her family; a partner; a cat; two flatmates; grown-up children; a live-in carer; a spouse;
        an elderly parent; a friend; nobody else
        """,
    "hobby": """
        walking the dog; gardening; chess; swimming; choir; reading; woodwork; knitting; cycling; fishing; cooking;
        crosswords; bowling; painting
        """,
    "place": """
        a bungalow; a third-floor flat; sheltered housing; a farm; a nursing home; the city centre;
        a terraced house; student halls; a caravan; a care home
        """,
    "contact": """
        the daughter; next of kin; the care home; the GP; a neighbour; the community nurse; the interpreter;
        the social worker; the pharmacist; the spouse
        """,
    "size": "2 cm; 3 x 4 cm; 8-mm; 1.5 cm; 12 mm; 5 cm; 0.7-cm; coin-sized; 22 x 18 mm; walnut-sized; 4.1 cm",
    "side": "right; left; same; other; affected",
    "day": """
        Monday; Tuesday; Wednesday; Thursday; Friday; the weekend; next week; tomorrow; the 14th;
        the end of the month
        """,
    "ward": """
        ward 4B; bay 2; room 312; the ICU; the day unit; theatre 3; bed 17; the surgical floor; the east wing;
        resus; the side room; unit C
        """,
    "trial": """
        the study; the protocol; this trial; the extension phase; the registry; the open-label phase; the sub-study;
        the cohort
        """,
}
