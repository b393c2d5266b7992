//! The endpoints of managed login: `/oauth2/*`, `/login`, `/signup`, `/confirm`, `/forgot`, `/reset`,
//! `/logout`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use form_urlencoded::Serializer;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Value, json};

use super::grants::AuthorizationRequest;
use super::login::{SignInError, SignedUp};
use super::login_pages::{Field, LoginPage};
use super::requests::{Failure, form_fields};
use super::world::World;
use crate::aws::account::CLIENT_ID;

/// The user of a newcomer. The form is filled in with it.
const EXAMPLE_NAME: &str = "Ana Example";
const EXAMPLE_EMAIL: &str = "ana@example.com";
const EXAMPLE_PASSWORD: &str = "Only-for-the-sandbox-1";
const PASSWORD_HINT: &str = "Filled in for you. Do not use a real password here.";

type Shared = State<Arc<World>>;
type Fields = BTreeMap<String, String>;
type Answer = Result<Response, Failure>;

pub fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/oauth2/authorize", get(authorize))
        .route("/oauth2/token", post(token))
        .route("/oauth2/revoke", post(revoke))
        .route("/logout", get(logout))
        .route("/login", get(show_login).post(login))
        .route("/signup", get(show_sign_up).post(sign_up))
        .route("/confirm", get(show_confirm).post(confirm))
        .route("/resend", post(resend))
        .route("/forgot", get(show_forgot).post(forgot))
        .route("/reset", post(reset))
}

/// What is wrong with a request to the authorize endpoint.
enum InvalidRequest {
    /// The client or its address is unknown: the browser must not be sent there.
    Page(&'static str),
    /// An error code of RFC 6749 for the client.
    Redirect { uri: String, error: &'static str, state: Option<String> },
}

/// Checks a request as the authorize endpoint does.
fn authorization_request(world: &World, query: &str) -> Result<AuthorizationRequest, InvalidRequest> {
    let mut fields = form_fields(query.as_bytes());
    if fields.get("client_id").is_none_or(|id| id != CLIENT_ID) {
        return Err(InvalidRequest::Page("The app client is unknown."));
    }
    let redirect_uri = fields.remove("redirect_uri").filter(|uri| is_page(world, uri));
    let uri = redirect_uri.ok_or(InvalidRequest::Page("The redirect URI is not one of this app client."))?;
    let state = fields.remove("state");
    let refuse = |error| Err(InvalidRequest::Redirect { uri: uri.clone(), error, state: state.clone() });
    if fields.get("response_type").is_none_or(|kind| kind != "code") {
        return refuse("unsupported_response_type");
    }
    let scopes: Vec<String> =
        fields.get("scope").map_or("openid", String::as_str).split_whitespace().map(str::to_owned).collect();
    if scopes.iter().any(|scope| !["openid", "email", "profile", "phone"].contains(&scope.as_str())) {
        return refuse("invalid_scope");
    }
    let code_challenge = fields.remove("code_challenge");
    let method = fields.get("code_challenge_method").map(String::as_str);
    if code_challenge.is_some() != method.is_some() || method.is_some_and(|method| method != "S256") {
        return refuse("invalid_request");
    }
    Ok(AuthorizationRequest {
        redirect_uri: uri,
        state,
        nonce: fields.remove("nonce"),
        scopes,
        code_challenge,
    })
}

/// True for the callback URL and the logout URL of the app client: the page.
fn is_page(world: &World, uri: &str) -> bool {
    uri.strip_prefix(world.settings.origin.as_str()) == Some("/")
}

impl InvalidRequest {
    fn into_response(self) -> Response {
        match self {
            Self::Page(error) => LoginPage {
                title: "This sign-in is not possible",
                error: Some(error.to_owned()),
                ..Default::default()
            }
            .into_response(),
            Self::Redirect { uri, error, state } => {
                redirect(&uri, &[("error", Some(error)), ("state", state.as_deref())])
            }
        }
    }
}

/// Sends the browser to an address with these parameters.
fn redirect(uri: &str, parameters: &[(&str, Option<&str>)]) -> Response {
    let mut query = Serializer::new(String::new());
    for (name, value) in parameters.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
        query.append_pair(name, value);
    }
    Redirect::to(&format!("{uri}?{}", query.finish())).into_response()
}

async fn authorize(State(world): Shared, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    match authorization_request(&world, &query) {
        // A newcomer has no account yet.
        Ok(_) if world.users().accounts.iter().next().is_none() => {
            Redirect::to(&format!("/signup?{query}")).into_response()
        }
        Ok(_) => Redirect::to(&format!("/login?{query}")).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn show_login(State(world): Shared, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    match authorization_request(&world, &query) {
        Ok(_) => login_page(&world, &query, None),
        Err(error) => error.into_response(),
    }
}

fn login_page(world: &World, request: &str, error: Option<String>) -> Response {
    let latest = world.users().accounts.latest().map(|account| account.email.clone());
    let email = latest.unwrap_or_default();
    let password = if email.is_empty() { "" } else { EXAMPLE_PASSWORD };
    let hint = if email.is_empty() { "" } else { PASSWORD_HINT };
    LoginPage {
        title: "Sign in",
        error,
        action: "/login",
        submit: "Sign in",
        fields: vec![Field::email(&email), Field::password(password, "current-password", hint)],
        request,
        links: vec![("/signup", "Create an account"), ("/forgot", "Forgot your password?")],
        ..Default::default()
    }
    .into_response()
}

async fn login(State(world): Shared, body: Bytes) -> Answer {
    let fields = form_fields(&body);
    let request = match authorization_request(&world, field(&fields, "request")) {
        Ok(request) => request,
        Err(error) => return Ok(error.into_response()),
    };
    sign_in(&world, &fields, request).await
}

/// Signs in with the email and the password of a form, and sends the browser back to the page.
async fn sign_in(world: &World, fields: &Fields, request: AuthorizationRequest) -> Answer {
    let (email, password) = (field(fields, "email"), field(fields, "password"));
    match world.sign_in(email, password, &request.scopes).await? {
        Ok(answer) => {
            let (uri, state) = (request.redirect_uri.clone(), request.state.clone());
            let code = world.authorization_code(request, answer)?;
            Ok(redirect(&uri, &[("code", Some(&code)), ("state", state.as_deref())]))
        }
        Err(SignInError::Denied(message)) => Ok(login_page(world, field(fields, "request"), Some(message))),
        Err(SignInError::NotConfirmed) => {
            world.resend_code(email).await?;
            Ok(confirm_page(world, email, field(fields, "request"), None))
        }
    }
}

async fn show_sign_up(State(world): Shared, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let is_first = world.users().accounts.find(EXAMPLE_EMAIL).is_none();
    let (name, email) = if is_first { (EXAMPLE_NAME, EXAMPLE_EMAIL) } else { ("", "") };
    sign_up_page(&query, name, email, None)
}

fn sign_up_page(request: &str, name: &str, email: &str, error: Option<String>) -> Response {
    LoginPage {
        title: "Create an account",
        lead: "The email stays on this machine.",
        error,
        action: "/signup",
        submit: "Sign up",
        fields: vec![
            Field::name(name),
            Field::email(email),
            Field::password(EXAMPLE_PASSWORD, "new-password", PASSWORD_HINT),
        ],
        request,
        links: vec![("/login", "Sign in to an existing account")],
        ..Default::default()
    }
    .into_response()
}

async fn sign_up(State(world): Shared, body: Bytes) -> Answer {
    let fields = form_fields(&body);
    let request = match authorization_request(&world, field(&fields, "request")) {
        Ok(request) => request,
        Err(error) => return Ok(error.into_response()),
    };
    let (name, email) = (field(&fields, "name"), field(&fields, "email"));
    match world.sign_up(name, email, field(&fields, "password")).await? {
        Ok(SignedUp::NeedsCode) => Ok(confirm_page(&world, email, field(&fields, "request"), None)),
        Ok(SignedUp::Confirmed) => sign_in(&world, &fields, request).await,
        Err(message) => Ok(sign_up_page(field(&fields, "request"), name, email, Some(message))),
    }
}

async fn show_confirm(State(world): Shared, RawQuery(query): RawQuery) -> Response {
    confirm_page(&world, "", &query.unwrap_or_default(), None)
}

fn confirm_page(world: &World, email: &str, request: &str, error: Option<String>) -> Response {
    LoginPage {
        title: "Confirm your account",
        error,
        action: "/confirm",
        submit: "Confirm",
        fields: vec![Field::email(email), Field::code()],
        request,
        mail: latest_mail(world, email),
        ..Default::default()
    }
    .into_response()
}

async fn confirm(State(world): Shared, body: Bytes) -> Answer {
    let fields = form_fields(&body);
    let (email, request) = (field(&fields, "email"), field(&fields, "request"));
    match world.confirm_sign_up(email, field(&fields, "code")).await? {
        Ok(()) => Ok(login_page(&world, request, None)),
        Err(message) => Ok(confirm_page(&world, email, request, Some(message))),
    }
}

async fn resend(State(world): Shared, body: Bytes) -> Answer {
    let fields = form_fields(&body);
    let email = field(&fields, "email");
    world.resend_code(email).await?;
    Ok(confirm_page(&world, email, field(&fields, "request"), None))
}

async fn show_forgot(RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    LoginPage {
        title: "Reset your password",
        action: "/forgot",
        submit: "Send the code",
        fields: vec![Field::email("")],
        request: &query,
        links: vec![("/login", "Back to the sign-in")],
        ..Default::default()
    }
    .into_response()
}

async fn forgot(State(world): Shared, body: Bytes) -> Answer {
    let fields = form_fields(&body);
    let email = field(&fields, "email");
    world.forgot_password(email).await?;
    Ok(reset_page(&world, email, field(&fields, "request"), None))
}

fn reset_page(world: &World, email: &str, request: &str, error: Option<String>) -> Response {
    LoginPage {
        title: "Choose a new password",
        lead: "If the account exists, the sandbox has an email with a code.",
        error,
        action: "/reset",
        submit: "Change the password",
        fields: vec![
            Field::email(email),
            Field::code(),
            Field::password(EXAMPLE_PASSWORD, "new-password", PASSWORD_HINT),
        ],
        request,
        mail: latest_mail(world, email),
        ..Default::default()
    }
    .into_response()
}

async fn reset(State(world): Shared, body: Bytes) -> Answer {
    let fields = form_fields(&body);
    let (email, request) = (field(&fields, "email"), field(&fields, "request"));
    match world.reset_password(email, field(&fields, "code"), field(&fields, "password")).await? {
        Ok(()) => Ok(login_page(&world, request, None)),
        Err(message) => Ok(reset_page(&world, email, request, Some(message))),
    }
}

/// The path and the subject of the latest email to an address.
fn latest_mail(world: &World, email: &str) -> Option<(String, String)> {
    let users = world.users();
    let mail = users.mails.iter().rev().find(|mail| mail.to.eq_ignore_ascii_case(email.trim()))?;
    Some((format!("/sandbox/mail/{}", mail.id), mail.subject.clone()))
}

async fn token(State(world): Shared, body: Bytes) -> Answer {
    let fields = form_fields(&body);
    if field(&fields, "client_id") != CLIENT_ID {
        return Ok(token_error("invalid_client", None));
    }
    match field(&fields, "grant_type") {
        "authorization_code" => {
            let verifier = fields.get("code_verifier").map(String::as_str);
            let tokens =
                world.redeem_code(field(&fields, "code"), field(&fields, "redirect_uri"), verifier)?;
            Ok(tokens.map_or_else(|| token_error("invalid_grant", None), |tokens| token_answer(&tokens)))
        }
        "refresh_token" => match world.refresh(field(&fields, "refresh_token")).await? {
            Ok(tokens) => Ok(token_answer(&tokens)),
            Err(message) => Ok(token_error("invalid_grant", Some(&message))),
        },
        _ => Ok(token_error("unsupported_grant_type", None)),
    }
}

fn token_answer(tokens: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], tokens.to_string()).into_response()
}

fn token_error(error: &str, description: Option<&str>) -> Response {
    let mut body = json!({"error": error});
    if let Some(description) = description {
        body["error_description"] = description.into();
    }
    (StatusCode::BAD_REQUEST, token_answer(&body)).into_response()
}

async fn revoke(State(world): Shared, body: Bytes) -> Response {
    let fields = form_fields(&body);
    if field(&fields, "client_id") != CLIENT_ID {
        return token_error("invalid_client", None);
    }
    world.revoke(field(&fields, "token"));
    StatusCode::OK.into_response()
}

async fn logout(State(world): Shared, RawQuery(query): RawQuery) -> Response {
    let fields = form_fields(query.unwrap_or_default().as_bytes());
    let uri = field(&fields, "logout_uri");
    if field(&fields, "client_id") != CLIENT_ID || !is_page(&world, uri) {
        let error = Some("The app client or its logout URL is unknown.".to_owned());
        return LoginPage { title: "This sign-out is not possible", error, ..Default::default() }
            .into_response();
    }
    Redirect::to(uri).into_response()
}

fn field<'a>(fields: &'a Fields, name: &str) -> &'a str {
    fields.get(name).map(String::as_str).unwrap_or_default()
}
