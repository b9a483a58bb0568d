//! Where a config came from: its file, its environment, its flags. It says where each key was written, and shows what is
//! wrong there the way compilers do.

use std::{fmt, ops::Range, path::PathBuf};

use serde_json::json;

use super::{
    document::{Node, Origin, path},
    mistake::{Mistake, Part, Severity},
    shape,
};

/// The sources of one config.
#[derive(Clone)]
pub struct Source {
    /// The config file, if there is one.
    pub file: Option<PathBuf>,
    text: String,
    /// The text with stars in the place of what may be a secret: all that is ever shown.
    shown: String,
    pub(super) root: Node,
}

/// The most characters of a line that are shown, and how many of them before what is underlined.
const MOST_SHOWN: usize = 160;
const SHOWN_BEFORE: usize = 60;

/// What a line may not have that is shown of a file that cannot be read, so that nothing is known of it.
const TELLTALES: [&str; 7] = ["authorization", "cookie", "token", "key", "secret", "password", "credential"];

/// A place in the config file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub bytes: Range<usize>,
    /// From 1 on.
    pub line: usize,
    /// From 1 on, in characters.
    pub column: usize,
}

/// Mistakes with the places where they are: what a person, an editor or a program is shown.
#[derive(Debug, Clone, Default)]
pub struct Report(Vec<Finding>);

/// One mistake with its place.
#[derive(Debug, Clone)]
struct Finding {
    file: Option<String>,
    span: Option<Span>,
    /// The variable or the flag it came from.
    given_by: Option<String>,
    /// As a person would say it.
    key: String,
    /// The line it is in, with stars in the place of secrets.
    shown: Option<String>,
    /// How long it is, in characters.
    length: usize,
    mistake: Mistake,
}

impl Source {
    /// A file's text, which is not understood yet.
    pub(super) fn new(file: Option<PathBuf>, text: &str) -> Self {
        let secret = |line: &str| {
            let line = line.to_ascii_lowercase();
            TELLTALES.iter().any(|telltale| line.contains(telltale))
        };
        let shown = text.split_inclusive('\n').map(|line| match secret(line) {
            true => stars(line),
            false => line.to_owned(),
        });
        Self { file, text: text.to_owned(), shown: shown.collect(), root: Node::empty() }
    }

    /// The same, understood: what may be secret of it is known.
    pub(super) fn understood(self, root: Node) -> Self {
        let mut shown = String::with_capacity(self.text.len());
        let mut at = 0;
        let mut secrets = shape::secrets(&root);
        secrets.sort_by_key(|secret| secret.start);
        for secret in secrets {
            let (open, closed) = (self.text.get(at..secret.start), self.text.get(secret.clone()));
            // An alias shows the same bytes twice.
            if let (Some(open), Some(closed)) = (open, closed) {
                shown.push_str(open);
                shown.push_str(&stars(closed));
                at = secret.end;
            }
        }
        shown.push_str(self.text.get(at..).unwrap_or_default());
        Self { shown, root, ..self }
    }

    /// Where in the file a key's value was written, such as `routes[2]` or `upstreams[0].grpc`; for a key that is not there,
    /// the nearest around it. `None` where it came from elsewhere.
    #[must_use]
    pub fn locate(&self, path: &str) -> Option<Span> {
        match self.root.find(path, false)? {
            Origin::File(bytes) => Some(self.span(bytes.clone())),
            _ => None,
        }
    }

    /// Where a key's value came from.
    #[must_use]
    pub fn origin(&self, path: &str) -> Origin {
        self.root.get(path).map_or(Origin::Default, |node| node.origin.clone())
    }

    /// Mistakes with their places, in the order of the file.
    #[must_use]
    pub fn report(&self, mistakes: &[Mistake]) -> Report {
        let mut findings: Vec<Finding> = mistakes.iter().map(|mistake| self.finding(mistake)).collect();
        findings.sort_by_key(|finding| finding.span.as_ref().map(|span| (span.line, span.column)));
        Report(findings)
    }

    fn finding(&self, mistake: &Mistake) -> Finding {
        let origin = match &mistake.part {
            Part::Bytes(bytes) => Some(Origin::File(bytes.clone())),
            Part::Variable(name) => Some(Origin::Variable(name.clone())),
            part => self.root.find(&mistake.path, *part == Part::Key).cloned(),
        };
        let (span, given_by) = match origin {
            Some(Origin::File(bytes)) => (Some(self.span(bytes)), None),
            Some(Origin::Variable(name) | Origin::Flag(name)) => (None, Some(name.to_string())),
            None | Some(Origin::Default) => (None, None),
        };
        Finding {
            file: self.file.as_ref().filter(|_| given_by.is_none()).map(|file| file.display().to_string()),
            shown: span.as_ref().and_then(|span| self.shown.lines().nth(span.line - 1)).map(str::to_owned),
            length: span
                .as_ref()
                .and_then(|span| self.text.get(span.bytes.clone()))
                .map_or(0, |text| text.chars().count()),
            span,
            given_by,
            key: path::spoken(&self.root, &mistake.path),
            mistake: mistake.clone(),
        }
    }

    fn span(&self, bytes: Range<usize>) -> Span {
        let before = self.text.get(..bytes.start).unwrap_or(&self.text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Span {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            bytes,
        }
    }
}

impl fmt::Debug for Source {
    /// Neither the text nor the tree: there may be secrets in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("file", &self.file).finish_non_exhaustive()
    }
}

impl Report {
    /// True if nothing is wrong, not even a warning.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many errors and how many warnings there are.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        let errors = self.0.iter().filter(|finding| finding.mistake.severity == Severity::Error).count();
        (errors, self.0.len() - errors)
    }

    /// Each error in a line, `FILE:LINE:COLUMN: KEY: MESSAGE`, behind the key as a person would say it.
    #[must_use]
    pub fn lines(&self) -> Vec<(String, String)> {
        let errors = self.0.iter().filter(|finding| finding.mistake.severity == Severity::Error);
        errors.map(|finding| (finding.key.clone(), finding.line().to_string())).collect()
    }

    /// A list of `{file, line, column, key, message, text, suggestion, severity}`, with null for what is not known.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        self.0
            .iter()
            .map(|finding| {
                let mistake = &finding.mistake;
                let message = match &finding.given_by {
                    Some(name) => format!("{name}: {}", mistake.message),
                    None => mistake.message.clone(),
                };
                json!({
                    "file": finding.file,
                    "line": finding.span.as_ref().map(|span| span.line),
                    "column": finding.span.as_ref().map(|span| span.column),
                    "key": mistake.path,
                    "message": message,
                    "text": finding.underlined().map(|(text, _)| text),
                    "suggestion": mistake.suggestion,
                    "severity": match mistake.severity {
                        Severity::Error => "error",
                        Severity::Warning => "warning",
                    },
                })
            })
            .collect()
    }
}

impl Finding {
    /// What is underlined, and how many characters stand before it. What goes on in further lines is underlined to the end
    /// of its first.
    fn underlined(&self) -> Option<(String, usize)> {
        let (line, span) = (self.shown.as_deref()?, self.span.as_ref()?);
        let before = span.column - 1;
        let text: String = line.chars().skip(before).take(self.length).collect();
        Some((text.trim_end().to_owned(), before))
    }
}

/// What is shown of a line that is too long for a terminal: around what is underlined. The line, how many characters stand
/// before what is underlined, and how long that is.
fn window(line: &str, before: usize, length: usize) -> (String, usize, usize) {
    let whole = line.chars().count();
    if whole <= MOST_SHOWN {
        return (line.to_owned(), before, length);
    }
    let from = before.saturating_sub(SHOWN_BEFORE);
    let to = (from + MOST_SHOWN).min(whole);
    let open = if from > 0 { "…" } else { "" };
    let close = if to < whole { "…" } else { "" };
    let middle: String = line.chars().skip(from).take(to - from).collect();
    let before = before - from + open.chars().count();
    let shown = open.chars().count() + to - from;
    (format!("{open}{middle}{close}"), before, length.min(shown.saturating_sub(before)))
}

/// As many stars as characters; line ends stay.
fn stars(text: &str) -> String {
    text.chars().map(|c| if matches!(c, '\n' | '\r') { c } else { '*' }).collect()
}

impl fmt::Display for Report {
    /// Each as `FILE:LINE:COLUMN: KEY: MESSAGE`, with the line and what of it is meant.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, finding) in self.0.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            finding.fmt(f)?;
        }
        Ok(())
    }
}

impl Finding {
    fn line(&self) -> impl fmt::Display {
        fmt::from_fn(|f| {
            match (&self.file, &self.span, &self.given_by) {
                (_, _, Some(name)) => write!(f, "{name}: ")?,
                (Some(file), Some(span), None) => write!(f, "{file}:{}:{}: ", span.line, span.column)?,
                (Some(file), None, None) => write!(f, "{file}: ")?,
                (None, ..) => {}
            }
            if self.mistake.severity == Severity::Warning {
                f.write_str("warning: ")?;
            }
            if !self.key.is_empty() {
                write!(f, "{}: ", self.key)?;
            }
            f.write_str(&self.mistake.sentence())
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.line())?;
        if let (Some(line), Some(span), Some((text, before))) = (&self.shown, &self.span, self.underlined()) {
            let (line, before, length) = window(line, before, text.chars().count());
            let number = span.line.to_string();
            let margin = " ".repeat(number.len());
            // Tabs stay tabs, so that the carets stand under what they mean.
            let indent: String =
                line.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            let carets = "^".repeat(length.max(1));
            write!(f, "\n{margin} |\n{number} | {line}\n{margin} | {indent}{carets}")?;
        }
        Ok(())
    }
}
