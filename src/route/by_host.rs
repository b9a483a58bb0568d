//! Values by host: a request's own host first, then the longest `*.` that it is below, then what is for any. How many hosts
//! there are costs a request nothing but a look-up for each part of its own.

use std::{borrow::Cow, collections::HashMap};

use super::conditions::{Asked, Host};

/// A value for any host, and one for each of some.
#[derive(Debug, Clone, Default)]
pub(super) struct ByHost<T> {
    pub(super) any: T,
    exact: HashMap<Box<str>, usize>,
    below: HashMap<Box<str>, usize>,
    /// Those of `exact` and `below`.
    named: Vec<(Host, T)>,
}

impl<T> ByHost<T> {
    pub(super) fn new(any: T) -> Self {
        Self { any, exact: HashMap::new(), below: HashMap::new(), named: Vec::new() }
    }

    /// The value of a host; made where it has none yet.
    pub(super) fn at(&mut self, host: &Host, make: impl FnOnce() -> T) -> &mut T {
        let new = self.named.len();
        let at = match host {
            Host::Exact(name) => *self.exact.entry(name.clone()).or_insert(new),
            Host::Below(name) => *self.below.entry(name.clone()).or_insert(new),
        };
        if at == new {
            self.named.push((host.clone(), make()));
        }
        self.named.get_mut(at).map_or(&mut self.any, |(_, value)| value)
    }

    /// Those that are for a request, of the most exact host first.
    pub(super) fn of(&self, asked: &Asked<'_>) -> impl Iterator<Item = &T> {
        let host = if self.named.is_empty() { None } else { asked.host().map(lower) };
        let own = host.as_deref().and_then(|host| self.exact.get(host)).copied();
        let wild = host.filter(|_| !self.below.is_empty());
        let below = wild.into_iter().flat_map(move |host| {
            let dots: Vec<usize> = memchr::memchr_iter(b'.', host.as_bytes()).collect();
            dots.into_iter().filter_map(move |dot| self.below.get(host.get(dot + 1..)?).copied())
        });
        let named = own.into_iter().chain(below);
        named.filter_map(|at| self.named.get(at).map(|(_, value)| value)).chain([&self.any])
    }

    /// All of them, that for any host first.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        std::iter::once(&self.any).chain(self.named.iter().map(|(_, value)| value))
    }

    /// Those of hosts.
    pub(super) fn named(&self) -> impl Iterator<Item = &(Host, T)> {
        self.named.iter()
    }
}

fn lower(host: &str) -> Cow<'_, str> {
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}
