//! Reading a password that an operator types or pipes. It is never an argument, and never printed.

pub mod command;

use std::io::{BufRead, IsTerminal};

use crate::error::{CommandError, Result};

/// Cognito: a password has at most 256 characters, and no white space.
const MAX_PASSWORD_CHARS: usize = 256;

/// Asks for a password twice and without an echo if standard input is a terminal. Otherwise reads the
/// first line of standard input.
pub fn read_password() -> Result<String> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let mut line = String::new();
        stdin.lock().read_line(&mut line).map_err(|_| {
            CommandError::invalid_input("standard input: the password is not valid UTF-8, or unreadable")
        })?;
        return check(line.trim_end_matches(['\n', '\r'])).map(str::to_owned);
    }
    let terminal = console::Term::stderr();
    let ask = |question: &str| -> Result<String> {
        terminal.write_str(question)?;
        Ok(terminal.read_secure_line()?)
    };
    let password = ask("New password (not shown): ")?;
    check(&password)?;
    if ask("The same password again: ")? != password {
        return Err(CommandError::invalid_input("the passwords differ. Run the command again"));
    }
    Ok(password)
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
