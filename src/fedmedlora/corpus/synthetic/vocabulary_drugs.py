"""Words for drugs and treatments, by specialty, and the stems that made-up drug and operation names are built from."""

from __future__ import annotations

DRUGS: dict[str, str] = {
    "cardiac": """
        metoprolol; lisinopril; amlodipine; aspirin; furosemide; digoxin; ASA; warfarin; amiodarone; bisoprolol;
        atorvastatin; ramipril; clopidogrel; spironolactone; carvedilol; apixaban; losartan; nitroglycerin;
        diltiazem; rosuvastatin; hydrochlorothiazide; HCTZ; ticagrelor; ivabradine; sacubitril/valsartan; verapamil;
        valsartan; flecainide; bumetanide; isosorbide mononitrate; rivaroxaban; dobutamine; eplerenone; hydralazine;
        sotalol; simvastatin
        """,
    "respiratory": """
        salbutamol; albuterol; tiotropium; prednisone; budesonide; montelukast; ipratropium; prednisolone;
        fluticasone; theophylline; salmeterol; azithromycin; formoterol; roflumilast; acetylcysteine; pirfenidone;
        codeine; guaifenesin; omalizumab; nintedanib; beclometasone; aminophylline; dornase alfa; benralizumab
        """,
    "digestive": """
        omeprazole; pantoprazole; lactulose; mesalazine; ondansetron; metoclopramide; ranitidine; loperamide;
        infliximab; ursodiol; rifaximin; senna; famotidine; azathioprine; bisacodyl; esomeprazole; octreotide;
        domperidone; lansoprazole; polyethylene glycol; sucralfate; budesonide MMX; vedolizumab; dicyclomine;
        cholestyramine; pancrelipase
        """,
    "neurologic": """
        levetiracetam; gabapentin; levodopa; topiramate; carbamazepine; phenytoin; pregabalin; sumatriptan;
        lamotrigine; valproate; donepezil; alteplase; baclofen; natalizumab; memantine; amitriptyline;
        pyridostigmine; rizatriptan; lacosamide; nimodipine; interferon beta-1a; ropinirole; oxcarbazepine;
        riluzole; clonazepam; fingolimod; primidone; IVIG
        """,
    "infectious": """
        vancomycin; ceftriaxone; amoxicillin; ciprofloxacin; doxycycline; piperacillin-tazobactam; metronidazole;
        fluconazole; acyclovir; meropenem; TMP-SMX; levofloxacin; nitrofurantoin; isoniazid; oseltamivir; cefazolin;
        rifampicin; linezolid; clindamycin; tenofovir; ganciclovir; gentamicin; flucloxacillin; amphotericin B;
        remdesivir; cephalexin; voriconazole; ivermectin; dolutegravir; ertapenem; daptomycin; ethambutol;
        efavirenz; artesunate
        """,
    "oncologic": """
        paclitaxel; carboplatin; tamoxifen; doxorubicin; pembrolizumab; cisplatin; rituximab; cyclophosphamide;
        5-FU; letrozole; trastuzumab; imatinib; docetaxel; methotrexate; vincristine; capecitabine; gemcitabine;
        bortezomib; nivolumab; oxaliplatin; dexamethasone; filgrastim; erlotinib; lenalidomide; irinotecan;
        bevacizumab; etoposide; anastrozole; olaparib; ibrutinib; bleomycin; cetuximab; temozolomide; abiraterone;
        cytarabine; sunitinib
        """,
    "endocrine": """
        metformin; insulin glargine; levothyroxine; glipizide; empagliflozin; insulin lispro; sitagliptin;
        alendronate; hydrocortisone; liraglutide; carbimazole; methimazole; semaglutide; gliclazide;
        cholecalciferol; dapagliflozin; pioglitazone; desmopressin; allopurinol; insulin; fludrocortisone;
        cabergoline; dulaglutide; testosterone; teriparatide; colchicine; propylthiouracil; calcium carbonate;
        exenatide; denosumab
        """,
    "renal": """
        tamsulosin; sevelamer; erythropoietin; oxybutynin; finasteride; tacrolimus; mycophenolate;
        potassium chloride; sodium bicarbonate; torsemide; solifenacin; calcitriol; cyclosporine; mannitol;
        dutasteride; darbepoetin; mirabegron; chlorthalidone; cinacalcet; tolvaptan; patiromer; metolazone;
        basiliximab; iron sucrose
        """,
    "musculoskeletal": """
        ibuprofen; naproxen; paracetamol; acetaminophen; diclofenac; hydroxychloroquine; tramadol; oxycodone;
        morphine; adalimumab; celecoxib; sulfasalazine; cyclobenzaprine; etanercept; meloxicam; leflunomide;
        hydrocodone; fentanyl; ketorolac; tizanidine; MTX; tofacitinib; indomethacin; methylprednisolone;
        tocilizumab; methocarbamol; zoledronic acid
        """,
    "psychiatric": """
        sertraline; fluoxetine; lithium; quetiapine; olanzapine; lorazepam; escitalopram; bupropion; risperidone;
        haloperidol; venlafaxine; diazepam; trazodone; mirtazapine; aripiprazole; clozapine; methadone; duloxetine;
        zolpidem; methylphenidate; citalopram; buprenorphine; paroxetine; alprazolam; naltrexone; ziprasidone;
        buspirone; disulfiram; atomoxetine; nortriptyline
        """,
    "haematologic": """
        heparin; enoxaparin; ferrous sulfate; folic acid; hydroxyurea; vitamin B12; dabigatran; dalteparin;
        vitamin K; tranexamic acid; eltrombopag; fondaparinux; deferasirox; iron dextran; ruxolitinib; edoxaban;
        factor VIII; argatroban; protamine; eculizumab; cyanocobalamin; romiplostim
        """,
    "skin": """
        hydrocortisone cream; isotretinoin; clobetasol; mupirocin; cetirizine; loratadine; diphenhydramine;
        terbinafine; betamethasone; calcipotriol; dupilumab; permethrin; tretinoin; benzoyl peroxide; fexofenadine;
        ustekinumab; minoxidil; adapalene; silver sulfadiazine; secukinumab; hydroxyzine; ketoconazole; acitretin;
        pimecrolimus
        """,
    "sensory": """
        latanoprost; timolol; prednisolone acetate; brimonidine; ofloxacin; mometasone; betahistine; cyclopentolate;
        ranibizumab; dorzolamide; artificial tears; chloramphenicol; aflibercept; xylometazoline; meclizine;
        acetazolamide; olopatadine; pilocarpine; azelastine; tropicamide
        """,
    "obstetric": """
        oxytocin; magnesium sulfate; labetalol; nifedipine; methyldopa; progesterone; misoprostol; estradiol;
        clomiphene; medroxyprogesterone; terbutaline; leuprolide; ethinylestradiol; mifepristone; norethisterone;
        atosiban; raloxifene; folate; letrozole citrate; carboprost
        """,
}

DRUG_CLASSES = """
    beta blockers; ACE inhibitors; antibiotics; loop diuretics; statins; steroids; NSAIDs; opioids; anticoagulants;
    proton pump inhibitors; SSRIs; calcium channel blockers; corticosteroids; antiplatelet agents;
    oral contraceptives; immunosuppressants; inhaled corticosteroids; antiepileptic drugs; diuretics;
    benzodiazepines; antihistamines; vasopressors; antidepressants; laxatives; bronchodilators; chemotherapy;
    thiazides; analgesics; antiemetics; antipsychotics; antivirals; insulin therapy; iron supplements;
    topical steroids; biologics; muscle relaxants; contrast; alcohol; penicillin; sulfa;
    monoamine oxidase inhibitors; nitrates; tricyclics; triptans; herbal remedies; multivitamins; CYP3A4 inhibitors;
    latex
    """

DRUG_PREFIXES = """
    ab; ad; ale; ami; ano; ara; ate; ba; bel; beni; bro; ca; cel; ci; clo; da; dexa; dol; du; e; ela; en; fa; fen;
    flu; fo; ga; gle; ha; i; iso; ka; ke; la; le; lin; lo; ma; me; mo; na; neo; ni; nor; o; oxa; pa; pel; pi; pra;
    qui; ra; re; ri; ro; sa; se; si; so; su; ta; te; ti; to; tra; u; va; ve; vil; vo; xa; ya; za; zi; zu
    """

DRUG_MIDDLES = "; ; no; ti; lu; xi; ra; mo; de; ve; bi; ca; fo; pe; ri"

DRUG_STEMS: dict[str, str] = {
    "cardiac": "olol; pril; sartan; dipine; vastatin; grel; xaban; arone",
    "respiratory": "terol; lukast; tropium; nidesone",
    "digestive": "prazole; setron; tidine; pride",
    "neurologic": "triptan; racetam; gabalin; barbital",
    "infectious": "cillin; floxacin; mycin; conazole; vir; cycline; penem; tegravir",
    "oncologic": "tinib; tuzumab; platin; rubicin; taxel; ciclib; parib; limumab",
    "endocrine": "gliptin; gliflozin; glutide; glitazone; dronate",
    "renal": "vaptan; losin; fenacin; crolimus",
    "musculoskeletal": "coxib; profen; adol; kinra",
    "psychiatric": "oxetine; azepam; peridone; piprazole; pidem",
    "haematologic": "parin; gatran; popag; irudin",
    "skin": "tretin; kinumab; betasol; astine",
    "sensory": "prost; zolamide; nidine; bercept",
    "obstetric": "relin; gestrel; estrol; tocin",
}

TREATMENTS: dict[str, str] = {
    "cardiac": """
        coronary artery bypass grafting; CABG; PCI; percutaneous coronary intervention; pacemaker; cardioversion;
        ICD; aortic valve replacement; catheter ablation; drug-eluting stent; TAVR; intra-aortic balloon pump;
        cardiac rehabilitation; pericardiocentesis; defibrillation; mitral valve repair; carotid endarterectomy;
        heart transplantation; CPR; stenting; left ventricular assist device; thrombolysis;
        femoral-popliteal bypass; balloon angioplasty
        """,
    "respiratory": """
        mechanical ventilation; CPAP; supplemental oxygen; intubation; chest tube; thoracentesis; nebulisers; BiPAP;
        pulmonary rehabilitation; tracheostomy; lobectomy; oxygen therapy; home oxygen; chest physiotherapy;
        pleurodesis; ECMO; bronchoscopic lavage; non-invasive ventilation; decortication; high-flow nasal cannula;
        lung transplantation; extubation
        """,
    "digestive": """
        appendicectomy; cholecystectomy; laparoscopic cholecystectomy; colectomy; feeding tube; ERCP with stenting;
        nasogastric tube; bowel resection; paracentesis; gastric bypass; hernia repair; colostomy; PEG tube;
        band ligation; liver transplantation; bowel rest; ileostomy; total parenteral nutrition; TIPS;
        fundoplication; polypectomy; low-fibre diet; Whipple procedure; sigmoid resection
        """,
    "neurologic": """
        craniotomy; deep brain stimulation; mechanical thrombectomy; VP shunt; aneurysm clipping; lumbar drain;
        nerve block; burr hole drainage; speech therapy; plasma exchange; vagus nerve stimulator;
        carpal tunnel release; coiling; plasmapheresis; decompressive craniectomy; botulinum injections;
        laminectomy; microdiscectomy; occipital nerve block
        """,
    "infectious": """
        incision and drainage; debridement; source control; I&D; wound packing; line removal; drain placement;
        washout; isolation; PICC line; percutaneous drainage; surgical debridement; IV fluids; fluid resuscitation;
        hydration; cooling blanket; vacuum dressing; faecal microbiota transplantation; vaccination; central line
        """,
    "oncologic": """
        radiotherapy; mastectomy; stem cell transplant; lumpectomy; palliative radiation; external beam radiation;
        brachytherapy; prostatectomy; whole-brain radiation; bone marrow transplantation; port placement;
        immunotherapy; XRT; wide local excision; CAR-T infusion; radioactive iodine;
        hysterectomy with salpingo-oophorectomy; sentinel node biopsy; stereotactic radiosurgery; palliative care;
        hemicolectomy; nephron-sparing surgery; axillary dissection; cryoablation
        """,
    "endocrine": """
        thyroidectomy; insulin pump; dietary counselling; parathyroidectomy; adrenalectomy; bariatric surgery;
        low-carb diet; sleeve gastrectomy; continuous glucose monitoring; weight reduction programme; diabetic diet;
        transsphenoidal surgery; hormone replacement; compression stockings; fluid restriction;
        carbohydrate counting
        """,
    "renal": """
        haemodialysis; dialysis; peritoneal dialysis; kidney transplant; lithotripsy; urinary catheter; nephrectomy;
        TURP; Foley catheter; ureteral stent; AV fistula; CRRT; renal transplantation; nephrostomy tube;
        ureteroscopy; low-salt diet; bladder training; suprapubic catheter; pelvic floor exercises;
        transurethral resection; arteriovenous graft
        """,
    "musculoskeletal": """
        total knee replacement; physical therapy; hip arthroplasty; ORIF; steroid injection; PT; knee brace; splint;
        cast; arthroscopy; spinal fusion; walker; joint aspiration; TKR; occupational therapy; rotator cuff repair;
        sling; crutches; open reduction; epidural steroid injection; acupuncture; ice packs; orthotics; kyphoplasty;
        massage; amputation
        """,
    "psychiatric": """
        cognitive behavioural therapy; CBT; ECT; psychotherapy; group therapy; counselling; detoxification; EMDR;
        electroconvulsive therapy; family therapy; one-to-one observation; relapse prevention; mindfulness; TMS;
        supportive therapy; light therapy; sleep hygiene; motivational interviewing; exposure therapy; day programme
        """,
    "haematologic": """
        blood transfusion; platelet transfusion; splenectomy; IVC filter; phlebotomy; exchange transfusion;
        apheresis; packed red cells; FFP; leukapheresis; plasma infusion; venesection; cryoprecipitate;
        autologous transplant; TED stockings; PRBC; thrombolytic therapy; iron infusion
        """,
    "skin": """
        phototherapy; skin graft; excision; wound care; cryotherapy; wet dressings; laser therapy; Mohs surgery;
        curettage; emollients; suture repair; pressure dressing; UVB; negative pressure therapy; escharotomy;
        patch removal; compression bandaging; photodynamic therapy
        """,
    "sensory": """
        cataract surgery; hearing aids; tonsillectomy; vitrectomy; laser photocoagulation; trabeculectomy;
        septoplasty; grommets; cochlear implant; corneal transplant; nasal packing; Epley manoeuvre; sinus surgery;
        eye patch; canalith repositioning; glasses; adenoidectomy; YAG capsulotomy
        """,
    "obstetric": """
        caesarean section; C-section; hysterectomy; induction of labour; IVF; cerclage; epidural; myomectomy; D&C;
        intrauterine device; tubal ligation; forceps delivery; salpingectomy; manual removal; endometrial ablation;
        bed rest; episiotomy; vacuum extraction; embryo transfer; pessary
        """,
}

OPERATIONS = "ectomy; oplasty; ostomy; otomy; orrhaphy; opexy; oscopic repair; ocentesis"

APPROACHES = """
    laparoscopic; open; robotic; emergency; elective; revision; staged; minimally invasive; partial; total; urgent;
    endoscopic; image-guided; percutaneous; bilateral; subtotal; radical; video-assisted
    """
