//! The cache and the counters of one process, bounded in what they hold.

mod cache;
mod counters;
mod window;

pub use self::{cache::MemoryCache, counters::MemoryCounters};
