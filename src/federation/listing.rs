//! What a server lists: its tools, prompts, resources and templates, each as it was written; and what it can do beside.

use std::{collections::HashSet, time::Duration};

use super::{
    line::{Era, Line, Lost},
    object::Object,
    server::{Server, meta},
};

/// The most pages of one list, and the most things in it.
const MOST_PAGES: usize = 200;
const MOST: usize = 20_000;

/// What a server lists.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    pub tools: Vec<Item>,
    pub prompts: Vec<Item>,
    pub resources: Vec<Item>,
    pub templates: Vec<Item>,
    /// What it says that it can do.
    pub capabilities: Object,
    /// How it is meant to be used, for models to read.
    pub instructions: Option<String>,
    /// It speaks the newest version.
    pub modern: bool,
}

/// One thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// What it is called by: the name of a tool or a prompt, the URI of a resource, or the template of one.
    pub key: String,
    /// All that is said of it.
    pub said: Object,
}

/// A kind of things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Tools,
    Prompts,
    Resources,
    Templates,
}

impl Kind {
    /// The method that lists them.
    #[must_use]
    pub fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
        }
    }

    /// The member of its result that they are in.
    #[must_use]
    pub fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }

    /// The capability of who has some.
    fn capability(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources | Self::Templates => "resources",
        }
    }
}

impl Listing {
    /// Whether the server says that it can do something.
    #[must_use]
    pub fn can(&self, capability: &str) -> bool {
        self.capabilities.get(capability).is_some_and(|said| said.get() != "null")
    }

    /// Whether it takes subscriptions to resources.
    #[must_use]
    pub fn subscribes(&self) -> bool {
        let resources = self.capabilities.object("resources");
        resources.is_some_and(|resources| resources.get("subscribe").is_some_and(|said| said.get() == "true"))
    }
}

impl Server {
    /// Reads all its lists.
    pub(super) async fn read(&self, line: &Line, limit: Duration) -> Result<Listing, Lost> {
        let capabilities = line.said.object("capabilities").unwrap_or_default();
        let mut listing = Listing {
            instructions: line.said.text("instructions").map(std::borrow::Cow::into_owned),
            modern: line.era == Era::Modern,
            capabilities,
            ..Listing::default()
        };
        for kind in [Kind::Tools, Kind::Prompts, Kind::Resources, Kind::Templates] {
            if !listing.can(kind.capability()) {
                continue;
            }
            let items = match self.list(line, kind, limit).await {
                Ok(items) => items,
                // Some have resources and no templates.
                Err(Lost::Refused { failure, .. }) if failure.code == -32601 => Vec::new(),
                Err(lost) => return Err(lost),
            };
            match kind {
                Kind::Tools => listing.tools = items,
                Kind::Prompts => listing.prompts = items,
                Kind::Resources => listing.resources = items,
                Kind::Templates => listing.templates = items,
            }
        }
        Ok(listing)
    }

    async fn list(&self, line: &Line, kind: Kind, limit: Duration) -> Result<Vec<Item>, Lost> {
        let (mut items, mut cursor): (Vec<Item>, Option<String>) = (Vec::new(), None);
        let mut seen = HashSet::new();
        for _ in 0..MOST_PAGES {
            let mut params = Object::default();
            if let Some(cursor) = &cursor {
                params = params.with("cursor", cursor);
            }
            if line.era == Era::Modern {
                params = params.with("_meta", meta(Object::default(), None));
            }
            let (page, _) = self.once(line, kind.method(), &params, limit).await?;
            let listed: Vec<Object> = page
                .get(kind.member())
                .and_then(|listed| serde_json::from_str(listed.get()).ok())
                .unwrap_or_default();
            for said in listed {
                let Some(key) = said.text(kind.key()).map(std::borrow::Cow::into_owned) else { continue };
                // Of two that are called the same the first is meant.
                if items.len() < MOST && seen.insert(key.clone()) {
                    items.push(Item { key, said });
                }
            }
            cursor = page.text("nextCursor").map(std::borrow::Cow::into_owned).filter(|next| {
                // One that goes round in circles ends here.
                cursor.as_ref() != Some(next)
            });
            if cursor.is_none() {
                break;
            }
        }
        Ok(items)
    }
}
