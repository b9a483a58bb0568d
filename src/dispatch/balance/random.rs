//! Random numbers for spreading load: fast, and good for nothing else.

use std::{
    cell::Cell,
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

thread_local! {
    static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(0) | 1);
}

/// xorshift64*
fn next() -> u64 {
    STATE.with(|state| {
        let mut x = state.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        state.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    })
}

/// From 0 to below `end`; 0 of nothing.
pub(super) fn below(end: usize) -> usize {
    let wide = u128::from(next()) * end as u128;
    (wide >> 64) as usize
}

/// From nothing to `most`.
pub(super) fn up_to(most: Duration) -> Duration {
    let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    let wide = u128::from(next()) * u128::from(nanos);
    Duration::from_nanos((wide >> 64) as u64)
}
