//! The command line of the benchmark. Pure.

#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Starts of each subject.
    pub runs: usize,
    /// Measures only subjects whose name contains this text, and the baseline.
    pub only: Option<String>,
    /// Measures over TLS too.
    pub tls: bool,
    /// Replaces the committed results and their page.
    pub commit: bool,
    /// Measures nothing, and writes the page of the committed results.
    pub page: bool,
}

pub const USAGE: &str = "cargo bench -p budgets -- [--runs N] [--only NAME] [--tls] [--commit] | --page";

impl Default for Options {
    fn default() -> Self {
        Self { runs: 15, only: None, tls: false, commit: false, page: false }
    }
}

impl Options {
    /// Parses the arguments that follow the program's name.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let (mut options, mut arguments) = (Self::default(), arguments.into_iter());
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                // Cargo passes it to every benchmark.
                "--bench" => {}
                "--tls" => options.tls = true,
                "--commit" => options.commit = true,
                "--page" => options.page = true,
                "--only" => {
                    let name = arguments.next().filter(|name| !name.starts_with("--"));
                    options.only = Some(name.ok_or("--only needs a NAME")?);
                }
                "--runs" => {
                    let runs: Option<usize> = arguments.next().and_then(|runs| runs.parse().ok());
                    options.runs =
                        runs.filter(|runs| *runs > 0).ok_or("--runs needs a number of at least 1")?;
                }
                _ => return Err(format!("{argument}: unknown option. Usage: {USAGE}")),
            }
        }
        if options.commit && (options.only.is_some() || !options.tls) {
            return Err(
                "--commit replaces all committed figures: use it with --tls and without --only".to_owned()
            );
        }
        if options.page && options != (Self { page: true, ..Self::default() }) {
            return Err("--page measures nothing: use it without other options".to_owned());
        }
        Ok(options)
    }

    /// Whether to measure this subject.
    pub fn selects(&self, subject: &str) -> bool {
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
    fn options_are_accepted_in_any_order() {
        assert_eq!(parse("--bench"), Ok(Options::default()));
        let expected = Options { runs: 3, only: Some("user-stats".into()), tls: true, ..Options::default() };
        assert_eq!(parse("--tls --only user-stats --bench --runs 3"), Ok(expected));
        assert_eq!(parse("--bench --page"), Ok(Options { page: true, ..Options::default() }));
    }

    #[test]
    fn invalid_options_are_rejected() {
        for line in [
            "--runs",
            "--only --bench",
            "--runs 0",
            "--runs x",
            "--only",
            "--fast",
            "--commit",
            "--commit --tls --only baseline",
            "--page --tls",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn only_selects_by_a_part_of_the_name() {
        let options = parse("--only sign-up").unwrap();
        assert!(options.selects("pre-sign-up in Node.js") && !options.selects("user-stats"));
    }
}
