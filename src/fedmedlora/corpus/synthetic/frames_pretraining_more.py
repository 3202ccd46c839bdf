"""More frames of the pretraining world: imaging to eligibility criteria, and sentences without entities."""

from __future__ import annotations

FRAMES = """
## imaging full
{x1/image} [showed|revealed|demonstrated|disclosed|confirmed] {F2}[ and {F3}|]
{x1/image} [performed|obtained|done] {tmp1} was {val1}
{x1/image} and {x2/image} were {val12}
{x1/image} showed {neg2/pre} {p2/find} in the {loc2}
there is {F1} on {x2/image}, {unc3} {p3/dx}
{x1/image} findings were {unc2} {p2/dx}
{unc1} {p1/dx} on {x2/image}
{x1/image} revealed {F2} with {F3}, {unc4} {p4/dx}
{x1/image} of poor quality; {p2/find} in the {loc2} {unc2=cannot be ruled out}
compared with the study {tmp1=six months ago}, {x1/image} shows {cou2} {p2/find} in the {loc2}
a~ {!size} {p1/find} on {x2/image} was seen in the {loc1}
{p1/dx} was confirmed by {x2/image} and {x3/image}
histology of the {loc1} showed {p1/dx}, {sev1}
the {loc2} contained {p2/find} {neg3=without} {p3/find}
{x1/image} was {neg1=never obtained} because of {p2}
endoscopic view: {F1}, {F2}
{x1/image} taken {tmp1} {unc2=suggested} {P2}
## imaging terse
{x1/image}: {val1}
{x1/image} report - {F2}
{x1/image} {tmp1}: {p2/find} {loc2}
{x1/image} ({tmp1/date}) reads {val1}
{x1/image} {neg2=neg for} {p2/dx}
{x1/image}: {unc2} {p2/dx}; {cou3} {p3/find} {loc3}
impression: {F1}. {F2}. {neg3/pre} {p3/find}
{loc1}: {p1/find}, {sev1}. {loc2}: {neg2/pre} {p2/find}
## exam full
physical examination [revealed|showed|was notable for|disclosed] {F1}[, {F2}|] and {F3}
{!his} vital signs were {x1/vital} {val1}, {x2/vital} {val2}, and {x3/vital} {val3}
{!he} was [alert|awake|afebrile-looking] with {x1/vital} of {val1} and {x2/vital} of {val2}
{F1} was [present|noted|palpated|observed|elicited]
on auscultation, {p1/find} [was|were] heard over the {loc1}
neurological examination showed {F1} and {neg2/pre} {p2/find}
{x1/vital} was {val1}, {x2/vital} was {val2} and {p3/find} was {neg3/post}
{x1/qual} was {val1} [on the {!side} side|bilaterally|]
the {loc12} was swollen, with {p1/find} and {p2/find}
inspection of the {loc1} revealed {cou1} {p1/find}
there is {sev1} {p1/find} on palpation of the {loc1}
the {loc1} is soft, {neg12=without} {p1/find} or {p2/find}
{x1/vital} {val1} (normal {ref1}), {p2/find} in the {loc2}
gait and speech were intact; {F1} persisted {con1}
## exam terse
gen: well. {loc1}: {p1/find}
cv: {neg123=no} {p1/find}, {p2/find}, {p3/find}
PE: {F1}, {F2}, {neg3/pre} {p3/find}
v/s {x1/vital} {val1} {x2/vital} {val2} {x3/vital} {val3}
{loc1} - {sev1} {p1/find}
neuro: {F1}; {x2/qual} {val2}
abd soft, {neg12/pre} {p1/find}/{p2/find}
ext: {p1/find} {sev1} {loc1}
skin: {p1/find} on {loc1}, {cou1/after}
## procedures full
{!he} underwent {T1} [for {Q2}|because of {P2}|]
{t1} was performed {tmp1}, followed by {t2}
{!pt} was [scheduled for|referred for|prepared for] {t1} [and {t2}|]
{T1} was complicated by {P2}
after {t1}, {!his} {p2} was {cou2/after}
{t1} was {neg1=not attempted} because of {P2}
{!pt} was managed conservatively with {t1} and {D2}
{t1} failed to relieve the {p2/sym}, so {t3} was undertaken {tmp3}
{!he} {neg1=refused} {t1} but accepted {t2}
{tmp1}, {t1} was carried out under general anaesthesia
{t1} is planned {tmp1=next month} for {!his} {p2/dx}
{t1} led to complete resolution of {p2}
emergency {t1} was required for {sev2} {p2/dx}
{!pt} tolerated {t1} well, {neg2/pre} {p2}
{&given}, and {&fate}
{&given}; {&found}
## procedures terse
{t1} {tmp1}
s/p {t1} for {p2/dx} ({tmp1/date})
{t1}, {t2}, {t3}
{t1}: uneventful, {neg2/pre} {p2}
plan {t1} +/- {t2}
{p1/dx} -> {t2} {tmp2}
{neg1=declines} {t1}
POD{!small} from {t1}, {p2/sym} {sev2}
## assessment full
these findings were {unc1} {Q1}
a diagnosis of {Q1} was [made|established|confirmed] {tmp1}
the differential diagnosis [includes|included] {p1/dx}, {p2/dx} and {p3/dx}, all {unc123=possible}
{Q1} was {unc1=suspected}, but {p2/dx} was {neg2/post}
{unc1} {Q1}
{unc1} {p1/dx} versus {p2/dx}, {cou2}
{!his} {p1/dx} is {cou1/after} on {D2}
{!he} has {Q1} [secondary to|due to|caused by|associated with] {Q2}
{Q1} with {sev2} {p2/sym} and {cou3} {p3/sym}
this {sev1} {p1} is {unc1/adj} and may improve {con1=if the trigger is removed}
{p1} occurring {con1} is {unc2} {p2/dx}
{!pt} is a~ {!age}-year-old with {Q1}, {Q2} and {unc3/adj} {p3/dx}
overall {p1} is {cou1/after}; {p2} needs watching
the {p1/sym} {unc2=likely reflects} {p2/dx} of the {loc2}
if {p1} occurs {con1=during the night}, call the number given
{!he} is {unc1=at high risk of} {p1/dx} after {t2}
{p1/dx} should be considered {con1=in any traveller with} {p2/sym}
## assessment terse
1) {Q1} 2) {Q2}
a/p: {P1}, {cou1/after}
{unc1} {p1/dx}
{unc1/adj} {p1/dx}; {neg2/pre} {p2/dx}
ddx: {p1/dx}, {p2/dx}, {p3/dx}
# {Q1}: {D2}
{Q1} - {cou1/after}, {x2/lab} {val2}
{unc1=r/o} {p1/dx}
{p1/dx} (stage unclear), {unc2/adj} {p2/dx}
final dx: {Q1}; {Q2}
## assessment spoken
for your first problem of {Q1} we will keep going with {D2}
it {unc1=looks like} {p1/dx} to me
my assessment is {Q1} comma {cou1/after}
I am a bit {unc1=worried about} {p1/dx} with that {p2/sym}
## plan full
we recommend {D1} and {T2}
continue {D1}, {neg2=hold} {d2}, and obtain {x3} [{tmp3=in the morning}|]
obtain {x1/image} to evaluate for {p2/dx}
{D1} will be given for {P2}; consider {t3} if {p4/sym} {con2=fails to settle}
return if {p1/sym}, {p2/sym} or {p3/sym} [develops|occurs]
check {x1/lab} and {x2/lab} [{tmp12=in one week}|]
advised {t1} and {t2}, along with {D3}
she should {neg1=avoid} {d1} given {!his} {p2/dx}
monitor {x1/lab}; target {ref1}
decrease {d1/name} to {str1} {frq1} {tmp1=from next week}
prescribe {d1/name} {str1} {frm1}, {dos1} {rte1/word} {frq1} for {dur1}
{t1} three times a week for {p2}
use {d1/name} {dos1} {frq1} {con2=as soon as} {p2/sym} starts
## plan terse
- give {D1}
- {x1}, {x2}
- {t1} [{tmp1=tomorrow}|]
↑ {d1/name} to {str1} {frq1}
↓ {d1/name} {str1}
{neg1/hold} {d1}; {x2/lab} in am
cont {D1}, {D2}
{x1/image} {unc2=r/o} {p2/dx}
{D1} prn {p2/sym}
trend {x1/lab}, {x2/lab}
{t1} consult, {D2}
## plan spoken
let's get {x1/image} and some {x2/lab} done this week
I want you to start {D1} and come back if the {p2/sym} gets worse
we will order {x1} and refer you for {t2}
## course full
{!his} {p1} [improved|worsened|subsided|progressed] {tmp1} after {D2}
{tmp1}, {!he} developed {p1} with {X2}
{!pt} remained stable with {neg1/pre} {p1}
the postoperative course was complicated by {Q1} and {P2}
{D1} was started {tmp1} and {!his} {p2} became {cou2/after}
{tmp1} after the {t2}, {p1} was {neg1/post}
{!he} was discharged {!day} on {D1} and {D2}
at {!small} months of follow-up, {!he} had {neg1/pre} {p1} and {x2/image} was {val2}
{&given}, {&fate}
{&found}, so {&given}
{&fate} and {&fate}
despite {D1}, {!his} {p2} was {cou2/after} and {t3} was needed
{!he} recovered from {p1} {tmp1} but {p2/sym} stayed {cou2=unchanged throughout}
{cou1} {p1} {con1} was seen for {tmp1/span}
given {cou1} {p1/sym} and {X2}, {T3} was performed
{!his} {p1}, which had been {sev1} {tmp1}, was {cou1/after}
{!he} deteriorated {tmp1} with {P1}, {P2} and {val3/pre} {x3/lab}
## course terse
HD{!small}: {p1} {cou1/after}
{tmp1}: {P1}, rx {D2}
o/n: {neg1/pre} {p1}
{X1}, {X2}. {D3} given
{&given}; {&found}
{&fate}. {&found}
dc'd on {D1}
{p1} resolved {tmp1}, {t2} removed
## safety full
{d1/name}-induced {p2/dx} [was diagnosed|is described] in a~ {!age}-year-old {!sex}
{!pt} developed {P1} {tmp1} after [starting|receiving|taking] {D2}
{p1} [associated with|related to|following|secondary to|during] {D2} [therapy|treatment|use|administration]
we describe {sev1} {p1} in a patient receiving {D2} for {p3/dx}
{p1} resolved after {d2} was {neg2/stop}
{d1} was {unc2=implicated} in the {p2}
{d1/name} {unc2=may} cause {p2}, particularly with {d3}
{p1} and {p2} occurred in {!small} patients on {D3}
{unc1/adj} {d2/name} toxicity presented as {p1}
rechallenge with {D1} caused {P2} within the hour
{!small} patients treated with {D1} had {P2}
the combination of {d1/name} and {d2/name} {unc3=appears to} produce {p3}
{tmp1} after withdrawal of {d2}, {!his} {p1} was {cou1/after}
to our knowledge, {p1} has not been linked to {d2/name}
{d1/name} given {rte1/word} at {str1} {frq1} for {p2/dx} led to {sev3} {p3}
a~ {!sex} with {p1/dx} treated with {rte2} {d2/name} for {dur2} experienced {p3/sym}
this {d1} made my {p2/sym} {cou2=much worse} and gave me {S3}
i took {d1/name} for {dur1}, and {neg2/pre} {p2/sym} so far
after two weeks i had {S1} and could not sleep
{neg1/pre} {p1} was noticed on {D2}
## safety terse
{d1/name} - {p2}, {p3/sym}
AE: {P1}, {unc1=possibly} {d2}
intolerance: {d1} ({p2/sym})
{p1} on {D2}, stopped {tmp2}
{sev1} {p1}
NKDA; {neg1=never} {p1} w/ {d2}
{d1/name} toxicity: {p2}, {p3}
## criteria full
patients with [{sev1} |]{p1/dx} [or {p2/dx}|]
[history of|known|documented|active] {Q1} [within {tmp1=the previous year}|{tmp1}]
{neg1/pre} {p1/dx} [within {!small} months|at screening]
{x1/lab} [{val1}|of {val1}|must be {val1}]
{x1/lab} {val1} and {x2/lab} {val2}
pregnant or nursing women; {unc1/adj} {p1/dx}
use of {d1} [or {d2}|][ {tmp1}|]
prior {t1} or {t2} {tmp12}
receiving {D1} for {dur1}
{Q1}, {Q2}, or {Q3} that would interfere with {!trial}
concurrent {d1} {neg2=other than} {rte2} {d2}
subjects who had {T1} {tmp1}
hypersensitivity-type {p1} to {d2} or {d3}
any {sev1} {p1/dx} requiring {t2}
planned {t1} during {!trial}
{p1/dx} {neg2=except} {p2/dx} of the {loc2}
age {!age} or older with {cou1} {p1/dx} confirmed by {x2/image}
stable dose of {d1/name} for {dur1} before {!trial}
{x1/qual} shown to be {val1} {tmp1}
adequate organ function: {x1/lab} {val1} ({ref1}), {x2/lab} {val2}
participants {unc1=suspected of having} {p1/dx} {con1=if confirmed by} {x2}
{p1/sym} {con1} for at least {tmp1/span}
## criteria terse
{p1/dx}
{Q1}
{x1/lab} {val1}
{neg1=no} {p1/dx}, {neg2=no} {d2}
{d1}, {tmp1}
{t1} {tmp1}
{p1/dx}; {p2/dx}; {p3/dx}
- {sev1} {p1/dx}
{x1/vital} {val1}
{unc1/adj} {p1/dx} {tmp1}
## plain full
{!he} works as a~ {!job} and lives in {!place} with {!home}
informed consent was obtained [from {!contact}|]
an appointment at the {!clinic} was made for {!day}
{!doctor} reviewed the chart and agreed
{!he} smokes {!small} cigarettes a day and likes {!hobby}
this was discussed with {!contact}, who understood
the plan was explained in plain words, and all questions were answered
{!he} was moved to {!ward} on {!day}
parking at the {!clinic} is limited; please come {!small} minutes early
the {!clinic} phone number is {!phone}
willing to comply with the visits of {!trial}
able to read and sign the consent form of {!trial}
the committee approved {!trial} in due form
{!he} has {!small} children and used to be a~ {!job}
his heart was not in the game, he joked, and the headache of parking annoyed him
the course of the year was quiet and {!he} had a high old time at {!hobby}
time spent: {!small} minutes, more than half on counselling about forms
{!contact} will bring the old records on {!day}
data were collected by {!doctor} with the help of the {!clinic}
here we describe the case and look at the literature
the rash decision to sell the house was regretted
a cold wind and a depression over the coast kept {!him} indoors
## plain terse
lives in {!place}, {!home}
occ: {!job}
{!small} min spent; note copied to {!doctor}
RTC {!day}
contact {!contact} {!phone}
bed: {!ward}. code status on file
hobbies - {!hobby}
pt seen w/ {!doctor}, agree w/ above
see scanned forms, page {!small}
{!clinic} appt {!day} at {!small} o'clock
## plain spoken
okay great, see you {!day}
how is the {!hobby} going these days
alright have a seat and I will be right back
so we will see you in {!small} weeks, the front desk will set that up
do you have any questions for me before you go
"""
