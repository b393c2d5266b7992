//! `replay origin check`: options and output.

use std::fmt::Write;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use shared::freshness::{CacheLifetime, OriginLifetime};

use super::report::OriginReport;
use super::{Checked, Expectations, ExpectedAnswer, check};
use crate::error::{CommandError, Result};
use crate::options::check_sub;
use crate::origin::response::{Response, parse};
use crate::output::{self, counted};

/// Maximum size of an input, in bytes. Longer than any page.
const MAX_INPUT_BYTES: u64 = 16 * 1024 * 1024;

const INVALID_SUB: &str =
    "--sub: expected the sub of the token, which is not an email address and contains no spaces";

const EXAMPLES: &str = "\
Examples:
  curl -sSi -H \"Authorization: Bearer $TOKEN\" https://api.example.com/dashboard |
    replay origin check --sub 7d8ca528-4931-4254-9273-ea5ee853f271
  curl -sSi -H \"Authorization: Bearer $TOKEN\" https://api.example.com/dashboard |
    replay origin check --adaptive
  curl -sSi -H \"Authorization: Bearer $TOKEN\" \"https://api.example.com/dashboard?after=$AFTER\" |
    replay origin check --expect pending
  curl -sSi https://api.example.com/dashboard | replay origin check --expect error";

/// Check what an origin answers against the caching contract.
///
/// Reads HTTP responses as curl -sSi prints them, from files or standard input, and says what is
/// wrong: one line for each finding, with a code, the header, what CloudFront does with it and the
/// next step. Exits with 1 if something is wrong. Request the origin's own address: CloudFront removes
/// the tags. The output contains no token, no cookie and nothing of the body. The command calls
/// nothing in the account. docs/caching.md is the contract.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Check {
    /// Files with responses, or - for standard input. [default: standard input]
    files: Vec<PathBuf>,
    /// What the answers should be.
    #[arg(long, value_enum, value_name = "ANSWER", default_value_t = ExpectOption::Cached)]
    expect: ExpectOption,
    /// Sub of the token. The tags must name this user.
    #[arg(long)]
    sub: Option<String>,
    /// MaxCacheLifetimeSeconds of the stack.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    max_lifetime: u32,
    /// The origin chooses the lifetime by the age of the data (OriginLifetime is adaptive). Compares
    /// s-maxage with lastChangedAt in the body and with the header Date.
    #[arg(long)]
    adaptive: bool,
    /// CacheLifetimeDivisor of the stack.
    #[arg(long, value_name = "NUMBER", default_value_t = 10, requires = "adaptive")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    divisor: u32,
    /// MinCacheLifetimeSeconds of the stack.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, requires = "adaptive")]
    min_lifetime: u32,
    /// lastChangedAt of STATS, in RFC 3339, if the body does not have it.
    #[arg(long, value_name = "TIME", requires = "adaptive")]
    last_changed_at: Option<Timestamp>,
    /// Header of the cache key in addition to Authorization and Origin. Can be repeated.
    #[arg(long = "key-header", value_name = "NAME")]
    key_headers: Vec<String>,
    /// Header with the tags, as in CacheTagConfig of the distribution.
    #[arg(long, value_name = "NAME", default_value = "Cache-Tag")]
    tag_header: String,
    /// Expect no tags. InvalidationTarget of the stack is path.
    #[arg(long, conflicts_with = "tag_header")]
    without_tags: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ExpectOption {
    /// A user's page that CloudFront keeps.
    Cached,
    /// An answer that no cache keeps, such as one for an administrator or to a POST.
    Uncached,
    /// The answer to ?after= while the change has not arrived.
    Pending,
    /// An error.
    Error,
}

impl Check {
    pub fn run(self) -> Result<()> {
        if let Some(sub) = &self.sub {
            check_sub(sub).map_err(|_| CommandError::invalid_input(INVALID_SUB))?;
        }
        let expected = self.expectations();
        let mut text = String::new();
        let mut report = OriginReport::default();
        for file in self.inputs() {
            let name = if is_stdin(&file) { "standard input".to_owned() } else { file.display().to_string() };
            let responses = read(&file).map_err(|error| error.context(&name))?;
            for (index, response) in responses.iter().enumerate() {
                let is_last = index + 1 == responses.len();
                let is_followed = response.is_redirect() && !is_last;
                let answer = if is_followed { ExpectedAnswer::Redirect } else { expected.answer };
                let checked = check(response, &Expectations { answer, ..expected.clone() });
                report.add(&name, index + 1, response.status, &checked);
                write_answer(&mut text, &format!("{name}, response {}", index + 1), response, &checked);
            }
        }
        let (findings, answers) = (report.findings, report.responses.len());
        if self.json {
            output::json(&report)?;
        } else {
            output::print(&text)?;
        }
        if findings > 0 {
            return Err(CommandError::failed(format!(
                "{} in {}. Correct the origin, then check it again. docs/caching.md is the contract",
                counted(findings, "finding"),
                counted(answers, "response")
            )));
        }
        if self.json { Ok(()) } else { output::done("Nothing is wrong") }
    }

    fn inputs(&self) -> Vec<PathBuf> {
        if self.files.is_empty() { vec![PathBuf::from("-")] } else { self.files.clone() }
    }

    fn expectations(&self) -> Expectations {
        let origin = if self.adaptive { OriginLifetime::Adaptive } else { OriginLifetime::Fixed };
        let lifetime = CacheLifetime {
            origin,
            divisor: self.divisor,
            min_seconds: self.min_lifetime,
            max_seconds: self.max_lifetime,
        };
        Expectations {
            answer: match self.expect {
                ExpectOption::Cached => ExpectedAnswer::Cached,
                ExpectOption::Uncached => ExpectedAnswer::Uncached,
                ExpectOption::Pending => ExpectedAnswer::Pending,
                ExpectOption::Error => ExpectedAnswer::Error,
            },
            sub: self.sub.clone(),
            lifetime,
            last_changed_at: self.last_changed_at,
            key_headers: self.key_headers.clone(),
            tag_header: (!self.without_tags).then(|| self.tag_header.clone()),
        }
    }
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// The responses of a file. At least one.
fn read(file: &Path) -> Result<Vec<Response>> {
    let mut input = Vec::new();
    let result = if is_stdin(file) {
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            return Err(CommandError::invalid_input(
                "nothing to read. Pipe the output of curl -sSi to this command",
            ));
        }
        stdin.lock().take(MAX_INPUT_BYTES + 1).read_to_end(&mut input)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(MAX_INPUT_BYTES + 1).read_to_end(&mut input))
    };
    result.map_err(|error| CommandError::invalid_input(error.to_string()))?;
    if input.len() as u64 > MAX_INPUT_BYTES {
        return Err(CommandError::invalid_input("more than 16 MiB. Save the response without its body"));
    }
    let responses = parse(&input);
    if responses.is_empty() {
        return Err(CommandError::invalid_input(
            "no HTTP response. Use curl -sSi, which prints the status line, the headers and its own errors",
        ));
    }
    Ok(responses)
}

fn write_answer(out: &mut String, name: &str, response: &Response, checked: &Checked) {
    let kept = match checked.kept_seconds {
        Some(seconds) => format!("CloudFront keeps it for {seconds} s"),
        None => "CloudFront keeps no copy".to_owned(),
    };
    let lines = checked.findings.iter().map(ToString::to_string);
    let lines = lines.chain(checked.notes.iter().map(ToString::to_string));
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{name}: status {}, {kept}", response.status);
    for line in lines {
        let _ = writeln!(out, "  {line}");
    }
}
