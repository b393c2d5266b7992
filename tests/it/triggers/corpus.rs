//! A corpus of email addresses, each with the expected decision of pre-sign-up.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use shared::config::Environment;
use shared::email_domain::Domain;
use shared::events::{SignUpChannel, SignUpOutcome};
use triggers::pre_sign_up::Policy;
use triggers::pre_sign_up::policy::SignUp;

/// `tests/corpus/sign-up-addresses.json`.
#[derive(Deserialize)]
struct Corpus {
    policy: BTreeMap<String, String>,
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    about: String,
    cases: Vec<Case>,
}

/// The address, the code of the reason, and for a well-formed address the domain in A-labels.
#[derive(Deserialize)]
#[serde(untagged)]
enum Case {
    WellFormed(String, String, String),
    Other(String, String),
}

#[test]
fn every_address_of_the_corpus_gets_the_expected_decision() {
    let corpus: Corpus = serde_json::from_str(include_str!("../../corpus/sign-up-addresses.json")).unwrap();
    let policy = Policy::from_environment(&corpus.policy.into_iter().collect::<Environment>()).unwrap();
    let (mut seen, mut wrong) = (BTreeSet::new(), Vec::new());
    for Group { about, cases } in corpus.groups {
        for case in cases {
            let (address, reason, domain) = match case {
                Case::WellFormed(address, reason, domain) => (address, reason, Some(domain)),
                Case::Other(address, reason) => (address, reason, None),
            };
            let sign_up =
                SignUp { channel: SignUpChannel::SelfService, email: Some(&address), user_name: "ana" };
            let decision = policy.decide(&sign_up);
            let normalized = Domain::of_address(&address).ok().map(|domain| domain.to_string());
            let expected_outcome = match reason.as_str() {
                "allowed_domain" | "trusted_domain" => SignUpOutcome::Allowed,
                _ => SignUpOutcome::Denied,
            };
            if (decision.outcome, decision.reason.code(), &normalized) != (expected_outcome, &reason, &domain)
            {
                wrong.push(format!(
                    "{address:?}: {} {normalized:?}, not {reason} {domain:?} ({about})",
                    decision.reason.code()
                ));
            }
            assert!(seen.insert(address), "duplicate in the corpus");
        }
    }
    assert!(seen.len() >= 250);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), seen.len(), wrong.join("\n"));
}
