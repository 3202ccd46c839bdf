"""Words for tests: numeric tests with units and ranges, vital signs, imaging, cultures and serologies."""

from __future__ import annotations

LABS: dict[str, str] = {
    # names (variants by ','), range counted as normal, decimals, units (variants by ','), highest value there is
    "cardiac": """
        troponin I, troponin, hs-TnT|0-14|0|ng/L; BNP, NT-proBNP|0-125|0|pg/mL; CK-MB|0-5|1|ng/mL;
        LDL, LDL cholesterol|50-130|0|mg/dL; total cholesterol|120-200|0|mg/dL;
        ejection fraction, LVEF, EF|55-70|0|%|85; HDL|40-60|0|mg/dL; triglycerides, TG|40-150|0|mg/dL;
        CK, creatine kinase|30-200|0|U/L; digoxin level|0.8-2.0|1|ng/mL; lipoprotein(a)|0-30|0|mg/dL;
        homocysteine|5-15|1|µmol/L
        """,
    "respiratory": """
        pH|7.35-7.45|2|; PaO2, pO2|75-100|0|mmHg; pCO2, PaCO2|35-45|0|mmHg; FEV1|80-120|0|%;
        FVC|80-120|0|% predicted; DLCO|75-120|0|%; FEV1/FVC|70-85|0|%; peak flow|400-600|0|L/min;
        alpha-1 antitrypsin|90-200|0|mg/dL; lactate|0.5-2.0|1|mmol/L; base excess|-2-2|1|mmol/L
        """,
    "digestive": """
        ALT, alanine aminotransferase|7-56|0|U/L; AST|8-48|0|U/L, IU/L; total bilirubin, bilirubin|0.2-1.2|1|mg/dL;
        lipase|13-60|0|U/L; ALP, alkaline phosphatase|44-147|0|IU/L; albumin|3.5-5.0|1|g/dL; amylase|30-110|0|U/L;
        GGT|5-40|0|U/L; ammonia|15-45|0|µmol/L; faecal calprotectin|0-50|0|µg/g; direct bilirubin|0-0.3|1|mg/dL;
        gastrin|0-100|0|pg/mL
        """,
    "neurologic": """
        CSF protein|15-45|0|mg/dL; CSF glucose|40-70|0|mg/dL; CSF white cells|0-5|0|/µL;
        phenytoin level|10-20|1|mcg/mL; opening pressure|6-25|0|cmH2O; vitamin B1|70-180|0|nmol/L;
        copper|70-140|0|µg/dL; GCS|14-15|0||15; valproate level|50-100|0|mg/L; ceruloplasmin|20-40|0|mg/dL
        """,
    "infectious": """
        CRP, C-reactive protein|0-5|1|mg/L; procalcitonin, PCT|0-0.5|2|ng/mL;
        WBC, white cell count, WCC|4.0-11.0|1|x10^9/L, K/µL, x 10⁹/L; ESR|0-20|0|mm/h, mm/hr;
        CD4 count, CD4|500-1500|0|cells/mm3, cells/µL; viral load|0-50|0|copies/mL;
        vancomycin trough|10-20|1|mcg/mL, mg/L; neutrophils, ANC|1.8-7.5|1|x10^9/L; lymphocytes|1.0-4.0|1|x10^9/L;
        ferritin|20-300|0|ng/mL, µg/L
        """,
    "oncologic": """
        PSA|0-4.0|1|ng/mL; CEA|0-5.0|1|ng/mL; CA-125|0-35|0|U/mL; CA 19-9|0-37|0|U/mL;
        AFP, alpha-fetoprotein|0-10|1|ng/mL; LDH|140-280|0|U/L; Ki-67|5-20|0|%; beta-2 microglobulin|1.0-2.4|1|mg/L;
        chromogranin A|0-100|0|ng/mL; serum free light chains|0.3-1.7|2|mg/dL; CA 15-3|0-30|0|U/mL;
        uric acid|3.5-7.2|1|mg/dL
        """,
    "endocrine": """
        HbA1c, A1c, hemoglobin A1c|4.0-5.6|1|%; TSH|0.4-4.0|2|mIU/L, µIU/mL; free T4, fT4|0.8-1.8|1|ng/dL;
        fasting glucose, FBG|70-100|0|mg/dL; glucose, blood sugar, BM|3.9-7.8|1|mmol/L;
        cortisol, morning cortisol|5-25|0|µg/dL; PTH|10-65|0|pg/mL; vitamin D, 25-OH vitamin D|30-100|0|ng/mL;
        prolactin|4-23|1|ng/mL; IGF-1|100-300|0|ng/mL; C-peptide|0.8-3.1|1|ng/mL;
        testosterone level|300-1000|0|ng/dL
        """,
    "renal": """
        creatinine, Cr, serum creatinine|0.6-1.2|1|mg/dL; eGFR|90-120|0|mL/min/1.73 m2, ml/min; BUN|7-20|0|mg/dL;
        potassium, K|3.5-5.0|1|mmol/L, mEq/L; sodium, Na|135-145|0|mmol/L, mEq/L; urea|2.5-7.8|1|mmol/L;
        calcium, Ca|8.5-10.5|1|mg/dL; magnesium, Mg|1.7-2.2|1|mg/dL; phosphate|2.5-4.5|1|mg/dL;
        bicarbonate, HCO3|22-28|0|mmol/L; anion gap|8-16|0|; urine output|800-2000|0|mL, mL/24 h;
        urine protein|0-150|0|mg/24 h, mg/day; post-void residual|0-100|0|mL; chloride|98-106|0|mEq/L;
        urine albumin/creatinine ratio|0-30|0|mg/g
        """,
    "musculoskeletal": """
        rheumatoid factor, RF|0-14|0|IU/mL; anti-CCP|0-20|0|U/mL; serum urate|3.4-7.0|1|mg/dL; CPK|22-198|0|U/L;
        T-score|-1-1|1|; aldolase|1.0-7.5|1|U/L; complement C3|90-180|0|mg/dL; C4|10-40|0|mg/dL;
        range of motion|120-150|0|°, degrees; anti-dsDNA|0-30|0|IU/mL
        """,
    "psychiatric": """
        lithium level|0.6-1.2|1|mmol/L, mEq/L; PHQ-9, PHQ-9 score|0-4|0|; GAD-7|0-4|0|; MMSE|26-30|0||30;
        blood alcohol|0-10|0|mg/dL; clozapine level|350-600|0|ng/mL; MoCA|26-30|0||30; HAM-D|0-7|0|; CIWA score|0-8|0|;
        QTc|350-440|0|ms, msec
        """,
    "haematologic": """
        haemoglobin, Hb, Hgb, hemoglobin|12.0-16.0|1|g/dL; platelets, platelet count, PLT|150-400|0|x10^9/L, K/uL;
        INR|0.8-1.2|1|; MCV|80-100|0|fL; D-dimer|0-500|0|ng/mL, µg/L; haematocrit, Hct|36-48|0|%;
        APTT, aPTT|25-35|0|s, sec; fibrinogen|200-400|0|mg/dL; reticulocytes|0.5-2.5|1|%; serum iron|60-170|0|µg/dL;
        vitamin B12 level|200-900|0|pg/mL; haptoglobin|30-200|0|mg/dL; transferrin saturation|20-50|0|%;
        PT|11-14|1|sec
        """,
    "skin": """
        serum IgE, IgE|0-100|0|IU/mL; tryptase|0-11|1|µg/L; eosinophil count, eosinophils|0-0.5|2|x10^9/L;
        PASI|0-3|1|; zinc|70-120|0|µg/dL; ABPI|1.0-1.3|2|; wound area|0-2|1|cm2; DLQI|0-5|0|
        """,
    "sensory": """
        intraocular pressure, IOP|10-21|0|mmHg, mm Hg; cup-to-disc ratio|0.2-0.4|1|;
        central macular thickness|200-280|0|µm; hearing threshold|0-20|0|dB; Schirmer test|10-30|0|mm;
        axial length|22-25|1|mm; corneal thickness|520-560|0|µm
        """,
    "obstetric": """
        beta-hCG, hCG|0-5|0|mIU/mL; AMH|1.0-4.0|1|ng/mL; fetal heart rate, FHR|110-160|0|bpm;
        fundal height|20-36|0|cm; LH|2-15|1|IU/L; FSH|3-10|1|IU/L; estradiol level|30-400|0|pg/mL;
        Bishop score|6-13|0|; amniotic fluid index|5-25|0|cm; progesterone level|5-20|1|ng/mL
        """,
}

VITALS = """
    heart rate, HR, pulse|60-100|0|bpm, /min, beats/min; temperature, T, Temp|36.1-37.5|1|°C, C;
    respiratory rate, RR|12-20|0|/min, breaths/min;
    SpO2, oxygen saturation, O2 sat, sats|94-100|0|% on room air, % RA, %|100; weight, wt|55-95|1|kg;
    BMI|18.5-25.0|1|kg/m2, kg/m²; height|150-190|0|cm; mean arterial pressure, MAP|70-100|0|mmHg;
    body temperature, Tmax|97.0-99.5|1|°F, F; capillary refill|0-2|0|s, sec; resting pulse|60-90|0|bpm;
    pain score|0-2|0|/10|10; CVP|2-8|0|mmHg; waist circumference|70-94|0|cm
    """

PRESSURES = """
    BP; blood pressure; arterial pressure; home BP; clinic blood pressure; sitting BP; office BP;
    standing blood pressure
    """

MODALITIES = """
    CT; MRI; ultrasound; X-ray; CT scan; PET-CT; radiograph; magnetic resonance imaging; contrast-enhanced CT; US;
    MRA; CTA; plain film; computed tomography; Doppler; PET scan; sonography; bone scan; CT angiography;
    scintigraphy; non-contrast CT
    """

REGIONS = """
    chest; abdomen; brain; pelvis; head; spine; left knee; liver; neck; right shoulder; lumbar spine; kidneys;
    thorax; abdomen and pelvis; right hip; lower extremity; sinuses; left wrist; cervical spine; thyroid; scrotum;
    ankle; aorta; leg veins; orbits
    """

STUDIES = """
    ECG; EKG; echocardiogram; colonoscopy; EEG; chest X-ray; CXR; TTE; bronchoscopy; endoscopy; KUB; spirometry;
    lumbar puncture; stress test; cardiac catheterisation; biopsy; mammogram; electromyography; EMG; urinalysis; UA;
    Holter monitor; coronary angiography; skin biopsy; TEE; nerve conduction study; OGD; capsule endoscopy;
    V/Q scan; fundoscopy; audiometry; DEXA; bone marrow aspirate; MRCP; sleep study; FNA; physical examination;
    neurological exam; histology; cystoscopy; treadmill test; tilt table test; slit lamp examination; gastroscopy;
    immunohistochemistry; flow cytometry; karyotype; visual field test; arteriogram; laparoscopy;
    exercise stress echo; sigmoidoscopy; pulmonary function tests; PFTs; Pap smear; blood smear; hepatobiliary scan;
    genetic testing; barium swallow; colposcopy; ABG; fluoroscopy
    """

QUALITATIVE = """
    blood culture; blood cultures; urine culture; HIV test; hepatitis panel; ANA; ANCA; sputum culture;
    pregnancy test; Gram stain; COVID PCR; rapid strep test; stool culture; occult blood; urine dipstick; HBsAg;
    monospot; VDRL; tox screen; influenza swab; MRSA screen; anti-HCV; Coombs test; JAK2 mutation;
    anti-Smith antibody; acid-fast bacilli stain; EGFR mutation; Helicobacter antigen; cryptococcal antigen;
    tuberculin skin test; patch test; anti-TPO antibodies; urine drug screen; HLA-B27; straight leg raise;
    Romberg test; Murphy's sign; C. difficile toxin; interferon gamma release assay; RPR; galactomannan;
    estrogen receptor; HER2; BRCA1; PD-L1; lupus anticoagulant
    """
