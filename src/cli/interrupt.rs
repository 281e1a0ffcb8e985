//! Ctrl-C as a request to stop: work that asks its budget ends at the next question.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::query::Budget;

static CANCELLED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Lets the first interrupt cancel `budget`; a second one ends the process at once. The first
/// budget given stays the one that is cancelled.
pub fn cancel_on_interrupt(budget: &Budget) {
    CANCELLED.get_or_init(|| budget.cancel_flag());
    // SAFETY: the handler only reads an initialised cell, sets a flag and may exit.
    unsafe {
        libc::signal(
            libc::SIGINT,
            on_interrupt as extern "C" fn(libc::c_int) as libc::sighandler_t,
        );
    }
}

extern "C" fn on_interrupt(_signal: libc::c_int) {
    if let Some(cancelled) = CANCELLED.get()
        && cancelled.swap(true, Ordering::Relaxed)
    {
        const INTERRUPTED: libc::c_int = 130;
        // SAFETY: ends the process without running anything of it.
        unsafe { libc::_exit(INTERRUPTED) }
    }
}
