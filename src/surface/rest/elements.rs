//! Splits a client's stream of JSON messages into its elements as the chunks come, with no more memory than one element.
//! What stands inside an element is not checked here but by the codec that reads it.
//!
//! ```text
//! array = ws "[" ws [ element *( "," element ) ] "]" ws      RFC 8259; media type application/json
//! lines = *( element / blank ) separated by LF               one JSON text a line; application/x-ndjson, application/jsonl
//! ```

use std::fmt;

use bytes::Bytes;

/// How the elements stand in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One JSON array.
    Array,
    /// One JSON text a line; blank lines are skipped.
    Lines,
    /// An array if the first character is `[`, else lines: for a body that does not say what it is.
    Either,
}

/// An incremental splitter: [`Elements::feed`] a chunk, take what [`Elements::take_next`] has until it has none, and so on;
/// [`Elements::end`] after the last chunk.
#[derive(Debug)]
pub struct Elements {
    layout: Layout,
    state: State,
    /// The longest element in bytes.
    limit: usize,
    /// The number of the element that comes or is being read, counted from 1.
    number: usize,
    /// What has come and is not yet looked at.
    chunk: Bytes,
    /// The first part of an element that is spread over several chunks.
    partial: Vec<u8>,
    depth: usize,
    in_string: bool,
    escaped: bool,
    ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing but white space has come.
    Start,
    /// Behind `[`: an element or `]`.
    First,
    /// Behind a comma: an element.
    Next,
    /// Inside an element (or a line).
    Element,
    /// Behind the array's `]`: nothing but white space.
    Done,
}

/// Why a body is no stream of elements. Elements are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElementError {
    /// The body is to be an array and begins with another character.
    NotAnArray,
    /// Two commas, or a comma before `]`.
    Missing { number: usize },
    /// The body ended inside the array.
    Unclosed { number: usize },
    /// Something follows the array.
    TrailingGarbage { elements: usize },
    /// An element longer than the limit (bytes).
    TooLarge { number: usize, limit: usize },
}

impl Elements {
    /// A splitter for elements of at most `limit` bytes.
    #[must_use]
    pub fn new(layout: Layout, limit: usize) -> Self {
        let state = if layout == Layout::Lines { State::Element } else { State::Start };
        Self {
            layout,
            state,
            limit,
            number: 1,
            chunk: Bytes::new(),
            partial: Vec::new(),
            depth: 0,
            in_string: false,
            escaped: false,
            ended: false,
        }
    }

    /// Gives the next chunk of the body; only when [`Elements::take_next`] has answered `None`.
    pub fn feed(&mut self, chunk: Bytes) {
        debug_assert!(self.chunk.is_empty() && !self.ended, "fed before the last chunk was used up");
        self.chunk = chunk;
    }

    /// Says that the body has ended.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// True after [`Elements::end`].
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// The number of the element that was taken last, counted from 1.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.number - 1
    }

    /// The next element's text; `None` when more of the body is needed, or, after [`Elements::end`], when all are taken.
    ///
    /// # Errors
    /// The body is not what its layout promises; nothing can be taken after that.
    pub fn take_next(&mut self) -> Result<Option<Bytes>, ElementError> {
        loop {
            if self.layout == Layout::Lines {
                match self.line()? {
                    Some(line) if line.iter().all(u8::is_ascii_whitespace) => continue,
                    Some(line) => return self.count(line),
                    None => return Ok(None),
                }
            }
            if self.state == State::Element {
                return match self.element()? {
                    Some(element) => self.count(element),
                    None if self.ended => Err(ElementError::Unclosed { number: self.number }),
                    None => Ok(None),
                };
            }
            let Some(at) = self.chunk.iter().position(|byte| !is_space(*byte)) else {
                self.chunk = Bytes::new();
                return match self.state {
                    State::First | State::Next if self.ended => {
                        Err(ElementError::Unclosed { number: self.number })
                    }
                    // A body without a single character is a stream without elements.
                    _ => Ok(None),
                };
            };
            let byte = self.chunk.get(at).copied().unwrap_or_default();
            match (self.state, byte) {
                (State::Start, b'[') => {
                    self.layout = Layout::Array;
                    self.state = State::First;
                }
                (State::Start, _) if self.layout == Layout::Either => {
                    self.layout = Layout::Lines;
                    self.state = State::Element;
                    self.chunk = self.chunk.split_off(at);
                    continue;
                }
                (State::Start, _) => return Err(ElementError::NotAnArray),
                (State::First, b']') => self.state = State::Done,
                (State::First | State::Next, b',' | b']') => {
                    return Err(ElementError::Missing { number: self.number });
                }
                (State::First | State::Next, _) => {
                    self.state = State::Element;
                    self.chunk = self.chunk.split_off(at);
                    continue;
                }
                (State::Done | State::Element, _) => {
                    return Err(ElementError::TrailingGarbage { elements: self.taken() });
                }
            }
            self.chunk = self.chunk.split_off(at + 1);
        }
    }

    fn count(&mut self, element: Bytes) -> Result<Option<Bytes>, ElementError> {
        self.number += 1;
        Ok(Some(element))
    }

    /// The array's current element, once the comma or bracket behind it has come.
    fn element(&mut self) -> Result<Option<Bytes>, ElementError> {
        let mut end = None;
        for (at, byte) in self.chunk.iter().enumerate() {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b',' | b']' if self.depth == 0 => {
                    self.state = if *byte == b',' { State::Next } else { State::Done };
                    end = Some(at);
                    break;
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        self.cut(end)
    }

    fn line(&mut self) -> Result<Option<Bytes>, ElementError> {
        match memchr::memchr(b'\n', &self.chunk) {
            Some(end) => self.cut(Some(end)),
            None if self.ended && !(self.chunk.is_empty() && self.partial.is_empty()) => {
                self.partial.extend_from_slice(&std::mem::take(&mut self.chunk));
                Ok(Some(std::mem::take(&mut self.partial).into()))
            }
            None => self.cut(None),
        }
    }

    /// Takes the chunk up to `end` with what came before it, or keeps it all for later.
    fn cut(&mut self, end: Option<usize>) -> Result<Option<Bytes>, ElementError> {
        if self.partial.len() + end.unwrap_or(self.chunk.len()) > self.limit {
            return Err(ElementError::TooLarge { number: self.number, limit: self.limit });
        }
        let Some(end) = end else {
            self.partial.extend_from_slice(&std::mem::take(&mut self.chunk));
            return Ok(None);
        };
        let head = self.chunk.split_to(end);
        self.chunk = self.chunk.split_off(1);
        if self.partial.is_empty() {
            return Ok(Some(head));
        }
        self.partial.extend_from_slice(&head);
        Ok(Some(std::mem::take(&mut self.partial).into()))
    }
}

/// JSON's white space.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

impl fmt::Display for ElementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnArray => f.write_str(
                "the body of a streaming request is a JSON array of messages, or one message a line as application/x-ndjson",
            ),
            Self::Missing { number } => write!(f, "element {number}: a value is missing"),
            Self::Unclosed { number } => write!(f, "element {number}: the body ends before the array does"),
            Self::TrailingGarbage { elements } => {
                write!(f, "the array of {elements} elements is followed by something else")
            }
            Self::TooLarge { number, limit } => {
                write!(f, "element {number} is over the limit of {limit} bytes")
            }
        }
    }
}

impl std::error::Error for ElementError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Splits `chunks`; the error is the last entry.
    fn split<'a>(layout: Layout, limit: usize, chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut elements = Elements::new(layout, limit);
        let mut out = Vec::new();
        let mut chunks = chunks.into_iter();
        loop {
            match elements.take_next() {
                Ok(Some(element)) => out.push(String::from_utf8_lossy(element.trim_ascii()).into_owned()),
                Ok(None) if elements.ended => return out,
                Ok(None) => match chunks.next() {
                    Some(chunk) => elements.feed(Bytes::copy_from_slice(chunk)),
                    None => elements.end(),
                },
                Err(error) => {
                    out.push(error.to_string());
                    return out;
                }
            }
        }
    }

    /// A chunk at every byte, one chunk, and every cut into two must all give the same.
    fn check(layout: Layout, body: &str, want: &[&str]) {
        let bytes = body.as_bytes();
        assert_eq!(split(layout, 40, [bytes]), want, "{body}");
        assert_eq!(split(layout, 40, bytes.chunks(1)), want, "{body} by bytes");
        for cut in 0..bytes.len() {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(split(layout, 40, [head, tail]), want, "{body} cut at {cut}");
        }
    }

    #[test]
    fn arrays() {
        let array = |body, want: &[&str]| check(Layout::Array, body, want);
        array("[]", &[]);
        array(" [ ] \n", &[]);
        array("", &[]);
        array("[{}]", &["{}"]);
        array(
            r#"[{"a":[1,2]},{"b":"],}"}, 3 ,"x,y",[[]]]"#,
            &[r#"{"a":[1,2]}"#, r#"{"b":"],}"}"#, "3", r#""x,y""#, "[[]]"],
        );
        array(r#"["\"],[\\",{"k\\":"\\\""}]"#, &[r#""\"],[\\""#, r#"{"k\\":"\\\""}"#]);
        array(
            "{}",
            &[
                "the body of a streaming request is a JSON array of messages, or one message a line as application/x-ndjson",
            ],
        );
        array("[,{}]", &["element 1: a value is missing"]);
        array("[{},]", &["{}", "element 2: a value is missing"]);
        array("[{},,{}]", &["{}", "element 2: a value is missing"]);
        array("[", &["element 1: the body ends before the array does"]);
        array("[{},", &["{}", "element 2: the body ends before the array does"]);
        array("[{},{\"a\":", &["{}", "element 2: the body ends before the array does"]);
        array("[{}", &["element 1: the body ends before the array does"]);
        array("[{}] {}", &["{}", "the array of 1 elements is followed by something else"]);
        array("[]]", &["the array of 0 elements is followed by something else"]);
        // What is not JSON inside an element is the codec's to say.
        array("[{]},}, 2]", &["{]}", "}", "2"]);
    }

    #[test]
    fn lines() {
        let lines = |body, want: &[&str]| check(Layout::Lines, body, want);
        lines("", &[]);
        lines("\n\r\n  \n", &[]);
        lines("{}", &["{}"]);
        lines("{}\n", &["{}"]);
        lines("{\"a\":1}\r\n\n[1]\n \"x\" ", &["{\"a\":1}", "[1]", "\"x\""]);
        check(Layout::Either, " \n[{},2]", &["{}", "2"]);
        check(Layout::Either, "\n{}\n[2]", &["{}", "[2]"]);
    }

    #[test]
    fn an_element_over_the_limit_is_refused_before_it_is_whole() {
        let long = format!("[{{}},\"{}", "x".repeat(60));
        let want = ["{}", "element 2 is over the limit of 40 bytes"];
        assert_eq!(split(Layout::Array, 40, [long.as_bytes()]), want);
        assert_eq!(split(Layout::Array, 40, long.as_bytes().chunks(1)), want);
        let long = format!("{{}}\n\"{}", "x".repeat(60));
        assert_eq!(split(Layout::Lines, 40, [long.as_bytes()]), want);
        assert_eq!(split(Layout::Lines, 40, long.as_bytes().chunks(1)), want);
    }

    proptest::proptest! {
        /// A chunk at every byte gives what one chunk gives, whatever is sent.
        #[test]
        fn cuts_change_nothing(body in r#"[\[\]{},"\\ \n1a]{0,60}"#, size in 1..20_usize) {
            for layout in [Layout::Array, Layout::Lines, Layout::Either] {
                let whole = split(layout, 40, [body.as_bytes()]);
                proptest::prop_assert_eq!(&split(layout, 40, body.as_bytes().chunks(1)), &whole);
                proptest::prop_assert_eq!(&split(layout, 40, body.as_bytes().chunks(size)), &whole);
            }
        }

        /// What is a JSON array is split as JSON says.
        #[test]
        fn json_is_split_as_json(texts in proptest::collection::vec(r#"[\[\]{},"\\ a]{0,12}"#, 0..6)) {
            let value = serde_json::json!(texts);
            let want: Vec<String> = texts.iter().map(|text| serde_json::json!(text).to_string()).collect();
            proptest::prop_assert_eq!(split(Layout::Array, 400, [value.to_string().as_bytes()]), want);
        }
    }
}
