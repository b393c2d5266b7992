//! `sandbox serve`: its options.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use shared::time::Clock;
use tokio::net::TcpListener;

use super::router::serve;
use super::world::{Settings, World};
use crate::journey::format::{InvalidJourney, find_events, read_variables_or_default, variables_file};
use crate::site::page::Page;

/// Time between two looks at the queues.
const TICK: Duration = Duration::from_millis(200);

/// Serve the page, the API and a stand-in for managed login on this machine, with the real functions.
///
/// Open the printed address in a browser. Everything is in memory, and ends with the command.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cargo sandbox serve\n  cargo sandbox serve --port 9000 --token-minutes 2"
)]
pub struct Serve {
    /// The port on 127.0.0.1. 0 chooses a free one.
    #[arg(long, default_value_t = 8088)]
    port: u16,
    /// Validity of access and ID tokens. The page refreshes them one minute before they expire.
    #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u16).range(2..=1440))]
    token_minutes: u16,
    /// Environment variables by function, in the format of `sam local invoke --env-vars`.
    /// [default: events/environment.json]
    #[arg(long, value_name = "FILE")]
    env_vars: Option<PathBuf>,
    /// Show the log and the metrics of the functions on standard error.
    #[arg(long)]
    log: bool,
}

impl Serve {
    pub async fn run(self) -> Result<()> {
        if self.log {
            tracing_subscriber::fmt().with_writer(std::io::stderr).init();
        }
        let events = find_events(None);
        let web = events.as_deref().and_then(|events| Some(events.parent()?.join("web")));
        let web = web.filter(|web| web.join("index.html").is_file()).ok_or_else(|| {
            InvalidJourney::new(
                "web/index.html",
                "no such file here or above. Run the command in the repository",
            )
        })?;
        let file = variables_file(self.env_vars, events.as_deref());
        let variables = read_variables_or_default(file.as_deref())?;
        let listener =
            TcpListener::bind(("127.0.0.1", self.port)).await.map_err(|error| match error.kind() {
                ErrorKind::AddrInUse => {
                    anyhow!("port {} is in use. Choose another one with --port", self.port)
                }
                _ => anyhow!(error).context(format!("port {}", self.port)),
            })?;
        let origin = format!("http://{}", listener.local_addr().context("the address of the server")?);
        let settings = Settings { origin: origin.clone(), token_seconds: i64::from(self.token_minutes) * 60 };
        let world = Arc::new(World::start(settings, variables, Page::in_folder(web), Clock::system()).await?);
        writeln!(
            std::io::stdout(),
            "Open {origin}/sandbox\n\n\
             The page, the API and a stand-in for Cognito's managed login run on this machine only.\n\
             Sign up, look at the dashboard, and place an order: the list beside the page shows what happens.\n\
             Everything is in memory. Stop with Ctrl+C."
        )?;
        tokio::select! {
            result = serve(listener, world.clone()) => result.context("serving"),
            () = run_workers(&world) => Ok(()),
        }
    }
}

/// Runs the workers on the machine's clock until the process ends.
async fn run_workers(world: &World) {
    let mut interval = tokio::time::interval(TICK);
    loop {
        interval.tick().await;
        if let Err(error) = world.run_due().await {
            let cause = shared::telemetry::chain(error.as_ref());
            tracing::error!(error_type = "sandbox", cause, "the workers failed");
        }
    }
}
