//! Refuses options with an empty value, as in `--table "$TABLE"` with a variable that is not set.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

/// The first option or argument on the command line whose value is empty: `--table`.
pub fn find(command: &Command, matches: &ArgMatches) -> Option<String> {
    let is_empty = |argument: &&Arg| {
        let id = argument.get_id().as_str();
        let is_given = matches.value_source(id) == Some(ValueSource::CommandLine);
        // `--email` can have no value.
        let needs_value = argument.get_num_args().is_some_and(|range| range.min_values() > 0);
        let values = matches.get_raw(id).filter(|_| is_given && needs_value);
        values.is_some_and(|mut values| values.any(|value| value.to_string_lossy().trim().is_empty()))
    };
    if let Some(argument) = command.get_arguments().find(is_empty) {
        let name = argument.get_long().map(|long| format!("--{long}"));
        return Some(name.unwrap_or_else(|| argument.get_id().as_str().to_uppercase()));
    }
    let (name, matches) = matches.subcommand()?;
    find(command.find_subcommand(name)?, matches)
}

#[cfg(test)]
mod tests {
    use clap::{Args, CommandFactory, Parser, Subcommand};

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(subcommand)]
        _command: Commands,
    }

    #[derive(Subcommand)]
    enum Commands {
        Show(Show),
    }

    #[derive(Args)]
    struct Show {
        _sub: Option<String>,
        #[arg(long)]
        _table: Option<String>,
        #[arg(long, num_args = 0..=1, default_missing_value = "")]
        _email: Option<String>,
        #[arg(long, default_value = "")]
        _by: String,
        #[arg(long)]
        _yes: bool,
    }

    #[test]
    fn empty_value_is_named() {
        for (arguments, expected) in [
            (&["show", "ana", "--table", "app", "--yes"][..], None),
            (&["show", "--email"], None),
            (&["show", "--table", ""], Some("--table")),
            (&["show", "--table= \t"], Some("--table")),
            (&["show", ""], Some("_SUB")),
        ] {
            let mut command = Cli::command();
            let matches = command.try_get_matches_from_mut([&["replay"], arguments].concat()).unwrap();
            assert_eq!(find(&command, &matches).as_deref(), expected, "{arguments:?}");
        }
    }
}
