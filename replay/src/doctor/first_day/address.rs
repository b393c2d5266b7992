//! The email addresses of a run, from the sign-up rules of the stack. Pure.

use shared::email_domain::{Domain, Pattern};

use crate::doctor::deployment::Deployment;

/// Accepts every email and bounces none. A label after `+` makes an address of its own. Source: Amazon SES
/// Developer Guide, *Using the mailbox simulator*.
const SIMULATOR: &str = "simulator.amazonses.com";
/// Domains without mailboxes (RFC 2606).
const RESERVED: [&str; 3] = ["example.com", "example.net", "example.org"];

/// The address to sign up with, if no other was given. `None` if the rules do not allow it.
pub fn allowed(deployment: &Deployment, run: &str) -> Option<String> {
    is_allowed(deployment, SIMULATOR).then(|| format!("success+{run}@{SIMULATOR}"))
}

/// An address that pre-sign-up denies. `None` if the rules deny none of those that the check knows: it does
/// not try single addresses and domains of disposable mailboxes, which belong to someone.
pub fn denied(deployment: &Deployment, run: &str) -> Option<String> {
    let blocked = deployment.list("BlockedEmailDomains").into_iter().find_map(|entry| {
        let base = entry.strip_prefix("*.").map(|base| format!("www.{base}"));
        let domain = base.unwrap_or_else(|| entry.to_owned());
        (!entry.contains('@') && Domain::parse(&domain).is_ok()).then_some(domain)
    });
    let not_listed = || {
        let reserved = RESERVED.into_iter().find(|domain| !is_allowed(deployment, domain));
        reserved.map(str::to_owned)
    };
    blocked.or_else(not_listed).map(|domain| format!("{run}@{domain}"))
}

/// True if a new address of the domain may sign up. Single addresses in the lists are not considered.
fn is_allowed(deployment: &Deployment, domain: &str) -> bool {
    let Ok(domain) = Domain::parse(domain) else { return false };
    let matches = |parameter: &str| {
        let patterns = deployment.list(parameter).into_iter().filter_map(|entry| Pattern::parse(entry).ok());
        patterns.into_iter().any(|pattern| pattern.matches(&domain))
    };
    let is_listed = deployment.list("AllowedEmailDomains").is_empty() || matches("AllowedEmailDomains");
    !matches("BlockedEmailDomains") && (is_listed || matches("TrustedEmailDomains"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_follow_the_sign_up_rules() {
        for (parameters, expected_allowed, expected_denied) in [
            (&[][..], true, None),
            (&[("AllowedEmailDomains", "shop.example")], false, Some("run@example.com")),
            (&[("AllowedEmailDomains", "*.amazonses.com, example.com")], true, Some("run@example.net")),
            (&[("AllowedEmailDomains", "ana@example.com")], false, Some("run@example.com")),
            (&[("BlockedEmailDomains", "bad.example")], true, Some("run@bad.example")),
            (&[("BlockedEmailDomains", "*.bad.example")], true, Some("run@www.bad.example")),
            (&[("BlockedEmailDomains", "mallory@bad.example")], true, None),
            (
                &[("BlockedEmailDomains", "simulator.amazonses.com")],
                false,
                Some("run@simulator.amazonses.com"),
            ),
            (
                &[("AllowedEmailDomains", "shop.example"), ("TrustedEmailDomains", "*.amazonses.com")],
                true,
                Some("run@example.com"),
            ),
        ] {
            let deployment = Deployment::of(parameters, &[]);
            let expected = expected_allowed.then_some("success+run@simulator.amazonses.com");
            assert_eq!(allowed(&deployment, "run").as_deref(), expected, "{parameters:?}");
            assert_eq!(denied(&deployment, "run").as_deref(), expected_denied, "{parameters:?}");
        }
    }
}
