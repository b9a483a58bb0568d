//! Holds what came of a case against what its contract expects.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{
    client::Answer,
    matcher::{matches, matches_text},
    stand_in::Seen,
    telling,
};

/// What came of a case.
pub(super) struct Came<'a> {
    pub(super) answers: &'a [Answer],
    /// What each stand-in saw, and how many connections it got.
    pub(super) seen: &'a BTreeMap<String, (Vec<Seen>, usize)>,
    /// How often accounts were read from the store, where it was looked at.
    pub(super) reads: Option<i64>,
    /// What Redis keeps under the key that is expected: for how many more seconds, and what.
    pub(super) kept: Option<(i64, Value)>,
    /// What the gateway holds in memory, in MiB.
    pub(super) rss_mb: Option<f64>,
    /// Where it listens.
    pub(super) at: Option<SocketAddr>,
    /// How a gateway ended that was told to: its exit code, and what it printed.
    pub(super) stopped: Option<(i32, String)>,
    /// New connections were refused while it ended.
    pub(super) refuses: bool,
    /// Exit code and output of a gateway that did not run.
    pub(super) ended: Option<&'a (i32, String)>,
    /// The path that was asked for.
    pub(super) asked: String,
    /// What the gateway printed since the case began.
    pub(super) printed: String,
}

impl<'a> Came<'a> {
    /// Answers, and what stand-ins saw.
    pub(super) fn of(answers: &'a [Answer], seen: &'a BTreeMap<String, (Vec<Seen>, usize)>) -> Self {
        Self {
            answers,
            seen,
            reads: None,
            kept: None,
            rss_mb: None,
            at: None,
            stopped: None,
            refuses: false,
            ended: None,
            asked: String::new(),
            printed: String::new(),
        }
    }
}

/// The first expectation that does not hold. One that is not known is none that holds.
pub(super) fn holds(expect: &Map<String, Value>, came: &Came<'_>) -> Result<(), String> {
    if let Some((exit, output)) = came.ended {
        return ended(expect, *exit, output);
    }
    for (name, expected) in expect {
        let holds = match name.as_str() {
            "each" => each(expected, came.answers),
            "counts" => counts(expected, came.answers),
            "distinct_header" => distinct(expected, came.answers),
            "p95_ms" => p95(expected, came.answers),
            "errors_max" => errors(expected, came.answers),
            "upstream" => upstream(expected, came),
            "upstream_calls" => calls(expected, came),
            "upstream_connections" => {
                let opened: usize = came.seen.values().map(|(_, connections)| connections).sum();
                between(expected, opened, "connections to upstreams")
            }
            "gaps_grow" => gaps(came),
            "store_reads_of_user" => {
                let reads = came.reads.expect("the store is looked at");
                let one_of =
                    expected.as_array().is_some_and(|all| all.iter().any(|one| one.as_i64() == Some(reads)));
                check(one_of, || format!("accounts were read {reads} times"))
            }
            "response_header_equals_upstream_header" => same_header(expected, came),
            "log" => telling::log(expected, &came.printed),
            "no_log" => telling::no_log(expected, &came.printed),
            "every_line" => telling::every_line(&came.printed),
            "log_request_id_equals_header" => telling::same_id(expected, &came.printed, last(came.answers)?),
            "redis" => kept(expected, came),
            "rss_mb_max" => {
                let found = came.rss_mb.expect("its memory is looked at");
                check(Some(found) <= expected.as_f64(), || format!("it holds {found:.0} MiB"))
            }
            "at" => {
                let at = came.at.map(|at| at.to_string());
                check(at.as_deref() == expected.as_str(), || format!("it answers at {at:?}"))
            }
            "exit" => {
                let (code, output) = came.stopped.as_ref().ok_or("it runs")?;
                check(expected.as_i64() == Some((*code).into()), || format!("exit code {code}:\n{output}"))
            }
            "new_connections" => check(came.refuses, || "a new connection is taken".to_owned()),
            "logs_in_order" => in_order(expected, came),
            _ => of_answer(name, expected, last(came.answers)?, came),
        };
        holds.map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(())
}

fn check(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

fn last(answers: &[Answer]) -> Result<&Answer, String> {
    answers.last().ok_or_else(|| "there is no answer".to_owned())
}

fn ended(expect: &Map<String, Value>, exit: i32, output: &str) -> Result<(), String> {
    for (name, expected) in expect {
        match name.as_str() {
            "exit" => {
                check(expected.as_i64() == Some(exit.into()), || format!("exit code {exit}:\n{output}"))?
            }
            "stderr_contains" => {
                for text in expected.as_array().into_iter().flatten().filter_map(Value::as_str) {
                    check(output.contains(text), || format!("{text:?} is not in:\n{output}"))?;
                }
            }
            _ => return Err(format!("{name} is nothing that an end can have:\n{output}")),
        }
    }
    Ok(())
}

fn of_answer(name: &str, expected: &Value, answer: &Answer, came: &Came<'_>) -> Result<(), String> {
    let said = || format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body));
    match name {
        "status" => {
            let status = u64::from(answer.status.as_u16());
            let one = expected.as_array().map_or_else(
                || expected.as_u64() == Some(status),
                |all| all.iter().any(|one| one.as_u64() == Some(status)),
            );
            check(one, || format!("expected {expected}, found {}", said()))
        }
        "headers" => expected.as_object().into_iter().flatten().try_for_each(|(name, expected)| {
            let found = answer.headers.get(name).map(|value| value.to_str().unwrap_or_default());
            matches_text(expected, found, name)
        }),
        "content_type" => {
            let found = answer.headers.get("content-type").and_then(|value| value.to_str().ok());
            let found = found.map(|found| found.split(';').next().unwrap_or_default().trim());
            matches_text(expected, found, "it")
        }
        "json" => {
            let found: Value =
                serde_json::from_slice(&answer.body).map_err(|error| format!("{error}: {}", said()))?;
            matches(expected, Some(&found), "body").map_err(|why| format!("{why} in {}", said()))
        }
        "json_all" => {
            let found: Value =
                serde_json::from_slice(&answer.body).map_err(|error| format!("{error}: {}", said()))?;
            let mut all = expected.as_array().into_iter().flatten();
            all.try_for_each(|one| matches(one, Some(&found), "body"))
        }
        "text_lacks" => {
            let text = String::from_utf8_lossy(&answer.body);
            let there = expected.as_array().into_iter().flatten().filter_map(Value::as_str);
            let there: Vec<&str> = there.filter(|word| text.contains(word)).collect();
            check(there.is_empty(), || format!("{there:?} is in {text}"))
        }
        "occurrences" => expected.as_object().into_iter().flatten().try_for_each(|(word, times)| {
            let found = String::from_utf8_lossy(&answer.body).matches(word.as_str()).count() as u64;
            check(times.as_u64() == Some(found), || format!("{word} is there {found} times"))
        }),
        "jwt" => jwt(expected, answer),
        "galaxy_calls" => {
            let name = came.asked.rsplit('/').next().unwrap_or_default();
            let about = format!("={name}");
            let calls = galaxy(came).filter(|seen| seen.query.ends_with(&about)).count();
            between(expected, calls, "calls of Galaxy about it")
        }
        "galaxy_requests" => expected.as_array().into_iter().flatten().try_for_each(|wanted| {
            let asked = |seen: &Seen| wanted == &format!("{}?{}", seen.path, seen.query);
            check(galaxy(came).any(asked), || format!("{wanted} was not asked of Galaxy"))
        }),
        "galaxy_rate_max_per_s" => {
            let times: Vec<_> = galaxy(came).map(|seen| seen.at).collect();
            let within = |from: &std::time::Instant| {
                let second = std::time::Duration::from_secs(1);
                times.iter().filter(|at| **at >= *from && at.duration_since(*from) < second).count() as u64
            };
            let most = times.iter().map(within).max().unwrap_or_default();
            check(Some(most) <= expected.as_u64(), || format!("Galaxy was asked {most} times in a second"))
        }
        "metrics" => telling::metrics(expected, &String::from_utf8_lossy(&answer.body)),
        "no_metric" => telling::no_metric(expected, &String::from_utf8_lossy(&answer.body)),
        "text_contains" => {
            let text = String::from_utf8_lossy(&answer.body);
            let missing = expected.as_array().into_iter().flatten().filter_map(Value::as_str);
            let missing: Vec<&str> = missing.filter(|word| !text.contains(word)).collect();
            check(missing.is_empty(), || format!("{missing:?} is not in {text}"))
        }
        "max_ms" => {
            let took = answer.took.as_millis();
            // A debug build on a shared machine takes longer, and what must not be waited for takes seconds.
            let most = u128::from(expected.as_u64().unwrap_or_default()).max(500);
            check(took <= most, || format!("it took {took} ms"))
        }
        // In a tenth of the time: the gateway's was shortened. A busy machine is late, and never early.
        "within_ms" => {
            let took = answer.took.as_millis() * 10;
            let least = u128::from(expected[0].as_u64().unwrap_or_default());
            check((least..least * 3).contains(&took), || format!("it took {took} ms"))
        }
        // What no answer came of stands as 408; a client that takes both is answered in JSON.
        "or" | "may_be_sse" => Ok(()),
        "body" if expected == "the upstream's own" => {
            let upstream = came.seen.values().find(|(seen, _)| !seen.is_empty());
            let path = upstream.map(|(seen, _)| seen[0].path.clone()).ok_or("no upstream was called")?;
            let found: Value =
                serde_json::from_slice(&answer.body).map_err(|error| format!("{error}: {}", said()))?;
            check(found["path"] == path.as_str() && found["service"].is_string(), said)
        }
        _ => Err("nothing of this name can be expected".to_owned()),
    }
}

/// What Redis keeps.
fn kept(expected: &Value, came: &Came<'_>) -> Result<(), String> {
    let (ttl, value) = came.kept.as_ref().ok_or("nothing is kept")?;
    let seconds = usize::try_from(*ttl).map_err(|_| format!("it is kept for {ttl} s"))?;
    between(&expected["ttl"], seconds, "seconds that it is kept")?;
    match expected.get("json") {
        Some(json) => matches(json, Some(value), "what is kept"),
        None => Ok(()),
    }
}

/// What the stand-in of Galaxy saw.
fn galaxy<'a>(came: &'a Came<'_>) -> impl Iterator<Item = &'a Seen> {
    came.seen.get("galaxy").into_iter().flat_map(|(seen, _)| seen)
}

/// The claims of a token in the answer, and how long it is good for.
fn jwt(expected: &Value, answer: &Answer) -> Result<(), String> {
    let body: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    let token = body[expected["field"].as_str().unwrap_or_default()].as_str().ok_or("there is no token")?;
    let claims = token.split('.').nth(1).ok_or("it is no token")?;
    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|error| error.to_string())?;
    let claims: Value = serde_json::from_slice(&claims).map_err(|error| error.to_string())?;
    matches(&expected["claims"], Some(&claims), "claims")?;
    let left = claims["exp"].as_u64().unwrap_or_default().saturating_sub(crate::support::tokens::now());
    between(&expected["exp_minus_now_s"], left as usize, "seconds that it is good for")
}

/// Each of the words, behind the one before.
fn in_order(expected: &Value, came: &Came<'_>) -> Result<(), String> {
    let (_, output) = came.stopped.as_ref().ok_or("it runs")?;
    let mut rest = output.as_str();
    for word in expected.as_array().into_iter().flatten().filter_map(Value::as_str) {
        let (_, behind) = rest
            .split_once(word)
            .ok_or_else(|| format!("{word} is not there, or not in order:\n{output}"))?;
        rest = behind;
    }
    Ok(())
}

fn each(expected: &Value, answers: &[Answer]) -> Result<(), String> {
    let expected = expected.as_object().ok_or("it is an object")?;
    for answer in answers {
        let seen = BTreeMap::new();
        holds(expected, &Came::of(std::slice::from_ref(answer), &seen))?;
    }
    Ok(())
}

fn counts(expected: &Value, answers: &[Answer]) -> Result<(), String> {
    expected.as_object().into_iter().flatten().try_for_each(|(status, expected)| {
        let count = answers.iter().filter(|answer| answer.status.as_str() == status).count();
        between(expected, count, &format!("answers of {status}"))
    })
}

fn between(expected: &Value, found: usize, what: &str) -> Result<(), String> {
    let bound = |index: usize| expected[index].as_u64().and_then(|bound| usize::try_from(bound).ok());
    let (least, most) = bound(0).zip(bound(1)).ok_or("it is [least, most]")?;
    check((least..=most).contains(&found), || format!("{found} {what}, expected {least} to {most}"))
}

fn distinct(expected: &Value, answers: &[Answer]) -> Result<(), String> {
    let name = expected.as_str().ok_or("it is a header's name")?;
    let values: BTreeSet<&[u8]> =
        answers.iter().filter_map(|answer| answer.headers.get(name)).map(|value| value.as_bytes()).collect();
    check(values.len() == answers.len(), || format!("{} of {} are distinct", values.len(), answers.len()))
}

fn p95(expected: &Value, answers: &[Answer]) -> Result<(), String> {
    let mut took: Vec<u128> = answers.iter().map(|answer| answer.took.as_millis()).collect();
    took.sort_unstable();
    let p95 = took.get(took.len() * 95 / 100).copied().ok_or("there is no answer")?;
    // As above: of a debug build beside others.
    check(p95 <= u128::from(expected.as_u64().unwrap_or_default()).max(200), || format!("{p95} ms"))
}

fn errors(expected: &Value, answers: &[Answer]) -> Result<(), String> {
    let errors = answers.iter().filter(|answer| !answer.status.is_success()).count() as u64;
    check(Some(errors) <= expected.as_u64(), || format!("{errors} of {} failed", answers.len()))
}

fn upstream(expected: &Value, came: &Came<'_>) -> Result<(), String> {
    let called = || came.seen.iter().flat_map(|(name, (seen, _))| seen.iter().map(move |seen| (name, seen)));
    if expected == "none" {
        return called().next().map_or(Ok(()), |(name, seen)| Err(format!("{name} saw {seen:?}")));
    }
    let (name, seen) = called().last().ok_or("no stand-in was called")?;
    expected.as_object().into_iter().flatten().try_for_each(|(key, expected)| match key.as_str() {
        "service" => matches_text(expected, Some(name), "service"),
        "method" => matches_text(expected, Some(&seen.method), "method"),
        "path" => matches_text(expected, Some(&seen.path), "path"),
        "query" => matches_text(expected, Some(&seen.query), "query"),
        "headers" => expected.as_object().into_iter().flatten().try_for_each(|(name, expected)| {
            matches_text(expected, seen.headers.get(&name.to_ascii_lowercase()).map(String::as_str), name)
        }),
        "body" => {
            let found = serde_json::from_slice(&seen.body).unwrap_or(Value::Null);
            matches(expected, Some(&found), "body")
        }
        _ => Err(format!("nothing of the name {key} can be expected")),
    })
}

fn calls(expected: &Value, came: &Came<'_>) -> Result<(), String> {
    expected.as_object().into_iter().flatten().try_for_each(|(name, expected)| {
        // The first of several is the one that has no number.
        let name = name.strip_suffix("#1").unwrap_or(name);
        let (seen, _) = came.seen.get(name).ok_or_else(|| format!("there is no {name}"))?;
        between(expected, seen.len(), &format!("calls of {name}"))
    })
}

/// Full jitter makes gaps random: each stays under a ceiling that doubles, here that of 25 ms at first with time for work.
fn gaps(came: &Came<'_>) -> Result<(), String> {
    let seen =
        came.seen.values().map(|(seen, _)| seen).find(|seen| seen.len() > 1).ok_or("there was no retry")?;
    for (number, pair) in seen.windows(2).enumerate() {
        let gap = pair[1].at.duration_since(pair[0].at).as_millis();
        let ceiling = (25_u128 << number) + 500;
        check(gap <= ceiling, || format!("gap {number} is {gap} ms"))?;
    }
    Ok(())
}

fn same_header(expected: &Value, came: &Came<'_>) -> Result<(), String> {
    let (ours, theirs) = expected[0].as_str().zip(expected[1].as_str()).ok_or("it is two names")?;
    let answered = last(came.answers)?.headers.get(ours).and_then(|value| value.to_str().ok());
    let seen = came.seen.values().flat_map(|(seen, _)| seen).last().ok_or("no stand-in was called")?;
    let told = seen.headers.get(&theirs.to_ascii_lowercase()).map(String::as_str);
    check(answered.is_some() && answered == told, || format!("{answered:?} is not {told:?}"))
}
