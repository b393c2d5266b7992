//! Checks of the texts in a message: the user's name, and Cognito's limits.

use std::ops::RangeInclusive;

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup};
use icu_properties::{CodePointMapData, CodePointSetData};

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

/// The most characters of a code. Verification codes have 6 digits, and codes for a sign-in without
/// a password have 8.
const MAX_CODE_CHARS: usize = 8;

/// Cognito's placeholders, as the event has them.
#[derive(Clone, Copy, Debug)]
pub struct Placeholders<'a> {
    /// For the code, or in an invitation for the temporary password.
    pub code: &'a str,
    /// For the user name. Only in an invitation.
    pub username: Option<&'a str>,
    /// For Cognito's link in the email. Only in a pool that verifies by link.
    pub link: Option<&'a str>,
}

/// The most characters that Cognito can put in place of the placeholders of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvitationLengths {
    pub username: usize,
    pub temporary_password: usize,
}

/// Whether Cognito could reject the character, or a reader could not see it.
///
/// Cognito accepts letters, marks, symbols, numbers, punctuation and white space (the pattern of its
/// type EmailVerificationMessageType). So it accepts no control, format, private-use and unassigned
/// characters. Of white space, only the space is safe in a subject and in a name. Readers cannot see
/// default-ignorable characters, such as variation selectors and the Hangul fillers, and cannot read
/// the two replacement characters.
pub fn is_unsafe(c: char) -> bool {
    use GeneralCategoryGroup as Group;
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    let accepted =
        Group::Letter.union(Group::Mark).union(Group::Symbol).union(Group::Number).union(Group::Punctuation);
    !accepted.contains(CodePointMapData::<GeneralCategory>::new().get(c))
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        || matches!(c, '\u{fffc}' | '\u{fffd}')
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

/// The characters of an SMS after Cognito has filled in the longest values. `invitation` has the
/// lengths for an invitation, and is `None` for a message with a code.
pub fn longest_sms_chars(
    sms: &str,
    placeholders: &Placeholders<'_>,
    invitation: Option<InvitationLengths>,
) -> usize {
    let code = invitation.map_or(MAX_CODE_CHARS, |lengths| lengths.temporary_password);
    let username = invitation.map_or(0, |lengths| lengths.username);
    let replacements = [(placeholders.code, code), (placeholders.username.unwrap_or_default(), username)];
    let mut chars = sms.chars().count();
    for (placeholder, longest) in replacements.into_iter().filter(|(placeholder, _)| !placeholder.is_empty())
    {
        let occurrences = sms.matches(placeholder).count();
        // Placeholders of an emulator may overlap.
        chars = chars.saturating_sub(occurrences * placeholder.chars().count()) + occurrences * longest;
    }
    chars
}

/// Whether an SMS of this length is within Cognito's limits.
pub fn fits_sms(chars: usize) -> bool {
    SMS_CHARS.contains(&chars)
}

/// Checks that Cognito accepts the texts, which must contain its placeholders.
pub fn check_message(message: &Message, placeholders: &Placeholders<'_>) -> Result<(), RenderError> {
    let Message { subject, html, sms } = message;
    let Placeholders { code, username, link } = *placeholders;
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
    let has_username = |text: &str| username.is_none_or(|name| text.contains(name));
    // In a pool that verifies by link, Cognito would replace a code in the email with a link, too.
    let has_code_or_link = match link {
        Some(link) => html.contains(link) && !html.contains(code),
        None => html.contains(code),
    };
    if !has_code_or_link || !sms.contains(code) || !has_username(html) || !has_username(sms) {
        return Err(RenderError::PlaceholderMissing);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_cognito_rejects_or_nobody_sees_are_unsafe() {
        for c in [
            '\n',
            '\u{7f}',
            '\u{85}',
            '\u{a0}',
            '\u{ad}',
            '\u{34f}',
            '\u{378}',
            '\u{600}',
            '\u{115f}',
            '\u{180b}',
            '\u{1680}',
            '\u{200b}',
            '\u{2028}',
            '\u{202e}',
            '\u{2065}',
            '\u{3000}',
            '\u{3164}',
            '\u{e000}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{fffd}',
            '\u{ffff}',
            '\u{110bd}',
            '\u{13430}',
            '\u{1bca0}',
            '\u{1d173}',
            '\u{1fffe}',
            '\u{e0001}',
            '\u{e0100}',
            '\u{f0000}',
            '\u{10ffff}',
        ] {
            assert!(is_unsafe(c), "{c:?}");
        }
        for c in " aé'-&<~€田ーアﾊاकि한Ω०²–·😀\u{301}\u{20e3}\u{1d11e}".chars() {
            assert!(!is_unsafe(c), "{c:?}");
        }
    }

    #[test]
    fn sms_is_measured_with_the_longest_values() {
        let placeholders = Placeholders { code: "{####}", username: Some("{username}"), link: None };
        let lengths = InvitationLengths { username: 36, temporary_password: 16 };
        for (sms, invitation, chars) in [
            ("no placeholder", Some(lengths), 14),
            ("é {####}", None, 10),
            ("{username} {####}", Some(lengths), 53),
            ("{####} {####}", Some(lengths), 33),
        ] {
            assert_eq!(longest_sms_chars(sms, &placeholders, invitation), chars, "{sms}");
        }
        assert_eq!([5, 6, 140, 141].map(fits_sms), [false, true, true, false]);
    }

    #[test]
    fn email_with_cognitos_link_has_no_code() {
        let link = Placeholders { code: "{####}", username: None, link: Some("{##Click Here##}") };
        let code = Placeholders { link: None, ..link };
        for (html, placeholders, accepted) in [
            ("{####} text", code, true),
            ("{##Click Here##} text", code, false),
            ("{##Click Here##} text", link, true),
            ("{##Click Here##} {####}", link, false),
            ("only text", link, false),
        ] {
            let message =
                Message { subject: "Hello".to_owned(), html: html.to_owned(), sms: "{####} text".to_owned() };
            assert_eq!(check_message(&message, &placeholders).is_ok(), accepted, "{html}");
        }
    }

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
            ("Ana\u{1d173} Exa\u{378}mple\u{10ffff}", Some("Ana Example")),
        ] {
            assert_eq!(sanitize_name(name).as_deref(), shown, "{name:?}");
        }
        assert_eq!(sanitize_name(&"a".repeat(2048)), None);
    }
}
