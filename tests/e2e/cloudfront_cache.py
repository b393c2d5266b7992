"""A model of CloudFront's cache: what it keeps, under which key, for how long, and what an invalidation removes.

Sources: Amazon CloudFront Developer Guide, "Managing how long content stays in the cache (expiration)", "Understand the
cache key", "Invalidating content by cache tags", "What you need to know when invalidating files".

Not modeled: revalidation of expired answers, compression, Range, and the time until an invalidation has reached every
location.
"""

import re
import time


class Policy:
    """A cache policy (MiniStack's dictionary of it), and the header with the tags in lower case."""

    def __init__(self, config, tag_header):
        self.config, self.tag_header = config, tag_header
        self.parameters = config.get("Parameters") or {}

    def key(self, distribution, path, query, headers):
        """The cache key of a request. `headers` has lower-case names."""
        names = [name.lower() for name in self.parameters.get("Headers", [])]
        if self.parameters.get("QueryStringBehavior", "none") == "none":
            query = ""
        return distribution, path, query, tuple((name, headers.get(name)) for name in sorted(names))

    def seconds(self, status, headers):
        """How long CloudFront keeps an answer. 0: it does not keep it."""
        control = directives(headers.get("cache-control", ""))
        if control.keys() & {"private", "no-store", "no-cache"}:
            wanted = 0
        elif (wanted := control.get("s-maxage", control.get("max-age"))) is None:
            # Errors without a lifetime: ErrorCachingMinTTL, which the template sets to 0.
            wanted = 0 if status >= 400 else self.config.get("DefaultTTL", 0)
        if status >= 400 and not int(wanted):
            return 0
        return min(max(int(wanted), self.config.get("MinTTL", 0)), self.config.get("MaxTTL", 0))

    def tags(self, headers):
        """The tags of an answer in lower case. CloudFront reads the first 50."""
        tags = (headers.get(self.tag_header) or "").lower().split(",") if self.tag_header else []
        return {tag.strip() for tag in tags[:50]}


def directives(cache_control):
    """The directives of a Cache-Control header, such as {"max-age": "0", "no-store": ""}."""
    pairs = (directive.strip().lower().partition("=") for directive in cache_control.split(","))
    return {name: value for name, _, value in pairs}


class Entry:
    """A kept answer: status, reason, headers and body."""

    def __init__(self, answer, seconds, tags):
        self.kept = answer
        self.tags, self.stored_at = tags, time.time()
        self.expires_at = self.stored_at + seconds

    def age(self):
        return int(time.time() - self.stored_at)

    def answer(self, method, if_none_match):
        """The answer to a viewer, without a body if the viewer has it."""
        status, reason, headers, body = self.kept
        if status == 200 and if_none_match and if_none_match == headers.get("etag"):
            return 304, "Not Modified", dict(headers), b""
        return status, reason, dict(headers), b"" if method == "HEAD" else body


class Cache:
    """The kept answers of all distributions."""

    def __init__(self):
        self.entries = {}

    def get(self, key):
        entry = self.entries.get(key)
        return entry if entry and entry.expires_at > time.time() else None

    def keep(self, key, answer, policy):
        status, _, headers, _ = answer
        seconds = policy.seconds(status, headers)
        # A 304 answers a viewer's condition. There is no body to keep.
        if seconds > 0 and status != 304:
            self.entries[key] = Entry(answer, seconds, policy.tags(headers))

    def invalidate(self, distribution, items):
        """Removes what the items of an invalidation name: `#tag`, a path, or a path that ends with `*`."""

        def is_named(key, entry):
            of_distribution, path, query, _ = key
            url = f"{path}?{query}" if query else path
            return of_distribution == distribution and any(
                item[1:].lower() in entry.tags if item.startswith("#") else matches(item, url) for item in items
            )

        self.entries = {key: entry for key, entry in self.entries.items() if not is_named(key, entry)}


def matches(item, url):
    """True if an item by path names this path with query string. Only the last character can be a wildcard."""
    exact = re.escape(item.removesuffix("*")) + (".*" if item.endswith("*") else "")
    return re.fullmatch(exact if item.startswith("/") else f"/{exact}", url, re.S) is not None
