//! `propylon audit`: what of a config would help an attacker, graded, each finding with its reason and its remedy.

mod accounts;
mod callers;
mod findings;
mod mcp;
mod mcp_servers;
mod tls;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};
use serde::Serialize;

use self::findings::findings;
use super::{Failure, paint::Paint, say, serve};
use crate::config::{Sources, colours};

#[derive(Debug, Args)]
pub(super) struct Audit {
    /// The config file; the embedded defaults without
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print grade and findings as JSON
    #[arg(long)]
    json: bool,
    /// Exit with 1 where a finding is as grave as this, or graver
    #[arg(long, value_name = "SEVERITY", default_value = "high")]
    fail_on: Severity,
}

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Severity {
    /// What is worth a thought.
    Low,
    /// Helps an attacker who has something else.
    Medium,
    /// Opens a door to who knows where it is.
    High,
    /// Opens a door to everyone.
    Critical,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    severity: Severity,
    /// The key that it is about.
    key: String,
    /// What is wrong, and why it matters.
    reason: String,
    /// What to do.
    remedy: String,
}

/// A config's review.
#[derive(Debug, Serialize)]
struct Review {
    /// A: nothing found; B: low; C: medium; D: high; F: critical.
    grade: char,
    /// The gravest first.
    findings: Vec<Finding>,
}

impl Review {
    fn of(mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let grade = match findings.first().map(|finding| finding.severity) {
            None => 'A',
            Some(Severity::Low) => 'B',
            Some(Severity::Medium) => 'C',
            Some(Severity::High) => 'D',
            Some(Severity::Critical) => 'F',
        };
        Self { grade, findings }
    }
}

pub(super) fn run(arguments: &Audit) -> Result<ExitCode, Failure> {
    let (config, _) = serve::load(&Sources::of_process(arguments.file.as_deref()))?;
    let mut found = findings(&config);
    found.extend(arguments.file.as_deref().and_then(findings::of_file));
    let review = Review::of(found);
    if arguments.json {
        say(&serde_json::to_string_pretty(&review).map_err(Failure::system)?);
    } else {
        say(drawn(&review, Paint::new(colours())).trim_end());
    }
    let grave = review.findings.iter().any(|finding| finding.severity >= arguments.fail_on);
    Ok(if grave { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn drawn(review: &Review, paint: Paint) -> String {
    let mut out = String::new();
    for finding in &review.findings {
        let severity = format!("{:?}", finding.severity).to_lowercase();
        out.push_str(&format!(
            "{}  {}\n  {}\n  remedy: {}\n\n",
            paint.bold(&severity),
            paint.cyan(&finding.key),
            finding.reason,
            finding.remedy
        ));
    }
    let counted = |severity| review.findings.iter().filter(|finding| finding.severity == severity).count();
    let words = match review.findings.len() {
        0 => "nothing found".to_owned(),
        _ => format!(
            "{} critical, {} high, {} medium, {} low",
            counted(Severity::Critical),
            counted(Severity::High),
            counted(Severity::Medium),
            counted(Severity::Low)
        ),
    };
    out.push_str(&format!("grade {}: {words}\n", paint.bold(&review.grade.to_string())));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_finding_makes_the_grade() {
        let finding = |severity| Finding {
            severity,
            key: "a.b".to_owned(),
            reason: "why".to_owned(),
            remedy: "what to do".to_owned(),
        };
        for (severities, want) in [
            (vec![], 'A'),
            (vec![Severity::Low], 'B'),
            (vec![Severity::Low, Severity::Medium], 'C'),
            (vec![Severity::High, Severity::Low], 'D'),
            (vec![Severity::Low, Severity::Critical, Severity::High], 'F'),
        ] {
            let review = Review::of(severities.into_iter().map(finding).collect());
            assert_eq!(review.grade, want);
            assert!(review.findings.is_sorted_by(|a, b| a.severity >= b.severity));
        }
        let review = Review::of(vec![finding(Severity::High)]);
        let words = drawn(&review, Paint::new(false));
        assert_eq!(
            words,
            "high  a.b\n  why\n  remedy: what to do\n\ngrade D: 0 critical, 1 high, 0 medium, 0 low\n"
        );
    }
}
