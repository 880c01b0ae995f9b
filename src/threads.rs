//! Threads: pools that stay, and work divided among threads that end with it.

use crate::{Error, Result};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::{Arc, OnceLock};
use std::thread;

/// The most threads of a pool: a system may refuse more, and they would only wait.
const MOST: usize = 1024;

/// A number of threads, and a pool of them from its first use on. Clones share the pool.
#[derive(Clone, Debug)]
pub(crate) struct Threads {
    count: usize,
    pool: Arc<OnceLock<Arc<ThreadPool>>>,
}

impl Threads {
    /// `count` threads; `None` for as many as the machine runs at once.
    pub(crate) fn new(count: Option<usize>) -> Self {
        Self { count: count.unwrap_or_else(all_threads).clamp(1, MOST), pool: Arc::default() }
    }

    /// The number of threads.
    #[cfg(feature = "llm")]
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The pool. Fails with [`Error::Threads`] where the system refuses threads.
    pub(crate) fn pool(&self) -> Result<Arc<ThreadPool>> {
        if let Some(pool) = self.pool.get() {
            return Ok(pool.clone());
        }
        let named = |i| format!("qmill {i}");
        let pool = ThreadPoolBuilder::new().num_threads(self.count).thread_name(named).build();
        let pool = pool.map_err(|error| Error::Threads { count: self.count, reason: error.to_string() })?;
        Ok(self.pool.get_or_init(|| Arc::new(pool)).clone())
    }
}

/// As many threads as the machine runs at once.
pub(crate) fn all_threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Calls `run` on each item of `work`, on up to `threads` threads, of which the calling one is one.
///
/// Item `i` goes to thread `i mod threads`. After an error a thread skips the rest of its items; the others
/// finish theirs. Returns one of the errors.
pub(crate) fn in_parallel<T: Send>(
    threads: usize,
    work: Vec<T>,
    run: impl Fn(T) -> Result<()> + Sync,
) -> Result<()> {
    let threads = threads.min(work.len());
    if threads < 2 {
        return work.into_iter().try_for_each(run);
    }
    let mut queues: Vec<Vec<T>> = (0..threads).map(|_| Vec::new()).collect();
    for (i, item) in work.into_iter().enumerate() {
        queues[i % threads].push(item);
    }
    let run = &run;
    thread::scope(|scope| {
        let own = queues.pop().into_iter().flatten();
        let others: Vec<_> = queues
            .into_iter()
            .map(|queue| scope.spawn(move || queue.into_iter().try_for_each(run)))
            .collect();
        let mut result = own.map(run).find(Result::is_err).unwrap_or(Ok(()));
        for other in others {
            let other = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result = result.and(other);
        }
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_run_once_and_an_error_is_returned() {
        let mut done = vec![0; 100];
        in_parallel(3, done.iter_mut().collect(), |count: &mut i32| {
            *count += 1;
            Ok(())
        })
        .unwrap();
        assert!(done.iter().all(|&count| count == 1));
        let failing = |number| if number == 57 { Err(crate::Error::Cancelled) } else { Ok(()) };
        assert!(matches!(in_parallel(3, (0..100).collect(), failing), Err(crate::Error::Cancelled)));
    }
}
