//! The command line.

use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use replay::account::AccountOptions;
use replay::forget::{Holdings, forget};
use replay::inspect::Inspection;
use replay::journey::{self, InvalidJourney, Journey, Variables};
use replay::recover::Recovered;
use replay::report::printable;
use replay::simulate::Model;
use replay::stats::UserSummary;
use replay::suspension::{Decision, standing};
use replay::{local, preview, report, schema, simulate, stats};
use shared::ban::BanStatus;
use shared::events::Subject;
use shared::queues::Message;
use shared::time::Clock;
use triggers::pre_sign_up::domain::Domain;

/// Plays what happens to users, and looks after the queues.
#[derive(Debug, Parser)]
#[command(name = "replay", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Play journeys through the real handlers on an embedded AWS, and show what came of it.
    Local {
        /// Journeys (events/journeys/*.json) or events of a function (events/<function>/*.json).
        /// [default: events/journeys/sign-up-to-first-purchase.json]
        journeys: Vec<PathBuf>,
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
        /// Environment variables by function, in the format of `sam local invoke --env-vars`.
        /// [default: events/environment.json]
        #[arg(long, value_name = "FILE")]
        env_vars: Option<PathBuf>,
        /// Show the log and the metrics of the functions, on standard error.
        #[arg(long)]
        log: bool,
    },
    /// Keep a user out, from now on, until a time or for good.
    ///
    /// The ban holds on the next sign-in and on every refresh of a token. Tokens that are out stay valid until they
    /// expire. Shows what it would do, and does it with --yes.
    Suspend {
        #[command(flatten)]
        decision: DecisionOptions,
        /// When the ban ends by itself: a date (at 00:00 UTC), or a time such as 2026-04-01T12:00:00Z. [default: never]
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        until: Option<Timestamp>,
    },
    /// Lift a user's ban. Shows what it would do, and does it with --yes.
    Reinstate {
        #[command(flatten)]
        decision: DecisionOptions,
    },
    /// Find the events in logs that triggers could not send, and send them to user-events.
    ///
    /// Takes the log of the triggers in any form: lines as Lambda writes them, what `aws logs tail` or `aws logs
    /// filter-log-events` prints, an export. Shows what it found, and sends it with --yes. Sending again does no harm:
    /// each event counts once.
    Recover {
        /// A file with logs; - for standard input.
        #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
        log: Vec<PathBuf>,
        /// The queue user-events, by name or URL. [default: USER_EVENTS_QUEUE_URL]
        #[arg(long, value_name = "NAME")]
        queue: Option<String>,
        /// Send them.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        account: AccountOptions,
    },
    /// Count what lies in a dead-letter queue, by type, reason, age and subject, without taking anything out.
    ///
    /// Each message is received once, which its receive count tells, and is visible again right after. A queue that has a
    /// dead-letter queue of its own is refused.
    Inspect {
        /// The queue, by name or URL.
        queue: String,
        /// Show so many bodies, with personal data masked.
        #[arg(long, value_name = "N", default_value_t = 0)]
        sample: usize,
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        account: AccountOptions,
    },
    /// Erase what the table holds of a user: statistics, stored events and profile.
    ///
    /// A ban in force stays, and so does a marker, for 32 days, against which late events are dropped. The account in the
    /// user pool is not touched. Shows what it would erase, and erases it with --yes. There is no way back.
    Forget {
        /// The user, by sub.
        sub: String,
        /// The table. [default: TABLE_NAME]
        #[arg(long, value_name = "NAME")]
        table: Option<String>,
        /// The queue cache-invalidations, by name or URL. [default: CACHE_INVALIDATIONS_QUEUE_URL]
        #[arg(long, value_name = "NAME")]
        queue: Option<String>,
        /// Erase it.
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        account: AccountOptions,
    },
    /// Show what the table knows of one user, or of an e-mail domain.
    Stats {
        /// The user, by sub.
        #[arg(required_unless_present = "domain", conflicts_with = "domain")]
        sub: Option<String>,
        /// An e-mail domain; `other`, `none` and `invalid` for those on no list.
        #[arg(long, value_name = "DOMAIN")]
        domain: Option<String>,
        /// The table. [default: TABLE_NAME]
        #[arg(long, value_name = "NAME")]
        table: Option<String>,
        /// Print one JSON document.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        account: AccountOptions,
    },
    /// Write every message of custom-message in every language to a folder, with a page that shows them side by side.
    Preview {
        /// The folder; it is made where it is not there.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Environment variables by function, in the format of `sam local invoke --env-vars`.
        /// [default: events/environment.json]
        #[arg(long, value_name = "FILE")]
        env_vars: Option<PathBuf>,
    },
    /// Tell what a day of users costs under each policy, as tables in Markdown: those of docs/costs.md.
    Simulate {
        /// Users of the pool.
        #[arg(long, value_name = "N", default_value_t = Model::default().users)]
        users: u32,
        /// Of a hundred users, so many come on a day.
        #[arg(long, value_name = "N", default_value_t = Model::default().active_percent, value_parser = clap::value_parser!(u32).range(0..=100))]
        active_percent: u32,
        /// Of a hundred users, so many are changed by a job at night.
        #[arg(long, value_name = "N", default_value_t = Model::default().job_percent, value_parser = clap::value_parser!(u32).range(0..=100))]
        job_percent: u32,
    },
    /// Write the JSON Schema of the events to events/schema/event.json.
    Schema,
}

/// What both decisions about a user need.
#[derive(Debug, Args)]
struct DecisionOptions {
    /// The user, by sub.
    sub: String,
    /// Why, for your colleagues. Never shown to the user.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Who decides. [default: USER]
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// The table. [default: TABLE_NAME]
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// The queue user-events, by name or URL. [default: USER_EVENTS_QUEUE_URL]
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// Do it.
    #[arg(long)]
    yes: bool,
    /// Do it also where the table has no profile of the user.
    #[arg(long)]
    without_profile: bool,
    #[command(flatten)]
    account: AccountOptions,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let command = Cli::parse().command;
    let acts = match &command {
        Command::Suspend { decision, .. } | Command::Reinstate { decision } => decision.yes,
        Command::Recover { yes, .. } | Command::Forget { yes, .. } => *yes,
        _ => false,
    };
    let result = match command {
        Command::Local { journeys, json, env_vars, log } => play(journeys, json, env_vars, log).await,
        Command::Suspend { decision, until } => decide(decision, Some(until)).await,
        Command::Reinstate { decision } => decide(decision, None).await,
        Command::Recover { log, queue, yes, account } => recover(log, queue, yes, account).await,
        Command::Inspect { queue, sample, json, account } => inspect(&queue, sample, json, account).await,
        Command::Forget { sub, table, queue, yes, account } => erase(&sub, table, queue, yes, account).await,
        Command::Stats { sub, domain, table, json, account } => {
            show_stats(sub, domain, table, json, account).await
        }
        Command::Preview { out, env_vars } => write_preview(&out, env_vars),
        Command::Simulate { users, active_percent, job_percent } => {
            let model = Model { users, active_percent, job_percent, ..Model::default() };
            write!(std::io::stdout(), "{}", simulate::report(&model)).map_err(Into::into)
        }
        Command::Schema => write_schema(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads has read enough; but what was asked for may not have been done.
        Err(error)
            if !acts
                && error
                    .downcast_ref::<std::io::Error>()
                    .is_some_and(|e| e.kind() == ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "replay: {}", one_line(&error));
            // 2: what was asked for cannot be played; 1: it could not be done.
            ExitCode::from(if error.is::<InvalidJourney>() || error.is::<NotFound>() { 2 } else { 1 })
        }
    }
}

/// An error and its causes in one line.
fn one_line(error: &anyhow::Error) -> String {
    shared::telemetry::chain(error.as_ref()).replace('\n', " ")
}

/// There is no `events` folder here or above.
#[derive(Debug, thiserror::Error)]
#[error("no folder \"events\" here or above: run it in the repository, or name a journey")]
struct NotFound;

async fn play(paths: Vec<PathBuf>, json: bool, env_vars: Option<PathBuf>, log: bool) -> Result<()> {
    if log {
        tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    }
    let events = find_events();
    let paths = match (paths.is_empty(), &events) {
        (false, _) => paths,
        (true, Some(events)) => vec![events.join("journeys/sign-up-to-first-purchase.json")],
        (true, None) => return Err(NotFound.into()),
    };
    let journeys = paths.iter().map(|path| journey::read(path)).collect::<Result<Vec<Journey>, _>>()?;
    let variables = read_variables(env_vars, events.as_deref())?;

    let mut out = std::io::stdout().lock();
    if json {
        let outcome = local::play_all(&journeys, &variables).await?;
        writeln!(out, "{}", serde_json::to_string_pretty(&outcome)?)?;
        return Ok(());
    }
    for (index, journey) in journeys.iter().enumerate() {
        let outcome = local::play(journey, &variables).await?;
        let line = if index > 0 { "\n" } else { "" };
        writeln!(out, "{line}{}\n\n{}", journey.name, report::text(&outcome).trim_end())?;
    }
    Ok(())
}

/// The variables of a file, or of the repository's where none is named.
fn read_variables(env_vars: Option<PathBuf>, events: Option<&Path>) -> Result<Variables> {
    Ok(match (env_vars, events) {
        (Some(path), _) => journey::read_variables(&path)?,
        (None, Some(events)) => journey::read_variables(&events.join("environment.json"))?,
        (None, None) => Variables::new(),
    })
}

/// A date, at its first moment in UTC, or a time with its offset.
fn parse_time(text: &str) -> Result<Timestamp, String> {
    // jiff would read the date of "2026-04-01T12:00" and leave out the time.
    let is_date = text.len() == "2026-04-01".len();
    let midnight = || text.parse::<jiff::civil::Date>().ok()?.to_zoned(TimeZone::UTC).ok();
    let date = || midnight().filter(|_| is_date).map(|time| time.timestamp());
    text.parse().ok().or_else(date).ok_or_else(|| {
        "expected a date such as 2026-04-01 (from 00:00 UTC on), or a time such as 2026-04-01T12:00:00Z"
            .to_owned()
    })
}

/// Bans a user until a time (`Some(None)`: for good), or lifts the ban.
async fn decide(options: DecisionOptions, suspend_until: Option<Option<Timestamp>>) -> Result<()> {
    let DecisionOptions { sub, reason, by, table, queue, yes, without_profile, account } = options;
    let now = Clock::system().now();
    check_sub(&sub)?;
    if reason.trim().is_empty() {
        bail!("--reason: is empty");
    }
    if suspend_until.flatten().is_some_and(|until| until <= now) {
        bail!("--until: lies in the past; to lift a ban, use reinstate");
    }
    let account = account.open().await?;
    let store = account.store(table.as_deref())?;
    let user_events = account.user_events(queue.as_deref()).await?;
    let by = by.as_deref().unwrap_or(account.operator());
    let (profile, standing_now) = match store.profile_state(&sub).await {
        Ok(profile) => (profile.exists, standing(&profile.ban, now)),
        // It keeps the user out, and makes way for one that can be read.
        Err(error) if error.is_unreadable() => (true, "banned, by a ban that cannot be read".to_owned()),
        Err(error) => return Err(error.into()),
    };
    let decision = match suspend_until {
        Some(until) => Decision::suspend(&sub, &reason, until, by, now),
        None => Decision::reinstate(&sub, &reason, by, now),
    };

    let mut out = std::io::stdout().lock();
    writeln!(out, "user {sub}{}", if profile { "" } else { ", who has no profile in this table" })?;
    writeln!(out, "  now   {}", printable(&standing_now))?;
    let then = BanStatus { is_banned: !decision.ban.is_lifted(), ban: Some(decision.ban.clone()) };
    writeln!(out, "  then  {}", printable(&standing(&then, now)))?;
    if !yes {
        writeln!(out, "Nothing was changed. With --yes it is done.")?;
        return Ok(());
    }
    if !profile && !without_profile {
        bail!("nothing was changed: is the sub right? With --without-profile it is done all the same");
    }
    if !decision.carry_out(&store, &user_events).await? {
        bail!("nothing was changed: a decision about this user is there that is as late, or later");
    }
    writeln!(out, "Done: it holds from now on, and the user's cached pages are being evicted.")?;
    Ok(())
}

/// Counts what lies in a queue.
async fn inspect(queue: &str, samples: usize, json: bool, account: AccountOptions) -> Result<()> {
    let account = account.open().await?;
    let (url, sqs) = (account.queue_url(queue).await?, account.sqs());
    let found = Inspection::of_queue(&sqs, &url, samples, Clock::system().now()).await;
    let found = found.with_context(|| queue.to_owned())?;
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&found.json())?)?;
    } else {
        write!(out, "{}", found.text())?;
    }
    Ok(())
}

fn check_sub(sub: &str) -> Result<()> {
    let is_user = matches!(sub.parse(), Ok(Subject::User(_)));
    if !is_user || sub.contains(|c: char| c == '@' || c == '#' || c.is_whitespace()) {
        bail!("SUB: expected a user's sub, which is no e-mail address and has no spaces");
    }
    Ok(())
}

/// Erases a user.
async fn erase(
    sub: &str,
    table: Option<String>,
    queue: Option<String>,
    yes: bool,
    account: AccountOptions,
) -> Result<()> {
    check_sub(sub)?;
    let account = account.open().await?;
    let store = account.store(table.as_deref())?;
    let cache_invalidations = account.cache_invalidations(queue.as_deref()).await?;
    let Holdings { profile, statistics, erased, events } = Holdings::read(&store, sub).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "user {sub}{}", if erased { ", erased before" } else { "" })?;
    writeln!(out, "  profile        {}", if profile { "yes (a ban in force stays)" } else { "no" })?;
    writeln!(out, "  statistics     {}", if statistics { "yes" } else { "no" })?;
    writeln!(out, "  stored events  {events}")?;
    if !yes {
        writeln!(out, "Nothing was erased. With --yes it is, and there is no way back.")?;
        return Ok(());
    }
    if !profile && !statistics && !erased && events == 0 {
        bail!("nothing was erased: the table knows nothing of this sub. Is it right?");
    }
    forget(&store, &cache_invalidations, sub, &Clock::system()).await?;
    writeln!(
        out,
        "Erased, and the user's cached pages are being evicted. The account in the user pool is as it was."
    )?;
    Ok(())
}

/// Shows what the table knows.
async fn show_stats(
    sub: Option<String>,
    domain: Option<String>,
    table: Option<String>,
    json: bool,
    account: AccountOptions,
) -> Result<()> {
    let store = account.open().await?.store(table.as_deref())?;
    let mut out = std::io::stdout().lock();
    if let Some(domain) = domain {
        let is_word = ["other", "none", "invalid"].contains(&domain.as_str());
        let domain = match Domain::parse(domain.trim()) {
            _ if is_word => domain,
            Ok(domain) => domain.to_string(),
            Err(_) => bail!("--domain: expected an e-mail domain such as example.com"),
        };
        let sums = stats::domain(&store, &domain).await?;
        if json {
            writeln!(out, "{}", serde_json::to_string_pretty(&sums)?)?;
        } else {
            let shared::statistics::DomainStats { sign_ups, sign_ups_allowed, sign_ups_denied } = sums;
            let count = local::plural(usize::try_from(sign_ups)?, "sign-up");
            writeln!(out, "domain {domain}: {count}, {sign_ups_allowed} allowed, {sign_ups_denied} denied")?;
        }
    } else if let Some(sub) = sub {
        check_sub(&sub)?;
        let summary = UserSummary::read(&store, &sub).await?;
        if json {
            writeln!(out, "{}", serde_json::to_string_pretty(&summary.json())?)?;
        } else {
            write!(out, "{}", summary.text())?;
        }
    }
    Ok(())
}

/// Finds lost events in logs, and sends them.
async fn recover(
    logs: Vec<PathBuf>,
    queue: Option<String>,
    yes: bool,
    account: AccountOptions,
) -> Result<()> {
    let mut found = Recovered::default();
    for path in &logs {
        let name = path.display();
        let mut bytes = Vec::new();
        let read = match path.as_os_str() == "-" {
            true => std::io::stdin().read_to_end(&mut bytes),
            false => std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)),
        };
        read.with_context(|| name.to_string())?;
        let log = String::from_utf8(bytes).ok().filter(|log| !log.contains('\0'));
        let log =
            log.with_context(|| format!("{name}: is no text in UTF-8; unpack it first, or convert it"))?;
        found.read(&log, Clock::system().now());
    }
    let mut out = std::io::stdout().lock();
    for (event_type, count) in found.by_type() {
        writeln!(out, "{count:>7}  {event_type}")?;
    }
    for (reason, count) in &found.left {
        writeln!(out, "{count:>7}  left: {reason}")?;
    }
    let unreadable = found.unreadable();
    let told = || match unreadable {
        0 => Ok(()),
        count => bail!("{count} lost events could not be read from the log"),
    };
    if found.events.is_empty() {
        writeln!(out, "No lost events to send.")?;
        return told();
    }
    if !yes {
        writeln!(out, "Nothing was sent. With --yes it is.")?;
        return told();
    }
    let user_events = account.open().await?.user_events(queue.as_deref()).await?;
    let messages = found.events.iter().map(Message::from).collect();
    let accepted = user_events.send_batch(messages, Duration::MAX).await;
    let refused = accepted.iter().filter(|accepted| !**accepted).count();
    if refused > 0 {
        bail!(
            "{refused} of {} events were not sent: is your role in OperatorArns, and may it send? Run it again, each \
             event counts once",
            accepted.len()
        );
    }
    writeln!(out, "Sent: {}.", accepted.len())?;
    told()
}

fn write_preview(out: &Path, env_vars: Option<PathBuf>) -> Result<()> {
    let variables = read_variables(env_vars, find_events().as_deref())?;
    let index = preview::write(out, &variables)?;
    writeln!(std::io::stdout(), "{}", index.display())?;
    Ok(())
}

/// The folder `events` here or above.
fn find_events() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    here.ancestors().map(|folder| folder.join("events")).find(|events| events.join("journeys").is_dir())
}

fn write_schema() -> Result<()> {
    let path = Path::new(schema::PATH);
    if !path.parent().is_some_and(Path::is_dir) {
        bail!("no folder events/schema here: run it at the root of the repository");
    }
    std::fs::write(path, schema::event_schema()).with_context(|| path.display().to_string())
}
