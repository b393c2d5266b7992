//! Email addresses, their domains, and patterns that match domains.

use std::fmt;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// RFC 5321: a local part has at most 64 characters.
const MAX_LOCAL_PART: usize = 64;
/// RFC 5321: an address has at most 254 characters.
const MAX_ADDRESS: usize = 254;

/// A domain name of at least two labels, as A-labels in lower case without a final dot. All
/// spellings of a domain are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Domain(String);

/// The text is not an email address or domain that every program reads in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidDomain;

impl Domain {
    /// The domain of an email address. Accepts the addresses that [`Address::parse`] accepts.
    pub fn of_address(address: &str) -> Result<Self, InvalidDomain> {
        split_address(address).map(|(_, domain)| domain)
    }

    /// Reads a domain from an address or from the configuration.
    pub fn parse(domain: &str) -> Result<Self, InvalidDomain> {
        if domain.chars().any(is_invisible) {
            return Err(InvalidDomain);
        }
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        let ascii = Uts46::new()
            .to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::Verify)
            .map_err(|_| InvalidDomain)?;
        let top_level = ascii.rsplit_once('.').ok_or(InvalidDomain)?.1;
        if is_number(top_level) {
            return Err(InvalidDomain);
        }
        Ok(Self(ascii.into_owned()))
    }

    /// The domain as A-labels.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An email address. All spellings of the domain are equal, and so are upper and lower case in the
/// local part.
///
/// RFC 5321 lets a mail server distinguish upper and lower case in the local part. No large provider
/// does so.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// In lower case.
    local_part: String,
    domain: Domain,
}

impl Address {
    /// Rejects everything that two programs could read differently: quoted local parts, comments,
    /// white space, control characters, a second `@`, routes, IP literals, encoded words and empty
    /// labels.
    pub fn parse(address: &str) -> Result<Self, InvalidDomain> {
        let (local_part, domain) = split_address(address)?;
        Ok(Self { local_part: local_part.to_ascii_lowercase(), domain })
    }

    /// The part before the `@`, in lower case.
    pub fn local_part(&self) -> &str {
        &self.local_part
    }

    pub fn domain(&self) -> &Domain {
        &self.domain
    }
}

/// Leaves out the local part, so that no log can contain an address.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "…@{}", self.domain)
    }
}

/// The local part and the domain of a plain address.
fn split_address(address: &str) -> Result<(&str, Domain), InvalidDomain> {
    let (local_part, domain) = address.rsplit_once('@').ok_or(InvalidDomain)?;
    if address.len() > MAX_ADDRESS || !is_plain_local_part(local_part) {
        return Err(InvalidDomain);
    }
    Ok((local_part, Domain::parse(domain)?))
}

/// True if the last label is a number. The URL standard reads such a host as an IPv4 address, and
/// there is no such top-level domain.
fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x");
    label.bytes().all(|byte| byte.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether a reader cannot see this character: IDNA removes it, such as a soft hyphen or a
/// zero-width space, or it is a joiner. Another program may keep it.
fn is_invisible(c: char) -> bool {
    let is_joiner = matches!(c, '\u{200c}' | '\u{200d}');
    is_joiner || (!c.is_ascii() && idna::domain_to_ascii(&format!("a{c}a")).is_ok_and(|ascii| ascii == "aa"))
}

/// A dot-atom of RFC 5322 in ASCII, except `%` and `!`, which relays have read as a route, and
/// `=?`, which starts an encoded word.
fn is_plain_local_part(local_part: &str) -> bool {
    let is_atom_char = |byte: u8| byte.is_ascii_alphanumeric() || b"#$&'*+-/=?^_`{|}~".contains(&byte);
    local_part.len() <= MAX_LOCAL_PART
        && !local_part.contains("=?")
        && local_part.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atom_char))
}

/// A domain, or all domains below it if the pattern starts with `*.`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    base: Domain,
    subdomains: bool,
}

impl Pattern {
    pub fn parse(pattern: &str) -> Result<Self, InvalidDomain> {
        let (base, subdomains) = match pattern.strip_prefix("*.") {
            Some(base) => (base, true),
            None => (pattern, false),
        };
        Ok(Self { base: Domain::parse(base)?, subdomains })
    }

    /// Compares whole labels: `*.example.com` does not match `evilexample.com`.
    pub fn matches(&self, domain: &Domain) -> bool {
        if !self.subdomains {
            return *domain == self.base;
        }
        let rest = domain.0.strip_suffix(self.base.as_str());
        rest.is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }

    /// Whether the pattern names exactly this domain, not the domains below one.
    pub fn names(&self, domain: &Domain) -> bool {
        !self.subdomains && self.base == *domain
    }

    /// The pattern without `*.`.
    pub fn base(&self) -> &Domain {
        &self.base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_domain_are_equal() {
        for (address, domain) in [
            ("ana@example.com", "example.com"),
            ("Ana.B+tag@EXAMPLE.com.", "example.com"),
            ("ana@bücher.example", "xn--bcher-kva.example"),
            ("ana@XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("o'hara_x@mail.example.org", "mail.example.org"),
        ] {
            assert_eq!(
                Domain::of_address(address).map(|d| d.to_string()),
                Ok(domain.to_owned()),
                "{address}"
            );
        }
    }

    #[test]
    fn ambiguous_addresses_are_rejected() {
        let long_label = format!("ana@{}.com", "a".repeat(64));
        let long_local_part = format!("{}@example.com", "a".repeat(65));
        for address in [
            "",
            "@",
            "ana",
            "ana@",
            "@example.com",
            "ana@localhost",
            "ana@example..com",
            "ana@.example.com",
            "ana@example.com..",
            "ana@evil.test@example.com",
            "\"ana@evil.test\"@example.com",
            "ana(comment)@example.com",
            "ana@example.com(comment)",
            "ana @example.com",
            "ana@ example.com",
            "ana\t@example.com",
            "ana@example.com\n",
            "ana@example.com\0",
            "ana@[192.0.2.1]",
            "ana@192.0.2.1",
            "=?utf-8?q?ana?=@example.com",
            "ana%evil.test@example.com",
            "evil.test!ana@example.com",
            "<ana@example.com>",
            "ana@example.com,ben@example.org",
            ".ana@example.com",
            "ana.@example.com",
            "a..b@example.com",
            "ana＠example.com",
            "ána@example.com",
            "ana@exa_mple.com",
            "ana@-example.com",
            "ana@xn--\u{200b}.com",
            "ana@exam\u{202e}ple.com",
            &long_label,
            &long_local_part,
        ] {
            assert_eq!(Domain::of_address(address), Err(InvalidDomain), "{address:?}");
        }
    }

    #[test]
    fn spellings_of_one_address_are_equal() {
        let ana = Address::parse("ana.b@bücher.example").unwrap();
        for address in ["Ana.B@bücher.example", "ANA.B@XN--BCHER-KVA.Example.", "ana.b@BÜCHER.example"] {
            assert_eq!(Address::parse(address), Ok(ana.clone()), "{address}");
        }
        for address in ["anab@bücher.example", "ana.b+tag@bücher.example", "ana.b@bucher.example"] {
            assert_ne!(Address::parse(address), Ok(ana.clone()), "{address}");
        }
        assert_eq!((ana.local_part(), ana.domain().as_str()), ("ana.b", "xn--bcher-kva.example"));
        assert_eq!(format!("{ana:?}"), "…@xn--bcher-kva.example", "without the local part");
    }

    #[test]
    fn pattern_compares_whole_labels() {
        let matches = |pattern: &str, domain: &str| {
            Pattern::parse(pattern).unwrap().matches(&Domain::parse(domain).unwrap())
        };
        assert!(matches("example.com", "Example.COM"));
        assert!(!matches("example.com", "evilexample.com"));
        assert!(!matches("example.com", "mail.example.com"));
        assert!(!matches("example.com", "example.com.evil.test"));
        assert!(matches("*.example.com", "mail.example.com"));
        assert!(matches("*.example.com", "a.b.example.com"));
        assert!(!matches("*.example.com", "example.com"));
        assert!(!matches("*.example.com", "evilexample.com"));
        for pattern in ["", "*", "*.", "com", "*.com.*", "exa mple.com", "@example.com"] {
            assert_eq!(Pattern::parse(pattern), Err(InvalidDomain), "{pattern:?}");
        }
    }
}
