//! The JSON of a profile. Pure.

use jiff::Timestamp;
use serde::Serialize;
use shared::store::users::UserProfile;

use crate::time;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileView<'a> {
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred_username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    is_email_verified: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "time::optional")]
    created_at: Option<Timestamp>,
}

impl<'a> ProfileView<'a> {
    pub fn new(sub: &'a str, profile: UserProfile) -> Self {
        let UserProfile { username, preferred_username, email, is_email_verified, name, created_at } =
            profile;
        Self { sub, username, preferred_username, email, is_email_verified, name, created_at }
    }
}
