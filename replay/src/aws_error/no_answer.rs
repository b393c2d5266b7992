//! Calls that AWS did not answer: no connection, no trust, or no credentials to sign the call with.

use super::sentence::shorten;

/// What to do if the SDK's text contains a fragment. The first row that matches counts.
pub const ROWS: [(&str, &str); 9] = [
    (
        "UnknownIssuer",
        "this machine does not trust the server's certificate: behind a proxy that inspects TLS, set \
         AWS_CA_BUNDLE, or ca_bundle in the profile, to its certificates",
    ),
    ("certificate expired", "check this machine's clock"),
    ("certificate not valid yet", "check this machine's clock"),
    ("not valid for name", "check --endpoint-url: the server's certificate has another name"),
    ("invalid peer certificate", "check --endpoint-url and AWS_CA_BUNDLE"),
    ("dns error", "AWS cannot be reached: check the region, --endpoint-url and the network"),
    ("failed to lookup", "AWS cannot be reached: check the region, --endpoint-url and the network"),
    ("client error (Connect)", "AWS cannot be reached: check the region, --endpoint-url and the network"),
    ("timeout", "AWS did not answer in time: check the network, then run the command again"),
];

/// The SDK's text with advice.
pub fn explain(text: &str) -> String {
    match (advice(text), without_parts(text)) {
        (Some(advice), text) => format!("{text} ({advice})"),
        (None, text) => text,
    }
}

/// What to do, if the SDK's text is about the connection.
pub fn advice(text: &str) -> Option<&'static str> {
    let lower = text.to_lowercase();
    let row = ROWS.iter().find(|(fragment, _)| lower.contains(&fragment.to_lowercase()));
    row.map(|(_, advice)| *advice)
}

/// An answer without an error code, often of a proxy or a load balancer, with the HTTP status if it is
/// known.
pub fn without_code(status: Option<u16>) -> String {
    let answer = status.map_or_else(|| "an answer".to_owned(), |status| format!("HTTP status {status}"));
    format!(
        "{answer} without an error code (AWS has a problem, or a proxy answers in its place: run the command \
         again later, or check --endpoint-url)"
    )
}

/// What to do about credentials, if the SDK's text is about them.
pub fn credentials_problem(text: &str) -> Option<String> {
    if text.contains("no providers in chain provided credentials")
        || text.contains("credential provider was not enabled")
    {
        return Some(NO_CREDENTIALS.to_owned());
    }
    let (_, reason) = text.split_once("loading credentials")?;
    let reason = reason.trim_start_matches(": ");
    if let Some(advice) = advice(reason) {
        return Some(format!("{advice}: the credentials could not be loaded: {}", without_parts(reason)));
    }
    let reason = if reason.is_empty() { String::new() } else { format!(": {}", without_parts(reason)) };
    Some(format!("sign in again, or pass another --profile: the credentials could not be loaded{reason}"))
}

/// There are no credentials anywhere.
pub const NO_CREDENTIALS: &str =
    "sign in with `aws login` or `aws sso login`, or pass --profile: no credentials were found";

/// The SDK's text without the names of its own parts.
pub fn without_parts(text: &str) -> String {
    let parts = ["dispatch failure: ", "io error: ", "other: "];
    shorten(parts.iter().fold(text, |text, part| text.strip_prefix(part).unwrap_or(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_gives_its_advice() {
        for (fragment, advice) in ROWS {
            let text = explain(&format!("dispatch failure: io error: {fragment}: x"));
            assert_eq!(text, format!("{fragment}: x ({advice})"));
        }
        assert_eq!(explain("response error: x"), "response error: x");
    }

    #[test]
    fn credentials_are_recognized() {
        let none = "dispatch failure: other: the credential provider was not enabled: no providers in chain \
                    provided credentials";
        assert_eq!(credentials_problem(none).as_deref(), Some(NO_CREDENTIALS));
        let failed = "dispatch failure: other: an error occurred while loading credentials: expired";
        assert_eq!(
            credentials_problem(failed).unwrap(),
            "sign in again, or pass another --profile: the credentials could not be loaded: expired"
        );
        let untrusted = "dispatch failure: other: an error occurred while loading credentials: UnknownIssuer";
        let line = credentials_problem(untrusted).unwrap();
        assert!(line.starts_with("this machine does not trust") && !line.contains("sign in"), "{line}");
        assert_eq!(credentials_problem("dispatch failure: io error: client error (Connect)"), None);
    }
}
