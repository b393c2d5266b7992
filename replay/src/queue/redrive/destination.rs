//! The destination of a redrive: by default in the account of the dead-letter queue, otherwise in another
//! account or region, with credentials of its own.

use aws_sdk_sqs::Client;
use clap::Args;

use crate::account::{Account, AccountOptions, parse_endpoint_url, region_of};
use crate::error::{CommandError, Result};

#[derive(Debug, Default, Args)]
pub struct DestinationOptions {
    /// Destination queue. [default: the queue whose dead-letter queue is --from]
    #[arg(long, value_name = "QUEUE")]
    pub to: Option<String>,
    /// Profile for the destination, if it is in another account. [default: that of --profile]
    #[arg(long, value_name = "NAME", requires = "to", help_heading = "Destination in another account")]
    to_profile: Option<String>,
    /// Region of the destination. [default: that of --to, if it is an ARN or a URL]
    #[arg(long, value_name = "NAME", requires = "to", help_heading = "Destination in another account")]
    to_region: Option<String>,
    /// Endpoint of the destination.
    #[arg(
        long, value_name = "URL", requires = "to", value_parser = parse_endpoint_url,
        help_heading = "Destination in another account"
    )]
    to_endpoint_url: Option<String>,
}

/// A queue to send to.
#[derive(Clone, Debug)]
pub struct Destination {
    pub sqs: Client,
    pub url: String,
    /// The queue was named with options of its own, so that SQS cannot move messages to it in a task.
    pub is_elsewhere: bool,
}

impl DestinationOptions {
    /// Finds the queue. `None` without `--to`.
    pub async fn open(&self, options: &AccountOptions, source: &Account) -> Result<Option<Destination>> {
        let Some(to) = &self.to else { return Ok(None) };
        // An ARN or a URL of AWS names its region. The same name in the source's region is another queue.
        let named = region_of(to).filter(|region| *region != source.region());
        let region = self.to_region.clone().or_else(|| named.map(str::to_owned));
        let is_elsewhere = self.to_profile.is_some() || region.is_some() || self.to_endpoint_url.is_some();
        if !is_elsewhere {
            let url = source.queue_url(to).await.map_err(|error| error.context("--to"))?;
            return Ok(Some(Destination { sqs: source.sqs(), url, is_elsewhere }));
        }
        if options.endpoint_url.is_some() && self.to_endpoint_url.is_none() {
            return Err(CommandError::invalid_input(
                "--endpoint-url is the endpoint of --from only. Pass --to-endpoint-url for the destination",
            ));
        }
        // The region of another profile is its own.
        let default_region = options.region.clone().filter(|_| self.to_profile.is_none());
        let account = AccountOptions {
            profile: self.to_profile.clone().or_else(|| options.profile.clone()),
            region: region.or(default_region),
            endpoint_url: self.to_endpoint_url.clone(),
            stack: None,
        };
        let account = account.open().await.map_err(|error| error.context("--to"))?;
        let url = account.queue_url(to).await.map_err(|error| error.context("--to"))?;
        Ok(Some(Destination { sqs: account.sqs(), url, is_elsewhere }))
    }
}
