//! The routes of the server. Everything that is not named here goes to CloudFront's model.
//!
//! The server is for this machine only: it listens on loopback, answers only requests for its own
//! address, and refuses requests that other websites send.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use futures_util::{Stream, StreamExt, stream};
use http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;

use super::feed::{Entry, Kind};
use super::login_pages::security_headers;
use super::requests::{Failure, form_fields};
use super::world::World;
use super::{endpoints, second_user};

/// Longest body of a request.
const MAX_BODY_BYTES: usize = 65_536;
/// The policy of `/sandbox`.
const SANDBOX_CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'";
/// The policy of an email: it shows text, and does nothing.
const MAIL_CSP: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'self'; sandbox allow-popups";

type Shared = State<Arc<World>>;

/// The server's routes.
fn router(world: Arc<World>) -> Router {
    Router::new()
        .route("/sandbox", get(sandbox))
        .route("/sandbox/sandbox.css", get(|| asset("text/css", include_str!("../../assets/sandbox.css"))))
        .route("/sandbox/login.css", get(|| asset("text/css", include_str!("../../assets/login.css"))))
        .route(
            "/sandbox/sandbox.js",
            get(|| asset("text/javascript", include_str!("../../assets/sandbox.js"))),
        )
        .route("/sandbox/events", get(events))
        .route("/sandbox/state", get(state))
        .route("/sandbox/mail/{id}", get(mail))
        .route("/sandbox/actions/{action}", post(act))
        .merge(endpoints::routes())
        .fallback(distribution)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn_with_state(world.clone(), check_address))
        .with_state(world)
}

/// Serves until the listener fails. It does not run the workers: see [`World::run_due`].
pub async fn serve(listener: TcpListener, world: Arc<World>) -> std::io::Result<()> {
    axum::serve(listener, router(world)).await
}

/// Refuses requests with another host name, so that a website cannot reach the server through a DNS
/// name of its own (DNS rebinding), and requests that another website sends.
async fn check_address(State(world): Shared, request: Request, next: Next) -> Response {
    match refusal(&world.settings.origin, &request) {
        Some(response) => response,
        None => next.run(request).await,
    }
}

/// `own` is the address of the server.
fn refusal(own: &str, request: &Request) -> Option<Response> {
    let host = own.trim_start_matches("http://");
    let text = |name: HeaderName| {
        let mut values = request.headers().get_all(name).iter();
        let first = values.next().and_then(|value| value.to_str().ok());
        first.filter(|_| values.next().is_none())
    };
    let asked = text(HOST).unwrap_or_default();
    if asked != host {
        // A browser on http://localhost would be on another origin than the login.
        let localhost = host.replace("127.0.0.1", "localhost");
        if asked == localhost && request.method() == Method::GET {
            let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
            return Some(Redirect::temporary(&format!("{own}{path}")).into_response());
        }
        return Some((StatusCode::MISDIRECTED_REQUEST, format!("Open {own}\n")).into_response());
    }
    let is_foreign = request.headers().contains_key(ORIGIN) && text(ORIGIN) != Some(own);
    is_foreign.then(|| (StatusCode::FORBIDDEN, "Another website sent this request.\n").into_response())
}

async fn asset(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    ([(CONTENT_TYPE, content_type)], security_headers(SANDBOX_CSP), text)
}

async fn sandbox() -> impl IntoResponse {
    (security_headers(SANDBOX_CSP), Html(include_str!("../../assets/sandbox.html")))
}

/// The page and the API: CloudFront's model.
async fn distribution(State(world): Shared, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY_BYTES).await else {
        return Ok((StatusCode::PAYLOAD_TOO_LARGE, "The body is longer than 64 KiB.\n").into_response());
    };
    let response = world.request(Request::from_parts(parts, body)).await?;
    Ok(response.map(Body::from))
}

/// The live list as server-sent events. A viewer that is too slow is disconnected, and continues after
/// the last entry that it has.
async fn events(
    State(world): Shared,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let (entries, receiver) = world.feed.after(last.unwrap_or(0));
    let new = stream::unfold(receiver, |mut receiver| async move {
        match receiver.recv().await {
            Ok(entry) => Some((entry, receiver)),
            Err(RecvError::Lagged(_) | RecvError::Closed) => None,
        }
    });
    let all = stream::iter(entries).chain(new).map(|entry: Entry| {
        let data = serde_json::to_string(&entry).unwrap_or_default();
        Ok(Event::default().id(entry.id.to_string()).data(data))
    });
    Sse::new(all).keep_alive(KeepAlive::default())
}

/// The users, for the buttons.
async fn state(State(world): Shared) -> Result<impl IntoResponse, Failure> {
    let statistics = world.statistics().await?;
    let users = world.users();
    let users = users.accounts.iter().filter(|account| account.is_confirmed);
    let users: Vec<Value> = users
        .map(|account| {
            json!({
                "sub": account.sub,
                "name": account.name,
                "email": account.email,
                "orders": statistics.get(&account.sub).and_then(|stats| stats["orders"].as_u64()),
            })
        })
        .collect();
    let body = json!({"tokenSeconds": world.settings.token_seconds, "users": users}).to_string();
    Ok(([(CONTENT_TYPE, "application/json")], security_headers(SANDBOX_CSP), body))
}

async fn mail(State(world): Shared, Path(id): Path<usize>) -> Response {
    let users = world.users();
    match users.mails.iter().find(|mail| mail.id == id) {
        Some(mail) => (security_headers(MAIL_CSP), Html(mail.html.clone())).into_response(),
        None => (StatusCode::NOT_FOUND, "There is no such email.\n").into_response(),
    }
}

/// A button: `order`, `notify`, `suspend`, `reinstate` for a user, or `second-user`. Only an order has an
/// answer with a body, for the page that waits for it.
async fn act(State(world): Shared, Path(action): Path<String>, body: Bytes) -> Result<Response, Failure> {
    let fields: BTreeMap<String, String> = form_fields(&body);
    if action == "second-user" {
        second_user::view(&world).await?;
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let sub = fields.get("sub").map(String::as_str).unwrap_or_default();
    if world.users().accounts.find_sub(sub).is_none() {
        world.feed.add(world.now(), Kind::Refused, "sandbox", "Sign up first: there is no such user");
        return Ok((StatusCode::NOT_FOUND, "There is no such user.\n").into_response());
    }
    match action.as_str() {
        "order" => {
            let order = world.place_order(sub).await?.to_string();
            return Ok((StatusCode::CREATED, [(CONTENT_TYPE, "application/json")], order).into_response());
        }
        "notify" => world.notify(sub).await?,
        "suspend" => world.change_suspension(sub, false).await?,
        "reinstate" => world.change_suspension(sub, true).await?,
        _ => return Ok((StatusCode::NOT_FOUND, "There is no such action.\n").into_response()),
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
