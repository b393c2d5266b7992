//! Reading a password that an operator types or pipes. It is never an argument, and never printed.

pub mod command;

use std::io::{BufRead, IsTerminal};

use tokio::sync::oneshot;

use crate::error::{CommandError, Result};
use crate::interrupt::StopSignal;

/// Cognito: a password has at most 256 characters, and no white space.
const MAX_PASSWORD_CHARS: usize = 256;
const NOTHING_CHANGED: &str = "nothing was changed";

/// Asks for a password twice and without an echo if standard input is a terminal. Otherwise reads the
/// first line of standard input. If a signal ends it, the terminal has its echo again.
pub async fn read_password() -> Result<String> {
    let stop = StopSignal::on_signals();
    if !std::io::stdin().is_terminal() {
        let line = stop.run(in_thread(read_line), NOTHING_CHANGED).await.map_err(|error| match error {
            CommandError::Failed(_) => {
                CommandError::invalid_input("standard input: the password is not valid UTF-8, or unreadable")
            }
            error => error,
        })?;
        return check(&line).map(str::to_owned);
    }
    let terminal = console::Term::stderr();
    let ask = async |question: &str| -> Result<String> {
        terminal.write_str(question)?;
        read_without_echo(&stop).await
    };
    let password = ask("New password (not shown): ").await?;
    check(&password)?;
    if ask("The same password again: ").await? != password {
        return Err(CommandError::invalid_input("the passwords differ. Run the command again"));
    }
    Ok(password)
}

#[cfg(unix)]
async fn read_without_echo(stop: &StopSignal) -> Result<String> {
    let answer = {
        let _no_echo = NoEcho::start()?;
        stop.run(in_thread(read_line), NOTHING_CHANGED).await
    };
    // The line break was not shown either.
    console::Term::stderr().write_line("")?;
    answer
}

#[cfg(not(unix))]
async fn read_without_echo(stop: &StopSignal) -> Result<String> {
    stop.run(in_thread(|| console::Term::stderr().read_secure_line()), NOTHING_CHANGED).await
}

fn read_line() -> std::io::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// Runs `read` in a thread for which the end of the process does not wait. The runtime would wait for
/// one of its own threads.
async fn in_thread(
    read: impl FnOnce() -> std::io::Result<String> + Send + 'static,
) -> std::io::Result<String> {
    let (sender, answer) = oneshot::channel();
    // If the receiver is gone, the answer is dropped.
    std::thread::spawn(move || drop(sender.send(read())));
    answer.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// The terminal of standard input without an echo, until the value is dropped.
#[cfg(unix)]
struct NoEcho(rustix::termios::Termios);

#[cfg(unix)]
impl NoEcho {
    fn start() -> std::io::Result<Self> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

        let before = tcgetattr(std::io::stdin())?;
        let mut modes = before.clone();
        modes.local_modes.remove(LocalModes::ECHO);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &modes)?;
        Ok(Self(before))
    }
}

#[cfg(unix)]
impl Drop for NoEcho {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};

        // A terminal that is gone has no echo.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// Checks what does not depend on the policy of the user pool.
fn check(password: &str) -> Result<&str> {
    let problem = if password.is_empty() {
        "there is no password. Type it, or pass it as the first line of standard input"
    } else if password.contains(char::is_whitespace) {
        "the password contains white space, which Cognito does not accept"
    } else if password.chars().count() > MAX_PASSWORD_CHARS {
        "the password has more than 256 characters"
    } else {
        return Ok(password);
    };
    Err(CommandError::invalid_input(problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_is_one_word_of_at_most_256_characters() {
        let longest = "é".repeat(256);
        for password in ["Correct-Horse-7", "ü", &longest] {
            assert_eq!(check(password).unwrap(), password);
        }
        let too_long = format!("{longest}x");
        for password in ["", "two words", "tab\t", "\u{a0}", &too_long] {
            let error = check(password).unwrap_err().to_string();
            assert!(password.is_empty() || !error.contains(password), "{error}");
        }
    }
}
