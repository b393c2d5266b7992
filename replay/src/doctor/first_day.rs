//! The checks that change something: one user's first day, from the sign-up to the erasure.
//!
//! The user belongs to the run: an address that a user already has is refused. A stop lets the call in
//! progress end, and then everything that the run created is removed.

pub mod address;
pub mod cached_page;
pub mod cleanup;
pub mod cognito;
pub mod setting;
pub mod token;

use anyhow::{Context, Result as AnyResult};
use shared::events::OPERATOR_SOURCE;
use shared::suspension_change::SuspensionChange;
use tokio::time::Instant;

use self::cached_page::{page_cached, page_headers};
use self::cleanup::Trail;
use self::cognito::{App, Person, Refused, Tokens, create_client, random_password};
use self::setting::{REASON, Setting};
use super::catalog::CheckId;
use super::clients::AppClient;
use super::deployment::Deployment;
use super::page::{Cache, NO_PAGE};
use super::report::{CheckReport, Leftover, Outcome};
use crate::aws_error::describe;
use crate::origin::response::Response;
use crate::user::erase::StoredUserData;
use crate::user::pool::NewAccount;
use crate::user::pool_account::PoolAccount;

/// The sentence of pre-sign-up.
pub const SIGN_UP_DENIED: &str = "Sign-up is not possible with this email address";
/// The sentence of pre-authentication and pre-token-generation.
pub const SIGN_IN_DENIED: &str = "Sign-in is not possible, please contact support";
/// The state of the run.
pub struct FirstDay<'a> {
    setting: &'a Setting<'a>,
    trail: Trail,
    app: Option<App<'a>>,
    person: Option<Person>,
    tokens: Option<Tokens>,
    page: Option<Response>,
    is_page_cached: bool,
    /// When post-confirmation ran.
    confirmed_at: Option<Instant>,
    suspended_at: Option<Instant>,
}

impl<'a> FirstDay<'a> {
    pub fn new(setting: &'a Setting<'a>) -> Self {
        Self {
            setting,
            trail: Trail::default(),
            app: None,
            person: None,
            tokens: None,
            page: None,
            is_page_cached: false,
            confirmed_at: None,
            suspended_at: None,
        }
    }

    /// Makes the checks in their order, and removes everything. `show` gets each check when it is made.
    pub async fn run(mut self, mut show: impl FnMut(&CheckReport)) -> (Vec<CheckReport>, Vec<Leftover>) {
        let mut reports = Vec::new();
        for check in CheckId::ALL.into_iter().filter(|check| !check.is_read_only()) {
            let outcome = match check {
                CheckId::Erasure => self.trail.erase(self.setting).await,
                CheckId::Cleanup => self.trail.remove(self.setting).await,
                _ if self.setting.stop.is_requested() => Outcome::skipped("interrupted"),
                check => self.check(check).await,
            };
            let report = CheckReport::new(check, outcome);
            show(&report);
            reports.push(report);
        }
        (reports, self.trail.leftovers)
    }

    async fn check(&mut self, check: CheckId) -> Outcome {
        match check {
            CheckId::SignUpDenied => self.sign_up_denied().await,
            CheckId::SignUp => self.sign_up().await,
            CheckId::Profile => self.profile().await,
            CheckId::SignIn => self.sign_in().await,
            CheckId::Token => match (&self.person, &self.tokens) {
                (Some(person), Some(tokens)) => token::check(self.setting.deployment, person, tokens),
                _ => no_sign_in(),
            },
            CheckId::Statistics => self.statistics().await,
            CheckId::PageCached => self.page_cached().await,
            CheckId::PageHeaders => page_headers(self.setting.deployment, self.page.as_ref()),
            CheckId::Suspension => self.suspension().await,
            CheckId::Invalidation => self.invalidation().await,
            CheckId::Reinstatement => self.reinstatement().await,
            _ => Outcome::skipped("the check is made elsewhere"),
        }
    }

    /// The client of the stack, another one that can sign in, or a new one.
    async fn app(&mut self) -> AnyResult<&App<'a>> {
        if self.app.is_none() {
            let setting = self.setting;
            let known = chosen_client(setting.deployment, setting.clients).cloned();
            let client = match known {
                Some(client) => client,
                None => {
                    let pool = setting.creating_pool;
                    let created = create_client(pool.client(), &pool.id, setting.run).await;
                    self.trail.has_unknown_client |= created.is_err();
                    let client = created?;
                    self.trail.client_id = Some(client.id.clone());
                    client
                }
            };
            self.app = Some(App { cognito: setting.pool.client(), user_pool_id: &setting.pool.id, client });
        }
        self.app.as_ref().ok_or_else(|| anyhow::anyhow!("there is no app client"))
    }

    async fn sign_up_denied(&mut self) -> Outcome {
        let setting = self.setting;
        if setting.settings.is_admin_only {
            return Outcome::skipped("only administrators create users in this user pool");
        }
        if let Some(outcome) = self.needs_more() {
            return outcome;
        }
        let Some(address) = address::denied(setting.deployment, setting.run) else {
            return Outcome::skipped("the sign-up rules deny no address that can be tried");
        };
        let (username, password) = match self.new_names(&address, "denied") {
            Ok(names) => names,
            Err(error) => return Outcome::unknown(describe(error.as_ref())),
        };
        let app = match self.app().await {
            Ok(app) => app,
            Err(error) => return Outcome::unknown(describe(error.as_ref())),
        };
        let signed_up = app.sign_up(setting.creating_pool.client(), &username, &address, &password).await;
        self.trail.note_sign_up(&address, &signed_up);
        match signed_up {
            Err(Refused::ByTrigger(sentence)) if sentence.contains(SIGN_UP_DENIED) => {
                Outcome::ok(format!("denied: {SIGN_UP_DENIED}"))
            }
            Err(refused) => Outcome::failed(refused.text()),
            Ok((sub, _)) => {
                self.created(&username, &sub);
                Outcome::failed("the sign-up was accepted")
            }
        }
    }

    /// A user name and a password for a new user.
    fn new_names(&self, address: &str, kind: &str) -> AnyResult<(String, String)> {
        let Setting { settings, run, .. } = self.setting;
        let username = match settings.signs_in_with_email {
            true => address.to_owned(),
            false => format!("{run}-{kind}"),
        };
        let length = usize::try_from(settings.password_minimum_length).unwrap_or_default();
        Ok((username, random_password(length)?))
    }

    /// Notes an account to remove.
    fn created(&mut self, username: &str, sub: &str) {
        let pool = self.setting.pool;
        // Otherwise Cognito generates the username, which equals the sub.
        let username = if self.setting.settings.signs_in_with_email { sub } else { username };
        self.trail.accounts.push(PoolAccount::created(pool.client(), &pool.id, username, sub));
    }

    /// A user pool that needs more of a user than an address.
    fn needs_more(&self) -> Option<Outcome> {
        let names = &self.setting.settings.required_attributes;
        (!names.is_empty()).then(|| {
            let names = names.join(", ");
            Outcome::skipped(format!("the user pool requires more than an email address: {names}"))
        })
    }

    async fn sign_up(&mut self) -> Outcome {
        let setting = self.setting;
        if let Some(outcome) = self.needs_more() {
            return outcome;
        }
        let default = || address::allowed(setting.deployment, setting.run);
        let Some(address) = setting.email.map(str::to_owned).or_else(default) else {
            return Outcome::skipped(
                "the sign-up rules do not allow the mailbox simulator of SES. Pass --email with an address that may \
                 sign up and that no user has",
            );
        };
        match self.create(&address).await {
            Ok(outcome) => outcome,
            Err(refused) => Outcome::failed(refused.text()),
        }
    }

    async fn create(&mut self, address: &str) -> Result<Outcome, Refused> {
        let setting = self.setting;
        if !setting.pool.subs_with_email(address).await?.is_empty() {
            return Ok(Outcome::failed("a user of the pool has this address")
                .with_fix("Pass --email with an address that no user has"));
        }
        let (username, password) = self.new_names(address, "user")?;
        if setting.settings.is_admin_only {
            let new = NewAccount {
                username: &username,
                email: address,
                is_email_verified: true,
                temporary_password: Some(&password),
                sends_message: false,
            };
            let created = setting.creating_pool.create(&new).await.map_err(Refused::Otherwise);
            self.trail.note_sign_up(address, &created);
            let user = created?;
            let account = PoolAccount::of(setting.pool.client(), &setting.pool.id, user)?;
            self.trail.accounts.push(account.clone());
            account.set_password(&password, false).await?;
            self.person = Some(Person { sub: account.sub, username, email: address.to_owned(), password });
            return Ok(Outcome::ok("created by an administrator, because nobody can sign up"));
        }
        self.app().await?;
        let app = self.app.as_ref().context("there is no app client")?;
        let signed_up = app.sign_up(setting.creating_pool.client(), &username, address, &password).await;
        self.trail.note_sign_up(address, &signed_up);
        let (sub, is_confirmed) = signed_up?;
        let confirmed = match is_confirmed {
            true => Ok(()),
            false => app.confirm(&username).await,
        };
        self.created(&username, &sub);
        confirmed?;
        self.confirmed_at = Some(Instant::now());
        self.person = Some(Person { sub, username, email: address.to_owned(), password });
        Ok(Outcome::ok(match is_confirmed {
            true => "signed up, and confirmed by pre-sign-up",
            false => "signed up, and confirmed as an administrator does",
        }))
    }

    async fn profile(&mut self) -> Outcome {
        let Some(person) = &self.person else { return no_user() };
        let Some(since) = self.confirmed_at else {
            return Outcome::skipped(
                "post-confirmation does not run for users that an administrator creates",
            );
        };
        let store = self.setting.store;
        let has_profile = async || {
            let state = store.read_sign_in_state(&person.sub).await?;
            Ok(state.has_profile.then_some(()))
        };
        self.setting.arrives("the profile", since, has_profile).await
    }

    async fn statistics(&mut self) -> Outcome {
        let Some(person) = &self.person else { return no_user() };
        let Some(since) = self.confirmed_at else {
            return Outcome::skipped("nothing was confirmed");
        };
        let store = self.setting.store;
        let has_statistics = async || {
            let stored = StoredUserData::read(store, &person.sub).await?;
            Ok(stored.has_statistics.then_some(()))
        };
        self.setting.arrives("the first event", since, has_statistics).await
    }

    async fn sign_in(&mut self) -> Outcome {
        let Some(person) = self.person.clone() else { return no_user() };
        if self.setting.settings.requires_mfa {
            return Outcome::skipped("every user of the pool needs a second factor");
        }
        let now = self.setting.clock.now();
        let signed_in = match self.app().await {
            Ok(app) => app.sign_in(&person, now).await,
            Err(error) => Err(error.into()),
        };
        match signed_in {
            Ok(tokens) => {
                self.tokens = Some(tokens);
                Outcome::ok(match &self.trail.client_id {
                    Some(_) => "through an app client of the run",
                    None => "through an app client of the pool",
                })
            }
            Err(refused) => Outcome::failed(refused.text()),
        }
    }

    async fn page_cached(&mut self) -> Outcome {
        let Some(url) = &self.setting.urls.page else { return Outcome::skipped(NO_PAGE) };
        let Some(tokens) = &self.tokens else { return no_sign_in() };
        if self.trail.client_id.is_some() {
            return Outcome::skipped("the API does not know the app client of the run");
        }
        let (outcome, page) = page_cached(self.setting.http, url, &tokens.access).await;
        self.page = page;
        self.is_page_cached = outcome.is_ok();
        outcome
    }

    async fn suspension(&mut self) -> Outcome {
        let (Some(person), Some(tokens)) = (self.person.clone(), self.tokens.clone()) else {
            return no_sign_in();
        };
        let now = self.setting.clock.now();
        let decision = SuspensionChange::suspend(&person.sub, REASON, None, self.setting.operator, now);
        self.trail.suspended = Some(person.sub.clone());
        if let Some(outcome) = self.apply(&decision).await {
            return outcome;
        }
        self.suspended_at = Some(Instant::now());
        let Some(app) = &self.app else { return no_sign_in() };
        let refreshed = app.refresh(&person, &tokens).await;
        let signed_in = app.sign_in(&person, now).await;
        let problems = [("the refresh", refreshed), ("the sign-in", signed_in)];
        let problems = problems.into_iter().filter_map(|(what, result)| not_denied(what, &result));
        Outcome::of_problems(&problems.collect::<Vec<_>>(), "refresh and sign-in are denied")
    }

    /// Writes and publishes a decision. An outcome if that failed.
    async fn apply(&self, decision: &SuspensionChange) -> Option<Outcome> {
        match decision.apply(self.setting.store, self.setting.user_events, OPERATOR_SOURCE).await {
            Ok(true) => None,
            Ok(false) => Some(Outcome::failed("a newer decision about the user exists")),
            Err(error) => Some(Outcome::unknown(describe(&error))),
        }
    }

    async fn invalidation(&mut self) -> Outcome {
        let (Some(person), Some(since)) = (&self.person, self.suspended_at) else {
            return Outcome::skipped("the user was not suspended");
        };
        let Some(distribution) = self.setting.deployment.output("DistributionId") else {
            return Outcome::skipped("the stack has no distribution");
        };
        let store = self.setting.store;
        let is_invalidated = async || {
            let (marks, _) = store.read_cache_marks(distribution, [person.sub.as_str()].into_iter()).await?;
            let mark = marks.get(&person.sub).and_then(|mark| mark.last_security_change_at);
            Ok(mark.map(drop))
        };
        let outcome = self.setting.arrives("the invalidation", since, is_invalidated).await;
        if !outcome.is_ok() {
            return outcome;
        }
        let (Some(url), Some(tokens), true) = (&self.setting.urls.page, &self.tokens, self.is_page_cached)
        else {
            return outcome;
        };
        let http = self.setting.http;
        let look = async || {
            let answer = http.get(url, Some(&tokens.access)).await?;
            Ok(is_evicted(&answer.response).then_some(()))
        };
        let evicted = self.setting.arrives("the eviction", since, look).await;
        match evicted.is_ok() {
            true => Outcome { text: format!("{}: the page is a Miss", evicted.text), ..evicted },
            false => evicted,
        }
    }

    async fn reinstatement(&mut self) -> Outcome {
        let (Some(person), Some(tokens), Some(_)) =
            (self.person.clone(), self.tokens.clone(), self.suspended_at)
        else {
            return Outcome::skipped("the user was not suspended");
        };
        let now = self.setting.clock.now();
        let decision = SuspensionChange::reinstate(&person.sub, REASON, self.setting.operator, now);
        if let Some(outcome) = self.apply(&decision).await {
            return outcome;
        }
        self.trail.suspended = None;
        let Some(app) = &self.app else { return no_sign_in() };
        let refreshed = app.refresh(&person, &tokens).await;
        let signed_in = app.sign_in(&person, now).await;
        let results = [("the refresh", refreshed), ("the sign-in", signed_in)];
        let problem = |(what, result): (&str, Result<Tokens, Refused>)| {
            Some(format!("{what} failed: {}", result.err()?.text()))
        };
        let problems: Vec<String> = results.into_iter().filter_map(problem).collect();
        Outcome::of_problems(&problems, "refresh and sign-in work again")
    }
}

/// The checks of a run that cannot start.
pub fn not_started(error: impl std::fmt::Display) -> Vec<CheckReport> {
    let checks = CheckId::ALL.into_iter().filter(|check| !check.is_read_only());
    let report = |check| match check {
        CheckId::SignUp => CheckReport::new(check, Outcome::unknown(&error)),
        _ => CheckReport::new(check, Outcome::skipped("nothing was created: see sign-up")),
    };
    checks.map(report).collect()
}

/// What is wrong with the answer to a suspended user.
fn not_denied(what: &str, result: &Result<Tokens, Refused>) -> Option<String> {
    match result {
        Ok(_) => Some(format!("{what} was allowed")),
        Err(Refused::ByTrigger(sentence)) if sentence.contains(SIGN_IN_DENIED) => None,
        Err(refused) => Some(format!("{what} failed for another reason: {}", refused.text())),
    }
}

fn no_user() -> Outcome {
    Outcome::skipped("there is no user: see sign-up")
}

fn no_sign_in() -> Outcome {
    Outcome::skipped("nobody is signed in: see sign-in")
}

/// True if the origin answered, and not the cache. A suspended user can get a refusal.
fn is_evicted(response: &Response) -> bool {
    Cache::of(response) == Cache::Miss && response.status < 500
}

/// The app client of the stack, otherwise one that the stack was given, otherwise another one of the pool.
/// `None` if no client can sign in with SRP.
fn chosen_client<'c>(deployment: &Deployment, clients: &'c [AppClient]) -> Option<&'c AppClient> {
    let with_id = |id: &str| clients.iter().find(|client| client.id == id && client.allows_srp);
    let own = deployment.output("UserPoolClientId").and_then(with_id);
    let given = || deployment.list("ExistingUserPoolClientIds").into_iter().find_map(with_id);
    own.or_else(given).or_else(|| clients.iter().find(|client| client.allows_srp))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_of_the_stack_comes_first() {
        let client =
            |id: &str, allows_srp| AppClient { id: id.to_owned(), allows_srp, ..AppClient::default() };
        let clients = [client("a", true), client("b", true), client("c", false)];
        for (outputs, parameters, expected) in [
            (&[("UserPoolClientId", "b")][..], &[][..], Some("b")),
            (&[], &[("ExistingUserPoolClientIds", "c,b")], Some("b")),
            (&[("UserPoolClientId", "c")], &[], Some("a")),
            (&[], &[], Some("a")),
        ] {
            let deployment = Deployment::of(parameters, outputs);
            let chosen = chosen_client(&deployment, &clients).map(|client| client.id.as_str());
            assert_eq!(chosen, expected, "{outputs:?} {parameters:?}");
        }
        assert_eq!(chosen_client(&Deployment::default(), &[client("c", false)]), None);
    }

    #[test]
    fn only_an_answer_of_the_origin_is_an_eviction() {
        for (status, cache, expected) in [
            (200, Some("Miss from cloudfront"), true),
            (403, Some("Error from cloudfront"), true),
            (200, Some("Hit from cloudfront"), false),
            (200, Some("RefreshHit from cloudfront"), false),
            (502, Some("Error from cloudfront"), false),
            (200, None, false),
        ] {
            let headers = cache.map(|cache| ("x-cache", cache));
            let response = Response::new(status, headers, b"{}");
            assert_eq!(is_evicted(&response), expected, "{status} {cache:?}");
        }
    }

    #[test]
    fn only_our_sentence_is_a_denial_of_a_suspended_user() {
        let denied = |sentence: &str| Err(Refused::ByTrigger(sentence.to_owned()));
        let ours = format!("PreAuthentication failed with error {SIGN_IN_DENIED}.");
        assert_eq!(not_denied("the sign-in", &denied(&ours)), None);
        assert_eq!(not_denied("the sign-in", &Ok(Tokens::default())).unwrap(), "the sign-in was allowed");
        assert!(not_denied("the sign-in", &denied("other")).unwrap().contains("another reason"));
    }
}
