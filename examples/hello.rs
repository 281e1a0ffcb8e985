//! How many requests a second can hyper answer at best on this machine? The yardstick of
//! `benches/serve.sh`: a server that does nothing but send the same bytes.
//!
//! ```text
//! cargo run --release --example hello -- 127.0.0.1:8089 [BYTES]
//! ```

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:8089".into());
    let bytes: usize = arguments
        .next()
        .map_or(5, |n| n.parse().expect("a number of bytes"));
    let body = if bytes == 5 {
        Bytes::from_static(b"hello")
    } else {
        Bytes::from(vec![b'x'; bytes])
    };
    let listener = TcpListener::bind(&address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let body = body.clone();
        tokio::spawn(async move {
            let hello = service_fn(|_: Request<Incoming>| {
                let reply = Response::new(Full::new(body.clone()));
                async { Ok::<_, Infallible>(reply) }
            });
            // A client that hangs up is the normal end of a connection.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), hello)
                .await;
        });
    }
}
