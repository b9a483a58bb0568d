//! Points in time as the stores keep them: microseconds since 1970 in UTC, in a BIGINT.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970-01-01T00:00:00Z; negative before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub i64);

impl Micros {
    /// The wall clock.
    #[must_use]
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// This much later; the farthest time there is where that would be beyond it.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(micros(by)))
    }

    /// This much earlier.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(micros(by)))
    }

    /// How long from `earlier` to this; nothing where it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Whole seconds since 1970, as JWTs write times.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// From whole seconds since 1970.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }
}

impl From<SystemTime> for Micros {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => Self(micros(since)),
            Err(before) => Self(-micros(before.duration())),
        }
    }
}

impl From<Micros> for prost_types::Timestamp {
    fn from(time: Micros) -> Self {
        let nanos = i32::try_from(time.0.rem_euclid(1_000_000) * 1000).unwrap_or(0);
        Self { seconds: time.seconds(), nanos }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_convert_and_never_overflow() {
        assert_eq!(Micros::from(UNIX_EPOCH + Duration::from_micros(1_500_000)), Micros(1_500_000));
        assert_eq!(Micros::from(UNIX_EPOCH - Duration::from_secs(1)), Micros(-1_000_000));
        assert_eq!(
            prost_types::Timestamp::from(Micros(-1)),
            prost_types::Timestamp { seconds: -1, nanos: 999_999_000 }
        );
        assert_eq!(Micros(5).after(Duration::MAX), Micros(i64::MAX));
        assert_eq!(Micros(5).since(Micros(9)), Duration::ZERO);
        assert_eq!(Micros::from_seconds(i64::MAX), Micros(i64::MAX));
    }
}
