//! What a route changes of the headers that go on, and of those that come back. Of gRPC they are the metadata.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Both ways of a route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderRules {
    /// Before a call goes to what answers it.
    pub request: HeaderChanges,
    /// Before a reply goes to its client. What the gateway itself refuses has none of it.
    pub response: HeaderChanges,
}

/// Changes of headers: what is removed first, then what is set, then what is added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderChanges {
    pub remove: Vec<HeaderName>,
    /// In place of all values that there are.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Beside the values that there are.
    pub add: Vec<(HeaderName, HeaderValue)>,
}

impl HeaderChanges {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_goes_first_and_what_is_added_stays_beside() {
        let pair = |name: &'static str, value: &'static str| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in [pair("a", "1"), pair("a", "2"), pair("b", "1"), pair("c", "1")] {
            headers.append(name, value);
        }
        HeaderChanges {
            remove: vec![HeaderName::from_static("a")],
            set: vec![pair("a", "3"), pair("b", "2")],
            add: vec![pair("b", "3"), pair("d", "1")],
        }
        .apply(&mut headers);
        let mut got: Vec<_> = headers.iter().map(|(n, v)| format!("{n}={}", v.to_str().unwrap())).collect();
        got.sort();
        assert_eq!(got, ["a=3", "b=2", "b=3", "c=1", "d=1"]);
    }
}
