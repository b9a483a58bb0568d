//! The client of Galaxy's API: GET for JSON, bounded in bytes and time, over connections that are kept. Whoever is told to
//! come back later (429, or 503 with Retry-After) does, and so does everybody else here.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri, header};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use super::{base::Base, connect::Connections};

/// How many addresses a request may be sent on to.
const REDIRECTS: usize = 5;
/// How long a pause is for which no time is given, and at most.
const PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Why Galaxy did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::automation) enum Failure {
    /// It has no such thing.
    Missing,
    /// It is to be asked again after this time, and not before.
    Paused(Duration),
    /// It cannot be reached, fails, or answers what makes no sense; for the log.
    Away(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such thing"),
            Self::Paused(time) => write!(f, "it is to be asked again in {time:.1?}"),
            Self::Away(why) => f.write_str(why),
        }
    }
}

/// Asks Galaxy.
pub(super) struct Client {
    connections: Connections,
    pub(super) base: Base,
    /// How long one answer may take, with all that it is sent on to.
    limit: Duration,
    /// Until when it is not asked.
    pause: Mutex<Option<Instant>>,
}

impl Client {
    /// Opens nothing yet.
    pub(super) fn new(base: Base, limit: Duration) -> Self {
        Self { connections: Connections::default(), base, limit, pause: Mutex::default() }
    }

    /// How much longer Galaxy is not to be asked.
    pub(super) fn paused(&self) -> Option<Duration> {
        let until = (*self.pause.lock().unwrap_or_else(PoisonError::into_inner))?;
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner);
        *pause = Some(pause.map_or(until, |known| known.max(until)));
    }

    /// Reads what is below the base at `path`, of at most `most` bytes.
    pub(super) async fn below<T: DeserializeOwned>(&self, path: &str, most: usize) -> Result<T, Failure> {
        self.get(self.base.below(path).map_err(Failure::Away)?, most).await
    }

    /// Reads what an answer has given the address of.
    pub(super) async fn linked<T: DeserializeOwned>(&self, link: &str, most: usize) -> Result<T, Failure> {
        self.get(self.base.linked(link).map_err(Failure::Away)?, most).await
    }

    async fn get<T: DeserializeOwned>(&self, at: Uri, most: usize) -> Result<T, Failure> {
        if let Some(left) = self.paused() {
            return Err(Failure::Paused(left));
        }
        let late = |_| Failure::Away(format!("no answer within {:?}", self.limit));
        let body = timeout(self.limit, self.exchange(at, most)).await.map_err(late)??;
        serde_json::from_slice(&body)
            .map_err(|error| Failure::Away(format!("its answer makes no sense: {error}")))
    }

    async fn exchange(&self, mut at: Uri, most: usize) -> Result<Bytes, Failure> {
        for _ in 0..=REDIRECTS {
            let answer = self.connections.get(&at, most).await.map_err(Failure::Away)?;
            let (status, headers) = (answer.status, &answer.headers);
            match status {
                StatusCode::OK => return Ok(answer.body),
                StatusCode::NOT_FOUND | StatusCode::GONE => return Err(Failure::Missing),
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                    let wanted = retry_after(headers, jiff::Timestamp::now());
                    let Some(time) = wanted.or((status == StatusCode::TOO_MANY_REQUESTS).then_some(PAUSE))
                    else {
                        return Err(Failure::Away(format!("it answers {status}")));
                    };
                    self.pause(time);
                    return Err(Failure::Paused(time));
                }
                _ if status.is_redirection() => {
                    let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
                    let location = location.ok_or_else(|| Failure::Away(format!("it answers {status}")))?;
                    at = self.base.linked(location).map_err(Failure::Away)?;
                }
                _ => return Err(Failure::Away(format!("it answers {status}"))),
            }
        }
        Err(Failure::Away("it sends from one address to the next".to_owned()))
    }
}

/// Seconds, or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, now: jiff::Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let time = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            Duration::try_from(at.duration_since(now)).unwrap_or_default()
        }
    };
    Some(time.clamp(Duration::from_millis(100), LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_to_come_back_is_read_in_both_forms() {
        let now = "2026-01-31T12:00:00Z".parse().unwrap();
        let check = |text: &'static str, want: Option<Duration>| {
            let headers =
                HeaderMap::from_iter([(header::RETRY_AFTER, header::HeaderValue::from_static(text))]);
            assert_eq!(retry_after(&headers, now), want, "{text}");
        };
        check("7", Some(Duration::from_secs(7)));
        check("0", Some(Duration::from_millis(100)));
        check("999999", Some(LONGEST_PAUSE));
        check("Sat, 31 Jan 2026 12:00:30 GMT", Some(Duration::from_secs(30)));
        check("Sat, 31 Jan 2026 11:00:00 GMT", Some(Duration::from_millis(100)));
        check("soon", None);
    }
}
