//! An HTTP server on loopback, in this process.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub type Answer = Response<Full<Bytes>>;

/// A running server. Dropping it stops the server from accepting connections.
#[derive(Debug)]
pub struct Server {
    pub address: SocketAddr,
    accepting: JoinSet<()>,
}

impl Server {
    /// Keeps the server running until the tokio runtime ends.
    pub fn detach(mut self) -> SocketAddr {
        self.accepting.detach_all();
        self.address
    }
}

/// Serves on a free port, over TLS if there is an acceptor.
pub async fn serve<F, R, B>(tls: Option<TlsAcceptor>, answer: F) -> Server
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port on loopback");
    let address = listener.local_addr().expect("the listener has an address");
    let mut accepting = JoinSet::new();
    accepting.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // With Nagle's algorithm, an answer could wait for a delayed acknowledgement.
            let _ = stream.set_nodelay(true);
            let (tls, answer) = (tls.clone(), answer.clone());
            tokio::spawn(async move {
                match tls {
                    None => serve_connection(stream, answer).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => serve_connection(stream, answer).await,
                        Err(error) => eprintln!("TLS handshake with a function failed: {error}"),
                    },
                }
            });
        }
    });
    Server { address, accepting }
}

async fn serve_connection<S, F, R, B>(stream: S, answer: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Response<B>>,
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    let service = service_fn(move |request| {
        let response = answer(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    // Fails if the function is killed while a connection is open.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
