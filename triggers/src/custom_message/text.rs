//! Checks of the texts in a message: the user's name, and Cognito's limits.

use std::ops::RangeInclusive;

use super::error::RenderError;
use super::templates::Message;

/// Longer texts are probably not a name.
const MAX_NAME_CHARS: usize = 60;
/// Texts with more words are probably not a name.
const MAX_NAME_WORDS: usize = 6;
/// Cognito's limits for a subject.
const SUBJECT_CHARS: RangeInclusive<usize> = 1..=140;
/// Cognito's limits for an email.
const EMAIL_CHARS: RangeInclusive<usize> = 6..=20_000;
/// Cognito's limits for an SMS.
const SMS_CHARS: RangeInclusive<usize> = 6..=140;

/// Whether Cognito could reject the character, or a reader could not see it: control and format
/// characters, separators other than a space, private-use and unassigned characters.
pub fn is_unsafe(c: char) -> bool {
    let is_separator =
        matches!(c, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}');
    let is_format = matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{fff0}'..='\u{ffff}' | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}');
    c.is_control() || is_separator || is_format
}

/// Removes control and format characters from a user's name. Returns `None` if the rest could be a
/// link, a placeholder or a sentence, because anyone can sign someone else up under any name.
pub fn sanitize_name(text: &str) -> Option<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String = text.chars().filter(|c| !is_unsafe(*c)).collect();
    let looks_like_sentence = text.contains(|c: char| c.is_numeric())
        || text
            .contains(['!', '?', ':', ';', '$', '€', '£', '¥', '%', '。', '．', '｡', '․', '！', '？', '：']);
    let looks_like_link =
        text.contains("://") || text.to_lowercase().contains("www.") || has_dotted_word(&text);
    let looks_like_placeholder = text.contains(['{', '}', '#', '<', '>', '@', '/', '\\']);
    // Small and full-width punctuation that looks like ASCII punctuation.
    let has_lookalike = text.contains(|c: char| {
        matches!(c, '\u{fe50}'..='\u{fe6f}' | '\u{ff01}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}' | '\u{ff3b}'..='\u{ff40}'
            | '\u{ff5b}'..='\u{ff65}')
    });
    let fits = (1..=MAX_NAME_CHARS).contains(&text.chars().count())
        && text.split(' ').count() <= MAX_NAME_WORDS
        && !has_lookalike;
    (fits && !looks_like_link && !looks_like_placeholder && !looks_like_sentence).then_some(text)
}

/// Mail clients turn a text with a dot between two letters or digits ("evil.test") into a link.
fn has_dotted_word(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    chars.windows(3).any(|three| three[0].is_alphanumeric() && three[1] == '.' && three[2].is_alphanumeric())
}

/// Checks that Cognito accepts the texts. `code` and `username` are Cognito's placeholders, which
/// the texts must contain.
pub fn check_message(message: &Message, code: &str, username: Option<&str>) -> Result<(), RenderError> {
    let Message { subject, html, sms } = message;
    let within = |text: &str, limits: RangeInclusive<usize>| limits.contains(&text.chars().count());
    if !within(subject, SUBJECT_CHARS) || subject.contains(is_unsafe) {
        return Err(RenderError::SubjectInvalid);
    }
    if !within(html, EMAIL_CHARS) || html.contains(|c| is_unsafe(c) && c != '\n') {
        return Err(RenderError::EmailInvalid);
    }
    if !within(sms, SMS_CHARS) || sms.contains(is_unsafe) {
        return Err(RenderError::SmsInvalid);
    }
    let has_placeholders =
        |text: &str| text.contains(code) && username.is_none_or(|name| text.contains(name));
    if !has_placeholders(html) || !has_placeholders(sms) {
        return Err(RenderError::PlaceholderMissing);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_could_be_more_than_a_name_is_dropped() {
        for (name, shown) in [
            ("Ana Example", Some("Ana Example")),
            (" José\u{200b}  M.\n", Some("José M.")),
            ("田中 さくら", Some("田中 さくら")),
            ("O'Hara & Sons", Some("O'Hara & Sons")),
            ("", None),
            ("{####}", None),
            ("{username}", None),
            ("Win at evil.test", None),
            ("https://evil.test", None),
            ("<b>Ana</b>", None),
            ("田中\u{3000}さくら", Some("田中 さくら")),
            ("Your payment was approved call 1 888 555 0100", None),
            ("Win at evil。test", None),
            ("Win at evil．test", None),
            ("You won!", None),
            ("your account is blocked please write to us", None),
            ("María del Carmen de la Cruz", Some("María del Carmen de la Cruz")),
            ("evil﹒test", None),
            ("＜b＞", None),
            ("Dr. Ana Example", Some("Dr. Ana Example")),
        ] {
            assert_eq!(sanitize_name(name).as_deref(), shown, "{name:?}");
        }
        assert_eq!(sanitize_name(&"a".repeat(2048)), None);
    }
}
