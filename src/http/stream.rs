//! A TCP stream that gives up on clients that are too slow.
//!
//! - The head of a request must be there in the allowed time, counted from the end of the answer
//!   before (so an idle connection ends after the same time), however steadily its bytes trickle.
//! - A client must take some of its answer in the allowed time.
//!
//! Both would be timers per request; here one timer per connection looks at the clock when it
//! rings, so that a busy connection sets none.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

pub struct Limited {
    inner: TcpStream,
    head_time: Duration,
    write_time: Duration,
    /// Since when a head is awaited; `None` from the answer before until the next look.
    awaiting_since: Option<Instant>,
    /// Rings at the earliest time at which a head can be late.
    alarm: Pin<Box<Sleep>>,
    /// Running since the kernel last refused to take more.
    stalled: Option<Pin<Box<Sleep>>>,
    answering: Answering,
}

/// Set by the service while a request is being answered: then nobody waits for a head.
#[derive(Clone, Default)]
pub struct Answering(Arc<AtomicBool>);

impl Answering {
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn end(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Limited {
    pub fn new(
        inner: TcpStream,
        head_time: Duration,
        write_time: Duration,
        answering: Answering,
    ) -> Limited {
        Limited {
            inner,
            head_time,
            write_time,
            awaiting_since: Some(Instant::now()),
            alarm: Box::pin(sleep(head_time)),
            stalled: None,
            answering,
        }
    }

    /// Called when nothing can be read: an error when the head is late.
    fn watch_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.answering.is_on() || self.stalled.is_some() {
            self.awaiting_since = None;
        } else if self.awaiting_since.is_none() {
            self.awaiting_since = Some(Instant::now());
        }
        while self.alarm.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            let late_at = self.awaiting_since.unwrap_or(now) + self.head_time;
            if late_at <= now {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.alarm.set(sleep_until(late_at));
        }
        Poll::Pending
    }

    fn watch_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let allowed = self.write_time;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(allowed)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Bytes of an answer went out: the next head is awaited from here on.
    fn answered(&mut self) {
        self.answering.end();
        self.awaiting_since = None;
    }
}

impl AsyncRead for Limited {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_read(cx, buf) {
            Poll::Ready(result) => Poll::Ready(result),
            Poll::Pending => self.watch_head(cx),
        }
    }
}

impl AsyncWrite for Limited {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.answered();
        self.watch_write(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.answered();
        self.watch_write(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch_write(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.watch_write(cx, result)
    }
}
