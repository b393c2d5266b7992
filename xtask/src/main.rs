//! The binary `xtask`.

use anyhow::Result;
use clap::Parser;
use xtask::cdk::Cdk;
use xtask::ci::Step;
use xtask::dist::Dist;
use xtask::web::Web;
use xtask::weight::Weight;

/// Contributors' tasks.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Run what a pull request must pass: all steps, or only the named ones.
    Ci {
        #[arg(value_enum)]
        steps: Vec<Step>,
    },
    /// Write events/schema/event.json, the JSON Schema of the events.
    Schema,
    /// Write docs/permissions.md, each role's permissions, from template.yaml.
    Permissions,
    Dist(Dist),
    Cdk(Cdk),
    Web(Web),
    Weight(Weight),
}

fn main() -> Result<()> {
    match Task::parse() {
        Task::Ci { steps } => xtask::ci::ci(&steps),
        Task::Schema => xtask::schema::write(),
        Task::Permissions => xtask::permissions::write(),
        Task::Dist(dist) => dist.run(),
        Task::Cdk(cdk) => cdk.run(),
        Task::Web(web) => web.run(),
        Task::Weight(weight) => weight.run(),
    }
}
