//! A second user, who looks at her dashboard when a button is pressed. Her page stays in the cache
//! while the first user's changes.

use anyhow::Result;
use http::Request;
use http::header::AUTHORIZATION;

use super::feed::Kind;
use super::login::SignedUp;
use super::world::{SecondUser, World};
use crate::tokens::random_text;

const NAME: &str = "Ben Example";
const EMAIL: &str = "ben@example.com";

/// Requests the second user's dashboard. The first time, the user signs up and confirms. A token that
/// has expired is replaced.
pub async fn view(world: &World) -> Result<()> {
    let known = world.users().second_user.clone();
    let mut user = match known {
        Some(user) => user,
        None => match sign_up(world).await? {
            Some(user) => user,
            None => return Ok(()),
        },
    };
    if user.token.is_empty() || world.is_expired(&user.token) {
        match world.access_token_of(EMAIL, &user.password).await? {
            Ok(token) => user.token = token,
            Err(message) => {
                world.feed.add(world.now(), Kind::Refused, "sandbox", message);
                return Ok(());
            }
        }
    }
    world.users().second_user = Some(user.clone());
    let request =
        Request::builder().uri("/api/dashboard").header(AUTHORIZATION, format!("Bearer {}", user.token));
    world.request(request.body(bytes::Bytes::new())?).await?;
    Ok(())
}

async fn sign_up(world: &World) -> Result<Option<SecondUser>> {
    // The prefix has the kinds of characters that the pool asks for.
    let password = format!("Aa1-{}", random_text()?);
    match world.sign_up(NAME, EMAIL, &password).await? {
        Err(message) => {
            world.feed.add(world.now(), Kind::Refused, "sandbox", message);
            return Ok(None);
        }
        Ok(SignedUp::Confirmed) => {}
        Ok(SignedUp::NeedsCode) => {
            let code = world.users().accounts.new_code(EMAIL, world.now())?;
            let _ = world.confirm_sign_up(EMAIL, &code).await?;
        }
    }
    Ok(Some(SecondUser { password, token: String::new() }))
}
