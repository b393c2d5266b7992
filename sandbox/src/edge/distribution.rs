//! The settings of a distribution, and those of `template.yaml`.

use http::Method;
use http::header::{
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CACHE_CONTROL,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, ORIGIN, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

/// The header with the tags of an answer.
pub const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
/// The header that proves to the API that a request comes from the distribution.
pub const X_ORIGIN_VERIFY: HeaderName = HeaderName::from_static("x-origin-verify");

/// The policy of the page. The login of the sandbox has the same origin as the page.
pub const PAGE_CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'";
const HSTS: &str = "max-age=31536000";

/// The origin of the edge's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The HTTP API.
    Api,
    /// The bucket of the page.
    Page,
}

impl Origin {
    /// The host name that the origin sees.
    pub fn host(self) -> &'static str {
        match self {
            Self::Api => "api.example.com",
            Self::Page => "page.example.com",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Distribution {
    /// The first behavior whose pattern matches the path applies. The last one matches every path.
    pub behaviors: Vec<Behavior>,
    /// `None`: answers have no tags.
    pub tag_header: Option<HeaderName>,
    /// The value of [`X_ORIGIN_VERIFY`] that the API gets.
    pub origin_secret: Option<HeaderValue>,
}

#[derive(Clone, Debug)]
pub struct Behavior {
    /// The start of the paths, such as `/api/`, which is the pattern `/api/*`.
    pub path_prefix: &'static str,
    pub origin: Origin,
    /// The methods that reach the origin. CloudFront refuses others.
    pub methods: Vec<Method>,
    pub cache: CachePolicy,
    /// The viewer's headers that reach the origin, in addition to those of the cache key.
    pub forwarded_headers: Vec<HeaderName>,
    /// Headers that viewers do not get.
    pub removed_headers: Vec<HeaderName>,
    pub added_headers: Vec<AddedHeader>,
}

#[derive(Clone, Debug)]
pub struct AddedHeader {
    pub name: HeaderName,
    pub value: HeaderValue,
    /// True if it replaces a header of the origin.
    pub overrides: bool,
}

/// Times in seconds.
#[derive(Clone, Debug)]
pub struct CachePolicy {
    pub min_ttl: i64,
    pub default_ttl: i64,
    pub max_ttl: i64,
    /// The setting of the custom error responses.
    pub error_caching_min_ttl: i64,
    /// The headers in the cache key. They reach the origin too.
    pub headers: Vec<HeaderName>,
    /// True if the whole query string is part of the key.
    pub is_query_in_key: bool,
    pub is_compression_in_key: bool,
}

impl Distribution {
    /// The distribution of `template.yaml` with the read API and the page. `max_cache_lifetime` is the
    /// parameter MaxCacheLifetimeSeconds.
    pub fn of_template(max_cache_lifetime: i64, origin_secret: Option<HeaderValue>) -> Self {
        use Method as M;
        let api = Behavior {
            path_prefix: "/api/",
            origin: Origin::Api,
            methods: vec![M::GET, M::HEAD, M::OPTIONS, M::PUT, M::POST, M::PATCH, M::DELETE],
            cache: CachePolicy::of_template(max_cache_lifetime),
            forwarded_headers: vec![
                CONTENT_TYPE,
                ACCESS_CONTROL_REQUEST_METHOD,
                ACCESS_CONTROL_REQUEST_HEADERS,
            ],
            removed_headers: vec![CACHE_TAG],
            added_headers: vec![
                AddedHeader::unless_sent(STRICT_TRANSPORT_SECURITY, HSTS),
                AddedHeader::always(X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ],
        };
        let page = Behavior {
            path_prefix: "",
            origin: Origin::Page,
            methods: vec![M::GET, M::HEAD],
            cache: CachePolicy::of_the_page(),
            forwarded_headers: Vec::new(),
            removed_headers: Vec::new(),
            added_headers: vec![
                AddedHeader::always(CACHE_CONTROL, "no-cache"),
                AddedHeader::always(CONTENT_SECURITY_POLICY, PAGE_CSP),
                AddedHeader::always(STRICT_TRANSPORT_SECURITY, HSTS),
                AddedHeader::always(X_CONTENT_TYPE_OPTIONS, "nosniff"),
                AddedHeader::always(X_FRAME_OPTIONS, "DENY"),
                AddedHeader::always(REFERRER_POLICY, "no-referrer"),
            ],
        };
        Self { behaviors: vec![api, page], tag_header: Some(CACHE_TAG), origin_secret }
    }

    /// The behavior for a path, with its index.
    pub fn behavior(&self, path: &str) -> (usize, &Behavior) {
        let last = self.behaviors.len() - 1;
        let index = self.behaviors.iter().position(|behavior| path.starts_with(behavior.path_prefix));
        let index = index.unwrap_or(last);
        (index, &self.behaviors[index])
    }

    /// The headers that the distribution adds to requests to an origin.
    pub fn origin_headers(&self, origin: Origin) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let secret = self.origin_secret.clone().filter(|_| origin == Origin::Api);
        secret.map(|secret| (X_ORIGIN_VERIFY, secret)).into_iter()
    }
}

impl CachePolicy {
    pub fn of_template(max_cache_lifetime: i64) -> Self {
        Self {
            min_ttl: 0,
            default_ttl: 0,
            max_ttl: max_cache_lifetime,
            error_caching_min_ttl: 0,
            headers: vec![AUTHORIZATION, ORIGIN],
            is_query_in_key: true,
            is_compression_in_key: true,
        }
    }

    /// The bucket's files: the edge asks each time if a file has changed.
    fn of_the_page() -> Self {
        Self { max_ttl: 86_400, headers: Vec::new(), is_query_in_key: false, ..Self::of_template(0) }
    }
}

impl AddedHeader {
    fn always(name: HeaderName, value: &'static str) -> Self {
        Self { name, value: HeaderValue::from_static(value), overrides: true }
    }

    fn unless_sent(name: HeaderName, value: &'static str) -> Self {
        Self { name, value: HeaderValue::from_static(value), overrides: false }
    }
}
