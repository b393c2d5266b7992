//! The order of the checks, and the way from a route to its answer.
//!
//! Origin (403), path (404), method (405), token (401), query and body (400), and only then the table:
//! suspension (403) and data (404, 503). A request that is refused before that costs no call to AWS.

use serde::Serialize;
use shared::events::View;
use shared::metric::Metric;

use crate::caller::Caller;
use crate::claims::{Claims, InvalidClaims};
use crate::permissions::Access;
use crate::problem::Problem;
use crate::response::Caching;
use crate::route::Route;
use crate::{Config, Deps, Request, Response, query};

/// Seconds for which CloudFront keeps the answer of `/api/config`.
const CONFIG_SECONDS: i64 = 60;

/// Answers a request. Every error is a response.
pub async fn handle(deps: &Deps, request: Request) -> Response {
    let response = match respond(deps, &request).await {
        Ok(response) => response.unless_matching(request.if_none_match.as_deref()),
        Err(problem) => {
            if let Some(reason) = problem.reason() {
                deps.metrics.count_by(Some(("reason", reason)), &[(Metric::RequestsRefused, 1)]);
            }
            problem.into()
        }
    };
    if request.method == "HEAD" { response.without_body() } else { response }
}

async fn respond(deps: &Deps, request: &Request) -> Result<Response, Problem> {
    let config = &deps.config;
    if !config.origin_secrets.accept(request.origin_verify.as_deref()) {
        return Err(Problem::WrongOrigin);
    }
    let route = Route::of(&request.path).ok_or(Problem::NotFound)?;
    let methods = route.methods();
    if !methods.contains(&request.method.as_str()) {
        return Err(Problem::MethodNotAllowed(methods));
    }
    if route == Route::Config {
        query::none(&request.query)?;
        return Ok(page_config(config));
    }
    let now = deps.clock.now();
    let claims = Claims::verify(&request.claims, config, now).map_err(|InvalidClaims(reason)| {
        tracing::info!(reason, "token refused");
        Problem::Unauthorized
    })?;
    let caller = Caller { deps, claims, now };
    match route {
        Route::Config => Ok(page_config(config)),
        Route::Own(view) => of_user(&caller, &caller.claims.sub, view, Access::Own, request).await,
        // As for a path that does not exist.
        Route::User { .. } if !caller.claims.is_admin => Err(Problem::NotFound),
        Route::User { sub, view } => of_user(&caller, sub, view, Access::Admin, request).await,
        Route::SharedOrders { owner } => caller.shared_orders(owner, query::page(&request.query)?).await,
        Route::MarkAsRead { notification_id } => {
            query::none(&request.query)?;
            if !request.has_empty_body {
                return Err(Problem::InvalidBody);
            }
            caller.mark_as_read(notification_id, request.traceparent.as_deref()).await
        }
    }
}

async fn of_user(
    caller: &Caller<'_>,
    sub: &str,
    view: View,
    access: Access,
    request: &Request,
) -> Result<Response, Problem> {
    let query = request.query.as_str();
    // Only the caller's own events can be waited for.
    let after = || match access {
        Access::Own => query::after(query),
        Access::Admin | Access::Granted { .. } => query::none(query).map(|()| None),
    };
    match view {
        View::Dashboard => caller.dashboard(sub, access, after()?).await,
        View::Orders => {
            let (page, after) = match access {
                Access::Own => query::own_page(query)?,
                Access::Admin | Access::Granted { .. } => (query::page(query)?, None),
            };
            caller.orders(sub, page, access, after).await
        }
        View::Profile => caller.profile(sub, access, after()?).await,
    }
}

/// What the page needs before a sign-in. The same for everyone.
fn page_config(config: &Config) -> Response {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct PageConfig<'a> {
        issuer: &'a str,
        client_id: &'a str,
        login_url: &'a str,
        product_name: &'a str,
        scopes: [&'a str; 3],
        /// How long the page adds `after` to its requests.
        max_cache_lifetime_seconds: u32,
    }
    let body = PageConfig {
        issuer: &config.issuer_url,
        client_id: config.client_ids.first().map_or("", String::as_str),
        login_url: &config.login_url,
        product_name: &config.product_name,
        scopes: ["openid", "email", "profile"],
        max_cache_lifetime_seconds: config.cache_lifetime.max_seconds,
    };
    let response =
        Response::ok(&body, &Caching::Shared { seconds: CONFIG_SECONDS, tags: "config".to_owned() });
    response.without_entity_tag()
}
