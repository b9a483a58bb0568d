//! All tools of one snapshot by their names, in the order in which they are listed: gRPC methods, and those of federated servers.

use std::{collections::BTreeMap, sync::Arc};

use super::{shelf::Thing, tool::Tool};
use crate::route::{Asked, Route};

/// Tools by name.
#[derive(Debug, Default)]
pub struct Toolbox(BTreeMap<Arc<str>, Offer>);

/// One tool.
#[derive(Debug, Clone)]
pub enum Offer {
    /// A gRPC method.
    Method(Arc<Tool>),
    /// A federated server's.
    Far(Arc<Thing>),
}

impl Toolbox {
    /// Adds the tool of a method.
    ///
    /// # Errors
    /// The full name of the method that has its name already.
    pub fn add(&mut self, tool: Tool) -> Result<(), Arc<str>> {
        let name = Arc::clone(tool.name());
        self.enter(name, Offer::Method(Arc::new(tool)))
    }

    /// Adds a tool of a federated server's.
    ///
    /// # Errors
    /// What has its name already.
    pub fn add_far(&mut self, tool: Thing) -> Result<(), Arc<str>> {
        let name = Arc::clone(tool.key());
        self.enter(name, Offer::Far(Arc::new(tool)))
    }

    fn enter(&mut self, name: Arc<str>, offer: Offer) -> Result<(), Arc<str>> {
        match self.0.get(&name) {
            Some(Offer::Method(there)) => Err(Arc::clone(&there.method().full_name)),
            Some(Offer::Far(there)) => Err(format!("{}'s {}", there.server().name(), there.called()).into()),
            None => {
                self.0.insert(name, offer);
                Ok(())
            }
        }
    }

    /// The tool of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Offer> {
        self.0.get(name)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }

    /// Those behind a name, or all.
    pub(super) fn behind(&self, name: Option<&str>) -> impl Iterator<Item = (&str, &Offer)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = name.map_or(Unbounded, Excluded);
        self.0.range::<str, _>((from, Unbounded)).map(|(name, offer)| (&**name, offer))
    }

    /// True where those who know the other need not be told that anything is new.
    pub(super) fn is_told_as(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.values().zip(other.0.values()).all(|(offer, other)| offer.is_told_as(other))
    }
}

impl Offer {
    /// What `tools/list` says of it.
    pub(super) fn described(&self) -> &str {
        match self {
            Self::Method(tool) => tool.described(),
            Self::Far(thing) => thing.described(),
        }
    }

    /// Its route for such a request; of several by weight, the first.
    pub(super) fn route(&self, asked: &Asked<'_>) -> Option<&Arc<Route>> {
        match self {
            Self::Method(tool) => tool.routes().choose(asked).map(|routes| routes.first()),
            Self::Far(thing) => Some(thing.route()),
        }
    }

    /// The same; of several by weight, one.
    pub(super) fn pick(&self, asked: &Asked<'_>) -> Option<Arc<Route>> {
        match self {
            Self::Method(tool) => tool.routes().choose(asked).map(|routes| Arc::clone(routes.pick())),
            Self::Far(thing) => Some(Arc::clone(thing.route())),
        }
    }

    /// What rules call it: `package.Service/Method`, or `mcp.SERVER/TOOL`.
    pub(super) fn in_rules(&self) -> &str {
        match self {
            Self::Method(tool) => tool.method().path.as_str().trim_start_matches('/'),
            Self::Far(thing) => &thing.route().name,
        }
    }

    /// True where everyone may call it, whatever the request.
    pub(super) fn is_public(&self) -> bool {
        let public = |route: &Route| route.terms.access.is_public();
        match self {
            Self::Method(tool) => {
                tool.routes().when().is_empty() && tool.routes().first().is_none_or(|route| public(route))
            }
            Self::Far(thing) => public(thing.route()),
        }
    }

    fn is_told_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Method(tool), Self::Method(other)) => tool.is_told_as(other),
            (Self::Far(thing), Self::Far(other)) => thing.is_told_as(other),
            (Self::Method(_) | Self::Far(_), _) => false,
        }
    }
}
