//! `replay stats`

use std::io::Write;

use anyhow::Result;
use clap::Args;
use crate::account::AccountOptions;
use shared::text::plural;
use super::UserSummary;
use shared::statistics::DomainStats;
use shared::store::Store;
use shared::time::Clock;
use shared::email_domain::Domain;

use crate::error::InvalidInput;
use crate::options::{TableOptions, check_sub};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  replay stats 7d8ca528-4931-4254-9273-ea5ee853f271
  replay stats --domain example.com --json";

/// Show what the table knows of one user (with a suspension), or of an e-mail domain.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Show {
    /// The user, by sub.
    #[arg(required_unless_present = "domain", conflicts_with = "domain")]
    sub: Option<String>,
    /// An e-mail domain; `other`, `none` and `invalid` for those on no list.
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableOptions,
    #[command(flatten)]
    account: AccountOptions,
}

impl Show {
    /// Shows it.
    pub async fn run(self) -> Result<()> {
        let store = self.account.open().await?.store(self.table.table.as_deref())?;
        if let Some(domain) = self.domain {
            show_domain(&store, &domain, self.json).await?;
        }
        if let Some(sub) = self.sub {
            check_sub(&sub)?;
            let summary = UserSummary::read(&store, &sub, Clock::system().now()).await?;
            if self.json {
                return output::json(&summary.json());
            }
            write!(output::stdout(), "{}", summary.text())?;
        }
        Ok(())
    }
}

async fn show_domain(store: &Store, domain: &str, json: bool) -> Result<()> {
    let is_word = ["other", "none", "invalid"].contains(&domain);
    let domain = match Domain::parse(domain.trim()) {
        _ if is_word => domain.to_owned(),
        Ok(domain) => domain.to_string(),
        Err(_) => return InvalidInput::err("--domain: expected an e-mail domain such as example.com"),
    };
    let sums = super::domain(store, &domain).await?;
    if json {
        return output::json(&sums);
    }
    let DomainStats { sign_ups, sign_ups_allowed, sign_ups_denied } = sums;
    let count = plural(usize::try_from(sign_ups)?, "sign-up");
    writeln!(
        output::stdout(),
        "domain {domain}: {count}, {sign_ups_allowed} allowed, {sign_ups_denied} denied"
    )?;
    Ok(())
}
