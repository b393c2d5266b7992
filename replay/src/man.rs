//! `replay man`

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::Man as Page;

use crate::error::{CommandError, Result};
use crate::output;

const EXAMPLES: &str = "\
Examples:
  replay man --out ~/.local/share/man/man1 && man replay-redrive
  replay man --out pages && man pages/replay-user-show.1";

/// Write manual pages to a folder: replay.1, and one page per command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Man {
    /// Folder for the pages. Created if it does not exist.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

impl Man {
    /// `exit_codes`: a section of the help, which each page has as EXIT STATUS.
    pub fn run(self, cli: Command, exit_codes: &str) -> Result<()> {
        let mut cli = cli.disable_help_subcommand(true);
        cli.build();
        std::fs::create_dir_all(&self.out)
            .and_then(|()| write_pages(&cli, exit_codes, &self.out))
            .map_err(|error| CommandError::invalid_input(format!("--out {}: {error}", self.out.display())))?;
        output::print(&format!("{}\n", self.out.join("replay.1").display()))
    }
}

/// Writes the page of a command, and those of its subcommands.
fn write_pages(command: &Command, exit_codes: &str, folder: &Path) -> io::Result<()> {
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        write_pages(subcommand, exit_codes, folder)?;
    }
    let page = Page::new(command.clone()).source("replay");
    let mut text = Vec::new();
    render(&page, command, exit_codes, &mut text)?;
    std::fs::write(folder.join(page.get_filename()), text)
}

/// A page with the usual sections. clap_mangen would put the examples and the exit codes into one
/// section, EXTRA.
fn render(page: &Page, command: &Command, exit_codes: &str, out: &mut dyn Write) -> io::Result<()> {
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    if command.has_subcommands() {
        page.render_subcommands_section(out)?;
    }
    section(out, "EXIT STATUS", body(exit_codes))?;
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    if examples.starts_with("Examples:") {
        section(out, "EXAMPLES", body(&examples))?;
    }
    Ok(())
}

/// The lines of a section of the help, without its heading.
fn body(section: &str) -> impl Iterator<Item = &str> {
    section
        .lines()
        .skip(1)
        .take_while(|line| !line.is_empty())
        .map(|line| line.strip_prefix("  ").unwrap_or(line))
}

/// A section whose lines are not filled.
fn section<'a>(out: &mut dyn Write, name: &str, lines: impl Iterator<Item = &'a str>) -> io::Result<()> {
    writeln!(out, ".SH \"{name}\"\n.nf")?;
    for line in lines {
        writeln!(out, "{}", escape(line))?;
    }
    writeln!(out, ".fi")
}

/// A line of text for roff: a backslash starts a command, a period or an apostrophe at the start of a
/// line a request, and a hyphen must stay one when it is copied.
fn escape(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if line.starts_with('.') { format!("\\&{line}") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_no_command_of_roff() {
        for (line, expected) in [
            ("replay user list --json", "replay user list \\-\\-json"),
            ("a \\", "a \\e"),
            (".SH X", "\\&.SH X"),
            ("jq '.x'", "jq \\(aq.x\\(aq"),
        ] {
            assert_eq!(escape(line), expected);
        }
    }

    #[test]
    fn body_is_the_first_section_of_a_help_text() {
        let help = "Examples:\n  replay x\n    --y\n\nOther text.";
        assert_eq!(body(help).collect::<Vec<_>>(), ["replay x", "  --y"]);
    }
}
