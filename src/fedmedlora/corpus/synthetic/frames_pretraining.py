"""Sentence frames of the pretraining world: history to laboratory. The rest: `frames_pretraining_more`.

A line `## topic register` opens a pool. The notation is that of `realise`. No frame stands in `frames_study` too.
"""

from __future__ import annotations

MACROS: dict[str, tuple[str, ...]] = {
    "P": (
        "{p#}",
        "{sev#} {p#}",
        "[{cou#} |][{sev#} |]{p#}",
        "[{sev#} |]{p#} affecting the {loc#}",
        "[{cou#} |]{loc#/adj} {p#/find}",
        "{p#}[ {tmp#}|]",
        "{p#/sym} {con#}",
        "{p#} [involving|located in] the {loc#}",
        "[{unc#/adj} |]{p#/dx}",
        "{p#}, {cou#/after},",
        "{p#} ({sev#})",
    ),
    "Q": (
        "{p#/dx}",
        "[{sev#} |{cou#} ||]{p#/dx}",
        "{cou#} {sev#} {p#/dx}",
        "{p#/dx} of the {loc#}",
        "{p#/dx} ([{sev#}|{cou#/after}])",
    ),
    "S": (
        "{p#/sym}",
        "[{sev#} |{cou#} |]{p#/sym}[ {con#}||]",
        "{sev#}, {cou#} {p#/sym}",
        "[{tmp#/span}|{tmp#/span}] of [{sev#} |]{p#/sym}",
        "{p#/sym} lasting {tmp#/span}",
        "{loc#/adj} {p#/find}",
        "[{sev#} |]{p#/find} in [the|both|his|her] {loc#}",
        "{p#/find} radiating to the {loc#}",
        "{p#/sym} [{tmp#}|{con#}]",
    ),
    "F": (
        "[{sev#} |{cou#} |]{p#/find} in the {loc#}",
        "{loc#/adj} {p#/find}",
        "a~ {!size} {p#/find} in the {loc#}",
        "[{sev#} |]{p#/find} along the {loc#}",
        "[{unc#/adj} |]{p#/find} within the {loc#}",
        "{sev#} {loc#/adj} {p#/find}",
        "{loc#} {p#/find}",
    ),
    "D": (
        "{d#}",
        "{d#/name} {str#}",
        "{d#/name} {str#} {frq#}",
        "{d#/name} ({str#}[ {rte#}|][ {frq#}|])",
        "{d#/name} {str#} {frm#} {rte#} {frq#}",
        "{rte#} {d#/name} {str#} {frq#}[ for {dur#}|]",
        "{d#/name} at [a dose of |]{str#}[/{frq#=day}| {frq#}]",
        "{str#} of {rte#} {d#/name}",
        "{d#/name} {frm#}, {dos#} {frq#}",
        "{dos#} of {d#/name} {rte#/word}",
        "[{rte#} |]{d#/name}[ {str#}|], {frq#}, for {dur#}",
        "{d#/name} {rte#/word} {frq#}",
        "{d#/name} {frm#} {str#}",
    ),
    "X": (
        "{x#/lab} {val#}",
        "{x#/lab} [of|at|=|:] {val#}",
        "{x#/lab} {val#} ([normal range|reference|normal|reference range:|NR] {ref#})",
        "{x#/vital} [of |]{val#}",
        "{val#/pre} {x#/lab}",
        "{x#/lab}, {val#}",
        "{x#/lab} ({val#})",
        "{x#/lab} ({val#}; {ref#})",
        "{x#/qual} {val#}",
    ),
    "L": (
        "{p#/sym}, {p$/sym}, or {p^/sym}",
        "{p#/sym}, {p$} and {p^/sym}",
        "{p#} or {p$/sym}",
        "{p#/sym} nor {p$/sym}",
        "{p#/sym}, {p$/sym}, {p^/sym}",
        "{p#}",
        "{p#/sym} or {p$/sym} {con$}",
        "[{sev#} |]{p#/sym} and/or {p$/find} in the {loc$}",
    ),
    "T": ("{t#}", "[prior |repeat |]{t#}", "{t#} {tmp#}", "{t#} ({tmp#/date})", "{t#}, performed {tmp#/when},"),
}

CLAUSES: dict[str, tuple[str, ...]] = {
    "found": (
        "{x1/image} revealed {F2}",
        "{X1} was recorded",
        "{p1/find} of the {loc1} was noted",
        "{x1/qual} was {val1}",
        "there was {neg1/pre} {p1}",
        "{p1} was {neg1/post}",
        "{x1/lab} measured {val1}",
        "{F1} could be felt",
    ),
    "told": (
        "{!pt} reported {S1}",
        "{!pt} {neg123/verb} {L123}",
        "{!he} noticed {S1} {tmp1}",
        "{!his} {p1/sym} became {cou1/after}",
        "{S1} developed",
        "{!he} also had {Q1}",
        "{!his} {sub1} had {Q1}",
        "{p1} was {unc1=considered}",
    ),
    "given": (
        "{D1} was given",
        "{!he} received {D1}",
        "{d1} was {neg1/stop}",
        "{D1} was prescribed for {p2}",
        "{T1} was performed",
        "{!he} underwent {T1}",
        "treatment with {D1} was begun",
        "{t1} was {neg1=deferred}",
        "the dose of {d1/name} was raised to {str1} {frq1}",
    ),
    "fate": (
        "{p1} resolved {tmp1}",
        "{!he} died of {Q1}",
        "{!he} was discharged on {D1}",
        "{p1} recurred {tmp1}",
        "{p1} was {cou1/after}",
        "{!he} remains free of {p1}",
        "{x1/lab} returned to {val1}",
    ),
}

FRAMES = """
## history full
a~ {!age}-year-old {!sex} presented [to our hospital |to the emergency department |]with {S1} and {S2}
a~ {!age}-year-old {!sex} with [a history of |known |]{Q1} was admitted for {S2}
{!pt} presents with {tmp1/span} of {p1/sym}
we report the case of a~ {!age}-year-old {!sex} who developed {P1} after {D2}
{!he} had noticed {S1} {tmp1} and {p2/sym} {tmp2}
{!pt} returns for evaluation of {P1}, {P2} and {P3}
the onset of {p1/sym} was {tmp1}, and it was described as {sev1} and {cou1/after}
{tmp12}, {!he} began to have {S1} accompanied by {p2/sym}
the pain-free interval ended {tmp1} when {S1} returned
{!he} was referred by {!doctor} for {P1} which was first noted {tmp1}
{!he} describes {!his} {p1/sym} as {sev1}, located in the {loc1}, occurring {con1}
{!pt} reports that {!his} {p1/sym} is {cou1/after} and happens {con1}
{p1/sym} and {p2/sym} developed {tmp12}, followed by {P3}
{!pt} is known to have {Q1}, for which {!he} takes {D2}; {tmp3/when} {!he} developed {p3/sym}
initially {!he} complained of {S1}; later, {S2} and {p3/sym} were added
there was a~ {tmp1/span} history of {cou1} {p1/sym}
{&told}, and {&told}
{&told}. {&told}
the patient, a~ {!job}, presented with {S1} {tmp1}
{!pt}, previously healthy, experienced sudden {p1/sym} while at work
{!his} symptoms included {S1}, {S2}, {p3/sym} and {p4/sym}
the {p1/find} in {!his} {loc1} has grown {cou1=steadily} {tmp1}
{!he} is here for follow-up of {Q1} and {Q2}
{!he} experienced an episode of {sev1} {p1/sym} {tmp1} that resolved after {t2}
{p1/sym} is present {con1} but {neg2/pre} {p2/sym} {con2}
## history terse
CC: {S1}
{!age} y/o {!mf} with {Q1} p/w {S2}
{S1}, {S2}, {p3/sym} since {tmp123/date}
{p1/sym} ({tmp1/span}), {p2/sym} ({tmp2/span})
reason for visit - {P1}
pt reports {S1} {tmp1}. {p2/sym} {cou2/after}
{p1/sym}: onset {tmp1}, {sev1}, {con1}
{!mf}/{!age}, {Q1}, now {p2/sym}
reports {S1}; {neg23/verb} {p2/sym}, {p3/sym}
sx: {p1/sym}, {p2/sym}, {p3/sym}
woke w/ {S1}, took {D2}
bib EMS for {P1}
f/u {Q1}, {Q2}
{tmp1/span} hx of {cou1} {p1/sym}
## history spoken
this is a~ {!age}-year-old {!sex} here today for {P1}
hi {!name}, so you have had {S1} for about {tmp1/span}
you know I have been having this {p1/sym} {tmp1} and it gets bad {con1}
and do you get any {p1/sym} or {p2/sym}
well the {p1/sym} is {cou1/after} but the {p2/sym} is {sev2}
hey dragon the patient is a~ {!age}-year-old with {Q1}
next he mentions {S1} comma {S2} comma and {p3/sym}
## negatives full
{!pt} {neg123/verb} {L123}
{neg12/pre} {p1} or {p2} [was found|was seen|could be demonstrated]
there was {neg1/pre} {p1} {con1}
{p1} and {p2} were {neg12/post}
{!he} {neg12/verb} any history of {p1/dx} or {p2/dx}
{!pt} {neg123/verb} {L123} [at this time|at present|on direct questioning]
{neg1/pre} {p1} and {neg2/pre} {p2}, but {p3/sym} is present
the patient had {p1/sym} {neg2=without} {p2/sym}
{p1} has been {neg1/post} by {x2/image}
{!he} did have {S1}, although {p2/sym} was {neg2/post}
in the {neg1=absence} of {p1}, {t2} was chosen
{!he} is {neg12=negative} for {p1/sym} and {p2/sym}
{neg12=neither} {p1} nor {p2} was encountered [during {t3}|]
{neg1/pre} {p1} was reported in {!his} {sub1}
{neg1=no} known {d1} allergy, {neg2/pre} {p2}
the {loc1} showed {neg1/pre} {p1/find}
## negatives terse
{neg123/pre} {L123} elicited
{neg1/pre} {p1}. {neg2/pre} {p2}. {neg3/pre} {p3}
{neg123/verb} any {L123}
neg: {p1/sym}, {p2/sym} {neg12=(all neg)}
{p1/sym}: {neg1=none}; {p2/sym}: {neg2=none}; {p3/sym}: yes
resp: {neg12/pre} {p1/sym} or {p2/sym}
gi: {p1/sym}, {neg2/pre} {p2/sym}
pos {p1/sym}; {neg2/pre} {p2/sym}
{p1} {neg1/post}
{neg1=w/o} {p1}
const: {neg123=no} {p1/sym}/{p2/sym}/{p3/sym}
## past full
past medical history [includes|is notable for|was significant for] {Q1}, {Q2}, and {Q3}
{!he} was diagnosed with {Q1} {tmp1} [and treated with {D2}|and underwent {T2}|]
{!his} medical history comprised {Q1} ({tmp1/date}), {Q2} and {T3}
{!he} has a~ {tmp1/span} history of {p1/dx}, managed with {D2}
surgical history is remarkable for {T1} and {T2}
{Q1} had been treated {tmp1} by {t2}
{!pt} has {Q1} complicated by {P2}
{!he} had had {t1} for {Q2} {tmp1}
{Q1}, diagnosed {tmp1}, has been {cou1/after} with {d2}
{!he} had been well apart from {Q1} and {sev2} {p2/sym}
since {t1} {!he} has had {neg2/pre} {p2}
{!he} was born with {Q1} and received {t2} {tmp2}
there is {neg1/pre} {p1/dx}, but {p2/dx} was found {tmp2}
{!his} comorbidities were {p1/dx}, {p2/dx}, {p3/dx} and {p4/dx}
## past terse
past medical hx: {p1/dx}; {p2/dx}; {p3/dx}
1. {Q1} 2. {Q2} 3. {Q3}
{p1/dx} - since {tmp1/date}
h/o {Q1}, {T2}
{t1} ({tmp1/date}), {t2} ({tmp2/date})
PSHx {t1}, {t2}
{Q1} on {D2}
{neg1/pre} {p1/dx}, +{p2/dx}
comorbid: {p1/dx}, {p2/dx}
{p1/dx}, {cou1/after} ({tmp1})
## family full
family history is positive for {Q1} in {!his} {sub1}[ and {Q2} in {!his} {sub2}|]
{!his} {sub1} has {Q1}
{!his} {sub1} and {!his} {sub1} were diagnosed with {p1/dx}
there is a family history of {p1/dx} ({sub1}), {p2/dx} ({sub2}) and {p3/dx} ({sub3})
the patient's {sub1} suffered from {Q1} {tmp1}
{!his} {sub1} died at {!age} of {Q1}
{neg1/pre} family history of {p1/dx} exists, yet a~ {sub2} had {Q2}
{sub1} with {Q1}, {sub2} with {Q2}
{p1/dx} affected {!his} {sub1} and {unc2/adj} {p2/dx} {!his} {sub2}
{!he} reports {p1/dx} and {p2/dx} in {!his} {sub12}
both {Q1} and {Q2} were found in the {sub12}
## family terse
family: {sub1} {p1/dx}
{sub1}: {Q1}. {sub2}: {Q2}
mat/pat hx - {p1/dx} in {sub1}, {neg2/pre} {p2/dx}
{p1/dx} ({sub1}), {p2/dx} ({sub2})
{sub1} had {p1/dx} {tmp1}
fam: {neg12=denies} {p1/dx}/{p2/dx}
## meds full
{!he} is currently on {D1}, {D2} and {D3}
home medications [include|are|consist of] {D1}, {D2}, and {D3}
{!pt} was started on {D1} [for {p2}|because of {P2}|]
{!he} was treated with {D1} and {D2}[, without improvement of {p3}|]
{d1/name} was increased from {str1} to {str1} {frq1}
{!pt} received {dos1} of {rte1} {d1/name} [every morning|{frq1}] for {dur1}
{d1} and {d2} were {neg12/stop} {tmp12}
{D1} was switched to {D2} {tmp2}
{!pt} has been taking {d1/name} {frq1} for {dur1} with {neg2/pre} {p2}
a course of {D1} was completed {tmp1}
{rte1} {d1/name} was administered at {str1} {frq1} {tmp1}
the patient was given {str1} of {d1/name} {rte1/word}
{d1/name} {frm1} should be applied to the {!small} patches {frq1}
{dos1} {d1/name} {frm1} {rte1/word} {frq1} for {dur1}
continue {d1/name} {str1} {frm1}, {dos1} {rte1/word} {frq1}
{!he} takes {d1/name} {str1} {frq1} and {d2/name} {str2} {frq2} for {p3}
{!he} was {neg1/off} {d1} {tmp1} owing to {P2}
{!he} self-medicated with {d1} for {dur1}
therapy consisted of {D1}, {D2} and {t3}
maintenance {d1/name} ({str1}) was tapered over {dur1}
## meds terse
{d1/name} {str1} {rte1} {frq1}
{d1/name} {str1} {frm1}: {dos1} {frq1}
- {d1/name} {dos1} {rte1} {frq1} ({dur1})
{d1/name} {frm1} {str1} sig: {dos1} {rte1} {frq1}
{D1} / {D2} / {D3}
current: {D1}
rx: {d1/name} {str1} #{!small}, {dos1} {frq1}
{d1/name} {frq1}; {d2/name} {frq2}; {d3/name} {frq3}
{neg1/hold} {d1}, begin {D2}
{d1/name} ({str1}) x {dur1}
{d1/name} {str1} {frq1} for {p2}
allergies: {d1} ({p2})
{d1} {neg1/stop}
{frq1} {d1/name} {str1} {rte1}
{str1} {d1/name} {rte1} {tmp1}
## meds spoken
so I am going to give you {d1/name} {str1} {frq1} for {dur1}
let's keep you on the {d1/name} {str1} {frq1} okay
are you still taking the {d1/name} and the {d2/name}
for your {p1} we will do {D2}
and I have to {neg1=stop} the {d1} because of {p2}
## labs full
laboratory [tests|studies|findings|examination] [showed|revealed|disclosed] {X1}, {X2}, and {X3}
{x1/lab} was {val1} ([normal|reference range|normal value|normal range:] {ref1})
{x1/lab} and {x2/lab} were {val1} and {val2}, respectively
{x1/lab} level [rose|fell|increased|dropped|decreased] to {val1} {tmp1}
serology for {x1/qual} was {val1}
{x1/qual} and {x2/qual} were both {val12}
blood work was significant for {X1} and {X2}
{tmp12}, {x1/lab} was {val1} and {x2/lab} {val2}
{val1/pre} {x1/lab} ({val1}) and {val2/pre} {x2/lab} ({val2})
initial {x1/lab} was {val1}, and repeat {x2/lab} was {val2}
{x1/lab} peaked at {val1} {tmp1}, then returned to baseline
{x1/qual} was {neg1=not performed}
{x1/lab} remained [below|above] {val1} throughout
{&found} and {&found}
arterial sampling gave {X1}, {X2}, {X3} and {X4}
the {x1/lab} of {val1} exceeded the upper limit ({ref1})
{x1/lab} ({val1}, range {ref1}) was taken {tmp1}
results: {x1/lab} {val1}; {x2/lab} {val2}; {x3/lab} {val3} (range, {ref3})
## labs terse
{x1/lab}  {val1}  {ref1}
{x1/lab} {val1} {x2/lab} {val2} {x3/lab} {val3} {x4/lab} {val4}
{x1/lab}: {val1}
{x1/lab}: {val1} (ref. {ref1})
{x1/qual}: {val1}
{x1/vital} {val1}, {x2/vital} {val2}, {x3/vital} {val3}, {x4/vital} {val4}
nursing chart {x1/vital}: {val1}; {x2/vital}: {val2}
{X1}; {X2}; {X3}
{tmp1}: {x1/lab} {val1}
{x1/lab} {val1} -> {val1} {tmp1}
{x1/lab} {val1} ({ref1}) *
vitals - {x1/vital} {val1} {x2/vital} {val2}
{neg1=no} {x1/qual} sent; {x2/lab} {val2}
## labs spoken
your {x1/lab} came out {val1} which is a bit off
looking at the results {x1/lab} {val1} comma {x2/lab} {val2}
the {x1/qual} was {val1} so that is good news
"""
