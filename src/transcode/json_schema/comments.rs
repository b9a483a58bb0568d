//! The comments of proto files, from their source info. Descriptors that come without it (most upstreams' reflection) have
//! none; that is no error.

use std::collections::HashMap;

use prost_reflect::FileDescriptor;

/// Comments by file and place, read when a file is first asked about.
#[derive(Debug, Default)]
pub struct Comments {
    files: HashMap<String, HashMap<Vec<i32>, String>>,
}

impl Comments {
    /// The comment of what stands at `path` (see `google.protobuf.SourceCodeInfo.Location`); empty without one.
    pub fn of(&mut self, file: &FileDescriptor, path: &[i32]) -> String {
        if !self.files.contains_key(file.name()) {
            self.files.insert(file.name().to_owned(), read(file));
        }
        self.files.get(file.name()).and_then(|places| places.get(path)).cloned().unwrap_or_default()
    }
}

fn read(file: &FileDescriptor) -> HashMap<Vec<i32>, String> {
    let Some(info) = &file.file_descriptor_proto().source_code_info else { return HashMap::new() };
    let commented = info.location.iter().filter_map(|place| {
        let text = place.leading_comments.as_deref().or(place.trailing_comments.as_deref())?;
        Some((place.path.clone(), clean(text)))
    });
    commented.collect()
}

/// A comment as it is meant: without the space behind `//`, and without what is for linters alone (`(-- … --)`).
fn clean(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some((before, inside)) = rest.split_once("(--") {
        kept.push_str(before);
        rest = inside.split_once("--)").map_or("", |(_, after)| after);
    }
    kept.push_str(rest);
    let lines = kept.lines().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end());
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// The first sentence of a comment, if the comment has more than one; the whole comment else.
#[must_use]
pub fn first_sentence(text: &str) -> &str {
    let paragraph = text.split("\n\n").next().unwrap_or(text);
    let end = paragraph.match_indices('.').find(|(at, _)| {
        let after = paragraph.get(at + 1..).unwrap_or_default();
        after.is_empty() || after.starts_with(char::is_whitespace)
    });
    end.and_then(|(at, _)| paragraph.get(..=at)).unwrap_or(paragraph)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_people_is_kept() {
        let check = |text: &str, want: &str| assert_eq!(clean(text), want);
        check(" One line.\n", "One line.");
        check(" One\n   indented\n", "One\n  indented");
        check(" Said. (-- api-linter: off\n     aip.dev/not-precedent: why --)\n More.\n", "Said.\nMore.");
        check(" Open (-- never closed", "Open");
        check("", "");
    }

    #[test]
    fn first_sentences() {
        let check = |text: &str, want: &str| assert_eq!(first_sentence(text), want);
        check("Answers the book.", "Answers the book.");
        check("Answers. And more.", "Answers.");
        check("Of v1.2 and on.\nMore", "Of v1.2 and on.");
        check("No end", "No end");
        check("A paragraph\n\nAnother.", "A paragraph");
    }
}
