"""Sentence frames of the study world.

A line `## topic register` opens a pool; every third frame of a pool is the test part's alone. The notation is
that of `realise`.
"""

from __future__ import annotations

MACROS: dict[str, tuple[str, ...]] = {
    "P": (
        "[{sev#} |||][{cou#} |||]{p#}",
        "{p#}[ {tmp#/when}||]",
        "[{sev#} ||]{p#}[ {con#}||]",
        "[{cou#} ||]{p#} in the {loc#}",
        "{loc#/adj} {p#/sym}",
        "{p#}, {cou#/after}",
    ),
    "S": (
        "[{sev#} |||]{p#/sym}",
        "[{cou#} |||]{p#/sym}[ {con#}||]",
        "{p#/sym}[, {sev#},|] for {tmp#/span}",
        "{loc#/adj} {p#/find}[, {cou#/after}||]",
        "{sev#} {p#/find} over the {loc#}",
    ),
    "F": (
        "[{sev#} ||]{p#/find} of the {loc#}",
        "[{cou#} |||]{loc#/adj} {p#/find}",
        "[{sev#} ||]{p#/find} at the {loc#}",
        "{p#/find}, {loc#}",
    ),
    "D": (
        "{d#/name} {str#} {rte#} {frq#}",
        "{d#/name} {str#} {frm#}[ {dos#}|][ {rte#}|] {frq#}[ for {dur#}|]",
        "{d#/name} {str#}[ {frq#}||]",
        "{d#/name}, {dos#} {frq#}[, {rte#}|]",
        "{rte#} {d#/name}[ {str#}|][ {frq#}|]",
        "{d#}",
    ),
    "X": (
        "{x#/lab} {val#}[ ({ref#})||]",
        "{x#/lab} of {val#}",
        "{x#/vital} {val#}",
        "[{x#/lab}|{x#/vital}] was {val#}[ (ref {ref#})||]",
        "{x#/lab} {val#}[ {tmp#/when}|]",
    ),
    "L": (
        "{p#/sym}, {p$/sym} or {p^/sym}",
        "{p#/sym} or {p$}",
        "{p#}, {p$/sym}, and {p^}",
        "{p#/sym}/{p$/sym}/{p^/sym}",
        "[{p#}|{p#/sym}]",
    ),
    "T": ("{t#}", "{t#}[ {tmp#/when}||]", "{t#} in {tmp#/date}", "[recent |]{t#}"),
}

CLAUSES: dict[str, tuple[str, ...]] = {
    "seen": ("{!he} came with {S1}", "{!pt} now describes {P1}", "there is {F1}", "{S1} started {tmp1/when}"),
    "order": ("start {D1}", "repeat {x1} [{tmp1/when}|]", "keep on {D1}", "book {x1/image}"),
}

FRAMES = """
## history full
{!pt} came in because of {S1}, which began {tmp1/when} and gets worse {con1}
{!pt} is a~ {!age}-year-old {!sex} who walked in with {P1} and {S2}
over {tmp1/span} {!he} has been troubled by {S1}[ that spreads to the {loc1}|]
{!his} main worry is {P1}; {!he} also mentions {S2} and {p3/sym} {con3}
{!he} first felt {p1/sym} in the {loc1} {tmp1/when}, {sev1} from the start
what brought {!him} here was {S1}, rated {sev1} at its worst
{!pt} woke {tmp12/when} with {p1/sym} and {p2/sym}
the {p1/sym} has been {cou1/after} since it began {tmp1/when} and comes on {con1}
{!his} {p1} flared {tmp1/when}, with {S2} and {P3} following soon after
{!pt} was well until {tmp1=two days before this visit}, when {S1} set in[ and {!he} took {D2}|]
for {tmp1/span}, {!pt} has noticed {cou1} {p1/sym}, mostly {con1}
a neighbour found {!him} with {S1} and called for help
## history terse
c/o {S1} {tmp1/when}, {S2}
{S1} x {tmp1/span}, {cou1/after}
{!age}{!mf} w/ {P1}, {P2}
in with {p1/sym} [{con1}|{tmp1/when}]; also {p2}
{!age} yo {!mf}, known {p1}, now {S2}
presents: {S1} + {S2}, {sev12}
onset {tmp1/when}: {p1/sym} {loc1}
{p1/sym} -> {loc1}, {sev1}, worse {con1}
{S1}; took {D2} w/o relief
## history spoken
the patient comes to us today complaining of {S1} period
uh this is a~ {!age}-year-old with {P1} and, let me see, {S2}
so {!he} tells me the {p1/sym} started {tmp1/when} and it is {cou1/after}
we are seeing {!him} for {P1} comma which has been going on for {tmp1/span}
{!he} says the {p1/sym} is about {sev1} and comes on {con1}
as I said {!he} had {S1} {tmp1/when} and then {p2/sym}
## negatives full
{!he} {neg123/verb} {L123}
{!pt} {neg12/verb} {p1/sym} or {p2/sym} {con12}
there has been {neg1/pre} {p1} [{tmp1/when}|]
{!he} has {p1/sym} but {neg2/verb} {p2/sym}
{neg123/pre} {p1/sym}, {p2/sym}, or {p3/sym} was mentioned
{p1} was {neg1/post} [{tmp1/when}|] and so was {p2}
{!pt} sleeps well, eats well and {neg123/verb} {L123}
apart from {S1}, {!he} {neg23/verb} {p2/sym} and {p3}
the family has not noticed anything, and {!he} {neg1/verb} {p1}[ {con1}|]
## negatives terse
{neg123=no} {L123}
{p1/sym} {neg1=-ve}, {p2/sym} {neg2=-ve}
ROS: {neg123/verb} {p1/sym}/{p2/sym}/{p3/sym}
{neg1/pre} {p1}; {neg2/pre} {p2}
{neg12=nil} {p1/sym} / {p2/sym}, + {p3/sym}
(-) {p1/sym}: {neg1/post}; {p2/sym}: {sev2}
## negatives spoken
review of systems {neg123/verb} {p1/sym} comma {p2/sym} comma {p3/sym}
{!he} tells me there is {neg12=absolutely no} {p1/sym} or {p2/sym}
I asked about {p1} and it was {neg1/post}
## past full
{!his} background includes {p1/dx} since {tmp1/date}, {p2/dx} and {T3}
{!he} was told {!he} had {p1/dx} {tmp1/when}, treated with {t2}
{p1/dx} has been {cou1/after} on {D2}
known for {sev1} {p1/dx} and {cou2} {p2/dx}; {T3} was done elsewhere
there is a remote history of {p1/dx} of the {loc1}, {cou1/after}
{!he} carries diagnoses of {p1/dx}, {p2/dx} and {p3/dx}
{!he} had {t1} for {p2/dx} in {tmp1/date}
{!he} has lived with {p1/dx} for {tmp1/span} and {neg2/verb} {p2/dx}
earlier records list {p1/dx} ({tmp1/date}), {t2} ({tmp2/date}) and {neg3/pre} {p3/dx}
## past terse
PMH {p1/dx}, {p2/dx}, {p3/dx}; s/p {t4} {tmp4/date}
hx {p1/dx} ({cou1/after}), {p2/dx}
{p1/dx} dx {tmp1/date}, on {D2}
{t1} {tmp1/date}; {p2/dx} - {cou2/after}
bg: {p1/dx}, {sev1}. {p2/dx}
prev {t1}, {t2}; {neg3/pre} {p3/dx}
## past spoken
past history is significant for {p1/dx} comma {p2/dx} and a~ {t3} back in {tmp3/date}
{!he} tells me {!he} had {t1} {tmp1/when} and then {p2/dx}
on the chart I also see {p1/dx}, {cou1/after}, and {p2/dx}
## family full
{!his} {sub1} was treated for {p1/dx} and {!his} {sub2} had {p2/dx}
{p1/dx} runs in the family: {!his} {sub1} developed it {tmp1/when}
nobody in the family has {p1/dx}, but {!his} {sub2} lives with {p2/dx}
the {sub12} had both {p1/dx} and {p2/dx}
{!his} {sub1} died of {p1/dx}; {neg2/pre} {p2/dx} on the {sub2=other side}
{!he} mentions a~ {sub1} with {sev1} {p1/dx}
## family terse
FH: {sub1} - {p1/dx}; {sub2} - {p2/dx}
{sub12}: {p1/dx}, {p2/dx}
fam hx {p1/dx} ({sub1}), {neg2/pre} {p2/dx}
{p1/dx} in {sub1}; {sub2} w/ {p2/dx}
fhx + for {p1/dx} [{sub1}|{sub1=(mat. side)}]
{neg1/pre} fhx of {p1/dx}
## meds full
{!he} takes {D1} and {D2} at home
{!his} tablets are {d1/name} {str1} {frq1}, {d2/name} {str2} {frq2} and {d3/name}
{d1/name} was brought in as {frm1}, {str1}, to be taken {rte1/word} {frq1}
{!he} uses {dos1} of {d1/name} {frq1} when {p2/sym} is bad
{!he} is {neg1/off} {d1} because of {p2}
we gave {d1/name} {str1} {rte1/word} {tmp1/when}, then {dos1} {frq1} for {dur1}
{d1/name} ({str1} {frm1}) goes on for another {dur1}
{d1} was {neg1/stop} {tmp1/when} and {d2/name} {str2} {rte2} {frq2} begun
the pharmacist counted {dos1} of {d1/name} {str1} {frm1}, due {frq1}
for {p1} {!he} was handed {D2}
{!he} remembers being on {d1} {tmp1/when} but is now {neg2/off} {d2}
an inhaled {d1/name} {dos1} {frq1} and {D2} complete {!his} list
## meds terse
{d1/name} {str1} {frm1} {dos1} {rte1} {frq1}
{D1}
{d1/name} {str1} {rte1} {frq1} x {dur1}
{d1/name} {dos1} {rte1} {frq1}, {d2/name} {str2} {frq2}
{d1/name} - {str1} - {frq1} - {frm1}
{neg1/stop}: {d1}, {d2/name} cont {frq2}
{D1}; {D2}
{frm1} {d1/name} {str1}, {dos1} {frq1}
{rte1} {d1/name} {str1} stat then {frq1} for {dur1}
## meds spoken
medications comma {d1/name} {str1} {frq1} comma {d2/name} {str2} {rte2/word}
{!he} is taking the {d1/name} {frm1} {dos1} {frq1} and {d2/name} as well
I have put {!him} on {d1/name} {str1} {frq1} for {dur1} and {neg2=stopped} the {d2}
## labs full
blood tests gave {x1/lab} {val1} ({ref1}) and {x2/lab} {val2}
{x1/lab} came back at {val1} against a normal of {ref1}
the {x1/qual} taken {tmp1/when} was {val1}
{X1}, {X2} and {X3}
{x1/lab} had climbed to {val1} {tmp1/when}; {x2/lab} stayed at {val2}
{x1/lab} was {neg1=not sent}, {x2/lab} read {val2} [lab range {ref2}|]
a~ {x1/qual} proved {val1}, while {x2/lab} measured {val2}
{val1/pre} {x1/lab} and {val2/pre} {x2/lab} were seen {tmp12/when}
our laboratory quotes {ref1} for {x1/lab}; {!his} was {val1}
## labs terse
{x1/lab} {val1}, {x2/lab} {val2}, {x3/lab} {val3}
{x1/lab} {val1}  N={ref1}
{x1/lab}: {val1} (N {ref1}); {x2/lab}: {val2}
{x1/qual} {val1}; {x2/qual} {val2}
{x1/lab}={val1} {tmp1/when}
at bedside {x1/vital} {val1} {x2/vital} {val2} {x3/vital} {val3}
labs {tmp12/when}: {x1/lab} {val1} / {x2/lab} {val2}
{x1/lab} {val1} H (normal {ref1})
{val1/pre} {x1/lab}, {x2/qual} {val2}
## labs spoken
labs show {x1/lab} of {val1} and {x2/lab} of {val2}
the {x1/lab} is {val1} and the reference is {ref1} on that one
I looked at the {x1/qual} and it is {val1}
## imaging full
{x1/image} {tmp1/when} showed {F2} and {neg3/pre} {p3/dx}
on {x1/image} there was {F2}[, {unc2/adj} {p3/dx}|]
{x1/image} turned out {val1}
{x1/image} could not exclude {p2/find} of the {loc2}, {unc2=read as doubtful}
we repeated the {x1/image}, and the {p2/find} at the {loc2} looked {cou2/after}
{x1/image} was {val1}, {neg2/pre} {p2/find}
## imaging terse
{x1/image}: {F2}
{x1/image} {tmp1/when}: {val1}
{x1/image} -> {F2}, {F3}
{x1/image}: {p2/find} {loc2}, {unc3/adj} {p3/dx}
{x1/image} {val1}. {neg2/pre} {p2/find}
{x1/image} = {neg2/pre} {p2/dx}; {sev3} {p3/find} {loc3}
## exam full
on examination there was {F1} and {F2}; {x3/vital} {val3}
{!pt} looked comfortable, {x1/vital} {val1}, {x2/vital} {val2}, with {F3}
the {loc1} showed {p1/find}[ and {p2/find}|]
palpation of the {loc1} brought on {sev1} {p1/find}; {neg2/pre} {p2/find}
{x1/vital} {val1} (expected {ref1}) and {x2/vital} {val2} on arrival
{F1} was seen but {p2/find} was {neg2/post}
## exam terse
O/E: {F1}; {neg2/pre} {p2/find}
{x1/vital} {val1}, {x2/vital} {val2}
{loc1}: {p1/find} {sev1}
{F1}, {F2}
obs {x1/vital} {val1} {x2/vital} {val2} {x3/vital} {val3}, {p4/find} {loc4}
{loc1}: {neg12=no} {p1/find}/{p2/find}
## procedures full
{!he} went on to have {t1} for {p2/dx} {tmp1/when}
{T1} was carried out by {!doctor} without trouble, and {t2} was {neg2=not needed}
after {t1} {!he} developed {P2}
{t1} and {t2} relieved the {p3}
{!pt} agreed to {t1} but {neg2=turned down} {t2}
{p1/dx} of the {loc1} called for {t2} {tmp2/when}
## procedures terse
s/p {t1} {tmp1/when}
{t1} {tmp1/when}, {t2} planned
{t1} for {p2/dx}, {neg3/pre} {p3}
{neg1=no} {t1} {tmp1/when}
{t1}/{t2} done {tmp12/when}
tolerated {t1}; {P2} after
## assessment full
the picture fits {P1}, {unc1=most probably} with {p2/dx} behind it
{unc1/adj} {p1/dx} in a patient with {cou2} {p2/dx}
we believe this is {p1/dx}; {p2/dx} is {unc2=less certain}
{sev1} {p1/dx} [due to {p2/dx}|after {t2}], {cou1/after} on {D3}
{p1/dx} remains {unc1=a possibility} until {x2} is back
if {p1/sym} returns {con1=on the lower dose}, {unc2/adj} {p2/dx} should be looked for
## assessment terse
imp: {unc1/adj} {p1/dx}, {p2/dx}
{unc1=?} {p1/dx}, {cou2} {p2/dx}
{P1}. {P2}
#1 {sev1} {p1/dx} - {cou1/after}
dx {p1/dx} vs {p2/dx} {unc12=(both possible)}
{unc1=poss.} {p1/dx} {loc1}, {neg2/pre} {p2/dx}
## assessment spoken
so my impression is {unc1/adj} {p1/dx} and {P2}
I think it is {p1/dx} although {p2/dx} is {unc2=on the list}
number one comma {P1} comma {cou1/after=stable for now}
## plan full
we will start {D1} and check {x2} [{tmp2=in two weeks}|]
continue {D1}; stop {d2} if {p3/sym} appears {con3=at any time}
{D1} for {p2}, then {t3}
{!he} should take {d1/name} {dos1} {frq1} only {con2=when needed} for {p2/sym}
{x1} and {x2} will be repeated {tmp12=before the next visit}
refer for {t1}; {neg2/hold} {d2} until then
## plan terse
start {D1}
cont {d1/name} {str1} {frq1}, rpt {x2/lab} {tmp2=in 48 h}
{x1/image} + {x2/lab} then ?{t3}
{neg1=stop} {d1}; swap to {d2/name} {str2} {frq2}
{D1} x {dur1=5/7}, review
{t1} {tmp1=next week}; {D2}
## course full
{!his} {p1} was {cou1/after} after {D2}, and {x3/lab} fell to {val3}
{tmp1=on the second night} {!he} had {P1}, managed with {t2}
{!pt} settled with {d1/name} {str1} {rte1/word} {frq1}; {p2/sym} was {cou2/after} {tmp2=by the morning}
{&seen}, and {&seen}
because {p1/sym} came back {con1}, {t2} was offered
{x1/lab} went from {val1} to normal while {p2} was {cou2/after}
## course terse
{p1} {cou1/after} on {D2}
{tmp1/when} {P1} -> {t2}
{&order}; {&order}
{X1}, {p2/sym} {cou2/after}
overnight {S1}, given {D2}
{t1} {tmp1/when}, {neg2/pre} {p2}
## safety full
{p1} appeared {tmp1/when} after the first {dos2} of {d2/name}, so it was withdrawn
{d1/name} {str1} {frq1} gave {!him} {P2}, {unc2=perhaps by interaction} with {d3}
{sev1} {p1} was blamed on {d2}
on {d1} {!he} {neg2/verb} {p2/sym}
{!his} {p1} cleared {tmp1/when} once {d2} was {neg2=held}
{!he} reacts to {d1} with {p2/sym} and {p3/sym}
## safety terse
ADR: {d1} -> {p2}
{d1/name}: {P2} {tmp2/when}
allergic {d1} ({p2/sym}); {d3} - {neg4/pre} {p4/sym}
{p1} {unc1=?due to} {d2/name} {str2}
stopped {d1/name}, {p2} {cou2/after}
{neg1=no} {p1/sym} on {d2/name} {str2} {frq2}
## criteria full
to join {!trial} a volunteer must have {p1/dx} for {tmp1/span} and {x2/lab} {val2}
anyone with {sev1} {p1/dx} or {p2/dx} {tmp12/when} cannot join {!trial}
use of {d1} {tmp1/when} rules a volunteer out, as does {t2}
{neg12=without} {p1/dx} or {p2/dx} [{con12}|]
a screening {x1/lab} {val1} is accepted for {!trial}
volunteers need stable {p1/dx} {cou1=throughout screening} on {d2/name} {str2} {frq2}
## criteria terse
excl: {p1/dx}, {d2} {tmp2/when}
incl: {x1/lab} {val1}; {p2/dx}
{neg1=no} {p1/dx} {tmp1/when}
{x1/lab} {val1} (local range {ref1})
{sev1} {p1/dx} of the {loc1} -> exclude
on {d1/name} {str1}, {neg2/pre} {p2/dx}
## plain full
{!he} lives with {!home} in {!place} and enjoys {!hobby}
{!he} is a~ {!job} and drives to work
a letter was sent to the {!clinic} by {!doctor}
the relatives were told about visiting hours on {!ward}
we spoke with {!contact} on the phone for {!small} minutes
{!he} asked for a copy of the pain leaflet and the heart diary
the interpreter was booked for {!day}
{!doctor} from the {!clinic} will call back by {!day}
{!he} scored the cancer charity run as the best day of {!his} year
the pressure of work and the stroke of luck at bingo were talked over at length
transport home is arranged for {!day}; keys are with {!contact}
the fever of the football season keeps {!him} in good spirits
## plain terse
d/w {!contact}, happy w/ plan
lives w/ {!home}; {!job}
f/u {!clinic} {!day}
seen on {!ward} by {!doctor}
{!small} visits this year; paperwork done
no changes to contact details; phone {!phone}
## plain spoken
please copy this letter to {!doctor} at the {!clinic} thank you
end of paragraph new paragraph
dictated but not read by {!doctor}
"""
