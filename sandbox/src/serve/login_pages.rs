//! The pages of the stand-in for managed login. askama escapes every value.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

/// The policy of the login's pages. `/sandbox` shows them in a frame.
const CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; \
     form-action 'self'; frame-ancestors 'self'";

/// A page with one form.
#[derive(Debug, Default, Template)]
#[template(path = "login.html")]
pub struct LoginPage<'a> {
    pub title: &'a str,
    /// What the page says before the form.
    pub lead: &'a str,
    /// What went wrong.
    pub error: Option<String>,
    /// Path of the form. Empty: no form.
    pub action: &'a str,
    pub submit: &'a str,
    pub fields: Vec<Field<'a>>,
    /// The query of the authorize endpoint, which every page passes on.
    pub request: &'a str,
    /// The latest email to this address: its path and subject.
    pub mail: Option<(String, String)>,
    pub links: Vec<(&'static str, &'static str)>,
}

/// An input of a form.
#[derive(Debug)]
pub struct Field<'a> {
    pub name: &'static str,
    pub label: &'static str,
    pub kind: &'static str,
    pub value: &'a str,
    pub autocomplete: &'static str,
    pub hint: &'static str,
}

impl<'a> Field<'a> {
    pub fn email(value: &'a str) -> Self {
        let (label, kind) = ("Email", "email");
        Self { name: "email", label, kind, value, autocomplete: "username", hint: "" }
    }

    pub fn name(value: &'a str) -> Self {
        Self { name: "name", label: "Name", kind: "text", value, autocomplete: "name", hint: "" }
    }

    pub fn password(value: &'a str, autocomplete: &'static str, hint: &'static str) -> Self {
        Self { name: "password", label: "Password", kind: "password", value, autocomplete, hint }
    }

    pub fn code() -> Self {
        let hint = "Six digits from the email";
        Self { name: "code", label: "Code", kind: "text", value: "", autocomplete: "one-time-code", hint }
    }
}

impl IntoResponse for LoginPage<'_> {
    fn into_response(self) -> Response {
        let status = if self.error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        match self.render() {
            Ok(html) => (status, security_headers(CSP), Html(html)).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

/// The security headers of a page that is not behind CloudFront's model.
pub fn security_headers(csp: &'static str) -> [(HeaderName, &'static str); 4] {
    [
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, csp),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With no-referrer, browsers send `Origin: null` with a form, which the server refuses.
        (REFERRER_POLICY, "same-origin"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_a_value_is_shown_as_text() {
        let markup = "\"><script>alert(1)</script>";
        let page = LoginPage {
            title: "Sign in",
            error: Some(markup.to_owned()),
            action: "/login",
            request: markup,
            fields: vec![Field::email(markup), Field::name(markup)],
            mail: Some(("/sandbox/mail/1".to_owned(), markup.to_owned())),
            ..LoginPage::default()
        };
        let html = page.render().unwrap();
        assert!(!html.contains("<script>"), "{html}");
        assert_eq!(html.matches("alert(1)").count(), 5);
    }
}
