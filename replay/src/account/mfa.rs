//! Profiles with `mfa_serial`: the SDK does not ask for codes, so `replay` assumes such a role itself.
//!
//! The session lasts one hour, or `duration_seconds`. Then AWS refuses the calls with ExpiredToken, and the
//! operator runs the command again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use aws_config::profile::Profile;
use aws_credential_types::Credentials;
use aws_sdk_sts::Client;
use shared::text::printable;

use super::profiles::Profiles;
use super::sdk::Sdk;
use crate::aws_error::{Service, aws_error};

/// Section of the configuration for the keys of a role that names no other profile.
const KEYS_SECTION: &str = "replay-keys-of-role";
/// Section of the configuration for the session of a role with a code.
const SESSION_SECTION: &str = "replay-session-with-mfa";
const KEY_SETTINGS: [&str; 4] =
    ["credential_source", "aws_access_key_id", "aws_secret_access_key", "aws_session_token"];

/// Sessions by profile. A command can open two accounts with the same profile, and STS accepts a code
/// only once.
static SESSIONS: Mutex<BTreeMap<String, Credentials>> = Mutex::new(BTreeMap::new());

/// The names of the profiles that lead to the keys: the profile itself, its source profile and so on.
pub fn chain<'a>(profiles: &'a Profiles, name: &'a str) -> Vec<&'a str> {
    let mut names = vec![name];
    let mut next = name;
    while let Some(profile) = profiles.get(next) {
        // The SDK and the AWS CLI prefer the keys of a source profile to its role.
        let has_keys = names.len() > 1 && profile.get("aws_access_key_id").is_some();
        let source = profile.get("role_arn").and_then(|_| profile.get("source_profile"));
        match source.filter(|source| !has_keys && !names.contains(source)) {
            Some(source) => names.push(source),
            None => break,
        }
        next = names.last().copied().unwrap_or_default();
    }
    names
}

/// Asks for a code for each role with `mfa_serial` between the profile and its keys. Returns the
/// profiles with the sessions in place of these roles, and the profile to use then. `None` if there is no
/// such role.
pub async fn with_sessions(sdk: &Sdk, profiles: &Profiles, name: &str) -> Result<Option<(Profiles, String)>> {
    let (mut profiles, mut name, mut sessions) = (profiles.clone(), name.to_owned(), 0);
    loop {
        let names: Vec<String> = chain(&profiles, &name).into_iter().map(str::to_owned).collect();
        let needs_code = |name: &&String| {
            let profile = profiles.get(name);
            profile.is_some_and(|profile| profile.get("role_arn").is_some() && serial(profile).is_some())
        };
        // The role next to the keys comes first.
        let Some(role) = names.iter().rev().find(needs_code) else { break };
        let known = SESSIONS.lock().unwrap_or_else(PoisonError::into_inner).get(role).cloned();
        let session = match known {
            Some(session) => session,
            None => assume(sdk, &profiles, role).await.with_context(|| format!("profile {role}"))?,
        };
        SESSIONS.lock().unwrap_or_else(PoisonError::into_inner).insert(role.clone(), session.clone());
        sessions += 1;
        let section = format!("{SESSION_SECTION}-{sessions}");
        let settings = [
            ("aws_access_key_id", session.access_key_id()),
            ("aws_secret_access_key", session.secret_access_key()),
            ("aws_session_token", session.session_token().unwrap_or_default()),
        ];
        let user = names.iter().rev().skip_while(|other| *other != role).nth(1);
        profiles = profiles.with_section(&section, &settings).await?;
        match user {
            Some(user) => profiles = profiles.with_section(user, &[("source_profile", &section)]).await?,
            None => name = section,
        }
    }
    Ok((sessions > 0).then_some((profiles, name)))
}

fn serial(profile: &Profile) -> Option<&str> {
    profile.get("mfa_serial").filter(|serial| !serial.is_empty())
}

async fn assume(sdk: &Sdk, profiles: &Profiles, role: &str) -> Result<Credentials> {
    let profile = profiles.get(role).context("no such profile")?;
    let setting = |name: &str| profile.get(name).map(str::to_owned);
    let serial = serial(profile).context("no mfa_serial")?;
    let code = ask_for_code(role, serial)?;
    let source = profile.get("source_profile").filter(|source| *source != role);
    let (profiles, source) = match source {
        Some(source) => (profiles.clone(), source),
        None => {
            let settings = KEY_SETTINGS.iter().filter_map(|name| Some((*name, profile.get(name)?)));
            (profiles.with_section(KEYS_SECTION, &settings.collect::<Vec<_>>()).await?, KEYS_SECTION)
        }
    };
    let loader = sdk.loader(&profiles, Some(role));
    let config = loader.credentials_provider(sdk.profile_credentials(&profiles, source)).load().await;
    let call = Client::new(&config).assume_role().set_role_arn(setting("role_arn"));
    let call = call.set_external_id(setting("external_id")).serial_number(serial).token_code(code);
    let duration = setting("duration_seconds").map(|seconds| seconds.parse());
    let call = call.set_duration_seconds(duration.transpose().context("duration_seconds")?);
    let call = call.role_session_name(setting("role_session_name").unwrap_or_else(|| "replay".to_owned()));
    let output = call.send().await.map_err(aws_error(Service::Sts, "AssumeRole"))?;
    let session = output.credentials.context("STS returned no credentials")?;
    let token = Some(session.session_token);
    Ok(Credentials::new(session.access_key_id, session.secret_access_key, token, None, "mfa"))
}

/// Asks on the terminal, even if standard input or error are files.
fn ask_for_code(role: &str, serial: &str) -> Result<String> {
    let Ok((input, mut output)) = open_terminal() else {
        bail!(
            "mfa_serial needs a code, and there is no terminal to ask on. Run replay in a terminal, or set the \
             variables that `aws configure export-credentials --profile {role} --format env` prints"
        );
    };
    write!(output, "Code of {}: ", printable(serial))?;
    output.flush()?;
    let mut code = String::new();
    BufReader::new(input).read_line(&mut code)?;
    let code = code.trim();
    if code.len() != 6 || !code.bytes().all(|byte| byte.is_ascii_digit()) {
        bail!("the code of an MFA device has six digits. Run the command again");
    }
    Ok(code.to_owned())
}

/// For reading and for writing.
fn open_terminal() -> std::io::Result<(File, File)> {
    let (input, output) = if cfg!(windows) { ("CONIN$", "CONOUT$") } else { ("/dev/tty", "/dev/tty") };
    let open = |path| OpenOptions::new().read(true).write(true).open(path);
    let (input, output) = (open(input)?, open(output)?);
    if input.is_terminal() { Ok((input, output)) } else { Err(std::io::ErrorKind::Unsupported.into()) }
}
