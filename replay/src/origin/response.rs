//! HTTP responses as `curl -sSi` prints them. Pure.

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde::Deserialize;
use serde_json::Value;

/// Maximum size of a status line with its headers, in bytes. CloudFront accepts 32,768 bytes.
const MAX_HEAD_BYTES: usize = 65_536;
/// A number of `lastChangedAt` below this is no time in milliseconds, but perhaps one in seconds: it
/// would be before 1973-03-03.
const MIN_MILLISECONDS: i64 = 100_000_000_000;
/// The reason with which a proxy answers to CONNECT.
const CONNECTED: &str = "connection established";

/// A response, reduced to what a check needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Names are in lower case.
    headers: Vec<(String, String)>,
    pub body: BodyFields,
}

/// The two fields of the body that the contract knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BodyFields {
    /// `isChangePending` is true.
    pub is_change_pending: bool,
    pub last_changed_at: LastChangedAt,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastChangedAt {
    /// The body has no such field, or is not a JSON object.
    #[default]
    Missing,
    /// Neither RFC 3339 nor a number of milliseconds.
    Unreadable,
    At(Timestamp),
}

impl Response {
    /// For a response that did not come through curl. `headers` may have names in any case.
    pub fn new<'a>(status: u16, headers: impl IntoIterator<Item = (&'a str, &'a str)>, body: &[u8]) -> Self {
        let headers = headers.into_iter();
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()));
        Self { status, headers: headers.collect(), body: BodyFields::of(body) }
    }

    /// The values of a header, in any case.
    pub fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let name = name.to_ascii_lowercase();
        self.headers.iter().filter(move |(found, _)| *found == name).map(|(_, value)| value.as_str())
    }

    pub fn has(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    /// The time in a header such as `Date`.
    pub fn time(&self, name: &str) -> Option<Timestamp> {
        DateTimeParser::new().parse_timestamp(self.values(name).next()?).ok()
    }

    /// True for a redirect. 304 is none.
    pub fn is_redirect(&self) -> bool {
        (300..400).contains(&self.status) && self.status != 304
    }
}

impl BodyFields {
    fn of(body: &[u8]) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Fields {
            is_change_pending: Value,
            last_changed_at: Value,
        }
        let Fields { is_change_pending, last_changed_at } = serde_json::from_slice(body).unwrap_or_default();
        let at = match &last_changed_at {
            Value::Null => return Self { is_change_pending: is_change_pending == true, ..Self::default() },
            Value::String(text) => text.parse().ok(),
            value => value.as_i64().filter(|number| *number >= MIN_MILLISECONDS).and_then(milliseconds),
        };
        Self {
            is_change_pending: is_change_pending == true,
            last_changed_at: at.map_or(LastChangedAt::Unreadable, LastChangedAt::At),
        }
    }
}

fn milliseconds(number: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(number).ok()
}

/// The responses of a stream, in their order.
///
/// Leaves out what no origin means as an answer: interim responses (1xx), and the answer of a proxy to
/// CONNECT. Text before the first status line is ignored.
pub fn parse(input: &[u8]) -> Vec<Response> {
    let mut found = Vec::new();
    let mut next = find_head(input, 0);
    while let Some((head, start)) = next {
        let end = match head.body_end(input, start) {
            Some(end) => end,
            None => find_head_start(input, start).unwrap_or(input.len()),
        };
        next = find_head(input, end);
        let is_tunnel = head.reason.eq_ignore_ascii_case(CONNECTED) && next.is_some();
        if head.status >= 200 && !is_tunnel {
            let body = BodyFields::of(&input[start..end]);
            found.push(Response { status: head.status, headers: head.headers, body });
        }
    }
    found
}

/// A status line with its headers.
struct Head {
    status: u16,
    reason: String,
    headers: Vec<(String, String)>,
    /// Its length in bytes, with the empty line.
    length: usize,
    /// True if the status line ends as HTTP says. A body can contain a status line in a text, but
    /// JSON contains no such line break.
    has_crlf: bool,
}

impl Head {
    /// The end of the body according to `Content-Length`, if another response or nothing follows
    /// there. A response to HEAD has the header and no body.
    fn body_end(&self, input: &[u8], start: usize) -> Option<usize> {
        let (_, length) = self.headers.iter().find(|(name, _)| name == "content-length")?;
        let end = start.checked_add(length.parse().ok()?)?;
        let rest = input.get(end..)?;
        let is_end = rest.iter().all(u8::is_ascii_whitespace) || parse_head(rest).is_some();
        (is_end && parse_head(&input[start..]).is_none()).then_some(end)
    }
}

/// The first head from `from` on, and the start of its body.
fn find_head(input: &[u8], from: usize) -> Option<(Head, usize)> {
    let start = find_head_start(input, from)?;
    let head = parse_head(&input[start..])?;
    let body = start + head.length;
    Some((head, body))
}

fn find_head_start(input: &[u8], from: usize) -> Option<usize> {
    let candidates = input.get(from..)?.windows(5).enumerate().filter(|(_, window)| *window == b"HTTP/");
    candidates.map(|(index, _)| from + index).find(|start| {
        let is_line_start = *start == from || input[start - 1] == b'\n';
        parse_head(&input[*start..]).is_some_and(|head| is_line_start || head.has_crlf)
    })
}

/// Reads a head at the start of the text. `None` if there is none.
fn parse_head(text: &[u8]) -> Option<Head> {
    let text = &text[..text.len().min(MAX_HEAD_BYTES)];
    let mut lines = text.split_inclusive(|byte| *byte == b'\n');
    let first = lines.next()?;
    let (status, reason) = parse_status_line(&String::from_utf8_lossy(first))?;
    let mut head =
        Head { status, reason, headers: Vec::new(), length: first.len(), has_crlf: first.ends_with(b"\r\n") };
    for line in lines {
        head.length += line.len();
        let line = String::from_utf8_lossy(line);
        let text = line.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            break;
        }
        // An old server can continue a value in the next line (RFC 9112, 5.2).
        if let (true, Some((_, value))) = (text.starts_with([' ', '\t']), head.headers.last_mut()) {
            value.push(' ');
            value.push_str(text.trim());
            continue;
        }
        let (name, value) = text.split_once(':')?;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
        head.headers.push(is_name.then(|| (name.to_ascii_lowercase(), value.trim().to_owned()))?);
    }
    Some(head)
}

/// `HTTP/1.1 200 OK`, `HTTP/2 200`.
fn parse_status_line(line: &str) -> Option<(u16, String)> {
    let (version, rest) = line.trim_end().strip_prefix("HTTP/")?.split_once(' ')?;
    let is_version = version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && version.starts_with(|c: char| c.is_ascii_digit());
    let (status, reason) = rest.trim_start().split_once(' ').unwrap_or((rest.trim_start(), ""));
    let is_status = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
    let status: u16 = status.parse().ok()?;
    (is_version && is_status && status >= 100).then(|| (status, reason.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(input: &str) -> Vec<u16> {
        parse(input.as_bytes()).into_iter().map(|response| response.status).collect()
    }

    fn at(second: i64) -> LastChangedAt {
        LastChangedAt::At(Timestamp::from_second(second).unwrap())
    }

    #[test]
    fn response_has_its_status_headers_and_two_fields_of_its_body() {
        let input = "HTTP/2 200 \r\nCache-Control: max-age=0\r\ncache-control:s-maxage=5\r\nDATE: Mon, 02 Mar \
                     2026 09:00:00 GMT\r\nx-folded: a\r\n  b\r\nempty:\r\n\r\n{\"isChangePending\": true, \
                     \"lastChangedAt\": \"2026-03-02T08:00:00.000Z\", \"orders\": []}";
        let found = parse(input.as_bytes());
        let [response] = &found[..] else { panic!("{found:?}") };
        assert_eq!(response.status, 200);
        assert_eq!(response.values("CACHE-Control").collect::<Vec<_>>(), ["max-age=0", "s-maxage=5"]);
        assert_eq!(response.values("x-folded").collect::<Vec<_>>(), ["a b"]);
        assert_eq!(response.values("empty").collect::<Vec<_>>(), [""]);
        assert_eq!(response.time("date"), "2026-03-02T09:00:00Z".parse().ok());
        assert_eq!(response.time("expires"), None);
        let expected = BodyFields { is_change_pending: true, last_changed_at: at(1_772_438_400) };
        assert_eq!(response.body, expected);
        assert_eq!(
            Response::new(200, [("Cache-Control", " max-age=0 ")], b"").values("cache-control").next(),
            Some("max-age=0")
        );
    }

    #[test]
    fn body_fields_are_read_in_every_spelling_of_a_time() {
        for (body, is_change_pending, last_changed_at) in [
            (r#"{"lastChangedAt": 1772438400000}"#, false, at(1_772_438_400)),
            (r#"{"lastChangedAt": "2026-03-02T09:00:00+01:00"}"#, false, at(1_772_438_400)),
            (r#"{"lastChangedAt": 1772438400}"#, false, LastChangedAt::Unreadable),
            (r#"{"lastChangedAt": 1e300}"#, false, LastChangedAt::Unreadable),
            (r#"{"lastChangedAt": 9223372036854775807}"#, false, LastChangedAt::Unreadable),
            (r#"{"lastChangedAt": "yesterday"}"#, false, LastChangedAt::Unreadable),
            (r#"{"lastChangedAt": []}"#, false, LastChangedAt::Unreadable),
            (r#"{"lastChangedAt": null, "isChangePending": false}"#, false, LastChangedAt::Missing),
            (r#"{"isChangePending": "true"}"#, false, LastChangedAt::Missing),
            (r#"{"isChangePending": true}"#, true, LastChangedAt::Missing),
            (r#"{"data": {"isChangePending": true}}"#, false, LastChangedAt::Missing),
            (r#"[{"isChangePending": true}]"#, false, LastChangedAt::Missing),
            ("<html>", false, LastChangedAt::Missing),
            ("", false, LastChangedAt::Missing),
        ] {
            let expected = BodyFields { is_change_pending, last_changed_at };
            assert_eq!(BodyFields::of(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn stream_is_divided_into_its_responses() {
        let ok = "HTTP/1.1 200 OK\r\na: b\r\n\r\n{}";
        for (input, expected) in [
            (ok.to_owned(), &[200][..]),
            // `curl -sSi URL1 URL2`: the second status line follows the first body.
            (format!("{ok}HTTP/2 404 \r\na: b\r\n\r\n{{}}"), &[200, 404]),
            (format!("{ok}\nHTTP/1.1 503 \n\n"), &[200, 503]),
            // `curl -siL`, 100 Continue, early hints, and a proxy.
            (format!("HTTP/1.1 301 Moved\r\nlocation: /x\r\n\r\n{ok}"), &[301, 200]),
            (format!("HTTP/1.1 100 Continue\r\n\r\n{ok}"), &[200]),
            (format!("HTTP/2 103 \r\nlink: </a>\r\n\r\n{ok}"), &[200]),
            (format!("HTTP/1.1 200 Connection established\r\n\r\n{ok}"), &[200]),
            ("HTTP/1.1 200 Connection established\r\n\r\n".to_owned(), &[200]),
            // `curl -sI`: a length without a body.
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 201 \r\n\r\n".to_owned(), &[200, 201]),
            // Pasted text: other line breaks, no empty line, something before it.
            ("\u{feff}$ curl -sSi x\nHTTP/1.1 200 OK\nA: b".to_owned(), &[200]),
            ("HTTP/3 204\n".to_owned(), &[204]),
            // A status line in a body.
            ("HTTP/1.1 200 OK\n\n{\"text\": \"HTTP/1.1 500 \"}".to_owned(), &[200]),
            ("HTTP/1.1 200 OK\n\n{\"text\": \"HTTP/1.1 500 \\r\\n\"}".to_owned(), &[200]),
            ("HTTP/1.1 200 OK\n\nHTTP/1.1 500 is an error\nof the server\n".to_owned(), &[200]),
            ("HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\nHTTP/1.1 500 \r\n\r\n".to_owned(), &[200, 500]),
            ("HTTP/1.1 200 OK\r\ncontent-length: 22\r\n\r\ntext\nHTTP/1.1 500 \r\n\r\n\n".to_owned(), &[200]),
            ("HTTP/1.1 20 OK\r\n\r\n".to_owned(), &[]),
            ("HTTP/1.1 2000 OK\r\n\r\n".to_owned(), &[]),
            ("HTTP/x 200 OK\r\n\r\n".to_owned(), &[]),
            ("HTTP/1.1 099 OK\r\n\r\n".to_owned(), &[]),
            ("{\"orders\": []}".to_owned(), &[]),
            (String::new(), &[]),
        ] {
            assert_eq!(statuses(&input), expected, "{input:?}");
        }
        let compressed =
            [b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n".as_slice(), &[0x1f, 0x8b, 0xff]];
        assert_eq!(parse(&compressed.concat()).len(), 1);
    }
}
