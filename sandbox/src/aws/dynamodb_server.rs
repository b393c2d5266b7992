//! A DynamoDB server in place of winterbaume's, such as AWS's own DynamoDB Local. The step
//! `dynamodb` of CI runs the tests with it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use shared::config::Environment;
use winterbaume_core::{MockRequest, MockResponse};

use super::sdk_client::REGION;

/// The environment variable with the server's address, such as `127.0.0.1:8000`.
pub const DYNAMODB_SERVER: &str = "DYNAMODB_SERVER";

/// The database of one account on the server.
pub struct DynamoDbServer {
    address: SocketAddr,
    /// DynamoDB Local keeps a database per access key.
    access_key: String,
}

impl DynamoDbServer {
    /// An empty database on the server of [`DYNAMODB_SERVER`]. `None` if the variable is not set.
    pub fn from_environment() -> Result<Option<Self>> {
        let environment = Environment::from_process();
        let Some(address) = environment.optional(DYNAMODB_SERVER) else { return Ok(None) };
        let address = address
            .parse()
            .with_context(|| format!("{DYNAMODB_SERVER} is not an IP address with a port: {address}"))?;
        Ok(Some(Self { address, access_key: format!("ACCOUNT{:016X}", fastrand::u64(..)) }))
    }

    /// Sends a request and returns the response.
    ///
    /// The task blocks: while it does, the paused clock of a test stands still, as it does while
    /// winterbaume answers.
    pub async fn answer(&self, request: &MockRequest) -> Result<MockResponse> {
        let (address, message) = (self.address, self.message(request));
        tokio::task::spawn_blocking(move || exchange(address, &message)).await?
    }

    /// The request without its signature, which DynamoDB Local does not verify.
    ///
    /// HTTP/1.0, so that the server closes the connection after a response that is not chunked.
    fn message(&self, request: &MockRequest) -> Vec<u8> {
        let target = request.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let head = format!(
            "POST / HTTP/1.0\r\nHost: {}\r\nX-Amz-Target: {}\r\nContent-Type: application/x-amz-json-1.0\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={}/20260101/{REGION}/dynamodb/aws4_request, \
             SignedHeaders=host, Signature=0\r\nContent-Length: {}\r\n\r\n",
            self.address,
            target.unwrap_or_default(),
            self.access_key,
            request.body.len()
        );
        [head.as_bytes(), &request.body].concat()
    }
}

fn exchange(address: SocketAddr, message: &[u8]) -> Result<MockResponse> {
    let mut connection =
        TcpStream::connect(address).with_context(|| format!("connecting to {DYNAMODB_SERVER} {address}"))?;
    connection.write_all(message)?;
    let mut received = Vec::new();
    connection.read_to_end(&mut received)?;
    parse(&received)
}

/// Parses an HTTP/1 response that ends with the connection.
fn parse(received: &[u8]) -> Result<MockResponse> {
    let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
        bail!("{DYNAMODB_SERVER}: no HTTP response")
    };
    let head = std::str::from_utf8(&received[..end])?;
    let status = head.split(' ').nth(1).context("no HTTP status")?.parse()?;
    let mut response = MockResponse::json(status, Bytes::copy_from_slice(&received[end + 4..]));
    for (name, value) in head.lines().skip(1).filter_map(|line| line.split_once(':')) {
        // The SDK verifies the body with it.
        if name.eq_ignore_ascii_case("x-amz-crc32") {
            response.headers.insert("x-amz-crc32", value.trim().parse()?);
        }
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_has_status_checksum_and_body() {
        let response = parse(
            b"HTTP/1.1 400 Bad Request\r\nDate: today\r\nx-amz-crc32: 7\r\n\r\n{\"__type\":\"X\"}\r\n\r\n",
        );
        let response = response.unwrap();
        assert_eq!(response.status, 400);
        assert_eq!(response.headers["x-amz-crc32"], "7");
        assert_eq!(&response.body[..], b"{\"__type\":\"X\"}\r\n\r\n");
    }

    #[test]
    fn response_without_an_end_of_the_head_is_an_error() {
        for received in [&b""[..], b"HTTP/1.1 200 OK\r\n", b"SSH-2.0-OpenSSH\r\n\r\n"] {
            assert!(parse(received).is_err(), "{}", String::from_utf8_lossy(received));
        }
    }
}
