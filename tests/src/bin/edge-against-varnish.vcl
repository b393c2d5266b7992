# Varnish with the settings of the template's distribution, for edge-against-varnish.rs, which
# replaces PORT and MAX_TTL.
vcl 4.1;

import std;
import xkey;

backend default {
    .host = "127.0.0.1";
    .port = "PORT";
}

sub vcl_recv {
    if (req.method == "PURGE") {
        if (req.http.x-tag) {
            xkey.purge(std.tolower(req.http.x-tag));
        } else {
            ban(req.http.x-ban);
        }
        return (synth(200));
    }
    unset req.http.cookie;
    unset req.http.cache-control;
    if (req.method != "GET") {
        return (pass);
    }
    # Varnish does not cache requests with Authorization on its own.
    return (hash);
}

sub vcl_hash {
    hash_data(req.url);
    hash_data("authorization " + req.http.authorization);
    hash_data("origin " + req.http.origin);
    return (lookup);
}

sub vcl_backend_response {
    # Varnish has calculated the lifetime from s-maxage, max-age or Expires. It does not cache a 403,
    # and CloudFront does if the origin sends s-maxage.
    if (beresp.status == 403 && beresp.http.cache-control ~ "s-maxage=") {
        set beresp.ttl = std.duration(regsub(beresp.http.cache-control, ".*s-maxage=(\d+).*", "\1") + "s", 0s);
    }
    # Varnish 7 ignores these directives unless its VCL obeys them.
    if (beresp.http.cache-control ~ "(?i)(private|no-store|no-cache)" || beresp.http.vary == "*") {
        set beresp.ttl = 0s;
    }
    if (beresp.ttl > MAX_TTLs) {
        set beresp.ttl = MAX_TTLs;
    }
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    set beresp.http.x-url = bereq.url;
    set beresp.http.xkey = std.tolower(beresp.http.cache-tag);
    return (deliver);
}
