//! What federated servers have: prompts, resources and templates, under names that tell whose they are; and where each question
//! about one of them goes.
//!
//! ```text
//! name = [ PREFIX "__" ] NAME          of tools and prompts
//! uri  = [ PREFIX "+" ] URI            of resources and templates
//! ```

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    federation::{Item, Kind, Listing, Object, Server, raw},
    route::Route,
};

/// One federated server, as one snapshot shows it.
#[derive(Debug)]
pub struct Stand {
    pub server: Arc<Server>,
    /// What its names begin with; empty: they are as it gives them.
    pub prefix: Arc<str>,
    /// Nothing is listed while it is away.
    pub closed: bool,
    /// What it lists, of what is shown of it; `None` while it is not known.
    pub listing: Option<Arc<Listing>>,
    /// On what terms its prompts are given, and its resources.
    pub prompts: Option<Arc<Route>>,
    pub resources: Option<Arc<Route>>,
}

/// One tool, prompt, resource or template of a server's.
#[derive(Debug)]
pub struct Thing {
    key: Arc<str>,
    described: String,
    stand: Arc<Stand>,
    /// What its server calls it.
    called: String,
    route: Arc<Route>,
}

impl Thing {
    /// A thing under this key, on these terms.
    #[must_use]
    pub fn new(key: &str, kind: Kind, item: &Item, stand: &Arc<Stand>, route: Arc<Route>) -> Self {
        let mut said = item.said.clone();
        match kind {
            Kind::Tools | Kind::Prompts => said.set("name", raw(key)),
            Kind::Resources | Kind::Templates => {
                let member = if kind == Kind::Resources { "uri" } else { "uriTemplate" };
                said.set(member, raw(key));
                if let Some(name) = item.said.text("name") {
                    said.set("name", raw(&stand.named(&name)));
                }
            }
        }
        let (stand, called) = (Arc::clone(stand), item.key.clone());
        Self { key: key.into(), described: said.written(), stand, called, route }
    }

    #[must_use]
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }

    #[must_use]
    pub fn server(&self) -> &Arc<Server> {
        &self.stand.server
    }

    #[must_use]
    pub fn called(&self) -> &str {
        &self.called
    }

    pub(super) fn described(&self) -> &str {
        &self.described
    }

    pub(super) fn route(&self) -> &Arc<Route> {
        &self.route
    }

    pub(super) fn stand(&self) -> &Arc<Stand> {
        &self.stand
    }

    pub(super) fn is_told_as(&self, other: &Self) -> bool {
        self.key == other.key
            && self.described == other.described
            && self.route.terms.access == other.route.terms.access
    }
}

impl Stand {
    /// What is here called as the server calls it `name`.
    #[must_use]
    pub fn named(&self, name: &str) -> String {
        if self.prefix.is_empty() { name.to_owned() } else { format!("{}__{name}", self.prefix) }
    }

    /// The same of a URI, or a template of one.
    #[must_use]
    pub fn located(&self, uri: &str) -> String {
        if self.prefix.is_empty() { uri.to_owned() } else { format!("{}+{uri}", self.prefix) }
    }

    /// What the server calls a URI; `None` where it is another's.
    pub(super) fn own_uri<'a>(&self, uri: &'a str) -> Option<&'a str> {
        if self.prefix.is_empty() {
            return Some(uri);
        }
        uri.strip_prefix(&*self.prefix)?.strip_prefix('+')
    }

    /// The URIs in a result as they are here: of what was read, and of what a tool or a prompt refers to.
    pub(super) fn outwards(&self, result: &mut Object) {
        if self.prefix.is_empty() {
            return;
        }
        let relocate = |object: &mut Object| {
            if let Some(uri) = object.text("uri").map(|uri| self.located(&uri)) {
                object.set("uri", raw(&uri));
            }
        };
        let block = |block: &mut Object| match block.text("type").as_deref() {
            Some("resource_link") => relocate(block),
            Some("resource") => {
                if let Some(mut resource) = block.object("resource") {
                    relocate(&mut resource);
                    block.set("resource", raw(&resource));
                }
            }
            _ => {}
        };
        each(result, "contents", relocate);
        each(result, "content", block);
        each(result, "messages", |message| {
            if let Some(mut content) = message.object("content") {
                block(&mut content);
                message.set("content", raw(&content));
            }
        });
    }
}

/// Changes each object of a list.
fn each(object: &mut Object, member: &str, change: impl Fn(&mut Object)) {
    let Some(list) = object.get(member) else { return };
    let Ok(mut list) = serde_json::from_str::<Vec<Object>>(list.get()) else { return };
    list.iter_mut().for_each(change);
    object.set(member, raw(&list));
}

/// Everything that federated servers have beside tools.
#[derive(Debug, Default)]
pub struct Shelf {
    pub stands: Vec<Arc<Stand>>,
    prompts: BTreeMap<Arc<str>, Arc<Thing>>,
    resources: BTreeMap<Arc<str>, Arc<Thing>>,
    templates: BTreeMap<Arc<str>, Arc<Thing>>,
}

impl Shelf {
    /// Adds a thing.
    ///
    /// # Errors
    /// The server that has one of its key already.
    pub fn add(&mut self, kind: Kind, thing: Thing) -> Result<(), Arc<str>> {
        let all = match kind {
            Kind::Prompts => &mut self.prompts,
            Kind::Resources => &mut self.resources,
            Kind::Templates => &mut self.templates,
            Kind::Tools => return Ok(()),
        };
        match all.get(&thing.key) {
            Some(there) => Err(Arc::clone(there.server().name())),
            None => {
                all.insert(Arc::clone(&thing.key), Arc::new(thing));
                Ok(())
            }
        }
    }

    /// Those of a kind behind a key, or all.
    pub(super) fn behind(&self, kind: Kind, key: Option<&str>) -> impl Iterator<Item = (&str, &Arc<Thing>)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = key.map_or(Unbounded, Excluded);
        let all = match kind {
            Kind::Prompts => Some(&self.prompts),
            Kind::Resources => Some(&self.resources),
            Kind::Templates => Some(&self.templates),
            Kind::Tools => None,
        };
        let things = all.into_iter().flat_map(move |all| all.range::<str, _>((from, Unbounded)));
        things.map(|(key, thing)| (&**key, thing))
    }

    pub(super) fn prompt(&self, name: &str) -> Option<&Arc<Thing>> {
        self.prompts.get(name)
    }

    /// Whose a resource is, and what it is called there: who lists it, who has a template that it may be of, or whose URIs begin
    /// so.
    pub(super) fn whose<'a>(&self, uri: &'a str) -> Option<(&Arc<Stand>, std::borrow::Cow<'a, str>)> {
        if let Some(thing) = self.resources.get(uri) {
            return Some((&thing.stand, thing.called.clone().into()));
        }
        let shows = |stand: &&Arc<Stand>| stand.resources.is_some() && stand.own_uri(uri).is_some();
        let fits = |stand: &Arc<Stand>| {
            let templates = stand.listing.iter().flat_map(|listing| &listing.templates);
            let uri = stand.own_uri(uri).unwrap_or_default();
            templates.into_iter().any(|template| may_be_of(uri, &template.key))
        };
        let of_template = self.stands.iter().filter(shows).find(|stand| fits(stand));
        // The longest prefix: of one without any all may be.
        let named = || self.stands.iter().filter(shows).max_by_key(|stand| stand.prefix.len());
        let stand = of_template.or_else(named)?;
        Some((stand, stand.own_uri(uri)?.into()))
    }

    /// A server that shows templates or resources of this URI template.
    pub(super) fn template(&self, uri: &str) -> Option<&Arc<Thing>> {
        self.templates.get(uri).or_else(|| self.resources.get(uri))
    }

    /// Whether a server says that it can do something.
    pub(super) fn can(&self, capability: &str) -> bool {
        let shown = |stand: &Stand| match capability {
            "prompts" => stand.prompts.is_some(),
            "resources" => stand.resources.is_some(),
            _ => true,
        };
        self.stands.iter().any(|stand| {
            shown(stand) && stand.listing.as_ref().is_some_and(|listing| listing.can(capability))
        })
    }

    /// Whether some server takes subscriptions to its resources.
    pub(super) fn subscribes(&self) -> bool {
        let takes = |stand: &Stand| stand.listing.as_ref().is_some_and(|listing| listing.subscribes());
        self.stands.iter().any(|stand| stand.resources.is_some() && takes(stand))
    }

    /// A server that is away, and without which nothing is to be listed.
    pub(super) fn missing(&self) -> Option<(&Arc<Server>, Arc<str>)> {
        let away = self.stands.iter().filter(|stand| stand.closed && stand.listing.is_none());
        away.map(|stand| {
            let why = stand.server.away().unwrap_or_else(|| "it has not answered yet".into());
            (&stand.server, why)
        })
        .next()
    }

    pub(super) fn is_told_as(&self, other: &Self, kind: Kind) -> bool {
        let (mut mine, mut others) = (self.behind(kind, None), other.behind(kind, None));
        loop {
            match (mine.next(), others.next()) {
                (None, None) => return true,
                (Some((_, one)), Some((_, other))) if one.is_told_as(other) => {}
                _ => return false,
            }
        }
    }
}

/// Whether a URI may be made of a template (RFC 6570): the texts between its variables are in it, in their order.
fn may_be_of(uri: &str, template: &str) -> bool {
    let mut rest = uri;
    let mut first = true;
    let mut template = template;
    loop {
        let (text, behind) = match template.split_once('{') {
            Some((text, behind)) => (text, behind.split_once('}').map(|(_, behind)| behind)),
            None => (template, None),
        };
        let at = if first { rest.starts_with(text).then_some(0) } else { rest.find(text) };
        let Some(at) = at else { return false };
        rest = rest.get(at + text.len()..).unwrap_or_default();
        match behind {
            Some(behind) => template = behind,
            // A variable at the end takes all that is left.
            None => return rest.is_empty() || (template.is_empty() && !first),
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_of_a_template() {
        let check = |uri: &str, template: &str, want: bool| {
            assert_eq!(may_be_of(uri, template), want, "{uri} {template}");
        };
        check("file:///a/b", "file:///{+path}", true);
        check("http://a", "file:///{path}", false);
        check("db://t/7/rows", "db://{table}/{id}/rows", true);
        check("db://t/7/cells", "db://{table}/{id}/rows", false);
        check("a:b", "a:b", true);
        check("a:bc", "a:b", false);
    }
}
