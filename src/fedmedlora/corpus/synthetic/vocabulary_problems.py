"""Words for problems, by specialty: diagnoses, symptoms, and the parts that compound terms are made of.

Every string is a ';'-separated list. Positions decide which world and part may use a term (see `vocabulary.split`).
"""

from __future__ import annotations

DIAGNOSES: dict[str, str] = {
    "cardiac": """
        atrial fibrillation; congestive heart failure; coronary artery disease; hypertension; AF; CHF;
        myocardial infarction; aortic stenosis; mitral regurgitation; pericarditis; NSTEMI; STEMI; angina pectoris;
        dilated cardiomyopathy; supraventricular tachycardia; sick sinus syndrome; infective endocarditis; CAD;
        peripheral arterial disease; abdominal aortic aneurysm; HTN; complete heart block; cardiac tamponade; HFrEF;
        takotsubo cardiomyopathy; atrial flutter; postural hypotension; myocarditis; Brugada syndrome;
        patent foramen ovale; ventricular ectopy; long QT syndrome; constrictive pericarditis; aortic dissection;
        cor pulmonale; PAD
        """,
    "respiratory": """
        COPD; asthma; pneumonia; pulmonary embolism; pleural effusion; obstructive sleep apnoea; PE; OSA;
        bronchiectasis; pneumothorax; interstitial lung disease; idiopathic pulmonary fibrosis; emphysema; ARDS;
        aspiration pneumonia; respiratory failure; pulmonary hypertension; sarcoidosis; atelectasis; lung abscess;
        community-acquired pneumonia; bronchiolitis; cystic fibrosis; empyema; chronic bronchitis; silicosis; croup;
        hypersensitivity pneumonitis; acute chest syndrome; vocal cord dysfunction; tracheomalacia; haemothorax
        """,
    "digestive": """
        GERD; peptic ulcer disease; Crohn's disease; ulcerative colitis; cirrhosis; hepatitis C; GORD;
        gallstone pancreatitis; diverticulosis; coeliac disease; irritable bowel syndrome; IBS; oesophageal varices;
        gastroparesis; small bowel obstruction; SBO; alcoholic liver disease; hepatic encephalopathy; hiatus hernia;
        Barrett's oesophagus; cholelithiasis; ascending cholangitis; NAFLD; haemorrhoids; anal fissure; achalasia;
        portal hypertension; ischaemic colitis; volvulus; inguinal hernia; primary biliary cholangitis;
        paralytic ileus; upper GI bleed; autoimmune hepatitis; microscopic colitis; Mallory-Weiss tear
        """,
    "neurologic": """
        ischaemic stroke; epilepsy; migraine; Parkinson's disease; multiple sclerosis; TIA; CVA; MS;
        subarachnoid haemorrhage; Alzheimer's disease; peripheral neuropathy; Guillain-Barré syndrome; ALS;
        dementia; myasthenia gravis; trigeminal neuralgia; subdural haematoma; status epilepticus;
        normal pressure hydrocephalus; Bell's palsy; carpal tunnel syndrome; restless legs syndrome;
        cluster headache; essential tremor; delirium; transverse myelitis; cerebral palsy; Wernicke encephalopathy;
        lumbar radiculopathy; syringomyelia; narcolepsy; neuromyelitis optica; Huntington's disease;
        post-concussion syndrome; vascular dementia; cervical myelopathy
        """,
    "infectious": """
        sepsis; urinary tract infection; cellulitis; UTI; HIV infection; tuberculosis; influenza; COVID-19;
        osteomyelitis; bacterial meningitis; septic shock; Clostridioides difficile colitis; herpes zoster; malaria;
        infectious mononucleosis; Lyme disease; bacteraemia; candidiasis; syphilis; hepatitis B;
        necrotising fasciitis; dengue fever; cytomegalovirus infection; toxoplasmosis; CMV viraemia; typhoid fever;
        invasive aspergillosis; cryptococcal meningitis; scabies; leptospirosis; septic arthritis;
        viral gastroenteritis; erysipelas; brucellosis; Whipple's disease; rickettsiosis
        """,
    "oncologic": """
        breast cancer; non-small cell lung cancer; colorectal adenocarcinoma; prostate cancer; melanoma;
        diffuse large B-cell lymphoma; multiple myeloma; glioblastoma; hepatocellular carcinoma; ovarian cancer;
        NSCLC; renal cell carcinoma; pancreatic cancer; acute myeloid leukaemia; AML; CLL; Hodgkin lymphoma;
        bladder cancer; metastatic disease; thyroid carcinoma; squamous cell carcinoma; tumour lysis syndrome;
        neutropenic fever; GIST; carcinoid tumour; mesothelioma; cholangiocarcinoma; endometrial cancer;
        neuroblastoma; Kaposi sarcoma; DCIS; malignant pleural effusion; leptomeningeal carcinomatosis;
        oral mucositis; osteosarcoma; basal cell carcinoma; gastric adenocarcinoma; chronic myeloid leukaemia;
        nasopharyngeal carcinoma; Ewing sarcoma
        """,
    "endocrine": """
        type 2 diabetes mellitus; hypothyroidism; T2DM; DM2; hyperlipidaemia; obesity; Graves' disease;
        diabetic ketoacidosis; DKA; Addison's disease; Cushing syndrome; hyperparathyroidism; type 1 diabetes; gout;
        adrenal insufficiency; acromegaly; SIADH; diabetes insipidus; vitamin D deficiency; osteoporosis; goitre;
        hypoglycaemia; thyrotoxicosis; phaeochromocytoma; metabolic syndrome; hypopituitarism; PCOS; prediabetes;
        Hashimoto's thyroiditis; dyslipidaemia; gestational diabetes; hypogonadism; primary aldosteronism; MEN1
        """,
    "renal": """
        chronic kidney disease; CKD; acute kidney injury; AKI; nephrolithiasis; nephrotic syndrome; ESRD;
        IgA nephropathy; polycystic kidney disease; hyperkalaemia; hyponatraemia; benign prostatic hyperplasia; BPH;
        pyelonephritis; hydronephrosis; renal artery stenosis; lupus nephritis; metabolic acidosis; hypocalcaemia;
        urinary retention; interstitial nephritis; membranous nephropathy; hypokalaemia; diabetic nephropathy;
        renal tubular acidosis; overactive bladder; neurogenic bladder; urethral stricture;
        haemolytic uraemic syndrome; stress incontinence; hypernatraemia; acute tubular necrosis; hypomagnesaemia;
        Alport syndrome
        """,
    "musculoskeletal": """
        osteoarthritis; rheumatoid arthritis; RA; lumbar spinal stenosis; rotator cuff tear; OA;
        ankylosing spondylitis; polymyalgia rheumatica; fibromyalgia; plantar fasciitis; hip fracture;
        gouty arthritis; systemic lupus erythematosus; SLE; dermatomyositis; frozen shoulder; scoliosis;
        meniscal tear; ACL rupture; compression fracture; tennis elbow; rhabdomyolysis; psoriatic arthritis;
        avascular necrosis; herniated disc; Sjögren's syndrome; distal radius fracture; hallux valgus;
        giant cell arteritis; trochanteric bursitis; compartment syndrome; Baker's cyst; Dupuytren's contracture;
        Achilles tendinopathy; hypermobility; Paget's disease
        """,
    "psychiatric": """
        major depressive disorder; depression; generalised anxiety disorder; bipolar disorder; PTSD; ADHD;
        schizophrenia; alcohol use disorder; panic disorder; opioid dependence; OCD; anorexia nervosa; MDD;
        psychosis; borderline personality disorder; postpartum depression; alcohol withdrawal; adjustment disorder;
        catatonia; schizoaffective disorder; autism spectrum disorder; social phobia; bulimia nervosa; dysthymia;
        GAD; mania; substance misuse; somatisation disorder; conversion disorder; tardive dyskinesia;
        acute stress reaction; serotonin syndrome; nicotine dependence; agoraphobia
        """,
    "haematologic": """
        iron deficiency anaemia; deep vein thrombosis; DVT; sickle cell disease; thrombocytopenia; ITP;
        haemophilia A; pernicious anaemia; neutropenia; aplastic anaemia; polycythaemia vera; factor V Leiden;
        anemia; pancytopenia; heparin-induced thrombocytopenia; von Willebrand disease; beta thalassaemia;
        haemochromatosis; antiphospholipid syndrome; disseminated intravascular coagulation; DIC; leukopenia;
        eosinophilia; MDS; TTP; autoimmune haemolytic anaemia; portal vein thrombosis; G6PD deficiency;
        essential thrombocythaemia; MGUS
        """,
    "skin": """
        atopic dermatitis; psoriasis; urticaria; acne vulgaris; rosacea; eczema; Stevens-Johnson syndrome; vitiligo;
        pressure ulcer; contact dermatitis; bullous pemphigoid; seborrhoeic keratosis; alopecia areata; drug rash;
        pemphigus vulgaris; hidradenitis suppurativa; lichen planus; pityriasis rosea; venous ulcer; impetigo;
        DRESS; actinic keratosis; toxic epidermal necrolysis; erythema multiforme; onychomycosis;
        pyoderma gangrenosum; diabetic foot ulcer; keloid; angioedema; erythema nodosum; lipodystrophy;
        tinea corporis
        """,
    "sensory": """
        glaucoma; cataract; otitis media; sinusitis; tinnitus; macular degeneration; diabetic retinopathy; BPPV;
        retinal detachment; conjunctivitis; allergic rhinitis; Ménière's disease; uveitis;
        sensorineural hearing loss; optic neuritis; nasal polyps; tonsillitis; otosclerosis; amblyopia; keratoconus;
        epistaxis; laryngitis; pterygium; central retinal vein occlusion; dry eye syndrome; peritonsillar abscess;
        otitis externa; cholesteatoma; vestibular neuritis; blepharospasm; presbycusis; deviated septum
        """,
    "obstetric": """
        pre-eclampsia; endometriosis; uterine fibroids; placenta praevia; ectopic pregnancy; HELLP syndrome;
        hyperemesis gravidarum; polycystic ovary syndrome; pelvic inflammatory disease; PID; bacterial vaginosis;
        mastitis; premature rupture of membranes; gestational hypertension; ovarian torsion; cervical dysplasia;
        adenomyosis; placental abruption; menopausal syndrome; postpartum haemorrhage; pelvic organ prolapse;
        molar pregnancy; threatened miscarriage; chorioamnionitis; intrauterine growth restriction;
        cervical insufficiency; lichen sclerosus; preterm labour; oligohydramnios; vaginal candidiasis
        """,
}

SYMPTOMS: dict[str, str] = {
    "cardiac": """
        chest pain; palpitations; SOB; orthopnoea; leg swelling; syncope; dyspnoea; CP; PND; ankle edema;
        exertional chest tightness; presyncope; claudication; shortness of breath; racing heartbeat;
        peripheral oedema; light-headedness; paroxysmal nocturnal dyspnoea; bradycardia; irregular heartbeat;
        tachycardia; chest pressure; exercise intolerance; pedal edema
        """,
    "respiratory": """
        cough; wheeze; haemoptysis; productive cough; dyspnea; stridor; breathlessness; hoarseness; snoring;
        pleuritic chest pain; yellow sputum; tachypnoea; chest tightness; dry cough; noisy breathing; hiccups;
        wheezing; increased sputum; hypoxia; cyanosis; hemoptysis; air hunger; nasal congestion; nocturnal cough
        """,
    "digestive": """
        nausea; vomiting; diarrhoea; constipation; abdominal pain; heartburn; melaena; bloating; jaundice; N/V;
        rectal bleeding; dysphagia; loss of appetite; haematemesis; anorexia; early satiety; tenesmus; flatulence;
        ascites; steatorrhoea; odynophagia; hematochezia; epigastric discomfort; diarrhea; dry mouth; regurgitation;
        belching; black stools; loose stools; dyspepsia
        """,
    "neurologic": """
        headache; dizziness; seizure; numbness; confusion; tremor; double vision; HA; paraesthesia; facial droop;
        slurred speech; gait instability; memory loss; vertigo; limb weakness; blurred vision; ataxia;
        neck stiffness; loss of consciousness; photophobia; tingling; somnolence; drowsiness;
        word-finding difficulty; unsteadiness; aphasia; LOC; muscle twitching; hemiparesis; lethargy; blackouts;
        neck pain
        """,
    "infectious": """
        fever; chills; night sweats; rigors; malaise; sore throat; fatigue; pyrexia; myalgia; dysuria;
        swollen glands; purulent discharge; lymphadenopathy; sweating; feeling hot; shivering; productive sputum;
        exanthem; low-grade temperature; body aches; general weakness; runny nose
        """,
    "oncologic": """
        weight loss; bone pain; fatigue; hair loss; lump; cachexia; palpable mass; poor appetite; alopecia;
        taste changes; unintentional weight loss; hot flushes; mouth sores; axillary lump; breakthrough pain;
        tiredness; hand-foot syndrome; generalised weakness; breast lump; peripheral tingling; wasting; stomatitis
        """,
    "endocrine": """
        polyuria; polydipsia; weight gain; heat intolerance; cold intolerance; excessive thirst; sweats; flushing;
        increased appetite; dry skin; hypoglycaemic episodes; low libido; nocturia; hirsutism; hand tremors;
        low mood; gynaecomastia; brittle nails; galactorrhoea; facial puffiness; neck swelling; easy bruising
        """,
    "renal": """
        haematuria; urinary frequency; flank pain; oliguria; urgency; frothy urine; incontinence; nocturia; anuria;
        hesitancy; weak stream; proteinuria; dark urine; suprapubic pain; hematuria; uraemic symptoms; renal colic;
        burning micturition; facial oedema; dribbling; bed-wetting; puffy eyes
        """,
    "musculoskeletal": """
        back pain; joint pain; morning stiffness; joint swelling; knee pain; muscle weakness; arthralgia;
        muscle cramps; limping; LBP; shoulder pain; hip pain; stiffness; myalgias; locking; heel pain; foot drop;
        giving way; reduced grip strength; wrist pain; neck ache; falls; muscle soreness; bony tenderness
        """,
    "psychiatric": """
        anxiety; insomnia; low mood; suicidal ideation; hallucinations; agitation; irritability; restlessness;
        panic attacks; poor concentration; anhedonia; SI; self-harm; nightmares; flashbacks; paranoia;
        racing thoughts; apathy; tearfulness; early waking; hopelessness; mood swings; cravings; nervousness;
        brain fog; vivid dreams; emotional numbness
        """,
    "haematologic": """
        bruising; bleeding gums; pallor; nosebleeds; petechiae; fatigue; heavy periods; prolonged bleeding;
        calf swelling; exertional fatigue; splenic discomfort; purpura; gum bleeding; pica; ecchymoses;
        dizziness on standing; haemarthrosis; lassitude; bone aches; brittle hair
        """,
    "skin": """
        rash; itching; pruritus; hives; blisters; dry patches; skin peeling; redness; erythema; scaling;
        hyperpigmentation; oozing; skin thickening; facial flushing; nail changes; swelling of the lips; bumps;
        weals; crusting; skin tightness; excoriations; oral ulcers
        """,
    "sensory": """
        red eye; eye pain; hearing loss; ear pain; visual loss; floaters; ear discharge; runny nose; dry eyes;
        sneezing; blurry vision; watery eyes; facial pressure; loss of smell; nose bleed; halos around lights;
        ringing in the ears; flashing lights; hoarse voice; postnasal drip; gritty eyes; blocked ear
        """,
    "obstetric": """
        vaginal bleeding; pelvic pain; vaginal discharge; morning sickness; contractions; heavy menses; cramps;
        reduced fetal movements; dyspareunia; breast tenderness; spotting; irregular periods; amenorrhoea;
        lower abdominal cramps; hot flashes; pelvic pressure; leakage of fluid; vulval itch; menorrhagia;
        dysmenorrhoea
        """,
}

FINDINGS = """
    pain; tenderness; swelling; mass; lesion; nodule; oedema; weakness; numbness; erythema; fracture; abscess; cyst;
    ulcer; bruising; effusion; stiffness; haematoma; crackles; murmur; opacity; stenosis; laceration; infiltrate;
    thrombus; calcification; discharge; spasm; consolidation; thickening; discomfort; bleeding; dilatation; rash;
    burning; deformity; atrophy; hernia; enhancement; cramping; collection; rales; masses; edema; burn; rigidity;
    ischaemia; scarring; aching; inflammation; wheezes; paralysis; hypertrophy; guarding; warmth; perforation;
    paresthesias; loss of sensation; soft tissue swelling; filling defect; air-fluid level; metastases;
    enlarged lymph nodes; free fluid; ground-glass opacities; hypodensity; rub; adhesions; contusion; dislocation;
    tear; infarct; throbbing; dullness to percussion; polyp; plaque
    """

ORGANS: dict[str, str] = {
    "cardiac": """
        mitral valve; aortic root; pericardial; left ventricular; coronary; carotid; tricuspid valve; atrial; septal
        """,
    "respiratory": "pulmonary; bronchial; pleural; tracheal; upper lobe; mediastinal; hilar; diaphragmatic; alveolar",
    "digestive": "hepatic; gastric; duodenal; colonic; pancreatic; biliary; oesophageal; ileal; rectal; gallbladder",
    "neurologic": """
        cerebral; cerebellar; spinal cord; basal ganglia; frontal lobe; cranial nerve; meningeal; pituitary;
        thalamic
        """,
    "infectious": "soft tissue; lymph node; parotid; psoas; paraspinal; tonsillar; liver; perianal; wound",
    "oncologic": "adrenal; thyroid; mammary; peritoneal; retroperitoneal; axillary; bone marrow; pelvic; nodal",
    "endocrine": """
        thyroid gland; parathyroid; adrenal cortex; islet cell; pituitary stalk; thymic; multinodular; gonadal
        """,
    "renal": "renal; ureteric; bladder wall; prostatic; glomerular; urethral; renal pelvis; cortical; perinephric",
    "musculoskeletal": """
        lumbar disc; femoral; tibial; vertebral; rotator cuff; meniscal; acetabular; synovial; metatarsal; scaphoid
        """,
    "psychiatric": "affective; cognitive; behavioural; sleep; attention; psychomotor; executive; emotional",
    "haematologic": "splenic; marrow; portal vein; jugular vein; plasma cell; platelet; clotting factor; lymphoid",
    "skin": "dermal; epidermal; scalp; nail bed; palmar; facial; subcutaneous; mucosal; truncal",
    "sensory": """
        corneal; retinal; optic disc; tympanic membrane; maxillary sinus; nasal septum; cochlear; orbital; laryngeal
        """,
    "obstetric": "ovarian; uterine; cervical; placental; tubal; endometrial; vulval; vaginal; adnexal",
}

PATHOLOGIES = """
    calcification; stenosis; cyst; nodule; haemorrhage; thrombosis; dysfunction; hyperplasia; atrophy; abscess;
    oedema; mass; fibrosis; ischaemia; tear; rupture; infection; tumour; thickening; insufficiency; necrosis;
    lesion; enlargement; prolapse; inflammation; infarction; obstruction; adenoma; carcinoma; fracture; ulceration;
    displacement; aneurysm; degeneration; injury; hypertrophy; occlusion; fistula; malformation; polyp; sclerosis;
    spasm; laceration; effusion
    """

DISTURBANCES = """
    dysregulation; impairment; disturbance; instability; deficit; blunting; deficiency; slowing; disorder; lability;
    decline; abnormality
    """

ROOTS: dict[str, str] = {
    "cardiac": "cardi; vascul; arteri; phleb; angi; valvul; endocard; myocard; pericard; aort",
    "respiratory": "bronch; pneumon; pleur; trache; alveol; laryng; rhin; pharyng; bronchiol",
    "digestive": "gastr; enter; col; hepat; cholecyst; pancreat; proct; diverticul; esophag; ile; duoden; gloss",
    "neurologic": "neur; encephal; myel; mening; radicul; polyneur; leukoencephal; gli; ventricul; arachnoid",
    "infectious": "lymphaden; aden; tonsill; fasci; sial; paronych; mastoid; epiglott",
    "oncologic": "sarc; lymph; fibr; hemangi; chondr; leiomy; lip; mening; neur; schwann",
    "endocrine": "thyroid; adren; hypophys; insul; parathyroid; thym; pituitar",
    "renal": "nephr; cyst; pyel; ureter; glomerul; prostat; urethr; nephrolith; balan",
    "musculoskeletal": """
        arthr; oste; my; tendin; burs; spondyl; synov; chondr; polyarthr; capsul; sacroili; epicondyl
        """,
    "psychiatric": "psych; schiz; cycl; dyssomn",
    "haematologic": "splen; myel; haemat; thromb; lymphangi; hemoglobin",
    "skin": "dermat; panniculit; follicul; cheil; onych; hidraden; neurodermat",
    "sensory": "retin; kerat; blephar; ot; uve; scler; conjunctiv; labyrinth; dacryocyst; chorioretin",
    "obstetric": "metr; salping; oophor; cervic; vagin; vulv; mast; placent; endometr",
}

SUFFIXES = "itis; opathy; osis; algia; omalacia; oma; osclerosis; orrhagia; oplasia; omegaly; odynia; olysis"
