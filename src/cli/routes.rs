//! `propylon routes`: the routing table, of a gateway that runs or of one built here.

use clap::Args;

use super::{Failure, asked::Asked, paint::Paint, say};
use crate::{
    config::colours,
    proto::gateway_v1::{ListRoutesRequest, ListRoutesResponse, RouteInfo},
    surface::json,
};

#[derive(Debug, Args)]
pub(super) struct Routes {
    /// Only the routes of this service, by its full name
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    service: String,
    #[command(flatten)]
    asked: Asked,
    /// Print the routes as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: Routes) -> Result<(), Failure> {
    let answer = arguments.asked.routes(&ListRoutesRequest { service: arguments.service })?;
    if arguments.json {
        let text = json("propylon.gateway.v1.ListRoutesResponse", &answer);
        say(&text.map_err(|status| Failure::system(status.message()))?);
    } else {
        say(drawn(&answer, Paint::new(colours())).trim_end());
    }
    Ok(())
}

/// The routes as a table: sources in their order, services and methods sorted by name.
fn drawn(answer: &ListRoutesResponse, paint: Paint) -> String {
    let source_of = |route: &RouteInfo| answer.routes.iter().position(|other| other.source == route.source);
    let mut routes: Vec<&RouteInfo> = answer.routes.iter().collect();
    routes.sort_by_key(|route| (source_of(route), &route.service, &route.path));
    let mut out = String::new();
    let mut line = |text: &str| {
        out.push_str(text.trim_end());
        out.push('\n');
    };
    let rows: Vec<[String; 3]> = routes.iter().flat_map(|route| rows(route)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths = (width(0), width(1));
    let (mut source, mut service) = (None, None);
    for route in routes {
        if source != Some(&route.source) {
            source = Some(&route.source);
            let name = if route.source == "built-in" { "the gateway itself" } else { &route.source };
            line("");
            line(&format!("{}  {}", paint.bold(name), paint.dim(&route.address)));
        }
        if service != Some(&route.service) {
            service = Some(&route.service);
            line("");
            line(&format!("  {}", paint.cyan(&route.service)));
        }
        for [method, streams, rest] in self::rows(route) {
            let (names, shapes) = widths;
            let (streams, (verb, path)) =
                (paint.dim(&format!("{streams:shapes$}")), rest.split_once(' ').unwrap_or(("", &rest)));
            let rest = match path {
                "" if method.is_empty() => String::new(),
                "" => paint.dim("gRPC and gRPC-Web only"),
                path => format!("{} {path}", paint.bold(&format!("{verb:6}"))),
            };
            line(&format!("    {method:names$}  {streams}  {rest}"));
        }
        for variant in &route.variants {
            line(&format!("    {:width$}  {}", "", paint.dim(variant), width = widths.0));
        }
    }
    if !answer.routes.is_empty() {
        line("");
        line(&paint.dim("every method is at POST /package.Service/Method too, by gRPC and gRPC-Web"));
    }
    if !answer.paths.is_empty() {
        line("");
        line(&paint.bold("answered here"));
        line("");
        let verbs: Vec<String> = answer.paths.iter().map(|path| path.verbs.join(", ")).collect();
        let widest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
        let verb_width = widest(&mut verbs.iter().map(|verbs| verbs.chars().count()));
        let path_width = widest(&mut answer.paths.iter().map(|path| path.path.chars().count()));
        for (verbs, path) in verbs.iter().zip(&answer.paths) {
            let what = match path.kind.as_str() {
                "page" => "the gateway's own page".to_owned(),
                "redirect" => format!("redirects to {}", path.target),
                "respond" => format!("responds {}", path.target),
                "mcp" if path.target.is_empty() => "tools for agents".to_owned(),
                "mcp" => format!("tools for agents, those of {} among them", path.target),
                kind => format!("{kind} {}", path.target),
            };
            let verbs = paint.bold(&format!("{verbs:verb_width$}"));
            line(&format!("    {verbs}  {:path_width$}  {}", path.path, paint.dim(&what)));
            if !path.conditions.is_empty() {
                let when = format!("for requests with {}", path.conditions.join(", "));
                line(&format!("    {:verb_width$}  {:path_width$}  {}", "", "", paint.dim(&when)));
            }
        }
    }
    out.trim_start().to_owned()
}

/// A row for the method and its first binding, and one for each further binding, with the tool as the last: the method, what
/// streams, REST.
fn rows(route: &RouteInfo) -> Vec<[String; 3]> {
    let name = route.path.rsplit('/').next().unwrap_or_default();
    let (name, streams) = match (route.path.ends_with('*'), route.client_streaming, route.server_streaming) {
        (true, ..) => ("every method".to_owned(), "schema not known"),
        (_, false, false) => (name.to_owned(), ""),
        (_, false, true) => (name.to_owned(), "server stream"),
        (_, true, false) => (name.to_owned(), "client stream"),
        (_, true, true) => (name.to_owned(), "both streams"),
    };
    let tool = Some(&route.tool).filter(|name| !name.is_empty()).map(|name| format!("tool {name}"));
    let mut bindings = route.rest.iter().cloned().chain(tool);
    let first = bindings.next().unwrap_or_default();
    let mut rows = vec![[name, streams.to_owned(), first]];
    rows.extend(bindings.map(|binding| [String::new(), String::new(), binding]));
    rows
}
