//! Where a config came from: its file, its environment, its flags. It says where each key was written, and shows what is
//! wrong there the way compilers do.

use std::{fmt, ops::Range, path::PathBuf};

use serde_json::json;

use super::{
    document::{
        Node, Origin,
        path::{self, Finder},
    },
    excerpt::{Excerpt, Lines, Span, escaped},
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

/// What a line may not have that is shown of a file that cannot be read, so that nothing is known of it.
const TELLTALES: [&str; 7] = ["authorization", "cookie", "token", "key", "secret", "password", "credential"];

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
    excerpt: Option<Excerpt>,
    mistake: Mistake,
}

impl Source {
    /// A file's text, which is not understood yet.
    pub(super) fn new(file: Option<PathBuf>, text: &str) -> Self {
        let secret = |line: &str| {
            let line = line.to_ascii_lowercase();
            // An address with credentials, whether or not it ends on this line.
            let credentials = line.split_once("://").is_some_and(|(_, rest)| rest.contains('@'));
            credentials || TELLTALES.iter().any(|telltale| line.contains(telltale))
        };
        let shown = text.split_inclusive('\n').map(|line| match secret(line) {
            true => stars(line),
            false => line.to_owned(),
        });
        Self { file, text: text.to_owned(), shown: shown.collect(), root: Node::empty() }
    }

    /// These bytes of the text, if none of them may be a secret.
    pub(super) fn shown_at(&self, bytes: &Range<usize>) -> Option<&str> {
        let text = self.text.get(bytes.clone())?;
        // Stars are one for each character.
        let before = self.text.get(..bytes.start)?.chars().count();
        let shown = self.shown.chars().skip(before).take(text.chars().count());
        shown.eq(text.chars()).then_some(text)
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

    /// The same, understood up to these bytes' end: from that line on, what a text that is not understood hides is hidden too.
    pub(super) fn understood_up_to(self, root: Node, up_to: usize) -> Self {
        let guessed = self.shown.clone();
        let understood = self.understood(root);
        let before = understood.text.get(..up_to).unwrap_or_default();
        let before = before.get(..before.rfind('\n').map_or(0, |end| end + 1)).unwrap_or_default();
        // Stars are one for each character.
        let known = before.chars().count();
        let both = understood.shown.chars().zip(guessed.chars()).enumerate();
        let shown =
            both.map(|(at, (shown, guessed))| if at >= known && guessed == '*' { guessed } else { shown });
        Self { shown: shown.collect(), ..understood }
    }

    /// Where in the file a key's value was written, such as `routes[2]` or `upstreams[0].grpc`; for a key that is not there,
    /// the nearest around it. `None` where it came from elsewhere.
    #[must_use]
    pub fn locate(&self, path: &str) -> Option<Span> {
        match self.root.find(path, false)? {
            Origin::File(bytes) => Some(Lines::of(&self.text).span(bytes.clone())),
            _ => None,
        }
    }

    /// Where a key's value came from.
    #[must_use]
    pub fn origin(&self, path: &str) -> Origin {
        self.root.get(path).map_or(Origin::Default, |node| node.origin.clone())
    }

    /// The environment variables that the config has values of, sorted.
    #[must_use]
    pub fn variables(&self) -> Vec<&str> {
        let mut variables = Vec::new();
        path::origins(&self.root, &mut |origin| {
            if let Origin::Variable(name) = origin {
                variables.push(&**name);
            }
        });
        variables.sort_unstable();
        variables.dedup();
        variables
    }

    /// Mistakes with their places, in the order of the file.
    #[must_use]
    pub fn report(&self, mistakes: &[Mistake]) -> Report {
        let (text, shown) = (Lines::of(&self.text), Lines::of(&self.shown));
        let mut finder = Finder::of(&self.root);
        let findings = mistakes.iter().map(|mistake| self.finding(mistake, &text, &shown, &mut finder));
        let mut findings: Vec<Finding> = findings.collect();
        findings.sort_by_key(|finding| finding.span.as_ref().map(|span| (span.line, span.column)));
        Report(findings)
    }

    fn finding<'s>(
        &'s self,
        mistake: &Mistake,
        text: &Lines<'s>,
        shown: &Lines<'s>,
        finder: &mut Finder<'s>,
    ) -> Finding {
        let origin = match &mistake.part {
            Part::Bytes(bytes) => Some(Origin::File(bytes.clone())),
            Part::Variable(name) => Some(Origin::Variable(name.clone())),
            Part::Written(origin) => Some(origin.clone()),
            Part::Within(part) => {
                finder.find(&mistake.path, false).cloned().map(|origin| self.within(origin, part))
            }
            part => finder.find(&mistake.path, *part == Part::Key).cloned(),
        };
        let (span, given_by) = match origin {
            Some(Origin::File(bytes)) => (Some(text.span(bytes)), None),
            Some(Origin::Variable(name) | Origin::Flag(name)) => (None, Some(name.to_string())),
            None | Some(Origin::Default) => (None, None),
        };
        Finding {
            file: self.file.as_ref().filter(|_| given_by.is_none()).map(|file| file.display().to_string()),
            excerpt: span.as_ref().map(|span| Excerpt::of(text, shown, span)),
            span,
            given_by,
            key: path::spoken(&self.root, &mistake.path),
            mistake: mistake.clone(),
        }
    }

    /// The place of a text within a value.
    fn within(&self, origin: Origin, part: &str) -> Origin {
        let Origin::File(value) = &origin else { return origin };
        let at = self.text.get(value.clone()).and_then(|text| text.find(part));
        at.map_or(origin.clone(), |at| {
            let start = value.start + at;
            Origin::File(start..start + part.len())
        })
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
                    "path": path::plain(&mistake.path),
                    "message": message,
                    "text": finding.excerpt.as_ref().map(|excerpt| &excerpt.underlined),
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
                write!(f, "{}: ", escaped(&self.key))?;
            }
            write!(f, "{}", escaped(&self.mistake.sentence()))
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.line())?;
        if let (Some(excerpt), Some(span)) = (&self.excerpt, &self.span) {
            let Excerpt { line, before, length, .. } = excerpt;
            let number = span.line.to_string();
            let margin = " ".repeat(number.len());
            // Tabs stay tabs, so that the carets stand under what they mean.
            let indent: String =
                line.chars().take(*before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            let carets = "^".repeat((*length).max(1));
            write!(f, "\n{margin} |\n{number} | {line}\n{margin} | {indent}{carets}")?;
        }
        Ok(())
    }
}
