//! From async to work and back: the only bridge between requests and the pool of threads.
//!
//! A job is admitted, or waits in a queue of bounded length, or is refused. It runs on one rayon
//! pool (and may use all of it), with a budget that ends at the request's deadline or when its
//! client goes away: dropping the future sets the budget's flag. A job that panics takes nobody
//! with it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::query::Budget;

pub struct Pool {
    threads: rayon::ThreadPool,
    running: Arc<Semaphore>,
    size: usize,
    waiting: AtomicUsize,
    longest_queue: usize,
}

/// Why a job has no result.
#[derive(Debug)]
pub enum Refused {
    /// The queue is full.
    Busy,
    /// The request's time was over before the job began.
    Deadline,
    /// The job panicked.
    Panicked(String),
}

impl Pool {
    /// A pool of `threads` workers and a queue of `longest_queue` jobs.
    ///
    /// # Errors
    /// When the operating system gives no threads.
    pub fn new(threads: usize, longest_queue: usize) -> Result<Pool, rayon::ThreadPoolBuildError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("work-{i}"))
            .build()?;
        Ok(Pool {
            threads: pool,
            running: Arc::new(Semaphore::new(threads)),
            size: threads,
            waiting: AtomicUsize::new(0),
            longest_queue,
        })
    }

    /// Jobs that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Jobs that run.
    pub fn running(&self) -> usize {
        self.size - self.running.available_permits()
    }

    /// Runs a job before `deadline`.
    pub async fn run<T: Send + 'static>(
        &self,
        deadline: Instant,
        job: impl FnOnce(&Budget) -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let permit = match self.running.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let place = self.queue()?;
                let permit = timeout_at(deadline, self.running.clone().acquire_owned()).await;
                drop(place);
                permit
                    .map_err(|_| Refused::Deadline)?
                    .expect("the semaphore is never closed")
            }
        };
        let time_left = deadline.saturating_duration_since(Instant::now());
        if time_left == Duration::ZERO {
            return Err(Refused::Deadline);
        }
        let budget = Budget::with_time(time_left);
        let on_drop = CancelOnDrop(budget.cancel_flag());
        let (sender, receiver) = oneshot::channel();
        self.threads.spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(|| job(&budget)));
            drop(permit);
            // Nobody listens when the client is gone.
            let _ = sender.send(result);
        });
        let result = receiver.await;
        drop(on_drop);
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(panic)) => Err(Refused::Panicked(panic_text(&*panic))),
            Err(_) => Err(Refused::Panicked("the job was dropped".into())),
        }
    }

    fn queue(&self) -> Result<Place<'_>, Refused> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let place = Place(&self.waiting);
        if before >= self.longest_queue {
            return Err(Refused::Busy);
        }
        Ok(place)
    }
}

/// A place in the queue, given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()))
        .unwrap_or_else(|| "a panic without a message".into())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn in_seconds(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_free_one_serves() {
        let pool = Arc::new(Pool::new(1, 1).unwrap());
        let (release, blocked) = mpsc::channel::<()>();
        let first = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(in_seconds(60), move |_| blocked.recv()).await }
        });
        while pool.running() == 0 {
            tokio::task::yield_now().await;
        }
        let second = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(in_seconds(60), |_| 2).await }
        });
        while pool.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(
            pool.run(in_seconds(60), |_| 3).await,
            Err(Refused::Busy)
        ));
        release.send(()).unwrap();
        assert!(first.await.unwrap().is_ok());
        assert_eq!(second.await.unwrap().unwrap(), 2);
        assert_eq!(pool.waiting(), 0);
    }

    #[tokio::test]
    async fn a_dropped_request_cancels_its_job() {
        let pool = Pool::new(1, 0).unwrap();
        let (tell, told) = mpsc::channel();
        let mut request = Box::pin(pool.run(in_seconds(60), move |budget| {
            while budget.check().is_ok() {
                std::thread::yield_now();
            }
            tell.send(budget.check()).unwrap();
        }));
        assert!(futures_are_pending(&mut request).await);
        drop(request);
        assert_eq!(told.recv().unwrap(), Err(crate::query::Stop::Cancelled));
    }

    /// Polls once.
    async fn futures_are_pending<T>(request: &mut (impl Future<Output = T> + Unpin)) -> bool {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(std::pin::Pin::new(&mut *request).poll(cx).is_pending())
        })
        .await
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_and_the_pool_lives_on() {
        let pool = Pool::new(1, 1).unwrap();
        let broken = pool
            .run(in_seconds(60), |_| -> u8 { panic!("ring 7 of feature 3") })
            .await;
        assert!(matches!(broken, Err(Refused::Panicked(text)) if text.contains("ring 7")));
        assert_eq!(pool.run(in_seconds(60), |_| 1).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn a_deadline_in_the_past_runs_nothing() {
        let pool = Pool::new(1, 1).unwrap();
        let late = pool.run(Instant::now(), |_| ()).await;
        assert!(matches!(late, Err(Refused::Deadline)));
    }
}
