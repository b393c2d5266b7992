//! The users of the stand-in for Cognito: sign-up, codes and passwords. Pure, except for random codes.

use std::collections::BTreeMap;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared::time::plus_seconds;

use crate::tokens::{random_bytes, random_uuid};

/// Maximum number of users.
const MAX_USERS: usize = 50;
/// Cognito: a code of a sign-up is valid for 24 hours, and one of a password reset for an hour. Here,
/// both are valid for an hour.
const CODE_SECONDS: i64 = 3_600;
/// Wrong codes before the code is void.
const MAX_WRONG_CODES: u8 = 5;
/// The default of the parameter PasswordMinimumLength.
const MIN_PASSWORD_CHARS: usize = 12;
const MAX_CHARS: usize = 128;

/// A user of the pool.
#[derive(Clone, Debug)]
pub struct Account {
    pub sub: String,
    pub email: String,
    pub name: String,
    pub is_confirmed: bool,
    password: Password,
    code: Option<Code>,
}

#[derive(Clone, Debug)]
struct Password {
    salt: [u8; 16],
    digest: [u8; 32],
}

#[derive(Clone, Debug)]
struct Code {
    digits: String,
    expires_at: Timestamp,
    wrong: u8,
}

/// What the stand-in says no to. The texts are for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    #[error("Enter your name and an email address")]
    MissingField,
    #[error(
        "The password needs at least 12 characters, with a lowercase and an uppercase letter and a digit"
    )]
    WeakPassword,
    #[error("An account with this email address already exists")]
    Exists,
    #[error("The sandbox has 50 users already. Start it again to remove them")]
    TooMany,
    #[error("The code is wrong or has expired")]
    WrongCode,
    #[error("Too many wrong codes. Request a new one")]
    TooManyWrongCodes,
}

/// All users, by email address in lower case.
#[derive(Debug, Default)]
pub struct Accounts {
    by_email: BTreeMap<String, Account>,
    /// The email address that signed up last.
    latest: Option<String>,
}

impl Account {
    /// The attributes in the events of triggers.
    pub fn attributes(&self) -> Value {
        json!({
            "sub": self.sub,
            "email": self.email,
            "email_verified": self.is_confirmed.to_string(),
            "cognito:user_status": if self.is_confirmed { "CONFIRMED" } else { "UNCONFIRMED" },
            "name": self.name,
        })
    }

    pub fn has_password(&self, password: &str) -> bool {
        Password::digest(self.password.salt, password) == self.password.digest
    }
}

impl Password {
    fn new(password: &str) -> Result<Self> {
        let salt = random_bytes()?;
        Ok(Self { salt, digest: Self::digest(salt, password) })
    }

    fn digest(salt: [u8; 16], password: &str) -> [u8; 32] {
        Sha256::new().chain_update(salt).chain_update(password).finalize().into()
    }
}

impl Accounts {
    /// A user who has not confirmed yet. It is not added to the pool.
    pub fn prepare(&self, name: &str, email: &str, password: &str) -> Result<Result<Account, AccountError>> {
        let (name, email) = (name.trim(), email.trim());
        let is_email = email.contains('@') && email.chars().count() <= MAX_CHARS;
        if !is_email || name.is_empty() || name.chars().count() > MAX_CHARS {
            return Ok(Err(AccountError::MissingField));
        }
        if !is_strong(password) {
            return Ok(Err(AccountError::WeakPassword));
        }
        if self.find(email).is_some() {
            return Ok(Err(AccountError::Exists));
        }
        if self.by_email.len() >= MAX_USERS {
            return Ok(Err(AccountError::TooMany));
        }
        Ok(Ok(Account {
            sub: random_uuid()?,
            email: email.to_owned(),
            name: name.to_owned(),
            is_confirmed: false,
            password: Password::new(password)?,
            code: None,
        }))
    }

    pub fn add(&mut self, account: Account) {
        self.latest = Some(account.email.clone());
        self.by_email.insert(account.email.to_lowercase(), account);
    }

    pub fn find(&self, email: &str) -> Option<&Account> {
        self.by_email.get(&email.trim().to_lowercase())
    }

    /// The user who signed up last.
    pub fn latest(&self) -> Option<&Account> {
        self.find(self.latest.as_deref()?)
    }

    pub fn find_sub(&self, sub: &str) -> Option<&Account> {
        self.by_email.values().find(|account| account.sub == sub)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.by_email.values()
    }

    /// A new code for a user, which replaces the one before.
    pub fn new_code(&mut self, email: &str, now: Timestamp) -> Result<String> {
        let digits = format!("{:06}", u32::from_be_bytes(random_bytes()?) % 1_000_000);
        if let Some(account) = self.by_email.get_mut(&email.trim().to_lowercase()) {
            let expires_at = plus_seconds(now, CODE_SECONDS);
            account.code = Some(Code { digits: digits.clone(), expires_at, wrong: 0 });
        }
        Ok(digits)
    }

    /// Uses up a code, and returns the user as confirmed.
    pub fn use_code(&mut self, email: &str, digits: &str, now: Timestamp) -> Result<Account, AccountError> {
        let account = self.by_email.get_mut(&email.trim().to_lowercase()).ok_or(AccountError::WrongCode)?;
        let code = account.code.as_mut().ok_or(AccountError::WrongCode)?;
        if code.wrong >= MAX_WRONG_CODES {
            return Err(AccountError::TooManyWrongCodes);
        }
        if code.digits != digits.trim() || code.expires_at <= now {
            code.wrong += 1;
            return Err(AccountError::WrongCode);
        }
        account.code = None;
        account.is_confirmed = true;
        Ok(account.clone())
    }

    pub fn confirm(&mut self, email: &str) {
        if let Some(account) = self.by_email.get_mut(&email.to_lowercase()) {
            account.is_confirmed = true;
        }
    }

    pub fn set_password(&mut self, email: &str, password: &str) -> Result<Result<(), AccountError>> {
        if !is_strong(password) {
            return Ok(Err(AccountError::WeakPassword));
        }
        if let Some(account) = self.by_email.get_mut(&email.trim().to_lowercase()) {
            account.password = Password::new(password)?;
        }
        Ok(Ok(()))
    }
}

/// True if a password follows the defaults of the template.
pub fn is_strong(password: &str) -> bool {
    let has = |is: fn(char) -> bool| password.chars().any(is);
    (MIN_PASSWORD_CHARS..=MAX_CHARS).contains(&password.chars().count())
        && has(|c| c.is_ascii_lowercase())
        && has(|c| c.is_ascii_uppercase())
        && has(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "Correct-Horse-7";

    fn with_ana() -> (Accounts, Timestamp) {
        let mut accounts = Accounts::default();
        let ana = accounts.prepare(" Ana ", "Ana@example.com", PASSWORD).unwrap().unwrap();
        accounts.add(ana);
        (accounts, "2026-03-02T09:00:00Z".parse().unwrap())
    }

    #[test]
    fn sign_up_refuses_what_cognito_refuses() {
        let (accounts, _) = with_ana();
        for (name, email, password, expected) in [
            ("Ben", "ben@example.com", PASSWORD, None),
            ("", "ben@example.com", PASSWORD, Some(AccountError::MissingField)),
            ("Ben", "ben", PASSWORD, Some(AccountError::MissingField)),
            ("Ben", "ben@example.com", "short-7A", Some(AccountError::WeakPassword)),
            ("Ben", "ben@example.com", "correct-horse-7", Some(AccountError::WeakPassword)),
            ("Ana", "ANA@example.com ", PASSWORD, Some(AccountError::Exists)),
        ] {
            let result = accounts.prepare(name, email, password).unwrap();
            assert_eq!(result.err(), expected, "{name} {email} {password}");
        }
    }

    #[test]
    fn code_counts_once_and_for_an_hour() {
        let (mut accounts, now) = with_ana();
        let code = accounts.new_code("ana@example.com", now).unwrap();
        let wrong = if code == "000000" { "000001" } else { "000000" };
        assert_eq!(accounts.use_code("ana@example.com", wrong, now).err(), Some(AccountError::WrongCode));
        let late = plus_seconds(now, CODE_SECONDS);
        assert_eq!(accounts.use_code("ana@example.com", &code, late).err(), Some(AccountError::WrongCode));
        assert_eq!(accounts.use_code("ben@example.com", &code, now).err(), Some(AccountError::WrongCode));
        assert!(accounts.use_code("ana@example.com", &format!(" {code}"), now).unwrap().is_confirmed);
        assert_eq!(accounts.use_code("ana@example.com", &code, now).err(), Some(AccountError::WrongCode));
    }

    #[test]
    fn wrong_codes_void_the_code() {
        let (mut accounts, now) = with_ana();
        let code = accounts.new_code("ana@example.com", now).unwrap();
        for _ in 0..MAX_WRONG_CODES {
            assert_eq!(accounts.use_code("ana@example.com", "", now).err(), Some(AccountError::WrongCode));
        }
        let error = accounts.use_code("ana@example.com", &code, now).err();
        assert_eq!(error, Some(AccountError::TooManyWrongCodes));
    }

    #[test]
    fn password_is_compared_as_it_was_set() {
        let (mut accounts, _) = with_ana();
        let has =
            |accounts: &Accounts, password| accounts.find("ana@example.com").unwrap().has_password(password);
        assert!(has(&accounts, PASSWORD) && !has(&accounts, "Correct-Horse-8"));
        accounts.set_password("ana@example.com", "Correct-Horse-8").unwrap().unwrap();
        assert!(has(&accounts, "Correct-Horse-8") && !has(&accounts, PASSWORD));
        assert!(!format!("{accounts:?}").contains("Horse"));
    }
}
