//! The page of a user behind CloudFront.

use std::fmt;

use super::deployment::Deployment;
use super::http::Http;
use super::report::Outcome;
use crate::aws_error::describe;
use crate::error::{CommandError, Result};
use crate::origin::response::Response;

/// Path of the page of the read API.
const DASHBOARD: &str = "api/dashboard";

/// The addresses that the checks request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageUrls {
    /// A user's page, which needs an access token. `None` if the stack has none and none was given.
    pub page: Option<String>,
    /// The static files. Only with the read API, and if no other page was given.
    pub files: Option<String>,
}

impl PageUrls {
    /// `given` is the option `--page-url`.
    pub fn of(deployment: &Deployment, given: Option<&str>) -> Self {
        if let Some(given) = given {
            return Self { page: Some(given.to_owned()), files: None };
        }
        let files = deployment.output("PageUrl").map(str::to_owned);
        Self { page: files.as_ref().map(|url| format!("{}/{DASHBOARD}", url.trim_end_matches('/'))), files }
    }
}

/// Checks `--page-url`. The requests have an access token, so only a page on this machine may do without TLS.
pub fn check_url(url: &str) -> Result<()> {
    let is_local = |rest: &&str| {
        ["127.0.0.1", "[::1]", "localhost"].iter().any(|host| {
            rest.strip_prefix(host).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
        })
    };
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://").filter(is_local));
    // A user name in front of the host could pretend to be the host.
    let has_user_name = |rest: &str| rest.split(['/', '?']).next().is_some_and(|host| host.contains('@'));
    let is_url = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/') && !has_user_name(rest));
    let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic());
    match is_url && is_plain && !url.contains(['#', '"', '<', '>', '\\']) {
        true => Ok(()),
        false => Err(CommandError::invalid_input(
            "--page-url: expected the address of a user's page, such as https://www.example.com/me. Only a \
             page on this machine may begin with http://",
        )),
    }
}

/// What CloudFront did with a request, from its header `X-Cache`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cache {
    /// From the cache, or revalidated.
    Hit,
    /// From the origin, also if the answer is an error.
    Miss,
    /// No header of CloudFront.
    Unknown,
}

impl Cache {
    /// Source: Amazon CloudFront Developer Guide, *Standard log file fields* (`x-edge-result-type`), whose
    /// values the header `X-Cache` has in words.
    pub fn of(response: &Response) -> Self {
        let value = response.values("x-cache").next().unwrap_or_default().to_ascii_lowercase();
        match value.split_once(" from ").map(|(result, _)| result) {
            Some("hit" | "refreshhit" | "originshield hit") => Self::Hit,
            Some("miss" | "error" | "lambdageneratedresponse" | "functiongeneratedresponse") => Self::Miss,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Cache {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Hit => "Hit",
            Self::Miss => "Miss",
            Self::Unknown => "no X-Cache",
        })
    }
}

/// The reason for a stack without a page.
pub const NO_PAGE: &str = "the stack has no read API. Pass --page-url with a user's page of your API";

/// `page-files`.
pub async fn page_files(http: &Http, urls: &PageUrls) -> Outcome {
    let Some(url) = &urls.files else {
        return Outcome::skipped("the stack has no page of its own, or --page-url names another one");
    };
    match http.get(url, None).await {
        Ok(answer) => files_outcome(&answer.response),
        Err(error) => Outcome::failed(describe(error.as_ref())),
    }
}

fn files_outcome(response: &Response) -> Outcome {
    let is_html = response.values("content-type").any(|value| value.starts_with("text/html"));
    match response.status {
        200 if is_html => Outcome::ok("200"),
        200 => Outcome::failed("the answer is not HTML"),
        status => Outcome::failed(format!("the answer is {status}")),
    }
}

/// `page-without-token`.
pub async fn page_without_token(http: &Http, urls: &PageUrls) -> Outcome {
    let Some(url) = &urls.page else { return Outcome::skipped(NO_PAGE) };
    match http.get(url, None).await {
        Ok(answer) => refusal_outcome(&answer.response),
        Err(error) => Outcome::failed(describe(error.as_ref())),
    }
}

fn refusal_outcome(response: &Response) -> Outcome {
    let is_cached = Cache::of(response) == Cache::Hit;
    match response.status {
        401 | 403 if is_cached => {
            Outcome::failed(format!("{} from the cache: CloudFront keeps refusals", response.status))
                .with_fix(
                    "Send Cache-Control: no-store with errors, and set the error caching of CloudFront to 0",
                )
        }
        status @ (401 | 403) => Outcome::ok(status.to_string()),
        status @ 200..=299 => Outcome::failed(format!("anyone can read the page: {status}")),
        status => Outcome::failed(format!("the answer is {status}, not 401"))
            .with_fix("Check --page-url and the origin of the distribution"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&str, &str)]) -> Response {
        Response::new(status, headers.iter().copied(), b"")
    }

    #[test]
    fn header_of_cloudfront_is_a_hit_or_a_miss() {
        for (value, expected) in [
            ("Hit from cloudfront", Cache::Hit),
            ("RefreshHit from cloudfront", Cache::Hit),
            ("Miss from cloudfront", Cache::Miss),
            ("Error from cloudfront", Cache::Miss),
            ("cache-fra19128-FRA", Cache::Unknown),
        ] {
            assert_eq!(Cache::of(&response(200, &[("X-Cache", value)])), expected, "{value}");
        }
        assert_eq!(Cache::of(&response(200, &[])), Cache::Unknown);
    }

    #[test]
    fn page_must_be_refused_without_a_token() {
        for (status, cache, is_ok) in [
            (401, "Miss from cloudfront", true),
            (403, "Error from cloudfront", true),
            (401, "Hit from cloudfront", false),
            (200, "Miss from cloudfront", false),
            (404, "Error from cloudfront", false),
            (502, "Error from cloudfront", false),
        ] {
            let outcome = refusal_outcome(&response(status, &[("X-Cache", cache)]));
            assert_eq!(outcome.is_ok(), is_ok, "{status} {cache}: {outcome:?}");
        }
    }

    #[test]
    fn files_are_html() {
        let html = [("content-type", "text/html; charset=utf-8")];
        assert!(files_outcome(&response(200, &html)).is_ok());
        assert!(!files_outcome(&response(403, &html)).is_ok());
        assert!(!files_outcome(&response(200, &[("content-type", "application/xml")])).is_ok());
    }

    #[test]
    fn page_is_the_given_one_or_the_dashboard() {
        let read_api = Deployment::of(&[], &[("PageUrl", "https://d111111abcdef8.cloudfront.net/")]);
        let urls = PageUrls::of(&read_api, None);
        assert_eq!(urls.page.as_deref(), Some("https://d111111abcdef8.cloudfront.net/api/dashboard"));
        assert!(urls.files.is_some());
        let own = PageUrls::of(&read_api, Some("https://www.example.com/me"));
        assert_eq!((own.page.as_deref(), own.files), (Some("https://www.example.com/me"), None));
        assert_eq!(PageUrls::of(&Deployment::default(), None), PageUrls::default());
    }

    #[test]
    fn given_address_must_be_a_url() {
        for url in [
            "https://www.example.com/me",
            "http://127.0.0.1:8080/me?x=1",
            "http://localhost",
            "http://[::1]/",
        ] {
            assert!(check_url(url).is_ok(), "{url}");
        }
        for url in [
            "",
            "www.example.com",
            "https://",
            "https:///me",
            "https://a b",
            "https://a\n",
            "ftp://a",
            "http://www.example.com/me",
            "http://127.0.0.1.example.com/",
            "http://localhost@www.example.com/",
            "http://localhost:x@www.example.com/",
            "http://127.0.0.1:80@www.example.com/",
        ] {
            assert!(check_url(url).is_err(), "{url}");
        }
    }
}
