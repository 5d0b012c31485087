"""Searches by name: each finds in the corpus what the naive evaluator finds there, and something at least.

A line is a search as in a URL, but for the percent signs.  R4: search.html
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.naive.definitions import parameters
from tests.queries import MISSION, url
from tests.searches import Searched, differences, expected

#: By the clause that says what is found.
SEARCHES = {
    "search.html#string": """
        Patient?family=lefevre
        Patient?family=LEF
        Patient?family=Le Goff
        Patient?family=le  goff
        Practitioner?family=dupont-m
        Patient?family=O'Brien
        Patient?family=nunez
        Practitioner?family=simk
        Patient?family=elie
        Patient?family=müller,haddad
        Patient?family:exact=Lefèvre
        Patient?family:exact=LEFEVRE
        Patient?family:exact=Lefèvre,Núñez
        Patient?family:contains=fev
        Patient?family:contains=GOFF
        Patient?family:contains=ment,brien
        Patient?family:missing=true
        Patient?family:missing=false
        Patient?given=zoe
        Patient?given=ZOÉ
        Patient?given:exact=Zoé
        Patient?given:exact=zoe
        Patient?given=marie
        Patient?given:contains=claire
        Patient?given=jean
        Patient?given=francois
        Patient?given=åsa
        Patient?given=zo&given=l
        Patient?name=le
        Patient?name=dr
        Patient?name=zoe&name=le
        Patient?name:exact=Élodie
        Patient?name:contains=luc
        Patient?name:missing=true
        Patient?phonetic=elodie
        Patient?address=3 rue de l'eglise
        Patient?address=besancon
        Patient?address=fr
        Patient?address:contains=érables
        Patient?address:contains=allee
        Patient?address-city=besançon
        Patient?address-city:exact=BESANCON
        Patient?address-city=saint
        Patient?address-city=evry,nimes
        Patient?address-state=doubs
        Patient?address-country=france
        Patient?address-country:exact=FR
        Patient?address-postalcode=25
        Patient?address-postalcode=2a
        Patient?address-use=home
        Immunization?lot-number=AB-1\\,2
        Immunization?lot-number=L\\|77
        Immunization?lot-number=C\\$5
        Immunization?lot-number=back\\\\slash
        Immunization?lot-number=ab
        Immunization?lot-number:exact=Été24,AB-1\\,2
        Immunization?lot-number=L\\|77,C\\$5
        Immunization?lot-number=ete
        Immunization?series=serie
        DocumentReference?description=compte
        DocumentReference?description:contains=échographie
        DocumentReference?description:contains=OPERATOIRE
        Organization?name=chu
        Organization?name=l'etoile
        Organization?name:contains=étoile
        Location?name=urgences
        Condition?onset-info=dans
        Condition?onset-info:contains=ÉTÉ
        Condition?abatement-string=a l'age
        Observation?value-string=negatif
        Observation?value-string:exact=négatif à J3
        Observation?value-string=hyper
        Questionnaire?title=entree a
        List?title=problemes
        List?notes=a revoir
    """,
    "search.html#token": """
        Patient?gender=female
        Patient?gender=http://hl7.org/fhir/administrative-gender|female
        Patient?gender=|female
        Patient?gender=http://hl7.org/fhir/administrative-gender|
        Patient?gender=female,male
        Patient?gender:not=female
        Patient?gender:not=female,male
        Patient?gender:missing=true
        Patient?active=true
        Patient?active=false
        Patient?active:not=true
        Patient?deceased=true
        Patient?deceased=false
        Patient?identifier=N003
        Patient?identifier=urn:oid:1.2.250.1.213.1.4.8|N003
        Patient?identifier=https://hospital.example/ids|N001,https://hospital.example/ids|N002
        Patient?identifier=|N003,|N002,|N001,|N000,|N004
        Patient?identifier=urn:oid:1.2.250.1.213.1.4.8|
        Patient?identifier:not=N003
        Patient?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR|N001,http://terminology.hl7.org/CodeSystem/v2-0203|NH|N002
        Patient?identifier:text=dossier
        Patient?identifier:missing=true
        Patient?telecom=a.b@mail.example
        Patient?email=a.b@mail.example
        Patient?phone=+33 3 81 00 00 01
        Patient?telecom=0600000001
        Patient?language=fr
        Patient?language=urn:ietf:bcp:47|en
        Patient?_id=pat-3
        Patient?_id=pat-3,pat-5,nobody
        Observation?code=29463-7
        Observation?code=http://loinc.org|29463-7
        Observation?code=https://hospital.example/codes|29463-7
        Observation?code=|29463-7,|8867-4,|2339-0,|85354-9,|27113001
        Observation?code=http://snomed.info/sct|
        Observation?code=http://loinc.org|29463-7,http://loinc.org|8867-4
        Observation?code=http://loinc.org|&code=http://snomed.info/sct|
        Observation?code:not=http://loinc.org|29463-7
        Observation?code:text=poids
        Observation?code:text=heart
        Observation?code:text=GLU
        Observation?status=final
        Observation?status=http://hl7.org/fhir/observation-status|amended
        Observation?status:not=final
        Observation?category=vital-signs
        Observation?category:missing=true
        Observation?combo-code=http://loinc.org|8480-6
        Observation?component-code=https://hospital.example/codes|
        Observation?value-concept=https://hospital.example/codes|A\\,B\\|C
        Observation?value-concept=http://snomed.info/sct|
        Observation?data-absent-reason=unknown
        Observation?combo-data-absent-reason=unknown
        Observation?combo-value-concept=http://snomed.info/sct|38341003
        Observation?component-value-concept=38341003
        Observation?component-data-absent-reason=unknown
        Condition?code=A\\,B\\|C
        Condition?code:text=diab
        Condition?code=https://hospital.example/codes|A\\,B\\|C,http://snomed.info/sct|195967001
        AllergyIntolerance?code=91936005
        AllergyIntolerance?code:text=peni
        AllergyIntolerance?category=food
        AllergyIntolerance?category=food&category=medication
        AllergyIntolerance?category:not=food
        AllergyIntolerance?clinical-status=http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical|active
        AllergyIntolerance?criticality=high,low
        AllergyIntolerance?severity:not=severe
        DocumentReference?contenttype=application/pdf
        DocumentReference?language=fr
        DocumentReference?identifier=urn:oid:1.2.3.4,N001
        DocumentReference?security-label=R
        DocumentReference?relation=replaces
        Appointment?part-status=accepted&part-status=tentative
        Appointment?status=booked&part-status=needs-action
        Encounter?class=AMB
        Encounter?class=http://terminology.hl7.org/CodeSystem/v3-ActCode|EMER
        Medication?lot-number=AB-1\\,2,L\\|77,C\\$5
        Questionnaire?version=1.0
        Questionnaire?context-type=age
        Composition?related-id=N000,N001,N002,N003,N004,N005,N006
        Patient?_tag=https://hospital.example/codes|corpus
        Patient?_tag:not=corpus
        Patient?_security=R
        Observation?_security=https://hospital.example/codes|N
    """,
    "search.html#reference": """
        Patient?_id=|pat-3
        QuestionnaireResponse?questionnaire=Questionnaire/quest-0
        QuestionnaireResponse?questionnaire=Questionnaire/quest-1|1.0
        QuestionnaireResponse?questionnaire.version=0.0&_include=QuestionnaireResponse:questionnaire&_count=100
        Questionnaire?_id=quest-0,quest-1&_revinclude=QuestionnaireResponse:questionnaire&_count=100
        Questionnaire?_has:QuestionnaireResponse:questionnaire:_id=of-here
        Observation?subject=Group/herd
        Observation?subject=herd
        Observation?subject:Group=herd
        Observation?device=DeviceMetric/meter
        Observation?device=meter
        Observation?subject=Patient/pat-1
        Observation?subject=pat-1
        Observation?subject:Patient=pat-1
        Observation?subject=http://fhir.test/fhir/Patient/pat-1
        Observation?subject=Patient/pat-1,Patient/pat-2
        Observation?subject=Patient/pat-1,Patient/nobody
        Observation?subject:missing=false
        Observation?patient=Patient/pat-4
        Observation?patient=pat-4
        Observation?patient:missing=false
        Observation?subject:identifier=urn:oid:1.2.250.1.213.1.4.8|N001,urn:oid:1.2.250.1.213.1.4.8|N002,N003,N004,N005
        Observation?patient:identifier=urn:oid:1.2.250.1.213.1.4.8|
        Observation?performer=prac-1,prac-2,prac-3
        Observation?performer:missing=true
        Observation?performer:Patient=pat-1,pat-2,pat-3,pat-4,pat-5,pat-6,pat-7
        Observation?encounter:missing=true
        Observation?has-member:missing=false
        AllergyIntolerance?patient=pat-3,pat-4,pat-5
        AllergyIntolerance?recorder:Practitioner=prac-0,prac-1,prac-2
        Immunization?patient=Patient/pat-6,Patient/pat-7,Patient/pat-8
        Appointment?actor:Location=loc-1,loc-2
        Appointment?location=loc-1,loc-2
        Appointment?practitioner=prac-1,prac-2,prac-3,prac-4
        Appointment?practitioner:missing=true
        Appointment?patient=pat-9,pat-10,pat-11
        Appointment?patient=pat-9,pat-10,pat-11&location=loc-0,loc-1,loc-2,loc-3
        Communication?recipient:missing=false
        Communication?sender:Practitioner=prac-1,prac-2,prac-3
        DocumentReference?subject:identifier=urn:oid:1.2.250.1.213.1.4.8|
        DocumentReference?relatesto:missing=false
        Patient?link:missing=false
        Patient?general-practitioner:missing=true
        Procedure?instantiates-canonical=https://hospital.example/forms/1/intake
        Procedure?instantiates-canonical=https://hospital.example/forms/1/intake|1.0,https://hospital.example/forms/2/intake|2.0
        Communication?instantiates-canonical=https://hospital.example/forms/0/intake
        QuestionnaireResponse?questionnaire=https://hospital.example/forms/1/intake
        QuestionnaireResponse?questionnaire=https://hospital.example/forms/1/intake|1.0
        MedicationRequest?medication:missing=true
        List?item:missing=false
        Provenance?target=DocumentReference/doc-3
        Provenance?target=doc-3
        Provenance?patient=pat-3
        Composition?related-ref:missing=false
    """,
    "search.html#date": """
        Patient?birthdate=2020-02-29
        Patient?birthdate=2020-02
        Patient?birthdate=2020
        Patient?birthdate=ne2020
        Patient?birthdate=gt2020
        Patient?birthdate=ge2020-02
        Patient?birthdate=lt2020
        Patient?birthdate=le2020-02-29
        Patient?birthdate=sa2020-02
        Patient?birthdate=eb2020-02-29
        Patient?birthdate=ge2020&birthdate=le2024-01
        Patient?birthdate=2019,2024
        Patient?birthdate:missing=true
        Patient?death-date=lt2030
        Patient?death-date:missing=true
        Observation?date=2024
        Observation?date=2024-02-29
        Observation?date=2024-02-29T09:00:00Z
        Observation?date=2024-02-29T10:00:00+01:00
        Observation?date=2024-02-29T09:00Z
        Observation?date=2024-02-29T10:00
        Observation?date=2024-03-31
        Observation?date=gt2024-03-31T00:30:00Z
        Observation?date=ge2024-03-31T01:30:00+01:00
        Observation?date=lt2024-03-31T03:30:00+02:00
        Observation?date=2024-10-27
        Observation?date=gt2024-10-27T02:30:00+02:00
        Observation?date=le2024-10-27T02:30:00+01:00
        Observation?date=sa2024
        Observation?date=eb2024
        Observation?date=ne2024
        Observation?date=ge2024-01-01&date=lt2024-07-01
        Observation?date=sa2023&date=eb2024-11
        Observation?date=gt2030
        Observation?date=lt1900
        Observation?date=ap2024-02-29
        Observation?date:missing=true
        Observation?value-date=2024
        Observation?value-date=gt2020
        DocumentReference?date=2024-04-01
        DocumentReference?date=2024
        DocumentReference?date=2023,2024-02-29
        DocumentReference?period=gt2023
        DocumentReference?period=eb2024-06
        AllergyIntolerance?onset=2024
        AllergyIntolerance?last-date=lt2021
        Immunization?date=ge2020
        Immunization?date:missing=true
        Immunization?reaction-date=ne2024-01-01
        Appointment?date=2024-03-31
        Appointment?date=2024-03-31T00:30:00Z
        Appointment?date=2024-10-27T02:30:00+02:00
        Appointment?date=2024-03-31,2024-06-15
        Communication?sent=2024
        Communication?received=le2020
        Condition?onset-date=lt2024
        Condition?abatement-date=gt2000
        Encounter?date=gt2024
        Encounter?date=lt2000
        Encounter?date=eb2024-06
        Encounter?location-period=sa2018
        MedicationRequest?date=2024
        MedicationRequest?authoredon=ge2024-02
        MedicationStatement?effective=gt2023
        Procedure?date=ne2020
        Procedure?date:missing=true
        Questionnaire?effective=lt2020
        Composition?period=ge2019
        PractitionerRole?date=gt2000
        Provenance?when=gt2000
        Provenance?recorded=2024-02-29
        Patient?_lastUpdated=gt2020
        Patient?_lastUpdated=lt2100-01-01T00:00:00Z
    """,
    "search.html#quantity": """
        Observation?value-quantity=72.5
        Observation?value-quantity=73
        Observation?value-quantity=7.25e1
        Observation?value-quantity=72.5||kg
        Observation?value-quantity=72.5|http://unitsofmeasure.org|kg
        Observation?value-quantity=72500|http://unitsofmeasure.org|g
        Observation?value-quantity=7250|http://unitsofmeasure.org|cg,72.5|http://unitsofmeasure.org|kg
        Observation?value-quantity=gt70|http://unitsofmeasure.org|kg
        Observation?value-quantity=ge72.5|http://unitsofmeasure.org|kg
        Observation?value-quantity=lt3251|http://unitsofmeasure.org|g
        Observation?value-quantity=le3.25|http://unitsofmeasure.org|kg
        Observation?value-quantity=ne72.5|http://unitsofmeasure.org|kg
        Observation?value-quantity=sa70|http://unitsofmeasure.org|kg
        Observation?value-quantity=eb70|http://unitsofmeasure.org|kg
        Observation?value-quantity=ap70|http://unitsofmeasure.org|kg
        Observation?value-quantity=0.90|http://unitsofmeasure.org|g/L
        Observation?value-quantity=90|http://unitsofmeasure.org|mg/dL
        Observation?value-quantity=5.4|http://unitsofmeasure.org|mmol/L
        Observation?value-quantity=5400|http://unitsofmeasure.org|umol/L
        Observation?value-quantity=60|http://unitsofmeasure.org|/min
        Observation?value-quantity=gt60|http://unitsofmeasure.org|/min
        Observation?value-quantity=97||%
        Observation?value-quantity=gt100
        Observation?value-quantity=lt5
        Observation?value-quantity:missing=true
        Observation?component-value-quantity=120|http://unitsofmeasure.org|mm[Hg]
        Observation?component-value-quantity=12.0|http://unitsofmeasure.org|cm[Hg]
        Observation?component-value-quantity=gt120|http://unitsofmeasure.org|mm[Hg]
        Observation?component-value-quantity=le8.0|http://unitsofmeasure.org|cm[Hg]
        Observation?combo-value-quantity=gt100
        Observation?combo-value-quantity=72.5|http://unitsofmeasure.org|kg,120|http://unitsofmeasure.org|mm[Hg]
        Condition?onset-age=gt5|http://unitsofmeasure.org|a
        Condition?onset-age=72|http://unitsofmeasure.org|mo
        Condition?onset-age=6.0|http://unitsofmeasure.org|a
        Condition?onset-age=gt15|http://unitsofmeasure.org|a
        Condition?abatement-age=40|http://unitsofmeasure.org|a
        Encounter?length=90|http://unitsofmeasure.org|min
        Encounter?length=1.5|http://unitsofmeasure.org|h
        Encounter?length=ge2|http://unitsofmeasure.org|d
        Questionnaire?context-quantity=gt18|http://unitsofmeasure.org|a
    """,
    "datatypes.html#SampledData": """
        Observation?value-quantity=gt6.9|http://unitsofmeasure.org|g&code=seldom
        Observation?value-quantity=ge7|http://unitsofmeasure.org|g&code=seldom
        Observation?value-quantity=lt1500|http://unitsofmeasure.org|mg&code=seldom
        Observation?value-quantity:missing=false&code=seldom
        Observation?component-value-quantity=ge120&code=seldom
        Observation?component-value-quantity:missing=false&code=seldom
        Observation?combo-value-quantity=sa100&code=seldom
        Observation?combo-value-quantity=le7&code=seldom
    """,
    "search.html#uri": """
        Questionnaire?url=https://hospital.example/forms/1/intake
        Questionnaire?url:below=https://hospital.example/forms/2/
        Questionnaire?url:below=https://hospital.example/forms/1
        Questionnaire?url:above=https://hospital.example/forms/1/intake/page/2
        Communication?instantiates-uri=https://hospital.example/protocols/asthma
        Communication?instantiates-uri:below=https://hospital.example/protocols
        Communication?instantiates-uri:above=https://hospital.example/protocols/asthma/2
        Procedure?instantiates-uri:below=https://hospital.example/protocols/asthma
        DocumentReference?location:below=https://hospital.example/files/1
        DocumentReference?location:missing=true
        Patient?_profile=https://hospital.example/profiles/Patient
        Patient?_profile:below=https://hospital.example/profiles
        Observation?_source=https://hospital.example/lab
        Observation?_source:below=https://hospital.example/lab
        Observation?_source:above=https://hospital.example/lab/2/of/3
        Observation?_profile:missing=true
    """,
    "search.html#composite": """
        Observation?code-value-quantity=http://loinc.org|29463-7$gt70|http://unitsofmeasure.org|kg
        Observation?code-value-quantity=29463-7$72.5
        Observation?code-value-quantity=29463-7$72.5,8867-4$60
        Observation?code-value-concept=http://loinc.org|$http://snomed.info/sct|
        Observation?code-value-string=29463-7$positif,8867-4$negatif,2339-0$neg,85354-9$n,27113001$n
        Observation?code-value-date=http://loinc.org|$gt2000,http://snomed.info/sct|$gt2000,https://hospital.example/codes|$gt2000
        Observation?component-code-value-quantity=http://loinc.org|8480-6$gt90|http://unitsofmeasure.org|mm[Hg]
        Observation?component-code-value-quantity=http://loinc.org|8480-6$lt110|http://unitsofmeasure.org|mm[Hg]
        Observation?component-code-value-concept=http://loinc.org|$http://snomed.info/sct|
        Observation?combo-code-value-quantity=http://loinc.org|$gt60
        Observation?combo-code-value-quantity=http://loinc.org|8480-6$gt100,http://loinc.org|29463-7$gt60
        Observation?combo-code-value-concept=https://hospital.example/codes|$https://hospital.example/codes|A\\,B\\|C,http://loinc.org|$https://hospital.example/codes|A\\,B\\|C
        DocumentReference?relationship=replaces$DocumentReference/doc-1,replaces$DocumentReference/doc-2,replaces$DocumentReference/doc-3,appends$doc-4,appends$doc-0
        Questionnaire?context-type-quantity=age$gt18|http://unitsofmeasure.org|a
        Questionnaire?context-type-value=focus$http://snomed.info/sct|,focus$https://hospital.example/codes|
    """,
    "searchparameter-registry.html": """
        DocumentReference?authenticator=Practitioner/prac-7,no-such
        DocumentReference?authenticator:Practitioner=prac-6
        DocumentReference?authenticator:identifier=N005
        DocumentReference?category:text=Consultation
        DocumentReference?category:not=https://hospital.example/codes|K-1,K-1x
        DocumentReference?category=K-1
        DocumentReference?custodian=org-4
        DocumentReference?custodian:Organization=org-1
        DocumentReference?custodian:identifier=urn:oid:1.2.250.1.213.1.4.8|N004
        DocumentReference?encounter=Encounter/enc-11
        DocumentReference?encounter:Encounter=enc-2
        DocumentReference?encounter:identifier=N001
        DocumentReference?event=K-1
        DocumentReference?event=https://hospital.example/codes|K-2,nothing|else
        DocumentReference?event:text=Consultation
        DocumentReference?facility:text=cons
        DocumentReference?facility=https://hospital.example/codes|K-1
        DocumentReference?facility=11429006
        DocumentReference?format=https://hospital.example/codes|K-2,nothing|else
        DocumentReference?format=http://snomed.info/sct|
        DocumentReference?format:not=https://hospital.example/codes|K-2,K-2x
        DocumentReference?related:Observation=obs-1-3
        DocumentReference?related=obs-12-1
        DocumentReference?related:DiagnosticReport=rep-2
        DocumentReference?setting=https://hospital.example/codes|K-1
        DocumentReference?setting:text=cons
        DocumentReference?setting=https://hospital.example/codes|K-1,nothing|else
        DocumentReference?type:text=Compte rendu
        DocumentReference?type=https://hospital.example/codes|K-2
        DocumentReference?type=https://hospital.example/codes|K-2,nothing|else
        AllergyIntolerance?asserter=http://fhir.test/fhir/Patient/pat-1
        AllergyIntolerance?asserter:Practitioner=prac-4
        AllergyIntolerance?asserter:identifier=urn:oid:1.2.250.1.213.1.4.8|N005
        AllergyIntolerance?date=ge2025-01-01T00:00:00+01:00
        AllergyIntolerance?date=ne2020-02
        AllergyIntolerance?date=2024-03-31T22:30:00Z
        AllergyIntolerance?identifier:not=https://hospital.example/ids|N004,N004x
        AllergyIntolerance?identifier=|N001,nothing|else
        AllergyIntolerance?identifier=urn:oid:1.2.250.1.213.1.4.8|
        AllergyIntolerance?manifestation=https://hospital.example/codes|A\\,B\\|C
        AllergyIntolerance?manifestation:text=Hypertension
        AllergyIntolerance?manifestation:not=|44054006,44054006x
        AllergyIntolerance?route=https://hospital.example/codes|K-2,nothing|else
        AllergyIntolerance?route:text=comp
        AllergyIntolerance?route:not=K-1
        AllergyIntolerance?type=intolerance
        AllergyIntolerance?type:not=intolerance
        AllergyIntolerance?verification-status:not=confirmed
        AllergyIntolerance?verification-status=http://terminology.hl7.org/CodeSystem/allergyintolerance-verification|unconfirmed
        AllergyIntolerance?verification-status=unconfirmed
        Immunization?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|MR|N005
        Immunization?identifier=N000
        Immunization?identifier:not=https://hospital.example/ids|N001,N001x
        Immunization?location:Location=loc-5
        Immunization?location=Location/loc-5,no-such
        Immunization?location:identifier=urn:oid:1.2.250.1.213.1.4.8|N000
        Immunization?reaction:Observation=obs-9-1
        Immunization?reaction=http://fhir.test/fhir/Observation/obs-4-2
        Immunization?reason-code:not=A\\,B\\|C
        Immunization?reason-code=http://snomed.info/sct|
        Immunization?reason-code:text=Code with separators
        Immunization?reason-reference:identifier=N006
        Immunization?reason-reference=Observation/obs-0-2
        Immunization?reason-reference:Observation=obs-3-1
        Immunization?status:not=completed
        Immunization?status=completed
        Immunization?status-reason=K-2
        Immunization?status-reason:not=https://hospital.example/codes|K-1,K-1x
        Immunization?status-reason=https://hospital.example/codes|K-2,nothing|else
        Immunization?target-disease:not=http://snomed.info/sct|195967001,195967001x
        Immunization?target-disease=http://snomed.info/sct|195967001,nothing|else
        Immunization?target-disease=http://snomed.info/sct|
        Immunization?vaccine-code:text=Rougeole\\, oreillons\\, rubéole
        Immunization?vaccine-code:not=836374004
        Immunization?vaccine-code=https://hospital.example/codes|
        Observation?based-on=ServiceRequest/sreq-16
        Observation?based-on:ServiceRequest=sreq-4
        Observation?based-on:identifier=urn:oid:1.2.250.1.213.1.4.8|N000
        Observation?device=dev-4
        Observation?device:Device=dev-0
        Observation?device:identifier=urn:oid:1.2.250.1.213.1.4.8|N006
        Observation?focus=cond-3
        Observation?focus:Condition=cond-19
        Observation?identifier:not=urn:oid:1.2.250.1.213.1.4.8|N000,N000x
        Observation?identifier:not=N001
        Observation?identifier=urn:oid:1.2.250.1.213.1.4.8|N000,nothing|else
        Observation?method=K-2
        Observation?method:not=|K-1,K-1x
        Observation?method:not=11429006
        Observation?part-of=http://fhir.test/fhir/Procedure/proc-19
        Observation?part-of:Procedure=proc-0
        Observation?part-of:identifier=urn:oid:1.2.250.1.213.1.4.8|N003
        Observation?specimen:Specimen=spec-16
        Observation?specimen=Specimen/spec-0,no-such
        Observation?specimen:identifier=urn:oid:1.2.250.1.213.1.4.8|N002
        Appointment?appointment-type:not=K-2
        Appointment?appointment-type=|K-1,nothing|else
        Appointment?appointment-type:not=|K-1,K-1x
        Appointment?based-on=ServiceRequest/sreq-12
        Appointment?based-on:ServiceRequest=sreq-16
        Appointment?based-on:identifier=urn:oid:1.2.250.1.213.1.4.8|N001
        Appointment?identifier=urn:oid:1.2.250.1.213.1.4.8|N000
        Appointment?identifier:not=N002
        Appointment?identifier:not=https://hospital.example/ids|N000,N000x
        Appointment?reason-code:not=http://snomed.info/sct|38341003,38341003x
        Appointment?reason-code=38341003
        Appointment?reason-code:not=https://hospital.example/codes|A\\,B\\|C,A\\,B\\|Cx
        Appointment?reason-reference:identifier=urn:oid:1.2.250.1.213.1.4.8|N003
        Appointment?reason-reference:Condition=cond-0
        Appointment?reason-reference=Condition/cond-10/_history/1
        Appointment?service-category:text=Consultation
        Appointment?service-category:not=K-1
        Appointment?service-category=http://snomed.info/sct|11429006
        Appointment?service-type=https://hospital.example/codes|K-1,nothing|else
        Appointment?service-type:text=cons
        Appointment?service-type:not=K-2
        Appointment?slot=Slot/slot-8,no-such
        Appointment?slot:identifier=urn:oid:1.2.250.1.213.1.4.8|N004
        Appointment?slot:identifier=N004
        Appointment?specialty:text=comp
        Appointment?specialty=https://hospital.example/codes|K-1
        Appointment?specialty=K-1
        Appointment?supporting-info=http://fhir.test/fhir/DiagnosticReport/rep-12
        Appointment?supporting-info:DiagnosticReport=rep-22
        Appointment?supporting-info:identifier=urn:oid:1.2.250.1.213.1.4.8|N002
        Communication?based-on=sreq-4
        Communication?based-on:identifier=N001
        Communication?based-on:ServiceRequest=sreq-0
        Communication?category=https://hospital.example/codes|K-2
        Communication?category=K-2
        Communication?category=https://hospital.example/codes|K-1,nothing|else
        Communication?encounter=http://fhir.test/fhir/Encounter/enc-0
        Communication?encounter:Encounter=enc-9
        Communication?encounter:identifier=N001
        Communication?identifier:not=N005
        Communication?identifier=N001
        Communication?identifier:not=urn:oid:1.2.250.1.213.1.4.8|N000,N000x
        Communication?medium=http://snomed.info/sct|11429006,nothing|else
        Communication?medium:not=K-1
        Communication?medium=http://snomed.info/sct|
        Communication?patient=Patient/pat-20
        Communication?patient:identifier=urn:oid:1.2.250.1.213.1.4.8|N005
        Communication?patient:Patient=pat-11
        Communication?status=in-progress
        Communication?status:not=in-progress
        Communication?subject=http://fhir.test/fhir/Patient/pat-12
        Communication?subject:identifier=N005
        Communication?subject:Patient=pat-16
    """,
    "location.html#positional": """
        Location?near=47.2378|6.0241|1|km
        Location?near=47.2378|6.0241|5|km
        Location?near=47.2378|6.0241|3500|m
        Location?near=47.2378|6.0241|300|km
        Location?near=47.2378|6.0241|200
        Location?near=47.2378|6.0241|5|km&status=active,suspended
    """,
    "search.html#chaining": """
        Observation?subject:Patient.family=le
        Observation?subject:Patient.name=zoe
        Observation?patient.family=lefevre
        Observation?patient.gender=female
        Observation?patient.gender:not=female
        Observation?patient.birthdate=gt2020
        Observation?patient.birthdate:missing=true
        Observation?subject.name=le
        Observation?subject.identifier=N003
        Observation?patient.identifier=urn:oid:1.2.250.1.213.1.4.8|
        Observation?patient._id=pat-1,pat-2
        Observation?patient.organization.name=chu
        Observation?patient.general-practitioner:Practitioner.family=le
        Observation?patient.general-practitioner:PractitionerRole.practitioner.gender=female,male
        Observation?patient.organization.partof.name:contains=a
        Observation?performer:Practitioner.name=l
        Observation?performer:Organization.address-city=besancon,saint,evry,le,nimes
        Observation?performer.identifier=N001,N002,N003
        Observation?encounter.class=AMB
        Observation?encounter:Encounter.service-provider.name=c
        Observation?encounter:Encounter.location.near=47.2378|6.0241|600|km
        Observation?patient.gender=female&patient.active=true
        Observation?patient.family=le&code=http://loinc.org|
        Observation?has-member:Observation.code=http://loinc.org|
        Observation?derived-from:Observation.subject:Patient.gender=female,male
        AllergyIntolerance?patient.family=le,d,h,m,n,o,s,e
        AllergyIntolerance?patient.address-city:exact=BESANCON,Besançon,Évry
        AllergyIntolerance?recorder:Practitioner.active=true
        Appointment?patient.gender=male,female
        Appointment?practitioner.family=l,d,m,n,h,e,s,o
        Appointment?location.name=urgences
        Appointment?actor:Location.organization.name=chu
        Appointment?actor:PractitionerRole.practitioner.name=a,b,c,d,e,f,h,i,j,l,m,n,z
        Communication?recipient:Practitioner.gender=female,male
        Communication?part-of:Appointment.status=booked,fulfilled
        DocumentReference?patient.birthdate=lt2024
        DocumentReference?author:Practitioner.identifier=N001,N002,N003,N004
        DocumentReference?author:PractitionerRole.organization.name=c,l
        DocumentReference?relatesto.status=current
        DocumentReference?relatesto.relatesto.status=current,superseded
        Immunization?patient.name=e
        Immunization?manufacturer.name=clinique,chu
        Immunization?performer:Practitioner.telecom=a.b@mail.example
        MedicationRequest?medication.code=https://hospital.example/codes|D-01
        MedicationRequest?medication.code=D-02
        MedicationRequest?medication.code:text=ibu,para
        MedicationRequest?medication.lot-number:missing=true
        MedicationStatement?medication.form=http://snomed.info/sct|,https://hospital.example/codes|
        Procedure?part-of:Procedure.part-of:Procedure.status=completed,in-progress
        Provenance?target:DocumentReference.status=current
        Provenance?target:DocumentReference.author:Practitioner.gender=female,male
        Provenance?patient.family=l
        DiagnosticReport?result.code=http://loinc.org|29463-7
        DiagnosticReport?result.patient.gender=female
        List?item:Condition.code=38341003
        Encounter?part-of.part-of.status=finished,planned,in-progress
        Patient?link:Patient.gender=male,female
        Patient?organization.name=c&gender=female
        QuestionnaireResponse?questionnaire.title=entree a
        QuestionnaireResponse?questionnaire.version=1.0&status=completed,in-progress
        Communication?instantiates-canonical:Questionnaire.version=0.0
    """,
    "search.html#contained": """
        MedicationRequest?medication.code=https://hospital.example/codes|D-01,D-02
        MedicationRequest?medication.code=http://snomed.info/sct|387207008
        MedicationRequest?medication.code:missing=false
        MedicationRequest?medication:Medication.code=D-01&status=active,completed
        Observation?subject.family=nunez&code=seldom
        Observation?patient.family=nunez&code=seldom
        Observation?patient:Patient.name=ines&code=seldom
        Observation?patient:missing=false&code=seldom
        Observation?patient:missing=true&code=seldom
    """,
    "search.html#has": """
        Patient?_has:Observation:patient:code=http://loinc.org|29463-7
        Patient?_has:Observation:subject:value-quantity=gt70|http://unitsofmeasure.org|kg
        Patient?_has:Observation:patient:date=2024-02-29
        Patient?_has:Observation:patient:status:not=final
        Patient?_has:AllergyIntolerance:patient:category=food
        Patient?_has:AllergyIntolerance:patient:category=food&_has:Immunization:patient:status=completed
        Patient?_has:Condition:patient:code=38341003&gender=female
        Patient?_has:Condition:subject:code:missing=false
        Patient?_has:Observation:patient:performer:Practitioner.gender=female,male
        Patient?_has:Observation:patient:_has:DiagnosticReport:result:status=final
        Patient?_has:DiagnosticReport:subject:result.code=8867-4
        Patient?_has:Encounter:patient:_has:Observation:encounter:code=http://loinc.org|
        Patient?_has:Appointment:patient:location.name=urgences
        Patient?_has:Provenance:target:recorded=eb2024
        Patient?_has:List:subject:_id=list-1,list-2
        Observation?patient._has:AllergyIntolerance:patient:category=medication
        Observation?_has:DiagnosticReport:result:status=final
        Observation?_has:Observation:has-member:code=http://loinc.org|
        Practitioner?_has:PractitionerRole:practitioner:active=true
        Practitioner?_has:PractitionerRole:practitioner:organization.name=c
        Practitioner?_has:Observation:performer:patient.gender=female,male
        Organization?_has:Patient:organization:gender=female
        Organization?_has:Organization:partof:active=true,false
        DocumentReference?_has:DocumentReference:relatesto:status=current
        DocumentReference?_has:Provenance:target:agent:missing=false
        Condition?_has:List:item:_id=list-0,list-1,list-2,list-3,list-4,list-5
        Location?_has:Appointment:location:status=booked
        Medication?_has:MedicationRequest:medication:status=active
        Questionnaire?_has:QuestionnaireResponse:questionnaire:status=completed
        Questionnaire?_has:Communication:instantiates-canonical:status=completed
        Encounter?_has:Observation:encounter:_has:DiagnosticReport:result:subject:Patient.gender=male,female
    """,
    "search.html#list": """
        Condition?_list=list-3,list-5
        AllergyIntolerance?_list=list-2
        Observation?_list=list-3
        Condition?_list=list-2,list-4&code:missing=false
    """,
    "compartmentdefinition-patient.html": """
        Patient/pat-1/Observation
        Patient/pat-1/Observation?code=http://loinc.org|
        Patient/pat-2/Observation?status=final,amended,preliminary&_sort=-date
        Patient/pat-3/Condition
        Patient/pat-3/AllergyIntolerance
        Patient/pat-4/Appointment
        Patient/pat-5/Communication
        Patient/pat-5/DocumentReference
        Patient/pat-5/Composition
        Patient/pat-6/Coverage
        Patient/pat-6/CareTeam
        Patient/pat-7/Encounter?_include=Encounter:location
        Patient/pat-7/Immunization
        Patient/pat-1/MedicationRequest
        Patient/pat-8/List
        Patient/pat-8/Procedure
        Patient/pat-9/Provenance
        Patient/pat-9/RelatedPerson
        Patient/pat-10/QuestionnaireResponse
        Patient/pat-10/DiagnosticReport?_sort=_id
    """,
    "search.html#include": """
        Observation?_id=obs-1-0,obs-2-1,obs-3-2&_include=Observation:subject
        Observation?code=29463-7&_include=Observation:patient
        Observation?code=29463-7&_include=Observation:performer
        Observation?code=29463-7&_include=Observation:performer:Practitioner
        Observation?code=29463-7&_include=Observation:encounter&_include=Observation:subject
        Observation?code=29463-7&_include=Observation:*
        Observation?code=8867-4&_include=*
        Observation?code=29463-7&_include=Observation:has-member
        Observation?code=29463-7&_include:iterate=Observation:has-member
        Observation?code=29463-7&_include=Observation:subject&_include:iterate=Patient:organization
        Observation?code=29463-7&_include=Observation:subject&_include:iterate=Patient:organization&_include:iterate=Organization:partof
        Observation?code=29463-7&_include=Observation:subject&_revinclude:iterate=AllergyIntolerance:patient
        Observation?code=29463-7&_revinclude=DiagnosticReport:result
        Observation?code=29463-7&_revinclude=Observation:has-member&_include=Observation:subject
        Patient?gender=female&_revinclude=Observation:subject
        Patient?gender=female&_revinclude=Observation:subject&_count=3
        Patient?gender=female&_revinclude=Observation:patient&_revinclude=AllergyIntolerance:patient
        Patient?gender=female&_revinclude=Provenance:target
        Patient?gender=female&_revinclude=Encounter:patient&_revinclude:iterate=Observation:encounter
        Patient?_id=pat-1&_revinclude=Appointment:actor&_include=Patient:general-practitioner
        Patient?link:missing=false&_include=Patient:link
        Patient?link:missing=false&_include:iterate=Patient:link
        Appointment?status=booked&_include=Appointment:actor
        Appointment?status=booked&_include=Appointment:actor:Location
        Appointment?status=booked&_include=Appointment:patient&_include=Appointment:practitioner
        Appointment?status=booked&_include=Appointment:location&_include:iterate=Location:partof
        DocumentReference?status=current&_include=DocumentReference:relatesto
        DocumentReference?status=current&_include:iterate=DocumentReference:relatesto
        DocumentReference?status=current&_include=DocumentReference:author&_revinclude=Provenance:target
        MedicationRequest?status=active&_include=MedicationRequest:medication
        MedicationRequest?status=active&_include=MedicationRequest:medication&_include:iterate=Medication:manufacturer
        Organization?partof:missing=true&_revinclude:iterate=Organization:partof
        Organization?_id=org-5&_include:iterate=Organization:partof
        Location?_id=loc-6&_include:iterate=Location:partof&_include=Location:organization
        Encounter?part-of:missing=false&_include=Encounter:part-of&_count=2
        Procedure?part-of:missing=false&_include:iterate=Procedure:part-of
        QuestionnaireResponse?status=completed&_include=QuestionnaireResponse:subject
        List?item:missing=false&_include=List:item&_count=5
        Provenance?recorded=gt2000&_include=Provenance:target:DocumentReference
        QuestionnaireResponse?status=completed&_include=QuestionnaireResponse:questionnaire
        Questionnaire?status=active,draft&_revinclude=QuestionnaireResponse:questionnaire
        Questionnaire?status=active,draft&_revinclude=Procedure:instantiates-canonical
    """,
    "search.html#sort": """
        Patient?_sort=family
        Patient?_sort=-family
        Patient?_sort=family,given
        Patient?_sort=-family,given,-birthdate
        Patient?_sort=birthdate
        Patient?_sort=-birthdate
        Patient?_sort=gender,family
        Patient?_sort=_id
        Patient?_sort=-_id
        Patient?_sort=_lastUpdated
        Patient?_sort=-_lastUpdated,_id
        Patient?_sort=name&_count=5
        Patient?_sort=-name&_count=5
        Patient?_sort=address-city,_id&_count=3
        Patient?_sort=death-date
        Patient?_sort=-death-date&_count=7
        Patient?gender=female&_sort=-birthdate&_count=2
        Observation?_sort=date
        Observation?_sort=-date
        Observation?_sort=-date&_count=10
        Observation?_sort=status,-date&_count=10
        Observation?code=http://loinc.org|29463-7&_sort=-date&_count=4
        Observation?patient=pat-1&_sort=-date,_id
        Observation?_sort=value-string,_id&_count=20
        AllergyIntolerance?_sort=date
        AllergyIntolerance?_sort=-last-date,criticality&_count=6
        AllergyIntolerance?_sort=-onset
        Appointment?_sort=date,_id
        Appointment?_sort=-date,status
        Communication?_sort=sent
        Communication?_sort=-sent,received&_count=5
        DocumentReference?_sort=-date
        DocumentReference?_sort=description,-date&_count=5
        DocumentReference?_sort=period
        Immunization?_sort=-date,lot-number
        Immunization?_sort=lot-number&_count=4
        Condition?_sort=recorded-date&_count=5
        Encounter?_sort=-date&_count=5
        Organization?_sort=name
        Organization?_sort=-name
        Questionnaire?_sort=title,-version
    """,
    "search.html#count": """
        Patient?_count=0
        Patient?gender=female&_summary=count
        Observation?patient.gender=female&_count=0&_total=accurate
        Patient?_count=1
        Patient?_count=5&_total=accurate
        Patient?_count=1000&_total=accurate
        Observation?_count=7&_total=accurate&status=final
        Observation?_count=7&_total=none&status=final
        Observation?_count=50&patient.gender=female&_total=accurate
        Patient?_count=4&_has:Observation:patient:code=http://loinc.org|29463-7&_total=accurate
        Appointment?_count=6&_include=Appointment:patient&_total=accurate
    """,
}
#: What is asked and is not there.  A value that is nearly right finds nothing.
FINDS_NOTHING = {
    "search.html#string": """
        Patient?family:exact=lefevre
        Patient?family=efevre
        Patient?family=zzz
        Immunization?lot-number=77
    """,
    "search.html#token": """
        Patient?gender=https://no.example|female
        Observation?code=http://snomed.info/sct|29463-7
        Observation?status=https://no.example|final
        Patient?identifier:of-type=http://terminology.hl7.org/CodeSystem/v2-0203|XX|N003
        Patient?telecom=a.b@mail
    """,
    "search.html#reference": """
        Observation?subject=Device/pat-1
        Observation?subject=Patient/pat-1/_history/7
        Observation?subject=http://fhir.test/Patient/pat-1
        QuestionnaireResponse?questionnaire=https://hospital.example/forms/1/intake|9.9
        Observation?patient=prac-1
        Observation?patient=nobody
    """,
    "search.html#date": """
        Appointment?date=2024-03-30
        Patient?birthdate=2020-02-28
        Patient?birthdate=sa2024-12-31
    """,
    "search.html#quantity": """
        Observation?value-quantity=72.5|http://unitsofmeasure.org|mmol/L
        Observation?value-quantity=72.54|http://unitsofmeasure.org|kg
        Observation?value-quantity=72.0
        Encounter?length=91|http://unitsofmeasure.org|min
    """,
    "search.html#composite": """
        Observation?code-value-quantity=8480-6$72.5|http://unitsofmeasure.org|kg
    """,
    "search.html#chaining": """
        Observation?patient.family=zzz
        Observation?encounter:Encounter.service-provider.name=zzz
    """,
    "search.html#has": """
        Patient?_has:Observation:patient:code=https://no.example|29463-7
    """,
}


def _lines(table: dict[str, str]) -> Iterator[tuple[str, str]]:
    for clause, text in table.items():
        yield from ((clause, line.strip()) for line in text.strip().splitlines())


def _url(line: str) -> str:
    where, _, query = line.partition("?")
    terms = [(name, value) for name, _, value in (term.partition("=") for term in query.split("&"))]
    return url(where, terms) if query else where


FINDS = list(_lines(SEARCHES))


@pytest.mark.parametrize(("clause", "line"), FINDS, ids=[line for _, line in FINDS])
def test_found(clause: str, line: str, corpus: Searched) -> None:
    """R4: the clause is the first parameter"""
    assert expected(corpus.records, _url(line)), f"{clause}: finds nothing, which shows nothing"

    told = differences(corpus, _url(line))
    assert not told, f"{clause}: {told}"


@pytest.mark.parametrize(("clause", "line"), list(_lines(FINDS_NOTHING)), ids=lambda text: text)
def test_not_found(clause: str, line: str, corpus: Searched) -> None:
    """R4: the clause is the first parameter"""
    assert not expected(corpus.records, _url(line))

    told = differences(corpus, _url(line))
    assert not told, f"{clause}: {told}"


@pytest.mark.parametrize("type", MISSION)
def test_each_parameter_is_asked(type: str) -> None:
    """R4 searchparameter-registry.html: nothing that the standard defines for the type is left out above"""
    asked = {
        name.partition(":")[0].partition(".")[0]
        for _, line in FINDS
        if line.startswith(f"{type}?")
        for name, _, _ in (term.partition("=") for term in line.partition("?")[2].split("&"))
    }
    assert not {code for code in parameters(type) if not code.startswith("_")} - asked
