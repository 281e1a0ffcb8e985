//! What a request may cost. Work that runs on the pool cannot be dropped from outside, so it asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bounds of one request, checked as the work goes on.
#[derive(Debug, Clone)]
pub struct Budget {
    deadline: Option<Instant>,
    cancelled: Arc<AtomicBool>,
}

/// Why work stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stop {
    #[error("the time allowed for the request is over (请求超时)")]
    Deadline,
    #[error("the client went away (客户端已断开)")]
    Cancelled,
}

impl Budget {
    /// No bounds: batch work and tests.
    pub fn unlimited() -> Budget {
        Budget {
            deadline: None,
            cancelled: Arc::default(),
        }
    }

    pub fn with_time(allowed: Duration) -> Budget {
        Budget {
            deadline: Some(Instant::now() + allowed),
            ..Budget::unlimited()
        }
    }

    /// The same request with less time: ends at `deadline` when that is before its own.
    pub fn until(&self, deadline: Instant) -> Budget {
        Budget {
            deadline: Some(self.deadline.map_or(deadline, |own| own.min(deadline))),
            cancelled: self.cancelled.clone(),
        }
    }

    /// A flag that stops the work when it is set.
    pub fn cancel_flag(&self) -> Arc<AtomicBool> {
        self.cancelled.clone()
    }

    /// Ask at every few hundred microseconds of work.
    pub fn check(&self) -> Result<(), Stop> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Stop::Cancelled);
        }
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Err(Stop::Deadline),
            _ => Ok(()),
        }
    }
}
