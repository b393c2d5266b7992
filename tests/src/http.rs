//! An HTTP/1.1 client for one request on loopback.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends one request to a port on loopback, and reads the answer until the server closes the
/// connection.
pub async fn exchange(port: u16, request: Request<Bytes>) -> Response<Bytes> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the server listens");
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let mut head = format!("{} {target} HTTP/1.1\r\nconnection: close\r\n", request.method());
    if !request.headers().contains_key("host") {
        head += &format!("host: 127.0.0.1:{port}\r\n");
    }
    for (name, value) in request.headers() {
        head += &format!("{name}: {}\r\n", value.to_str().expect("a text"));
    }
    head += &format!("content-length: {}\r\n\r\n", request.body().len());
    stream.write_all(head.as_bytes()).await.expect("the server reads");
    stream.write_all(request.body()).await.expect("the server reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("the server answers");
    parse(&answer).unwrap_or_else(|| panic!("not HTTP: {}", String::from_utf8_lossy(&answer)))
}

fn parse(answer: &[u8]) -> Option<Response<Bytes>> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = (std::str::from_utf8(&answer[..end]).ok()?, &answer[end + 4..]);
    let mut lines = head.split("\r\n");
    let status = StatusCode::from_bytes(lines.next()?.split(' ').nth(1)?.as_bytes()).ok()?;
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    for line in lines {
        let (name, value) = line.split_once(':')?;
        let (name, value) = (name.parse::<HeaderName>().ok()?, value.trim().parse::<HeaderValue>().ok()?);
        response.headers_mut().append(name, value);
    }
    let is_chunked = response.headers().get("transfer-encoding").is_some_and(|value| value == "chunked");
    *response.body_mut() = if is_chunked { unchunked(body)? } else { Bytes::copy_from_slice(body) };
    Some(response)
}

fn unchunked(mut body: &[u8]) -> Option<Bytes> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).ok()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(whole.into());
        }
        whole.extend_from_slice(body.get(end + 2..end + 2 + size)?);
        body = body.get(end + 4 + size..)?;
    }
}
