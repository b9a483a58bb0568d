//! The protobuf conformance runner over both directions of the converter, with its recommended tests enforced.
//! The testee is the example `conformance`; `tests/conformance/failures.txt` lists what may fail, and why.

use std::process::Command;
use std::time::Duration;

use crate::support::process::{Failure, Program};
use crate::support::tools;

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn the_converter_conforms() -> Result<(), Failure> {
    let Some(runner) = tools::needs("conformance-test-runner") else { return Ok(()) };
    let lists = tempfile::tempdir().expect("a directory for the runner's lists");
    let testee = tools::example("conformance")?;
    let mut command = Command::new(runner);
    command
        .arg("--enforce_recommended")
        .arg("--failure_list")
        .arg(tools::package().join("tests/conformance/failures.txt"))
        .arg("--output_dir")
        .arg(lists.path())
        .arg(testee);
    let output = Program::start("the conformance runner", &mut command)?.finish(LIMIT)?;
    let results: Vec<_> = output.lines().filter(|line| line.contains("successes")).collect();
    // The binary and JSON suite, then the text format suite, which the testee skips.
    assert_eq!(results.len(), 2, "{output}");
    let successes = count(results[0], "successes");
    assert!(successes > 2_000, "most tests must have run, not been skipped: {}", results[0]);
    for line in results {
        assert_eq!(count(line, "unexpected"), 0, "{line}");
    }
    Ok(())
}

/// Every entry of the list of failures says why on the line, or on the comment above its group.
#[test]
fn each_failure_has_a_reason() {
    let path = tools::package().join("tests/conformance/failures.txt");
    let text = std::fs::read_to_string(path).expect("the list of failures");
    let mut reason = false;
    for line in text.lines().map(str::trim) {
        match line.split_once('#') {
            Some((_, comment)) => reason |= !comment.trim().is_empty(),
            None if line.is_empty() => reason = false,
            None => {}
        }
        let entry = line.split('#').next().unwrap_or_default().trim();
        assert!(entry.is_empty() || reason, "{entry} has no reason");
    }
}

/// The number before a word in the runner's line of results.
fn count(line: &str, word: &str) -> usize {
    let (before, _) = line.split_once(&format!(" {word}")).unwrap_or_default();
    before.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(usize::MAX)
}
