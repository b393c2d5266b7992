//! HTTP on loopback, in this process.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// An answer.
pub type Answer = Response<Full<Bytes>>;

/// A server. It takes no more connections when it is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Serves on a free port, with TLS where there is an acceptor.
pub async fn serve<F, R>(tls: Option<TlsAcceptor>, answer: F) -> Server
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port on loopback");
    let address = listener.local_addr().expect("an address");
    let accepting = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Otherwise an answer could wait for an acknowledgement.
            let _ = stream.set_nodelay(true);
            let (tls, answer) = (tls.clone(), answer.clone());
            tokio::spawn(async move {
                match tls {
                    None => connection(stream, answer).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => connection(stream, answer).await,
                        Err(error) => eprintln!("no TLS with a function: {error}"),
                    },
                }
            });
        }
    });
    Server { address, accepting }
}

async fn connection<S, F, R>(stream: S, answer: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Answer>,
{
    let service = service_fn(move |request| {
        let response = answer(request);
        async move { Ok::<_, Infallible>(response.await) }
    });
    // A function that is stopped breaks its connections.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
