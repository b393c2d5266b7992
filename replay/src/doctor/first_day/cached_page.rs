//! The page of the user in CloudFront's cache.

use shared::freshness::{CacheLifetime, OriginLifetime};

use crate::aws_error::describe;
use crate::doctor::deployment::Deployment;
use crate::doctor::http::{Answer, Http};
use crate::doctor::page::Cache;
use crate::doctor::report::Outcome;
use crate::origin::check::{Expectations, ExpectedAnswer, check};
use crate::origin::finding::Finding;
use crate::origin::response::Response;

/// Requests after the first one, of which one must be a Hit. Edge locations have several caches.
const ATTEMPTS: usize = 4;

/// `page-cached`. Also returns the first answer.
pub async fn page_cached(http: &Http, url: &str, access_token: &str) -> (Outcome, Option<Response>) {
    let first = match http.get(url, Some(access_token)).await {
        Ok(answer) => answer,
        Err(error) => return (Outcome::failed(describe(error.as_ref())), None),
    };
    if let Some(outcome) = first_outcome(&first.response) {
        return (outcome, Some(first.response));
    }
    for _ in 0..ATTEMPTS {
        match http.get(url, Some(access_token)).await {
            Ok(answer) if Cache::of(&answer.response) == Cache::Hit => {
                return (hit(&first, &answer), Some(first.response));
            }
            Ok(_) => {}
            Err(error) => return (Outcome::failed(describe(error.as_ref())), Some(first.response)),
        }
    }
    (Outcome::failed(format!("Miss, and no Hit in {ATTEMPTS} more requests")), Some(first.response))
}

fn hit(first: &Answer, second: &Answer) -> Outcome {
    let (miss, hit) = (first.duration.as_millis(), second.duration.as_millis());
    Outcome::ok(format!("Miss ({miss} ms), then Hit ({hit} ms)")).measuring(second.duration)
}

/// Why the first answer is not that of a page that was never requested before.
fn first_outcome(response: &Response) -> Option<Outcome> {
    match (response.status, Cache::of(response)) {
        (200, Cache::Miss) => None,
        (200, Cache::Unknown) => Some(
            Outcome::failed("the answer has no header X-Cache of CloudFront")
                .with_fix("Pass the address of the distribution with --page-url"),
        ),
        (200, Cache::Hit) => Some(
            Outcome::failed("the first request of a new token is a Hit: another user's page")
                .with_fix("Add the Authorization header to the cache key at once: users see pages of others"),
        ),
        (401 | 403, _) => Some(
            Outcome::failed(format!("the origin refuses the user's access token: {}", response.status))
                .with_fix("Check the app clients and the issuer that the origin accepts"),
        ),
        (status, _) => Some(Outcome::failed(format!("the answer is {status}"))),
    }
}

/// `page-headers`.
pub fn page_headers(deployment: &Deployment, response: Option<&Response>) -> Outcome {
    let Some(response) = response.filter(|response| response.status == 200) else {
        return Outcome::skipped("there is no page of the user");
    };
    let number = |name: &str, default: u32| {
        deployment.parameter(name).and_then(|value| value.parse().ok()).unwrap_or(default)
    };
    let is_fixed = deployment.parameter("OriginLifetime") == Some("fixed");
    let expected = Expectations {
        answer: ExpectedAnswer::Cached,
        sub: None,
        lifetime: CacheLifetime {
            origin: if is_fixed { OriginLifetime::Fixed } else { OriginLifetime::Adaptive },
            divisor: number("CacheLifetimeDivisor", 10),
            min_seconds: number("MinCacheLifetimeSeconds", 5),
            max_seconds: number("MaxCacheLifetimeSeconds", 60),
        },
        last_changed_at: None,
        key_headers: deployment.list("ForwardedHeaders").into_iter().map(str::to_owned).collect(),
        // CloudFront removes the tags, so a viewer cannot see them. The invalidation proves them.
        tag_header: None,
    };
    let checked = check(response, &expected);
    let findings = checked.findings.iter().filter(|finding| **finding != Finding::FromCloudfront);
    let problems: Vec<String> = findings.map(ToString::to_string).collect();
    let kept =
        checked.kept_seconds.map_or("not cached".to_owned(), |seconds| format!("cached for {seconds} s"));
    Outcome::of_problems(&problems, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&str, &str)]) -> Response {
        Response::new(status, headers.iter().copied(), b"{}")
    }

    #[test]
    fn first_request_must_be_a_miss_of_the_page() {
        let first = |status, cache: &str| first_outcome(&response(status, &[("x-cache", cache)]));
        assert_eq!(first(200, "Miss from cloudfront"), None);
        for (status, cache, expected) in [
            (200, "Hit from cloudfront", "another user's page"),
            (200, "", "no header X-Cache"),
            (401, "Error from cloudfront", "refuses the user's access token"),
            (502, "Error from cloudfront", "the answer is 502"),
        ] {
            assert!(first(status, cache).unwrap().text.contains(expected), "{status} {cache}");
        }
    }

    #[test]
    fn headers_of_the_page_follow_the_contract() {
        let deployment =
            Deployment::of(&[("OriginLifetime", "fixed"), ("MaxCacheLifetimeSeconds", "60")], &[]);
        let with = |control: &str| {
            let headers =
                [("cache-control", control), ("x-cache", "Miss from cloudfront"), ("x-amz-cf-id", "1")];
            page_headers(&deployment, Some(&response(200, &headers)))
        };
        assert_eq!(with("s-maxage=5, max-age=0, stale-if-error=0"), Outcome::ok("cached for 5 s"));
        assert!(with("s-maxage=500, max-age=0, stale-if-error=0").text.contains("500"));
        assert!(!with("no-store").is_ok());
        assert_eq!(page_headers(&deployment, None).text, "there is no page of the user");
    }
}
