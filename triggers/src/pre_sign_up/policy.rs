//! The rule of who may sign up. Pure.

use std::collections::BTreeMap;

use shared::config::{ConfigError, Environment};
use shared::events::{SignUpChannel, SignUpOutcome};

use super::disposable;
use shared::email_domain::{Domain, Pattern};

/// The policy as configured. Blocked beats allowed; an empty allow list allows all.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// ALLOWED_EMAIL_DOMAINS.
    pub allowed: Vec<Pattern>,
    /// BLOCKED_EMAIL_DOMAINS.
    pub blocked: Vec<Pattern>,
    /// TRUSTED_EMAIL_DOMAINS: these domains may sign up too, and need no code where `skip_verification` says so.
    pub trusted: Vec<Pattern>,
    /// BLOCK_DISPOSABLE_DOMAINS: whether domains of the compiled-in list are blocked, unless a list above names
    /// them.
    pub block_disposable: bool,
    /// TRUSTED_DOMAINS_SKIP_VERIFICATION. Lets anyone claim a mailbox of a trusted domain.
    pub skip_verification: bool,
    /// ALLOW_WITHOUT_EMAIL.
    pub allow_without_email: bool,
    /// CHECK_ADMIN_CREATED: whether users whom an administrator creates are held against the policy.
    pub check_admin_created: bool,
    /// PROVIDER_DOMAINS: for users of these identity providers, by lower-case name, only these domains.
    pub provider_domains: BTreeMap<String, Vec<Pattern>>,
}

/// What is known of a sign-up.
#[derive(Clone, Copy, Debug)]
pub struct SignUp<'a> {
    /// Through which door.
    pub channel: SignUpChannel,
    /// The e-mail address.
    pub email: Option<&'a str>,
    /// Cognito's username; `<provider>_<id>` for users of identity providers.
    pub user_name: &'a str,
}

/// What becomes of a sign-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Allowed or not.
    pub outcome: SignUpOutcome,
    /// Why, as a stable word.
    pub reason: &'static str,
    /// Under which domain it is counted. One of a list's where the user could choose it freely: whoever signs
    /// up must not be able to fill the table.
    pub domain: String,
}

impl Policy {
    /// Reads the policy.
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let patterns = |name: &str| parse_patterns(name, &environment.list(name));
        const PROVIDER_DOMAINS: &str = "PROVIDER_DOMAINS";
        let providers: BTreeMap<String, Vec<String>> =
            environment.json(PROVIDER_DOMAINS, r#"{"Google": ["example.com"]}"#)?;
        let mut provider_domains = BTreeMap::new();
        for (provider, domains) in providers {
            let patterns = parse_patterns(PROVIDER_DOMAINS, &domains)?;
            let twice = provider_domains.insert(provider.to_lowercase(), patterns).is_some();
            if provider.is_empty() || provider.contains(char::is_whitespace) || twice {
                let reason =
                    format!("the provider \"{provider}\" has no name, a space in it, or is there twice");
                return Err(ConfigError::new(PROVIDER_DOMAINS, reason));
            }
        }
        Ok(Self {
            allowed: patterns("ALLOWED_EMAIL_DOMAINS")?,
            blocked: patterns("BLOCKED_EMAIL_DOMAINS")?,
            trusted: patterns("TRUSTED_EMAIL_DOMAINS")?,
            block_disposable: environment.flag("BLOCK_DISPOSABLE_DOMAINS", false)?,
            skip_verification: environment.flag("TRUSTED_DOMAINS_SKIP_VERIFICATION", false)?,
            allow_without_email: environment.flag("ALLOW_WITHOUT_EMAIL", false)?,
            check_admin_created: environment.flag("CHECK_ADMIN_CREATED", false)?,
            provider_domains,
        })
    }

    /// Decides about one sign-up.
    pub fn decide(&self, sign_up: &SignUp<'_>) -> Decision {
        let decision =
            |outcome, reason, domain: &str| Decision { outcome, reason, domain: domain.to_owned() };
        let (allowed, denied) = (SignUpOutcome::Allowed, SignUpOutcome::Denied);
        let email = sign_up.email.filter(|email| !email.is_empty());
        let domain = email.map(Domain::of_address);

        if sign_up.channel == SignUpChannel::Admin && !self.check_admin_created {
            let counted = match &domain {
                None => "none",
                Some(Err(_)) => "invalid",
                Some(Ok(domain)) => domain.as_str(),
            };
            return decision(allowed, "admin_created", counted);
        }
        let domain = match domain {
            None if self.allow_without_email && self.provider_patterns(sign_up).is_none() => {
                return decision(allowed, "no_email", "none");
            }
            None => return decision(denied, "no_email", "none"),
            Some(Err(_)) => return decision(denied, "invalid_address", "invalid"),
            Some(Ok(domain)) => domain,
        };
        let on = |patterns: &[Pattern]| patterns.iter().find(|pattern| pattern.matches(&domain)).cloned();
        if let Some(pattern) = on(&self.blocked) {
            return decision(denied, "blocked_domain", pattern.base().as_str());
        }
        if self.block_disposable
            && let Some(entry) = disposable::entry(&domain)
            && !self.names(&domain, sign_up)
        {
            return decision(denied, "disposable_domain", entry);
        }
        if let Some(patterns) = self.provider_patterns(sign_up) {
            return match on(patterns) {
                Some(pattern) => decision(allowed, "provider_domain", pattern.base().as_str()),
                None => decision(denied, "not_the_provider_s_domain", "other"),
            };
        }
        if let Some(pattern) = on(&self.trusted) {
            // Cognito confirms external users itself, and ignores the flags for an administrator's.
            let skip = self.skip_verification && sign_up.channel == SignUpChannel::SelfService;
            let outcome = if skip { SignUpOutcome::AutoConfirmed } else { allowed };
            return decision(outcome, "trusted_domain", pattern.base().as_str());
        }
        match on(&self.allowed) {
            Some(pattern) => decision(allowed, "allowed_domain", pattern.base().as_str()),
            None if self.allowed.is_empty() => decision(allowed, "any_domain", domain.as_str()),
            None => decision(denied, "domain_not_allowed", "other"),
        }
    }

    /// Whether the operator's lists name this very domain, which the compiled-in list may be wrong about. A
    /// wildcard is no name.
    fn names(&self, domain: &Domain, sign_up: &SignUp<'_>) -> bool {
        let patterns = match self.provider_patterns(sign_up) {
            Some(patterns) => vec![patterns],
            None => vec![self.allowed.as_slice(), self.trusted.as_slice()],
        };
        patterns.into_iter().flatten().any(|pattern| pattern.names(domain))
    }

    /// The domains to which the user's identity provider is bound, where it is.
    fn provider_patterns(&self, sign_up: &SignUp<'_>) -> Option<&[Pattern]> {
        // A door that is not known may be one for providers' users too.
        if !matches!(sign_up.channel, SignUpChannel::External | SignUpChannel::Other) {
            return None;
        }
        // Cognito writes `Google_1029…`, in some pools in lower case.
        let user_name = sign_up.user_name.to_lowercase();
        let bound = self.provider_domains.iter();
        bound
            .filter(|(provider, _)| {
                user_name.strip_prefix(provider.as_str()).is_some_and(|id| id.starts_with('_'))
            })
            .max_by_key(|(provider, _)| provider.len())
            .map(|(_, patterns)| patterns.as_slice())
    }
}

fn parse_patterns(name: &str, patterns: &[String]) -> Result<Vec<Pattern>, ConfigError> {
    let parse = |pattern: &String| {
        let reason = format!("\"{pattern}\" is not a domain such as example.com or *.example.com");
        Pattern::parse(pattern).map_err(|_| ConfigError::new(name, reason))
    };
    patterns.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(variables: &[(&str, &str)]) -> Policy {
        Policy::from_environment(&variables.iter().copied().collect()).unwrap()
    }

    fn decide(policy: &Policy, channel: SignUpChannel, email: &str) -> (SignUpOutcome, &'static str, String) {
        let user_name = "Google_1029384756";
        let decision = policy.decide(&SignUp { channel, email: Some(email), user_name });
        (decision.outcome, decision.reason, decision.domain)
    }

    #[test]
    fn blocked_beats_allowed_and_an_empty_allow_list_allows_all() {
        use SignUpChannel::SelfService;
        use SignUpOutcome::{Allowed, AutoConfirmed, Denied};

        let open = policy(&[("BLOCKED_EMAIL_DOMAINS", "spam.test,*.spam.test")]);
        let closed = policy(&[
            ("ALLOWED_EMAIL_DOMAINS", "example.com,*.example.com"),
            ("BLOCKED_EMAIL_DOMAINS", "old.example.com"),
            ("TRUSTED_EMAIL_DOMAINS", "example.org"),
        ]);
        let trusting = policy(&[
            ("TRUSTED_EMAIL_DOMAINS", "example.org"),
            ("TRUSTED_DOMAINS_SKIP_VERIFICATION", "true"),
        ]);
        for (policy, email, expected) in [
            (&open, "ana@example.com", (Allowed, "any_domain", "example.com")),
            (&open, "ana@x.spam.test", (Denied, "blocked_domain", "spam.test")),
            (&open, "ana", (Denied, "invalid_address", "invalid")),
            (&open, "", (Denied, "no_email", "none")),
            (&closed, "ana@example.com", (Allowed, "allowed_domain", "example.com")),
            (&closed, "ana@a.b.example.com", (Allowed, "allowed_domain", "example.com")),
            (&closed, "ana@old.example.com", (Denied, "blocked_domain", "old.example.com")),
            (&closed, "ana@evilexample.com", (Denied, "domain_not_allowed", "other")),
            (&closed, "ana@example.org", (Allowed, "trusted_domain", "example.org")),
            (&trusting, "ana@example.org", (AutoConfirmed, "trusted_domain", "example.org")),
        ] {
            let (outcome, reason, domain) = expected;
            assert_eq!(decide(policy, SelfService, email), (outcome, reason, domain.to_owned()), "{email}");
        }
    }

    #[test]
    fn a_disposable_domain_is_blocked_where_wanted_and_not_named_by_the_operator() {
        use SignUpChannel::{External, SelfService};

        let block = ("BLOCK_DISPOSABLE_DOMAINS", "true");
        let reason = |variables: &[(&str, &str)], channel, email: &str| {
            decide(&policy(variables), channel, email).1.to_owned()
        };
        let provider = ("PROVIDER_DOMAINS", r#"{"Google": ["mailinator.com"]}"#);
        for (variables, channel, email, expected) in [
            (&[][..], SelfService, "ana@mailinator.com", "any_domain"),
            (&[block], SelfService, "ana@mailinator.com", "disposable_domain"),
            (&[block], SelfService, "ana@x.mailinator.com", "disposable_domain"),
            (&[block], SelfService, "ana@example.com", "any_domain"),
            (
                &[block, ("TRUSTED_EMAIL_DOMAINS", "mailinator.com")],
                SelfService,
                "ana@mailinator.com",
                "trusted_domain",
            ),
            (
                &[block, ("ALLOWED_EMAIL_DOMAINS", "mailinator.com")],
                SelfService,
                "ana@mailinator.com",
                "allowed_domain",
            ),
            (
                &[block, ("ALLOWED_EMAIL_DOMAINS", "*.mailinator.com")],
                SelfService,
                "ana@x.mailinator.com",
                "disposable_domain",
            ),
            (
                &[block, ("BLOCKED_EMAIL_DOMAINS", "mailinator.com")],
                SelfService,
                "ana@mailinator.com",
                "blocked_domain",
            ),
            (&[block, provider], External, "ana@mailinator.com", "provider_domain"),
            (&[block, provider], SelfService, "ana@mailinator.com", "disposable_domain"),
        ] {
            assert_eq!(reason(variables, channel, email), expected, "{variables:?} {email}");
        }
    }

    #[test]
    fn each_door_has_its_rule() {
        use SignUpChannel::{Admin, External, SelfService};
        use SignUpOutcome::{Allowed, Denied};

        let policy = policy(&[
            ("ALLOWED_EMAIL_DOMAINS", "example.com,example.org"),
            ("TRUSTED_EMAIL_DOMAINS", "example.org"),
            ("TRUSTED_DOMAINS_SKIP_VERIFICATION", "true"),
            ("PROVIDER_DOMAINS", r#"{"Google": ["example.org"]}"#),
        ]);
        let checked = Policy { check_admin_created: true, ..policy.clone() };
        assert_eq!(decide(&policy, Admin, "ana@other.test").0, Allowed);
        assert_eq!(decide(&checked, Admin, "ana@other.test").0, Denied);
        assert_eq!(decide(&checked, Admin, "ana@example.org").0, Allowed);
        assert_eq!(decide(&policy, External, "ana@example.org").1, "provider_domain");
        assert_eq!(decide(&policy, External, "ana@example.com").1, "not_the_provider_s_domain");
        assert_eq!(decide(&policy, SignUpChannel::Other, "ana@example.com").1, "not_the_provider_s_domain");
        let lenient = Policy { allow_without_email: true, ..policy.clone() };
        assert_eq!(decide(&lenient, External, "").0, Denied);
        assert_eq!(decide(&lenient, SelfService, "").0, Allowed);
        assert_eq!(decide(&policy, SelfService, "ana@example.com").0, Allowed);
    }

    #[test]
    fn a_wrong_list_names_its_variable() {
        let error = |name: &str, value: &str| {
            Policy::from_environment(&[(name, value)].into_iter().collect()).unwrap_err().to_string()
        };
        assert!(
            error("ALLOWED_EMAIL_DOMAINS", "@example.com")
                .starts_with("ALLOWED_EMAIL_DOMAINS: \"@example.com\"")
        );
        assert!(error("PROVIDER_DOMAINS", "[]").starts_with("PROVIDER_DOMAINS: "));
        assert!(error("PROVIDER_DOMAINS", r#"{"Google": ["x"]}"#).starts_with("PROVIDER_DOMAINS: \"x\""));
        assert!(error("PROVIDER_DOMAINS", r#"{"Google": [], "google": []}"#).contains("is there twice"));
        assert!(error("PROVIDER_DOMAINS", r#"{"": []}"#).contains("has no name"));
        assert!(error("BLOCK_DISPOSABLE_DOMAINS", "yes").starts_with("BLOCK_DISPOSABLE_DOMAINS: "));
    }
}
