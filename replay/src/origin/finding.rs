//! What is wrong with an origin's answer: a stable code, the header, what CloudFront does, and the
//! next step. Pure.
//!
//! Nothing of the answer is quoted except numbers, names of directives and names of headers.

use std::fmt;

use super::cache_control::Directive;

/// Something that breaks the contract of `docs/caching.md`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// An error, a redirect or a success that is not what the check expects.
    UnexpectedStatus {
        status: u16,
        hint: &'static str,
    },
    FromCloudfront,
    OtherCache {
        seconds: u64,
    },
    MissingSMaxage {
        max_age: Option<u64>,
    },
    Uncacheable {
        directive: &'static str,
    },
    Contradiction {
        directive: &'static str,
    },
    MaxAge {
        seconds: u64,
    },
    MissingMaxAge,
    StaleIfError {
        seconds: u64,
    },
    MissingStaleIfError,
    StaleWhileRevalidate {
        seconds: u64,
    },
    InvalidSeconds(Directive),
    QuotedSeconds(Directive),
    RepeatedDirective(Directive),
    LifetimeAboveMaximum {
        seconds: u64,
        maximum: u32,
    },
    LifetimeAboveFormula {
        seconds: u64,
        formula: u32,
    },
    /// `seconds`: how far `lastChangedAt` is after `Date`.
    ClocksDiffer {
        seconds: i64,
    },
    InvalidLastChangedAt,
    MissingTags,
    MissingUserTag {
        is_sub_known: bool,
    },
    UnencodedTag,
    MissingUsersTag,
    TooManyTags {
        count: usize,
    },
    LongTag {
        characters: usize,
    },
    InvalidTag,
    /// `None`: the name of the header is not printable.
    Vary {
        name: Option<String>,
    },
    VaryAny,
    SetCookie,
    CachedError {
        status: u16,
        seconds: u64,
    },
    CachedAnswer {
        seconds: u64,
    },
    CachedPending {
        seconds: u64,
    },
    MissingNoStore,
    MissingRetryAfter,
    InvalidRetryAfter,
    MissingChangePending,
    PendingEntityTag,
    UnexpectedChangePending,
}

impl Finding {
    /// The stable identifier. `docs/replay.md` lists all.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnexpectedStatus { .. } => "unexpected_status",
            Self::FromCloudfront => "from_cloudfront",
            Self::OtherCache { .. } => "other_cache",
            Self::MissingSMaxage { .. } => "missing_s_maxage",
            Self::Uncacheable { .. } => "uncacheable",
            Self::Contradiction { .. } => "contradiction",
            Self::MaxAge { .. } => "max_age",
            Self::MissingMaxAge => "missing_max_age",
            Self::StaleIfError { .. } => "stale_if_error",
            Self::MissingStaleIfError => "missing_stale_if_error",
            Self::StaleWhileRevalidate { .. } => "stale_while_revalidate",
            Self::InvalidSeconds(_) => "invalid_seconds",
            Self::QuotedSeconds(_) => "quoted_seconds",
            Self::RepeatedDirective(_) => "repeated_directive",
            Self::LifetimeAboveMaximum { .. } => "lifetime_above_maximum",
            Self::LifetimeAboveFormula { .. } => "lifetime_above_formula",
            Self::ClocksDiffer { .. } => "clocks_differ",
            Self::InvalidLastChangedAt => "invalid_last_changed_at",
            Self::MissingTags => "missing_tags",
            Self::MissingUserTag { .. } => "missing_user_tag",
            Self::UnencodedTag => "unencoded_tag",
            Self::MissingUsersTag => "missing_users_tag",
            Self::TooManyTags { .. } => "too_many_tags",
            Self::LongTag { .. } => "long_tag",
            Self::InvalidTag => "invalid_tag",
            Self::Vary { .. } => "vary",
            Self::VaryAny => "vary_any",
            Self::SetCookie => "set_cookie",
            Self::CachedError { .. } => "cached_error",
            Self::CachedAnswer { .. } => "cached_answer",
            Self::CachedPending { .. } => "cached_pending",
            Self::MissingNoStore => "missing_no_store",
            Self::MissingRetryAfter => "missing_retry_after",
            Self::InvalidRetryAfter => "invalid_retry_after",
            Self::MissingChangePending => "missing_change_pending",
            Self::PendingEntityTag => "pending_etag",
            Self::UnexpectedChangePending => "unexpected_change_pending",
        }
    }

    /// The header, or the field of the body, that the finding is about.
    pub fn header(&self) -> &'static str {
        match self {
            Self::UnexpectedStatus { .. } => "status",
            Self::FromCloudfront => "X-Cache",
            Self::OtherCache { .. } => "Age",
            Self::MissingSMaxage { .. }
            | Self::Uncacheable { .. }
            | Self::Contradiction { .. }
            | Self::MaxAge { .. }
            | Self::MissingMaxAge
            | Self::StaleIfError { .. }
            | Self::MissingStaleIfError
            | Self::StaleWhileRevalidate { .. }
            | Self::InvalidSeconds(_)
            | Self::QuotedSeconds(_)
            | Self::RepeatedDirective(_)
            | Self::LifetimeAboveMaximum { .. }
            | Self::LifetimeAboveFormula { .. }
            | Self::CachedError { .. }
            | Self::CachedAnswer { .. }
            | Self::CachedPending { .. }
            | Self::MissingNoStore => "Cache-Control",
            Self::ClocksDiffer { .. } => "Date",
            Self::InvalidLastChangedAt => "lastChangedAt",
            Self::MissingTags
            | Self::MissingUserTag { .. }
            | Self::UnencodedTag
            | Self::MissingUsersTag
            | Self::TooManyTags { .. }
            | Self::LongTag { .. }
            | Self::InvalidTag => "Cache-Tag",
            Self::Vary { .. } | Self::VaryAny => "Vary",
            Self::SetCookie => "Set-Cookie",
            Self::MissingRetryAfter | Self::InvalidRetryAfter => "Retry-After",
            Self::PendingEntityTag => "ETag",
            Self::MissingChangePending | Self::UnexpectedChangePending => "isChangePending",
        }
    }

    /// What happens with the answer.
    pub fn effect(&self) -> String {
        match self {
            Self::UnexpectedStatus { status, .. } => format!("The status is {status}"),
            Self::FromCloudfront => "CloudFront sent this answer and removed its tags".to_owned(),
            Self::OtherCache { seconds } => format!(
                "Another cache had the answer for {seconds} s before CloudFront gets it. No invalidation \
                 reaches that cache"
            ),
            Self::MissingSMaxage { max_age: None } => "Without s-maxage and max-age, CloudFront keeps the \
                answer for the DefaultTTL of the cache policy. It is 0 in the template"
                .to_owned(),
            Self::MissingSMaxage { max_age: Some(seconds) } => {
                format!("Without s-maxage, CloudFront takes max-age and keeps the answer for {seconds} s")
            }
            Self::Uncacheable { directive } => {
                format!("Because of {directive}, CloudFront keeps nothing and asks the origin each time")
            }
            Self::Contradiction { directive } => format!(
                "Because of {directive}, CloudFront ignores s-maxage if MinTTL is 0, and keeps the answer if \
                 MinTTL is higher"
            ),
            Self::MaxAge { seconds } => {
                format!("Browsers keep the page for {seconds} s. No invalidation reaches them")
            }
            Self::MissingMaxAge => {
                "Without max-age, a browser may keep the page for a time that it chooses".to_owned()
            }
            Self::StaleIfError { seconds } => format!(
                "CloudFront serves the expired page for {seconds} s if the origin fails, also to a suspended \
                 user"
            ),
            Self::MissingStaleIfError => "Without stale-if-error=0, CloudFront may serve the expired page \
                while the origin fails"
                .to_owned(),
            Self::StaleWhileRevalidate { seconds } => format!(
                "For {seconds} s after its end, CloudFront serves the expired page and asks the origin later"
            ),
            Self::InvalidSeconds(directive) => format!(
                "{} is not a whole number of seconds. AWS does not document what CloudFront does with it",
                directive.name()
            ),
            Self::QuotedSeconds(directive) => format!(
                "{} has quotes, which RFC 9111 forbids. AWS does not document what CloudFront does with them",
                directive.name()
            ),
            Self::RepeatedDirective(directive) => format!(
                "{} is there twice. AWS does not document which one CloudFront takes",
                directive.name()
            ),
            Self::LifetimeAboveMaximum { seconds, maximum } => format!(
                "s-maxage is {seconds}, but the workers treat a page as expired after {maximum} s. CloudFront \
                 cuts it off only if the MaxTTL of the cache policy does"
            ),
            Self::LifetimeAboveFormula { seconds, formula } => format!(
                "CloudFront keeps the page for {seconds} s, but the age of its data allows {formula} s. The \
                 workers skip invalidations that this page needs"
            ),
            Self::ClocksDiffer { seconds } => format!(
                "lastChangedAt is {seconds} s after Date, so the clock of the origin is behind. Lifetimes are \
                 wrong by up to a tenth of that"
            ),
            Self::InvalidLastChangedAt => {
                "The value is neither RFC 3339 nor a number of milliseconds, so the lifetime was not checked"
                    .to_owned()
            }
            Self::MissingTags => {
                "Without tags, no invalidation removes the page. It stays until it expires".to_owned()
            }
            Self::MissingUserTag { is_sub_known } => {
                let name = if *is_sub_known { "the tag user:{sub} of --sub" } else { "a tag user:{sub}" };
                format!("Without {name}, an invalidation of the user does not remove the page")
            }
            Self::UnencodedTag => "The sub in a tag has characters that are not percent-encoded, so no \
                invalidation names this tag"
                .to_owned(),
            Self::MissingUsersTag => {
                "Without the tag users, a purge of all users does not remove the page".to_owned()
            }
            Self::TooManyTags { count } => {
                format!("CloudFront reads the first 50 of these {count} tags and ignores the others")
            }
            Self::LongTag { characters } => {
                format!("A tag has {characters} characters. CloudFront accepts 256")
            }
            Self::InvalidTag => {
                "A tag has a character that CloudFront does not accept, such as a space".to_owned()
            }
            Self::Vary { name } => {
                let name = name.as_deref().unwrap_or("A header");
                format!(
                    "{name} is not part of the cache key, so CloudFront serves this answer to viewers with \
                     every value"
                )
            }
            Self::VaryAny => "Because of Vary: *, CloudFront asks the origin each time".to_owned(),
            Self::SetCookie => {
                "CloudFront keeps the cookie with the page, and sends it with each hit".to_owned()
            }
            Self::CachedError { status, seconds } => {
                format!("CloudFront keeps the {status} for up to {seconds} s, also after its cause is gone")
            }
            Self::CachedAnswer { seconds } => format!("CloudFront keeps the answer for {seconds} s"),
            Self::CachedPending { seconds } => format!(
                "CloudFront keeps the answer for {seconds} s, so the client does not see its change when it \
                 arrives"
            ),
            Self::MissingNoStore => "Without no-store, a cache policy with a DefaultTTL and a browser may \
                keep the answer"
                .to_owned(),
            Self::MissingRetryAfter => "The answer does not say when the client should ask again".to_owned(),
            Self::InvalidRetryAfter => {
                "The value is not a whole number from 1 to 60, after which the client gives up".to_owned()
            }
            Self::MissingChangePending => {
                "The body does not say that the change is pending, so the client stops asking".to_owned()
            }
            Self::PendingEntityTag => {
                "A later answer with the same tag becomes a 304, and the client keeps the \
                pending one"
                    .to_owned()
            }
            Self::UnexpectedChangePending => "The body says that the change has not arrived yet".to_owned(),
        }
    }

    /// What to do.
    pub fn next_step(&self) -> &'static str {
        match self {
            Self::UnexpectedStatus { hint, .. } => hint,
            Self::FromCloudfront => {
                "Request the origin's own address, with X-Origin-Verify if it has a secret"
            }
            Self::OtherCache { .. } => "Remove the cache between the origin and CloudFront",
            Self::MissingSMaxage { .. } => "Send s-maxage, or pass --expect uncached",
            Self::Uncacheable { .. } => {
                "Send s-maxage in its place. If the answer must not be cached, pass --expect uncached"
            }
            Self::Contradiction { .. } => "Send either s-maxage or no-store",
            Self::MaxAge { .. } | Self::MissingMaxAge => "Send max-age=0",
            Self::StaleIfError { .. } | Self::MissingStaleIfError => "Send stale-if-error=0",
            Self::StaleWhileRevalidate { .. } => "Remove stale-while-revalidate",
            Self::InvalidSeconds(_) => "Send digits only, and separate directives with commas",
            Self::QuotedSeconds(_) => "Send the number without quotes",
            Self::RepeatedDirective(_) => "Send it once. A proxy or a framework may add the second one",
            Self::LifetimeAboveMaximum { .. } => {
                "Lower s-maxage. If MaxCacheLifetimeSeconds is higher, pass it as --max-lifetime"
            }
            Self::LifetimeAboveFormula { .. } => {
                "Send clamp((now - lastChangedAt) / divisor, minimum, maximum), with whole seconds"
            }
            Self::ClocksDiffer { .. } => "Synchronize the clock of the origin",
            Self::InvalidLastChangedAt => "Send lastChangedAt of STATS, or pass --last-changed-at",
            Self::MissingTags => "Send Cache-Tag: user:{sub},users",
            Self::MissingUserTag { .. } => "Add the tag with the sub of the verified token",
            Self::UnencodedTag => {
                "Percent-encode all except letters, digits and -_.~, and use no email address"
            }
            Self::MissingUsersTag => "Add the tag users",
            Self::TooManyTags { .. } => "Send at most 50, with user:{sub} and users first",
            Self::LongTag { .. } => "Send shorter tags",
            Self::InvalidTag => "Use visible ASCII characters, and separate tags with commas",
            Self::Vary { .. } => {
                "Send no s-maxage, or add the header to the cache policy and pass it as --key-header"
            }
            Self::VaryAny => "Remove Vary: *",
            Self::SetCookie => "Remove Set-Cookie from answers with s-maxage",
            Self::CachedError { .. } | Self::CachedAnswer { .. } | Self::CachedPending { .. } => {
                "Send no-store, without s-maxage"
            }
            Self::MissingNoStore => "Send no-store",
            Self::MissingRetryAfter | Self::InvalidRetryAfter => "Send Retry-After: 1",
            Self::MissingChangePending => "Send \"isChangePending\": true in a JSON object",
            Self::PendingEntityTag => "Send no ETag",
            Self::UnexpectedChangePending => "Request it again, or pass --expect pending",
        }
    }
}

/// One line.
impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}  {}: {}. {}", self.code(), self.header(), self.effect(), self.next_step())
    }
}

/// Something that is not wrong, but that the reader should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The lifetime was not compared with the formula.
    LifetimeNotChecked { missing: &'static str },
    /// Right if the token ends then, and otherwise only expensive.
    BelowFormula { seconds: u64, formula: u32 },
    /// It has tags, so it may be the origin's own answer after all.
    ThroughCloudfront,
}

impl fmt::Display for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LifetimeNotChecked { missing } => {
                let next =
                    if *missing == "Date" { "Let the origin send it" } else { "Pass --last-changed-at" };
                write!(
                    out,
                    "note: The lifetime was not compared with the formula, because {missing} is missing. {next}"
                )
            }
            Self::BelowFormula { seconds, formula } => write!(
                out,
                "note: The age of the data allows {formula} s, and s-maxage is {seconds}. This is right if the \
                 token or a permission ends then"
            ),
            Self::ThroughCloudfront => out.write_str(
                "note: The answer came through a distribution, which may change headers. An API Gateway \
                 endpoint of type EDGE has one of its own",
            ),
        }
    }
}
