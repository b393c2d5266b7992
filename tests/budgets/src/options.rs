//! The command line of the benchmark. Pure.

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// How often each subject is started.
    pub runs: usize,
    /// Only subjects whose name holds this; the floor always.
    pub only: Option<String>,
    /// With an AWS behind TLS, too.
    pub tls: bool,
    /// Whether the results become the committed ones.
    pub commit: bool,
}

/// What the command line takes.
pub const USAGE: &str = "cargo bench -p budgets -- [--runs N] [--only NAME] [--tls] [--commit]";

impl Default for Options {
    fn default() -> Self {
        Self { runs: 15, only: None, tls: false, commit: false }
    }
}

impl Options {
    /// From the arguments behind the program's name. Errors say what is wrong.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let (mut options, mut arguments) = (Self::default(), arguments.into_iter());
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // Cargo says so to every benchmark.
                "--bench" => {}
                "--tls" => options.tls = true,
                "--commit" => options.commit = true,
                "--only" => {
                    let name = arguments.next().filter(|name| !name.starts_with("--"));
                    options.only = Some(name.ok_or("--only NAME")?);
                }
                "--runs" => {
                    let runs: Option<usize> = arguments.next().and_then(|runs| runs.parse().ok());
                    options.runs = runs.filter(|runs| *runs > 0).ok_or("--runs N, at least 1")?;
                }
                _ => return Err(format!("{argument}: unknown. {USAGE}")),
            }
        }
        if options.commit && (options.only.is_some() || !options.tls) {
            return Err("--commit takes --tls, and no --only: other figures would be lost".to_owned());
        }
        Ok(options)
    }

    /// Whether a subject is asked for.
    pub fn wants(&self, subject: &str) -> bool {
        self.only.as_ref().is_none_or(|only| subject.contains(only.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read_in_any_order() {
        assert_eq!(parse("--bench"), Ok(Options::default()));
        let expected = Options { runs: 3, only: Some("user-stats".into()), tls: true, commit: false };
        assert_eq!(parse("--tls --only user-stats --bench --runs 3"), Ok(expected));
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for line in [
            "--runs",
            "--only --bench",
            "--runs 0",
            "--runs x",
            "--only",
            "--fast",
            "--commit",
            "--commit --tls --only echo",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn only_is_a_part_of_the_name() {
        let options = parse("--only sign-up").unwrap();
        assert!(options.wants("pre-sign-up in Node.js") && !options.wants("user-stats"));
    }
}
