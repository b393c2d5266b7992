//! The policy that decides who may sign up.

use std::collections::BTreeMap;

use shared::config::{ConfigError, Environment, quotable};
use shared::email_domain::{Address, Domain, Pattern};
use shared::events::{SignUpChannel, SignUpOutcome};

use super::disposable;

/// The configured policy. A blocked entry wins over an allowed one, except that an allowed address
/// wins over a blocked domain. An empty list of allowed domains and addresses allows all.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// ALLOWED_EMAIL_DOMAINS.
    pub allowed: DomainsAndAddresses,
    /// BLOCKED_EMAIL_DOMAINS.
    pub blocked: DomainsAndAddresses,
    /// TRUSTED_EMAIL_DOMAINS: allowed in addition to `allowed`. With `skip_verification`, their
    /// users need no confirmation code.
    pub trusted: Vec<Pattern>,
    /// BLOCK_DISPOSABLE_DOMAINS: blocks the domains of the compiled-in list, except those that the
    /// lists name.
    pub block_disposable: bool,
    /// NOT_DISPOSABLE_DOMAINS: exceptions to `block_disposable`. They allow nothing else.
    pub not_disposable: Vec<Pattern>,
    /// TRUSTED_DOMAINS_SKIP_VERIFICATION. Anyone can then claim a mailbox of a trusted domain.
    pub skip_verification: bool,
    /// ALLOW_WITHOUT_EMAIL.
    pub allow_without_email: bool,
    /// CHECK_ADMIN_CREATED: applies the policy to users that an administrator creates.
    pub check_admin_created: bool,
    /// PROVIDER_DOMAINS: the only domains for users of these identity providers, by the provider's
    /// name in lower case.
    pub provider_domains: BTreeMap<String, Vec<Pattern>>,
}

/// A list whose entries are domain patterns, or single addresses.
#[derive(Clone, Debug, Default)]
pub struct DomainsAndAddresses {
    domains: Vec<Pattern>,
    addresses: Vec<Address>,
}

impl DomainsAndAddresses {
    fn is_empty(&self) -> bool {
        self.domains.is_empty() && self.addresses.is_empty()
    }
}

/// A sign-up to decide about.
#[derive(Clone, Copy, Debug)]
pub struct SignUp<'a> {
    pub channel: SignUpChannel,
    pub email: Option<&'a str>,
    /// Cognito's username: `<provider>_<id>` for users of identity providers.
    pub user_name: &'a str,
}

/// Why a sign-up was allowed or denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignUpReason {
    /// An administrator creates the user, and the policy does not apply to that.
    AdminCreated,
    NoEmail,
    InvalidAddress,
    /// BLOCKED_EMAIL_DOMAINS has this address.
    BlockedAddress,
    BlockedDomain,
    DisposableDomain,
    /// The domain is one of those configured for the user's identity provider.
    ProviderDomain,
    NotProviderDomain,
    TrustedDomain,
    /// ALLOWED_EMAIL_DOMAINS has this address.
    AllowedAddress,
    AllowedDomain,
    /// The list of allowed domains is empty.
    AnyDomain,
    DomainNotAllowed,
    /// An operator suspended the address. Not a decision of the policy.
    SuspendedEmail,
    /// The table has a suspension of the address in a wrong form. It denies.
    UnreadableSuspension,
    /// The table could not be read.
    StoreError,
}

impl SignUpReason {
    /// Stable code for events and metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::AdminCreated => "admin_created",
            Self::NoEmail => "no_email",
            Self::InvalidAddress => "invalid_address",
            Self::BlockedAddress => "blocked_address",
            Self::BlockedDomain => "blocked_domain",
            Self::DisposableDomain => "disposable_domain",
            Self::ProviderDomain => "provider_domain",
            Self::NotProviderDomain => "not_the_provider_s_domain",
            Self::TrustedDomain => "trusted_domain",
            Self::AllowedAddress => "allowed_address",
            Self::AllowedDomain => "allowed_domain",
            Self::AnyDomain => "any_domain",
            Self::DomainNotAllowed => "domain_not_allowed",
            Self::SuspendedEmail => "suspended_email",
            Self::UnreadableSuspension => "unreadable_suspension",
            Self::StoreError => "store_error",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignUpDecision {
    pub outcome: SignUpOutcome,
    pub reason: SignUpReason,
    /// The domain that the statistics count the sign-up under. If a list decided, this is the
    /// list's entry or `other`, not the user's domain: otherwise anyone could fill the table with
    /// domains.
    pub domain: String,
}

impl Policy {
    pub fn from_environment(environment: &Environment) -> Result<Self, ConfigError> {
        let patterns = |name: &str| parse_patterns(name, &environment.list(name));
        let domains_and_addresses = |name: &str| parse_domains_and_addresses(name, &environment.list(name));
        const PROVIDER_DOMAINS: &str = "PROVIDER_DOMAINS";
        let providers: BTreeMap<String, Vec<String>> =
            environment.json(PROVIDER_DOMAINS, r#"{"Google": ["example.com"]}"#)?;
        let mut provider_domains = BTreeMap::new();
        for (provider, domains) in providers {
            let patterns = parse_patterns(PROVIDER_DOMAINS, &domains)?;
            if provider.is_empty() {
                let reason = "a provider has an empty name. Use the provider's name in the user pool";
                return Err(ConfigError::new(PROVIDER_DOMAINS, reason));
            }
            if provider.contains(char::is_whitespace) {
                let reason = format!("the name of provider `{provider}` contains white space. Remove it");
                return Err(ConfigError::new(PROVIDER_DOMAINS, reason));
            }
            if provider_domains.insert(provider.to_lowercase(), patterns).is_some() {
                let reason =
                    format!("provider `{provider}` occurs twice (case does not matter). Merge the two");
                return Err(ConfigError::new(PROVIDER_DOMAINS, reason));
            }
        }
        Ok(Self {
            allowed: domains_and_addresses("ALLOWED_EMAIL_DOMAINS")?,
            blocked: domains_and_addresses("BLOCKED_EMAIL_DOMAINS")?,
            trusted: patterns("TRUSTED_EMAIL_DOMAINS")?,
            block_disposable: environment.flag("BLOCK_DISPOSABLE_DOMAINS", false)?,
            not_disposable: patterns("NOT_DISPOSABLE_DOMAINS")?,
            skip_verification: environment.flag("TRUSTED_DOMAINS_SKIP_VERIFICATION", false)?,
            allow_without_email: environment.flag("ALLOW_WITHOUT_EMAIL", false)?,
            check_admin_created: environment.flag("CHECK_ADMIN_CREATED", false)?,
            provider_domains,
        })
    }

    pub fn decide(&self, sign_up: &SignUp<'_>) -> SignUpDecision {
        let decision =
            |outcome, reason, domain: &str| SignUpDecision { outcome, reason, domain: domain.to_owned() };
        let (allowed, denied) = (SignUpOutcome::Allowed, SignUpOutcome::Denied);
        let email = sign_up.email.filter(|email| !email.is_empty());
        let address = email.map(Address::parse);

        if sign_up.channel == SignUpChannel::Admin && !self.check_admin_created {
            let counted = match &address {
                None => "none",
                Some(Err(_)) => "invalid",
                Some(Ok(address)) => address.domain().as_str(),
            };
            return decision(allowed, SignUpReason::AdminCreated, counted);
        }
        let provider_patterns = self.provider_patterns(sign_up);
        let address = match address {
            None if self.allow_without_email && provider_patterns.is_none() => {
                return decision(allowed, SignUpReason::NoEmail, "none");
            }
            None => return decision(denied, SignUpReason::NoEmail, "none"),
            Some(Err(_)) => return decision(denied, SignUpReason::InvalidAddress, "invalid"),
            Some(Ok(address)) => address,
        };
        let domain = address.domain();
        let on = |patterns: &[Pattern]| patterns.iter().find(|pattern| pattern.matches(domain)).cloned();
        if self.blocked.addresses.contains(&address) {
            return decision(denied, SignUpReason::BlockedAddress, domain.as_str());
        }
        // ALLOWED_EMAIL_DOMAINS does not apply to users of a provider in PROVIDER_DOMAINS, and
        // neither do its addresses: the provider must not vouch for a mailbox of another domain.
        if provider_patterns.is_none() && self.allowed.addresses.contains(&address) {
            return decision(allowed, SignUpReason::AllowedAddress, domain.as_str());
        }
        if let Some(pattern) = on(&self.blocked.domains) {
            return decision(denied, SignUpReason::BlockedDomain, pattern.base().as_str());
        }
        if self.block_disposable
            && let Some(entry) = disposable::find_entry(domain)
            && on(&self.not_disposable).is_none()
            && !self.is_named(domain, provider_patterns)
        {
            return decision(denied, SignUpReason::DisposableDomain, entry);
        }
        if let Some(patterns) = provider_patterns {
            return match on(patterns) {
                Some(pattern) => decision(allowed, SignUpReason::ProviderDomain, pattern.base().as_str()),
                None => decision(denied, SignUpReason::NotProviderDomain, "other"),
            };
        }
        if let Some(pattern) = on(&self.trusted) {
            // Cognito confirms users of identity providers itself, and ignores the flags for users
            // that an administrator creates.
            let skip = self.skip_verification && sign_up.channel == SignUpChannel::SelfService;
            let outcome = if skip { SignUpOutcome::AutoConfirmed } else { allowed };
            return decision(outcome, SignUpReason::TrustedDomain, pattern.base().as_str());
        }
        match on(&self.allowed.domains) {
            Some(pattern) => decision(allowed, SignUpReason::AllowedDomain, pattern.base().as_str()),
            None if self.allowed.is_empty() => decision(allowed, SignUpReason::AnyDomain, domain.as_str()),
            None => decision(denied, SignUpReason::DomainNotAllowed, "other"),
        }
    }

    /// Whether the operator's lists name exactly this domain. If so, it is not disposable for the
    /// operator, whatever the compiled-in list says. A wildcard does not name a domain.
    fn is_named(&self, domain: &Domain, provider_patterns: Option<&[Pattern]>) -> bool {
        let patterns = match provider_patterns {
            Some(patterns) => vec![patterns],
            None => vec![self.allowed.domains.as_slice(), self.trusted.as_slice()],
        };
        patterns.into_iter().flatten().any(|pattern| pattern.names(domain))
    }

    /// The domains that PROVIDER_DOMAINS allows for the user's identity provider.
    fn provider_patterns(&self, sign_up: &SignUp<'_>) -> Option<&[Pattern]> {
        // Users of identity providers may come through an unknown channel too.
        if !matches!(sign_up.channel, SignUpChannel::External | SignUpChannel::Other) {
            return None;
        }
        // The username is `Google_1029…`, or `google_1029…` in some pools.
        let user_name = sign_up.user_name.to_lowercase();
        self.provider_domains
            .iter()
            .filter(|(provider, _)| {
                user_name.strip_prefix(provider.as_str()).is_some_and(|id| id.starts_with('_'))
            })
            .max_by_key(|(provider, _)| provider.len())
            .map(|(_, patterns)| patterns.as_slice())
    }
}

fn parse_patterns(name: &str, entries: &[String]) -> Result<Vec<Pattern>, ConfigError> {
    let expected = "Use a domain such as example.com or *.example.com";
    entries.iter().enumerate().map(|(index, entry)| parse_pattern(name, index, entry, expected)).collect()
}

fn parse_pattern(name: &str, index: usize, entry: &str, expected: &str) -> Result<Pattern, ConfigError> {
    Pattern::parse(entry).map_err(|_| {
        let entry = quotable(entry);
        ConfigError::new(name, format!("entry {} `{entry}` is not a domain. {expected}", index + 1))
    })
}

/// Entries with an `@` are single addresses.
fn parse_domains_and_addresses(name: &str, entries: &[String]) -> Result<DomainsAndAddresses, ConfigError> {
    let mut parsed = DomainsAndAddresses::default();
    for (index, entry) in entries.iter().enumerate() {
        if entry.contains('@') {
            // The error does not quote the entry, because the log must not contain addresses.
            let address = Address::parse(entry).map_err(|_| {
                let expected =
                    "Use an address such as ana@example.com, or a domain such as example.com without `@`";
                let reason =
                    format!("entry {} has an `@` but is not a plain email address. {expected}", index + 1);
                ConfigError::new(name, reason)
            })?;
            parsed.addresses.push(address);
        } else {
            let expected =
                "Use a domain such as example.com or *.example.com, or an address such as ana@example.com";
            parsed.domains.push(parse_pattern(name, index, entry, expected)?);
        }
    }
    Ok(parsed)
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
        (decision.outcome, decision.reason.code(), decision.domain)
    }

    #[test]
    fn blocked_domain_wins_over_allowed_and_an_empty_list_allows_all() {
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
    fn disposable_domain_is_blocked_unless_the_operator_names_it() {
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
            (
                &[block, ("NOT_DISPOSABLE_DOMAINS", "mailinator.com")],
                SelfService,
                "ana@mailinator.com",
                "any_domain",
            ),
            (
                &[block, ("NOT_DISPOSABLE_DOMAINS", "mailinator.com")],
                SelfService,
                "ana@x.mailinator.com",
                "disposable_domain",
            ),
            (
                &[block, ("NOT_DISPOSABLE_DOMAINS", "on-no-list.example,*.MAILINATOR.com")],
                SelfService,
                "ana@x.mailinator.com",
                "any_domain",
            ),
            // The exception lifts only this check.
            (
                &[
                    block,
                    ("NOT_DISPOSABLE_DOMAINS", "mailinator.com"),
                    ("ALLOWED_EMAIL_DOMAINS", "example.com"),
                ],
                SelfService,
                "ana@mailinator.com",
                "domain_not_allowed",
            ),
            (
                &[
                    block,
                    ("NOT_DISPOSABLE_DOMAINS", "mailinator.com"),
                    ("BLOCKED_EMAIL_DOMAINS", "mailinator.com"),
                ],
                SelfService,
                "ana@mailinator.com",
                "blocked_domain",
            ),
            (
                &[
                    block,
                    ("NOT_DISPOSABLE_DOMAINS", "mailinator.com"),
                    ("PROVIDER_DOMAINS", r#"{"Google": ["example.com"]}"#),
                ],
                External,
                "ana@mailinator.com",
                "not_the_provider_s_domain",
            ),
            (&[block, provider], External, "ana@mailinator.com", "provider_domain"),
            (&[block, provider], SelfService, "ana@mailinator.com", "disposable_domain"),
        ] {
            assert_eq!(reason(variables, channel, email), expected, "{variables:?} {email}");
        }
    }

    #[test]
    fn address_entry_wins_over_domain_entries_and_a_blocked_address_over_an_allowed_one() {
        use SignUpChannel::{Admin, External, SelfService};

        let open = &[("BLOCKED_EMAIL_DOMAINS", "Mallory@example.com, eve@bücher.example")][..];
        let closed = &[("ALLOWED_EMAIL_DOMAINS", "example.org,partner@example.com")][..];
        let only_addresses = &[("ALLOWED_EMAIL_DOMAINS", "partner@example.com")][..];
        let blocked_domain = &[
            ("ALLOWED_EMAIL_DOMAINS", "example.org,partner@example.com"),
            ("BLOCKED_EMAIL_DOMAINS", "example.com,mallory@example.org"),
        ][..];
        let both = &[
            ("ALLOWED_EMAIL_DOMAINS", "partner@example.com"),
            ("BLOCKED_EMAIL_DOMAINS", "PARTNER@example.com"),
        ][..];
        let disposable = &[
            ("BLOCK_DISPOSABLE_DOMAINS", "true"),
            ("ALLOWED_EMAIL_DOMAINS", "example.com,ana@mailinator.com"),
        ][..];
        let trusting = &[
            ("TRUSTED_EMAIL_DOMAINS", "example.com"),
            ("TRUSTED_DOMAINS_SKIP_VERIFICATION", "true"),
            ("ALLOWED_EMAIL_DOMAINS", "partner@example.com"),
            ("BLOCKED_EMAIL_DOMAINS", "mallory@example.com"),
        ][..];
        let provider = &[
            ("PROVIDER_DOMAINS", r#"{"Google": ["example.org"]}"#),
            ("ALLOWED_EMAIL_DOMAINS", "partner@example.com"),
            ("BLOCKED_EMAIL_DOMAINS", "mallory@example.org"),
        ][..];
        let checked =
            &[("CHECK_ADMIN_CREATED", "true"), ("BLOCKED_EMAIL_DOMAINS", "mallory@example.com")][..];
        for (variables, channel, email, reason, counted) in [
            (open, SelfService, "MALLORY@Example.COM", "blocked_address", "example.com"),
            (open, SelfService, "ben@example.com", "any_domain", "example.com"),
            (open, SelfService, "mallory@mail.example.com", "any_domain", "mail.example.com"),
            // A tag makes another address.
            (open, SelfService, "mallory+1@example.com", "any_domain", "example.com"),
            (open, SelfService, "eve@XN--BCHER-KVA.example.", "blocked_address", "xn--bcher-kva.example"),
            (open, Admin, "mallory@example.com", "admin_created", "example.com"),
            (checked, Admin, "mallory@example.com", "blocked_address", "example.com"),
            (closed, SelfService, "Partner@example.com", "allowed_address", "example.com"),
            (closed, SelfService, "ben@example.com", "domain_not_allowed", "other"),
            (closed, SelfService, "ben@example.org", "allowed_domain", "example.org"),
            (only_addresses, SelfService, "partner@example.com", "allowed_address", "example.com"),
            (only_addresses, SelfService, "ben@example.com", "domain_not_allowed", "other"),
            (only_addresses, SelfService, "ben@example.org", "domain_not_allowed", "other"),
            (blocked_domain, SelfService, "partner@example.com", "allowed_address", "example.com"),
            (blocked_domain, SelfService, "ben@example.com", "blocked_domain", "example.com"),
            (blocked_domain, SelfService, "mallory@example.org", "blocked_address", "example.org"),
            (blocked_domain, SelfService, "ben@example.org", "allowed_domain", "example.org"),
            (both, SelfService, "partner@example.com", "blocked_address", "example.com"),
            (disposable, SelfService, "ana@mailinator.com", "allowed_address", "mailinator.com"),
            (disposable, SelfService, "ben@mailinator.com", "disposable_domain", "mailinator.com"),
            (trusting, SelfService, "partner@example.com", "allowed_address", "example.com"),
            (trusting, SelfService, "mallory@example.com", "blocked_address", "example.com"),
            (trusting, SelfService, "ben@example.com", "trusted_domain", "example.com"),
            (provider, External, "partner@example.com", "not_the_provider_s_domain", "other"),
            (provider, External, "mallory@example.org", "blocked_address", "example.org"),
            (provider, SelfService, "partner@example.com", "allowed_address", "example.com"),
        ] {
            let decision = decide(&policy(variables), channel, email);
            assert_eq!((decision.1, decision.2.as_str()), (reason, counted), "{variables:?} {email}");
            // An allowed address always needs its code.
            let expected = match reason {
                "trusted_domain" => SignUpOutcome::AutoConfirmed,
                "allowed_address" | "allowed_domain" | "any_domain" | "admin_created" => {
                    SignUpOutcome::Allowed
                }
                _ => SignUpOutcome::Denied,
            };
            assert_eq!(decision.0, expected, "{variables:?} {email}");
        }
    }

    #[test]
    fn each_channel_has_its_rule() {
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
    fn error_of_an_invalid_list_names_the_variable() {
        let error = |name: &str, value: &str| {
            Policy::from_environment(&[(name, value)].into_iter().collect()).unwrap_err().to_string()
        };
        for name in ["ALLOWED_EMAIL_DOMAINS", "BLOCKED_EMAIL_DOMAINS"] {
            assert_eq!(
                error(name, "example.com, com"),
                format!(
                    "{name}: entry 2 `com` is not a domain. Use a domain such as example.com or \
                     *.example.com, or an address such as ana@example.com"
                )
            );
            for malformed in ["@example.com", "ben@", "ben@com", "ben@*.example.com", "ben@x@example.com"] {
                assert_eq!(
                    error(name, &format!("example.org,,{malformed}")),
                    format!(
                        "{name}: entry 2 has an `@` but is not a plain email address. Use an address such \
                         as ana@example.com, or a domain such as example.com without `@`"
                    )
                );
            }
        }
        for name in ["TRUSTED_EMAIL_DOMAINS", "NOT_DISPOSABLE_DOMAINS"] {
            assert_eq!(
                error(name, "ben@example.com"),
                format!(
                    "{name}: entry 1 `(an email address)` is not a domain. Use a domain such as example.com or \
                     *.example.com"
                )
            );
        }
        assert!(error("PROVIDER_DOMAINS", "[]").starts_with("PROVIDER_DOMAINS: "));
        assert!(
            error("PROVIDER_DOMAINS", r#"{"Google": ["x"]}"#).starts_with("PROVIDER_DOMAINS: entry 1 `x`")
        );
        assert!(error("PROVIDER_DOMAINS", r#"{"Google": [], "google": []}"#).contains("occurs twice"));
        assert!(error("PROVIDER_DOMAINS", r#"{"": []}"#).contains("has an empty name"));
        assert!(error("BLOCK_DISPOSABLE_DOMAINS", "yes").starts_with("BLOCK_DISPOSABLE_DOMAINS: "));
    }
}
