"""Patches of MiniStack for the read side: an HTTP API as CloudFront's origin, and CloudFront's cache.

Each patch removes one difference from AWS, as in stand_in.py. cloudfront_cache.py is the cache.
"""

import contextvars
import json
import re
from http.client import responses

from ministack import app
from ministack.services import apigateway, cloudfront, cognito

from cloudfront_cache import Cache, Policy

HTTP_API_HOST = re.compile(r"([a-z0-9]{8,10})\.execute-api\.[a-z0-9-]+\.amazonaws\.com")

# The exchange that a viewer's request is part of. CloudFront's data plane hands it over several functions.
_exchange = contextvars.ContextVar("exchange")


def patch_jwks():
    """API Gateway reads the keys of a user pool. MiniStack reads them from its own port without TLS, which fails."""
    original = apigateway._fetch_jwks

    async def fetch_jwks(url):
        own = re.search(r"/([\w-]+_\w+)/\.well-known/jwks\.json$", url)
        if own and own[1] in cognito._user_pools:
            _, _, body = cognito.well_known_jwks(own[1])
            return json.loads(body)
        return await original(url)

    apigateway._fetch_jwks = fetch_jwks


def patch_http_api_origin():
    """CloudFront can have an HTTP API as an origin. MiniStack answers 502, because the host belongs to AWS."""
    original = cloudfront._fetch_from_origin

    async def fetch(origin, method, uri, query, headers, body, is_https, client_ip, forwarded_for, distribution):
        api = HTTP_API_HOST.fullmatch(origin["domain_name"])
        if not api:
            return await original(
                origin, method, uri, query, headers, body, is_https, client_ip, forwarded_for, distribution
            )
        sent = cloudfront._origin_request_headers(origin, headers, client_ip, forwarded_for)
        sent = {name.lower(): value for name, value in sent.items()}
        if sent["host"] != origin["domain_name"]:
            # API Gateway refuses another host than its own, which it gets if CloudFront forwards the viewer's.
            return 403, "Forbidden", {"content-type": "application/json"}, b'{"message":"Forbidden"}'
        path = (origin["origin_path"] or "") + uri
        status, answer_headers, answer_body = await app._handle_execute_api_request(
            f"{api[1]}.execute-api.{app._MINISTACK_HOST}",
            cloudfront.unquote(path),
            method,
            sent,
            body,
            cloudfront.parse_qs(query, keep_blank_values=True),
            raw_path=path,
            raw_query_string=query,
        )
        pairs = [
            (name, value)
            for name, values in answer_headers.items()
            for value in (values if isinstance(values, list) else [values])
        ]
        return status, responses.get(status, ""), cloudfront._multidict_from_pairs(pairs), answer_body

    cloudfront._fetch_from_origin = fetch


def patch_cache():
    """CloudFront caches answers and removes them by tag and by path. MiniStack asks the origin for each request."""
    cache = Cache()
    cache_fetches(cache)
    show_cache_to_viewers()
    apply_invalidations(cache)


def cache_fetches(cache):
    """Answers from the cache in place of the origin, and keeps the origin's answers."""
    original = cloudfront._fetch_from_origin

    async def fetch(origin, method, uri, query, headers, body, is_https, client_ip, forwarded_for, distribution):
        exchange = _exchange.get()
        key = exchange.policy.key(distribution, uri, query, headers)
        if method in ("GET", "HEAD") and (entry := cache.get(key)):
            exchange.age = entry.age()
            return entry.answer(method, headers.get("if-none-match"))
        status, reason, answer_headers, answer_body = await original(
            origin, method, uri, query, headers, body, is_https, client_ip, forwarded_for, distribution
        )
        if method == "GET":
            cache.keep(key, (status, reason, answer_headers, answer_body), exchange.policy)
        return status, reason, answer_headers, answer_body

    cloudfront._fetch_from_origin = fetch


def show_cache_to_viewers():
    """Tells viewers how an answer came about (X-Cache, Age). MiniStack calls everything a miss."""
    original = cloudfront.handle_viewer_request

    async def handle(distribution, method, path, *arguments):
        behavior = cloudfront._match_behavior(cloudfront.parse_distribution_dataplane_config(distribution), path)
        exchange = Exchange(policy_of(distribution, behavior or {}))
        token = _exchange.set(exchange)
        try:
            status, headers, body = await original(distribution, method, path, *arguments)
        finally:
            _exchange.reset(token)
        if exchange.age is not None:
            headers |= {"X-Cache": "Hit from cloudfront", "Age": str(exchange.age)}
        elif status >= 400:
            headers["X-Cache"] = "Error from cloudfront"
        return status, headers, body

    cloudfront.handle_viewer_request = handle


class Exchange:
    """One request of a viewer. `age` is the age in seconds of the cached answer, or None."""

    def __init__(self, policy):
        self.policy, self.age = policy, None


def policy_of(distribution, behavior):
    """The settings of the distribution and of its behavior that decide about the cache."""
    policy_id = behavior.get("cache_policy_id")
    stored = cloudfront._cache_policies.get(policy_id) or cloudfront._MANAGED_CACHE_POLICIES.get(policy_id)
    tag_settings = cloudfront._find(cloudfront._dist_config_el(distribution), "CacheTagConfig")
    tag_header = "" if tag_settings is None else cloudfront._text(tag_settings, "HeaderName")
    return Policy(stored["Config"] if stored else {}, tag_header.lower())


def apply_invalidations(cache):
    """Removes what an invalidation names at once. On AWS this takes some seconds."""
    original = cloudfront._create_invalidation

    def create(distribution_id, body):
        answer = original(distribution_id, body)
        if answer[0] == 201:
            items = cloudfront._invalidations[distribution_id][-1]["InvalidationBatch"]["Paths"]["Items"]
            cache.invalidate(cloudfront._distributions[distribution_id]["ARN"], items)
        return answer

    cloudfront._create_invalidation = create
