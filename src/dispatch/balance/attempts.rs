//! One call and its attempts: let through by the breaker and the limit, sent to an endpoint, and, where that fails and may be
//! done, to another. It lives as long as the call does, its reply's body included, and says at the end how it went.

mod traced;

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use tokio::time::Instant;
use tonic::Status;

use super::{
    Asked, Balance, Endpoint, backoff,
    breaker::Pass,
    load::Place,
    plan::{self, Failure, Plan, Reach, Verdict},
    refusal,
    set::Tried,
};
use crate::route::RetryRules;

/// The most endpoints that a call goes round which none of them lets connect.
const MOST_DOORS: usize = 10;
/// Who gives a call less time than this, and gives up, says nothing of an endpoint that answers others: it may be a call that takes
/// its time, and nobody's breaker is opened by who is in a hurry.
pub(in crate::dispatch) const FAIR: Duration = Duration::from_secs(10);
/// Nor does who gives it less than this, of one that meanwhile answers nobody.
const HASTY: Duration = Duration::from_secs(1);
/// How long an endpoint is left alone at most because it asks for it.
const MOST_AWAY: Duration = Duration::from_secs(60);

/// A call on its way.
pub(in crate::dispatch) struct Attempts<T> {
    balance: Arc<Balance<T>>,
    plan: Plan,
    began: Instant,
    pass: Pass,
    /// The record's number of the current attempt.
    recorded: usize,
    /// Where it is now, and since when.
    at: Option<(Arc<Endpoint<T>>, Instant)>,
    tried: Tried<T>,
    /// Attempts that may have been seen, the current one too.
    number: u32,
    /// All attempts.
    sent: u32,
    /// It was sent again once because it had not been seen.
    unseen: bool,
    /// Some endpoint let nobody connect.
    closed: bool,
    /// What the attempts that failed said.
    said: Vec<String>,
    /// How it went is known.
    judged: bool,
    place: Option<Place>,
    /// Its place among tunnels.
    tunnel: Option<Place>,
}

impl<T> Attempts<T> {
    /// Begins a call.
    ///
    /// # Errors
    /// UNAVAILABLE, with why and when to come again: the breaker is open, or there are too many calls.
    pub(in crate::dispatch) async fn begin(balance: &Arc<Balance<T>>, plan: Plan) -> Result<Self, Status> {
        let began = Instant::now();
        let now = balance.millis(began);
        let mut attempts = Self {
            balance: Arc::clone(balance),
            began,
            pass: Pass::Free,
            recorded: 0,
            at: None,
            tried: Vec::new(),
            number: 0,
            sent: 0,
            unseen: false,
            closed: false,
            said: Vec::new(),
            judged: true,
            place: None,
            tunnel: None,
            plan,
        };
        if attempts.plan.own {
            return Ok(attempts);
        }
        if let Some(breaker) = &balance.breaker {
            attempts.pass = breaker.enter(now).map_err(|shut| {
                attempts.happened("breaker open", Some(&shut.why));
                refusal::shut(&balance.label, &shut)
            })?;
            if attempts.pass == Pass::Probe {
                attempts.happened("breaker half-open", None);
            }
        }
        // From here on its end is told.
        attempts.judged = false;
        balance.budget.call(now);
        if let Some(load) = &balance.load {
            let busy = |why: String| refusal::busy(&balance.label, &why, load.wait());
            attempts.tunnel = load.tunnel(attempts.plan.tunnel).map_err(busy)?;
            attempts.place = Some(load.enter().await.map_err(busy)?);
        }
        Ok(attempts)
    }

    /// Whether and how it is sent again.
    pub(in crate::dispatch) fn retry(&self) -> &RetryRules {
        self.plan.retry.as_deref().unwrap_or(&self.balance.rules.retry)
    }

    /// Where it goes next.
    ///
    /// # Errors
    /// UNAVAILABLE: no endpoint is known.
    pub(in crate::dispatch) async fn next(&mut self) -> Result<Arc<Endpoint<T>>, Status> {
        let balance = &self.balance;
        let set = match balance.endpoints().await {
            Ok(set) => set,
            Err(status) => {
                self.ended_badly(&status);
                return Err(status);
            }
        };
        let now = Instant::now();
        let (how, tried) = (&balance.rules.balance, (&self.tried, self.closed));
        let picked = set.pick(how, &balance.turn, self.plan.key, tried, balance.millis(now));
        let Some(endpoint) = picked else { return Err(refusal::nowhere(&balance.label, "has no endpoint")) };
        endpoint.take();
        self.at = Some((Arc::clone(endpoint), now));
        if let Some(record) = &self.plan.record {
            self.recorded = record.tries(&balance.name, endpoint.address, now.into_std());
        }
        self.number += 1;
        self.sent += 1;
        Ok(Arc::clone(endpoint))
    }

    /// Until when the current attempt may take, if there may be others.
    pub(in crate::dispatch) fn until(&self) -> Option<(Instant, Duration)> {
        let limit = self.retry().per_try_timeout.filter(|_| self.plan.repeatable)?;
        self.at.as_ref().map(|(_, since)| (*since + limit, limit))
    }

    /// Until when the whole call may take. Who answers an attempt is told this and not the attempt's own limit: it would give up
    /// a moment before the gateway does, which reads as its own last word.
    pub(in crate::dispatch) fn deadline(&self) -> Option<Instant> {
        self.plan.deadline()
    }

    /// True where its reply is held until it is whole, so that it can be sent again if it is not.
    pub(in crate::dispatch) fn may_repeat(&self) -> bool {
        self.plan.repeatable && self.retry().attempts > 1
    }

    /// It goes on as a tunnel, for as long as that likes: its place is for the next call.
    pub(in crate::dispatch) fn switched(self) -> Self {
        let mut switched = self;
        switched.place = None;
        switched
    }

    /// How often it has been sent.
    pub(in crate::dispatch) fn sent(&self) -> u32 {
        self.sent
    }

    /// The current attempt has failed. How long to wait before the next, or `None`: there is none. `whole`: the request
    /// can be sent again.
    pub(in crate::dispatch) fn again(&mut self, failure: &Failure, whole: bool) -> Option<Duration> {
        let now = Instant::now();
        self.tell(failure, now);
        let verdict = self.fairly(failure.verdict, now);
        if verdict == Verdict::Good {
            self.praise(now);
        }
        self.leave((verdict == Verdict::Bad).then_some(failure.asked), now);
        let wait = self.wait(failure, whole, now).filter(|wait| {
            // What could not be sent in time is not sent.
            self.plan.deadline().is_none_or(|deadline| now + *wait < deadline)
        });
        match (wait, verdict) {
            (Some(wait), _) => {
                let why = failure.status.message();
                self.goes_again(wait, why);
                self.said.push(why.to_owned());
            }
            (None, Verdict::Good) => self.went_well(),
            (None, Verdict::Bad) => self.ended_badly(&failure.status),
            (None, _) => self.left(),
        }
        wait
    }

    fn fairly(&self, verdict: Verdict, now: Instant) -> Verdict {
        match verdict {
            Verdict::BadIfFair if now - self.began >= self.plan.fair => Verdict::Bad,
            Verdict::BadIfFair => Verdict::Unknown,
            verdict => verdict,
        }
    }

    /// The endpoint has answered nobody since this call came to it, which has waited for a while.
    fn was_silent(&self, now: Instant) -> bool {
        self.at.as_ref().is_some_and(|(endpoint, since)| {
            now - *since >= HASTY && endpoint.is_silent_since(self.balance.millis(*since))
        })
    }

    fn wait(&mut self, failure: &Failure, whole: bool, now: Instant) -> Option<Duration> {
        let (balance, retry) = (Arc::clone(&self.balance), self.plan.retry.clone());
        let (rules, millis) = (retry.as_deref().unwrap_or(&balance.rules.retry), balance.millis(now));
        if !whole || failure.asked == Some(Asked::Never) {
            return None;
        }
        let another = balance.set.load().has_another(&self.tried, millis);
        if failure.reach == Reach::Nowhere {
            // A host that does not let connect will not a moment later; another may.
            self.number -= 1;
            self.closed = true;
            let untried = balance.set.load().endpoints.len() > self.tried.len();
            return (untried && self.tried.len() < MOST_DOORS).then_some(Duration::ZERO);
        }
        if failure.reach == Reach::Unseen && !self.unseen {
            // Whatever the rules are: nobody has seen it.
            self.unseen = true;
            self.number -= 1;
            return Some(Duration::ZERO);
        }
        let may = failure.reach == Reach::Unseen || (self.plan.repeatable && failure.passing);
        if !may || self.plan.own || self.number >= rules.attempts {
            return None;
        }
        let pause = backoff::pause(rules, self.number + 1);
        let wait = match failure.asked {
            Some(Asked::Wait(wait)) => wait,
            Some(Asked::Away(wait)) if !another => wait.max(pause),
            _ => pause,
        };
        // It is not kept waiting for longer than the rules say: the answer goes back as it is.
        (wait <= rules.max_backoff && balance.budget.take(millis)).then_some(wait)
    }

    /// Takes the call off its endpoint. `failed`: it has failed, and may have asked for something.
    fn leave(&mut self, failed: Option<Option<Asked>>, now: Instant) {
        let Some((endpoint, since)) = self.at.take() else { return };
        endpoint.leave();
        let millis = self.balance.millis(now);
        if let Some(asked) = failed {
            // Who fails fast is not the fast one.
            endpoint.latency.observe((now - since).max(Duration::from_secs(1)), millis);
            let set = self.balance.set.load();
            if let Some(rules) = &self.balance.rules.ejection
                && endpoint.failed(rules)
                && !endpoint.is_out(millis)
                && set.can_spare(rules, millis)
            {
                let time = endpoint.put_out(rules, millis);
                self.balance.ejected();
                tracing::warn!("{} is left out for {time:?}: it fails again and again", endpoint.label);
            }
            if let Some(Asked::Away(time)) = asked
                && set.endpoints.len() > 1
            {
                endpoint.pause(time.min(MOST_AWAY), millis);
            }
        }
        self.tried.push(endpoint);
    }

    /// Tells the record that the current attempt has failed.
    fn tell(&self, failure: &Failure, now: Instant) {
        if let Some(record) = &self.plan.record {
            record.tried(self.recorded, &failure.status, failure.said, now.into_std());
        }
    }

    /// The head of an answer has come, with this status where that is HTTP's own.
    pub(in crate::dispatch) fn answered(&self, status: Option<StatusCode>) {
        if let Some(record) = &self.plan.record {
            record.answered(self.recorded, status, Instant::now().into_std());
        }
        if let Some((endpoint, since)) = &self.at
            && matches!(self.balance.rules.balance, super::Balancing::PeakEwma)
        {
            let now = Instant::now();
            endpoint.latency.observe(now - *since, self.balance.millis(now));
        }
    }

    /// It went well, or the upstream has said what it thinks of it.
    pub(in crate::dispatch) fn went_well(&mut self) {
        let now = Instant::now();
        let millis = self.balance.millis(now);
        self.praise(now);
        if !std::mem::replace(&mut self.judged, true)
            && let Some(breaker) = &self.balance.breaker
        {
            let was_closed = breaker.is_closed();
            breaker.went_well(self.pass, millis);
            if !was_closed && breaker.is_closed() {
                self.happened("breaker closed", None);
                tracing::info!("{} is called again", self.balance.label);
            }
        }
    }

    /// What its endpoint has done wrong so far is forgotten.
    fn praise(&self, now: Instant) {
        if let Some((endpoint, _)) = &self.at {
            endpoint.went_well(self.balance.rules.ejection.as_ref(), self.balance.millis(now));
        }
    }

    /// It failed after its answer had begun.
    pub(in crate::dispatch) fn ended_with(&mut self, failure: &Failure) {
        let now = Instant::now();
        self.tell(failure, now);
        match self.fairly(failure.verdict, now) {
            Verdict::Good => self.went_well(),
            Verdict::Bad => {
                self.leave(Some(failure.asked), now);
                if self.judged && !self.plan.own {
                    // Its beginning went well, and was told.
                    (self.judged, self.pass) = (false, Pass::Free);
                }
                self.ended_badly(&failure.status);
            }
            Verdict::BadIfFair | Verdict::Unknown => {}
        }
    }

    fn ended_badly(&mut self, status: &Status) {
        let judged = std::mem::replace(&mut self.judged, true);
        let Some(breaker) = self.balance.breaker.as_ref().filter(|_| !judged) else { return };
        let (began, now) = (self.balance.millis(self.began), self.balance.millis(Instant::now()));
        if breaker.failed(self.pass, began, now, status.message()) {
            self.happened("breaker opened", None);
            tracing::warn!("{} is not called for a while: {}", self.balance.label, status.message());
        }
    }

    /// Nobody can say how it went.
    fn left(&mut self) {
        if !std::mem::replace(&mut self.judged, true)
            && let Some(breaker) = &self.balance.breaker
        {
            breaker.left(self.pass);
        }
    }

    /// What the call ends with that has failed: the last attempt's status, and what the others said. What an upstream says
    /// itself stays as it is.
    pub(in crate::dispatch) fn ended(&self, failure: Failure) -> Status {
        let Failure { status, said, .. } = failure;
        if self.sent < 2 || self.plan.own || said {
            return status;
        }
        plan::ended(self.sent, &self.said, &status)
    }
}

impl<T> Drop for Attempts<T> {
    fn drop(&mut self) {
        let now = Instant::now();
        if self.judged {
            if let Some(record) = &self.plan.record {
                record.left(self.recorded, now.into_std());
            }
            if let Some((endpoint, _)) = self.at.take() {
                endpoint.leave();
            }
            return;
        }
        let passed = self.plan.deadline().is_some_and(|deadline| deadline <= now);
        if !passed {
            if let Some(record) = &self.plan.record {
                record.left(self.recorded, now.into_std());
            }
            self.leave(None, now);
            return self.left();
        }
        let label = self.at.as_ref().map_or(&self.balance.label, |(endpoint, _)| &endpoint.label);
        let status = Status::deadline_exceeded(format!("{label} did not answer in time"));
        self.tell(&Failure::new(status.clone(), Reach::Seen), now);
        let late = now - self.began >= self.plan.fair || self.was_silent(now);
        self.leave(late.then_some(None), now);
        if late {
            self.ended_badly(&status);
        } else {
            self.left();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::{
        balance::{Host, Resilience, System},
        upload::Until,
    };
    use crate::status::Fault;

    fn balance(endpoints: u16, change: impl FnOnce(&mut Resilience)) -> Arc<Balance<()>> {
        let mut rules = Resilience::default();
        change(&mut rules);
        let hosts = (1..=endpoints).map(|port| Host { host: "127.0.0.1".to_owned(), port }).collect();
        let make = Box::new(|_, _, _: &Arc<str>| ());
        let label = "upstream \"u\"".into();
        Arc::new(Balance::new(
            "u".into(),
            label,
            rules,
            hosts,
            Duration::from_secs(1),
            Arc::new(System),
            make,
        ))
    }

    async fn begin(balance: &Arc<Balance<()>>, repeatable: bool, seconds: u64) -> Attempts<()> {
        let deadline = Some(Until::At(Instant::now() + Duration::from_secs(seconds)));
        let (retry, record) = (None, None);
        let plan =
            Plan { repeatable, retry, deadline, fair: FAIR, key: None, own: false, tunnel: false, record };
        Attempts::begin(balance, plan).await.unwrap()
    }

    fn failure(reach: Reach) -> Failure {
        Failure::new(Fault::upstream().on(Status::unavailable("no")), reach)
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_been_seen_is_sent_again_only_if_it_may_be_repeated() {
        let balance = balance(3, |_| {});
        let mut call = begin(&balance, true, 60).await;
        let mut addresses = Vec::new();
        for (number, most) in [(1, 25), (2, 50)] {
            addresses.push(call.next().await.unwrap().address);
            let wait = call.again(&failure(Reach::Seen), true).unwrap();
            assert!(wait <= Duration::from_millis(most), "{number}: {wait:?}");
            tokio::time::sleep(wait).await;
        }
        addresses.push(call.next().await.unwrap().address);
        assert_eq!(call.again(&failure(Reach::Seen), true), None);
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), 3, "each attempt goes elsewhere");
        let ended = call.ended(failure(Reach::Seen));
        assert_eq!(ended.message(), "3 attempts: no");
        for (repeatable, whole) in [(false, true), (true, false)] {
            let mut call = begin(&balance, repeatable, 60).await;
            call.next().await.unwrap();
            assert_eq!(call.again(&failure(Reach::Seen), whole), None);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_seen_is_always_sent_again() {
        let balance = balance(2, |rules| rules.retry.attempts = 1);
        let mut call = begin(&balance, false, 60).await;
        call.next().await.unwrap();
        assert_eq!(call.again(&failure(Reach::Unseen), true), Some(Duration::ZERO));
        call.next().await.unwrap();
        assert_eq!(call.again(&failure(Reach::Unseen), true), None, "once, whatever the rules say");
        // Who lets nobody connect is gone round, once.
        let mut call = begin(&balance, false, 60).await;
        let first = call.next().await.unwrap().address;
        assert_eq!(call.again(&failure(Reach::Nowhere), true), Some(Duration::ZERO));
        assert_ne!(call.next().await.unwrap().address, first);
        assert_eq!(call.again(&failure(Reach::Nowhere), true), None);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_sent_that_would_be_too_late_or_was_asked_not_to_be() {
        let asked = |asked| Failure { asked: Some(asked), ..failure(Reach::Seen) };
        let balance = balance(1, |rules| rules.retry.max_backoff = Duration::from_secs(5));
        let again = async |failure: Failure, seconds| {
            let mut call = begin(&balance, true, seconds).await;
            call.next().await.unwrap();
            call.again(&failure, true)
        };
        let three = Duration::from_secs(3);
        assert_eq!(again(asked(Asked::Wait(three)), 60).await, Some(three));
        assert_eq!(again(asked(Asked::Away(three)), 60).await, Some(three));
        assert_eq!(again(asked(Asked::Wait(three)), 2).await, None);
        assert_eq!(again(asked(Asked::Wait(three * 2)), 60).await, None);
        assert_eq!(again(asked(Asked::Never), 60).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_early_says_nothing_and_who_waited_long_enough_does() {
        for (seconds, busy, closed) in
            [(0, false, true), (2, true, true), (2, false, false), (11, true, false)]
        {
            let balance = balance(2, |_| {});
            for _ in 0..10 {
                let deadline = Some(Until::At(Instant::now() + Duration::from_secs(seconds)));
                let plan = Plan {
                    repeatable: false,
                    retry: None,
                    deadline,
                    fair: FAIR,
                    key: None,
                    own: false,
                    tunnel: false,
                    record: None,
                };
                let mut call = Attempts::begin(&balance, plan).await;
                if let Ok(call) = &mut call {
                    call.next().await.unwrap();
                }
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                if busy {
                    // Somebody else is answered meanwhile.
                    let now = balance.millis(Instant::now());
                    balance.set.load().endpoints.iter().for_each(|endpoint| endpoint.went_well(None, now));
                }
            }
            assert_eq!(balance.breaker.as_ref().unwrap().is_closed(), closed, "{seconds} {busy}");
            let set = balance.set.load();
            assert_eq!(set.endpoints.iter().map(|endpoint| endpoint.load()).sum::<usize>(), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_has_its_own_time_if_there_may_be_another() {
        let balance = balance(1, |rules| rules.retry.per_try_timeout = Some(Duration::from_secs(2)));
        let now = Instant::now();
        for (repeatable, want) in [(true, Some(2)), (false, None)] {
            let mut call = begin(&balance, repeatable, 60).await;
            call.next().await.unwrap();
            let until = call.until().map(|(until, _)| until);
            assert_eq!(until, want.map(|seconds| now + Duration::from_secs(seconds)));
            assert_eq!(call.deadline(), Some(now + Duration::from_secs(60)));
        }
    }
}
