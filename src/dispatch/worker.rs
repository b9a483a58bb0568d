//! Which worker the current thread is. Each worker has upstream connections of its own, because a connection driven on
//! another thread costs two wake-ups across threads for every call.

use std::cell::Cell;

thread_local! {
    static INDEX: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Makes the current thread a worker: one that runs a runtime of its own and serves calls.
pub fn set(index: usize) {
    INDEX.set(Some(index));
}

/// The current thread's worker; `None` on threads that are none, such as the one that reads reflection.
pub(super) fn index() -> Option<usize> {
    INDEX.get()
}
