//! The order of the checks, and the answer of each route.
//!
//! Origin (403), path (404), method (405), token (401), query and body (400), and only then the table:
//! suspension (403) and data (404, 503). A refused request costs no call to AWS before that.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use shared::config::ConfigError;
use shared::events::View;
use shared::function_context::FunctionContext;
use shared::metric::Metric;
use shared::store::users::{UserData, UserRead};
use shared::store::{Store, StoreError};
use shared::suspension::{Denial, SuspensionStatus};
use shared::telemetry::Metrics;
use shared::time::Clock;

use crate::claims::{Claims, InvalidClaims};
use crate::problem::Problem;
use crate::profile::ProfileView;
use crate::response::Caching;
use crate::route::Route;
use crate::{Config, Request, Response, query};

/// Timeout for reading the table. Longer than one call, so that the error of a call comes first. It
/// ends the repetitions after a call that DynamoDB answered only in part.
const READ_TIMEOUT: Duration = Duration::from_millis(1_200);

/// Seconds for which CloudFront keeps the answer of `/api/config`.
const CONFIG_SECONDS: i64 = 60;

/// Dependencies of the function.
pub struct Deps {
    config: Config,
    store: Store,
    clock: Clock,
    metrics: Metrics,
}

impl Deps {
    /// Reads the configuration.
    pub fn new(function: &FunctionContext) -> Result<Self, ConfigError> {
        Ok(Self {
            config: Config::from_environment(&function.environment)?,
            store: function.store()?,
            clock: function.clock.clone(),
            metrics: function.metrics.clone(),
        })
    }

    /// Opens the connection to DynamoDB. Most requests send nothing to SQS.
    pub async fn warm_up(&self) {
        self.store.warm_up().await;
    }
}

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
        Route::Own(View::Profile) => {
            query::none(&request.query)?;
            caller.profile(&caller.claims.sub, Access::Own).await
        }
        Route::User { .. } if !caller.claims.is_admin => Err(Problem::NotFound),
        Route::User { sub, view: View::Profile } => {
            query::none(&request.query)?;
            caller.profile(sub, Access::Admin).await
        }
        _ => Err(Problem::NotFound),
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
    }
    let body = PageConfig {
        issuer: &config.issuer_url,
        client_id: config.client_ids.first().map_or("", String::as_str),
        login_url: &config.login_url,
        product_name: &config.product_name,
        scopes: ["openid", "email", "profile"],
    };
    Response::ok(&body, &Caching::Shared { seconds: CONFIG_SECONDS, tags: "config".to_owned() })
}

/// Why a caller may see a user's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// It is the caller's own.
    Own,
    /// The caller is in one of ADMIN_GROUPS.
    Admin,
}

/// The caller of a request, with a valid token.
struct Caller<'a> {
    deps: &'a Deps,
    claims: Claims,
    now: Timestamp,
}

impl Caller<'_> {
    async fn profile(&self, sub: &str, access: Access) -> Result<Response, Problem> {
        let read = UserRead { statistics_of: Some(sub), profile_of: Some(sub), ..self.read() };
        let data = self.data(self.deps.store.read_user_data(&read)).await?;
        self.check_suspension(&data.suspension)?;
        self.check_exists(&data, sub, access, View::Profile)?;
        Ok(Response::ok(&ProfileView::new(sub, data.profile.unwrap_or_default()), &self.caching(access)))
    }

    fn read(&self) -> UserRead<'_> {
        UserRead { caller: &self.claims.sub, ..UserRead::default() }
    }

    /// The result of a read, within the timeout. A failure is reported.
    async fn data<T>(&self, read: impl Future<Output = Result<T, StoreError>>) -> Result<T, Problem> {
        let read = tokio::time::timeout(READ_TIMEOUT, read).await;
        read.unwrap_or_else(|_| Err(StoreError::timed_out("reading a user"))).map_err(|error| {
            error.report(&self.deps.metrics, "the data of a user could not be read");
            Problem::Unavailable
        })
    }

    /// A suspended user sees nothing, and neither does one whose suspension is unreadable.
    fn check_suspension(&self, suspension: &SuspensionStatus) -> Result<(), Problem> {
        match suspension.denial(self.now) {
            None => Ok(()),
            Some(Denial::Suspended) => Err(Problem::Suspended),
            Some(Denial::Unreadable) => {
                let cause = suspension.unreadable();
                tracing::error!(error_type = "unreadable_suspension", cause, "the suspension is unreadable");
                Err(Problem::UnreadableSuspension)
            }
        }
    }

    /// An erased user is gone. An administrator also finds no user of whom nothing is stored. Logs the
    /// access of an administrator.
    fn check_exists(&self, data: &UserData, sub: &str, access: Access, view: View) -> Result<(), Problem> {
        let metadata = data.statistics.as_ref().map(|statistics| statistics.metadata()).transpose();
        let metadata = metadata.map_err(|error| {
            error.report(&self.deps.metrics, "the statistics of a user could not be read");
            Problem::Unavailable
        })?;
        if access == Access::Admin {
            let (admin, view) = (self.claims.sub.as_str(), view.name());
            tracing::info!(admin, user = sub, view, "an administrator reads the page of a user");
        }
        let is_erased = metadata.as_ref().is_some_and(|metadata| metadata.erased_at.is_some());
        let is_unknown = data.profile.is_none() && metadata.is_none();
        if is_erased || (is_unknown && access == Access::Admin) { Err(Problem::NotFound) } else { Ok(()) }
    }

    fn caching(&self, access: Access) -> Caching {
        let max_seconds = self.deps.config.max_cache_lifetime_seconds;
        match access {
            Access::Own => {
                Caching::for_users(&[&self.claims.sub], max_seconds, self.now, &[self.claims.expires_at])
            }
            Access::Admin => Caching::NoStore,
        }
    }
}
